// Package hedge wraps an object store and asks a second time for bytes that are slow to come, on another connection, when somebody waits
// for them: readers, and agents that take over. The first answer counts, and the other request is given up. PUTs of the log are hedged by
// the wal package, which knows what waits behind them.
//
// A hedge is sent after the 95th percentile of the last first requests of its size, for at most 5.5 of 100 requests, never for ten seconds
// after the store has asked to slow down, and hardly any when all requests become slow at once. A request has at most one.
//
// A Get that says where its bytes are to go (objstore.Range.Into) gives that memory to the first request; a hedge reads into its own, and
// if it wins, the first one has ended before its bytes are copied.
//
// Goroutines: two for each Get that is hedged, of which the slower ends soon after Get has returned. The lock is held over no call.
package hedge

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/varvelog/varve/objstore"
)

// Store is an objstore.Store that hedges Gets. It is a prometheus.Collector too.
type Store struct {
	objstore.Store
	sent, won, wasted *prometheus.CounterVec
	running           sync.WaitGroup

	mu struct {
		sync.Mutex
		paces [sizes]objstore.Pace
	}
}

// What takes how long hangs on the size; these are told apart.
const (
	small = iota // at most 256 KiB, and suffixes: footers
	middle
	large // more than 1 MiB: blocks
	sizes
)

// New wraps inner.
func New(inner objstore.Store) *Store {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"op"})
	}
	return &Store{
		Store: inner, sent: counter("varve_hedge_sent_total", "Second requests for what was slow."),
		won:    counter("varve_hedge_won_total", "Second requests that were done before the first."),
		wasted: counter("varve_hedge_wasted_total", "Second requests that were not needed, or failed too."),
	}
}

// Describe implements prometheus.Collector.
func (s *Store) Describe(ch chan<- *prometheus.Desc) {
	s.sent.Describe(ch)
	s.won.Describe(ch)
	s.wasted.Describe(ch)
}

// Collect implements prometheus.Collector.
func (s *Store) Collect(ch chan<- prometheus.Metric) {
	s.sent.Collect(ch)
	s.won.Collect(ch)
	s.wasted.Collect(ch)
}

// Wait returns when no request is under way that nobody waits for. To be called after all Gets have returned.
func (s *Store) Wait() { s.running.Wait() }

// waited reports whether somebody waits for requests of a purpose: rewriting, tools and the like have time.
func waited(p objstore.Purpose) bool {
	return p == objstore.PurposeTail || p == objstore.PurposeCatchup || p == objstore.PurposeRecover
}

// sizeOf returns the size that r is of, without a look at the object; ok is false if that can't be known.
func sizeOf(r objstore.Range) (size int, ok bool) {
	if r.IsSuffix() {
		return small, true
	}
	if !r.IsExact() {
		return 0, false
	}
	switch _, n, err := r.Resolve(1<<63 - 1); {
	case err != nil:
		return 0, false
	case n <= 256<<10:
		return small, true
	case n <= 1<<20:
		return middle, true
	}
	return large, true
}

// Get implements objstore.Store.
func (s *Store) Get(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
	size, ok := sizeOf(r)
	if !ok || !waited(objstore.PurposeOf(ctx)) {
		return s.Store.Get(ctx, key, r)
	}
	now := time.Now()
	s.mu.Lock()
	after, ok := s.mu.paces[size].After(now)
	s.mu.Unlock()
	if ok {
		return s.twice(ctx, key, r, size, after)
	}
	o, err := s.Store.Get(ctx, key, r)
	s.note(size, now, err, true)
	return o, err
}

// note learns from an answer to a request that began then: the first one, or a hedge that was faster than it.
func (s *Store) note(size int, began time.Time, err error, first bool) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil && first:
		s.mu.paces[size].Answered(now.Sub(began))
	case errors.Is(err, objstore.ErrThrottled):
		for i := range s.mu.paces {
			s.mu.paces[i].Throttled(now)
		}
	}
}

// spend asks for one hedge.
func (s *Store) spend(size int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.paces[size].Spend(time.Now())
}

type answer struct {
	o     objstore.Object
	err   error
	hedge bool
}

// twice is a Get that is given so long before it is sent once more.
func (s *Store) twice(ctx context.Context, key string, r objstore.Range, size int, after time.Duration) (objstore.Object, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan answer, 2)
	began := time.Now()
	send := func(hedge bool, r objstore.Range) {
		s.running.Go(func() {
			o, err := s.Store.Get(ctx, key, r)
			answers <- answer{o, err, hedge}
		})
	}
	send(false, r)
	late := time.NewTimer(after)
	defer late.Stop()
	for flying, sent := 1, false; ; {
		select {
		case a := <-answers:
			flying--
			s.note(size, began, a.err, !a.hedge || flying > 0)
			if sent && (decides(a.err) || flying == 0) {
				s.count(a.hedge && a.err == nil)
			}
			if decides(a.err) || flying == 0 {
				if a.hedge && r.Places() {
					cancel()
					a = settle(a, r, answers, flying)
				}
				return a.o, a.err
			}
		case <-late.C:
			if s.spend(size) {
				send(true, r.Into()) // the first one has the caller's memory
				flying, sent = flying+1, true
			}
		}
	}
}

// settle waits until a first request that was given up writes no more to where r places its bytes, and puts those of the hedge there.
func settle(a answer, r objstore.Range, answers <-chan answer, flying int) answer {
	for range flying {
		<-answers
	}
	if a.err == nil {
		a.o = r.Copy(a.o.Body, a.o.Size)
	}
	return a
}

// decides reports whether an answer makes another one needless: the bytes, or that there are none.
func decides(err error) bool {
	return err == nil || errors.Is(err, objstore.ErrNotFound) || errors.Is(err, objstore.ErrRange)
}

// count counts a hedge when its outcome is known.
func (s *Store) count(won bool) {
	s.sent.WithLabelValues("get").Inc()
	if won {
		s.won.WithLabelValues("get").Inc()
	} else {
		s.wasted.WithLabelValues("get").Inc()
	}
}
