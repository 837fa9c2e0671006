// Package mem is an object store in a map, for tests, simulations and throw-away runs. It has no faults and no latency;
// wrap it in objstore/fault for those. Listings cost a pass over all keys.
package mem

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/varvelog/varve/objstore"
)

// Store is an objstore.Store in memory.
type Store struct {
	mu struct {
		sync.RWMutex
		objects map[string]object
	}
}

// object is one version of an object; body is never changed.
type object struct {
	body     []byte
	modified time.Time
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
	o := object{slices.Clone(body), time.Now()}
	s.mu.Lock()
	s.mu.objects[key] = o
	s.mu.Unlock()
	return nil
}

// Get implements objstore.Store.
func (s *Store) Get(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
	if err := objstore.Check(ctx, key); err != nil {
		return objstore.Object{}, err
	}
	s.mu.RLock()
	o, ok := s.mu.objects[key]
	s.mu.RUnlock()
	if !ok {
		return objstore.Object{}, objstore.ErrNotFound
	}
	size := int64(len(o.body))
	off, n, err := r.Resolve(size)
	if err != nil {
		return objstore.Object{}, err
	}
	return objstore.Object{Body: slices.Clone(o.body[off : off+n]), Size: size}, nil
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
			page = append(page, objstore.Info{Key: key, Size: int64(len(o.body)), Modified: o.modified})
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
	for _, key := range keys {
		delete(s.mu.objects, key)
	}
	s.mu.Unlock()
	return nil
}
