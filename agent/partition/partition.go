package partition

import (
	"math"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// ID names a partition: by its topic's UUID, so that a topic created again under an old name is another one.
type ID struct {
	Topic uuid.UUID
	Index int32
}

// Entry is a batch on its way into the WAL.
type Entry struct {
	Topic     uuid.UUID
	TopicName string
	Partition int32
	Slot      uint16
	Epoch     int32
	Batch     recordbatch.Batch // base offset and leader epoch are patched
	Owner     *memory.Buf       // holds the bytes of Batch; retained for the WAL, which releases it. May be nil
	Done      interface{ Appended(tag int, err error) }
	Tag       int
}

// Appender is the WAL as a partition sees it: Append queues e, never blocks and never calls back before it returned. Then
// e.Done, unless nil, is called exactly once: with nil after the commit, and after Set.Committed saw it; or with an error
// when the session has ended and the batch is not in its log.
type Appender interface {
	Append(e Entry)
}

// Partition is a led partition. Get one from a Set.
type Partition struct {
	id    ID
	lead  *lead
	topic string

	mu struct {
		sync.Mutex
		closed  bool   // the slot is not led any more, or
		dropped bool   // the topic is deleted
		table   *table // once closed: the objects that log names, which the set may forget
		log     *log   // committed
		end     int64
		live    producers // only those with something appended and not committed: their state with it
		dups    []duplicate
		waiters map[*Waiter]struct{}
	}
}

// duplicate is a repeated batch whose original is not committed yet.
type duplicate struct {
	last int64 // offset of the original's last record
	done interface{ Appended(tag int, err error) }
	tag  int
}

// Waiter is told when a partition that it watches changes: more is committed, or the slot is lost.
type Waiter struct{ C chan struct{} }

// NewWaiter returns a waiter. C holds one signal, which stands for any number of changes.
func NewWaiter() *Waiter { return &Waiter{C: make(chan struct{}, 1)} }

func (w *Waiter) wake() {
	select {
	case w.C <- struct{}{}:
	default:
	}
}

// State is what a partition's leader tells of it.
type State struct {
	LogStart      int64
	TailStart     int64 // the tail index begins here: what lies between LogStart and it is in extents
	HighWatermark int64
	LastStable    int64 // the high watermark, as long as there are no transactions
	LogEnd        int64 // includes what is not committed yet
	Epoch         int32 // leader epoch: that of the slot
}

// Append is one batch to append.
type Append struct {
	Batch recordbatch.Batch // passed recordbatch.Batch.Check; patched in place
	Owner *memory.Buf       // holds the bytes; Append retains it for the WAL. May be nil
	Now   int64             // ms since 1970
	// LogAppendTime: the topic stamps batches with Now (message.timestamp.type).
	LogAppendTime bool
	// Before and After are how far a create timestamp may lie in the past and in the future, in ms.
	Before, After int64
	Done          interface{ Appended(tag int, err error) } // nil: nobody waits for the commit
	Tag           int
}

// Result says where a batch went.
type Result struct {
	Base          int64 // offset of its first record
	LogAppendTime int64 // ms, -1 for create time
	LogStart      int64
	// Pending: Done will be called. Else the batch is a duplicate of a committed one, and done already.
	Pending bool
}

// Append checks a batch against its producer's state, gives it offsets and hands it to the WAL. The check and the
// assignment are one step. Errors: ErrNotLeader, ErrDraining, ErrOutOfOrder, ErrEarly, ErrProducerEpoch, ErrTimestamp: nothing
// was appended and Done will not be called.
func (p *Partition) Append(a Append) (Result, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.accepts(); err != nil {
		return Result{}, err
	}
	b := a.Batch
	if b.ProducerID() >= 0 {
		dup, err := check(p.producer(b.ProducerID()), b, p.lead.isNew())
		if err != nil {
			return Result{}, err
		}
		if dup != nil {
			return p.duplicate(dup, a), nil
		}
	}
	if !a.LogAppendTime && !a.inTime(b.MaxTimestamp()) {
		return Result{}, ErrTimestamp
	}
	return p.append(a), nil
}

// accepts returns why nothing may be appended, or nil.
func (p *Partition) accepts() error {
	switch {
	case p.mu.closed:
		return ErrNotLeader
	case p.lead.draining.Load():
		return ErrDraining
	}
	return nil
}

// Queue calls f, which queues an operation on this partition in the WAL and must not block, if the partition takes appends:
// then what f queued is covered by a barrier after Drain. Errors: ErrNotLeader, ErrDraining; f was not called.
func (p *Partition) Queue(f func()) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.accepts()
	if err == nil {
		f()
	}
	return err
}

// producer returns the state of an idempotent producer, with what is under way; nil if nothing is remembered.
func (p *Partition) producer(id int64) *bundle.Producer {
	if pr := p.mu.live.get(id); pr != nil {
		return pr
	}
	return p.mu.log.producers.get(id)
}

// inTime reports whether the topic takes a create timestamp. -1 is none, which Kafka lets pass. The bounds may be as large as
// an int64, so nothing is added to them.
func (a *Append) inTime(ts int64) bool {
	return ts == -1 || (a.After >= math.MaxInt64-a.Now || ts <= a.Now+a.After) && (a.Before >= a.Now || ts >= a.Now-a.Before)
}

