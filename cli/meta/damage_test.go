package meta

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// fix runs what a finding says, as a user would.
func (r *rig) fix(f Finding) {
	r.t.Helper()
	switch {
	case slices.Equal(f.Fix, []string{"segment", "gc", "--yes"}):
		if _, err := r.tool().Sweep(context.Background(), false); err != nil {
			r.t.Fatalf("%s %s: %v", f.Class, f.Where, err)
		}
	case len(f.Fix) == 5 && f.Fix[1] == "repair":
		did, err := r.tool().Repair(context.Background(), Class(f.Fix[2]), f.Fix[3])
		if err != nil {
			r.t.Fatalf("%s %s: %v", f.Class, f.Where, err)
		}
		r.t.Logf("%s %s: %s: %s", f.Class, f.Where, f.What, did)
	default:
		r.t.Fatalf("%s %s: no fix in %q", f.Class, f.Where, f.Fix)
	}
}

// damages plants each class of damage in a sound cluster, in every form that has a fix of its own.
var damages = []struct {
	name  string
	class Class
	deep  bool
	plant func(r *rig) (where string)
}{
	{"a bundle that a snapshot names", MissingWAL, false, func(r *rig) string {
		r.lose(r.keys.WAL(r.a, 4))
		return r.keys.WAL(r.a, 4)
	}},
	{"a bundle without records", MissingWAL, false, func(r *rig) string {
		r.lose(r.keys.WAL(r.a, 3))
		return r.keys.WAL(r.a, 3)
	}},
	{"a bundle of a session that is drained", MissingWAL, false, func(r *rig) string {
		b := uuid.New()
		r.item(r.cluster.SessionKey(b), records.Session{Agent: "one", NodeID: 1, State: records.Drained, HB: 1, Committed: 8, End: 9}.Item())
		r.tail1(bundle.Object{Kind: bundle.WAL, Session: b, Seq: 7, Size: 4096})
		return r.keys.WAL(b, 7)
	}},
	{"a pack", MissingPack, false, func(r *rig) string {
		r.lose(r.keys.Pack(r.pack))
		return r.keys.Pack(r.pack)
	}},
	{"a segment", MissingSegment, false, func(r *rig) string {
		key := r.keys.Segment(r.topic.ID, 0, 10, r.extents[1].Segment)
		r.lose(key)
		return key
	}},
	{"the newest snapshot, and one before is there", MissingSnapshot, false, func(r *rig) string {
		r.older(4)
		r.lose(r.keys.Snapshot(r.a, 5, r.snap))
		return r.a.String()
	}},
	{"a snapshot that is broken", Damaged, false, func(r *rig) string {
		r.older(4)
		r.spoil(r.keys.Snapshot(r.a, 5, r.snap), bundle.HeaderLen+10)
		return r.keys.Snapshot(r.a, 5, r.snap)
	}},
	{"a batch in a bundle", Damaged, true, func(r *rig) string {
		r.spoil(r.keys.WAL(r.a, 4), bundle.HeaderLen+70)
		return r.keys.WAL(r.a, 4)
	}},
	{"a batch in a pack", Damaged, true, func(r *rig) string {
		r.spoil(r.keys.Pack(r.pack), bundle.HeaderLen+70)
		return r.keys.Pack(r.pack)
	}},
	{"a batch in a segment", Damaged, true, func(r *rig) string {
		key := r.keys.Segment(r.topic.ID, 0, 10, r.extents[1].Segment)
		r.spoil(key, bundle.HeaderLen+70)
		return key
	}},
	{"a segment that is cut", Damaged, false, func(r *rig) string {
		key := r.keys.Segment(r.topic.ID, 0, 0, r.extents[0].Segment)
		r.object(key, []byte("cut"))
		return key
	}},
	{"a segment that nothing links", Orphan, false, func(r *rig) string {
		return r.keys.Segment(r.topic.ID, 0, 5, r.segment(0, 5, 15).Segment)
	}},
	{"a segment of a topic that is gone", Orphan, false, func(r *rig) string {
		topic := r.topic.ID
		r.topic.ID = uuid.New()
		key := r.keys.Segment(r.topic.ID, 0, 0, r.segment(0, 0, 5).Segment)
		r.topic.ID = topic
		return key
	}},
	{"a bundle that was never committed", Orphan, false, func(r *rig) string {
		r.wal(7, nil)
		return r.keys.WAL(r.a, 7)
	}},
	{"a bundle below the trim", Orphan, false, func(r *rig) string {
		r.wal(1, nil)
		return r.keys.WAL(r.a, 1)
	}},
	{"a pack that nothing names", Orphan, false, func(r *rig) string {
		id := uuid.New()
		r.write(r.keys.Pack(id), bundle.Header{Kind: bundle.PACK, Session: r.a}, []bundle.Run{{Slot: 1, Base: 20, Next: 30}})
		return r.keys.Pack(id)
	}},
	{"a snapshot of a session that is drained", Orphan, false, func(r *rig) string {
		b, id := uuid.New(), uuid.New()
		r.item(r.cluster.SessionKey(b), records.Session{Agent: "one", NodeID: 1, State: records.Drained, HB: 1, Committed: 8, End: 9}.Item())
		r.snapshot(r.keys.Snapshot(b, 8, id), b, 8, &bundle.Footer{})
		return r.keys.Snapshot(b, 8, id)
	}},
	{"an extent that is gone, and its segment is there", ExtentGap, false, func(r *rig) string {
		r.drop(r.cluster.ExtentKey(r.topic.ID, 0, 0))
		return r.part(0)
	}},
	{"an extent that is gone with its segment", ExtentGap, false, func(r *rig) string {
		r.drop(r.cluster.ExtentKey(r.topic.ID, 0, 0))
		r.lose(r.keys.Segment(r.topic.ID, 0, 0, r.extents[0].Segment))
		return r.part(0)
	}},
	{"a hole before the tail", ExtentGap, false, func(r *rig) string {
		r.drop(r.cluster.ExtentKey(r.topic.ID, 0, 10))
		r.lose(r.keys.Segment(r.topic.ID, 0, 10, r.extents[1].Segment))
		r.extents = r.extents[:1]
		r.partition(0, 0, 10)
		return r.part(0)
	}},
	{"a segment within another", ExtentOverlap, false, func(r *rig) string {
		e := r.segment(0, 15, 20)
		r.item(r.cluster.ExtentKey(r.topic.ID, 0, 15), e.Item())
		return r.part(0)
	}},
	{"extents beyond tiered", ExtentBounds, false, func(r *rig) string {
		r.set(r.cluster.PartitionKey(r.topic.ID, 0), records.AttrTiered, metastore.N(10))
		return r.part(0)
	}},
	{"extents that are counted wrong", ExtentBounds, false, func(r *rig) string {
		r.set(r.cluster.PartitionKey(r.topic.ID, 0), records.AttrBytes, metastore.N(1))
		return r.part(0)
	}},
	{"extents without an item", ExtentBounds, false, func(r *rig) string {
		r.drop(r.cluster.PartitionKey(r.topic.ID, 0))
		return r.part(0)
	}},
	{"extents of a topic that is gone", ExtentBounds, false, func(r *rig) string {
		topic := r.topic.ID
		r.topic.ID = uuid.New()
		defer func() { r.topic.ID = topic }()
		e := r.segment(0, 0, 5)
		r.item(r.cluster.ExtentKey(r.topic.ID, 0, 0), e.Item())
		r.item(r.cluster.PartitionKey(r.topic.ID, 0), records.Partition{Topic: r.topic.ID, Tiered: 5, Bytes: e.Bytes, Extents: 1, V: 1}.Item())
		r.item(r.cluster.DroppedKey(r.topic.ID, r.a), records.Dropped{Session: r.a, TTL: 1}.Item())
		return r.part(0)
	}},
	{"a pack counted too low", PackCounter, false, func(r *rig) string {
		r.set(r.cluster.PackKey(r.pack), records.AttrLive, metastore.N(0))
		return r.pack.String()
	}},
	{"a pack without an item", PackCounter, false, func(r *rig) string {
		r.drop(r.cluster.PackKey(r.pack))
		return r.pack.String()
	}},
	{"a pack that nobody needs", PackCounter, false, func(r *rig) string {
		id := uuid.New()
		r.write(r.keys.Pack(id), bundle.Header{Kind: bundle.PACK, Session: r.a}, []bundle.Run{{Slot: 1, Base: 20, Next: 30}})
		r.item(r.cluster.PackKey(id), records.Pack{ID: id, Session: r.a, Live: 1, Runs: 1, Nonce: uuid.New()}.Item())
		return id.String()
	}},
	{"a session that nobody sealed", SessionOpenEnd, false, func(r *rig) string {
		r.set(r.cluster.SessionKey(r.a), records.AttrState, records.Fenced.Value())
		return r.a.String()
	}},
	{"a session that owes nothing", SessionNeedless, false, func(r *rig) string {
		b := uuid.New()
		r.item(r.cluster.SessionKey(b), records.Session{Agent: "one", NodeID: 1, State: records.Sealed, HB: 1, End: 1}.Item())
		r.item(r.cluster.AgentKey("two"), records.Agent{Name: "two", NodeID: 2, Session: b}.Item())
		return b.String()
	}},
	{"a session whose slots moved on", SessionNeedless, false, func(r *rig) string {
		r.alive()
		b := uuid.New()
		r.item(r.cluster.SessionKey(b), records.Session{Agent: "one", NodeID: 1, State: records.Sealed, HB: 1, End: 1, Pending: map[uint16]int32{0: 2}}.Item())
		r.ledBy(r.alive())
		r.item(r.cluster.AgentKey("two"), records.Agent{Name: "two", NodeID: 2, Session: b}.Item())
		return b.String()
	}},
	{"a slot whose leader has ended", SlotLeader, false, func(r *rig) string {
		live := r.alive()
		r.ledBy(live)
		r.item(r.cluster.SlotKey(3), r.slot(3, r.a, 3).Item())
		return "3"
	}},
	{"a slot without an item, in a cluster that is stopped", SlotLeader, false, func(r *rig) string {
		r.drop(r.cluster.SlotKey(2))
		return "2"
	}},
	{"a slot without an item, in a cluster that lives", SlotLeader, false, func(r *rig) string {
		r.ledBy(r.alive())
		r.drop(r.cluster.SlotKey(2))
		return "2"
	}},
	{"from[] names a session that is drained", FromNeedless, false, func(r *rig) string {
		live, b := r.alive(), uuid.New()
		r.ledBy(live)
		r.item(r.cluster.SessionKey(b), records.Session{Agent: "one", NodeID: 1, State: records.Drained, HB: 1, Committed: 8, End: 9}.Item())
		s := r.slot(0, live, 4, records.From{Session: b, End: 9, Epoch: 2}, records.From{Session: r.a, End: 7, Epoch: 3})
		r.item(r.cluster.SlotKey(0), s.Item())
		return "0"
	}},
	{"a partition in a slot that does not exist", SlotOutside, false, func(r *rig) string {
		o := r.topic
		o.Name, o.ID, o.Slots = "o", uuid.New(), []uint16{3, 4}
		r.item(r.cluster.TopicKey("o"), o.Item())
		return "o"
	}},
	{"a slot that does not exist", SlotOutside, false, func(r *rig) string {
		r.item(r.cluster.SlotKey(9), r.slot(9, r.a, 3).Item())
		return "9"
	}},
	{"keys that should be deleted by now", Overdue, false, func(r *rig) string {
		g := records.Garbage{ID: uuid.New(), NotBefore: 5, Keys: []string{r.keys.Segment(r.topic.ID, 1, 0, r.segment(1, 0, 5).Segment)}}
		r.item(r.cluster.GarbageKey(g), g.Item())
		return r.cluster.GarbageKey(g).PK + "," + r.cluster.GarbageKey(g).SK
	}},
	{"a stretch of a WAL", Overdue, false, func(r *rig) string {
		r.wal(1, nil)
		g := records.Garbage{Session: r.a, From: 1, End: 2, NotBefore: 5}
		r.item(r.cluster.GarbageKey(g), g.Item())
		return r.cluster.GarbageKey(g).PK + "," + r.cluster.GarbageKey(g).SK
	}},
	{"what a deleted topic has in segments", Overdue, false, func(r *rig) string {
		topic := r.topic.ID
		r.topic.ID = uuid.New()
		defer func() { r.topic.ID = topic }()
		e := r.segment(0, 0, 5)
		r.item(r.cluster.ExtentKey(r.topic.ID, 0, 0), e.Item())
		r.item(r.cluster.PartitionKey(r.topic.ID, 0), records.Partition{Topic: r.topic.ID, Tiered: 5, Bytes: e.Bytes, Extents: 1, V: 1}.Item())
		g := records.Garbage{ID: r.topic.ID, Partitions: 2, NotBefore: 5}
		r.item(r.cluster.GarbageKey(g), g.Item())
		return r.cluster.GarbageKey(g).PK + "," + r.cluster.GarbageKey(g).SK
	}},
	{"an item of the list of live sessions", Undecodable, false, func(r *rig) string {
		key := r.cluster.LiveKey(r.a)
		r.item(key, metastore.Item{"x": metastore.N(1)})
		return key.PK + "," + key.SK
	}},
	{"an extent", Undecodable, false, func(r *rig) string {
		key := r.cluster.ExtentKey(r.topic.ID, 0, 10)
		r.item(key, metastore.Item{"x": metastore.N(1)})
		return key.PK + "," + key.SK
	}},
	{"a pack's item", Undecodable, false, func(r *rig) string {
		key := r.cluster.PackKey(r.pack)
		r.item(key, metastore.Item{"x": metastore.N(1)})
		return key.PK + "," + key.SK
	}},
}

