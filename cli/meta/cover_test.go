package meta

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
)

func spans(bounds ...int64) (all []records.Extent) {
	for i := 0; i < len(bounds); i += 2 {
		all = append(all, records.Extent{Base: bounds[i], Next: bounds[i+1]})
	}
	slices.SortFunc(all, func(a, b records.Extent) int { return cmp.Compare(a.Base, b.Base) })
	return all
}

func TestCover(t *testing.T) {
	for _, c := range []struct {
		what     string
		segments []records.Extent
		want     []records.Extent
	}{
		{"none", nil, nil},
		{"side by side", spans(0, 10, 10, 30), spans(0, 10, 10, 30)},
		{"a merge beside what it was made of", spans(0, 10, 10, 20, 0, 20, 20, 30), spans(0, 20, 20, 30)},
		{"one that was never linked, across two that were", spans(0, 20, 0, 10, 10, 30), spans(0, 10, 10, 30)},
		{"with a hole", spans(0, 10, 15, 30, 12, 20), spans(0, 10, 15, 30)},
		{"beyond the end", spans(0, 10, 10, 40, 10, 20), spans(0, 10, 10, 20)},
		{"before the begin", spans(-5, 10, 5, 10), spans(5, 10)},
	} {
		if got, _ := cover(c.segments, nil, 0, 30, 30); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}

// Of random segments no other choice holds more offsets.
func TestCoverIsTheBest(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 2000 {
		var bounds []int64
		for range r.IntN(9) {
			base := r.Int64N(12)
			bounds = append(bounds, base, base+1+r.Int64N(6))
		}
		all := spans(bounds...)
		held := func(chosen []records.Extent) (n int64) {
			at := int64(0)
			for _, e := range chosen {
				if e.Base < at || e.Next > 14 {
					return -1
				}
				at, n = e.Next, n+e.Next-e.Base
			}
			return n
		}
		most, fewest := int64(0), 0
		for set := range 1 << len(all) {
			var some []records.Extent
			for i := range all {
				if set>>i&1 == 1 {
					some = append(some, all[i])
				}
			}
			if n := held(some); n > most || n == most && len(some) < fewest {
				most, fewest = n, len(some)
			}
		}
		if got, lost := cover(all, nil, 0, 14, 14); held(got) != most || lost != 14-most || len(got) != fewest {
			t.Fatalf("of %v it takes %v: %d offsets in %d, want %d in %d", all, got, held(got), len(got), most, fewest)
		}
	}
}

// What the table has stays where nothing is lost by that: a wider merge that nobody has linked yet is its writer's.
func TestCoverLeavesWhatIsNamed(t *testing.T) {
	all := spans(0, 10, 10, 20, 0, 20, 20, 30, 12, 30)
	named := map[uuid.UUID]bool{}
	for i := range all {
		all[i].Segment = uuid.New()
		named[all[i].Segment] = all[i].Next-all[i].Base == 10
	}
	got, lost := cover(all, named, 0, 30, 30)
	if lost != 0 || len(got) != 3 || got[0].Next != 10 || got[1].Next != 20 {
		t.Error(got, lost)
	}
	got, lost = cover(slices.DeleteFunc(all, func(e records.Extent) bool { return e.Base == 10 }), named, 0, 30, 30)
	if lost != 0 || len(got) != 2 || got[0].Next != 20 || !named[got[1].Segment] {
		t.Error(got, lost)
	}
}
