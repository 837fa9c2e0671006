// Package fault wraps an object store with failures: delays, stalls, errors before and after the effect, effects that come
// late or twice, bursts of throttling, a narrow pipe, damaged reads, deletes that fail in part, a crash of the caller.
//
// Faults come from two sources: rates with a seed, and a hook that is asked before each call (Plan). Sleeps use plain
// time and end with the context, so that everything works in testing/synctest, if New is called inside of the bubble. No
// lock is held while sleeping.
//
// Goroutines: one for each effect that is still to come (late or twice); Wait waits for them.
package fault

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/varvelog/varve/objstore"
)

// ErrCrashed is matched by what calls return after Crash, beside objstore.ErrUnknown.
var ErrCrashed = errors.New("crashed")

// Store is an objstore.Store with faults.
type Store struct {
	inner   objstore.Store
	crashed chan struct{} // closed by Crash
	dropped chan struct{} // closed by Crash if what is still to come is to be dropped
	late    sync.WaitGroup
	mu      struct {
		sync.Mutex
		plan    Plan
		rng     *rand.Rand
		burst   time.Time // until when everything is throttled
		pipe    time.Time // until when the pipe is taken
		pending int       // effects still to come
		down    bool      // Crash was called
	}
}

// New wraps inner.
func New(inner objstore.Store, plan Plan) *Store {
	s := &Store{inner: inner, crashed: make(chan struct{}), dropped: make(chan struct{})}
	s.SetPlan(plan)
	return s
}

// SetPlan replaces the plan and seeds its random source anew; Plan{} heals the store. Calls that run keep what they drew,
// effects still to come stay.
func (s *Store) SetPlan(plan Plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.plan = plan
	s.mu.rng = rand.New(rand.NewPCG(plan.Seed, 0x766172766c6f67))
	s.mu.burst = time.Time{}
}

// Crash makes every call from now on fail, and those that sleep in here too, as for a process that died. Effects still to
// come are dropped, or come when they would have if keep is true: the network had them already. The caller's next life
// opens a new Store over the same inner one. A second Crash does nothing.
func (s *Store) Crash(keep bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.down {
		return
	}
	s.mu.down = true
	close(s.crashed)
	if !keep {
		close(s.dropped)
	}
}

// Pending returns how many effects are still to come.
func (s *Store) Pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.pending
}

// Wait returns when no effect is still to come. No call may start meanwhile.
func (s *Store) Wait() { s.late.Wait() }

// Put implements objstore.Store.
func (s *Store) Put(ctx context.Context, key string, body []byte) error {
	if err := objstore.Check(ctx, key); err != nil {
		return err
	}
	act := s.act(Put, key)
	if err := s.pass(ctx, act, len(body)); err != nil {
		return err
	}
	if act.Do == Late || act.Do == Twice {
		body := slices.Clone(body) // the caller may change it once we return
		s.later(ctx, act.After, func(ctx context.Context) { _ = s.inner.Put(ctx, key, body) })
	}
	if act.Do == Late {
		return unknown("put", key)
	}
	return lose(act, "put", key, s.inner.Put(ctx, key, body))
}

// Get implements objstore.Store.
func (s *Store) Get(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
	if err := objstore.Check(ctx, key); err != nil {
		return objstore.Object{}, err
	}
	act := s.act(Get, key)
	if err := s.pass(ctx, act, 0); err != nil {
		return objstore.Object{}, err
	}
	o, err := s.inner.Get(ctx, key, r)
	if err = lose(act, "get", key, err); err != nil {
		return objstore.Object{}, err
	}
	if n := o.Len(); act.Do == Flip && n > 0 {
		flip(o, s.intN(8*n))
		r.Tell(0) // who watched saw other bytes
	}
	return o, nil
}

// flip changes a bit of what a Get brought: the copy is ours to change.
func flip(o objstore.Object, bit int) {
	at := bit / 8
	for _, b := range append([][]byte{o.Body}, o.Parts...) {
		if at < len(b) {
			b[at] ^= 1 << (bit % 8)
			return
		}
		at -= len(b)
	}
}

