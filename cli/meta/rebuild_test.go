package meta

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	factsmem "github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/bundle"
)

// rebuilt rebuilds the rig's table into an empty one, which is the rig's from then on.
func (r *rig) rebuilt(cfg RebuildConfig) Rebuilt {
	r.t.Helper()
	r.facts = factsmem.New()
	got, err := r.tool().Rebuild(context.Background(), cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	return got
}

func decoded[T any](r *rig, key metastore.Key, decode func(metastore.Item) (T, error)) T {
	r.t.Helper()
	it, err := r.facts.Get(context.Background(), key, metastore.Consistent)
	if err != nil {
		r.t.Fatalf("%s: %v", key, err)
	}
	v, err := decode(it)
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

func TestRebuildFromTheBucketAlone(t *testing.T) {
	r := newRig(t)
	old := decoded(r, r.cluster.PartitionKey(r.topic.ID, 0), records.DecodePartition)
	got := r.rebuilt(RebuildConfig{})
	if got.Cluster != r.id || got.Slots != 4 || got.Sessions != 1 || got.Topics != 1 || got.Parts != 2 || got.Packs != 1 || got.Extents != 2 || got.Kept ||
		!slices.Equal(got.Unknown, []Stretch{{r.a, 6, 6}}) {
		t.Errorf("%+v", got)
	}
	s := decoded(r, r.cluster.SessionKey(r.a), records.DecodeSession)
	if s.NodeID != 0 || s.State != records.Sealed || s.Committed != 5 || s.End != 6 || s.Snap != 5 || s.SnapID != r.snap || s.Trim != 2 || len(s.Pending) != 4 || s.Pending[1] != 3 {
		t.Errorf("session %+v", s)
	}
	p := decoded(r, r.cluster.PartitionKey(r.topic.ID, 0), records.DecodePartition)
	if p.LogStart != 0 || p.Tiered != 20 || p.Extents != 2 || p.Bytes != old.Bytes {
		t.Errorf("partition %+v, was %+v", p, old)
	}
	topic := decoded(r, r.cluster.TopicKey("t"), records.DecodeTopic)
	if topic.ID != r.topic.ID || !slices.Equal(topic.Slots, r.topic.Slots) || topic.State != records.TopicActive {
		t.Errorf("topic %+v", topic)
	}
	slot := decoded(r, r.cluster.SlotKey(1), records.DecodeSlot)
	if slot.Leader != r.a || slot.Epoch != 3 || len(slot.From) != 0 {
		t.Errorf("slot %+v", slot)
	}
	ids := decoded(r, r.cluster.IDsKey(), records.DecodeIDs)
	if ids.Start != 1 || ids.Producer <= 2500/producerBlock {
		t.Errorf("ids %+v", ids)
	}
	if c := decoded(r, r.cluster.ConfigKey(), records.DecodeConfig); c.Cluster != r.id || c.Slots != 4 || c.Format != records.Format {
		t.Errorf("config %+v", c)
	}
	found := r.check(true)
	if len(found) != 1 || found[0].Class != Orphan || found[0].Where != r.keys.WAL(r.a, 6) {
		t.Errorf("found %+v", found)
	}
}

func TestRebuildKeepsWhatIsUnknown(t *testing.T) {
	r := newRig(t)
	got := r.rebuilt(RebuildConfig{Uncommitted: true})
	if !got.Kept || len(got.Unknown) != 1 {
		t.Errorf("%+v", got)
	}
	if s := decoded(r, r.cluster.SessionKey(r.a), records.DecodeSession); s.Committed != 6 || s.Snap != 5 {
		t.Errorf("session %+v", s)
	}
	r.clean()
}

// TestRebuildHigherEpochWins: B opened slot 1 after A, which did not know it and went on writing. What B opened the slot with counts,
// whatever A wrote; B's own bundles only if they are asked for.
func TestRebuildHigherEpochWins(t *testing.T) {
	for _, uncommitted := range []bool{false, true} {
		r := newRig(t)
		b, opened := uuid.New(), uuid.New()
		f, _, _, err := r.tool().readFooter(context.Background(), r.keys.Snapshot(r.a, 5, r.snap))
		if err != nil {
			t.Fatal(err)
		}
		six, _, end, err := r.tool().readFooter(context.Background(), r.keys.WAL(r.a, 6))
		if err != nil {
			t.Fatal(err)
		}
		run := six.Runs[0]
		run.Batches, run.Digest, run.FirstBatch = 0, 0, 0
		f.Slots = []bundle.Slot{{Slot: 1, Epoch: 4, Runs: 3}}
		f.Runs, f.Refs = append(f.Runs[:2], run), []bundle.Ref{{Object: 0}, {Object: 1}, {Object: 2}}
		f.Objects = append(f.Objects[:2], bundle.Object{Kind: bundle.WAL, Session: r.a, Seq: 6, Size: uint64(end)})
		f.Partitions, f.Epochs = f.Partitions[:1], f.Epochs[:1]
		f.Partitions[0].LogEnd = 50
		r.snapshot(r.keys.Snapshot(b, 0, opened), b, 0, f)
		r.wal(7, []bundle.Run{{Partition: 0, Slot: 1, Base: 50, Next: 60}}) // A, fenced
		r.slotOpen(b, 1, 1, 4, r.keys.Snapshot(b, 0, opened))

		got := r.rebuilt(RebuildConfig{Uncommitted: uncommitted})
		slot := decoded(r, r.cluster.SlotKey(1), records.DecodeSlot)
		if slot.Epoch != 4 || (slot.Leader == b) != uncommitted || len(slot.From) != 1 || slot.From[0].Session != r.a {
			t.Errorf("uncommitted %v: slot %+v", uncommitted, slot)
		}
		leader := decoded(r, r.cluster.SessionKey(slot.Leader), records.DecodeSession)
		if leader.State != records.Sealed || leader.Committed != 1 || (leader.Snap == 1) == uncommitted {
			t.Errorf("uncommitted %v: leader %+v", uncommitted, leader)
		}
		a := decoded(r, r.cluster.SessionKey(r.a), records.DecodeSession)
		if want := map[bool]int64{false: 6, true: 7}[uncommitted]; a.Committed != want || a.Pending[0] != 3 || a.Pending[1] != 3 {
			t.Errorf("uncommitted %v: the session before: %+v", uncommitted, a)
		}
		if len(got.Unknown) != 2 {
			t.Errorf("unknown: %+v", got.Unknown)
		}
		for _, f := range r.check(true) {
			if f.Class != Orphan && (f.Class != SessionNeedless || f.Where != b.String()) || uncommitted {
				t.Errorf("uncommitted %v: found %+v", uncommitted, f)
			}
		}
	}
}

// slotOpen writes a bundle that opens a slot.
func (r *rig) slotOpen(session uuid.UUID, seq uint64, slot uint16, epoch int32, key string) {
	r.t.Helper()
	f := &bundle.Footer{Ops: []bundle.Op{{Kind: bundle.OpSlotOpen, Slot: slot, Epoch: epoch, Key: key}}}
	out := bundle.AppendHeader(nil, bundle.Header{Kind: bundle.WAL, Cluster: r.id, Session: session, Seq: seq})
	r.object(r.keys.WAL(session, seq), bundle.AppendFooter(out, bundle.WAL, f))
}

func TestRebuildFillsWhatIsLost(t *testing.T) {
	r := newRig(t)
	r.lose(r.keys.Segment(r.topic.ID, 0, 10, r.extents[1].Segment))
	got := r.rebuilt(RebuildConfig{Uncommitted: true})
	if want := "10 offsets of t-0 are lost, and filled with nothing"; !slices.Contains(got.Notes, want) {
		t.Errorf("%q", got.Notes)
	}
	r.clean()
}

// What a snapshot names in the tail may lie in segments since: with a session that was idle for long, in ones that were merged with what lay below,
// and all that they were made of is gone.
func TestRebuildOfAnIdleSession(t *testing.T) {
	r := newRig(t)
	r.segment(0, 0, 30)
	r.lose(r.keys.Segment(r.topic.ID, 0, 0, r.extents[0].Segment))
	r.lose(r.keys.Segment(r.topic.ID, 0, 10, r.extents[1].Segment))
	r.lose(r.keys.Pack(r.pack))
	got := r.rebuilt(RebuildConfig{Uncommitted: true})
	if got.Extents != 1 || got.Packs != 0 || len(got.Notes) != len(alwaysLost) {
		t.Errorf("%+v", got)
	}
	p := decoded(r, r.cluster.PartitionKey(r.topic.ID, 0), records.DecodePartition)
	if p.LogStart != 0 || p.Tiered != 30 || p.Extents != 1 {
		t.Errorf("partition %+v", p)
	}
	r.clean()
}

// TestRebuiltSpan: where extents begin and end is where least is lost, however segments overlap.
func TestRebuiltSpan(t *testing.T) {
	for _, c := range []struct {
		what       string
		segments   []records.Extent
		log        logState
		start, end int64
	}{
		{"none", nil, logState{start: 5, base: 9, end: 9}, 5, 9},
		{"as they were linked", spans(0, 10, 10, 20), logState{base: 20, end: 30}, 0, 20},
		{"the log starts within one", spans(0, 10, 10, 20), logState{start: 5, base: 20, end: 30}, 0, 20},
		{"and another one was never linked", spans(0, 16, 2, 4, 4, 20), logState{start: 3, base: 20, end: 30}, 2, 20},
		{"merged or not", spans(0, 16, 2, 4, 4, 16), logState{start: 3, base: 16, end: 30}, 0, 16},
		{"linked since the snapshot", spans(0, 10, 10, 20, 20, 28), logState{base: 10, end: 30, gone: true}, 0, 28},
		{"of an earlier table", spans(0, 10, 10, 20, 20, 28), logState{base: 10, end: 30}, 0, 10},
		{"merged since the snapshot", spans(0, 20), logState{base: 10, end: 30}, 0, 20},
		{"beyond a hole", spans(0, 10, 20, 28), logState{base: 10, end: 30, gone: true}, 0, 10},
		{"beyond the end of the log", spans(0, 10, 10, 31), logState{base: 10, end: 30, gone: true}, 0, 10},
		{"all below the log start", spans(0, 10), logState{start: 10, base: 10, end: 10}, 10, 10},
		{"all behind the log start", spans(0, 10, 10, 12), logState{start: 10, base: 10, end: 12, gone: true}, 10, 12},
	} {
		m := &mending{there: c.segments}
		if start, end := m.span(&c.log); start != c.start || end != c.end {
			t.Errorf("%s: %d to %d, want %d to %d", c.what, start, end, c.start, c.end)
		}
	}
}

func TestRebuildRefuses(t *testing.T) {
	r := newRig(t)
	if _, err := r.tool().Rebuild(context.Background(), RebuildConfig{}); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("a table in use: %v", err)
	}
	r.facts = factsmem.New()
	r.item(r.cluster.AgentKey("one"), records.Agent{Name: "one"}.Item())
	if _, err := r.tool().Rebuild(context.Background(), RebuildConfig{}); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("a table with one item: %v", err)
	}
	r.facts = factsmem.New()
	if _, err := r.tool().Rebuild(context.Background(), RebuildConfig{Slots: 3}); err == nil {
		t.Error("fewer slots than there are")
	}
	if got := r.rebuilt(RebuildConfig{Dry: true}); got.Topics != 1 {
		t.Errorf("dry: %+v", got)
	}
	if err := r.tool().refuseItems(context.Background()); err != nil {
		t.Errorf("a dry run wrote: %v", err)
	}
	r.id = uuid.New()
	r.snapshot(r.keys.Snapshot(uuid.New(), 3, uuid.New()), r.a, 3, &bundle.Footer{})
	if _, err := r.tool().Rebuild(context.Background(), RebuildConfig{}); err == nil {
		t.Error("objects of two clusters")
	}
	r.keys.Cluster, r.cluster = "other", "other"
	if _, err := r.tool().Rebuild(context.Background(), RebuildConfig{}); !errors.Is(err, ErrEmptyBucket) {
		t.Errorf("an empty bucket: %v", err)
	}
}

// TestLostTableIsRebuilt: what check says when a table is older than its bucket is to rebuild it, and then it is clean.
func TestLostTableIsRebuilt(t *testing.T) {
	for _, lose := range []func(r *rig){
		func(r *rig) { r.object(r.keys.Start(2), []byte(r.a.String()+"\n")) },
		func(r *rig) { r.drop(r.cluster.SessionKey(r.a)) },
		func(r *rig) { r.set(r.cluster.SessionKey(r.a), records.AttrState, metastore.S("?")) },
	} {
		r := newRig(t)
		lose(r)
		if found := r.check(false); len(found) == 0 || found[0].Hint == "" {
			t.Errorf("found %+v", found)
		}
		r.rebuilt(RebuildConfig{Uncommitted: true})
		r.clean()
	}
}
