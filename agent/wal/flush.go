package wal

import (
	"bytes"
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/objstore/bundle"
)

// flush is one bundle on its way.
type flush struct {
	seq                 uint64
	footer              *bundle.Footer
	body                *memory.Buf // the whole object
	bodyEnd             int         // where its footer begins
	charge              int64       // bytes taken from the budget
	waiters             []waiter
	ops                 []control
	flaw                error     // the footer would be refused by every reader: a fault of this program
	before, cut, landed time.Time // before: the start of the flush before
}

type waiter struct {
	done interface{ Appended(tag int, err error) }
	tag  int
}

// runFlusher cuts the buffer when the policy says so, until ctx ends.
func (l *Log) runFlusher(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		again := time.Hour
		for {
			f, wait := l.cut(time.Now())
			if f == nil {
				if wait > 0 {
					again = wait
				}
				break
			}
			l.wg.Go(func() { l.put(ctx, f) })
		}
		timer.Reset(again)
		select {
		case <-l.kick:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}

// cut takes at most FlushBytes from the front of the buffer and makes a bundle of them, if it is time.
func (l *Log) cut(now time.Time) (*flush, time.Duration) {
	pressure := l.budget.Pressure()
	l.mu.Lock()
	yes, wait := l.policy.decide(buffered{
		entries: len(l.mu.buffer) + len(l.mu.ops), bytes: l.mu.bytes, lastFlush: l.mu.lastFlush, lastEntry: l.mu.lastEntry, flying: l.mu.flying,
		next: l.mu.next, committed: l.mu.committed, pressure: pressure, hurry: l.mu.closing || l.inHurry(),
		spare: l.mu.puts.wait(now) <= 0, idle: l.mu.idle.wait(now), objects: l.mu.objects,
	}, now)
	if !yes || l.mu.over {
		l.mu.Unlock()
		return nil, wait
	}
	n, size := 0, int64(0)
	for n < len(l.mu.buffer) && size < l.policy.bytes {
		size += int64(len(l.mu.buffer[n].Batch))
		n++
	}
	entries := l.mu.buffer[:n:n]
	if l.mu.buffer = l.mu.buffer[n:]; len(l.mu.buffer) == 0 {
		l.mu.buffer = nil
	}
	ops := l.mu.ops
	l.mu.ops = nil
	l.mu.bytes -= size
	l.mu.taken += uint64(n)
	l.seal(l.mu.next)
	f := &flush{seq: l.mu.next, ops: ops, cut: now, before: l.mu.lastFlush}
	l.mu.next++
	l.mu.flying++
	l.mu.lastFlush = now
	l.mu.puts.spend()
	l.mu.idle.spend()
	l.mu.objects = l.policy.left(l.mu.objects, size)
	l.mu.Unlock()
	l.build(f, entries, int(size))
	return f, 0
}

// build lays the entries out by slot, topic and partition, keeping the order of each partition, and copies them into one
// object.
func (l *Log) build(f *flush, entries []Entry, size int) {
	sortEntries(entries)
	f.footer = layOut(entries)
	for _, c := range f.ops {
		addOp(f.footer, c.Control)
	}
	total := bundle.HeaderLen + size + bundle.FooterSize(f.footer)
	f.charge = int64(memory.Capacity(total))
	l.budget.Take(f.charge)
	l.held.Add(f.charge)
	f.body = l.pool.Get(total)
	f.body.MarkSound() // each batch was checked when it came
	out := bundle.AppendHeader(f.body.Bytes()[:0], bundle.Header{
		Kind: bundle.WAL, Cluster: l.cfg.ClusterID, Session: l.cfg.Session, Seq: f.seq,
	})
	f.waiters = make([]waiter, 0, len(entries))
	for i := range entries {
		e := &entries[i]
		out = append(out, e.Batch...)
		if e.Owner != nil {
			e.Owner.Release()
		}
		if e.Done != nil {
			f.waiters = append(f.waiters, waiter{e.Done, e.Tag})
		}
	}
	clear(entries)
	f.bodyEnd = len(out)
	f.flaw = f.footer.Check(bundle.WAL, int64(len(out)))
	f.body.SetBytes(bundle.AppendFooter(out, bundle.WAL, f.footer))
	l.metrics.cut(f)
}

// sortEntries sorts by slot, topic and partition; the order of each partition stays.
func sortEntries(entries []Entry) {
	slices.SortStableFunc(entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Slot, b.Slot), bytes.Compare(a.Topic[:], b.Topic[:]), cmp.Compare(a.Partition, b.Partition))
	})
}

