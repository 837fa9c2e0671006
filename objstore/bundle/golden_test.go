package bundle

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// exampleBatch is a record batch: offset 42, one record.
const exampleBatch = "000000000000002a000000390000000302ba9febef0000000000000000018bcfe568000000018bcfe5680000000000000003e8" +
	"000100000007000000010e00000001027800"

var (
	exampleCluster = uuid.MustParse("00010203-0405-0607-0809-0a0b0c0d0e0f")
	exampleSession = uuid.MustParse("10111213-1415-1617-1819-1a1b1c1d1e1f")
	exampleTopic   = uuid.MustParse("20212223-2425-2627-2829-2a2b2c2d2e2f")
)

// exampleWAL is the object of testdata/v1/wal.bin.
func exampleWAL(t testing.TB) (Header, []byte, *Footer) {
	batch, err := hex.DecodeString(exampleBatch)
	if err != nil {
		t.Fatal(err)
	}
	const ts = 1_700_000_000_000
	n := uint32(len(batch))
	crc := uint32(batch[17])<<24 | uint32(batch[18])<<16 | uint32(batch[19])<<8 | uint32(batch[20])
	return Header{Kind: WAL, Cluster: exampleCluster, Session: exampleSession, Seq: 5}, batch, &Footer{
		Topics: []Topic{{ID: exampleTopic, Name: "orders"}},
		Slots:  []Slot{{Slot: 7, Epoch: 3, FirstRun: 0, Runs: 1}},
		Runs: []Run{{Topic: 0, Partition: 1, Slot: 7, LeaderEpoch: 3, Base: 42, Next: 43, Pos: HeaderLen, Len: n, Batches: 1,
			MaxTimestamp: ts, Digest: uint32(RunDigest(exampleTopic, 1, 3, 42, crc))}},
		Batches: []Batch{{Len: n, MaxTimestamp: ts, ProducerID: 1000, ProducerEpoch: 1, BaseSequence: 7, Records: 1}},
		Ops:     []Op{{Kind: OpSlotOpen, Slot: 7, Epoch: 3, Key: "snap"}},
	}
}

// exampleSnap is the object of testdata/v1/snap.bin: the state after that WAL object.
func exampleSnap(t testing.TB) (Header, *Footer) {
	h, batch, f := exampleWAL(t)
	h.Kind = SNAP
	f.Topics[0].Partitions = 2
	f.Ops = []Op{{Kind: OpLogStart, Partition: 1, Offset: 40}}
	f.Objects = []Object{{Kind: WAL, Session: exampleSession, Seq: 5, Size: HeaderLen + uint64(len(batch))}}
	f.Refs = []Ref{{Object: 0}}
	f.Partitions = []Partition{
		{Partition: 0, Slot: 7, LogStart: 0, LogEnd: 0},
		{Partition: 1, Slot: 7, LogStart: 40, LogEnd: 43, Epochs: 2, Producers: 1},
	}
	f.Epochs = []Epoch{{Epoch: 1, Start: 0}, {Epoch: 3, Start: 42}}
	f.Producers = []Producer{{ID: 1000, Epoch: 1, LastTimestamp: 1_700_000_000_000, Last: []Appended{
		{FirstSeq: 5, LastSeq: 6, FirstOffset: 40, LastOffset: 41, Timestamp: -1},
		{FirstSeq: 7, LastSeq: 7, FirstOffset: 42, LastOffset: 42, Timestamp: -1},
	}}}
	return h, f
}

// examplePack is the object of testdata/v1/pack.bin: the run of that WAL object, alone.
func examplePack(t testing.TB) (Header, []byte, *Footer) {
	h, batch, f := exampleWAL(t)
	h.Kind, h.Seq = PACK, 0
	f.Ops = nil
	return h, batch, f
}

// exampleSegment is the object of testdata/v1/seg.bin: that batch, twice as of one epoch and once of a later one.
func exampleSegment(t testing.TB) (Header, []byte, *Footer) {
	h, batch, f := examplePack(t)
	h.Kind = SEG
	n, body := uint32(len(batch)), bytes.Repeat(batch, 3)
	body[n+7], body[2*n+7], body[2*n+15] = 43, 44, 4 // two offsets, one epoch
	first := f.Runs[0]
	crc := uint32(batch[17])<<24 | uint32(batch[18])<<16 | uint32(batch[19])<<8 | uint32(batch[20])
	first.Next, first.Len, first.Batches, first.Digest = 44, 2*n, 2, uint32(RunDigest(exampleTopic, 1, 3, 42, crc, crc))
	second := first
	second.LeaderEpoch, second.Base, second.Next, second.Pos, second.Len, second.Batches = 4, 44, 45, first.Pos+2*uint64(n), n, 1
	second.FirstBatch, second.Digest = 2, uint32(RunDigest(exampleTopic, 1, 4, 44, crc))
	f.Slots, f.Batches, f.Runs = nil, nil, []Run{first, second}
	f.Sparse = []Sparse{
		{MaxTimestamp: first.MaxTimestamp, Batches: 1},
		{OffsetDelta: 1, PosDelta: n, MaxTimestamp: first.MaxTimestamp, Batches: 1},
		{MaxTimestamp: first.MaxTimestamp, Batches: 1},
	}
	return h, body, f
}

func TestGolden(t *testing.T) {
	h, batch, f := exampleWAL(t)
	testGolden(t, "wal.bin", h, batch, f)
	h, f = exampleSnap(t)
	testGolden(t, "snap.bin", h, nil, f)
	h, batch, f = examplePack(t)
	testGolden(t, "pack.bin", h, batch, f)
	h, batch, f = exampleSegment(t)
	testGolden(t, "seg.bin", h, batch, f)
}

func testGolden(t *testing.T, name string, h Header, body []byte, f *Footer) {
	want, err := os.ReadFile("testdata/v1/" + name)
	if err != nil {
		t.Fatal(err)
	}
	got := AppendFooter(append(AppendHeader(nil, h), body...), h.Kind, f)
	if !bytes.Equal(got, want) {
		t.Fatalf("%s is written otherwise:\n%s", name, hex.Dump(got))
	}
	r, err := Verify(want)
	if err != nil || r.Header != h || !reflect.DeepEqual(r.Footer, f) {
		t.Fatalf("%s is read otherwise: %+v, %v", name, r, err)
	}
}

// TestDigestIsCRC32C holds the digest to what FORMAT.md says, by another way of computing it.
func TestDigestIsCRC32C(t *testing.T) {
	b := append([]byte{}, exampleTopic[:]...)
	b = le.AppendUint32(b, 1)
	b = le.AppendUint32(b, 3)
	b = le.AppendUint64(b, 42)
	b = le.AppendUint32(b, 0xdeadbeef)
	b = le.AppendUint32(b, 1)
	want := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	if got := RunDigest(exampleTopic, 1, 3, 42, 0xdeadbeef, 1); got != Digest(want) {
		t.Fatalf("%08x, not %08x", uint32(got), want)
	}
}

// TestFormatPage compares the example of FORMAT.md with the golden file.
func TestFormatPage(t *testing.T) {
	page, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/v1/wal.bin")
	if err != nil {
		t.Fatal(err)
	}
	if got := fromPage(t, string(page)); !bytes.Equal(got, want) {
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
