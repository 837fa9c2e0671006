// Package sim wraps a metastore with the latency of DynamoDB: a log-normal delay for each request, now and then a straggler,
// and throttling above the write ceilings of a partition key and of the table (Model). What fails otherwise is the business
// of package fault, which goes around this one.
//
// It draws from a seeded source and sleeps in plain time, so that in testing/synctest a second costs nothing. Which call gets
// which draw depends on the order in which they come. No lock is held while sleeping. There are no goroutines.
package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/varvelog/varve/metastore"
)

// Store is a metastore.Store that takes its time.
type Store struct {
	inner metastore.Store
	model Model
	mu    struct {
		sync.Mutex
		rng    *rand.Rand
		writes limiter
	}
}

var _ metastore.Store = (*Store)(nil)

// New wraps inner. The same seed draws the same delays.
func New(inner metastore.Store, m Model, seed uint64) *Store {
	s := &Store{inner: inner, model: m}
	s.mu.rng = rand.New(rand.NewPCG(seed, 0x73696d))
	s.mu.writes.perKey, s.mu.writes.perTable = m.KeyUnits, m.TableUnits
	return s
}

// Get implements metastore.Store.
func (s *Store) Get(ctx context.Context, key metastore.Key, c metastore.Consistency) (metastore.Item, error) {
	if err := s.wait(ctx, s.model.Get); err != nil {
		return nil, err
	}
	return s.inner.Get(ctx, key, c)
}

// Query implements metastore.Store.
func (s *Store) Query(ctx context.Context, q metastore.Query) (metastore.Page, error) {
	if err := s.wait(ctx, s.model.Query); err != nil {
		return metastore.Page{}, err
	}
	return s.inner.Query(ctx, q)
}

// Write implements metastore.Store. The write happens at the end of the delay; one that is given up before never does.
func (s *Store) Write(ctx context.Context, op metastore.Op) (metastore.Item, error) {
	if err := metastore.ValidateWrite(op); err != nil {
		return nil, err
	}
	if err := s.admit(ctx, s.model.Write, []metastore.Op{op}, 1); err != nil {
		return nil, err
	}
	it, err := s.inner.Write(ctx, op)
	if err != nil {
		return nil, err
	}
	// An update costs as much as the whole item does.
	if more := units(op.Key, it) - units(op.Key, op.Set); more > 0 {
		s.mu.Lock()
		s.mu.writes.charge(op.Key.PK, more, time.Now())
		s.mu.Unlock()
	}
	return it, nil
}

// Transact implements metastore.Store, likewise. What an update costs beyond what it sets is not known, and not counted.
func (s *Store) Transact(ctx context.Context, ops []metastore.Op) error {
	if err := metastore.ValidateTransact(ops); err != nil {
		return err
	}
	if err := s.admit(ctx, s.model.Transact, ops, 2); err != nil {
		return err
	}
	return s.inner.Transact(ctx, ops)
}

// admit counts a write, sleeps for as long as it takes, and refuses if it is above a ceiling.
func (s *Store) admit(ctx context.Context, lat Latency, ops []metastore.Op, each float64) error {
	if err := ended(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	d := lat.Draw(s.mu.rng)
	admitted := s.mu.writes.take(estimate(ops, each), time.Now())
	s.mu.Unlock()
	if err := sleep(ctx, d); err != nil {
		return err
	}
	if !admitted {
		return fmt.Errorf("%w: %s: more write units a second than the table or the partition key %q takes", metastore.ErrThrottled, s.model.Name, ops[0].Key.PK)
	}
	return nil
}

// wait sleeps for as long as a read takes.
func (s *Store) wait(ctx context.Context, lat Latency) error {
	s.mu.Lock()
	d := lat.Draw(s.mu.rng)
	s.mu.Unlock()
	return sleep(ctx, d)
}

// sleep returns nil after d, or an error if ctx ended first.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ended(ctx)
	}
}

// ended returns nil while ctx goes on, then an error that matches ErrUnknown and the cause.
func ended(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", metastore.ErrUnknown, context.Cause(ctx))
}
