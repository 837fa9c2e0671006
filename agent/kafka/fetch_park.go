package kafka

import (
	"context"
	"sync"
	"time"

	"github.com/varvelog/varve/agent/fetch"
	"github.com/varvelog/varve/agent/partition"
)

// maxParked is how many partitions the parked Fetches of a server may have together: what each of them takes in memory is
// many times its bytes on the wire.
const maxParked = 500_000

// park makes a Fetch known to the requests that come behind it.
func (c *conn) park(op *fetchOp) {
	c.mu.Lock()
	c.mu.parked[op] = struct{}{}
	c.mu.Unlock()
	op.sl.letGo() // it may stay for long, and is bounded by the number of its partitions
	op.weight = int64(len(op.parts))
	op.hasty = c.s.parked.Add(op.weight) > maxParked
}

func (c *conn) unpark(op *fetchOp) {
	c.mu.Lock()
	delete(c.mu.parked, op)
	c.mu.Unlock()
	c.s.parked.Add(-op.weight)
}

// nudge makes parked Fetches answer early, because a request waits behind them: a client with one connection for all would
// else wait for MaxWait. That happens at most once in a quarter of MaxWait, else a client that asks often would turn long
// polls into a spin.
func (c *conn) nudge() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.mu.parked) == 0 {
		return
	}
	gap := time.Duration(0)
	for op := range c.mu.parked {
		gap = max(gap, op.wait/4)
	}
	now := time.Now()
	if !c.mu.nudged.After(now) { // else one is due already
		c.mu.nudged = c.mu.nudged.Add(gap)
		if !c.mu.nudged.After(now) {
			c.mu.nudged = now
		}
	}
	for op := range c.mu.parked {
		select {
		case op.early <- c.mu.nudged.Sub(now):
		default:
		}
	}
}

// run is the goroutine of a Fetch that has to wait: for the store, for a confirmation, or for records.
func (op *fetchOp) run() {
	if op.unknown {
		op.learn(op.c.ctx)
	}
	op.await()
	op.c.unpark(op)
	op.respond()
}

// await watches the partitions until there is enough to answer.
func (op *fetchOp) await() {
	ctx := op.c.ctx
	op.watch()
	defer op.unwatch()
	over := false
	for {
		if op.missed {
			op.load(ctx)
		}
		if over || op.ready() || ctx.Err() != nil {
			return
		}
		over = op.pause(ctx)
		op.collect()
	}
}

// watch begins to wait for changes and for the end of MaxWait.
func (op *fetchOp) watch() {
	left := op.wait - time.Since(op.began)
	if op.waiter == nil {
		op.waiter, op.timer = partition.NewWaiter(), time.NewTimer(left)
	} else {
		op.timer.Reset(left)
	}
	for i := range op.parts {
		if p := op.parts[i].p; p != nil {
			p.Watch(op.waiter)
			op.watched = append(op.watched, p)
		}
	}
}

// unwatch ends watch: nothing wakes the waiter afterwards, so that it may serve another Fetch.
func (op *fetchOp) unwatch() {
	op.timer.Stop()
	for _, p := range op.watched {
		p.Unwatch(op.waiter)
	}
	clear(op.watched)
	op.watched = op.watched[:0]
	select {
	case <-op.waiter.C:
	default:
	}
}

// maxFinds is how many unknown topics of a Fetch are looked for.
const maxFinds = 16

// learn looks in the store for topics that are not known here, for findTime in all.
func (op *fetchOp) learn(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, findTime)
	defer cancel()
	last := partKey{}
	for i, n := 0, 0; i < len(op.parts) && n < maxFinds; i++ {
		part := &op.parts[i]
		if part.p != nil || part.key.sameTopic(&last) {
			continue
		}
		if last = part.key; op.sl.hdr.version >= 13 {
			op.c.s.findID(ctx, last.id)
		} else {
			op.c.s.find(ctx, last.topic)
		}
		n++
	}
	op.find()
	op.collect()
}

// pause waits for a change, and reports whether the waiting is over.
func (op *fetchOp) pause(ctx context.Context) (over bool) {
	var soon <-chan time.Time
	for {
		select {
		case <-op.waiter.C:
			return false
		case <-op.timer.C:
			return true
		case <-soon:
			return true
		case <-ctx.Done():
			return true
		case d := <-op.early:
			if d <= 0 || op.c.draining.Load() {
				return true
			}
			soon = time.After(d)
		}
	}
}

