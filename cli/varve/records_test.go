package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/varvelog/varve/client"
)

// write puts records into the server of s as they are.
func (s *shell) write(records ...*kgo.Record) {
	s.t.Helper()
	c, err := client.Open(strings.Split(s.env["VARVE_BOOTSTRAP"], ",")...)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	w, err := c.NewWriter(client.WriteConfig{Limit: 3 << 20})
	if err != nil {
		s.t.Fatal(err)
	}
	defer w.Close()
	for _, r := range records {
		w.Write(context.Background(), r, func(_ *kgo.Record, err error) {
			if err != nil {
				s.t.Error(err)
			}
		})
	}
	if err := w.Flush(context.Background()); err != nil {
		s.t.Fatal(err)
	}
}

// TestRecordsRoundTrip: what consume prints, produce writes, byte for byte.
func TestRecordsRoundTrip(t *testing.T) {
	s := newShell(t)
	s.ok("", "topic", "create", "copy", "-p", "3")
	var all []*kgo.Record
	rng := anyRecord()
	for i := range 200 {
		r := rng.Example(i)
		r.Timestamp = r.Timestamp.Add(2 * time.Millisecond) // kfake takes no timestamp before 1970
		all = append(all, r)
	}
	s.write(all...)
	first := s.ok("", "consume", "t", "--exit-at-end", "-o", "jsonl")
	if n := strings.Count(first, "\n"); n != len(all) {
		t.Fatalf("%d lines of %d records", n, len(all))
	}
	s.ok(first, "produce", "copy", "--input", "jsonl", "--compress", "zstd")
	second := s.ok("", "consume", "copy", "--exit-at-end", "-o", "jsonl")
	lines := func(s string) []string { return slices.Sorted(strings.Lines(s)) }
	a, b := lines(first), lines(strings.ReplaceAll(second, `"topic":"copy"`, `"topic":"t"`))
	if !slices.Equal(a, b) {
		for i := range a {
			if a[i] != b[i] {
				t.Fatalf("line %d:\n%s%s", i, a[i], b[i])
			}
		}
	}
}

