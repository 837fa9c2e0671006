// Pure.

package main

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/client"
)

// maxLine bounds a line of input, in bytes: Kafka's largest request, and base64 around it.
const maxLine = 140 << 20

// lineReader reads lines and counts them.
type lineReader struct {
	r *bufio.Reader
	n int // lines read
}

func newLineReader(in io.Reader) *lineReader { return &lineReader{r: bufio.NewReaderSize(in, 64<<10)} }

// next returns a line without its end, which the last one need not have; never nil. io.EOF after it.
func (l *lineReader) next() ([]byte, error) {
	var line []byte
	for {
		part, err := l.r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxLine:
			return nil, fmt.Errorf("line %d: longer than %d bytes", l.n+1, maxLine)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && (err != io.EOF || len(line) == 0):
			return nil, err
		case err == nil:
			line = line[:len(line)-1]
		}
		l.n++
		return line, nil
	}
}

// lineSource makes every line a value. An empty line is an empty value, not a null one.
func lineSource(in io.Reader) source {
	lines := newLineReader(in)
	return func() (*kgo.Record, error) {
		line, err := lines.next()
		if err != nil {
			return nil, err
		}
		return &kgo.Record{Value: line, Partition: client.ByKey}, nil
	}
}

// jsonSource reads the lines of jsonl.go. Blank lines are passed over.
func jsonSource(in io.Reader) source {
	lines := newLineReader(in)
	return func() (*kgo.Record, error) {
		for {
			line, err := lines.next()
			if err != nil {
				return nil, err
			}
			s := strings.TrimSpace(string(line))
			if s == "" {
				continue
			}
			r, err := parseRecordLine(s, client.ByKey)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", lines.n, err)
			}
			return r, nil
		}
	}
}

// formatSource reads records in kgo's language. Where it reads no bytes, the key is null but the value is empty: a
// tombstone must be asked for.
func formatSource(in io.Reader, layout string) (source, error) {
	if !strings.Contains(layout, "%v") {
		return nil, usagef("--format %q has no %%v, so that every value would be null; for a tombstone say --null-value", layout)
	}
	lines := newLineReader(in)
	reader, err := kgo.NewRecordReader(&lineByLine{lines: lines}, layout)
	if err != nil {
		return nil, usagef("--format: %w", err)
	}
	n := 0
	return func() (*kgo.Record, error) {
		r := &kgo.Record{Partition: client.ByKey}
		err := reader.ReadRecordInto(r)
		if err == io.EOF {
			return nil, io.EOF
		}
		n++
		if err != nil {
			return nil, fmt.Errorf("line %d, record %d: does not fit the format %q: %w", lines.n, n, layout, err)
		}
		if r.Value == nil {
			r.Value = []byte{}
		}
		return r, nil
	}, nil
}

// lineByLine gives no reader more than one line at once, so that the count of lines is where the reader is.
type lineByLine struct {
	lines *lineReader
	rest  []byte
}

// Read implements io.Reader.
func (l *lineByLine) Read(b []byte) (int, error) {
	if len(l.rest) == 0 {
		part, err := l.lines.r.ReadSlice('\n')
		if len(part) == 0 {
			return 0, err
		}
		if part[len(part)-1] == '\n' || err == io.EOF {
			l.lines.n++
		}
		l.rest = append(l.rest[:0], part...)
	}
	n := copy(b, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// csvSource reads RFC 4180 with a line of headings.
func csvSource(in io.Reader) (source, error) {
	r := csv.NewReader(bufio.NewReader(in))
	r.ReuseRecord = true
	first, err := r.Read()
	if err == io.EOF {
		return func() (*kgo.Record, error) { return nil, io.EOF }, nil
	}
	if err != nil {
		return nil, err
	}
	columns := append([]string(nil), first...)
	hasValue := false
	for _, c := range columns {
		switch {
		case c == "value":
			hasValue = true
		case c == "key", c == "partition", c == "timestamp", strings.HasPrefix(c, "header."):
		default:
			return nil, fmt.Errorf("line 1: column %q is none of key, value, partition, timestamp, header.NAME", c)
		}
	}
	if !hasValue {
		return nil, errors.New(`line 1: no column "value"`)
	}
	return func() (*kgo.Record, error) {
		row, err := r.Read()
		if err != nil {
			return nil, err
		}
		rec := &kgo.Record{Partition: client.ByKey}
		for i, c := range columns {
			if err := setColumn(rec, c, row[i]); err != nil {
				line, _ := r.FieldPos(i)
				return nil, fmt.Errorf("line %d: %w", line, err)
			}
		}
		return rec, nil
	}, nil
}

func setColumn(r *kgo.Record, column, s string) error {
	switch column {
	case "key":
		r.Key = []byte(s)
	case "value":
		r.Value = []byte(s)
	case "partition":
		p, err := parsePartition(s)
		r.Partition = p
		return err
	case "timestamp":
		ms, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return fmt.Errorf("timestamp %q is not a number of milliseconds", s)
		}
		r.Timestamp = time.UnixMilli(ms)
	default:
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: strings.TrimPrefix(column, "header."), Value: []byte(s)})
	}
	return nil
}

// parseRate reads "100/s" or "100".
func parseRate(s string) (float64, error) {
	n, err := strconv.ParseFloat(strings.TrimSuffix(s, "/s"), 64)
	if err != nil || n <= 0 || n > 1e9 {
		return 0, fmt.Errorf("%q is not a rate (like 100/s, 0.5/s)", s)
	}
	return n, nil
}
