package bundle

import (
	"errors"
	"math"
	"slices"
	"testing"
)

// What is no pack and no segment is refused, each for one reason.
func TestCheckOfKinds(t *testing.T) {
	n := uint32(len(exampleBatch) / 2)
	type change struct {
		kind Kind
		name string
		make func(f *Footer)
	}
	for _, c := range []change{
		{PACK, "operation", func(f *Footer) { f.Ops = []Op{{Kind: OpSlotOpen}} }},
		{PACK, "reference", func(f *Footer) { f.Refs = []Ref{{Here}} }},
		{PACK, "object", func(f *Footer) { f.Objects = []Object{{Kind: WAL, Size: 100}} }},
		{PACK, "partition", func(f *Footer) { f.Partitions = []Partition{{}} }},
		{PACK, "sparse index", func(f *Footer) { f.Sparse = []Sparse{{Batches: 1}} }},
		{PACK, "no batches", func(f *Footer) { f.Batches = nil }},
		{PACK, "same offset twice", func(f *Footer) { twice(f, 0) }},
		{PACK, "offsets fall", func(f *Footer) { twice(f, 0); f.Runs[1].Base, f.Runs[1].Next = 40, 41 }},
		{PACK, "partitions fall", func(f *Footer) { twice(f, 1); f.Runs[1].Partition = 0 }},
		{PACK, "slots fall", func(f *Footer) { twice(f, 1); f.Slots, f.Runs[1].Slot = nil, 6 }},
		{PACK, "topics fall", func(f *Footer) {
			twice(f, 1)
			f.Topics = append(f.Topics, Topic{Name: "first by its UUID"})
			f.Runs[1].Topic = 1
		}},
		{SEG, "operation", func(f *Footer) { f.Ops = []Op{{Kind: OpSlotOpen}} }},
		{SEG, "batches", func(f *Footer) {
			f.Batches = []Batch{{Len: n}, {PosDelta: n, Len: n, OffsetDelta: 1}, {Len: n}}
		}},
		{SEG, "no sparse index", func(f *Footer) { f.Sparse = nil }},
		{SEG, "sparse index of no run", func(f *Footer) { f.Runs = nil }},
		{SEG, "sparse index begins later", func(f *Footer) { f.Runs = f.Runs[1:] }},
		{SEG, "another partition", func(f *Footer) { f.Runs[1].Partition = 2 }},
		{SEG, "another slot", func(f *Footer) { f.Runs[1].Slot = 8 }},
		{SEG, "a gap", func(f *Footer) { f.Runs[1].Base, f.Runs[1].Next = 45, 46 }},
		{SEG, "an overlap", func(f *Footer) { f.Runs[1].Base = 43 }},
		{SEG, "the epoch falls", func(f *Footer) { f.Runs[1].LeaderEpoch = 2 }},
		{SEG, "no entries of its own", func(f *Footer) { f.Runs[1].FirstBatch = 0 }},
		{SEG, "entries of none", func(f *Footer) { f.Runs[1].FirstBatch = 3 }},
		{SEG, "entries from 2^32-1", func(f *Footer) { f.Runs[1].FirstBatch = math.MaxUint32 }},
		{SEG, "first byte", func(f *Footer) { f.Sparse[0].PosDelta = 1 }},
		{SEG, "first offset", func(f *Footer) {
			f.Sparse[0].OffsetDelta, f.Sparse[1].OffsetDelta = 1, 2
			f.Runs[0].Next, f.Runs[1].Base, f.Runs[1].Next = 45, 45, 46
		}},
		{SEG, "bytes fall", func(f *Footer) {
			f.Runs[0].Next, f.Runs[1].Base, f.Runs[1].Next = 45, 45, 46
			f.Runs[0].Batches, f.Runs[0].Len, f.Runs[1].Pos, f.Runs[1].FirstBatch = 3, 3*n, f.Runs[1].Pos+uint64(n), 3
			more := f.Sparse[1]
			more.OffsetDelta, more.PosDelta = 2, n-1
			f.Sparse = slices.Insert(f.Sparse, 2, more)
		}},
		{SEG, "bytes stand still", func(f *Footer) { f.Sparse[1].PosDelta = 0 }},
		{SEG, "offsets stand still", func(f *Footer) { f.Sparse[1].OffsetDelta = 0 }},
		{SEG, "bytes beyond the run", func(f *Footer) { f.Sparse[1].PosDelta = 2 * n }},
		{SEG, "offset beyond the run", func(f *Footer) { f.Sparse[1].OffsetDelta = 2 }},
		{SEG, "offset of 2^32-1", func(f *Footer) { f.Sparse[1].OffsetDelta = math.MaxUint32 }},
		{SEG, "no batches in a stretch", func(f *Footer) { f.Sparse[0].Batches, f.Runs[0].Batches = 0, 1 }},
		{SEG, "batches above bytes", func(f *Footer) { f.Sparse[1].PosDelta = minBatch - 1 }},
		{SEG, "batches above the run's", func(f *Footer) { f.Runs[0].Batches = 1 }},
		{SEG, "timestamps fall", func(f *Footer) { f.Sparse[0].MaxTimestamp++ }},
		{SEG, "timestamp of the run", func(f *Footer) { f.Runs[0].MaxTimestamp++ }},
	} {
		h, body, f := examplePack(t)
		if c.kind == SEG {
			h, body, f = exampleSegment(t)
		}
		body = slices.Concat(AppendHeader(nil, h), body, make([]byte, 4*n)) // room for what a change adds
		c.make(f)
		if err := f.Check(c.kind, int64(len(body))); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%v, %s: %v", c.kind, c.name, err)
		}
		b := AppendFooter(body, c.kind, f)
		if _, _, err := ParseTail(b, int64(len(b))); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%v, %s, read: %v", c.kind, c.name, err)
		}
	}
	for _, kind := range []Kind{WAL, SNAP, DATA} {
		f := &Footer{Sparse: []Sparse{{Batches: 1}}}
		if err := f.Check(kind, HeaderLen); !errors.Is(err, ErrCorrupt) {
			t.Errorf("a sparse index in a %v: %v", kind, err)
		}
	}
}

// twice adds the run of the example once more, so many partitions on.
func twice(f *Footer, partitions int32) {
	r := f.Runs[0]
	r.Partition, r.Pos, r.FirstBatch = r.Partition+partitions, r.Pos+uint64(r.Len), 1
	f.Runs, f.Batches = append(f.Runs, r), append(f.Batches, f.Batches[0])
	f.Slots[0].Runs = 2
}

func TestSparseOf(t *testing.T) {
	_, _, f := exampleSegment(t)
	if a, b := f.SparseOf(0), f.SparseOf(1); len(a) != 2 || cap(a) != 2 || a[1].OffsetDelta != 1 || len(b) != 1 || &b[0] != &f.Sparse[2] {
		t.Fatalf("%+v, %+v", a, b)
	}
	f.Sparse = nil
	if f.SparseOf(0) != nil || f.SparseOf(1) != nil {
		t.Fatal("entries out of nothing")
	}
}