// TestEveryDamageIsFoundAndMended: planted, found, its fix run, clean.
func TestEveryDamageIsFoundAndMended(t *testing.T) {
	for _, d := range damages {
		t.Run(string(d.class)+"/"+d.name, func(t *testing.T) {
			r := newRig(t)
			where := d.plant(r)
			found := r.check(d.deep)
			i := slices.IndexFunc(found, func(f Finding) bool { return f.Class == d.class && f.Where == where })
			if i < 0 {
				t.Fatalf("not found: %s %s; found %+v", d.class, where, found)
			}
			r.fix(found[i])
			r.clean()
			if _, err := r.tool().Repair(context.Background(), d.class, where); d.class != Damaged && !errors.Is(err, ErrSound) {
				t.Errorf("mended twice: %v", err)
			}
		})
	}
}

// What a segment was merged from waits for deletion. If the merged one is lost meanwhile they are taken again, and stay when their time comes.
func TestMendedFromWhatIsQueued(t *testing.T) {
	r := newRig(t)
	var old []string
	for _, e := range r.extents {
		old = append(old, r.keys.Segment(r.topic.ID, 0, e.Base, e.Segment))
		r.drop(r.cluster.ExtentKey(r.topic.ID, 0, e.Base))
	}
	r.extents = nil
	x := r.link(0, 0, 20)
	r.partition(0, 0, 20)
	g := records.Garbage{ID: uuid.New(), Keys: old, NotBefore: time.Now().Add(time.Minute).UnixMilli()}
	r.item(r.cluster.GarbageKey(g), g.Item())
	r.clean()
	r.lose(r.keys.Segment(r.topic.ID, 0, 0, x.Segment))
	for _, f := range r.check(true) {
		r.fix(f)
	}
	for _, key := range old {
		r.lose(key)
	}
	r.drop(r.cluster.GarbageKey(g))
	r.clean()
	if p := decoded(r, r.cluster.PartitionKey(r.topic.ID, 0), records.DecodePartition); p.Extents != 2 || p.Tiered != 20 {
		t.Error(p)
	}
}

