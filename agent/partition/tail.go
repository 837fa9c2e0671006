// Pure.

package partition

import "sort"

// tail is where the committed records of a partition lie from some offset on, up to the log's end; what lies below it is in
// extents. What it points to is only ever appended to or replaced, never changed, so that a copy of the struct stays true while
// the log goes on.
type tail struct {
	runs     []tailRun // contiguous, up to the log's end
	tops     []int64   // largest timestamp (ms) of the first blockRuns, 2*blockRuns, ... of runs
	moves    []move    // where the session changes, in the order of the offsets; not the first run
	first    uint32    // number of the session that the first run lies in
	session  uint32    // and the last one
	bytes    int64     // of runs
	walBytes int64     // of those that lie in WAL bundles,
	walRuns  int       // and how many they are
}

// blockRuns is how many runs a search by time looks at one by one, at most.
const blockRuns = 64

// tailRun is an entry of the tail index. 32 bytes, because there is one per partition and flush.
type tailRun struct {
	base   int64
	maxTS  int64  // ms
	object uint32 // number in the table of objects
	pos    uint32 // in the object: bundles and packs are far smaller than 4 GiB
	length uint32 // bytes
	span   uint32 // offsets
}

func (r tailRun) next() int64 { return r.base + int64(r.span) }

// move says that the run at base lies in another session than the one before, in that object. Within a session the sequence
// numbers rise with the offsets, so it is the lowest that this stretch of the log needs. All packs count as one session.
type move struct {
	base    int64
	object  uint32
	session uint32
}

// add appends a run that lies in the given session.
func (t *tail) add(r tailRun, session uint32) {
	switch {
	case len(t.runs) == 0:
		t.first = session
	case session != t.session:
		t.moves = append(t.moves, move{r.base, r.object, session})
	}
	t.session = session
	t.runs = append(t.runs, r)
	t.bytes += int64(r.length)
	if session != packs {
		t.walRuns++
		t.walBytes += int64(r.length)
	}
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
	if k := t.find(offset); k > 0 {
		t.replace(0, k, nil)
	}
}

// replace puts runs that lie in packs in the place of runs [i, j).
func (t *tail) replace(i, j int, with []tailRun) {
	old, n := *t, len(t.runs)-(j-i)+len(with)
	if *t = (tail{}); n == 0 {
		return
	}
	t.runs = make([]tailRun, 0, n)
	old.each(0, i, t.add)
	for _, r := range with {
		t.add(r, packs)
	}
	old.each(j, len(old.runs), t.add)
}

// each calls yield with runs [i, j) and the number of the session that each lies in.
func (t *tail) each(i, j int, yield func(r tailRun, session uint32)) {
	session, moves := t.first, t.moves
	for k, r := range t.runs[:j] {
		if len(moves) > 0 && moves[0].base == r.base {
			session, moves = moves[0].session, moves[1:]
		}
		if k >= i {
			yield(r, session)
		}
	}
}

// sources calls yield with the first object of each stretch of the log that lies in one session's WAL. A session may come twice.
func (t *tail) sources(yield func(object uint32)) {
	if len(t.runs) == 0 {
		return
	}
	if t.first != packs {
		yield(t.runs[0].object)
	}
	for _, m := range t.moves {
		if m.session != packs {
			yield(m.object)
		}
	}
}

// renumber changes the numbers of objects and sessions of a tail that nobody else looks at.
func (t *tail) renumber(objects, sessions []uint32) {
	for i := range t.runs {
		t.runs[i].object = objects[t.runs[i].object]
	}
	for i := range t.moves {
		t.moves[i].object, t.moves[i].session = objects[t.moves[i].object], sessions[t.moves[i].session]
	}
	if len(t.runs) > 0 {
		t.first, t.session = sessions[t.first], sessions[t.session]
	}
}
