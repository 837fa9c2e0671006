package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/varvelog/varve/client"
)

// sameRecord compares what a round trip keeps: null is not empty, headers may repeat.
func sameRecord(a, b *kgo.Record) bool {
	null := func(x, y []byte) bool { return (x == nil) == (y == nil) && bytes.Equal(x, y) }
	if !null(a.Key, b.Key) || !null(a.Value, b.Value) || len(a.Headers) != len(b.Headers) || a.Partition != b.Partition || !a.Timestamp.Equal(b.Timestamp) {
		return false
	}
	for i, h := range a.Headers {
		if h.Key != b.Headers[i].Key || !null(h.Value, b.Headers[i].Value) {
			return false
		}
	}
	return true
}

// nullable draws null, text, and bytes that are no text.
func nullable() *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			return nil
		case 1:
			return []byte(rapid.String().Draw(t, "text"))
		case 2:
			return []byte(rapid.SampledFrom([]string{"", "null", `{"encoding":"base64","data":""}`, "\ufffd", "\u2028<>&\"\\\x00\x7f", "\xed\xa0\x80", "a\nb"}).Draw(t, "odd"))
		}
		return rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
	})
}

func anyRecord() *rapid.Generator[*kgo.Record] {
	return rapid.Custom(func(t *rapid.T) *kgo.Record {
		r := &kgo.Record{
			Topic: "t", Partition: rapid.Int32Range(0, 2).Draw(t, "partition"), Offset: rapid.Int64Min(0).Draw(t, "offset"),
			Timestamp: time.UnixMilli(rapid.Int64Range(-1, 1<<42).Draw(t, "ms")), Key: nullable().Draw(t, "key"), Value: nullable().Draw(t, "value"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "headers") {
			key := rapid.OneOf(rapid.SampledFrom([]string{"", "a", "\xff"}), rapid.String()).Draw(t, "name")
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: key, Value: nullable().Draw(t, "header")})
		}
		return r
	})
}

func TestRecordLineRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyRecord().Draw(t, "record")
		line, err := recordLine(r)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsAny(line, "\n\r") {
			t.Fatalf("%q is more than a line", line)
		}
		got, err := parseRecordLine(string(line), client.ByKey)
		if err != nil || !sameRecord(r, got) {
			t.Fatalf("%s: %v\n%+v\n%+v", line, err, r, got)
		}
		again, err := recordLine(&kgo.Record{Topic: r.Topic, Offset: r.Offset, Partition: got.Partition, Timestamp: got.Timestamp, Key: got.Key, Value: got.Value, Headers: got.Headers})
		if err != nil || !bytes.Equal(line, again) {
			t.Fatalf("%s\n%s", line, again)
		}
	})
}

func TestRecordLineIsStable(t *testing.T) {
	r := &kgo.Record{Topic: "t", Partition: 1, Offset: 7, Timestamp: time.UnixMilli(1793534400000), Key: []byte("k<"), Value: nil,
		Headers: []kgo.RecordHeader{{Key: "h", Value: []byte{}}, {Key: "h", Value: []byte{0xff}}, {Key: "n"}}}
	want := `{"topic":"t","partition":1,"offset":7,"timestamp":1793534400000,"key":"k<","value":null,"headers":[` +
		`{"key":"h","value":""},{"key":"h","value":{"encoding":"base64","data":"/w=="}},{"key":"n","value":null}]}`
	if got, err := recordLine(r); err != nil || string(got) != want {
		t.Errorf("%s, %v\nwant %s", got, err, want)
	}
}

