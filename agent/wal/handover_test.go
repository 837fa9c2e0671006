package wal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	factsfault "github.com/varvelog/varve/metastore/fault"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

func entryOf(id uuid.UUID, end int64, epoch int32) records.From {
	return records.From{Session: id, End: end, Epoch: epoch}
}

func opened(slot uint16, epoch int32) step { return step{open: open(slot, epoch)} }

func wrote(slots ...uint16) step { return step{write: slots} }

// R4, R6, R7: what lies in the store at or beyond the end is not the log, with or without a hole before it, and nobody asks for what
// is missing there (mutant: footers beyond the end are applied).
func TestReplayStopsAtTheEnd(t *testing.T) {
	p := newPast(t)
	a := p.session(records.Sealed, 0, uuid.Nil, opened(3, 1), wrote(3), wrote(3), wrote(3), wrote(3))
	p.end(a, records.Sealed, 0, uuid.Nil, 3)
	p.replay("2", 3, p.from(a, 1))
	if err := p.r.Store.Delete(t.Context(), p.r.Keys.WAL(a, 3)); err != nil {
		t.Fatal(err)
	}
	if stats := p.replay("2", 3, p.from(a, 1)); stats.Footers != 2 {
		t.Fatalf("%+v", stats)
	}
}

// The end is the entry's, not the session's: after a hand-over the session goes on with other slots. Two slots with two ends
// are served by one reading.
func TestReplayOfALiveSession(t *testing.T) {
	p := newPast(t)
	a := p.session(records.Active, 0, uuid.Nil, step{open: map[uint16]int32{3: 1, 4: 1}}, wrote(3, 4), wrote(3, 4), wrote(4), wrote(4))
	l := ledger{}
	stats, err := p.r.Replay(t.Context(), []Takeover{
		{Slot: 3, From: []records.From{entryOf(a, 3, 1)}}, {Slot: 4, From: []records.From{entryOf(a, 5, 1)}},
	}, l)
	if err != nil || l[3] != "2" || l[4] != "2 3 4" || stats.Sessions != 1 || stats.Footers != 4 {
		t.Fatalf("%v, %+v, %v", l, stats, err)
	}
}

// A slot-open at or beyond the end does not count: it was never committed.
func TestReplayOfASlotOpenBeyondTheEnd(t *testing.T) {
	p := newPast(t)
	a := p.session(records.Sealed, 0, uuid.Nil, opened(3, 1), wrote(3))
	b := p.session(records.Sealed, 0, uuid.Nil, opened(9, 1), opened(3, 2), wrote(3))
	p.replay("2", 3, p.from(a, 1), entryOf(b, 2, 2))
	p.replay("2", 3, p.from(a, 1), entryOf(b, 1, 2))
	p.replay("3", 3, p.from(a, 1), entryOf(b, 4, 2))
	l := ledger{} // read further for another slot
	_, err := p.r.Replay(t.Context(), []Takeover{
		{Slot: 3, From: []records.From{p.from(a, 1), entryOf(b, 2, 2)}}, {Slot: 9, From: []records.From{entryOf(b, 4, 1)}},
	}, l)
	if err != nil || l[3] != "2" {
		t.Fatalf("%v, %v", l, err)
	}
}

// A session that led the slot twice has runs of both times: only those of the entry's epoch count (mutants: runs of another epoch
// are applied; the stop rule ignores the entry's epoch).
func TestReplayTakesRunsOfTheEntrysEpoch(t *testing.T) {
	p := newPast(t)
	key := p.snapshot("c/s/5", bundle.Slot{Slot: 3, Epoch: 5})
	a := p.session(records.Sealed, 0, uuid.Nil, opened(3, 3), wrote(3), wrote(8), step{open: open(3, 5), key: key}, wrote(3))
	p.epoch[3] = 4
	b := p.session(records.Sealed, 0, uuid.Nil, opened(3, 4), wrote(3))
	// B opened with a snapshot of nothing here, which is enough to see where the search stops.
	p.replay("snapshot(epoch 5) 5", 3, entryOf(a, 4, 3), p.from(b, 4), p.from(a, 5))
	p.replay("2", 3, entryOf(a, 4, 3), p.from(b, 4))
	p.replay("2", 3, entryOf(a, 4, 3))
	p.replay("2", 3, entryOf(a, 6, 3)) // an end that is too high brings nothing of the other epoch
	p.replay("", 3, entryOf(a, 6, 9))
}

