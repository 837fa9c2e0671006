// Package mem is an object store in a map, for tests, simulations and throw-away runs. It has no faults and no latency;
// wrap it in objstore/fault for those. Listings cost a pass over all keys.
package mem

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/varvelog/varve/objstore"
)

// Store is an objstore.Store in memory.
type Store struct {
	reserve *arena // nil: none
	spare   spare
	mu      struct {
		sync.RWMutex
		objects map[string]object
	}
}

// object is one version of an object; body is never changed.
type object struct {
	body     *bytesOf
	modified time.Time
}

// bytesOf is the bytes of an object. Large ones lie outside of the Go heap. When neither the map nor a Get has them any more they are spare;
// they are given back when nobody refers to bytesOf.
type bytesOf struct {
	b    []byte
	in   *arena // that b is a part of; nil: b stands alone
	refs atomic.Int32
}

// maxSpare is how many bytes of deleted objects are kept for those to come.
const maxSpare = 256 << 20

// spare is memory of large objects that were deleted or replaced: to take pages from the system costs more than to fill them.
type spare struct {
	sync.Mutex
	all   []*bytesOf
	bytes int // of memory, whatever was used of it
}

// take returns spare memory of n bytes, and less than twice that. nil: there is none.
func (s *spare) take(n int) *bytesOf {
	s.Lock()
	defer s.Unlock()
	for i, o := range s.all {
		if cap(o.b) >= n && cap(o.b)/2 <= n {
			s.all = slices.Delete(s.all, i, i+1)
			s.bytes -= cap(o.b)
			o.b = o.b[:n]
			return o
		}
	}
	return nil
}

// drop lets go of one reference to o.
func (s *spare) drop(o *bytesOf) {
	if o == nil || o.refs.Add(-1) > 0 || o.in != nil || cap(o.b) < large {
		return
	}
	s.Lock()
	defer s.Unlock()
	if s.bytes+cap(o.b) <= maxSpare {
		s.all, s.bytes = append(s.all, o), s.bytes+cap(o.b)
	}
}

// arena is memory that was reserved, handed out once, from its front to its end.
type arena struct {
	whole *bytesOf
	used  atomic.Int64
}

// take returns n bytes, nil if there are not so many left.
func (a *arena) take(n int) []byte {
	if a == nil {
		return nil
	}
	end := a.used.Add(int64(n))
	if end > int64(len(a.whole.b)) {
		a.used.Add(-int64(n))
		return nil
	}
	return a.whole.b[end-int64(n) : end : end]
}

// large is the size from which bytes are mapped: first touch of fresh heap pages, one fault each, costs more CPU than all
// else that an agent does with the bytes, and a heap of gigabytes would make the collector's pace a matter of luck.
const large = 256 << 10

// keep returns a copy of body, with the map's reference.
func (s *Store) keep(body []byte) *bytesOf {
	o := s.room(len(body))
	copy(o.b, body)
	o.refs.Store(1)
	return o
}

// room returns memory of n bytes.
func (s *Store) room(n int) *bytesOf {
	if n < large {
		return &bytesOf{b: make([]byte, n)}
	}
	if o := s.spare.take(n); o != nil {
		return o
	}
	if b := s.reserve.take(n); b != nil {
		return &bytesOf{b: b, in: s.reserve}
	}
	return mapping(n)
}

// mapping returns n bytes that are given back when nobody refers to them.
func mapping(n int) *bytesOf {
	m, unmap := mapped(n)
	o := &bytesOf{b: m}
	if unmap != nil {
		runtime.AddCleanup(o, unmap, m)
	}
	return o
}

// NewReserved returns an empty store that has taken n bytes of memory from the system in advance, so that the first Puts, up to
// so many bytes, do not pay for that: for benchmarks. The memory is not used again when an object is deleted.
func NewReserved(n int) *Store {
	s := New()
	s.reserve = &arena{whole: mapping(n)}
	return s
}

// New returns an empty store.
func New() *Store {
	s := &Store{}
	s.mu.objects = map[string]object{}
	return s
}

// Put implements objstore.Store.
func (s *Store) Put(ctx context.Context, key string, body []byte) error {
	if err := objstore.Check(ctx, key); err != nil {
		return err
	}
	o := object{s.keep(body), time.Now()}
	s.mu.Lock()
	old := s.mu.objects[key]
	s.mu.objects[key] = o
	s.mu.Unlock()
	s.spare.drop(old.body)
	return nil
}

// Get implements objstore.Store.
func (s *Store) Get(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
	if err := objstore.Check(ctx, key); err != nil {
		return objstore.Object{}, err
	}
	body := s.hold(key)
	if body == nil {
		return objstore.Object{}, objstore.ErrNotFound
	}
	defer s.spare.drop(body)
	size := int64(len(body.b))
	off, n, err := r.Resolve(size)
	if err != nil {
		return objstore.Object{}, err
	}
	return r.Copy(body.b[off:off+n], size), nil
}

// hold returns the bytes of an object, with a reference for the caller; nil if there is none.
func (s *Store) hold(key string) *bytesOf {
	s.mu.RLock()
	defer s.mu.RUnlock()
	o, ok := s.mu.objects[key]
	if ok {
		o.body.refs.Add(1)
	}
	return o.body
}

// List implements objstore.Store.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]objstore.Info, error) {
	if err := objstore.Check(ctx); err != nil {
		return nil, err
	}
	var page []objstore.Info
	s.mu.RLock()
	for key, o := range s.mu.objects {
		if key > after && strings.HasPrefix(key, prefix) {
			page = append(page, objstore.Info{Key: key, Size: int64(len(o.body.b)), Modified: o.modified})
		}
	}
	s.mu.RUnlock()
	slices.SortFunc(page, func(a, b objstore.Info) int { return strings.Compare(a.Key, b.Key) })
	return page[:min(len(page), objstore.ListLimit(limit))], nil
}

// Delete implements objstore.Store.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	if err := objstore.CheckDelete(ctx, keys); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		s.spare.drop(s.mu.objects[key].body)
		delete(s.mu.objects, key)
	}
	return nil
}
