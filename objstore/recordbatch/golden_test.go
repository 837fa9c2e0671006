package recordbatch

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
)

// exampleRecords are those of every file in testdata/v2 but commit.bin.
func exampleRecords() []Record {
	return []Record{
		{Offset: 42, Timestamp: 1_700_000_000_000, Key: []byte("k1"), Value: []byte("hello")},
		{Offset: 43, Timestamp: 1_700_000_000_007, Value: []byte{}, Headers: []Header{{Key: "h", Value: []byte{1}}, {Key: "n"}}},
	}
}

func exampleBuilder(c Codec) Builder {
	return Builder{BaseOffset: 42, LeaderEpoch: 3, Codec: c, Producer: &Producer{ID: 1000, Epoch: 1, Sequence: 7}}
}

func exampleMarker() Marker {
	return Marker{BaseOffset: 44, LeaderEpoch: 3, ProducerID: 1000, ProducerEpoch: 1, CoordinatorEpoch: 9, Timestamp: 1_700_000_000_010, Commit: true}
}

func golden(t *testing.T, name string) Batch {
	t.Helper()
	raw, err := os.ReadFile("testdata/v2/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestGolden(t *testing.T) {
	for _, name := range []string{"none.bin", "gzip.bin", "snappy.bin", "xerial.bin", "lz4.bin", "zstd.bin"} {
		b := golden(t, name)
		if err := b.Check(); err != nil {
			t.Fatal(name, err)
		}
		rs, err := all(b, 1000)
		want := exampleRecords()
		if err != nil || len(rs) != 2 || !sameRecord(rs[0], want[0]) || !sameRecord(rs[1], want[1]) {
			t.Fatalf("%s: %+v %v", name, rs, err)
		}
	}
	if m, ok, err := ParseControl(golden(t, "commit.bin")); m != exampleMarker() || !ok || err != nil {
		t.Fatal(m, ok, err)
	}
	// compressors may change their output, the rest may not
	if b := build(t, exampleBuilder(None), exampleRecords()); !bytes.Equal(b, golden(t, "none.bin")) {
		t.Fatalf("none.bin is written otherwise:\n%s", hex.Dump(b))
	}
	if b := AppendControl(nil, exampleMarker()); !bytes.Equal(b, golden(t, "commit.bin")) {
		t.Fatalf("commit.bin is written otherwise:\n%s", hex.Dump(b))
	}
}

// TestFormatPage compares the example of FORMAT.md with the golden file.
func TestFormatPage(t *testing.T) {
	page, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fromPage(t, string(page)), golden(t, "none.bin"); !bytes.Equal(got, want) {
		t.Fatalf("the page has\n%s\nthe file\n%s", hex.Dump(got), hex.Dump(want))
	}
}

// fromPage collects the bytes of the block that opens with ```hex. A line: offset, two spaces, bytes, two spaces, remark.
func fromPage(t *testing.T, page string) (out []byte) {
	_, block, ok := strings.Cut(page, "```hex\n")
	block, _, end := strings.Cut(block, "```")
	if !ok || !end {
		t.Fatal("no example")
	}
	for line := range strings.Lines(block) {
		parts := strings.SplitN(strings.TrimSpace(line), "  ", 3)
		b, err := hex.DecodeString(strings.ReplaceAll(parts[1], " ", ""))
		if err != nil || parts[0] != fmt.Sprintf("%04x", len(out)) {
			t.Fatalf("line %q: %v", line, err)
		}
		out = append(out, b...)
	}
	return out
}
