package partition

import (
	"sync"

	"github.com/varvelog/varve/objstore/bundle"
)

// objects numbers the objects that tail runs lie in, so that a run names its own in four bytes.
type objects struct {
	mu    sync.RWMutex
	list  []bundle.Object
	index map[objectKey]uint32
}

type objectKey struct {
	session [16]byte
	seq     uint64
}

func newObjects() *objects { return &objects{index: map[objectKey]uint32{}} }

// add returns the number of o, a new one if o is not known.
func (t *objects) add(o bundle.Object) uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := objectKey{o.Session, o.Seq}
	if i, ok := t.index[key]; ok {
		return i
	}
	i := uint32(len(t.list))
	t.list = append(t.list, o)
	t.index[key] = i
	return i
}

// all returns the table as it is. It only ever grows, so the slice stays true.
func (t *objects) all() []bundle.Object {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.list
}