func (p *Partition) append(a Append) Result {
	b := a.Batch
	r := Result{Base: p.mu.end, LogAppendTime: -1, LogStart: p.mu.log.start, Pending: true}
	if a.LogAppendTime {
		b.SetLogAppendTime(a.Now)
		r.LogAppendTime = a.Now
	}
	b.SetBaseOffset(r.Base)
	b.SetLeaderEpoch(p.lead.epoch)
	p.mu.end = b.NextOffset()
	if b.ProducerID() >= 0 {
		p.noteLive(b, bundle.Appended{
			FirstSeq: b.BaseSequence(), LastSeq: lastSequence(b),
			FirstOffset: r.Base, LastOffset: b.LastOffset(), Timestamp: r.LogAppendTime,
		}, a.Now)
	}
	if a.Owner != nil {
		a.Owner.Retain()
	}
	p.lead.set.appender.Append(Entry{
		Topic: p.id.Topic, TopicName: p.topic, Partition: p.id.Index, Slot: p.lead.slot, Epoch: p.lead.epoch,
		Batch: b, Owner: a.Owner, Done: a.Done, Tag: a.Tag,
	})
	return r
}

// noteLive adds a batch that was appended to its producer's state. What is committed stays as it is.
func (p *Partition) noteLive(b recordbatch.Batch, a bundle.Appended, now int64) {
	pr := p.mu.live.get(b.ProducerID())
	if pr == nil {
		if pr = p.mu.log.producers.get(b.ProducerID()); pr != nil {
			pr = cloneProducer(pr)
		} else {
			pr = &bundle.Producer{ID: b.ProducerID(), Epoch: b.ProducerEpoch()}
		}
		p.mu.live.put(pr)
	}
	note(pr, b.ProducerEpoch(), a, now)
}

// settle forgets the live state of producers whose batches are all committed: the log has it.
func (p *Partition) settle() {
	p.mu.live = slices.DeleteFunc(p.mu.live, func(pr *bundle.Producer) bool {
		return pr.Last[len(pr.Last)-1].LastOffset < p.mu.log.end
	})
}

// duplicate answers a repeated batch with the original's place, but not before the original is committed.
func (p *Partition) duplicate(dup *bundle.Appended, a Append) Result {
	r := Result{Base: dup.FirstOffset, LogAppendTime: dup.Timestamp, LogStart: p.mu.log.start}
	if dup.LastOffset < p.mu.log.end {
		return r
	}
	r.Pending = true
	if a.Done != nil {
		p.mu.dups = append(p.mu.dups, duplicate{dup.LastOffset, a.Done, a.Tag})
	}
	return r
}

// commit applies a committed run, and returns the duplicates that may be answered now. It is not ok for a run that does not
// continue the log, or comes after Leave.
func (p *Partition) commit(r *bundle.Run, batches []bundle.Batch, at place, now int64) (answered []duplicate, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.closed {
		return nil, p.mu.dropped
	}
	p.mu.log = p.mu.log.own()
	if !p.mu.log.apply(r, batches, at, now) {
		return nil, false
	}
	p.settle()
	if len(p.mu.dups) > 0 {
		kept := p.mu.dups[:0]
		for _, d := range p.mu.dups {
			if d.last < p.mu.log.end {
				answered = append(answered, d)
			} else {
				kept = append(kept, d)
			}
		}
		p.mu.dups = kept
	}
	p.wakeAll()
	return answered, true
}

// close ends the leadership.
func (p *Partition) close() (unanswered []duplicate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.mu.closed {
		view := p.lead.set.objects.view()
		p.mu.closed, p.mu.table = true, &view
	}
	unanswered, p.mu.dups, p.mu.live = p.mu.dups, nil, nil
	p.wakeAll()
	return unanswered
}

// drop closes p because its topic is deleted: what is under way may still be committed, and means nothing.
func (p *Partition) drop() (unanswered []duplicate) {
	p.mu.Lock()
	p.mu.dropped = true
	p.mu.Unlock()
	return p.close()
}

// moveStart makes the committed log begin at offset.
func (p *Partition) moveStart(offset int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.log.moves(offset) {
		p.mu.log = p.mu.log.own()
		p.mu.log.moveStart(offset)
		p.wakeAll()
	}
}

// Replace puts runs that lie in packs, in order and without a gap, in the place of those that hold the same offsets. A run may not
// cross a leader epoch, and has the same bytes as those it replaces. What the log start has passed meanwhile is left out. Do not
// pack and cut one partition at the same time. Errors: ErrNotLeader; ErrMoved, and nothing is replaced; any other is a fault of the
// caller.
func (p *Partition) Replace(runs []bundle.Location) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.closed {
		return ErrNotLeader
	}
	i, j, runs, err := p.mu.log.lineUp(runs)
	if err != nil || len(runs) == 0 {
		return err
	}
	with := make([]tailRun, len(runs))
	for k, r := range runs {
		with[k] = tailRun{
			base: r.Base, maxTS: r.MaxTimestamp, object: p.lead.set.objects.add(r.Object).object,
			pos: uint32(r.Pos), length: r.Len, span: uint32(r.Next - r.Base),
		}
	}
	p.mu.log = p.mu.log.own()
	p.mu.log.tail.replace(i, j, with)
	p.lead.set.rewritten.Store(p)
	return nil
}

// Tiered says that extents, which are linked, reach up to next: the tail forgets the runs that end there or before.
func (p *Partition) Tiered(next int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.closed || p.mu.log.tail.find(next) == 0 {
		return
	}
	p.mu.log = p.mu.log.own()
	p.mu.log.tail.forget(next)
	p.lead.set.rewritten.Store(p)
}

func (p *Partition) wakeAll() {
	for w := range p.mu.waiters {
		w.wake()
	}
}

// Watch makes p wake w until Unwatch. It wakes w at once, so that a change between a look and Watch is not missed.
func (p *Partition) Watch(w *Waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.waiters == nil {
		p.mu.waiters = map[*Waiter]struct{}{}
	}
	p.mu.waiters[w] = struct{}{}
	w.wake()
}

// Unwatch ends Watch.
func (p *Partition) Unwatch(w *Waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.mu.waiters, w)
}