// R20 with snapshots: A's names the slot under e3, frozen, while e5 was never opened: B has the log. Then e5 is in A's snapshot,
// and the entry of e3 is not looked at; and a snapshot of a later epoch says nothing about an entry of an earlier one.
func TestReplayOfSnapshotsOfOtherEpochs(t *testing.T) {
	p := newPast(t)
	id := uuid.New()
	a := p.session(records.Sealed, 3, id, opened(3, 3), wrote(3), wrote(8), wrote(8))
	p.snapshot(p.r.Keys.Snapshot(a, 3, id), bundle.Slot{Slot: 3, Epoch: 3})
	b := p.session(records.Sealed, 0, uuid.Nil, opened(3, 4), wrote(8), wrote(3))
	p.replay("3", 3, entryOf(a, 3, 3), p.from(b, 4), p.from(a, 5))
	p.replay("snapshot(epoch 3)", 3, entryOf(a, 3, 3))
	p.snapshot(p.r.Keys.Snapshot(a, 3, id), bundle.Slot{Slot: 3, Epoch: 5})
	p.replay("snapshot(epoch 5)", 3, entryOf(a, 3, 3), p.from(b, 4), p.from(a, 5))
	p.replay("3", 3, entryOf(a, 3, 3), p.from(b, 4))
	p.replay("", 3, entryOf(a, 3, 3))
}

// Slots whose lists name one session at different depths, and twice, each get their own.
func TestReplayOfListsThatNameASessionTwice(t *testing.T) {
	p := newPast(t)
	a := p.session(records.Sealed, 0, uuid.Nil,
		step{open: map[uint16]int32{3: 3, 4: 1, 5: 1}}, wrote(3, 4, 5), step{open: open(3, 5)}, wrote(3, 5), wrote(4))
	b := p.session(records.Sealed, 0, uuid.Nil, opened(9, 1))
	l := ledger{}
	_, err := p.r.Replay(t.Context(), []Takeover{
		{Slot: 3, From: []records.From{entryOf(a, 3, 3), p.from(b, 4), p.from(a, 5)}},
		{Slot: 4, From: []records.From{p.from(a, 1), p.from(b, 2)}},
		{Slot: 5, From: []records.From{entryOf(a, 4, 1)}},
		{Slot: 6, From: []records.From{p.from(a, 1), p.from(b, 1), p.from(a, 2)}},
		{Slot: 7},
	}, l)
	if err != nil || l[3] != "4" || l[4] != "2 5" || l[5] != "2" || len(l) != 3 {
		t.Fatalf("%v, %v", l, err)
	}
}

// hookedGets calls get before each GET.
type hookedGets struct {
	objstore.Store
	get func(key string)
}

func (h hookedGets) Get(ctx context.Context, key string, rng objstore.Range) (objstore.Object, error) {
	h.get(key)
	return h.Store.Get(ctx, key, rng)
}

