package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// schemaVersion stands in everything that is printed for programs. It rises when a field changes its meaning or goes; new
// fields may come at any time.
const schemaVersion = 1

// listing is rows of one kind.
type listing struct {
	name    string // of the rows, as a field
	columns []column
	rows    [][]any // a value for each column: what encoding/json takes
}

// column is one field of every row.
type column struct {
	heading string // no spaces; empty: not in tables
	field   string
}

// document is what a command prints: some fields, then listings.
type document struct {
	fields   []docField
	listings []listing
}

type docField struct {
	name  string
	value any
}

func outputOption(dst *string) *option {
	*dst = "table"
	words := []string{"table", "json", "jsonl", "yaml"}
	return optOneOf(dst, words, "output", strings.Join(words, "|"), "how to print").withShort("o").withEnv()
}

// print writes d to out in a format.
func (d document) print(out io.Writer, format string) error {
	switch format {
	case "json":
		return d.printJSON(out)
	case "jsonl":
		return d.printLines(out)
	case "yaml":
		return printYAML(out, d.tree())
	}
	return d.printTable(out)
}

// object is a JSON object that keeps the order of its fields.
type object []docField

// MarshalJSON writes the fields in their order.
func (o object) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, f := range o {
		if i > 0 {
			b = append(b, ',')
		}
		name, _ := json.Marshal(f.name) // a string cannot fail
		v, err := marshal(f.value)
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, name...), ':'), v...)
	}
	return append(b, '}'), nil
}

func (l listing) row(i int) object {
	o := make(object, len(l.columns))
	for j, c := range l.columns {
		o[j] = docField{c.field, l.rows[i][j]}
	}
	return o
}

// tree is d as one object.
func (d document) tree() object {
	o := object{{"schema_version", schemaVersion}}
	o = append(o, d.fields...)
	for _, l := range d.listings {
		rows := make([]object, len(l.rows))
		for i := range rows {
			rows[i] = l.row(i)
		}
		o = append(o, docField{l.name, rows})
	}
	return o
}

func (d document) printJSON(out io.Writer) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(d.tree())
}

// printLines writes a line for each row if d is nothing but rows of one kind, else one line for all.
func (d document) printLines(out io.Writer) error {
	if len(d.fields) > 0 || len(d.listings) != 1 {
		return printLine(out, d.tree())
	}
	for i := range d.listings[0].rows {
		row := append(object{{"schema_version", schemaVersion}}, d.listings[0].row(i)...)
		if err := printLine(out, row); err != nil {
			return err
		}
	}
	return nil
}

func printLine(out io.Writer, v any) error {
	b, err := marshal(v)
	if err != nil {
		return err
	}
	_, err = out.Write(append(b, '\n'))
	return err
}

// printTable writes fields as two columns, then each listing under its headings; of several, those that are empty are
// left out. Values are made printable: they may come from anybody, and a terminal obeys escapes.
func (d document) printTable(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, f := range d.fields {
		fmt.Fprintf(t, "%s\t%s\n", f.name, printable(cell(f.value)))
	}
	for i, l := range d.listings {
		several := i > 0 || len(d.fields) > 0
		if several && len(l.rows) == 0 {
			continue
		}
		if several {
			if err := t.Flush(); err != nil {
				return err
			}
			fmt.Fprintln(out)
		}
		l.printTable(t)
	}
	return t.Flush()
}

func (l listing) printTable(t io.Writer) {
	line := func(text func(j int) string) {
		sep := ""
		for j, c := range l.columns {
			if c.heading != "" {
				fmt.Fprint(t, sep, text(j))
				sep = "\t"
			}
		}
		fmt.Fprintln(t)
	}
	line(func(j int) string { return l.columns[j].heading })
	for _, row := range l.rows {
		line(func(j int) string { return printable(cell(row[j])) })
	}
}

// cell is a value as text; "-" stands for none, so that every row has as many words as there are headings.
func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case string:
		if v == "" {
			return "-"
		}
		return v
	case error:
		return v.Error()
	case fmt.Stringer:
		return v.String()
	case bool, int, int16, int32, int64, uint16, uint32, uint64, float64:
		return fmt.Sprint(v)
	}
	b, err := marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
