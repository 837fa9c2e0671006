// Package fault wraps a metastore with failures: delays, stalls, throttling, conflicts, errors without effect, replies that
// are lost, effects that come late or twice, old versions, short pages, a crash of the caller.
//
// Faults come from two sources: rates with a seed, and a hook that is asked before each call (Plan). Sleeps use plain
// time and end with the context, so that everything works in testing/synctest, if New is called inside of the bubble. No
// lock is held while sleeping.
//
// It keeps the contract: a failed condition always carries the true old item, and consistent reads are never stale.
//
// Goroutines: one for each effect that is still to come (late or twice); Wait waits for them.
package fault

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/varvelog/varve/metastore"
)

// ErrCrashed is matched by what calls return after Crash, beside metastore.ErrUnknown.
var ErrCrashed = errors.New("crashed")

// Store is a metastore.Store with faults.
type Store struct {
	inner   metastore.Store
	crashed chan struct{} // closed by Crash
	dropped chan struct{} // closed by Crash if what is still to come is to be dropped
	late    sync.WaitGroup
	mu      struct {
		sync.Mutex
		plan    Plan
		rng     *rand.Rand
		burst   time.Time // until when everything is throttled
		pending int       // effects still to come
		down    bool      // Crash was called
		seen    history
	}
}

var _ metastore.Store = (*Store)(nil)

// New wraps inner.
func New(inner metastore.Store, plan Plan) *Store {
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

// Crash makes every call from now on fail, and those that run too, as for a process that died. Effects still to come are
// dropped, or come when they would have if keep is true: the network had them already. The caller's next life opens a new
// Store over the same inner one. A second Crash does nothing.
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

// Crashed is closed when the store has crashed, by Crash or by an Action.
func (s *Store) Crashed() <-chan struct{} { return s.crashed }

// Pending returns how many effects are still to come.
func (s *Store) Pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.pending
}

// Wait returns when no effect is still to come. No call may start meanwhile.
func (s *Store) Wait() { s.late.Wait() }

// Get implements metastore.Store.
func (s *Store) Get(ctx context.Context, key metastore.Key, c metastore.Consistency) (it metastore.Item, err error) {
	act := s.act(Call{Op: Get, Key: key, Consistency: c, Purpose: metastore.PurposeOf(ctx)})
	err = s.run(ctx, act, func() error {
		if act.Do == Stale && c == metastore.Eventual {
			if old, ok := s.old(key).(metastore.Item); ok {
				it = old.Clone()
				return found(it, key)
			}
		}
		it, err = s.inner.Get(ctx, key, c)
		if err == nil || errors.Is(err, metastore.ErrNotFound) {
			s.saw(key, it.Clone())
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return it, nil
}

// Query implements metastore.Store.
func (s *Store) Query(ctx context.Context, q metastore.Query) (page metastore.Page, err error) {
	act := s.act(Call{Op: Query, Key: metastore.Key{PK: q.PK}, Query: q, Consistency: q.Consistency, Purpose: metastore.PurposeOf(ctx)})
	if act.Do == Short && q.Limit >= 0 {
		q.Limit = 1
	}
	err = s.run(ctx, act, func() error {
		if act.Do == Stale && q.Consistency == metastore.Eventual {
			if old, ok := s.old(q).(metastore.Page); ok {
				page = clonePage(old)
				return nil
			}
		}
		page, err = s.inner.Query(ctx, q)
		if err == nil {
			s.saw(q, clonePage(page))
		}
		return err
	})
	if err != nil {
		return metastore.Page{}, err
	}
	return page, nil
}

// Write implements metastore.Store.
func (s *Store) Write(ctx context.Context, op metastore.Op) (it metastore.Item, err error) {
	act := s.act(Call{Op: Write, Key: op.Key, Ops: []metastore.Op{op}, Purpose: metastore.PurposeOf(ctx)})
	err = s.write(ctx, act, Write, []metastore.Op{op}, func(ctx context.Context, ops []metastore.Op) error {
		after, err := s.inner.Write(ctx, ops[0])
		if err == nil {
			s.saw(op.Key, after.Clone())
		}
		it = after
		return err
	})
	if err != nil {
		return nil, err
	}
	return it, nil
}

// Transact implements metastore.Store.
func (s *Store) Transact(ctx context.Context, ops []metastore.Op) error {
	c := Call{Op: Transact, Ops: ops, Purpose: metastore.PurposeOf(ctx)}
	if len(ops) > 0 {
		c.Key = ops[0].Key
	}
	return s.write(ctx, s.act(c), Transact, ops, s.inner.Transact)
}

// write does what act says with a Write or Transact of ops, which apply carries out. Only the last apply that runs before
// write returns may touch the caller's variables: those to come have their own.
func (s *Store) write(ctx context.Context, act Action, op Op, ops []metastore.Op, apply func(context.Context, []metastore.Op) error) error {
	return s.run(ctx, act, func() error {
		if act.Do == Late || act.Do == Twice {
			s.later(ctx, act.After, op, cloneOps(ops))
		}
		if act.Do == Late {
			return fmt.Errorf("%w: injected: no reply to %s", metastore.ErrUnknown, op)
		}
		err := apply(ctx, ops)
		if act.Do == Retry {
			err = apply(ctx, ops)
		}
		return err
	})
}

// run sleeps and fails as act says, and otherwise calls f and loses its answer if act says so.
func (s *Store) run(ctx context.Context, act Action, f func() error) error {
	if act.Do == CrashFirst {
		s.Crash(true)
	}
	if err := s.sleep(ctx, act.Delay); err != nil {
		return err
	}
	if act.Do == Fail {
		return act.Err
	}
	err := f()
	if act.Do == CrashAfter {
		s.Crash(true)
	}
	if down := s.down(); down != nil {
		return down
	}
	if act.Do == Lose {
		return fmt.Errorf("%w: injected: the reply is lost", metastore.ErrUnknown)
	}
	return err
}

// sleep returns nil after d, or an error if ctx ended or the store crashed first.
func (s *Store) sleep(ctx context.Context, d time.Duration) error {
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", metastore.ErrUnknown, context.Cause(ctx))
		case <-s.crashed:
		}
	}
	return s.down()
}

func (s *Store) down() error {
	select {
	case <-s.crashed:
		return fmt.Errorf("%w: %w", metastore.ErrUnknown, ErrCrashed)
	default:
		return nil
	}
}

// later applies ops after d, whatever happens to ctx, unless a crash drops them.
func (s *Store) later(ctx context.Context, d time.Duration, op Op, ops []metastore.Op) {
	s.mu.Lock()
	s.mu.pending++
	s.mu.Unlock()
	ctx = context.WithoutCancel(ctx)
	s.late.Go(func() {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			if op == Write {
				_, _ = s.inner.Write(ctx, ops[0])
			} else {
				_ = s.inner.Transact(ctx, ops)
			}
		case <-s.dropped:
		}
		s.mu.Lock()
		s.mu.pending--
		s.mu.Unlock()
	})
}

// cloneOps copies what the caller may change once its call has returned.
func cloneOps(ops []metastore.Op) []metastore.Op {
	ops = slices.Clone(ops)
	for i := range ops {
		op := &ops[i]
		op.Set, op.Add, op.Remove, op.If = op.Set.Clone(), maps.Clone(op.Add), slices.Clone(op.Remove), slices.Clone(op.If)
	}
	return ops
}
