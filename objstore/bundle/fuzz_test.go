package bundle

import (
	"bytes"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"
)

// seeds are the footers' sections of honest objects, and lies: counts, lengths, indexes far above what is there.
func seeds(f *testing.F) {
	for seed := range uint64(10) {
		kind := 1 + Kind(seed%5)
		foot, pos := randomFooter(rand.New(rand.NewPCG(seed, 9)), kind)
		b := object(Header{Kind: kind}, foot, pos)
		f.Add(b[pos:len(b)-TrailerLen], byte(kind), uint32(pos))
	}
	f.Add(AppendFooter(nil, WAL, good()), byte(WAL), uint32(goodPos))
	f.Add([]byte{3, 0, 0xff, 0xff, 0xff, 0xff}, byte(WAL), uint32(64))
	f.Add(sec(secRuns, bytes.Repeat([]byte{0xff}, runRow)), byte(SEG), uint32(math.MaxUint32))
	f.Add(sec(secProducers, bytes.Repeat([]byte{0xff}, producerRow)), byte(SNAP), uint32(64))
	f.Add(sec(secTopics, make([]byte, topicRow*100)), byte(PACK), uint32(64))
	f.Add(sec(secOps, bytes.Repeat([]byte{0xff}, opRow)), byte(WAL), uint32(64))
	f.Add(sec(secSparse, bytes.Repeat([]byte{0xff}, sparseRow)), byte(SEG), uint32(64))
	golden, err := filepath.Glob("testdata/v1/*.bin")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range golden {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, byte(WAL), uint32(64))
	}
}

func FuzzParseTail(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, sections []byte, kind byte, pos uint32) {
		_, _, _ = ParseTail(sections, int64(pos))
		// With a right trailer and CRC, as somebody who can write to the bucket would. The body need not be there.
		size := int64(pos) + int64(len(sections)) + TrailerLen
		tail := appendTrailer(append([]byte(nil), sections...), 0, Kind(kind))
		le.PutUint64(tail[len(sections):], uint64(pos))
		resum(t, tail)
		used := uint64(math.MaxUint64)
		for range 3 { // the least of three: the fuzzer itself allocates beside
			used = min(used, allocated(func() { _, _, _ = ParseTail(tail, size) }))
		}
		if used > 4*uint64(len(tail))+4096 {
			t.Fatalf("%d bytes allocated for %d", used, len(tail))
		}
		foot, k, err := ParseTail(tail, size)
		if err != nil {
			return
		}
		for i := range foot.Runs {
			if r := &foot.Runs[i]; r.Pos+uint64(r.Len) > math.MaxInt64 || len(foot.Batches) > 0 && foot.BatchesOf(r) == nil {
				t.Fatalf("run %+v", *r)
			}
		}
		again := AppendFooter(nil, k, foot)
		if len(again) != FooterSize(foot) {
			t.Fatal(len(again), FooterSize(foot))
		}
		le.PutUint64(again[len(again)-TrailerLen:], uint64(pos))
		back, _, err := ParseTail(resum(t, again), int64(pos)+int64(len(again)))
		if err != nil || !reflect.DeepEqual(back, foot) {
			t.Fatal("written again it reads otherwise:", err)
		}
	})
}

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func FuzzParseHeader(f *testing.F) {
	f.Add(AppendHeader(nil, Header{Kind: WAL, Seq: 1}))
	f.Add([]byte(headMagic))
	f.Add(bytes.Repeat([]byte{0xff}, HeaderLen))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHeader(b)
		if err != nil {
			return
		}
		again := AppendHeader(nil, h)
		if got, err := ParseHeader(again); err != nil || got != h {
			t.Fatal(got, err)
		}
	})
}

func FuzzVerify(f *testing.F) {
	f.Add(object(Header{Kind: WAL}, good(), goodPos))
	f.Add(wrap(SNAP, HeaderLen, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = Verify(b)
		if len(b) < HeaderLen+TrailerLen {
			return
		}
		// The same with headers and sums that pass.
		kind := 1 + Kind(b[10]%5)
		b = append(AppendHeader(nil, Header{Kind: kind}), b[HeaderLen:]...)
		n := len(b) - TrailerLen
		pos := HeaderLen + int(le.Uint32(b[n:]))%(n-HeaderLen+1)
		_, _ = Verify(appendTrailer(b[:n], pos, kind))
	})
}
