package simtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/varvelog/varve/metastore"
	factsmem "github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/objstore"
)

// coreTable is the table: every write that is applied is seen by the oracle, and eventual reads may be stale.
type coreTable struct {
	w    *coreWorld
	mem  *factsmem.Store
	by   *coreSession // whose call it is; nil: of a start
	late bool         // and it comes after its caller gave up
	past map[string][]coreVersion
}

// coreVersion is an item as it was until a moment.
type coreVersion struct {
	item  metastore.Item
	until time.Duration
}

// coreStale is how old an eventual read may be.
const coreStale = 2 * time.Second

func (t *coreTable) Get(ctx context.Context, key metastore.Key, c metastore.Consistency) (metastore.Item, error) {
	if c == metastore.Eventual && t.w.faulty() && t.w.chance(t.w.plan.table.stale) {
		for _, v := range t.past[key.PK] {
			if t.w.now-v.until <= coreStale && v.item != nil {
				t.w.some("stale read served")
				return v.item.Clone(), nil
			}
		}
	}
	return t.mem.Get(ctx, key, c)
}

func (t *coreTable) Query(ctx context.Context, q metastore.Query) (metastore.Page, error) {
	return t.mem.Query(ctx, q)
}

func (t *coreTable) Write(ctx context.Context, op metastore.Op) (metastore.Item, error) {
	before := t.before(op.Key)
	item, err := t.mem.Write(ctx, op)
	if err == nil {
		t.applied(op.Key, before, item)
		t.w.oracle.settle()
	}
	return item, err
}

func (t *coreTable) Transact(ctx context.Context, ops []metastore.Op) error {
	before := make([]metastore.Item, len(ops))
	for i, op := range ops {
		before[i] = t.before(op.Key)
	}
	err := t.mem.Transact(ctx, ops)
	for i, op := range ops {
		if err == nil && op.Kind != metastore.OpCheck {
			after, _ := t.mem.Get(ctx, op.Key, metastore.Consistent)
			t.applied(op.Key, before[i], after)
		}
	}
	if err == nil {
		t.w.oracle.settle()
	}
	return err
}

// before is an item as it is, of those that are read eventually.
func (t *coreTable) before(key metastore.Key) metastore.Item {
	if key.SK != "-" && key.SK != "VER" || t.w.plan.table.stale == 0 {
		return nil
	}
	item, err := t.mem.Get(context.Background(), key, metastore.Consistent)
	if err != nil {
		return nil
	}
	return item
}

func (t *coreTable) applied(key metastore.Key, before, after metastore.Item) {
	if before != nil {
		past := append(t.past[key.PK], coreVersion{before, t.w.now})
		t.past[key.PK] = past[max(0, len(past)-3):]
	}
	switch {
	case strings.HasPrefix(key.PK, "c/S#") && key.SK == "-":
		t.w.oracle.session(key.PK[len("c/S#"):], after)
	case strings.HasPrefix(key.PK, "c/S#"):
		t.w.oracle.pinned(key.PK[len("c/S#"):], after)
	case key.PK == "c/M":
		t.w.oracle.slot(after)
	}
}

// coreFate is what becomes of a call.
type coreFate struct {
	unknown, throttled, conflict error
	timeout                      time.Duration
}

var (
	coreTableFate = coreFate{metastore.ErrUnknown, metastore.ErrThrottled, metastore.ErrConflict, 5 * time.Second}
	coreStoreFate = coreFate{objstore.ErrUnknown, objstore.ErrThrottled, objstore.ErrThrottled, 20 * time.Second}
)

// table calls the metastore from a node. do applies the call and may run twice, or long after answer; what it found counts when
// answer hears nil, or an error that is neither unknown nor a refusal for now.
func (n *coreNode) table(write bool, do func() error, back func(func()), answer func(error)) {
	w, by := n.w, n.session
	w.call(n, &w.plan.table, coreTableFate, write, n.cutTable, func(late bool) error {
		w.facts.by, w.facts.late = by, late
		err := do()
		w.facts.by, w.facts.late = nil, false
		return err
	}, back, answer)
}

// store calls the object store from a node.
func (n *coreNode) store(write bool, do func() error, back func(func()), answer func(error)) {
	n.w.call(n, &n.w.plan.store, coreStoreFate, write, n.cutStore, func(bool) error { return do() }, back, answer)
}