func (r *rig) part(index int32) string { return part{r.topic.ID, index}.String() }

// tail1 lets the snapshot name one more run of partition 1, which lies in o.
func (r *rig) tail1(o bundle.Object) {
	r.t.Helper()
	key := r.keys.Snapshot(r.a, 5, r.snap)
	f, _, _, err := r.tool().readFooter(context.Background(), key)
	if err != nil {
		r.t.Fatal(err)
	}
	f.Runs = append(f.Runs, bundle.Run{Partition: 1, Slot: 2, LeaderEpoch: 3, Base: 10, Next: 20, Pos: bundle.HeaderLen, Len: 200, MaxTimestamp: 1})
	f.Refs = append(f.Refs, bundle.Ref{Object: uint32(len(f.Objects))})
	f.Objects = append(f.Objects, o)
	f.Slots[2].Runs, f.Slots[3].FirstRun, f.Partitions[1].LogEnd = 2, 4, 20
	r.snapshot(key, r.a, 5, f)
}

// older writes a snapshot as it was after bundle seq.
func (r *rig) older(seq uint64) {
	r.t.Helper()
	f, _, _, err := r.tool().readFooter(context.Background(), r.keys.Snapshot(r.a, 5, r.snap))
	if err != nil {
		r.t.Fatal(err)
	}
	f.Runs, f.Refs, f.Objects = f.Runs[:2], f.Refs[:2], f.Objects[:2]
	f.Slots[2].Runs, f.Slots[3].FirstRun, f.Partitions, f.Epochs = 0, 2, f.Partitions[:1], f.Epochs[:1]
	r.snapshot(r.keys.Snapshot(r.a, seq, uuid.New()), r.a, seq, f)
}

