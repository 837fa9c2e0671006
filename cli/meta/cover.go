// Pure.

package meta

import (
	"cmp"
	"math"
	"slices"
	"sort"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
)

// way is the best way on from an extent, or from a place before some.
type way struct {
	lost int64 // offsets that no extent of it holds
	end  int64 // where it ends
	new  int   // extents that the table does not have
	n    int   // extents
	next int   // index of the first one
}

// better orders ways: the one that loses least, then the one that reaches furthest, then the one that changes least in the table, then the one of
// the fewest extents.
func better(a, b way) bool {
	return cmp.Or(cmp.Compare(a.lost, b.lost), cmp.Compare(b.end, a.end), cmp.Compare(a.new, b.new), cmp.Compare(a.n, b.n)) < 0
}

// cover returns which of some segments, which may hold the same offsets as others, hold [from, to) together: none overlaps another one, and as
// few offsets as possible are in none of them, which is lost. They may reach beyond to, without a hole, as far as limit. Of two segments that
// begin together it is not always the longer one: what was to take the place of some may end in the middle of what did. Those that the table has
// are named: they are left as they are where nothing is lost by that.
func cover(segments []records.Extent, named map[uuid.UUID]bool, from, to, limit int64) (chosen []records.Extent, lost int64) {
	all := slices.DeleteFunc(slices.Clone(segments), func(e records.Extent) bool { return e.Base < from || e.Next > limit || e.Next <= e.Base })
	slices.SortFunc(all, func(a, b records.Extent) int { return cmp.Compare(a.Base, b.Base) })
	ways := make([]way, len(all)+1) // the best from extent i on or a later one, its hole counted from offset 0
	ways[len(all)] = way{lost: math.MaxInt64, next: len(all)}
	onward := func(at int64) way { // from an offset on
		stop := way{lost: max(0, to-at), end: max(to, at), next: len(all)}
		w := ways[sort.Search(len(all), func(i int) bool { return all[i].Base >= at })]
		if w.lost -= at; w.next < len(all) && better(w, stop) { // what ends beyond to goes on without a hole: stop loses nothing there
			return w
		}
		return stop
	}
	tails := make([]way, len(all)) // what follows extent i
	for i := len(all) - 1; i >= 0; i-- {
		w := onward(all[i].Next)
		tails[i] = w
		ways[i] = ways[i+1]
		mine := way{lost: all[i].Base + w.lost, end: w.end, new: w.new, n: w.n + 1, next: i}
		if !named[all[i].Segment] {
			mine.new++
		}
		if better(mine, ways[i]) {
			ways[i] = mine
		}
	}
	first := onward(from)
	for w := first; w.next < len(all); w = tails[w.next] {
		chosen = append(chosen, all[w.next])
	}
	return chosen, first.lost
}