// loadsAtOnce is how many partitions of one Fetch are loaded from the store at the same time; the others come next time.
const loadsAtOnce = 16

// load confirms what must be confirmed and reads what is not in memory. It leaves missed unset.
func (op *fetchOp) load(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	op.confirm(ctx)
	op.collect()
	missed := op.misses()
	op.missed, op.loaded = false, true
	if len(missed) > 0 {
		op.readAll(ctx, missed)
	}
}

// readAll reads partitions from the store, at once, each what comes first and, up to an equal share of what is left of the limit, what is in
// memory besides.
func (op *fetchOp) readAll(ctx context.Context, parts []*fetchPart) {
	type result struct {
		slices []fetch.Slice
		n      int
		err    error
	}
	op.held += op.c.hold(int64(op.maxBytes - op.size))
	share := max(int(op.held)-op.size, 0) / len(parts)
	first := op.size == 0
	got := make([]result, len(parts))
	read := func(i int) {
		part := parts[i]
		before := part.look.hw
		if op.stable {
			before = part.look.stable
		}
		g := &got[i]
		g.slices, g.n, g.err = op.c.s.deps.Reader.Read(ctx, part.request(before, min(part.most(), share), first && i == 0, fetch.Await), nil)
	}
	var others sync.WaitGroup
	for i := 1; i < len(parts); i++ {
		others.Go(func() { defer op.c.rescue(); read(i) })
	}
	read(0)
	others.Wait()
	for i, g := range got {
		op.slices = append(op.slices, g.slices...)
		op.add(parts[i], g.n)
		if g.n == 0 && g.err != nil {
			op.failed(parts[i], g.err)
		}
	}
	op.settle()
}

// misses are the partitions of which nothing was in memory, some of them.
func (op *fetchOp) misses() (missed []*fetchPart) {
	for i := range op.parts {
		if part := &op.parts[i]; part.miss && len(missed) < loadsAtOnce {
			missed = append(missed, part)
		}
	}
	return missed
}

// warm starts to load partitions that a Fetch missed, so that they are in memory when they are asked for again. Whether that succeeds is
// that request's business.
func (c *conn) warm(missed []*fetchPart) {
	ahead := make([]fetch.Request, len(missed))
	for i, part := range missed {
		ahead[i] = part.request(part.look.hw, part.most(), true, fetch.Load)
	}
	ctx, cancel := context.WithTimeout(c.ctx, storeTime)
	var loads sync.WaitGroup
	for _, q := range ahead {
		loads.Add(1)
		c.spawn(func() {
			defer loads.Done()
			c.s.deps.Reader.Warm(ctx, q)
		})
	}
	c.spawn(func() { loads.Wait(); cancel() })
}

// failed answers a partition that could not be read. What is gone because the log start has moved above it meanwhile is out of
// range; anything else that is gone is an alarm.
func (op *fetchOp) failed(part *fetchPart, err error) {
	op.urgent = true
	if st, e := part.p.State(); e != nil {
		part.look.code = codeOf(e, codeUnknown)
		return
	} else if part.want.offset < st.LogStart {
		part.outOfRange()
		return
	}
	part.look.code = readCode(err)
	if op.c.ctx.Err() == nil {
		op.c.s.log.Error("read for a consumer", "topic", part.name, "partition", part.key.index,
			"offset", part.want.offset, "error", err)
	}
}

// confirm makes sure that this agent still leads before it says that an offset lies above the log end: a leader that was
// frozen and fenced must not send a consumer back to the start (FE11, invariant I7). One answer is good for all partitions
// that were looked at before it was asked for.
func (op *fetchOp) confirm(ctx context.Context) {
	var above []*fetchPart
	for i := range op.parts {
		if part := &op.parts[i]; part.p != nil && part.look.code == codeNone && part.inspect(op.stable) < 0 {
			above = append(above, part)
		}
	}
	if len(above) == 0 {
		return
	}
	err := op.c.s.deps.Cluster.Confirm(ctx)
	for _, part := range above {
		if part.confirmed = err == nil; err != nil {
			part.p, part.code = nil, codeNotLeaderOrFollower
		}
	}
}

// endSessions forgets the fetch sessions of a connection that is over.
func (c *conn) endSessions() {
	c.mu.Lock()
	n := 0
	for _, s := range c.mu.sessions.list {
		n += len(s.parts)
	}
	c.mu.sessions.list = nil
	c.mu.Unlock()
	c.s.sessions.Add(-int64(n))
}