// ledBy lets another session, which lives, lead all slots, from a snapshot that is that of the session before.
func (r *rig) ledBy(id uuid.UUID) {
	r.t.Helper()
	f, _, _, err := r.tool().readFooter(context.Background(), r.keys.Snapshot(r.a, 5, r.snap))
	if err != nil {
		r.t.Fatal(err)
	}
	for i := range f.Slots {
		f.Slots[i].Epoch = 4
	}
	snap := uuid.New()
	r.snapshot(r.keys.Snapshot(id, 1, snap), id, 1, f)
	r.write(r.keys.WAL(id, 1), bundle.Header{Kind: bundle.WAL, Session: id, Seq: 1}, nil)
	r.item(r.cluster.SessionKey(id), records.Session{Agent: "two", NodeID: 2, State: records.Active, HB: 1, Committed: 1, Snap: 1, SnapID: snap}.Item())
	for n := range uint16(4) {
		r.item(r.cluster.SlotKey(n), r.slot(n, id, 4, records.From{Session: r.a, End: 7, Epoch: 3}).Item())
	}
}

// beyondRepair is what no command mends by itself.
var beyondRepair = []struct {
	name  string
	class Class
	plant func(r *rig) (where string)
}{
	{"a bundle after the snapshot", MissingWAL, func(r *rig) string {
		r.lose(r.keys.WAL(r.a, 6))
		return r.keys.WAL(r.a, 6)
	}},
	{"a start that the table has not counted", StartMark, func(r *rig) string {
		r.object(r.keys.Start(2), []byte(r.a.String()+"\n"))
		return r.keys.Start(2)
	}},
	{"a mark that names no session", StartMark, func(r *rig) string {
		r.object(r.keys.Start(1), []byte("?"))
		return r.keys.Start(1)
	}},
	{"a start whose session the table does not have", SessionUnknown, func(r *rig) string {
		id := uuid.New()
		r.object(r.keys.Start(1), []byte(id.String()+"\n"))
		return id.String()
	}},
	{"the session item of the leader", SessionUnknown, func(r *rig) string {
		r.drop(r.cluster.SessionKey(r.a))
		return r.a.String()
	}},
	{"a session's item", Undecodable, func(r *rig) string {
		key := r.cluster.SessionKey(r.a)
		r.set(key, records.AttrState, metastore.S("?"))
		return key.PK + "," + key.SK
	}},
	{"an offset page of a group", Undecodable, func(r *rig) string {
		r.item(r.cluster.GroupKey(1, "g"), records.Group{Type: records.ClassicGroup, State: records.GroupEmpty}.Item())
		key := metastore.Key{PK: r.cluster.GroupPagesPK(1, "g"), SK: "O#?"}
		r.item(key, metastore.Item{"x": metastore.N(1)})
		return key.PK + "," + key.SK
	}},
	{"a file of somebody", Foreign, func(r *rig) string {
		r.object(r.keys.Root()+"notes.txt", []byte("hi"))
		return r.keys.Root() + "notes.txt"
	}},
	{"an object of another cluster", Foreign, func(r *rig) string {
		r.id = uuid.New()
		return r.keys.Segment(r.topic.ID, 0, 0, r.segment(0, 0, 5).Segment)
	}},
}

