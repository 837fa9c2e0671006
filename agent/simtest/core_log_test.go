package simtest

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/cluster"
	"github.com/varvelog/varve/agent/partition"
	"github.com/varvelog/varve/agent/wal"
	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/bundle"
)

// partitionSet is the real one.
type partitionSet = partition.Set

// coreLog stands in for the goroutines of wal.Log: flusher, committer, PUTs, snapshots. What it decides, lays out and writes, and
// what it makes of the answers, is wal.Steps.
type coreLog struct {
	s         *coreSession
	steps     *wal.Steps
	buffer    []wal.Entry
	ops       []coreControl
	bytes     int64
	next      uint64
	flying    int
	lastFlush time.Time
	again     uint64 // of the timer that counts
	landed    map[uint64]*coreFlush
	putting   map[*coreFlush]bool
	barriers  []coreBarrier
	writing   bool      // a commit or heartbeat is under way
	lastWrite time.Time // of the session item, confirmed
	confirmed bool      // there was one
	tries     int
	snap      struct {
		running bool
		named   uint64
		flushes int
		last    time.Time
		kept    []string
	}
	closing bool
	over    bool
}

type coreControl struct {
	op   wal.Control
	done func(error)
}

type coreBarrier struct {
	seq  uint64
	done func(error)
}

// coreFlush is one bundle on its way.
type coreFlush struct {
	seq     uint64
	key     string
	object  []byte
	footer  *bundle.Footer
	body    int
	entries []wal.Entry
	ops     []coreControl
	durable bool
}

// Sizes of a log in a simulation: small, so that bounds are met.
const (
	coreFlushBytes = 1500
	coreSnapEvery  = 6 // commits
)

func newCoreSession(n *coreNode, m *cluster.Member) *coreSession {
	w := n.w
	s := &coreSession{w: w, n: n, id: m.Session(), member: m, opens: map[cluster.Job]*coreOpening{}}
	cfg := w.plan.config()
	s.core = cluster.NewCore(cluster.CoreConfig{
		Cluster: "c", ClusterID: m.Cluster().Cluster, Session: s.id, Agent: n.name, Node: m.NodeID(), Slots: m.Cluster().Slots,
		Heartbeat: cfg.Heartbeat, TTL: cfg.TTL, Poll: cfg.Poll, Grace: 15 * time.Minute, Crowd: int(w.seed % 5), // 0: as agents have it
	})
	s.set = partition.NewSet(s)
	s.log = &coreLog{s: s, next: 1, landed: map[uint64]*coreFlush{}, putting: map[*coreFlush]bool{}, lastWrite: n.clock()}
	s.log.snap.last = n.clock()
	s.log.steps = wal.NewSteps(wal.Config{
		Cluster: "c", ClusterID: m.Cluster().Cluster, Session: s.id, Keys: w.keys, Interval: w.plan.flush, FlushBytes: coreFlushBytes,
		InFlight: 4, Ahead: 8, Heartbeat: cfg.Heartbeat,
	})
	return s
}

// Append implements partition.Appender.
func (s *coreSession) Append(e partition.Entry) {
	l := s.log
	l.buffer = append(l.buffer, wal.Entry(e))
	l.bytes += int64(len(e.Batch))
	if len(l.buffer) == 1 || l.bytes >= coreFlushBytes {
		l.kick(0)
	}
}

// queue adds control operations, all for one bundle.
func (l *coreLog) queue(ops []wal.Control, done func(error)) {
	if l.over || l.closing {
		done(records.ErrFenced)
		return
	}
	for i, op := range ops {
		c := coreControl{op: op}
		if i == len(ops)-1 {
			c.done = done
		}
		l.ops = append(l.ops, c)
	}
	l.kick(0)
}

// kick looks whether to flush, after a while.
func (l *coreLog) kick(d time.Duration) {
	l.again++
	mine := l.again
	l.s.after(d, func() {
		if l.again == mine {
			l.flush()
		}
	})
}

