package meta

import (
	"cmp"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/varvelog/varve/metastore"
	factsmem "github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
	objmem "github.com/varvelog/varve/objstore/mem"
	"github.com/varvelog/varve/objstore/recordbatch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a small cluster that stopped gracefully, laid out by hand: topic t with two partitions, whose log lies in segments, in a
// pack, in WAL bundles below the snapshot and in one above it.
type rig struct {
	t       *testing.T
	objects *objmem.Store
	facts   *factsmem.Store
	keys    objstore.Keys
	cluster records.Cluster
	id      uuid.UUID // of the cluster
	topic   records.Topic
	a       uuid.UUID // the session
	snap    uuid.UUID
	pack    uuid.UUID
	extents []records.Extent
}

func newRig(t *testing.T) *rig {
	r := &rig{
		t: t, objects: objmem.New(), facts: factsmem.New(), keys: objstore.Keys{Prefix: "p", Cluster: "c"}, cluster: "c",
		id: uuid.New(), a: uuid.New(), snap: uuid.New(), pack: uuid.New(),
	}
	r.topic = records.Topic{Name: "t", ID: uuid.New(), Slots: []uint16{1, 2}, State: records.TopicActive, V: 1, Nonce: uuid.New()}
	r.item(r.cluster.ConfigKey(), records.Config{Format: 1, Cluster: r.id, Slots: 4, Created: 1}.Item())
	r.item(r.cluster.IDsKey(), records.IDs{Node: 1, Start: 1, Producer: 1}.Item())
	r.item(r.cluster.VersionKey(), records.Version{Map: 1, Topic: 1}.Item())
	r.item(r.cluster.TopicKey("t"), r.topic.Item())
	r.item(r.cluster.AgentKey("one"), records.Agent{Name: "one", NodeID: 1, Host: "h", Session: r.a}.Item())
	r.object(r.keys.Start(1), []byte(r.a.String()+"\n"))
	owed := map[uint16]int32{}
	for n := range uint16(4) {
		r.item(r.cluster.SlotKey(n), r.slot(n, r.a, 3).Item())
		owed[n] = 3
	}
	r.item(r.cluster.SessionKey(r.a), records.Session{
		Agent: "one", NodeID: 1, State: records.Closed, HB: 9, Committed: 6, Trim: 2, Snap: 5, SnapID: r.snap, End: 7, Pending: owed,
	}.Item())
	for base := int64(0); base < 20; base += 10 {
		r.link(0, base, base+10)
	}
	r.partition(0, 0, 20)
	r.layOut()
	return r
}

func (r *rig) slot(n uint16, leader uuid.UUID, epoch int32, from ...records.From) records.Slot {
	m := []records.Member{{Agent: "one", Session: leader}}
	return records.Slot{Slot: n, Leader: leader, Agent: "one", Epoch: epoch, Replicas: m, ISR: m, From: from, V: 1, Nonce: uuid.New()}
}

// layOut writes bundles 2 to 6, the pack and the snapshot after 5.
func (r *rig) layOut() {
	for seq := uint64(2); seq <= 3; seq++ {
		r.wal(seq, nil)
	}
	four := r.wal(4, []bundle.Run{{Partition: 0, Slot: 1, Base: 30, Next: 40}})
	five := r.wal(5, []bundle.Run{{Partition: 1, Slot: 2, Base: 0, Next: 10}})
	r.wal(6, []bundle.Run{{Partition: 0, Slot: 1, Base: 40, Next: 50}})
	packed := r.write(r.keys.Pack(r.pack), bundle.Header{Kind: bundle.PACK, Session: r.a}, []bundle.Run{{Partition: 0, Slot: 1, Base: 20, Next: 30}})
	r.item(r.cluster.PackKey(r.pack), records.Pack{ID: r.pack, Session: r.a, Live: 1, Runs: 1, Bytes: 1, Created: 1, Nonce: uuid.New()}.Item())
	f := &bundle.Footer{
		Topics:  []bundle.Topic{{ID: r.topic.ID, Name: "t", Partitions: 2}},
		Objects: []bundle.Object{{Kind: bundle.PACK, Session: r.pack, Size: packed.end}, {Kind: bundle.WAL, Session: r.a, Seq: 4, Size: four.end}, {Kind: bundle.WAL, Session: r.a, Seq: 5, Size: five.end}},
		Runs:    []bundle.Run{packed.f.Runs[0], four.f.Runs[0], five.f.Runs[0]},
		Refs:    []bundle.Ref{{Object: 0}, {Object: 1}, {Object: 2}},
		Slots:   []bundle.Slot{{Slot: 0, Epoch: 3}, {Slot: 1, Epoch: 3, Runs: 2}, {Slot: 2, Epoch: 3, FirstRun: 2, Runs: 1}, {Slot: 3, Epoch: 3, FirstRun: 3}},
		Partitions: []bundle.Partition{
			{Partition: 0, Slot: 1, LogEnd: 40, Epochs: 1, Producers: 1}, {Partition: 1, Slot: 2, LogEnd: 10, Epochs: 1},
		},
		Epochs:    []bundle.Epoch{{Epoch: 3}, {Epoch: 3}},
		Producers: []bundle.Producer{{ID: 2500, Epoch: 1, LastTimestamp: 1, Last: []bundle.Appended{{LastSeq: 9, FirstOffset: 30, LastOffset: 39}}}},
	}
	for i := range f.Runs {
		f.Runs[i].Batches, f.Runs[i].Digest = 0, 0
	}
	r.snapshot(r.keys.Snapshot(r.a, 5, r.snap), r.a, 5, f)
}

func (r *rig) snapshot(key string, session uuid.UUID, seq uint64, f *bundle.Footer) {
	r.t.Helper()
	if err := f.Check(bundle.SNAP, bundle.HeaderLen); err != nil {
		r.t.Fatal(err)
	}
	out := bundle.AppendHeader(nil, bundle.Header{Kind: bundle.SNAP, Cluster: r.id, Session: session, Seq: seq})
	r.object(key, bundle.AppendFooter(out, bundle.SNAP, f))
}

// written is an object's footer and where its body ends.
type written struct {
	f   *bundle.Footer
	end uint64
	all int
}

func (r *rig) wal(seq uint64, runs []bundle.Run) written {
	return r.write(r.keys.WAL(r.a, seq), bundle.Header{Kind: bundle.WAL, Session: r.a, Seq: seq}, runs)
}

// write lays out an object with runs of topic t, each of one record an offset, in two batches.
func (r *rig) write(key string, h bundle.Header, runs []bundle.Run) written {
	r.t.Helper()
	h.Cluster = r.id
	f := &bundle.Footer{}
	if len(runs) > 0 {
		f.Topics = []bundle.Topic{{ID: r.topic.ID, Name: "t"}}
	}
	out := bundle.AppendHeader(nil, h)
	for _, run := range runs {
		at := len(out)
		run.LeaderEpoch, run.Pos = cmp.Or(run.LeaderEpoch, 3), uint64(at)
		middle := run.Base + (run.Next-run.Base)/2
		out = r.batch(r.batch(out, run.LeaderEpoch, run.Base, middle), run.LeaderEpoch, middle, run.Next)
		run.Len = uint32(len(out) - at)
		if err := indexRun(f, &run, out[at:]); err != nil {
			r.t.Fatal(err)
		}
		run.MaxTimestamp = time.Now().UnixMilli()
		f.Runs = append(f.Runs, run)
	}
	if h.Kind == bundle.SEG {
		run := &f.Runs[0]
		f.Sparse = []bundle.Sparse{{MaxTimestamp: run.MaxTimestamp, Batches: run.Batches}}
		f.Batches = nil
	}
	if err := f.Check(h.Kind, int64(len(out))); err != nil {
		r.t.Fatal(err)
	}
	end := uint64(len(out))
	out = bundle.AppendFooter(out, h.Kind, f)
	r.object(key, out)
	return written{f, end, len(out)}
}

func (r *rig) batch(dst []byte, epoch int32, base, next int64) []byte {
	r.t.Helper()
	b := recordbatch.Builder{BaseOffset: base, LeaderEpoch: epoch}
	var all []recordbatch.Record
	for o := base; o < next; o++ {
		all = append(all, recordbatch.Record{Value: fmt.Append(nil, "record ", o)})
	}
	out, err := b.Append(dst, all)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// segment writes a segment that nothing names yet.
func (r *rig) segment(index int32, base, next int64) records.Extent {
	return r.segmentAs(uuid.New(), 3, index, base, next)
}

// merged writes one that is to take the place of several.
func (r *rig) merged(index int32, base, next int64) records.Extent {
	return r.segmentAs(objstore.MergedID(uuid.New()), 3, index, base, next)
}

func (r *rig) segmentAs(id uuid.UUID, epoch, index int32, base, next int64) records.Extent {
	e := records.Extent{Base: base, Next: next, Segment: id, Records: next - base}
	w := r.write(r.keys.Segment(r.topic.ID, index, base, e.Segment), bundle.Header{Kind: bundle.SEG, Session: r.a},
		[]bundle.Run{{Partition: index, Slot: r.topic.Slots[index], LeaderEpoch: epoch, Base: base, Next: next}})
	e.Size, e.FooterLen, e.Bytes = w.end, uint32(w.all-int(w.end)), int64(w.end-bundle.HeaderLen)
	return e
}

func (r *rig) link(index int32, base, next int64) records.Extent {
	return r.linkOf(3, index, base, next)
}

// linkOf is link of what a leader of an epoch wrote.
func (r *rig) linkOf(epoch, index int32, base, next int64) records.Extent {
	e := r.segmentAs(uuid.New(), epoch, index, base, next)
	r.extents = append(r.extents, e)
	r.item(r.cluster.ExtentKey(r.topic.ID, index, base), e.Item())
	return e
}

// partition writes the item that fits the extents that were linked.
func (r *rig) partition(index int32, start, tiered int64) {
	p := records.Partition{Topic: r.topic.ID, Index: index, LogStart: start, Tiered: tiered, Extents: int64(len(r.extents)), V: 1, Nonce: uuid.New()}
	for _, e := range r.extents {
		p.Bytes += e.Bytes
	}
	r.item(r.cluster.PartitionKey(r.topic.ID, index), p.Item())
}

func (r *rig) item(key metastore.Key, it metastore.Item) {
	r.t.Helper()
	if _, err := r.facts.Write(context.Background(), metastore.Op{Kind: metastore.OpPut, Key: key, Set: it}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) set(key metastore.Key, attr string, v metastore.Value) {
	r.t.Helper()
	op := metastore.Op{Kind: metastore.OpUpdate, Key: key, Set: metastore.Item{attr: v}, If: []metastore.Cond{{Cmp: metastore.ItemExists}}}
	if _, err := r.facts.Write(context.Background(), op); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) drop(key metastore.Key) {
	r.t.Helper()
	if _, err := r.facts.Write(context.Background(), metastore.Op{Kind: metastore.OpDelete, Key: key}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) object(key string, body []byte) {
	r.t.Helper()
	if err := r.objects.Put(context.Background(), key, body); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) lose(key string) {
	r.t.Helper()
	if err := r.objects.Delete(context.Background(), key); err != nil {
		r.t.Fatal(err)
	}
}

// spoil changes a byte of an object.
func (r *rig) spoil(key string, at int) {
	r.t.Helper()
	o, err := r.objects.Get(context.Background(), key, objstore.Range{})
	if err != nil {
		r.t.Fatal(err)
	}
	o.Body[at] ^= 1
	r.object(key, o.Body)
}

// alive adds a session that is ACTIVE.
func (r *rig) alive() uuid.UUID {
	id := uuid.New()
	r.item(r.cluster.SessionKey(id), records.Session{Agent: "two", NodeID: 2, State: records.Active, HB: 1}.Item())
	r.item(r.cluster.LiveKey(id), records.Live{Agent: "two"}.Item())
	return id
}

func (r *rig) tool() *Tool {
	return New(Config{Objects: r.objects, Facts: r.facts, Keys: r.keys, Cluster: r.cluster, Parallel: 2})
}

func (r *rig) check(deep bool) []Finding {
	r.t.Helper()
	got, err := r.tool().Check(context.Background(), deep)
	if err != nil {
		r.t.Fatal(err)
	}
	return got.Findings
}

func (r *rig) clean() {
	r.t.Helper()
	for _, f := range r.check(true) {
		r.t.Errorf("found %s %s: %s", f.Class, f.Where, f.What)
	}
}