func TestParseRecordLine(t *testing.T) {
	for in, want := range map[string]*kgo.Record{
		`{"value":"v"}`:                                       {Partition: -1, Value: []byte("v")},
		`{"value":null,"key":""}`:                             {Partition: -1, Key: []byte{}},
		`{"value":"","partition":4,"timestamp":5}`:            {Partition: 4, Value: []byte{}, Timestamp: time.UnixMilli(5)},
		`{"value":{"encoding":"base64","data":""}}`:           {Partition: -1, Value: []byte{}},
		`{"value":"\ud83d\ude00 \\ud800"}`:                    {Partition: -1, Value: []byte("\U0001f600 \\ud800")},
		`{"value":"v","headers":[{"key":"a","value":null}]}`:  {Partition: -1, Value: []byte("v"), Headers: []kgo.RecordHeader{{Key: "a"}}},
		`{"value":"v","headers":null,"topic":"x","offset":1}`: {Partition: -1, Value: []byte("v")},
	} {
		got, err := parseRecordLine(in, client.ByKey)
		if err != nil || !sameRecord(got, want) {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
	for in, want := range map[string]string{
		`{}`: `no "value"`, `{"key":"k"}`: `no "value"`, ``: "EOF", `{"value":"v"} x`: "follows", `{"value":"v"}{}`: "follows",
		`{"value":1}`: "neither a string", `{"value":["a"]}`: "neither a string", `{"vlaue":"v"}`: "unknown field",
		`{"value":{"encoding":"hex","data":"ff"}}`: "base64", `{"value":{"encoding":"base64"}}`: "base64",
		`{"value":{"encoding":"base64","data":"%"}}`: "illegal base64", `{"value":{"encoding":"base64","data":"","x":1}}`: "unknown field",
		`{"value":"v","headers":[{"value":"x"}]}`: "has no key", `{"value":"\ud800"}`: "surrogate", `{"value":"\udc00\ud800"}`: "surrogate",
		`{"value":"\ud800\u0041"}`: "surrogate", `{"value":"v","partition":"1"}`: "partition", `{"value":"v","partition":3000000000}`: "partition",
	} {
		if got, err := parseRecordLine(in, client.ByKey); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v; want %q", in, got, err, want)
		}
	}
}

func FuzzParseRecordLine(f *testing.F) {
	for _, s := range []string{`{"value":"v","key":null,"headers":[{"key":"a","value":{"encoding":"base64","data":"/w=="}}],"partition":1,"timestamp":3}`, `{"value":"\ud83d\ude00"}`, `{"value":"\\"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := parseRecordLine(s, client.ByKey)
		if err != nil {
			return
		}
		if r.Partition == client.ByKey && r.Timestamp.IsZero() {
			r.Timestamp = time.UnixMilli(0)
		}
		line, err := recordLine(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseRecordLine(string(line), client.ByKey)
		if err != nil || !sameRecord(r, got) && !r.Timestamp.IsZero() {
			t.Fatalf("%q became %q: %v", s, line, err)
		}
	})
}

// readAll reads a source to its end or error.
func readAll(next source) (got []string, err error) {
	for {
		r, err := next()
		if err == io.EOF {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		s := fmt.Sprintf("%s=%s", r.Key, r.Value)
		if r.Value == nil {
			s = fmt.Sprintf("%s=NULL", r.Key)
		}
		if r.Partition >= 0 {
			s += fmt.Sprintf("@%d", r.Partition)
		}
		for _, h := range r.Headers {
			s += fmt.Sprintf(" %s:%s", h.Key, h.Value)
		}
		got = append(got, s)
	}
}

func TestSources(t *testing.T) {
	long := strings.Repeat("x", 200<<10)
	for _, c := range []struct {
		name string
		p    produce
		in   string
		want []string
		err  string
	}{
		{"lines", produce{input: "line"}, "a\n\nb\r\nc", []string{"=a", "=", "=b\r", "=c"}, ""},
		{"no lines", produce{input: "line"}, "", nil, ""},
		{"one line end", produce{input: "line"}, "\n", []string{"="}, ""},
		{"a long line", produce{input: "line"}, long + "\n" + long, []string{"=" + long, "=" + long}, ""},
		{"jsonl", produce{input: "jsonl"}, "{\"value\":\"a\"}\n\n {\"value\":null,\"key\":\"k\"} \n", []string{"=a", "k=NULL"}, ""},
		{"bad jsonl", produce{input: "jsonl"}, "{\"value\":\"a\"}\n\n{\"value\"}\n", []string{"=a"}, "line 3: "},
		{"csv", produce{input: "csv"}, "key,value,partition,header.a\nk,\"v\n1\",2,x\n,w,0,\n", []string{"k=v\n1@2 a:x", "=w@0 a:"}, ""},
		{"csv, bad number", produce{input: "csv"}, "value,partition\na,1\n\"b\nc\",x\n", []string{"=a@1"}, "line 4: "},
		{"csv, bad count", produce{input: "csv"}, "value,key\na,1\nb\n", []string{"1=a"}, "line 3"},
		{"csv, empty", produce{input: "csv"}, "", nil, ""},
		{"format", produce{layout: "%k:%v\n"}, "a:1\nb:\n", []string{"a=1", "b="}, ""},
		{"format, several bytes", produce{layout: "%k <> %v;;\n"}, "a <> 1;;\nb <> 2\n;;\n", []string{"a=1", "b=2\n"}, ""},
		{"format, cut", produce{layout: "%k:%v\n"}, "a:1\nb:2\nc:3", []string{"a=1", "b=2"}, "line 3, record 3: does not fit"},
		{"format, wrong delimiter", produce{layout: "%k;%v\n"}, "a;1\nb;2\nc:3\n", []string{"a=1", "b=2"}, "line 3, record 3: does not fit"},
		{"tombstone", produce{null: true}, "ignored", []string{"=NULL"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			next, err := c.p.source(strings.NewReader(c.in))
			if err != nil {
				t.Fatal(err)
			}
			got, err := readAll(next)
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", c.want) || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("%.200q, %v; want %.200q, %q", got, err, c.want, c.err)
			}
		})
	}
	for _, c := range []struct {
		p        produce
		in, want string
	}{
		{produce{layout: "%k\n"}, "", "no %v"},
		{produce{layout: "%v%Q"}, "", "--format"},
		{produce{input: "csv"}, "key,valeu\n", `column "valeu"`},
		{produce{input: "csv"}, "key\n", "no column"},
	} {
		if _, err := c.p.source(strings.NewReader(c.in)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v; want %q", c.p, err, c.want)
		}
	}
}