func TestProduceFlags(t *testing.T) {
	s := newShell(t)
	for _, c := range []struct {
		in   string
		args []string
		want string // '%p %k %v %h' of all records
	}{
		{"v\n", []string{"-k", "u1", "-H", "a=1,b=2", "-H", "a=", "--partition", "1"}, "1 u1 v a:1,b=2;a:;"},
		{`{"value":"v","key":"k","partition":2}` + "\n" + `{"value":"w","partition":2}`, []string{"--input", "jsonl", "-k", "d"}, "2 k v |2 d w "},
		{`{"value":"v","key":"k","partition":9}`, []string{"--input", "jsonl", "--partition", "0"}, "0 k v "},
		{"k1=v1;k2=v2;", []string{"-f", "%k=%v;", "--partition", "0", "--acks", "1"}, "0 k1 v1 |0 k2 v2 "},
		{"key,value\na,\n", []string{"--input", "csv", "--partition", "0", "--acks", "0"}, "0 a  "},
		{"", []string{"--partition", "0"}, ""},
		{"a\nb\nc\n", []string{"--partition", "0", "--rate", "1000/s", "--progress"}, "0  a |0  b |0  c "},
	} {
		s.ok("", "topic", "create", "p", "-p", "3")
		s.ok(c.in, append([]string{"produce", "p"}, c.args...)...)
		got := ""
		for range 100 { // with acks=0 nobody says when the record is there
			got = s.ok("", "consume", "p", "--exit-at-end", "-f", "%p %k %v %h{%k:%v;}\n")
			if got = strings.ReplaceAll(strings.TrimSuffix(got, "\n"), "\n", "|"); got == c.want {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if got != c.want {
			t.Errorf("%q: %q, want %q", c.args, got, c.want)
		}
		s.ok("", "topic", "delete", "p", "--yes")
	}
}

func TestProduceFileReportAndTombstone(t *testing.T) {
	s := newShell(t)
	path := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(path, []byte("x\ny\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	got := s.ok("", "produce", "t", "--file", path, "--partition", "2", "--report", "offsets")
	if want := `{"topic":"t","partition":2,"offset":0}` + "\n" + `{"topic":"t","partition":2,"offset":1}` + "\n"; got != want {
		t.Errorf("report %q, want %q", got, want)
	}
	s.ok("", "produce", "t", "--null-value", "-k", "k", "--partition", "2")
	got = s.ok("", "consume", "t", "--tail", "1", "--partition", "2", "-o", "jsonl")
	if !strings.Contains(got, `"key":"k","value":null`) {
		t.Errorf("tombstone: %s", got)
	}
	s.fails(exitUsage, "no such file", "produce", "t", "--file", path+"x")
	s.fails(exitUsage, "reads nothing", "produce", "t", "--null-value", "--file", path)
	s.fails(exitUsage, "not both", "produce", "t", "-f", "%v\n", "--input", "jsonl")
	s.fails(exitUsage, "brotli", "produce", "t", "--compress", "brotli")
}

// TestProduceFailsForOneRecord: what was good before is written, and the exit code says that not all was.
func TestProduceFailsForOneRecord(t *testing.T) {
	s := newShell(t)
	r := s.run("{\"value\":\"a\",\"partition\":0}\n{\"value\":}\n{\"value\":\"b\",\"partition\":0}\n", "produce", "t", "--input", "jsonl")
	if r.code != exitFailed || !strings.Contains(r.err, "line 2: ") {
		t.Errorf("a bad line: exit %d, %q", r.code, r.err)
	}
	r = s.run(`{"value":"c","partition":7}`, "produce", "t", "--input", "jsonl")
	if r.code != exitFailed || !strings.Contains(r.err, "0 records written, 1 not") {
		t.Errorf("no such partition: exit %d, %q", r.code, r.err)
	}
	if got := s.ok("", "consume", "t", "--exit-at-end"); got != "a\n" {
		t.Errorf("written: %q", got)
	}
}

// TestProduceIsInterruptedWhileItReads: nothing comes from stdin, and Ctrl-C ends it all the same.
func TestProduceIsInterruptedWhileItReads(t *testing.T) {
	s := newShell(t)
	in, feed := io.Pipe()
	defer feed.Close()
	ctx, cancel := context.WithCancel(context.Background())
	var errs bytes.Buffer
	w := &world{in: in, out: io.Discard, err: &errs, env: func(k string) (string, bool) { v, ok := s.env[k]; return v, ok }}
	go func() {
		_, _ = feed.Write([]byte("one\n"))
		cancel()
	}()
	if code := run(ctx, w, commands(), []string{"produce", "t"}); code != exitFailed || !strings.Contains(errs.String(), "interrupted") {
		t.Errorf("exit %d, %q", code, errs.String())
	}
}

// fill writes values 0 to 9 to partition 0 of t, and 100 to 102 to partition 1, a second apart from 1970 on.
func (s *shell) fill() {
	var all []*kgo.Record
	add := func(p int32, i, n int) {
		all = append(all, &kgo.Record{Topic: "t", Partition: p, Value: fmt.Append(nil, n), Key: fmt.Appendf(nil, "k%d", n%2),
			Timestamp: time.UnixMilli(1000 * int64(i)), Headers: []kgo.RecordHeader{{Key: "n", Value: fmt.Append(nil, n%3)}}})
	}
	for i := range 10 {
		add(0, i, i)
	}
	for i := range 3 {
		add(1, i, 100+i)
	}
	s.write(all...)
}

func TestConsumeBounds(t *testing.T) {
	s := newShell(t)
	s.fill()
	for _, c := range []struct{ args, want string }{
		{"--exit-at-end", "0 1 2 3 4 5 6 7 8 9 100 101 102"},
		{"--exit-at-end -p 1", "100 101 102"},
		{"--from 8 --exit-at-end -p 0", "8 9"},
		{"--from -2 --exit-at-end", "8 9 101 102"},
		{"--tail 1", "9 102"},
		{"--tail 0", ""},
		{"--from latest --exit-at-end", ""},
		{"--from earliest --to 3 -p 0", "0 1 2"},
		{"--to @1970-01-01T00:00:02Z", "0 1 100 101"},
		{"--from @1970-01-01T00:00:07.500Z --exit-at-end", "8 9"},
		{"--from -1h --exit-at-end", ""},
		{"-n 4 -p 0", "0 1 2 3"},
		{"-n 2 --from 5 -p 0", "5 6"},
		{"--exit-at-end --grep ^10", "100 101 102"},
		{"--exit-at-end --grep k1 -p 1", "101"},
		{"--exit-at-end --filter n=2 -p 0", "2 5 8"},
		{"--exit-at-end --filter n=2 --filter n=1", ""},
		{"--exit-at-end --filter n=2 --grep 8 -n 1", "8"},
		{"--exit-at-end --isolation read_committed -p 1", "100 101 102"},
	} {
		out := s.ok("", append([]string{"consume", "t"}, strings.Fields(c.args)...)...)
		got := strings.Fields(out)
		slices.SortStableFunc(got, func(a, b string) int { return len(a) - len(b) }) // partition 0 first
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %q", c.args, got, c.want)
		}
	}
	r := s.run("", "consume", "t", "--from", "50", "--exit-at-end")
	if r.code != exitOK || !strings.Contains(r.err, "offset 50 is outside of the log; reading from 10") {
		t.Errorf("an offset beyond the end: exit %d, %q", r.code, r.err)
	}
}

func TestConsumeRefuses(t *testing.T) {
	s := newShell(t)
	for _, c := range []struct {
		args, want string
		code       int
	}{
		{"t --from yesterday", "not a position", exitUsage},
		{"t --follow --exit-at-end", "does not end", exitUsage},
		{"t --tail 3 --from 5", "not both", exitUsage},
		{"t --tail -3", "not negative", exitUsage},
		{"t -n 0", "--count: 0 is less than 1", exitUsage},
		{"t -f %v -o raw", "not both", exitUsage},
		{"t -f %Q", "--format", exitUsage},
		{"t --grep (", "--grep", exitUsage},
		{"t -o yaml", "--output", exitUsage},
		{"t -p 7 --exit-at-end", "partitions 0 to 2, not 7", exitFailed},
		{"nope --exit-at-end", `unknown topic "nope"`, exitFailed},
		{"", "wants TOPIC...", exitUsage},
	} {
		s.fails(c.code, c.want, append([]string{"consume"}, strings.Fields(c.args)...)...)
	}
}

func TestConsumeFollowsUntilInterrupted(t *testing.T) {
	s := newShell(t)
	s.fill()
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"consume", "t", "--from", "earliest", "--follow"}, exitOK},
		{[]string{"consume", "t", "--from", "earliest", "-o", "json"}, exitOK},
		{[]string{"consume", "t", "--tail", "1", "--follow"}, exitOK},
		{[]string{"consume", "t", "-n", "1000"}, exitFailed},
	} {
		ctx, cancel := context.WithCancel(context.Background())
		w := &world{in: strings.NewReader(""), err: new(bytes.Buffer), env: func(k string) (string, bool) { v, ok := s.env[k]; return v, ok }}
		out := &cutWriter{cut: cancel}
		w.out = out
		if code := run(ctx, w, commands(), c.args); code != c.code {
			t.Errorf("%q: exit %d, %s", c.args, code, w.err)
		}
		if slices.Contains(c.args, "json") && !json.Valid(out.b.Bytes()) {
			t.Errorf("%q: not JSON: %s", c.args, out.b.Bytes())
		}
		cancel()
	}
}

