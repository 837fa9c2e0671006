// Pure.

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// printable makes s safe for a terminal and one line: control characters and bytes that are not UTF-8 are escaped as Go
// writes them.
func printable(s string) string {
	if strings.IndexFunc(s, hostile) < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&b, `\x%02x`, s[i])
		} else if hostile(r) {
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		} else {
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}

// hostile tells characters that move a cursor, change a terminal or the direction of writing.
func hostile(r rune) bool { return !unicode.IsPrint(r) && r != utf8.RuneError }

// marshal is json.Marshal that leaves <, > and & as they are.
func marshal(v any) ([]byte, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return []byte(strings.TrimSuffix(b.String(), "\n")), nil
}

// printYAML writes o as a YAML 1.2 document. Scalars are written as JSON, which YAML includes.
func printYAML(out io.Writer, o object) error {
	b, err := appendYAML(nil, o, 0)
	if err == nil {
		_, err = out.Write(b)
	}
	return err
}

func appendYAML(b []byte, o object, depth int) ([]byte, error) {
	pad := strings.Repeat("  ", depth)
	for _, f := range o {
		b = append(append(append(b, pad...), f.name...), ':')
		rows, ok := f.value.([]object)
		if !ok || len(rows) == 0 {
			v, err := marshal(f.value)
			if err != nil {
				return nil, err
			}
			b = append(append(append(b, ' '), v...), '\n')
			continue
		}
		b = append(b, '\n')
		for _, row := range rows {
			at := len(b)
			var err error
			if b, err = appendYAML(b, row, depth+1); err != nil {
				return nil, err
			}
			copy(b[at+2*depth:], "- ") // over the indent of the row's first field
		}
	}
	return b, nil
}
