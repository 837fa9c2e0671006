package simtest

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/partition"
	"github.com/varvelog/varve/agent/wal"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

func sortedSlots(m map[uint16]bool) []uint16 { return slices.Sorted(maps.Keys(m)) }

func (w *coreWorld) slotOf(part int) uint16 { return uint16(part % w.plan.slots) }

func (w *coreWorld) partition(s *coreSession, part int) (*partition.Partition, error) {
	return s.set.Get(partition.ID{Topic: coreTopic, Index: int32(part)}, "t", w.slotOf(part))
}

// coreProducer is an idempotent producer of one partition: five batches in flight at most; after an error it waits for what is
// out, and sends again from the first batch that was not acked, in order.
type coreProducer struct {
	w       *coreWorld
	part    int
	id      int64
	next    int32
	flight  []*coreBatch
	to      uuid.UUID // who leads, as far as is known
	conn    int       // answers to an earlier one do not count
	arrives time.Duration
	line    *coreLine // of requests on their way
	broken  bool      // something failed: nothing is sent until all that is out is answered
	sure    bool      // a batch was acked by this leader: more than one may be in flight
	stopped bool
	gen     uint64
}

// coreLine is the requests on a connection, in order: an agent that was frozen takes up what came meanwhile in any order, but what
// came over one connection in its own.
type coreLine struct {
	conn int
	to   *coreSession
	on   []func()
}

// take lets the agent have the next request.
func (l *coreLine) take() {
	next := l.on[0]
	l.on = l.on[1:]
	next()
}

type coreBatch struct {
	seq, n int32
	bytes  []byte
	out    bool
	acked  bool
	failed int // times
}

func newCoreProducer(w *coreWorld, part int, id int64) *coreProducer {
	p := &coreProducer{w: w, part: part, id: id}
	w.after(w.span(0, 5*time.Second), p.produce)
	return p
}

// produce makes a batch now and then.
func (p *coreProducer) produce() {
	if p.stopped {
		return
	}
	if len(p.flight) < 5 {
		p.flight = append(p.flight, p.batch())
		p.send()
	}
	p.w.after(p.w.span(p.w.plan.produce/4, 2*p.w.plan.produce), p.produce)
}

func (p *coreProducer) batch() *coreBatch {
	b := &coreBatch{seq: p.next, n: 1 + int32(p.w.rnd.IntN(3))}
	p.next += b.n
	bl := recordbatch.Builder{Producer: &recordbatch.Producer{ID: p.id, Sequence: b.seq}}
	rs := make([]recordbatch.Record, b.n)
	for i := range rs {
		rs[i] = recordbatch.Record{Timestamp: 1, Value: make([]byte, 10+p.w.rnd.IntN(200))}
	}
	bytes, err := bl.Append(nil, rs)
	if err != nil {
		p.w.fail("build a batch: %v", err)
	}
	b.bytes = bytes
	return b
}

// send sends what is to be sent, in order.
func (p *coreProducer) send() {
	for len(p.flight) > 0 && p.flight[0].acked {
		p.flight = p.flight[1:]
	}
	out := 0
	for _, b := range p.flight {
		if b.out {
			out++
		}
	}
	if p.broken {
		if out > 0 {
			return
		}
		p.broken, p.sure = false, false
		p.conn++
		p.refresh()
	}
	s := p.w.sessions[p.to]
	if s == nil {
		p.refresh()
		if s = p.w.sessions[p.to]; s == nil {
			p.later()
			return
		}
	}
	for _, b := range p.flight {
		if b.out || b.acked {
			continue
		}
		if !p.sure && !(p.w.plan.java && p.flight[0].seq > 0) && out > 0 {
			return
		}
		out++
		p.request(s, b)
	}
}

// later tries again.
func (p *coreProducer) later() {
	p.gen++
	mine := p.gen
	p.w.after(p.w.span(50*time.Millisecond, 500*time.Millisecond), func() {
		if p.gen == mine {
			p.send()
		}
	})
}

// refresh asks any agent who leads.
func (p *coreProducer) refresh() {
	n := p.w.nodes[p.w.rnd.IntN(len(p.w.nodes))]
	if s := n.session; s != nil && s.view != nil && !n.frozen {
		p.to = s.view.Slots[p.w.slotOf(p.part)].Session
	}
}

