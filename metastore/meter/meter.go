// Package meter wraps a metastore and counts: requests, the units that DynamoDB would charge for them, dollars. By op,
// purpose and result. Any driver can be under it, so a test on mem knows the bill.
//
// Units follow the developer guide: a write costs a unit for each started KB of the larger of the item before and after, key
// included; a read one for each started 4 KB, half of that if it is eventual; everything in a transaction twice. A failed
// condition costs what success would have cost. Nothing is charged for what is throttled, refused or too large. An unknown
// outcome counts as done. The size before a put or delete is known only if this meter saw the item not long ago; else the
// size after it counts alone.
package meter

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/varvelog/varve/metastore"
)

// Ops, as in Label.Op.
const (
	OpGet      = "get"
	OpQuery    = "query"
	OpPut      = "put"
	OpUpdate   = "update"
	OpDelete   = "delete"
	OpTransact = "transact"
)

// Results, as in Label.Result.
const (
	OK        = "ok"
	NotFound  = "not_found"
	Condition = "condition"
	Conflict  = "conflict"
	Throttled = "throttled"
	Refused   = "refused"
	TooLarge  = "too_large"
	Unknown   = "unknown"
)

// Bounds.
const (
	maxPurposes = 32   // purposes with counters of their own; more are counted as PurposeOther
	maxSizes    = 4096 // items whose size is remembered; when one too many comes, all are forgotten
)

// Label says what is counted together.
type Label struct {
	Op      string
	Purpose metastore.Purpose
	Result  string
}

// Count is what happened under a Label.
type Count struct {
	Requests   int64
	WriteUnits float64
	ReadUnits  float64
	Dollars    float64
}

// Store is a metastore.Store that counts.
type Store struct {
	inner  metastore.Store
	prices Prices
	mu     struct {
		sync.Mutex
		counts   map[Label]Count
		purposes map[metastore.Purpose]bool
		sizes    map[metastore.Key]int // of items, with key; 0: there is none
		session  int                   // bytes of the largest session item written
	}
}

var _ metastore.Store = (*Store)(nil)

// New wraps inner.
func New(inner metastore.Store, p Prices) *Store {
	s := &Store{inner: inner, prices: p}
	s.mu.counts = map[Label]Count{}
	s.mu.purposes = map[metastore.Purpose]bool{metastore.PurposeOther: true}
	s.mu.sizes = map[metastore.Key]int{}
	return s
}

// Get implements metastore.Store.
func (s *Store) Get(ctx context.Context, key metastore.Key, c metastore.Consistency) (metastore.Item, error) {
	it, err := s.inner.Get(ctx, key, c)
	n := size(key, it)
	s.count(ctx, OpGet, err, func() Count {
		if c == metastore.Consistent && (err == nil || errors.Is(err, metastore.ErrNotFound)) {
			s.remember(key, n)
		}
		return Count{ReadUnits: readUnits(n, bool(c))}
	})
	return it, err
}

// Query implements metastore.Store.
func (s *Store) Query(ctx context.Context, q metastore.Query) (metastore.Page, error) {
	page, err := s.inner.Query(ctx, q)
	n := 0
	for _, r := range page.Rows {
		n += size(metastore.Key{PK: q.PK, SK: r.SK}, r.Item)
	}
	s.count(ctx, OpQuery, err, func() Count { return Count{ReadUnits: readUnits(n, bool(q.Consistency))} })
	return page, err
}

// Write implements metastore.Store.
func (s *Store) Write(ctx context.Context, op metastore.Op) (metastore.Item, error) {
	it, err := s.inner.Write(ctx, op)
	s.count(ctx, opName(op.Kind), err, func() Count { return Count{WriteUnits: s.write(op, it, err)} })
	return it, err
}

// Transact implements metastore.Store.
func (s *Store) Transact(ctx context.Context, ops []metastore.Op) error {
	err := s.inner.Transact(ctx, ops)
	s.count(ctx, OpTransact, err, func() Count {
		units := 0.0
		var failed *metastore.ConditionError
		errors.As(err, &failed)
		for i, op := range ops {
			e := err
			if failed != nil && i != failed.Index {
				e = metastore.ErrConflict // nothing is known of this one
			}
			units += s.part(op, e)
		}
		return Count{WriteUnits: units}
	})
	return err
}

