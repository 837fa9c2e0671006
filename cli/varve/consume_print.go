package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kgo"
)

// printer prints records: head, then any number of records, then foot.
type printer interface {
	head() error
	record(r *kgo.Record) error
	foot() error
}

func (o *consume) printer(out io.Writer, terminal bool) (printer, error) {
	if o.layout != "" {
		f, err := kgo.NewRecordFormatter(o.layout)
		if err != nil {
			return nil, usagef("--format: %w", err)
		}
		return &linePrinter{out: out, append: func(b []byte, r *kgo.Record) ([]byte, error) { return f.AppendRecord(b, r), nil }}, nil
	}
	output := o.output
	if output == "" {
		output = "raw"
		if terminal {
			output = "table"
		}
	}
	switch output {
	case "table":
		return &linePrinter{out: out, top: fmt.Sprintf(rowLayout, "PARTITION", "OFFSET", "TIME", "KEY", "VALUE"), append: appendRow}, nil
	case "jsonl":
		return &linePrinter{out: out, append: appendJSONLine}, nil
	case "json":
		return &arrayPrinter{out: out}, nil
	}
	return &linePrinter{out: out, append: appendRaw}, nil
}

// linePrinter prints each record by itself.
type linePrinter struct {
	out    io.Writer
	top    string
	append func([]byte, *kgo.Record) ([]byte, error)
	b      []byte // used again for each record
}

func (p *linePrinter) head() error {
	_, err := io.WriteString(p.out, p.top)
	return err
}

func (p *linePrinter) record(r *kgo.Record) (err error) {
	if p.b, err = p.append(p.b[:0], r); err == nil {
		_, err = p.out.Write(p.b)
	}
	return err
}

func (p *linePrinter) foot() error { return nil }

// appendRaw prints the value as it is and a line end. Nothing is escaped: that is what raw means.
func appendRaw(b []byte, r *kgo.Record) ([]byte, error) {
	return append(append(b, r.Value...), '\n'), nil
}

func appendJSONLine(b []byte, r *kgo.Record) ([]byte, error) {
	line, err := recordLine(r)
	return append(append(b, line...), '\n'), err
}

// rowLayout is a line of a table that is printed while it grows, so its widths are guesses.
const rowLayout = "%-9s  %-10s  %-24s  %-16s  %s\n"

// appendRow prints a record on one line, safe for a terminal: keys and values are anybody's.
func appendRow(b []byte, r *kgo.Record) ([]byte, error) {
	text := func(v []byte) string {
		if v == nil {
			return "NULL"
		}
		return printable(string(v))
	}
	return fmt.Appendf(b, rowLayout, fmt.Sprint(r.Partition), fmt.Sprint(r.Offset),
		r.Timestamp.UTC().Format("2006-01-02T15:04:05.000Z"), text(r.Key), text(r.Value)), nil
}

// arrayPrinter prints one JSON document that holds all records.
type arrayPrinter struct {
	out io.Writer
	n   int
}

func (p *arrayPrinter) head() error {
	_, err := fmt.Fprintf(p.out, "{\n  \"schema_version\": %d,\n  \"records\": [", schemaVersion)
	return err
}

func (p *arrayPrinter) record(r *kgo.Record) error {
	line, err := recordLine(r)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if p.n > 0 {
		b.WriteByte(',')
	}
	b.WriteString("\n    ")
	if err := json.Indent(&b, line, "    ", "  "); err != nil {
		return err
	}
	p.n++
	_, err = p.out.Write(b.Bytes())
	return err
}

func (p *arrayPrinter) foot() error {
	_, err := io.WriteString(p.out, "\n  ]\n}\n")
	return err
}
