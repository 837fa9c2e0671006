package segment

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// sweeper returns one that makes its requests without a pause.
func (r *rig) sweeper(grace time.Duration) *Sweeper {
	return NewSweeper(SweepConfig{Interval: 1, Grace: grace}, SweepDeps{
		Objects: r.inner, Facts: r.table, Keys: r.keys, Cluster: r.cluster, ClusterID: uuid.UUID{9}, Mine: func() bool { return true },
		Log: slog.New(slog.DiscardHandler),
	})
}

// state writes a session's item.
func (r *rig) state(id uuid.UUID, state records.State, trim, committed int64) uuid.UUID {
	r.t.Helper()
	s := records.Session{Agent: "a", NodeID: 1, State: state, Trim: trim, Committed: committed}
	if hasEnd(state) {
		s.End = committed + 1
	}
	r.put(r.cluster.SessionKey(id), s.Item())
	return id
}

func (r *rig) put(key metastore.Key, it metastore.Item) {
	r.t.Helper()
	if _, err := r.table.Write(context.Background(), metastore.Op{Kind: metastore.OpPut, Key: key, Set: it}); err != nil {
		r.t.Fatal(err)
	}
}

// written stores an object with the header of its writer.
func (r *rig) written(key string, kind bundle.Kind, cluster, session uuid.UUID) string {
	r.t.Helper()
	body := bundle.AppendHeader(nil, bundle.Header{Kind: kind, Cluster: cluster, Session: session})
	if err := r.inner.Put(context.Background(), key, body); err != nil {
		r.t.Fatal(err)
	}
	return key
}

// tailRun is a run of a snapshot that lies elsewhere.
type tailRun struct {
	name       Name
	in         bundle.Object
	base, next int64
}

// snapshotOf stores a snapshot with runs.
func (r *rig) snapshotOf(session uuid.UUID, runs ...tailRun) string {
	r.t.Helper()
	var f bundle.Footer
	for i, run := range runs {
		f.Topics = append(f.Topics, bundle.Topic{ID: run.name.Topic, Name: cmp.Or(r.topics[run.name.Topic], "gone")})
		run.in.Size = cmp.Or(run.in.Size, 1000)
		f.Objects = append(f.Objects, run.in)
		f.Refs = append(f.Refs, bundle.Ref{Object: uint32(i)})
		f.Runs = append(f.Runs, bundle.Run{Topic: uint32(i), Partition: run.name.Index, Base: run.base, Next: run.next, Pos: bundle.HeaderLen, Len: 100})
	}
	key := r.keys.Snapshot(session, 1, uuid.New())
	body := bundle.AppendHeader(nil, bundle.Header{Kind: bundle.SNAP, Cluster: uuid.UUID{9}, Session: session})
	if err := r.inner.Put(context.Background(), key, bundle.AppendFooter(body, bundle.SNAP, &f)); err != nil {
		r.t.Fatal(err)
	}
	return key
}

func (r *rig) pack(writer uuid.UUID, live int64) (uuid.UUID, string) {
	id := uuid.New()
	p := records.Pack{ID: id, Session: writer, Live: live, Runs: live + 3, Bytes: 64}
	r.put(r.cluster.PackKey(id), p.Item())
	return id, r.written(r.keys.Pack(id), bundle.PACK, uuid.UUID{9}, writer)
}

// queuedKeys are all keys in the garbage queue.
func (r *rig) queuedKeys() (all []string) {
	for _, g := range r.queue() {
		all = append(all, g.Keys...)
	}
	slices.Sort(all)
	return all
}