// write returns the units of op and remembers sizes. it is what op left, if err is nil. s.mu is held.
func (s *Store) write(op metastore.Op, it metastore.Item, err error) float64 {
	before, after := s.mu.sizes[op.Key], size(op.Key, it)
	var failed *metastore.ConditionError
	switch {
	case errors.As(err, &failed):
		before = size(op.Key, failed.Old)
		s.remember(op.Key, before)
		return writeUnits(before, s.guess(op, before))
	case err != nil:
		return writeUnits(before, s.guess(op, before))
	case op.Kind != metastore.OpCheck:
		s.remember(op.Key, after)
		if after > 0 && strings.Contains(op.Key.PK, sessionMark) {
			s.mu.session = max(s.mu.session, after)
		}
	}
	return writeUnits(before, after)
}

// part returns the units of op in a transaction, which brings no items back, except that of a failed condition as err.
func (s *Store) part(op metastore.Op, err error) float64 {
	if err != nil {
		return 2 * s.write(op, nil, err)
	}
	before := s.mu.sizes[op.Key]
	after := s.guess(op, before)
	if op.Kind != metastore.OpCheck {
		s.remember(op.Key, after)
	}
	return 2 * writeUnits(before, after)
}

// sessionMark is in the partition keys of session items and of no others: see package records.
const sessionMark = "/S#"

// guess is how large op makes an item of before bytes, as far as can be told without its answer: an update is taken to
// replace what it sets.
func (s *Store) guess(op metastore.Op, before int) int {
	switch op.Kind {
	case metastore.OpPut:
		return op.Key.Size() + op.Set.Size()
	case metastore.OpUpdate:
		return max(before, op.Key.Size()+op.Set.Size())
	case metastore.OpCheck:
		return before
	}
	return 0
}

func (s *Store) remember(key metastore.Key, n int) {
	if _, there := s.mu.sizes[key]; !there && len(s.mu.sizes) >= maxSizes {
		clear(s.mu.sizes)
	}
	s.mu.sizes[key] = n
}

// count adds a request, with the cost of it unless the store did nothing.
func (s *Store) count(ctx context.Context, op string, err error, cost func() Count) {
	l := Label{Op: op, Purpose: metastore.PurposeOf(ctx), Result: result(err)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.mu.purposes[l.Purpose] {
		if len(s.mu.purposes) >= maxPurposes {
			l.Purpose = metastore.PurposeOther
		}
		s.mu.purposes[l.Purpose] = true
	}
	c := s.mu.counts[l]
	c.Requests++
	if l.Result != Throttled && l.Result != Refused && l.Result != TooLarge {
		n := cost()
		c.ReadUnits += n.ReadUnits
		c.WriteUnits += n.WriteUnits
		c.Dollars += (n.ReadUnits*s.prices.ReadMillion + n.WriteUnits*s.prices.WriteMillion) / 1e6
	}
	s.mu.counts[l] = c
}

// size is what an item costs with its key; 0 if there is none.
func size(key metastore.Key, it metastore.Item) int {
	if it == nil {
		return 0
	}
	return key.Size() + it.Size()
}

func opName(k metastore.OpKind) string {
	switch k {
	case metastore.OpPut:
		return OpPut
	case metastore.OpDelete:
		return OpDelete
	}
	return OpUpdate
}

func result(err error) string {
	for _, r := range []struct {
		err  error
		name string
	}{
		{metastore.ErrNotFound, NotFound},
		{metastore.ErrCondition, Condition},
		{metastore.ErrConflict, Conflict},
		{metastore.ErrThrottled, Throttled},
		{metastore.ErrRefused, Refused},
		{metastore.ErrTooLarge, TooLarge},
	} {
		if errors.Is(err, r.err) {
			return r.name
		}
	}
	if err != nil {
		return Unknown
	}
	return OK
}
