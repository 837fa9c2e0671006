package wal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	factsfault "github.com/varvelog/varve/metastore/fault"
	factsmem "github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/fault"
	objmem "github.com/varvelog/varve/objstore/mem"
)

// ledger is a Fold that writes down what it is fed, by slot.
type ledger map[uint16]string

func (l ledger) Snapshot(f *bundle.Footer, want func(uint16) bool) error {
	for _, s := range f.Slots {
		if !want(s.Slot) {
			continue
		}
		if delete(l, s.Slot); s.Epoch > 0 {
			l[s.Slot] = fmt.Sprintf("snapshot(epoch %d)", s.Epoch)
		}
	}
	return nil
}

func (l ledger) Apply(o bundle.Object, f *bundle.Footer, want func(uint16, int32) bool, _ int64) error {
	for _, r := range f.Runs {
		if want(r.Slot, r.LeaderEpoch) {
			l[r.Slot] = strings.TrimSpace(fmt.Sprintf("%s %d", l[r.Slot], o.Seq))
		}
	}
	return nil
}

// past builds sessions that have ended.
type past struct {
	t     *testing.T
	r     Replayer
	facts metastore.Store
	ends  map[uuid.UUID]int64
	epoch map[uint16]int32 // under which runs are written; of the last slot-open
}

func newPast(t *testing.T) *past {
	p := &past{t: t, facts: factsmem.New(), ends: map[uuid.UUID]int64{}, epoch: map[uint16]int32{}}
	p.r = Replayer{Store: objmem.New(), Facts: p.facts, Keys: objstore.Keys{Cluster: "c"}, Cluster: "c", ClusterID: uuid.New(), Parallel: 4, Logger: slog.New(slog.DiscardHandler)}
	return p
}

// step is one bundle of a session: slots opened under epochs, and slots written to.
type step struct {
	open  map[uint16]int32
	key   string // snapshot that the slot-opens name
	write []uint16
}

func (p *past) session(state records.State, snap int64, snapID uuid.UUID, steps ...step) uuid.UUID {
	p.t.Helper()
	id := uuid.New()
	for i, st := range steps {
		f := &bundle.Footer{}
		for slot, epoch := range st.open {
			f.Ops = append(f.Ops, bundle.Op{Kind: bundle.OpSlotOpen, Slot: slot, Epoch: epoch, Key: st.key})
			p.epoch[slot] = epoch
		}
		body := bundle.AppendHeader(nil, bundle.Header{Kind: bundle.WAL, Cluster: p.r.ClusterID, Session: id, Seq: uint64(i + 1)})
		for _, slot := range st.write {
			b := batch(p.t, 0, 10)
			f.Topics = []bundle.Topic{{ID: testTopic, Name: "t"}}
			f.Slots = append(f.Slots, bundle.Slot{Slot: slot, Epoch: p.epoch[slot], FirstRun: uint32(len(f.Runs)), Runs: 1})
			f.Runs = append(f.Runs, bundle.Run{Slot: slot, LeaderEpoch: p.epoch[slot], Next: 1, Pos: uint64(len(body)), Len: uint32(len(b)), Batches: 1, FirstBatch: uint32(len(f.Runs))})
			f.Batches = append(f.Batches, bundle.Batch{Len: uint32(len(b)), ProducerID: -1, Records: 1})
			body = append(body, b...)
		}
		p.put(p.r.Keys.WAL(id, uint64(i+1)), bundle.AppendFooter(body, bundle.WAL, f))
	}
	p.end(id, state, snap, snapID, int64(len(steps))+1)
	return id
}