// TestEveryClassIsPlanted: there is no class of damage that no test plants.
func TestEveryClassIsPlanted(t *testing.T) {
	planted := map[Class]bool{}
	for _, d := range damages {
		planted[d.class] = true
	}
	for _, d := range beyondRepair {
		planted[d.class] = true
	}
	for _, c := range Classes() {
		if !planted[c] {
			t.Errorf("%s is planted by no test", c)
		}
	}
}

// TestOnlyAPersonCanMend: what no command mends by itself is found, and the hint says what to do.
func TestOnlyAPersonCanMend(t *testing.T) {
	for _, d := range beyondRepair {
		t.Run(string(d.class)+"/"+d.name, func(t *testing.T) {
			r := newRig(t)
			where := d.plant(r)
			found := r.check(false)
			i := slices.IndexFunc(found, func(f Finding) bool { return f.Class == d.class && f.Where == where })
			if i < 0 || found[i].Hint == "" {
				t.Fatalf("not found: %s %s; found %+v", d.class, where, found)
			}
			if slices.ContainsFunc(found, func(f Finding) bool { return f.Class == Orphan }) {
				t.Errorf("something is called an orphan: %+v", found)
			}
			if _, err := r.tool().Repair(context.Background(), d.class, where); !errors.Is(err, ErrBeyondRepair) {
				t.Errorf("repair: %v", err)
			}
		})
	}
}