// List implements objstore.Store.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]objstore.Info, error) {
	if err := objstore.Check(ctx); err != nil {
		return nil, err
	}
	act := s.act(List, prefix)
	if err := s.pass(ctx, act, 0); err != nil {
		return nil, err
	}
	page, err := s.inner.List(ctx, prefix, after, limit)
	if err = lose(act, "list", prefix, err); err != nil {
		return nil, err
	}
	return page, nil
}

// Delete implements objstore.Store.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	if err := objstore.CheckDelete(ctx, keys); err != nil || len(keys) == 0 {
		return err
	}
	act := s.act(Delete, keys[0])
	if err := s.pass(ctx, act, 0); err != nil {
		return err
	}
	switch act.Do {
	case Late, Twice:
		keys := slices.Clone(keys)
		s.later(ctx, act.After, func(ctx context.Context) { _ = s.inner.Delete(ctx, keys...) })
	case Partial:
		return s.deletePart(ctx, act, keys)
	}
	if act.Do == Late {
		return unknown("delete", keys[0])
	}
	return lose(act, "delete", keys[0], s.inner.Delete(ctx, keys...))
}

// deletePart removes the first act.Keys keys, or if that is 0 some random ones but not all.
func (s *Store) deletePart(ctx context.Context, act Action, keys []string) error {
	n := act.Keys
	if n <= 0 {
		n = s.intN(len(keys))
	}
	n = min(n, len(keys)-1)
	if err := s.inner.Delete(ctx, keys[:n]...); err != nil {
		return err
	}
	return &objstore.DeleteError{Keys: slices.Clone(keys[n:]), Reason: unknown("delete", keys[n])}
}

// pass sleeps as long as act says and as body's way through the pipe takes, and returns the error that comes before the
// effect, if any.
func (s *Store) pass(ctx context.Context, act Action, size int) error {
	if err := s.sleep(ctx, act.Delay); err != nil {
		return err
	}
	if act.Do == Fail {
		return act.Err
	}
	took, wait := s.reserve(size)
	start := time.Now()
	err := s.sleep(ctx, wait)
	if err != nil {
		s.giveBack(min(took, wait-time.Since(start)))
	}
	return err
}

// reserve takes size bytes of the pipe and returns for how long that takes it, and how long it is until they are through.
// Bodies pass one after another, first come, first served.
func (s *Store) reserve(size int) (took, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.plan.Bandwidth <= 0 {
		return 0, 0
	}
	now := time.Now()
	if s.mu.pipe.Before(now) {
		s.mu.pipe = now
	}
	took = time.Duration(float64(size) / float64(s.mu.plan.Bandwidth) * float64(time.Second))
	s.mu.pipe = s.mu.pipe.Add(took)
	return took, s.mu.pipe.Sub(now)
}

// giveBack shortens the queue at the pipe for those who come next; those who wait already do not move up.
func (s *Store) giveBack(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.pipe = s.mu.pipe.Add(-max(d, 0))
}

// sleep returns nil after d, or an error if ctx ended or the store crashed first.
func (s *Store) sleep(ctx context.Context, d time.Duration) error {
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return objstore.Ended(ctx)
		case <-s.crashed:
		}
	}
	select {
	case <-s.crashed:
		return fmt.Errorf("%w: %w", objstore.ErrUnknown, ErrCrashed)
	default:
		return nil
	}
}

// later runs effect after d, whatever happens to ctx, unless a crash drops it.
func (s *Store) later(ctx context.Context, d time.Duration, effect func(context.Context)) {
	s.mu.Lock()
	s.mu.pending++
	s.mu.Unlock()
	ctx = context.WithoutCancel(ctx)
	s.late.Go(func() {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			effect(ctx)
		case <-s.dropped:
		}
		s.mu.Lock()
		s.mu.pending--
		s.mu.Unlock()
	})
}

// lose turns the success of a call whose reply is to be lost into "unknown".
func lose(act Action, op, key string, err error) error {
	if err == nil && act.Do == Lose {
		return unknown(op, key)
	}
	return err
}

func unknown(op, key string) error {
	return fmt.Errorf("%w: injected: no reply to %s %q", objstore.ErrUnknown, op, key)
}

func (s *Store) intN(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.rng.IntN(n)
}