func (l *coreLog) flush() {
	for !l.over {
		now := l.s.n.clock()
		yes, again := l.steps.Flush(wal.Waiting{
			Entries: len(l.buffer) + len(l.ops), Bytes: l.bytes, LastFlush: l.lastFlush, Flying: l.flying, Next: l.next,
			Hurry: l.closing || len(l.barriers) > 0,
		}, now)
		if !yes {
			if again > 0 {
				l.kick(l.s.n.wait(again))
			}
			return
		}
		l.cut(now)
	}
}

// cut makes a bundle of what waits.
func (l *coreLog) cut(now time.Time) {
	n, size := 0, int64(0)
	for n < len(l.buffer) && size < coreFlushBytes {
		size += int64(len(l.buffer[n].Batch))
		n++
	}
	f := &coreFlush{seq: l.next, entries: l.buffer[:n:n], ops: l.ops, key: l.s.w.keys.WAL(l.s.id, l.next)}
	l.buffer, l.ops = l.buffer[n:], nil
	l.bytes -= size
	l.next++
	l.flying++
	l.lastFlush = now
	controls := make([]wal.Control, len(f.ops))
	for i := range f.ops {
		controls[i] = f.ops[i].op
	}
	f.object, f.footer, f.body = l.steps.Bundle(f.seq, f.entries, controls)
	if err := f.footer.Check(bundle.WAL, int64(f.body)); err != nil {
		l.s.w.fail("%s lays out a bundle that no reader takes: %v", l.s, err)
	}
	l.putting[f] = true
	l.put(f, 1)
	if l.s.w.rnd.IntN(20) == 0 {
		l.put(f, 1) // a hedge
	}
}

// put uploads a bundle until it is durable.
func (l *coreLog) put(f *coreFlush, try int) {
	l.s.w.oracle.put(l.s, f.key, f.seq, f.object, func(err error) {
		switch {
		case f.durable || l.over:
		case err != nil:
			l.s.after(l.pause(try), func() {
				if !f.durable && !l.over {
					l.put(f, try+1)
				}
			})
		default:
			f.durable = true
			delete(l.putting, f)
			l.flying--
			l.landed[f.seq] = f
			l.steps.Landed(f.seq)
			l.kick(0)
			l.commit()
		}
	})
}

// pause is a back-off with jitter.
func (l *coreLog) pause(try int) time.Duration {
	return l.s.w.span(20*time.Millisecond, 20*time.Millisecond<<min(try, 6))
}

// beat keeps the session alive.
func (l *coreLog) beat() {
	if l.over {
		return
	}
	l.commit()
	hb := l.s.w.plan.heartbeat
	l.s.after(l.s.n.wait(max(10*time.Millisecond, hb-l.s.n.clock().Sub(l.lastWrite))), l.beat)
}

// commit writes the session item, if there is something to say. One write is under way at a time.
func (l *coreLog) commit() {
	if l.writing || l.over {
		return
	}
	op, target, ok := l.steps.Commit()
	if !ok {
		if l.s.n.clock().Sub(l.lastWrite) < l.s.w.plan.heartbeat {
			return
		}
		op, target = l.steps.Heartbeat(), 0
	}
	l.writing = true
	l.write(op, func(err error) {
		l.writing = false
		if l.over {
			return
		}
		outcome, committed := l.steps.Judge(err, target)
		var cond *metastore.ConditionError
		if errors.As(err, &cond) && outcome == wal.Success {
			l.s.w.some("own commit recognised")
		}
		if item := l.s.w.oracle.sessions[l.s.id]; outcome == wal.Fenced && item.State == records.Active {
			l.s.w.fail("F3: %s takes itself for fenced, it is %s: %v", l.s, item.State, err)
		}
		if outcome == wal.Unknown {
			l.tries++
			l.s.after(l.pause(l.tries), l.commit)
			return
		}
		l.tries = 0
		if outcome == wal.Success {
			l.lastWrite, l.confirmed = l.s.n.clock(), true
		}
		l.advance(committed, outcome)
		if outcome == wal.Fenced {
			l.end()
			l.s.n.lived(l.s)
			return
		}
		l.kick(0)
		l.commit()
		l.snapshotIfDue()
	})
}

func (l *coreLog) write(op metastore.Op, answer func(error)) {
	l.s.n.table(true, func() error {
		_, err := l.s.w.facts.Write(context.Background(), op)
		return err
	}, l.s.back(), answer)
}