func (p *past) end(id uuid.UUID, state records.State, snap int64, snapID uuid.UUID, end int64) {
	p.t.Helper()
	p.ends[id] = end
	s := records.Session{Agent: "a", State: state, Committed: end - 1, Snap: snap, SnapID: snapID, End: end}
	if _, err := p.facts.Write(p.t.Context(), metastore.Op{Kind: metastore.OpPut, Key: p.r.Cluster.SessionKey(id), Set: s.Item()}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *past) put(key string, body []byte) {
	p.t.Helper()
	if err := p.r.Store.Put(p.t.Context(), key, body); err != nil {
		p.t.Fatal(err)
	}
}

func (p *past) snapshot(key string, slots ...bundle.Slot) string {
	p.t.Helper()
	body := bundle.AppendHeader(nil, bundle.Header{Kind: bundle.SNAP})
	p.put(key, bundle.AppendFooter(body, bundle.SNAP, &bundle.Footer{Slots: slots}))
	return key
}

func (p *past) replay(want string, slot uint16, from ...records.From) Stats {
	p.t.Helper()
	l := ledger{}
	stats, err := p.r.Replay(p.t.Context(), []Takeover{{Slot: slot, Epoch: 99, From: from}}, l)
	if err != nil {
		p.t.Fatal(err)
	}
	if l[slot] != want {
		p.t.Fatalf("slot %d: replayed %q, want %q", slot, l[slot], want)
	}
	return stats
}

func open(slot uint16, epoch int32) map[uint16]int32 { return map[uint16]int32{slot: epoch} }

func (p *past) from(id uuid.UUID, epoch int32) records.From {
	return records.From{Session: id, End: p.ends[id], Epoch: epoch}
}

func TestReplayFooters(t *testing.T) {
	p := newPast(t)
	steps := []step{{open: map[uint16]int32{3: 1, 4: 1}}}
	for range 20 {
		steps = append(steps, step{write: []uint16{3}}, step{write: []uint16{4}})
	}
	a := p.session(records.Sealed, 0, uuid.Nil, steps...)
	want := ""
	for seq := 2; seq <= 40; seq += 2 {
		want += fmt.Sprintf("%d ", seq)
	}
	p.replay(strings.TrimSpace(want), 3, p.from(a, 1))
	// Both slots at once read the session once.
	l := ledger{}
	stats, err := p.r.Replay(t.Context(), []Takeover{{Slot: 3, From: []records.From{p.from(a, 1)}}, {Slot: 4, From: []records.From{p.from(a, 1)}}}, l)
	if err != nil || stats.Sessions != 1 || stats.Footers != 41 || len(l) != 2 {
		t.Fatalf("%+v, %v, %v", stats, l, err)
	}
}

// Only what lies beyond the session's snapshot is read as footers.
func TestReplayFromSnapshot(t *testing.T) {
	p := newPast(t)
	id := uuid.New()
	a := p.session(records.Closed, 3, id, step{open: open(3, 1)}, step{write: []uint16{3}}, step{write: []uint16{3}}, step{write: []uint16{3}})
	p.snapshot(p.r.Keys.Snapshot(a, 3, id), bundle.Slot{Slot: 3, Epoch: 1})
	if stats := p.replay("snapshot(epoch 1) 4", 3, p.from(a, 1)); stats.Footers != 1 || stats.Snapshots != 1 {
		t.Fatalf("%+v", stats)
	}
}

// R9: B took the slot and died before its slot-open: the tail is A's.
func TestReplayPassesASessionThatNeverServed(t *testing.T) {
	p := newPast(t)
	a := p.session(records.Sealed, 0, uuid.Nil, step{open: open(3, 1)}, step{write: []uint16{3}})
	b := p.session(records.Sealed, 0, uuid.Nil, step{open: open(9, 1)})
	none := p.session(records.Sealed, 0, uuid.Nil)
	p.replay("2", 3, p.from(a, 1), p.from(b, 2), p.from(none, 3))
}

// R20: a slot went A(e3) -> B(e4) -> A(e5), one session of A, which died before slot-open(e5): B has the log.
func TestReplayStopsByTheEntrysEpoch(t *testing.T) {
	p := newPast(t)
	a := p.session(records.Sealed, 0, uuid.Nil, step{open: open(3, 3)}, step{write: []uint16{3}})
	key := p.snapshot("c/s/x", bundle.Slot{Slot: 3, Epoch: 4})
	b := p.session(records.Sealed, 0, uuid.Nil, step{open: open(3, 4), key: key}, step{write: []uint16{8}}, step{write: []uint16{3}})
	p.replay("snapshot(epoch 4) 3", 3, p.from(a, 3), p.from(b, 4), p.from(a, 5))
}

// A start that died while it took the slots leaves some with one session more in their list than the others. However the
// sessions are visited, no slot may lose the one that holds its log.
func TestReplayOfListsThatDiffer(t *testing.T) {
	p := newPast(t)
	a := p.session(records.Sealed, 0, uuid.Nil, step{open: map[uint16]int32{3: 1, 4: 1}}, step{write: []uint16{3}}, step{write: []uint16{4}})
	b := p.session(records.Sealed, 0, uuid.Nil)
	for range 20 { // the order of the visits is random
		l := ledger{}
		_, err := p.r.Replay(t.Context(), []Takeover{{Slot: 3, From: []records.From{p.from(a, 1), p.from(b, 2)}}, {Slot: 4, From: []records.From{p.from(a, 1)}}}, l)
		if err != nil || l[3] != "2" || l[4] != "3" {
			t.Fatalf("replayed %v, %v", l, err)
		}
	}
}

// The snapshot that a slot-open names stands for all before it.
func TestReplayTakesTheSnapshotOfSlotOpen(t *testing.T) {
	p := newPast(t)
	key := p.snapshot("c/s/y", bundle.Slot{Slot: 3, Epoch: 2}, bundle.Slot{Slot: 4, Epoch: 2})
	a := p.session(records.Sealed, 0, uuid.Nil, step{open: open(3, 2), key: key, write: []uint16{3}}, step{write: []uint16{3}})
	p.replay("snapshot(epoch 2) 1 2", 3, p.from(uuid.New(), 1), p.from(a, 2))
}

// A slot-open was repeated because nobody knew whether the first one was committed: what was written in between stays.
func TestReplayOfARepeatedSlotOpen(t *testing.T) {
	p := newPast(t)
	key := p.snapshot("c/s/y", bundle.Slot{Slot: 3, Epoch: 2})
	a := p.session(records.Sealed, 0, uuid.Nil, step{open: open(3, 2), key: key, write: []uint16{3}}, step{open: open(3, 2), key: key, write: []uint16{3}})
	p.replay("snapshot(epoch 2) 1 2", 3, p.from(a, 2))
}

// A drained session holds nothing, and its objects may be gone.
func TestReplaySkipsDrained(t *testing.T) {
	p := newPast(t)
	gone := uuid.New()
	p.end(gone, records.Drained, 0, uuid.Nil, 100)
	p.replay("", 3, p.from(gone, 1))
}

// A replay is patient: what a store did not answer it asks again, of the one store as of the other.
func TestReplayAsksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPast(t)
		a := p.session(records.Sealed, 0, uuid.Nil, step{open: open(3, 1)}, step{write: []uint16{3}})
		calls := 0
		p.r.Facts = factsfault.New(p.facts, factsfault.Plan{Hook: func(factsfault.Call) factsfault.Action {
			calls++
			return [...]factsfault.Action{{Do: factsfault.Lose}, {Do: factsfault.Fail, Err: metastore.ErrThrottled}, {Do: factsfault.Pass}}[calls-1]
		}})
		p.r.Store = fault.New(p.r.Store, fault.Plan{Hook: fault.Script(
			fault.Step{Op: fault.Get, N: 1, Action: fault.Action{Do: fault.Lose}},
			fault.Step{Op: fault.Get, N: 3, Action: fault.Action{Do: fault.Fail, Err: objstore.ErrThrottled}},
		)})
		p.replay("2", 3, p.from(a, 1))
		if calls != 3 {
			t.Errorf("%d reads of the session item, want 3", calls)
		}
	})
}

