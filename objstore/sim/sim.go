// Package sim wraps an object store with the latency of a class of S3: a log-normal delay for each request, time for its
// bytes, now and then a straggler, and 503 above the ceilings of a prefix (Model). What fails otherwise is the business of
// package fault, which goes around this one.
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

	"github.com/varvelog/varve/objstore"
)

// Store is an objstore.Store that takes its time.
type Store struct {
	inner objstore.Store
	model Model
	mu    struct {
		sync.Mutex
		rng           *rand.Rand
		writes, reads limiter
	}
}

// New wraps inner. The same seed draws the same delays.
func New(inner objstore.Store, m Model, seed uint64) *Store {
	s := &Store{inner: inner, model: m}
	s.mu.rng = rand.New(rand.NewPCG(seed, 0x73696d))
	s.mu.writes.rate, s.mu.reads.rate = m.Writes, m.Reads
	return s
}

// Put implements objstore.Store. The object is there at the end of the delay; one that is given up before never comes.
func (s *Store) Put(ctx context.Context, key string, body []byte) error {
	if err := objstore.Check(ctx, key); err != nil {
		return err
	}
	perByte, err := s.arrive(ctx, s.model.Put, &s.mu.writes, prefixOf(key), 1)
	if err != nil {
		return err
	}
	if err := move(ctx, perByte, len(body)); err != nil {
		return err
	}
	return s.inner.Put(ctx, key, body)
}

// Get implements objstore.Store.
func (s *Store) Get(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
	if err := objstore.Check(ctx, key); err != nil {
		return objstore.Object{}, err
	}
	perByte, err := s.arrive(ctx, s.model.Get, &s.mu.reads, prefixOf(key), 1)
	if err != nil {
		return objstore.Object{}, err
	}
	o, err := s.inner.Get(ctx, key, r)
	if err != nil {
		return objstore.Object{}, err
	}
	if err := move(ctx, perByte, o.Len()); err != nil {
		return objstore.Object{}, err
	}
	return o, nil
}

// List implements objstore.Store.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]objstore.Info, error) {
	if err := objstore.Check(ctx); err != nil {
		return nil, err
	}
	if _, err := s.arrive(ctx, s.model.List, &s.mu.reads, prefixOf(prefix), 1); err != nil {
		return nil, err
	}
	return s.inner.List(ctx, prefix, after, limit)
}

// Delete implements objstore.Store. Each key counts against the ceiling, that of the first key's prefix.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	if err := objstore.CheckDelete(ctx, keys); err != nil || len(keys) == 0 {
		return err
	}
	if _, err := s.arrive(ctx, s.model.Delete, &s.mu.writes, prefixOf(keys[0]), len(keys)); err != nil {
		return err
	}
	return s.inner.Delete(ctx, keys...)
}

// arrive counts a request, sleeps for as long as it takes without its bytes, and returns the nanoseconds that each byte adds.
// A request above the ceiling is told so after the delay.
func (s *Store) arrive(ctx context.Context, lat Latency, l *limiter, prefix string, n int) (perByte float64, err error) {
	s.mu.Lock()
	base, perByte := lat.Draw(s.mu.rng)
	admitted := l.take(prefix, n, time.Now())
	s.mu.Unlock()
	if err := sleep(ctx, base); err != nil {
		return 0, err
	}
	if !admitted {
		return 0, fmt.Errorf("%w: %s: more than %v requests a second to prefix %q", objstore.ErrThrottled, s.model.Name, l.rate, prefix)
	}
	return perByte, nil
}

// move sleeps for as long as n bytes take.
func move(ctx context.Context, perByte float64, n int) error {
	return sleep(ctx, time.Duration(perByte*float64(n)))
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
		return objstore.Ended(ctx)
	}
}