// layOut returns the footer of sorted entries.
func layOut(entries []Entry) *bundle.Footer {
	f := &bundle.Footer{Batches: make([]bundle.Batch, 0, len(entries))}
	topics := topicIndexes(f, entries)
	pos := uint64(bundle.HeaderLen)
	var digest bundle.Digest
	for i := range entries {
		e := &entries[i]
		b := e.Batch
		if i == 0 || e.Slot != entries[i-1].Slot {
			f.Slots = append(f.Slots, bundle.Slot{Slot: e.Slot, Epoch: e.Epoch, FirstRun: uint32(len(f.Runs))})
		}
		// The index has 32 bits for the offsets of a run, and a batch may span half of that.
		if i == 0 || !sameRun(e, &entries[i-1]) || b.NextOffset()-f.Runs[len(f.Runs)-1].Base > math.MaxUint32 {
			digest = bundle.NewDigest(e.Topic, e.Partition, e.Epoch, b.BaseOffset())
			f.Slots[len(f.Slots)-1].Runs++
			f.Runs = append(f.Runs, bundle.Run{
				Topic: topics[e.Topic], Partition: e.Partition, Slot: e.Slot, LeaderEpoch: e.Epoch,
				Base: b.BaseOffset(), Pos: pos, MaxTimestamp: b.MaxTimestamp(), FirstBatch: uint32(i),
			})
		}
		r := &f.Runs[len(f.Runs)-1]
		f.Batches = append(f.Batches, bundle.Batch{
			PosDelta: r.Len, Len: uint32(len(b)), OffsetDelta: uint32(b.BaseOffset() - r.Base), LastOffsetDelta: uint32(b.LastOffsetDelta()),
			MaxTimestamp: b.MaxTimestamp(), ProducerID: b.ProducerID(), ProducerEpoch: b.ProducerEpoch(),
			Attributes: uint16(b.Attributes()), BaseSequence: b.BaseSequence(), Records: uint32(b.NumRecords()),
		})
		digest = digest.Add(b.CRC())
		r.Digest = uint32(digest)
		r.Len += uint32(len(b))
		r.Batches++
		r.Next = b.NextOffset()
		r.MaxTimestamp = max(r.MaxTimestamp, b.MaxTimestamp())
		pos += uint64(len(b))
	}
	return f
}

// topicIndexes lists the topics of entries in f, in the order of their ids: the order of runs within a slot is that of the
// indexes then, whichever slot a topic is met in first.
func topicIndexes(f *bundle.Footer, entries []Entry) map[uuid.UUID]uint32 {
	topics := map[uuid.UUID]uint32{}
	for i := range entries {
		if i > 0 && entries[i].Topic == entries[i-1].Topic {
			continue
		}
		if _, ok := topics[entries[i].Topic]; !ok {
			topics[entries[i].Topic] = 0
			f.Topics = append(f.Topics, bundle.Topic{ID: entries[i].Topic, Name: entries[i].TopicName})
		}
	}
	slices.SortFunc(f.Topics, func(a, b bundle.Topic) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	for i := range f.Topics {
		topics[f.Topics[i].ID] = uint32(i)
	}
	return topics
}

// addOp adds a control operation and, if it is about one, its topic.
func addOp(f *bundle.Footer, c Control) {
	if c.Topic.ID != uuid.Nil {
		i := slices.IndexFunc(f.Topics, func(t bundle.Topic) bool { return t.ID == c.Topic.ID })
		if i < 0 {
			i = len(f.Topics)
			f.Topics = append(f.Topics, c.Topic)
		}
		c.Op.Topic = uint32(i)
	}
	f.Ops = append(f.Ops, c.Op)
}

func sameRun(a, b *Entry) bool {
	return a.Topic == b.Topic && a.Partition == b.Partition && a.Slot == b.Slot && a.Epoch == b.Epoch
}

// settle tells all who wait what became of the flush, and lets go of its memory.
func (f *flush) settle(l *Log, err error) {
	f.body.Release()
	l.budget.Release(f.charge)
	l.held.Add(-f.charge)
	for _, w := range f.waiters {
		w.done.Appended(w.tag, err)
	}
	for _, c := range f.ops {
		c.settle(err)
	}
}