// plant fills the bucket with what is needed, what may be, and what is an orphan, which it returns.
func (r *rig) plant() (orphans []string) {
	ours := uuid.UUID{9}
	live, fenced := r.state(uuid.New(), records.Active, 1, 9), r.state(uuid.New(), records.Fenced, 1, 9)
	sealed, closed, drained := r.state(uuid.New(), records.Sealed, 3, 5), r.state(uuid.New(), records.Closed, 3, 5), r.state(uuid.New(), records.Drained, 3, 5)
	unknown := uuid.New()
	orphan := func(key string) { orphans = append(orphans, key) }
	for seq := uint64(1); seq < 9; seq++ {
		for _, s := range []uuid.UUID{live, fenced, unknown, sealed, closed, drained} {
			r.store(r.keys.WAL(s, seq))
		}
		orphan(r.keys.WAL(drained, seq))
		if seq < 3 || seq > 5 {
			orphan(r.keys.WAL(sealed, seq))
			orphan(r.keys.WAL(closed, seq))
		}
	}
	r.store(r.keys.WAL(r.state(uuid.New(), records.Sealed, 5, 5), 5)) // the last one, alone
	r.snapshotOf(unknown)

	names := r.topic("a", 2)
	gone := Name{uuid.New(), 0}
	linked := func(n Name, base, next int64) {
		e := records.Extent{Base: base, Next: next, Segment: uuid.New(), Size: 164, FooterLen: 40, Bytes: 100, Records: next - base}
		r.put(r.cluster.ExtentKey(n.Topic, n.Index, base), e.Item())
		r.written(r.keys.Segment(n.Topic, n.Index, base, e.Segment), bundle.SEG, ours, live)
	}
	r.put(r.cluster.PartitionKey(names[0].Topic, 0), records.Partition{Topic: names[0].Topic, Tiered: 10, V: 1}.Item())
	linked(names[0], 0, 4)
	linked(names[0], 4, 10)
	linked(gone, 0, 4)
	segment := func(n Name, base int64, cluster, writer uuid.UUID) string {
		return r.written(r.keys.Segment(n.Topic, n.Index, base, uuid.New()), bundle.SEG, cluster, writer)
	}
	orphan(segment(names[0], 4, ours, live)) // somebody else linked what begins there
	orphan(segment(names[0], 6, ours, fenced))
	orphan(segment(names[0], 10, ours, drained))
	orphan(segment(names[1], 0, ours, drained))
	orphan(segment(gone, 4, ours, live))
	segment(names[0], 10, ours, live) // may be linked the next moment
	segment(names[0], 10, ours, fenced)
	segment(names[0], 10, ours, sealed) // its link may be on its way, until another leader's is committed
	segment(names[1], 0, ours, live)
	segment(names[0], 4, uuid.UUID{8}, live)
	segment(names[0], 4, ours, unknown)
	segment(gone, 4, uuid.UUID{8}, live)
	r.store(r.keys.Segment(names[0].Topic, 0, 5, uuid.New())) // no header

	r.pack(live, 2)
	r.pack(sealed, 2)
	named, _ := r.pack(drained, 2)
	passed, passedKey := r.pack(drained, 2)
	removed, removedKey := r.pack(drained, 2)
	_, lost := r.pack(drained, 2)
	r.snapshotOf(live, tailRun{names[0], bundle.Object{Kind: bundle.PACK, Session: named}, 8, 12},
		tailRun{names[0], bundle.Object{Kind: bundle.PACK, Session: passed}, 8, 10},
		tailRun{Name{Topic: uuid.New()}, bundle.Object{Kind: bundle.PACK, Session: removed}, 8, 10})
	orphan(r.snapshotOf(drained))
	orphan(passedKey)
	orphan(removedKey)
	orphan(lost)
	orphan(r.written(r.keys.Pack(uuid.New()), bundle.PACK, ours, drained))
	r.written(r.keys.Pack(uuid.New()), bundle.PACK, ours, live)
	r.written(r.keys.Pack(uuid.New()), bundle.PACK, uuid.UUID{8}, drained)
	r.store("c/elsewhere")
	slices.Sort(orphans)
	return orphans
}

// Orphans of every kind are queued at the second look, a grace after the first, and nothing else is: nothing of a session that lives but what
// it can't link any more, and nothing that the table knows nothing of.
func TestSweepTakesOrphansOnly(t *testing.T) { synctest.Test(t, testSweepOrphans) }

func testSweepOrphans(t *testing.T) {
	r := newRig(t)
	probe := r.store(r.keys.Probe(uuid.New()))
	time.Sleep(2 * time.Hour)
	r.store(r.keys.Probe(uuid.New())) // an agent starts
	orphans := append([]string{probe}, r.plant()...)
	slices.Sort(orphans)
	s := r.sweeper(15 * time.Minute)
	look := func() []string {
		if err := s.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		return r.queuedKeys()
	}
	const strange = 4 // segments below tiered whose headers tell at the second look that nobody knows anything of them
	if got := look(); len(got) != 0 || int(s.metrics.suspects.Load()) != len(orphans)+strange {
		t.Fatal("at the first look:", s.metrics.suspects.Load(), len(orphans), got)
	}
	time.Sleep(14 * time.Minute)
	if got := look(); len(got) != 0 {
		t.Fatal("before the grace has passed:", got)
	}
	time.Sleep(time.Minute)
	if got := look(); !slices.Equal(got, orphans) {
		for _, key := range got {
			if !slices.Contains(orphans, key) {
				t.Error("queued, and no orphan:", key)
			}
		}
		for _, key := range orphans {
			if !slices.Contains(got, key) {
				t.Error("not queued:", key)
			}
		}
	}
	if at := s.metrics.at.Load(); at != time.Now().Unix() || s.metrics.suspects.Load() != 0 {
		t.Error(at, s.metrics.suspects.Load())
	}
	before := r.count()
	if err := r.collector(r.inner).Sweep(t.Context(), time.Now().Add(time.Minute)); err != nil || r.count() != before-len(orphans) {
		t.Fatal(err, before, r.count())
	}
	time.Sleep(time.Hour)
	look()
	time.Sleep(time.Hour)
	if got := look(); len(got) != 1 { // the other probe is old by now
		t.Fatal("after all orphans are gone:", got)
	}
}