// advance tells everybody of what is committed, in order.
func (l *coreLog) advance(committed uint64, outcome wal.Outcome) {
	for seq := l.steps.Committed() + 1; seq <= committed; seq++ {
		f := l.landed[seq]
		if f == nil {
			l.s.w.fail("%s: bundle %d is committed and was not seen to land", l.s, seq)
			return
		}
		if outcome == wal.Fenced {
			l.s.w.some("acked by the item that says fenced")
		}
		o := bundle.Object{Kind: bundle.WAL, Session: l.s.id, Seq: seq, Size: uint64(f.body)}
		if err := l.s.set.Committed(o, f.footer); err != nil {
			l.s.w.fail("%s: the log does not fit together: %v", l.s, err)
			return
		}
		l.steps.Applied(seq)
		l.snap.flushes++
		delete(l.landed, seq)
		l.settle(f, nil)
		for len(l.barriers) > 0 && l.barriers[0].seq <= seq {
			b := l.barriers[0]
			l.barriers = l.barriers[1:]
			b.done(nil)
		}
	}
}

func (l *coreLog) settle(f *coreFlush, err error) {
	for _, e := range f.entries {
		if e.Done != nil {
			e.Done.Appended(e.Tag, err)
		}
	}
	l.s.answer()
	for _, c := range f.ops {
		if c.done != nil {
			c.done(err)
		}
	}
}

// end is the end of the session: what is not in its log never will be.
func (l *coreLog) end() {
	if l.over {
		return
	}
	l.over = true
	l.s.set.End()
	for _, e := range l.buffer {
		if e.Done != nil {
			e.Done.Appended(e.Tag, records.ErrFenced)
		}
	}
	l.s.answer()
}

// dropped is the end of the process: nobody hears anything.
func (l *coreLog) dropped() { l.over = true }

// barrier calls done when all that was appended is committed.
func (l *coreLog) barrier(done func(error)) {
	seq := l.next - 1
	if len(l.buffer)+len(l.ops) > 0 {
		seq += uint64(l.cuts())
	}
	if l.steps.Committed() >= seq {
		done(nil)
		return
	}
	l.barriers = append(l.barriers, coreBarrier{seq, done})
	l.kick(0)
}

// cuts returns how many bundles what waits now will make.
func (l *coreLog) cuts() int {
	n, size := 1, int64(0)
	for _, e := range l.buffer {
		if size >= coreFlushBytes {
			n, size = n+1, 0
		}
		size += int64(len(e.Batch))
	}
	return n
}

// snapshotIfDue writes a snapshot of what is committed, now and then.
func (l *coreLog) snapshotIfDue() {
	due := l.snap.flushes >= coreSnapEvery || l.snap.flushes > 0 && l.s.n.clock().Sub(l.snap.last) >= 20*time.Second
	if l.snap.running || l.over || !due {
		return
	}
	l.snapshot(func(error) {})
}

func (l *coreLog) snapshot(done func(error)) {
	l.snap.running, l.snap.flushes, l.snap.last = true, 0, l.s.n.clock()
	seq, snap := l.steps.Committed(), l.s.set.Capture()
	ended := func(err error) {
		l.snap.running = false
		done(err)
	}
	l.s.after(l.s.w.span(0, 50*time.Millisecond), func() { // the footer is made while commits go on
		l.writeSnapshot(seq, snap.Footer(), 1, func(id uuid.UUID, key string, err error) {
			if err != nil {
				ended(err)
				return
			}
			l.name(seq, id, 1, func(err error) {
				if err == nil {
					l.s.set.Recorded(snap)
					l.snap.named = max(l.snap.named, seq)
					l.forgetOld(key)
				}
				ended(err)
			})
		})
	})
}

// coreSnapTries bounds how often a snapshot is tried.
const coreSnapTries = 10

// writeSnapshot makes a snapshot durable.
func (l *coreLog) writeSnapshot(seq uint64, f *bundle.Footer, try int, done func(uuid.UUID, string, error)) {
	id := uuid.New()
	key := l.s.w.keys.Snapshot(l.s.id, seq, id)
	l.upload(key, l.steps.Snapshot(seq, f), try, func(err error) { done(id, key, err) })
}

