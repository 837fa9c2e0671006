package simtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/varvelog/varve/agent/partition"
	"github.com/varvelog/varve/agent/wal"
	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// TestHandoverWalk hands slots to and fro, fences, crashes, snapshots, trims and deletes at random, under idempotent producers that
// retry anywhere. Each partition has one producer, so the record at an offset must have that sequence number, at every
// leader, for ever: nothing is lost that was acked, nothing is there twice, and no offset has two values. VARVE_SEED replays one walk, as far as the
// order of goroutines allows.
func TestHandoverWalk(t *testing.T) {
	first, n := uint64(1), uint64(25)
	if s := os.Getenv("VARVE_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, n = seed, 1
	}
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newHandoverWorld(t, seed).walk(400) })
		})
	}
}

func (w *handoverWorld) walk(steps int) {
	for range 2 {
		w.member()
	}
	for slot := range w.slots {
		w.slots[slot] = walkSlot{leader: w.members[0], epoch: 1}
	}
	for i := 0; i < steps && !w.t.Failed(); i++ {
		w.step()
	}
	w.settle()
	for _, m := range w.members {
		m.stop()
	}
	for _, m := range w.members {
		if err := <-m.done; err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, records.ErrFenced) {
			w.t.Errorf("a session ended with %v", err)
		}
	}
	time.Sleep(time.Second) // what lands late
	if n := w.pool.Outstanding(); n != 0 {
		w.t.Errorf("%d bytes of buffers are left", n)
	}
}

func (w *handoverWorld) step() {
	slot := uint16(w.rnd.IntN(walkSlots))
	switch x := w.rnd.IntN(100); {
	case x < 55:
		c := w.clients[w.rnd.IntN(len(w.clients))]
		to := w.slots[c.slot].leader
		if w.rnd.IntN(5) == 0 {
			to = w.members[w.rnd.IntN(len(w.members))] // a client that has not heard, perhaps of a zombie
		}
		c.send(to, w.rnd.IntN(2) == 0)
	case x < 67:
		time.Sleep(time.Duration(w.rnd.IntN(40)) * time.Millisecond)
	case x < 77:
		w.handOver(slot)
	case x < 81:
		w.kill(w.slots[slot].leader)
	case x < 85:
		if m := w.slots[slot].leader; w.snapshot(m) != nil {
			w.t.Error("a snapshot on demand failed")
		}
	case x < 90:
		w.moveStart(w.clients[w.rnd.IntN(len(w.clients))])
	default:
		for _, m := range w.members {
			w.trim(m)
		}
		for slot := range w.slots {
			w.unpin(uint16(slot))
		}
		for _, m := range w.members {
			w.collect(m)
		}
	}
	for slot := range w.slots {
		if !w.slots[slot].opened && w.rnd.IntN(3) > 0 {
			w.mustOpen(uint16(slot))
		}
	}
}

func (w *handoverWorld) snapshot(m *member) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return m.log.Snapshot(ctx)
}

func (w *handoverWorld) mustOpen(slot uint16) {
	if err := w.open(slot); err != nil {
		w.t.Errorf("open slot %d under epoch %d: %v", slot, w.slots[slot].epoch, err)
		return
	}
	w.check(slot)
}

// heir is a live session, perhaps a new one.
func (w *handoverWorld) heir(not *member) *member {
	var alive []*member
	for _, m := range w.members {
		if !m.fenced && m != not {
			alive = append(alive, m)
		}
	}
	if len(alive) < 2 || w.rnd.IntN(20) == 0 {
		return w.member()
	}
	return alive[w.rnd.IntN(len(alive))]
}

