package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"
)

// nasty are records that a careless round trip changes.
func nasty() (all []*kgo.Record) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	binary := bytes.Clone(large)
	for i := range binary {
		binary[i] ^= byte(i * 7)
	}
	odd := [][]byte{
		nil, {}, []byte("null"), []byte(`"`), []byte(`\`), []byte("a\r\nb\n"), []byte("\xef\xbb\xbfbom"), []byte("\xff"), []byte("\xed\xa0\x80"), []byte("\xc0\x80"),
		[]byte("\u2028\u2029\u0085"), []byte("<>&'"), []byte(`\u0000`), []byte(`{"encoding":"base64","data":"AA=="}`), []byte("\x00"), every,
	}
	for _, a := range odd {
		for _, b := range odd {
			all = append(all, &kgo.Record{Key: a, Value: b, Headers: []kgo.RecordHeader{{Key: string(b), Value: a}, {Key: string(b), Value: b}, {Key: "", Value: nil}}})
		}
	}
	all = append(all, &kgo.Record{Value: large}, &kgo.Record{Key: binary[:300<<10], Value: binary[:700<<10]})
	for _, ms := range []int64{0, 1, 999, 1 << 31, 1 << 32, 4102444800000, lastTime.UnixMilli()} {
		all = append(all, &kgo.Record{Value: []byte("t"), Timestamp: time.UnixMilli(ms)})
	}
	for i, r := range all {
		r.Topic, r.Partition = "t", int32(i%3)
		if r.Timestamp.IsZero() {
			r.Timestamp = time.UnixMilli(1793534400000 + int64(i))
		}
	}
	return all
}

// perPartition parts lines by their partition: their order is kept within one only.
func perPartition(t *testing.T, text string) (parts [3]string) {
	t.Helper()
	for line := range strings.Lines(text) {
		r, err := parseRecordLine(line, -1)
		if err != nil {
			t.Fatal(err)
		}
		parts[r.Partition] += line
	}
	return parts
}

// anyTime lets a topic take records from the far future.
const anyTime = "message.timestamp.after.max.ms=9223372036854775807"

// TestRoundTripIsByteExact: on a live server, the lines that consume prints, written by produce, print the same again, with
// the same offsets, whatever is in them and however they are compressed; and what was written first is what they say.
func TestRoundTripIsByteExact(t *testing.T) {
	s := start(t, "kcat", "dev", "--memory").shell()
	records := nasty()
	for i := range 300 {
		r := anyRecord().Example(i)
		r.Timestamp = r.Timestamp.Add(2 * time.Millisecond)
		records = append(records, r)
	}
	for _, topic := range []string{"t", "zstd", "gzip", "two"} {
		s.ok("", "topic", "create", topic, "-p", "3", "-c", "max.message.bytes=4000000", "-c", anyTime)
	}
	s.write(records...)
	first := s.ok("", "consume", "t", "--exit-at-end", "-o", "jsonl")
	want := perPartition(t, first)
	var next [3]int
	var of [3][]*kgo.Record
	for _, r := range records {
		of[r.Partition] = append(of[r.Partition], r)
	}
	for p, part := range want {
		for line := range strings.Lines(part) {
			got, err := parseRecordLine(line, -1)
			if err != nil || next[p] >= len(of[p]) || !sameRecord(of[p][next[p]], got) {
				t.Fatalf("partition %d, record %d: %v, %.300s", p, next[p], err, line)
			}
			next[p]++
		}
		if next[p] != len(of[p]) {
			t.Fatalf("partition %d: %d of %d records", p, next[p], len(of[p]))
		}
	}
	late := `{"value":"v","timestamp":9223372036855}`
	if r := s.run(`{"value":"v"}`+"\n"+late, "produce", "two", "--input", "jsonl"); r.code != exitFailed || !strings.Contains(r.err, "record 2: its timestamp is not between") {
		t.Errorf("a timestamp that cannot be written: %+v", r)
	}
	s.fails(exitFailed, "record 1: its timestamp", "produce", "two", "--input", "csv", "--file", inFile(t, "value,timestamp\nv,-9223372036855\n"))
	s.ok("", "topic", "create", "none", "-p", "3", "-c", "max.message.bytes=4000000", "-c", anyTime)
	for topic, codec := range map[string]string{"zstd": "zstd", "gzip": "gzip", "none": "none"} {
		s.ok(first, "produce", topic, "--input", "jsonl", "--compress", codec)
		second := s.ok("", "consume", topic, "--exit-at-end", "-o", "jsonl")
		got := perPartition(t, strings.ReplaceAll(second, `{"topic":"`+topic+`",`, `{"topic":"t",`))
		for p := range want {
			if got[p] != want[p] {
				t.Errorf("%s, partition %d: %d bytes came back, not the %d that went in", topic, p, len(got[p]), len(want[p]))
			}
		}
	}
}

// TestRoundTripProperty is the same for batches of records that rapid shrinks to the smallest that fails.
func TestRoundTripProperty(t *testing.T) {
	s := start(t, "kcat", "dev", "--memory").shell()
	for _, topic := range []string{"t", "u"} {
		s.ok("", "topic", "create", topic, "-p", "3", "-c", anyTime)
	}
	seen := 0 // records in each topic before this round
	rapid.Check(t, func(rt *rapid.T) {
		r := anyRecord().Draw(rt, "record")
		if r.Timestamp.UnixMilli() < 0 {
			r.Timestamp = time.UnixMilli(0)
		}
		r.Topic, r.Partition = "t", 0
		s.write(r)
		bounds := []string{"-p", "0", "--exit-at-end", "-o", "jsonl", "--tail", "1"}
		first := s.ok("", append([]string{"consume", "t"}, bounds...)...)
		s.ok(first, "produce", "u", "--input", "jsonl")
		second := s.ok("", append([]string{"consume", "u"}, bounds...)...)
		if want := strings.Replace(first, `{"topic":"t"`, `{"topic":"u"`, 1); second != want {
			rt.Fatalf("%swant\n%s", second, want)
		}
		seen++
	})
	if n := strings.Count(s.ok("", "consume", "u", "--exit-at-end", "-o", "jsonl"), "\n"); n != seen {
		t.Errorf("%d records of %d", n, seen)
	}
}

func inFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
