// Package mem is a metastore in memory: for tests, simulations and `varve dev --memory`. It does what the contract says and
// no more; faults, costs and delays are wrappers.
//
// One mutex guards the table, held for the time of a few map accesses, never over a sleep or a channel.
package mem

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/varvelog/varve/metastore"
)

// maxPage is the most bytes of a page, as in DynamoDB. At least one item is returned however large it is.
const maxPage = 1 << 20

// Store is a table in memory.
type Store struct {
	mu struct {
		sync.RWMutex
		table map[string]*partition
	}
}

var _ metastore.Store = (*Store)(nil)

// partition is the items of one partition key.
type partition struct {
	items map[string]metastore.Item
	order []string // sort keys, ascending
}

// New returns an empty table.
func New() *Store {
	s := &Store{}
	s.mu.table = map[string]*partition{}
	return s
}

// Get returns a copy of the item. Every read is consistent.
func (s *Store) Get(ctx context.Context, key metastore.Key, _ metastore.Consistency) (metastore.Item, error) {
	if err := cmp.Or(key.Validate(), done(ctx)); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	it := s.get(key)
	if it == nil {
		return nil, fmt.Errorf("%w: %s", metastore.ErrNotFound, key)
	}
	return it.Clone(), nil
}

// Query returns a page of copies.
func (s *Store) Query(ctx context.Context, q metastore.Query) (metastore.Page, error) {
	if err := cmp.Or(q.Validate(), done(ctx)); err != nil {
		return metastore.Page{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	p := s.mu.table[q.PK]
	if p == nil {
		return metastore.Page{}, nil
	}
	i, found := slices.BinarySearch(p.order, max(q.Prefix, q.After))
	if found && p.order[i] == q.After {
		i++
	}
	var page metastore.Page
	for size := 0; i < len(p.order) && strings.HasPrefix(p.order[i], q.Prefix); i++ {
		it := p.items[p.order[i]]
		size += it.Size()
		if n := len(page.Rows); n > 0 && (n == q.Limit || size > maxPage) {
			page.Next = page.Rows[n-1].SK
			break
		}
		page.Rows = append(page.Rows, metastore.Row{SK: p.order[i], Item: it.Clone()})
	}
	return page, nil
}

// Write applies op.
func (s *Store) Write(ctx context.Context, op metastore.Op) (metastore.Item, error) {
	if err := cmp.Or(metastore.ValidateWrite(op), done(ctx)); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	it, err := op.Apply(s.get(op.Key))
	if err != nil {
		return nil, err
	}
	s.put(op.Key, it)
	return it.Clone(), nil
}

// Transact applies ops.
func (s *Store) Transact(ctx context.Context, ops []metastore.Op) error {
	if err := cmp.Or(metastore.ValidateTransact(ops), done(ctx)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	after, err := metastore.ApplyAll(ops, func(k metastore.Key) (metastore.Item, error) { return s.get(k), nil })
	if err != nil {
		return err
	}
	for i, op := range ops {
		s.put(op.Key, after[i])
	}
	return nil
}

func (s *Store) get(key metastore.Key) metastore.Item {
	if p := s.mu.table[key.PK]; p != nil {
		return p.items[key.SK]
	}
	return nil
}

// put stores it under key; nil removes.
func (s *Store) put(key metastore.Key, it metastore.Item) {
	p := s.mu.table[key.PK]
	if p == nil {
		if it == nil {
			return
		}
		p = &partition{items: map[string]metastore.Item{}}
		s.mu.table[key.PK] = p
	}
	i, there := slices.BinarySearch(p.order, key.SK)
	switch {
	case it == nil && there:
		delete(p.items, key.SK)
		p.order = slices.Delete(p.order, i, i+1)
		if len(p.order) == 0 {
			delete(s.mu.table, key.PK)
		}
	case it != nil:
		p.items[key.SK] = it
		if !there {
			p.order = slices.Insert(p.order, i, key.SK)
		}
	}
}

// done returns ErrUnknown if ctx is over: a caller that gave up may not tell when.
func done(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("%w: %w", metastore.ErrUnknown, err)
	}
	return nil
}