// request is one batch on its way, on the connection that there is.
func (p *coreProducer) request(s *coreSession, b *coreBatch) {
	w, conn := p.w, p.conn
	b.out = true
	answered := false
	answer := func(d time.Duration, base int64, err error) {
		w.after(d, func() {
			if answered || p.conn != conn {
				return
			}
			answered = true
			p.answered(s, b, base, err)
		})
	}
	answer(10*time.Second, 0, errCoreTimeout)
	p.arrives = max(p.arrives+1, w.now+w.span(time.Millisecond, 20*time.Millisecond))
	if s.dead {
		answer(5*time.Millisecond, 0, errCoreRefused)
		return
	}
	if p.line == nil || p.line.conn != conn || p.line.to != s {
		p.line = &coreLine{conn: conn, to: s}
	}
	line, back := p.line, s.back()
	line.on = append(line.on, func() {
		p.arrived(s, b, func(base int64, err error) {
			if w.faulty() && w.rnd.IntN(60) == 0 {
				return // the answer is lost
			}
			answer(w.span(time.Millisecond, 20*time.Millisecond), base, err)
		})
	})
	w.after(p.arrives-w.now, func() { back(line.take) })
}

var (
	errCoreTimeout = errors.New("no answer")
	errCoreRefused = errors.New("connection refused")
)

// coreDone answers a request when its batch is committed.
type coreDone func(err error)

// Appended implements Done.
func (f coreDone) Appended(_ int, err error) { f(err) }

// coreAnswer is one that a Set gave.
type coreAnswer struct {
	producer int64
	seq      int32
	f        func()
}

// answer passes on what the Set answered meanwhile, in an order of its own: that of a Set is the order of a map.
func (s *coreSession) answer() {
	all := s.dones
	s.dones = nil
	slices.SortStableFunc(all, func(a, b coreAnswer) int {
		return cmp.Or(cmp.Compare(a.producer, b.producer), cmp.Compare(a.seq, b.seq))
	})
	for _, a := range all {
		a.f()
	}
}

// arrived is the request at an agent.
func (p *coreProducer) arrived(s *coreSession, b *coreBatch, answer func(int64, error)) {
	if s.stopping {
		answer(0, errCoreRefused)
		return
	}
	part, err := p.w.partition(s, p.part)
	if err != nil {
		answer(0, err)
		return
	}
	base := int64(0)
	got, err := part.Append(partition.Append{
		Batch: slices.Clone(b.bytes), Now: 1, LogAppendTime: true, Done: coreDone(func(err error) {
			s.dones = append(s.dones, coreAnswer{p.id, b.seq, func() { answer(base, err) }})
		}),
	})
	base = got.Base
	if err != nil || !got.Pending {
		if err == nil {
			p.w.some("duplicate answered")
		}
		answer(base, err)
	}
}

// answered takes in what became of a batch.
func (p *coreProducer) answered(s *coreSession, b *coreBatch, base int64, err error) {
	b.out = false
	if err == nil {
		b.acked, p.sure = true, true
		p.w.oracle.acked(p.part, coreBatchID{p.id, b.seq}, base)
		p.send()
		return
	}
	b.failed++
	it := p.w.oracle.slots[p.w.slotOf(p.part)]
	leads := it != nil && it.Leader == s.id && !s.dead && p.w.oracle.sessions[s.id].State == records.Active
	switch {
	case errors.Is(err, partition.ErrProducerEpoch) || errors.Is(err, partition.ErrTimestamp):
		p.w.fail("partition %d: %s refuses a batch: %v", p.part, s, err)
	case errors.Is(err, partition.ErrOutOfOrder) && leads && p.flight[0] == b && p.w.oracle.parts[p.part].next[p.id] == b.seq:
		p.w.fail("B1: partition %d: %s, the leader, does not take sequence %d, the next one of producer %d: %v", p.part, s, b.seq, p.id, err)
	case errors.Is(err, partition.ErrDraining):
		p.w.some("batch refused by a draining slot")
	}
	if errors.Is(err, errCoreTimeout) { // the connection is closed
		p.conn++
		for _, x := range p.flight {
			x.out = false
		}
	}
	p.broken = true
	p.later()
}

// coreReader reads what is committed, wherever the views say.
type coreReader struct {
	w    *coreWorld
	part int
	pos  int64
	high int32              // epoch
	hw   map[[2]int64]int64 // by epoch
}