// cutWriter interrupts when something was written.
type cutWriter struct {
	b   bytes.Buffer
	cut func()
}

// Write implements io.Writer.
func (c *cutWriter) Write(p []byte) (int, error) {
	c.b.Write(p)
	c.cut()
	return len(p), nil
}

func TestConsumeOutputs(t *testing.T) {
	s := newShell(t)
	at := time.UnixMilli(1793534400123)
	s.write(&kgo.Record{Topic: "t", Value: []byte("a\x1b[31m\nb"), Key: []byte("\xff"), Timestamp: at}, &kgo.Record{Topic: "t", Timestamp: at})
	if got := s.ok("", "consume", "t", "--exit-at-end"); got != "a\x1b[31m\nb\n\n" {
		t.Errorf("raw: %q", got)
	}
	want := "PARTITION  OFFSET      TIME                      KEY               VALUE\n" +
		"0          0           2026-11-01T12:00:00.123Z  \\xff              a\\x1b[31m\\nb\n" +
		"0          1           2026-11-01T12:00:00.123Z  NULL              NULL\n"
	if got := s.ok("", "consume", "t", "--exit-at-end", "-o", "table"); got != want {
		t.Errorf("table:\n%s\nwant\n%s", got, want)
	}
	s.terminal = true
	if got := s.ok("", "consume", "t", "--exit-at-end"); got != want {
		t.Errorf("on a terminal:\n%s", got)
	}
	var doc struct {
		Version int `json:"schema_version"`
		Records []jsonRecord
	}
	if err := json.Unmarshal([]byte(s.ok("", "consume", "t", "--exit-at-end", "-o", "json")), &doc); err != nil || doc.Version != 1 || len(doc.Records) != 2 {
		t.Errorf("json: %+v, %v", doc, err)
	}
	if got := s.ok("", "consume", "t", "--tail", "0", "-o", "json"); !json.Valid([]byte(got)) {
		t.Errorf("empty json: %s", got)
	}
	if got := s.ok("", "consume", "t", "-n", "1", "-f", `%t/%p/%o %d{go#15:04#} %K\n`); got != "t/0/0 12:00 1\n" {
		t.Errorf("format: %q", got)
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain é 日本": "plain é 日本", "\x1b]0;x\a": `\x1b]0;x\a`, "a\tb\n": `a\tb\n`, "\xff\xfe": `\xff\xfe`, "\u202e": `\u202e`, "\ufffd": "\ufffd", "\x00\x7f": `\x00\x7f`, "": "",
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		for _, r := range printable(string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))) {
			if hostile(r) {
				t.Fatalf("%q is left", r)
			}
		}
	})
}
