package partition

import (
	"sync"

	"github.com/google/uuid"

	"github.com/varvelog/varve/objstore/bundle"
)

// objects numbers the objects that tail runs lie in, so that a run names its own in four bytes, and the sessions that wrote
// them.
type objects struct {
	mu       sync.RWMutex
	list     []bundle.Object
	index    map[objectKey]uint32
	sessions map[uuid.UUID]uint32
}

type objectKey struct {
	session [16]byte
	seq     uint64
}

// place is where a run lies: the numbers of an object and of its session.
type place struct{ object, session uint32 }

func newObjects() *objects {
	return &objects{index: map[objectKey]uint32{}, sessions: map[uuid.UUID]uint32{}}
}

// add returns the numbers of o, new ones if it is not known.
func (t *objects) add(o bundle.Object) place {
	t.mu.Lock()
	defer t.mu.Unlock()
	session, ok := t.sessions[o.Session]
	if !ok {
		session = uint32(len(t.sessions))
		t.sessions[o.Session] = session
	}
	key := objectKey{o.Session, o.Seq}
	if i, ok := t.index[key]; ok {
		return place{i, session}
	}
	i := uint32(len(t.list))
	t.list = append(t.list, o)
	t.index[key] = i
	return place{i, session}
}

// all returns the table as it is. It only ever grows, so the slice stays true.
func (t *objects) all() []bundle.Object {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.list
}