func (r *rig) count() int {
	found, err := r.inner.List(context.Background(), "", "", 0)
	if err != nil {
		r.t.Fatal(err)
	}
	return len(found)
}

// A segment that is linked between two looks is none any more, and one that lost its name since begins its grace anew.
func TestSweepForgetsWhoGotAName(t *testing.T) { synctest.Test(t, testSweepForgets) }

func testSweepForgets(t *testing.T) {
	r := newRig(t)
	n := r.topic("a", 1)[0]
	drained := r.state(uuid.New(), records.Drained, 1, 1)
	id := uuid.New()
	r.written(r.keys.Segment(n.Topic, 0, 0, id), bundle.SEG, uuid.UUID{9}, drained)
	s := r.sweeper(time.Minute)
	look := func() int {
		time.Sleep(40 * time.Second)
		if err := s.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		return len(r.queuedKeys())
	}
	extent := records.Extent{Base: 0, Next: 4, Segment: id, Size: 164, FooterLen: 40, Bytes: 100, Records: 4}
	key := r.cluster.ExtentKey(n.Topic, 0, 0)
	look()
	r.put(key, extent.Item())
	if look(); len(s.suspects) != 0 {
		t.Fatal("an object with a name is suspected")
	}
	if _, err := r.table.Write(t.Context(), metastore.Op{Kind: metastore.OpDelete, Key: key}); err != nil {
		t.Fatal(err)
	}
	if got := []int{look(), look(), look()}; !slices.Equal(got, []int{0, 0, 1}) {
		t.Fatal(got)
	}
}

// countingLists counts LIST requests.
type countingLists struct {
	objstore.Store
	lists int
}

func (s *countingLists) List(ctx context.Context, prefix, after string, limit int) ([]objstore.Info, error) {
	s.lists++
	return s.Store.List(ctx, prefix, after, limit)
}

// What a session needs, or may need, is not gone through page by page.
func TestSweepPassesWhatIsNeeded(t *testing.T) {
	r := newRig(t)
	sealed, live := r.state(uuid.New(), records.Sealed, 1, 4000), r.state(uuid.New(), records.Active, 1, 1)
	for seq := uint64(1); seq <= 4100; seq++ {
		r.store(r.keys.WAL(sealed, seq))
		r.store(r.keys.WAL(live, seq))
	}
	s := r.sweeper(time.Minute)
	lists := &countingLists{Store: r.inner}
	s.d.Objects = lists
	if err := s.Look(t.Context()); err != nil || len(s.suspects) != 100 {
		t.Fatal(err, len(s.suspects))
	}
	if lists.lists > 8 {
		t.Fatal("pages:", lists.lists)
	}
}

// Who does not look after the bucket any more stops, and begins anew when it does again.
func TestSweepIsOfOneAgent(t *testing.T) { synctest.Test(t, testSweepOfOne) }

func testSweepOfOne(t *testing.T) {
	r := newRig(t)
	r.store(r.keys.WAL(r.state(uuid.New(), records.Drained, 1, 1), 1))
	s := r.sweeper(time.Minute)
	var mine atomic.Bool
	mine.Store(true)
	s.d.Mine, s.cfg.Interval = mine.Load, 10*time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	time.Sleep(6 * time.Minute)
	if synctest.Wait(); len(s.suspects) != 1 {
		t.Fatal(len(s.suspects))
	}
	mine.Store(false)
	asked := 0
	other := r.sweeper(time.Minute)
	other.d.Mine = func() bool { asked++; return asked < 3 }
	if err := other.Look(t.Context()); !errors.Is(err, errNotMine) {
		t.Fatal(err)
	}
	time.Sleep(11 * time.Minute)
	if synctest.Wait(); len(s.suspects) != 0 || len(r.queuedKeys()) != 0 {
		t.Fatal(len(s.suspects), r.queuedKeys())
	}
	mine.Store(true)
	time.Sleep(11 * time.Minute)
	if synctest.Wait(); len(r.queuedKeys()) != 0 {
		t.Fatal("one look was enough")
	}
	time.Sleep(11 * time.Minute)
	if synctest.Wait(); len(r.queuedKeys()) != 1 {
		t.Fatal("two looks were not")
	}
	cancel()
	<-done
}

// An orphan that the store refuses to delete is queued once, not by every second look.
func TestSweepQueuesOnce(t *testing.T) { synctest.Test(t, testSweepQueuesOnce) }

func testSweepQueuesOnce(t *testing.T) {
	r := newRig(t)
	orphans := r.plant()
	s := r.sweeper(1)
	for range 10 {
		r.look(s)
		time.Sleep(6 * time.Hour)
	}
	queued := r.queuedKeys()
	if len(slices.Compact(slices.Clone(queued))) != len(queued) || len(queued) < len(orphans) {
		t.Errorf("%d orphans were queued %d times", len(orphans), len(queued))
	}
	time.Sleep(queuedFor)
	r.look(s)
	if n := len(r.queuedKeys()); n <= len(queued) {
		t.Error("what is still there a week later is forgotten")
	}
}