// TestALostTopicIsNotDeleted: nothing says that a topic was deleted that has extents and no item. What it has is not called needless, nor mended away.
func TestALostTopicIsNotDeleted(t *testing.T) {
	r := newRig(t)
	r.drop(r.cluster.TopicKey("t"))
	found := r.check(true)
	if i := slices.IndexFunc(found, func(f Finding) bool { return f.Class == ExtentBounds && f.Where == r.part(0) }); i < 0 || found[i].Hint == "" || found[i].Fix != nil {
		t.Errorf("%+v", found)
	}
	for _, f := range found {
		if f.Class == Orphan || f.Class == PackCounter || f.Class == SessionNeedless {
			t.Errorf("%s %s: %s: %s", f.Class, f.Where, f.What, f.Fix)
		}
	}
	if got, err := r.tool().Sweep(context.Background(), false); err != nil || got.Objects+int64(got.Queued) > 0 {
		t.Error(got, err)
	}
	r.item(r.cluster.TopicKey("t"), r.topic.Item())
	r.clean()
	r.drop(r.cluster.TopicKey("t"))
	if did, err := r.tool().Repair(context.Background(), ExtentBounds, r.part(0)); err != nil { // whoever calls knows that it was deleted
		t.Error(did, err)
	}
	if found := r.check(true); slices.ContainsFunc(found, func(f Finding) bool { return f.Class == ExtentBounds }) {
		t.Errorf("%+v", found)
	}
}