func (l *coreLog) upload(key string, object []byte, try int, done func(error)) {
	l.s.w.oracle.put(l.s, key, 0, object, func(err error) {
		if err == nil || try == coreSnapTries {
			done(err)
			return
		}
		l.s.after(l.pause(try), func() { l.upload(key, object, try+1, done) })
	})
}

// name records a snapshot in the session item.
func (l *coreLog) name(seq uint64, id uuid.UUID, try int, done func(error)) {
	l.write(l.steps.Name(seq, id), func(err error) {
		var cond *metastore.ConditionError
		refused := errors.As(err, &cond)
		if err = l.steps.JudgeName(err, id); err == nil && refused {
			l.s.w.some("own snapshot recognised")
		}
		if err == nil || errors.Is(err, records.ErrFenced) || try == coreSnapTries {
			done(err)
			return
		}
		l.s.after(l.pause(try), func() { l.name(seq, id, try+1, done) })
	})
}

// forgetOld deletes the snapshot that two newer ones have replaced.
func (l *coreLog) forgetOld(key string) {
	l.snap.kept = append(l.snap.kept, key)
	if len(l.snap.kept) > 2 {
		old := l.snap.kept[0]
		l.snap.kept = l.snap.kept[1:]
		w := l.s.w
		l.s.n.store(true, func() error { return w.oracle.deleteObject(old) }, l.s.back(), func(error) {})
	}
}

// trim raises the session's trim.
func (l *coreLog) trim(seq uint64, pins int64, done func(error)) {
	if seq <= 1 || l.over {
		l.s.after(0, func() { done(nil) })
		return
	}
	ops := l.steps.Trim(seq, pins, l.s.n.clock())
	if len(ops) == 0 {
		l.s.after(0, func() { done(nil) })
		return
	}
	l.s.n.table(true, func() error { return l.s.w.facts.Transact(context.Background(), ops) }, l.s.back(), func(err error) {
		var cond *metastore.ConditionError
		refused := errors.As(err, &cond)
		if err = l.steps.JudgeTrim(err, seq); err == nil && refused {
			l.s.w.some("trim was there already")
		}
		if errors.Is(err, wal.ErrTrimTooFar) {
			l.s.w.fail("%s wants to trim to %d, beyond its snapshot", l.s, seq)
		}
		done(err)
	})
}

// close commits all there is, writes a last snapshot, and calls done.
func (l *coreLog) close(done func()) {
	l.closing = true
	l.kick(0)
	l.barrier(func(error) {
		if l.steps.Committed() == l.snap.named || l.snap.running {
			done()
			return
		}
		l.snapshot(func(error) { done() })
	})
}

// quiesce is Barrier of cluster.Slots, with its deadline.
func (s *coreSession) quiesce(e cluster.Quiesce) {
	answered := false
	answer := func(err error) {
		if answered {
			return
		}
		answered = true
		a := cluster.Answer{Job: e.Job, Err: err, Committed: s.log.steps.Committed(), Sources: map[uint16][]cluster.Source{}}
		s.after(0, func() {
			for _, n := range e.Slots {
				a.Sources[n] = s.sources(n)
			}
			s.step(a)
		})
	}
	s.after(s.n.wait(10*time.Second), func() { answer(context.DeadlineExceeded) })
	s.log.barrier(answer)
}

func (s *coreSession) sources(slot uint16) []cluster.Source {
	var all []cluster.Source
	for _, src := range s.set.Sources(slot) {
		all = append(all, cluster.Source(src))
	}
	if s.log.steps.Committed() > s.log.snap.named {
		all = cluster.Replayed(all, s.id, s.log.snap.named+1)
	}
	return all
}

// trimmable is up to where snapshots and led slots let trim rise. An agent also looks at the logs of the slots that it left; here the
// pins alone have to hold them.
func (s *coreSession) trimmable() uint64 {
	low := s.log.snap.named + 1
	for _, l := range s.set.Loads() {
		for _, src := range s.set.Sources(l.Slot) {
			if src.Session == s.id {
				low = min(low, src.Low)
			}
		}
	}
	return low
}
