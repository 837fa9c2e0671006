package partition

import (
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/varvelog/varve/objstore/bundle"
)

// objects numbers the objects that tail runs lie in, so that a run names its own in four bytes, and the sessions that wrote
// them. Numbers are given out in chunks; sweep forgets the chunks that nothing names any more, and their numbers come again.
type objects struct {
	// holds is held for reading by who collects numbers and looks them up later, beyond the lock under which it found them: no chunk
	// goes meanwhile.
	holds sync.RWMutex

	mu       sync.RWMutex
	table    table // only ever appended to or replaced, so that a copy of it stays true
	vacant   []uint32
	filled   uint32 // how many of the last chunk are given out; chunkLen at first
	index    map[objectKey]uint32
	sessions map[uuid.UUID]uint32 // from 1 on
	touched  map[uint32]bool      // chunks whose objects were asked for again since a sweep began; nil: none runs
}

// table is the objects by number: the chunk's index, then chunkBits of the place in it.
type table struct {
	chunks []*chunk // nil: vacant
	last   uint32   // index of the chunk that is being filled
}

const (
	chunkBits = 6
	chunkLen  = 1 << chunkBits
)

type chunk [chunkLen]bundle.Object

func (t table) get(number uint32) bundle.Object {
	return t.chunks[number>>chunkBits][number%chunkLen]
}

type objectKey struct {
	session [16]byte
	seq     uint64
}

// place is where a run lies: the numbers of an object and of its session.
type place struct{ object, session uint32 }

// packs is the session number of everything that is no session's WAL.
const packs = 0

func newObjects() *objects {
	return &objects{filled: chunkLen, index: map[objectKey]uint32{}, sessions: map[uuid.UUID]uint32{}}
}

// add returns the numbers of o, new ones if it is not known. Call it under the lock under which the number is put to use, or else
// on the goroutine that calls Set.Capture: a sweep must find it there.
func (t *objects) add(o bundle.Object) place {
	t.mu.Lock()
	defer t.mu.Unlock()
	session := t.session(o)
	key := objectKey{o.Session, o.Seq}
	i, ok := t.index[key]
	if !ok {
		i = t.next()
		t.table.chunks[i>>chunkBits][i%chunkLen] = o
		t.index[key] = i
	} else if t.touched != nil {
		t.touched[i>>chunkBits] = true
	}
	return place{i, session}
}

// session returns the number of the session in whose WAL o lies.
func (t *objects) session(o bundle.Object) uint32 {
	if o.Kind != bundle.WAL {
		return packs
	}
	n, ok := t.sessions[o.Session]
	if !ok {
		n = uint32(len(t.sessions)) + 1
		t.sessions[o.Session] = n
	}
	return n
}

// next gives out a number.
func (t *objects) next() uint32 {
	if t.filled == chunkLen {
		t.filled = 0
		if n := len(t.vacant); n > 0 {
			t.table.last, t.vacant = t.vacant[n-1], t.vacant[:n-1]
			t.table.chunks = slices.Clone(t.table.chunks) // it is vacant for whoever has a view
		} else {
			t.table.last = uint32(len(t.table.chunks))
			t.table.chunks = append(t.table.chunks, nil)
		}
		t.table.chunks[t.table.last] = new(chunk)
	}
	t.filled++
	return t.table.last<<chunkBits | (t.filled - 1)
}

// get returns an object by its number, which a run names.
func (t *objects) get(number uint32) bundle.Object {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.table.get(number)
}

// view returns the table as it is: what it has it keeps, whatever is forgotten later.
func (t *objects) view() table {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.table
}

// sweep forgets the full chunks of was, a view of some time ago, that mark does not name; mark calls its argument with the number
// of each object that something names, and looks at everything that was there before it was called. One sweep at a time.
func (t *objects) sweep(was table, mark func(name func(number uint32))) {
	t.mu.Lock()
	t.touched = map[uint32]bool{}
	t.mu.Unlock()
	named := make([]bool, len(was.chunks))
	mark(func(number uint32) {
		if c := number >> chunkBits; c < uint32(len(named)) {
			named[c] = true
		}
	})
	t.holds.Lock()
	defer t.holds.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	chunks := slices.Clone(t.table.chunks)
	for i, c := range was.chunks {
		n := uint32(i)
		if c == nil || named[i] || t.touched[n] || n == was.last || n == t.table.last || chunks[i] != c {
			continue
		}
		for _, o := range c {
			delete(t.index, objectKey{o.Session, o.Seq})
		}
		chunks[i] = nil
		t.vacant = append(t.vacant, n)
	}
	t.table.chunks, t.touched = chunks, nil
}

// numbersIn returns, by their numbers here, the numbers that the objects and sessions have in another table, which gets those it
// does not have. t was never swept.
func (t *objects) numbersIn(other *objects) (objects, sessions []uint32) {
	objects, sessions = make([]uint32, 0, len(t.index)), make([]uint32, len(t.sessions)+1)
	for number := range uint32(len(t.index)) {
		o := t.table.get(number)
		at := other.add(o)
		objects = append(objects, at.object)
		sessions[t.session(o)] = at.session
	}
	return objects, sessions
}