// An object that is gone may have been superseded: by a newer snapshot of the session, or because the session is drained. Only when
// the item says neither is it damage.
func TestReplayReadsTheItemAgain(t *testing.T) {
	build := func(t *testing.T) (p *past, a uuid.UUID, first, second uuid.UUID) {
		p, first, second = newPast(t), uuid.New(), uuid.New()
		a = p.session(records.Active, 2, first, opened(3, 1), wrote(3), wrote(3), wrote(3))
		p.snapshot(p.r.Keys.Snapshot(a, 2, first), bundle.Slot{Slot: 3, Epoch: 1})
		return p, a, first, second
	}
	newer := func(p *past, a, id uuid.UUID) {
		p.snapshot(p.r.Keys.Snapshot(a, 4, id), bundle.Slot{Slot: 3, Epoch: 1})
		p.end(a, records.Active, 4, id, 5)
	}
	t.Run("the snapshot", func(t *testing.T) {
		p, a, first, second := build(t)
		once := sync.OnceFunc(func() {
			newer(p, a, second)
			_ = p.r.Store.Delete(t.Context(), p.r.Keys.Snapshot(a, 2, first))
		})
		p.r.Store = hookedGets{p.r.Store, func(string) { once() }}
		p.replay("snapshot(epoch 1)", 3, entryOf(a, 5, 1))
	})
	t.Run("a bundle", func(t *testing.T) {
		p, a, _, second := build(t)
		once := sync.OnceFunc(func() {
			newer(p, a, second)
			_ = p.r.Store.Delete(t.Context(), p.r.Keys.WAL(a, 4))
		})
		p.r.Store = hookedGets{p.r.Store, func(key string) {
			if strings.HasSuffix(key, "4") {
				once()
			}
		}}
		p.replay("snapshot(epoch 1)", 3, entryOf(a, 5, 1))
	})
	t.Run("drained", func(t *testing.T) {
		p, a, _, _ := build(t)
		older := p.session(records.Sealed, 0, uuid.Nil, opened(3, 1), wrote(3))
		once := sync.OnceFunc(func() {
			p.end(a, records.Drained, 2, uuid.Nil, 5)
			_ = p.r.Store.Delete(t.Context(), p.r.Keys.WAL(a, 4))
		})
		p.r.Store = hookedGets{p.r.Store, func(string) { once() }}
		p.replay("2", 3, p.from(older, 1), entryOf(a, 5, 1))
	})
	t.Run("damage", func(t *testing.T) {
		p, a, _, _ := build(t)
		if err := p.r.Store.Delete(t.Context(), p.r.Keys.WAL(a, 4)); err != nil {
			t.Fatal(err)
		}
		reads := 0
		p.r.Facts = factsfault.New(p.facts, factsfault.Plan{Hook: func(factsfault.Call) factsfault.Action {
			reads++
			return factsfault.Action{Do: factsfault.Pass}
		}})
		_, err := p.r.Replay(t.Context(), []Takeover{{Slot: 3, From: []records.From{entryOf(a, 5, 1)}}}, ledger{})
		if !errors.Is(err, objstore.ErrNotFound) || reads != 2 {
			t.Fatalf("%v after %d reads of the item", err, reads)
		}
	})
}

// The footers of a long tail are read 64 at a time, and no more.
func TestReplayReadsInParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPast(t)
		p.r.Parallel = 0
		steps := []step{opened(3, 1)}
		for range 200 {
			steps = append(steps, wrote(3))
		}
		a := p.session(records.Sealed, 0, uuid.Nil, steps...)
		var mu sync.Mutex
		now, most := 0, 0
		p.r.Store = hookedGets{p.r.Store, func(string) {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(20 * time.Millisecond)
			mu.Lock()
			now--
			mu.Unlock()
		}}
		begun := time.Now()
		want := ""
		for i := range 200 {
			want += fmt.Sprintf(" %d", i+2)
		}
		p.replay(want[1:], 3, p.from(a, 1))
		if most != 64 || time.Since(begun) > 100*time.Millisecond {
			t.Fatalf("%d GETs at once, %v", most, time.Since(begun))
		}
	})
}

// A session item that is gone, or damaged, is an error: absence says nothing.
func TestReplayWithoutTheItem(t *testing.T) {
	p := newPast(t)
	_, err := p.r.Replay(t.Context(), []Takeover{{Slot: 3, From: []records.From{entryOf(uuid.New(), 9, 1)}}}, ledger{})
	if !errors.Is(err, metastore.ErrNotFound) {
		t.Fatal(err)
	}
}