// TestLiveWritersAreLeftAlone: what a session that is ACTIVE wrote may still be committed or linked.
func TestLiveWritersAreLeftAlone(t *testing.T) {
	r := newRig(t)
	live := r.alive()
	r.ledBy(live)
	r.write(r.keys.WAL(live, 2), bundle.Header{Kind: bundle.WAL, Session: live, Seq: 2}, nil)
	id := uuid.New()
	r.write(r.keys.Pack(id), bundle.Header{Kind: bundle.PACK, Session: live}, []bundle.Run{{Slot: 1, Base: 50, Next: 60}})
	r.item(r.cluster.PackKey(id), records.Pack{ID: id, Session: live, Live: 1, Runs: 1, Nonce: uuid.New()}.Item())
	r.segment(1, 0, 5) // its writer has ended, and if it stood still it may link it yet
	r.segment(0, 20, 25)
	a := r.a
	r.a = live
	r.segment(1, 0, 5)
	r.segment(0, 0, 5)
	r.a = a
	r.clean()
}

// TestWhatChangesMeanwhileIsNoFinding: only what two looks see counts in a cluster that lives.
func TestWhatChangesMeanwhileIsNoFinding(t *testing.T) {
	r := newRig(t)
	r.ledBy(r.alive())
	r.set(r.cluster.PackKey(r.pack), records.AttrLive, metastore.N(0))
	tool := New(Config{Objects: r.objects, Facts: r.facts, Keys: r.keys, Cluster: r.cluster, Settle: 300 * time.Millisecond})
	done := make(chan Report, 1)
	go func() {
		got, err := tool.Check(context.Background(), false)
		if err != nil {
			t.Error(err)
		}
		done <- got
	}()
	for !slices.Contains([]string{"waits 300ms, for what changes meanwhile"}, *tool.doing.Load()) {
		time.Sleep(time.Millisecond)
	}
	r.set(r.cluster.PackKey(r.pack), records.AttrLive, metastore.N(1))
	r.item(r.cluster.LiveKey(uuid.New()), metastore.Item{"x": metastore.N(1)})
	if got := <-done; len(got.Findings) > 0 || !got.Live {
		t.Errorf("%+v", got)
	}
}

// TestSweepKeepsWhatIsNeeded: a queue item that names what its session still needs is refused, and a dry run deletes nothing.
func TestSweepKeepsWhatIsNeeded(t *testing.T) {
	r := newRig(t)
	wrong := records.Garbage{Session: r.a, From: 2, End: 5, NotBefore: 5}
	r.item(r.cluster.GarbageKey(wrong), wrong.Item())
	r.wal(7, nil)
	later := r.topic
	later.Name, later.ID = "z", uuid.New()
	r.item(r.cluster.TopicKey("z"), later.Item())
	alive := records.Garbage{ID: r.topic.ID, Partitions: 2, NotBefore: 5}
	r.item(r.cluster.GarbageKey(alive), alive.Item())
	early := records.Garbage{ID: uuid.New(), NotBefore: time.Now().Add(time.Hour).UnixMilli(), Keys: []string{r.keys.WAL(r.a, 4)}}
	r.item(r.cluster.GarbageKey(early), early.Item())
	for _, dry := range []bool{true, false} {
		got, err := r.tool().Sweep(context.Background(), dry)
		if want := (Swept{Early: 1, Refused: 2, Objects: 1, Orphans: 1}); err != nil || got != want {
			t.Errorf("dry %v: %+v, %v", dry, got, err)
		}
		_, err = r.objects.Get(context.Background(), r.keys.WAL(r.a, 7), objstore.Range{})
		if gone := errors.Is(err, objstore.ErrNotFound); gone == dry {
			t.Errorf("dry %v: the orphan: %v", dry, err)
		}
	}
	for _, seq := range []uint64{2, 3, 4} {
		if _, err := r.objects.Get(context.Background(), r.keys.WAL(r.a, seq), objstore.Range{}); err != nil {
			t.Error(err)
		}
	}
}
