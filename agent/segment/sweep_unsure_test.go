package segment

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// replacing is a store in which a snapshot goes when it is about to be read, after others have come.
type replacing struct {
	objstore.Store
	t     *testing.T
	goes  string            // empty: none
	comes func(body []byte) // before it goes
}

func (s *replacing) Get(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
	if key == s.goes {
		s.goes = ""
		o, err := s.Store.Get(ctx, key, objstore.Range{})
		if err != nil {
			s.t.Fatal(err)
		}
		s.comes(o.Body)
		if err := s.Delete(ctx, key); err != nil {
			s.t.Fatal(err)
		}
	}
	return s.Store.Get(ctx, key, r)
}

// A session writes a snapshot a minute and keeps two; a look may take hours. What the newer ones name is needed, though the one that was
// listed is gone.
func TestSweepReadsSnapshotsThatReplaceOthers(t *testing.T) { synctest.Test(t, testSweepReplaced) }

func testSweepReplaced(t *testing.T) {
	r := newRig(t)
	live, drained := r.state(uuid.New(), records.Active, 1, 9), r.state(uuid.New(), records.Drained, 1, 9)
	name := r.topic("a", 1)[0]
	pack, key := r.pack(drained, 1)
	store := &replacing{Store: r.inner, t: t}
	seq := uint64(1)
	last := r.snapshotOf(live, tailRun{name, bundle.Object{Kind: bundle.PACK, Session: pack}, 0, 4})
	put := func(body []byte) {
		seq++
		last = r.keys.Snapshot(live, seq, uuid.New())
		if err := r.inner.Put(t.Context(), last, body); err != nil {
			t.Fatal(err)
		}
	}
	twice := func(body []byte) {
		put(body)
		store.goes, store.comes = last, put // it is replaced, too, before it is read
	}
	s := r.sweeper(time.Minute)
	s.d.Objects = store
	for range 3 {
		store.goes, store.comes = last, twice
		r.look(s)
		time.Sleep(time.Hour)
	}
	if got := r.queuedKeys(); slices.Contains(got, key) {
		t.Fatal("a pack is an orphan whose run the newest snapshot names")
	}
	if seq != 7 {
		t.Fatal("snapshots:", seq)
	}
}

// The one whose snapshot named a pack is drained while a look is under way, so that its snapshots are gone: somebody has its slots now, whose
// snapshot came after the listing.
func TestSweepWaitsWhileSlotsGoToOthers(t *testing.T) { synctest.Test(t, testSweepPassedOn) }

func testSweepPassedOn(t *testing.T) {
	r := newRig(t)
	drained := r.state(uuid.New(), records.Drained, 1, 9)
	name := r.topic("a", 1)[0]
	pack, key := r.pack(drained, 1)
	_, idle := r.pack(drained, 1)
	store := &replacing{Store: r.inner, t: t}
	last := r.snapshotOf(r.state(uuid.New(), records.Sealed, 1, 9), tailRun{name, bundle.Object{Kind: bundle.PACK, Session: pack}, 0, 4})
	store.comes = func(body []byte) {
		last = r.keys.Snapshot(r.state(uuid.New(), records.Active, 1, 9), 0, uuid.New())
		if err := r.inner.Put(t.Context(), last, body); err != nil {
			t.Fatal(err)
		}
	}
	s := r.sweeper(time.Minute)
	s.d.Objects = store
	for range 3 {
		store.goes = last
		r.look(s)
		time.Sleep(time.Hour)
	}
	if got := r.queuedKeys(); len(got) != 0 {
		t.Fatal("orphans, though nobody can tell:", got)
	}
	// A session that was drained before the look has passed nothing on.
	gone := r.snapshotOf(drained)
	store.comes = func([]byte) {}
	for range 2 {
		store.goes = gone
		r.look(s)
		time.Sleep(time.Hour)
	}
	if got := r.queuedKeys(); !slices.Contains(got, idle) || slices.Contains(got, key) {
		t.Fatal("orphans:", got)
	}
}

// Sessions that a rebuild of the table made up end at their last snapshot: what they wrote after it may have been acked, and the
// topics of their segments may be lost. Somebody may want them yet.
func TestSweepLeavesWhatARebuildDoesNotKnow(t *testing.T) { synctest.Test(t, testSweepRebuilt) }

func testSweepRebuilt(t *testing.T) {
	r := newRig(t)
	name := r.topic("a", 1)[0]
	for _, state := range []records.State{records.Sealed, records.Drained} {
		id := uuid.New()
		r.put(r.cluster.SessionKey(id), records.Session{Agent: "rebuilt", State: state, HB: 1, Committed: 5, End: 6, Trim: 2, Snap: 5}.Item())
		for seq := uint64(2); seq < 9; seq++ {
			r.store(r.keys.WAL(id, seq))
		}
		r.written(r.keys.Segment(name.Topic, 0, 0, uuid.New()), bundle.SEG, uuid.UUID{9}, id)
		r.written(r.keys.Segment(uuid.New(), 0, 0, uuid.New()), bundle.SEG, uuid.UUID{9}, id)
		r.written(r.keys.Pack(uuid.New()), bundle.PACK, uuid.UUID{9}, id)
	}
	s := r.sweeper(time.Minute)
	for range 3 {
		r.look(s)
		time.Sleep(time.Hour)
	}
	if got := r.queuedKeys(); len(got) != 0 {
		t.Fatal("queued:", got)
	}
}

// A look that fails has seen which segments have a name since: their grace begins anew when they lose it.
func TestSweepThatFailsForgetsWhoGotAName(t *testing.T) { synctest.Test(t, testSweepFailsAndForgets) }

func testSweepFailsAndForgets(t *testing.T) {
	r := newRig(t)
	n := r.topic("a", 1)[0]
	drained, id := r.state(uuid.New(), records.Drained, 1, 1), uuid.New()
	key := r.written(r.keys.Segment(n.Topic, 0, 0, id), bundle.SEG, uuid.UUID{9}, drained)
	s := r.sweeper(time.Minute)
	r.look(s)
	time.Sleep(time.Hour)
	extent := r.cluster.ExtentKey(n.Topic, 0, 0)
	r.put(extent, records.Extent{Base: 0, Next: 4, Segment: id, Size: 164, FooterLen: 40, Bytes: 100, Records: 4}.Item())
	r.pack(drained, 1)
	damaged := r.store(r.keys.Snapshot(uuid.New(), 1, uuid.New()))
	if err := s.Look(t.Context()); err == nil {
		t.Fatal("a damaged snapshot may name packs")
	}
	if err := r.inner.Delete(t.Context(), damaged); err != nil {
		t.Fatal(err)
	}
	if _, err := r.table.Write(t.Context(), metastore.Op{Kind: metastore.OpDelete, Key: extent}); err != nil {
		t.Fatal(err)
	}
	if r.look(s); slices.Contains(r.queuedKeys(), key) {
		t.Fatal("it had a name a moment ago")
	}
}
