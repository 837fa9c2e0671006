// Pure.

package partition

import (
	"slices"
	"sort"
)

// tail is where the committed records of a partition lie, from the log start on. What it points to is only ever appended to
// or replaced, never changed, so that a copy of the struct stays true while the log goes on.
type tail struct {
	runs    []tailRun // contiguous, up to the log's end
	tops    []int64   // largest timestamp (ms) of the first blockRuns, 2*blockRuns, ... of runs
	moves   []move    // where the session changes, in the order of the offsets; not the first run
	session uint32    // number of the session that the last run lies in
	bytes   int64     // of runs
}

// blockRuns is how many runs a search by time looks at one by one, at most.
const blockRuns = 64

// tailRun is an entry of the tail index. 32 bytes, because there is one per partition and flush.
type tailRun struct {
	base   int64
	maxTS  int64  // ms
	object uint32 // index into the table of objects
	pos    uint32 // in the object: bundles are far smaller than 4 GiB
	length uint32 // bytes
	span   uint32 // offsets
}

func (r tailRun) next() int64 { return r.base + int64(r.span) }

// move says that the run at base lies in another session than the one before, in that object. Within a session the sequence
// numbers rise with the offsets, so it is the lowest that this stretch of the log needs.
type move struct {
	base   int64
	object uint32
}

// add appends a run that lies in the given session.
func (t *tail) add(r tailRun, session uint32) {
	if len(t.runs) > 0 && session != t.session {
		t.moves = append(t.moves, move{r.base, r.object})
	}
	t.session = session
	t.runs = append(t.runs, r)
	t.bytes += int64(r.length)
	if len(t.runs)%blockRuns == 0 {
		t.tops = append(t.tops, t.top())
	}
}

// top is the largest timestamp of all runs.
func (t *tail) top() int64 {
	n := len(t.tops)
	rest := t.runs[n*blockRuns:]
	if len(rest) == 0 {
		return t.tops[n-1]
	}
	top := rest[0].maxTS
	if n > 0 {
		top = max(top, t.tops[n-1])
	}
	for _, r := range rest {
		top = max(top, r.maxTS)
	}
	return top
}

// find returns the index of the first run that ends after offset.
func (t *tail) find(offset int64) int {
	return sort.Search(len(t.runs), func(i int) bool { return t.runs[i].next() > offset })
}

// findTime returns the index of the first run with a record of ts (ms) or later, len(runs) if there is none.
func (t *tail) findTime(ts int64) int {
	block := sort.Search(len(t.tops), func(i int) bool { return t.tops[i] >= ts })
	for i := block * blockRuns; i < len(t.runs); i++ {
		if t.runs[i].maxTS >= ts {
			return i
		}
	}
	return len(t.runs)
}

// forget drops the runs that end before offset, and their memory.
func (t *tail) forget(offset int64) {
	k := t.find(offset)
	if k == 0 {
		return
	}
	if k == len(t.runs) {
		*t = tail{}
		return
	}
	for _, r := range t.runs[:k] {
		t.bytes -= int64(r.length)
	}
	t.runs = slices.Clone(t.runs[k:])
	first := t.runs[0].base
	t.moves = slices.Clone(t.moves[sort.Search(len(t.moves), func(i int) bool { return t.moves[i].base > first }):])
	t.tops = nil
	top := t.runs[0].maxTS
	for i, r := range t.runs {
		if top = max(top, r.maxTS); (i+1)%blockRuns == 0 {
			t.tops = append(t.tops, top)
		}
	}
}

// sources calls yield with the first object of each stretch of the log that lies in one session. A session may come twice.
func (t *tail) sources(yield func(object uint32)) {
	if len(t.runs) == 0 {
		return
	}
	yield(t.runs[0].object)
	for _, m := range t.moves {
		yield(m.object)
	}
}
