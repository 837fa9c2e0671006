package bundle

import (
	"errors"
	"math"
	"slices"
	"testing"
)

// lie changes an example so that it is none of its kind any more.
type lie struct {
	name string
	make func(f *Footer)
}

// n is the length of the example's batch.
const n = uint32(len(exampleBatch) / 2)

// What is no pack is refused, each for one reason.
func TestCheckOfPacks(t *testing.T) {
	refuses(t, examplePack, []lie{
		{"operation", func(f *Footer) { f.Ops = []Op{{Kind: OpSlotOpen}} }},
		{"reference", func(f *Footer) { f.Refs = []Ref{{Here}} }},
		{"object", func(f *Footer) { f.Objects = []Object{{Kind: WAL, Size: 100}} }},
		{"partition", func(f *Footer) { f.Partitions = []Partition{{}} }},
		{"sparse index", func(f *Footer) { f.Sparse = []Sparse{{Batches: 1}} }},
		{"no batches", func(f *Footer) { f.Batches = nil }},
		{"same offset twice", func(f *Footer) { twice(f, 0) }},
		{"offsets fall", func(f *Footer) { twice(f, 0); f.Runs[1].Base, f.Runs[1].Next = 40, 41 }},
		{"partitions fall", func(f *Footer) { twice(f, 1); f.Runs[1].Partition = 0 }},
		{"slots fall", func(f *Footer) { twice(f, 1); f.Slots, f.Runs[1].Slot = nil, 6 }},
		{"topics fall", func(f *Footer) {
			twice(f, 1)
			f.Topics = append(f.Topics, Topic{Name: "first by its UUID"})
			f.Runs[1].Topic = 1
		}},
	})
}

// And what is no segment.
func TestCheckOfSegments(t *testing.T) {
	refuses(t, exampleSegment, []lie{
		{"operation", func(f *Footer) { f.Ops = []Op{{Kind: OpSlotOpen}} }},
		{"batches", func(f *Footer) {
			f.Batches = []Batch{{Len: n}, {PosDelta: n, Len: n, OffsetDelta: 1}, {Len: n}}
		}},
		{"no sparse index", func(f *Footer) { f.Sparse = nil }},
		{"sparse index of no run", func(f *Footer) { f.Runs = nil }},
		{"sparse index begins later", func(f *Footer) { f.Runs = f.Runs[1:] }},
		{"another partition", func(f *Footer) { f.Runs[1].Partition = 2 }},
		{"another slot", func(f *Footer) { f.Runs[1].Slot = 8 }},
		{"a gap", func(f *Footer) { f.Runs[1].Base, f.Runs[1].Next = 45, 46 }},
		{"an overlap", func(f *Footer) { f.Runs[1].Base = 43 }},
		{"the epoch falls", func(f *Footer) { f.Runs[1].LeaderEpoch = 2 }},
		{"no entries of its own", func(f *Footer) { f.Runs[1].FirstBatch = 0 }},
		{"entries of none", func(f *Footer) { f.Runs[1].FirstBatch = 3 }},
		{"entries from 2^32-1", func(f *Footer) { f.Runs[1].FirstBatch = math.MaxUint32 }},
		{"first byte", func(f *Footer) { f.Sparse[0].PosDelta = 1 }},
		{"first offset", func(f *Footer) {
			f.Sparse[0].OffsetDelta, f.Sparse[1].OffsetDelta = 1, 2
			f.Runs[0].Next, f.Runs[1].Base, f.Runs[1].Next = 45, 45, 46
		}},
		{"bytes fall", func(f *Footer) {
			f.Runs[0].Next, f.Runs[1].Base, f.Runs[1].Next = 45, 45, 46
			f.Runs[0].Batches, f.Runs[0].Len, f.Runs[1].Pos, f.Runs[1].FirstBatch = 3, 3*n, f.Runs[1].Pos+uint64(n), 3
			more := f.Sparse[1]
			more.OffsetDelta, more.PosDelta = 2, n-1
			f.Sparse = slices.Insert(f.Sparse, 2, more)
		}},
		{"bytes stand still", func(f *Footer) { f.Sparse[1].PosDelta = 0 }},
		{"offsets stand still", func(f *Footer) { f.Sparse[1].OffsetDelta = 0 }},
		{"bytes beyond the run", func(f *Footer) { f.Sparse[1].PosDelta = 2 * n }},
		{"offset beyond the run", func(f *Footer) { f.Sparse[1].OffsetDelta = 2 }},
		{"offset of 2^32-1", func(f *Footer) { f.Sparse[1].OffsetDelta = math.MaxUint32 }},
		{"no batches in a stretch", func(f *Footer) { f.Sparse[0].Batches, f.Runs[0].Batches = 0, 1 }},
		{"batches above bytes", func(f *Footer) { f.Sparse[1].PosDelta = minBatch - 1 }},
		{"batches above the run's", func(f *Footer) { f.Runs[0].Batches = 1 }},
		{"timestamps fall", func(f *Footer) { f.Sparse[0].MaxTimestamp++ }},
		{"timestamp of the run", func(f *Footer) { f.Runs[0].MaxTimestamp++ }},
	})
}

func TestSparseIndexOfOtherKinds(t *testing.T) {
	for _, kind := range []Kind{WAL, SNAP, DATA} {
		f := &Footer{Sparse: []Sparse{{Batches: 1}}}
		if err := f.Check(kind, HeaderLen); !errors.Is(err, ErrCorrupt) {
			t.Errorf("a sparse index in a %v: %v", kind, err)
		}
	}
}

func refuses(t *testing.T, example func(testing.TB) (Header, []byte, *Footer), lies []lie) {
	t.Helper()
	for _, l := range lies {
		h, body, f := example(t)
		body = slices.Concat(AppendHeader(nil, h), body, make([]byte, 4*n)) // room for what a change adds
		l.make(f)
		if err := f.Check(h.Kind, int64(len(body))); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%v, %s: %v", h.Kind, l.name, err)
		}
		b := AppendFooter(body, h.Kind, f)
		if _, _, err := ParseTail(b, int64(len(b))); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%v, %s, read: %v", h.Kind, l.name, err)
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