func (r *coreReader) read() {
	w := r.w
	w.after(w.span(time.Second, 8*time.Second), r.read)
	n := w.nodes[w.rnd.IntN(len(w.nodes))]
	if n.session == nil || n.session.view == nil {
		return
	}
	s := w.sessions[n.session.view.Slots[w.slotOf(r.part)].Session]
	if s == nil || s.dead || s.n.frozen || s.stopping {
		return
	}
	part, err := w.partition(s, r.part)
	if err != nil {
		return
	}
	state, err := part.State()
	if err != nil {
		return
	}
	p := &w.oracle.parts[r.part]
	key := [2]int64{int64(state.Epoch)}
	switch {
	case state.HighWatermark > p.end:
		w.fail("I7: partition %d: %s shows a high watermark of %d, committed is up to %d", r.part, s, state.HighWatermark, p.end)
	case state.HighWatermark < r.hw[key]:
		w.fail("V7: partition %d: the high watermark of e%d goes back at %s: %d -> %d", r.part, state.Epoch, s, r.hw[key], state.HighWatermark)
	case state.Epoch < r.high:
		w.some("read from a leader of old")
	case state.HighWatermark < p.seen:
		w.fail("V7: partition %d: %s, e%d, shows a high watermark of %d, %d was shown before", r.part, s, state.Epoch, state.HighWatermark, p.seen)
	}
	r.hw[key], r.high, p.seen = state.HighWatermark, max(r.high, state.Epoch), max(p.seen, state.HighWatermark)
	r.fetch(s, part, state)
}

// fetch reads on: without a skip, and what is in the log.
func (r *coreReader) fetch(s *coreSession, part *partition.Partition, state partition.State) {
	p := &r.w.oracle.parts[r.part]
	r.pos = max(r.pos, state.LogStart)
	if state.LogStart > p.start {
		r.w.fail("partition %d: %s starts its log at %d, not at %d", r.part, s, state.LogStart, p.start)
	}
	for _, loc := range part.Locate(nil, r.pos, 1<<20) {
		if loc.Base > r.pos {
			r.w.fail("V6: partition %d: %s skips from %d to %d", r.part, s, r.pos, loc.Base)
		}
		r.pos = loc.Next
		i, ok := slices.BinarySearchFunc(p.runs, loc.Base, func(run coreRun, base int64) int { return int(run.base - base) })
		switch {
		case loc.Next <= p.start || loc.Object.Kind == bundle.PACK: // gone since; or looked at by compareRuns
		case !ok || p.runs[i] != (coreRun{loc.Base, loc.Next, loc.Object.Session, loc.Object.Seq}):
			r.w.fail("V2: partition %d: %s reads %v", r.part, s, loc)
		}
	}
	if r.pos < state.HighWatermark {
		r.w.fail("V6: partition %d: %s shows a high watermark of %d and nothing after %d", r.part, s, state.HighWatermark, r.pos)
	}
}

// deleteRecords moves a log start, as a client asks.
func (w *coreWorld) deleteRecords() {
	w.after(w.span(w.plan.deleteRecords/2, w.plan.deleteRecords), w.deleteRecords)
	part := w.rnd.IntN(w.plan.parts())
	w.deleteFrom(part, w.rnd.IntN(3) > 0)
}

// deleteFrom moves the log start of a partition to the high watermark, or to somewhere below.
func (w *coreWorld) deleteFrom(part int, all bool) {
	it := w.oracle.slots[w.slotOf(part)]
	if it == nil {
		return
	}
	s := w.sessions[it.Leader]
	if s == nil || s.dead || s.n.frozen || s.stopping {
		return
	}
	p, err := w.partition(s, part)
	if err != nil {
		return
	}
	state, err := p.State()
	if err != nil || state.HighWatermark == state.LogStart {
		return
	}
	to := state.HighWatermark
	if !all {
		to = state.LogStart + 1 + w.rnd.Int64N(state.HighWatermark-state.LogStart)
	}
	id, name, slot, epoch := p.Place()
	_ = p.Queue(func() {
		s.log.queue([]wal.Control{{
			Op:    bundle.Op{Kind: bundle.OpLogStart, Slot: slot, Epoch: epoch, Partition: id.Index, Offset: to},
			Topic: bundle.Topic{ID: id.Topic, Name: name},
		}}, func(error) {})
	})
}

// collect deletes at once what may be deleted, as the session items say. A list of what is there is part of it.
func (w *coreWorld) collect() {
	w.after(w.span(10*time.Second, 40*time.Second), w.collect)
	for _, key := range slices.Sorted(maps.Keys(w.oracle.objects)) {
		x := w.oracle.objects[key]
		if !x.exists {
			continue
		}
		s := w.oracle.sessions[x.session]
		drained := s.State == records.Drained
		orphan := s.State != records.Active && s.State != records.Fenced && x.seq > 0 && int64(x.seq) >= s.End
		if drained || orphan || x.seq > 0 && int64(x.seq) < s.Trim {
			if strings.Contains(key, "/s/") && !drained {
				continue
			}
			w.some("object deleted")
			_ = w.oracle.deleteObject(key)
		}
	}
}