// call draws what becomes of a call. back delivers the answer to whoever called, if he lives.
func (w *coreWorld) call(n *coreNode, f *coreFaults, fate coreFate, write bool, cut *coreCut, do func(late bool) error, back func(func()), answer func(error)) {
	there, home := w.span(time.Millisecond, 15*time.Millisecond), w.span(time.Millisecond, 15*time.Millisecond)
	reply := func(d time.Duration, err error) { w.after(d, func() { back(func() { answer(err) }) }) }
	if w.faulty() && f.slow > 0 && w.rnd.IntN(50) == 0 {
		there += w.span(0, f.slow)
	}
	switch {
	case cut.there && cut.home:
		reply(fate.timeout, fate.unknown)
		return
	case w.faulty() && w.chance(f.throttle):
		reply(there+home, fate.throttled)
		return
	case w.faulty() && write && w.chance(f.conflict):
		reply(there+home, fate.conflict)
		return
	case cut.there || w.faulty() && w.chance(f.lostRequest):
		reply(w.span(there, fate.timeout), fate.unknown)
		return
	case write && w.faulty() && w.chance(f.late):
		d := w.span(0, fate.timeout)
		if w.rnd.IntN(3) == 0 {
			d = w.span(0, 3*time.Minute)
		}
		w.after(d, func() { _ = do(true) })
		reply(min(fate.timeout, w.span(there, fate.timeout)), fate.unknown)
		return
	}
	lost := cut.home || w.faulty() && w.chance(f.lostReply)
	twice := write && w.faulty() && w.chance(f.twice)
	w.after(there, func() {
		err := do(false)
		switch {
		case lost || there+home > fate.timeout:
			reply(max(0, fate.timeout-there), fate.unknown)
		case twice && w.rnd.IntN(2) == 0: // somebody on the way repeated it, and the second answer is the one that comes
			again := w.span(time.Millisecond, time.Second)
			w.after(again, func() {
				w.some("a call was done twice")
				err := do(false)
				reply(home, err)
			})
		case twice: // or long after
			w.after(w.span(time.Second, 2*time.Minute), func() { _ = do(true) })
			reply(home, err)
		default:
			reply(home, err)
		}
	})
}

// coreRoutine is code that waits for its calls, on a goroutine that runs only while the scheduler waits for it: its next call, or its
// end. So a seed replays exactly.
type coreRoutine struct {
	n       *coreNode
	back    func(func())
	ctx     context.Context
	cancel  context.CancelFunc
	calls   chan *coreCall
	done    chan struct{}
	waiting *coreCall
	dead    bool
	finish  func()
}

type coreCall struct {
	table, write bool
	do           func() error
	err          error
	ready        chan struct{}
}

var errCoreDead = errors.New("the process is gone")

// routine runs f; finish hears when it has returned, at a moment of the scheduler.
func (n *coreNode) routine(back func(func()), f func(r *coreRoutine), finish func()) *coreRoutine {
	r := &coreRoutine{n: n, back: back, calls: make(chan *coreCall), done: make(chan struct{}), finish: finish}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(r.done)
		f(r)
	}()
	n.routines = append(n.routines, r)
	r.pump()
	return r
}

// pump lets the routine go on until it calls or ends.
func (r *coreRoutine) pump() {
	for {
		select {
		case c := <-r.calls:
			if r.dead {
				c.err = errCoreDead
				close(c.ready)
				continue
			}
			r.waiting = c
			send := r.n.store
			if c.table {
				send = r.n.table
			}
			send(c.write, c.do, r.back, func(err error) {
				if r.dead {
					return
				}
				r.waiting, c.err = nil, err
				close(c.ready)
				r.pump()
			})
			return
		case <-r.done:
			r.cancel()
			if !r.dead {
				r.dead = true
				r.finish()
			}
			return
		}
	}
}

// kill ends the routine: what it has under way may still arrive.
func (r *coreRoutine) kill() {
	if r.dead {
		return
	}
	r.dead = true
	r.cancel()
	if r.waiting != nil {
		r.waiting.err = errCoreDead
		close(r.waiting.ready)
	}
	r.pump()
}

func (r *coreRoutine) call(ctx context.Context, table, write bool, do func() error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", errCoreDead, ctx.Err())
	}
	c := &coreCall{table: table, write: write, do: do, ready: make(chan struct{})}
	r.calls <- c
	<-c.ready
	return c.err
}

// coreFacts is the metastore as a routine sees it; another routine may take its place when that one has ended.
type coreFacts struct{ door *coreRoutine }

func (f *coreFacts) Get(ctx context.Context, key metastore.Key, c metastore.Consistency) (item metastore.Item, err error) {
	err = f.door.call(ctx, true, false, func() (err error) {
		item, err = f.door.n.w.facts.Get(context.Background(), key, c)
		return err
	})
	return item, err
}

func (f *coreFacts) Query(ctx context.Context, q metastore.Query) (page metastore.Page, err error) {
	err = f.door.call(ctx, true, false, func() (err error) {
		page, err = f.door.n.w.facts.Query(context.Background(), q)
		return err
	})
	return page, err
}

func (f *coreFacts) Write(ctx context.Context, op metastore.Op) (item metastore.Item, err error) {
	err = f.door.call(ctx, true, true, func() (err error) {
		item, err = f.door.n.w.facts.Write(context.Background(), op)
		return err
	})
	return item, err
}

func (f *coreFacts) Transact(ctx context.Context, ops []metastore.Op) error {
	return f.door.call(ctx, true, true, func() error { return f.door.n.w.facts.Transact(context.Background(), ops) })
}

// coreObjects is the object store as a replay sees it: it only reads.
type coreObjects struct {
	objstore.Store
	*coreRoutine
}

func (r coreObjects) Get(ctx context.Context, key string, rng objstore.Range) (o objstore.Object, err error) {
	err = r.call(ctx, false, false, func() (err error) {
		o, err = r.n.w.objects.Get(context.Background(), key, rng)
		return err
	})
	return o, err
}