// handOver is section 8: drain, barrier, pin, and either the update of the slot item or a resume.
func (w *handoverWorld) handOver(slot uint16) {
	it := &w.slots[slot]
	m, epoch := it.leader, it.epoch
	if !it.opened {
		return
	}
	if err := m.set.Drain(slot, epoch); err != nil {
		w.t.Errorf("drain slot %d: %v", slot, err)
		return
	}
	w.knock(slot)
	if err := m.log.Barrier(context.Background()); err != nil {
		w.t.Errorf("barrier: %v", err)
		return
	}
	w.knock(slot)
	committed := m.log.Committed()
	pin := records.Pin{Seq: int64(committed) + 1, Epoch: epoch}
	for _, s := range m.set.Sources(slot) {
		if s.Session == m.session {
			pin.Seq = min(pin.Seq, int64(s.Low))
		}
	}
	before, had := m.pins[slot]
	m.pins[slot] = pin
	if w.rnd.IntN(5) == 0 {
		if delete(m.pins, slot); had {
			m.pins[slot] = before
		}
		m.set.Resume(slot, epoch)
		return
	}
	if w.rnd.IntN(3) == 0 {
		_ = w.snapshot(m)
	}
	w.move(slot, w.heir(m), int64(committed)+1)
	m.set.Leave(slot, epoch)
}

// knock sends to a slot that does not accept.
func (w *handoverWorld) knock(slot uint16) {
	for _, c := range w.clients {
		if c.slot == slot {
			c.send(w.slots[slot].leader, true)
		}
	}
}

// kill fences a session; its process is dead, or runs on and does not know.
func (w *handoverWorld) kill(m *member) {
	if w.rnd.IntN(2) == 0 {
		m.stop()
	}
	_, err := w.facts.Write(context.Background(), metastore.Op{
		Kind: metastore.OpUpdate, Key: records.Cluster("c").SessionKey(m.session), Set: metastore.Item{records.AttrState: records.Fenced.Value()},
	})
	if err != nil {
		w.t.Error(err)
	}
	w.fence(m, func() *member { return w.heir(m) })
}

func (w *handoverWorld) moveStart(c *walkClient) {
	m := w.slots[c.slot].leader
	p, err := m.set.Get(c.id, "t", c.slot)
	if err != nil {
		return
	}
	s, err := p.State()
	if err != nil || s.HighWatermark == s.LogStart {
		return
	}
	to := s.LogStart + 1 + w.rnd.Int64N(s.HighWatermark-s.LogStart)
	_, name, slot, epoch := p.Place()
	done := make(chan error, 1)
	err = p.Queue(func() {
		m.log.Queue([]wal.Control{{
			Op:    bundle.Op{Kind: bundle.OpLogStart, Slot: slot, Epoch: epoch, Partition: c.id.Index, Offset: to},
			Topic: bundle.Topic{ID: c.id.Topic, Name: name},
		}}, func(err error) { done <- err })
	})
	if err == nil && <-done == nil {
		w.start[c.id] = max(w.start[c.id], to)
	}
}

// trim says what nobody needs of a live session.
func (w *handoverWorld) trim(m *member) {
	if m.fenced {
		return
	}
	low := m.log.Snapped() + 1
	for _, pin := range m.pins {
		low = min(low, uint64(pin.Seq))
	}
	for slot := range w.slots { // not Needed: the pins have to hold what was left
		for _, s := range m.set.Sources(uint16(slot)) {
			if s.Session == m.session {
				low = min(low, s.Low)
			}
		}
	}
	if err := m.log.Trim(context.Background(), low, 0); err != nil {
		w.t.Errorf("trim to %d: %v", low, err)
	}
}

// unpin takes a slot out of the pins and pending of the sessions that its leader needs nothing of.
func (w *handoverWorld) unpin(slot uint16) {
	it := &w.slots[slot]
	if !it.opened {
		return
	}
	needs := map[string]bool{}
	for _, s := range it.leader.set.Sources(slot) {
		needs[s.Session.String()] = true
	}
	held := false
	for _, m := range w.members {
		pin, pinned := m.pins[slot]
		if !needs[m.session.String()] && pin.Epoch < it.epoch && m.pending[slot] < it.epoch {
			delete(m.pins, slot)
			delete(m.pending, slot)
			m.set.Forget(slot, pin.Epoch)
			pinned = false
		}
		_, pending := m.pending[slot]
		held = held || pinned || pending
		if s := w.read(m); s.State == records.Sealed && len(m.pending) == 0 {
			s.State = records.Drained
			w.write(m, s)
		}
	}
	if !held {
		it.from = nil
	}
}

