package fault

import (
	"fmt"
	"slices"

	"github.com/varvelog/varve/metastore"
)

// Bounds of a history. When a key too many comes it forgets everything.
const (
	maxKeys     = 1024
	maxVersions = 4
)

// history holds answers that were true once: by metastore.Key a metastore.Item (nil: there was none), by metastore.Query
// (as if it were eventual) a metastore.Page; the newest last. What is in it is never changed.
type history map[any][]any

// saw notes an answer.
func (s *Store) saw(key, answer any) {
	key = eventual(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.seen == nil || len(s.mu.seen) >= maxKeys {
		s.mu.seen = history{}
	}
	v := append(s.mu.seen[key], answer)
	if len(v) > maxVersions {
		v = slices.Clone(v[1:])
	}
	s.mu.seen[key] = v
}

// old returns some earlier answer, nil if there is none.
func (s *Store) old(key any) any {
	key = eventual(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.mu.seen[key]
	if len(v) == 0 {
		return nil
	}
	return v[s.mu.rng.IntN(len(v))]
}

func eventual(key any) any {
	if q, ok := key.(metastore.Query); ok {
		q.Consistency = metastore.Eventual
		return q
	}
	return key
}

func found(it metastore.Item, key metastore.Key) error {
	if it == nil {
		return fmt.Errorf("%w: %s", metastore.ErrNotFound, key)
	}
	return nil
}

func clonePage(p metastore.Page) metastore.Page {
	p.Rows = slices.Clone(p.Rows)
	for i := range p.Rows {
		p.Rows[i].Item = p.Rows[i].Item.Clone()
	}
	return p
}
