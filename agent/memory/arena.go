// Pure.

package memory

import (
	"cmp"
	"slices"
)

// arena says which parts of a range of bytes are free. Small parts are taken at its lower end and large ones at its upper, each at the
// first place that fits, counted from there: so what is used lies together, and pages in the middle are touched by a peak alone.
type arena struct {
	size int64
	free []span // by address, no two of them adjacent
	used span   // what has stayed free between the ends since the last idle
	cold span   // what was never used, or not since it was given back to the system; holds no more than used
	out  int64  // bytes taken
}

// span is a range of bytes: from at, up to but without end.
type span struct{ at, end int64 }

func (s span) len() int64 { return max(0, s.end-s.at) }

// and returns what is in both.
func (s span) and(o span) span { return span{max(s.at, o.at), min(s.end, o.end)} }

// topShare is the part of the arena from which on a buffer counts as large.
const topShare = 16

func newArena(size int64) *arena {
	all := span{0, size}
	return &arena{size: size, free: []span{all}, used: all, cold: all}
}

// take finds n free bytes, n > 0.
func (a *arena) take(n int64) (at int64, ok bool) {
	if n > a.size/topShare {
		return a.takeTop(n)
	}
	for i := range a.free {
		f := &a.free[i]
		if f.len() < n {
			continue
		}
		at = f.at
		if f.at += n; f.len() == 0 {
			a.free = slices.Delete(a.free, i, i+1)
		}
		a.out += n
		a.used.at = max(a.used.at, at+n)
		a.cold.at = max(a.cold.at, at+n)
		return at, true
	}
	return 0, false
}

func (a *arena) takeTop(n int64) (at int64, ok bool) {
	for i := len(a.free) - 1; i >= 0; i-- {
		f := &a.free[i]
		if f.len() < n {
			continue
		}
		f.end -= n
		if at = f.end; f.len() == 0 {
			a.free = slices.Delete(a.free, i, i+1)
		}
		a.out += n
		a.used.end = min(a.used.end, at)
		a.cold.end = min(a.cold.end, at)
		return at, true
	}
	return 0, false
}

// give makes what was taken free again.
func (a *arena) give(at, n int64) {
	s := span{at, at + n}
	i, _ := slices.BinarySearchFunc(a.free, s, func(f, s span) int { return cmp.Compare(f.at, s.at) })
	before := i > 0 && a.free[i-1].end == s.at
	after := i < len(a.free) && a.free[i].at == s.end
	switch {
	case before && after:
		a.free[i-1].end = a.free[i].end
		a.free = slices.Delete(a.free, i, i+1)
	case before:
		a.free[i-1].end = s.end
	case after:
		a.free[i].at = s.at
	default:
		a.free = slices.Insert(a.free, i, s)
	}
	a.out -= n
}

// kept returns how many free bytes may have pages of the system.
func (a *arena) kept() int64 { return a.size - a.cold.len() - a.out }

// idle returns pages that no one has had since it was called last: they may go back to the system, and count as cold.
func (a *arena) idle() span {
	gap := span{}
	for _, f := range a.free {
		if holds := a.cold.len() > 0 && f.and(a.cold) == a.cold; holds || f.len() > gap.len() {
			gap = f
			if holds {
				break
			}
		}
	}
	rest := gap.and(a.used)
	a.used = gap
	if rest.len() <= a.cold.len() {
		return span{}
	}
	a.cold = rest
	return rest
}
