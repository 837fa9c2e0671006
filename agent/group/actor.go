package group

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// The bounds of an actor.
const (
	maxQueue = 20_000          // requests that wait for a group; more are told ErrLoading
	idleTime = 5 * time.Second // a group without members that nobody asks for leaves memory after it
)

// message is what an actor is told: a request, or the end of a write.
type message struct {
	needs do                            // of a request
	serve func(a *actor, now time.Time) // does it, once the group is loaded
	fail  func(err error)               // answers it with an error
	gone  func()                        // answers it if there is no such group; nil: it makes one
	watch bool                          // it only looks: the group does not stay in memory for it
	wrote []pageWrite                   // no request, but a write that ended
	err   error                         // of the write
}

// do says what a request needs besides a loaded group.
type do uint8

const (
	inMemory  do = iota // nothing
	confirmed           // that the claim still stands
)

// actor owns one group.
type actor struct {
	c     *Coordinator
	name  string
	ctx   context.Context
	stop  context.CancelCauseFunc
	kick  chan struct{} // holds one
	store *store

	state atomic.Pointer[string] // as List tells it; nil: not loaded

	mu struct {
		sync.Mutex
		queue []message
	}

	// Of the goroutine.
	taken   []message // together, and not handled yet
	loaded  bool
	absent  bool // of the messages that were taken together: there is no such group, as a read says that began after they came
	sure    bool // likewise: the claim stands
	core    core
	steps   steps
	pages   map[pageKey]*page
	dirty   map[pageKey]bool // pages to be written
	ready   map[pageKey]bool // pages whose write is due
	flushed time.Time
	flushAt time.Time
	tickAt  time.Time
	touched time.Time // when somebody asked last
	writers int
	beside  sync.WaitGroup
	failure error // why the group must be dropped
}

// put adds a message; it reports false if too many wait.
func (a *actor) put(m message) bool {
	a.mu.Lock()
	full := len(a.mu.queue) >= maxQueue && m.wrote == nil
	if !full {
		a.mu.queue = append(a.mu.queue, m)
	}
	a.mu.Unlock()
	select {
	case a.kick <- struct{}{}:
	default:
	}
	return !full
}

func (a *actor) take() []message {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.mu.queue
	a.mu.queue = nil
	return all
}

// run serves the group until it is idle, dropped, or stopped.
func (a *actor) run() {
	err := a.live()
	a.stop(err)
	a.c.forget(a)
	a.beside.Wait()
	a.end(err)
}

// live returns why it ended; nil: nobody needs the group in memory, and nothing waits.
func (a *actor) live() (err error) {
	defer func() {
		if v := recover(); v != nil {
			a.c.log.Error("panic in a group", "group", a.name, "panic", v, "stack", string(debug.Stack()))
			err = ErrUnavailable
		}
	}()
	for {
		a.absent, a.sure = false, false
		for a.taken = a.take(); len(a.taken) > 0; {
			m := a.taken[0]
			a.taken = a.taken[1:]
			a.handle(m)
		}
		a.taken = nil
		now := time.Now()
		if a.failure == nil && a.loaded {
			a.tick(now)
			a.persist(now, false)
		}
		if a.failure == nil && a.loaded {
			a.flush(now)
		}
		if a.failure != nil {
			return a.failure
		}
		if a.idle(now) && a.c.retire(a) {
			return nil
		}
		if err := a.wait(now); err != nil {
			return err
		}
	}
}

// wait for a message, for the next thing that is due, or for the end.
func (a *actor) wait(now time.Time) error {
	var next time.Time
	for _, t := range []time.Time{a.tickAt, a.flushAt, a.steps.saveAt, a.idleAt()} {
		next = earlier(next, t)
	}
	var due <-chan time.Time
	if !next.IsZero() {
		timer := time.NewTimer(max(next.Sub(now), time.Millisecond))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-a.kick:
	case <-due:
	case <-a.ctx.Done():
		return context.Cause(a.ctx)
	}
	return nil
}

// idleAt is when the group may leave memory; zero: not while nothing happens.
func (a *actor) idleAt() time.Time {
	if a.loaded && (!a.core.Idle() || a.steps.waiting() || a.writers > 0 || len(a.dirty) > 0 || len(a.ready) > 0) {
		return time.Time{}
	}
	return a.touched.Add(idleTime)
}

// idle reports that the group may leave memory.
func (a *actor) idle(now time.Time) bool {
	at := a.idleAt()
	return !a.loaded || !at.IsZero() && !now.Before(at)
}

// handle does one message.
func (a *actor) handle(m message) {
	if m.wrote != nil {
		a.wrote(m.wrote, m.err)
		return
	}
	if a.failure == nil && !a.loaded && (!a.absent || m.gone == nil) {
		a.failure = a.load(m.gone == nil)
		a.absent, a.sure = !a.loaded, a.loaded
	}
	if a.failure == nil && a.loaded && m.needs == confirmed && !a.sure {
		a.failure = a.store.confirm(a.ctx)
		a.sure = a.failure == nil
	}
	now := time.Now()
	if !m.watch {
		a.touched = now
	}
	switch {
	case a.failure != nil:
		m.fail(a.failure)
	case !a.loaded:
		m.gone()
	default:
		m.serve(a, now)
	}
}

// end answers whoever still waits.
func (a *actor) end(err error) {
	if err == nil {
		return
	}
	if !errors.Is(err, ErrNotCoordinator) {
		a.c.log.Warn("a group leaves memory; it is read again when somebody asks", "group", a.name, "err", err)
	}
	for _, m := range append(a.taken, a.take()...) {
		if m.wrote != nil {
			a.wrote(m.wrote, m.err)
		} else {
			m.fail(err)
		}
	}
	a.steps.answer(err)
	if a.core == nil {
		return
	}
	for _, p := range a.pages {
		for _, c := range p.waiting {
			c.settle(err)
		}
		p.waiting = nil
	}
	a.steps.collect(a.core.Abort(err))
	a.steps.answer(nil)
}