// collect deletes at once what may be deleted.
func (w *handoverWorld) collect(m *member) {
	s := w.read(m)
	low := s.Trim
	for _, pin := range m.pins {
		low = min(low, pin.Seq)
	}
	for seq := int64(1); seq < s.Committed+70; seq++ {
		if seq < low || s.State == records.Drained || s.State == records.Sealed && seq >= s.End {
			if err := w.objects.Delete(context.Background(), w.keys.WAL(m.session, uint64(seq))); err != nil {
				w.t.Error(err)
			}
		}
	}
}

// settle lets all producers come through, and looks at the whole log.
func (w *handoverWorld) settle() {
	for slot := range w.slots {
		if !w.slots[slot].opened {
			w.mustOpen(uint16(slot))
		}
	}
	for range 50 {
		for _, c := range w.clients {
			c.send(w.slots[c.slot].leader, false)
		}
		time.Sleep(100 * time.Millisecond)
	}
	for _, c := range w.clients {
		for _, b := range c.flight {
			if b.state != "acked" {
				w.t.Errorf("partition %d: batch %d is never acked: %q", c.id.Index, b.seq, b.state)
			}
		}
	}
	for slot := range w.slots {
		w.check(uint16(slot))
	}
}

// check reads the logs of a slot at its leader.
func (w *handoverWorld) check(slot uint16) {
	for _, c := range w.clients {
		if c.slot != slot {
			continue
		}
		p, err := w.slots[slot].leader.set.Get(c.id, "t", slot)
		if err != nil {
			w.t.Errorf("partition %d: %v", c.id.Index, err)
			return
		}
		s, err := p.State()
		if err != nil || s.LogStart < w.start[c.id] {
			w.t.Errorf("partition %d: %+v, %v; its log start was moved to %d", c.id.Index, s, err, w.start[c.id])
		}
		c.mu.Lock()
		for offset, seq := range c.acked {
			if offset != int64(seq) || offset >= s.HighWatermark {
				w.t.Errorf("partition %d: record %d was acked at offset %d, the log ends at %d", c.id.Index, seq, offset, s.HighWatermark)
			}
		}
		c.mu.Unlock()
		w.readLog(c, p, s)
	}
}

func (w *handoverWorld) readLog(c *walkClient, p *partition.Partition, s partition.State) {
	next := s.LogStart
	for _, loc := range p.Locate(nil, s.LogStart, 1<<20) {
		o, err := w.objects.Get(context.Background(), w.keys.WAL(loc.Object.Session, loc.Object.Seq), objstore.Exact(int64(loc.Pos), int64(loc.Len)))
		if err != nil {
			w.t.Errorf("partition %d: offset %d in bundle %d of session %s: %v", c.id.Index, loc.Base, loc.Object.Seq, loc.Object.Session, err)
			return
		}
		for run := o.Body; len(run) > 0; {
			b, rest, err := recordbatch.Next(run)
			if err != nil || int64(b.BaseSequence()) != b.BaseOffset() || b.ProducerID() != c.producer || b.BaseOffset() > next {
				w.t.Errorf("partition %d: at offset %d, expected %d: sequence %d of producer %d, %v", c.id.Index, b.BaseOffset(), next, b.BaseSequence(), b.ProducerID(), err)
				return
			}
			next, run = b.NextOffset(), rest
		}
	}
	if next < s.HighWatermark {
		w.t.Errorf("partition %d: the log ends at %d, its bytes at %d", c.id.Index, s.HighWatermark, next)
	}
}