// Damage is an error that names the object; a session that is not in the table is one too.
func TestReplayErrors(t *testing.T) {
	p := newPast(t)
	a := p.session(records.Sealed, 0, uuid.Nil, step{open: open(3, 1)}, step{write: []uint16{3}})
	fail := func(session uuid.UUID, want error, text string) {
		t.Helper()
		_, err := p.r.Replay(context.Background(), []Takeover{{Slot: 3, From: []records.From{p.from(session, 1)}}}, ledger{})
		if err == nil || want != nil && !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
			t.Fatalf("got %v, want %v with %q", err, want, text)
		}
	}
	fail(uuid.New(), metastore.ErrNotFound, "")
	key := p.r.Keys.WAL(a, 2)
	object, err := p.r.Store.Get(t.Context(), key, objstore.Range{})
	if err != nil {
		t.Fatal(err)
	}
	other := p.r.Keys.WAL(a, 1)
	wrong, err := p.r.Store.Get(t.Context(), other, objstore.Range{})
	if err != nil {
		t.Fatal(err)
	}
	p.put(key, wrong.Body) // a valid bundle at a wrong place
	fail(a, bundle.ErrCorrupt, key)
	object.Body[len(object.Body)-40] ^= 1
	p.put(key, object.Body)
	fail(a, bundle.ErrCorrupt, key)
	if err := p.r.Store.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	fail(a, objstore.ErrNotFound, "")
}
