package segment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/metastore"
	factsmem "github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
	objmem "github.com/varvelog/varve/objstore/mem"
	"github.com/varvelog/varve/objstore/recordbatch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is two stores, a leader's memory over them, and the room that rewrites it.
type rig struct {
	t       testing.TB
	objects objstore.Store // as the room sees them
	facts   metastore.Store
	inner   *objmem.Store // behind it
	table   *factsmem.Store
	keys    objstore.Keys
	cluster records.Cluster
	session uuid.UUID
	seq     uint64 // last bundle
	snapped uint64
	epoch   int32
	leads   int32 // the epoch that the slot items have
	logs    map[Name]*tailLog
	topics  map[uuid.UUID]string
	waiting []queued
	brief   bool                       // what was told is not kept
	last    []byte                     // a batch to use again
	spare   [][]byte                   // if brief: memory of batches that were flushed
	body    []byte                     // of the last bundle, for the next one
	told    map[Name][]byte            // every batch that was ever flushed, in order
	flushed map[Name][]bundle.Location // where it was then
	now     time.Time
	room    *Room
	cfg     Config
}

type queued struct {
	name  Name
	batch []byte
}

func newRig(t testing.TB) *rig {
	r := &rig{
		t: t, inner: objmem.New(), table: factsmem.New(), keys: objstore.Keys{Cluster: "c"}, cluster: "c", session: uuid.New(), epoch: 3,
		logs: map[Name]*tailLog{}, topics: map[uuid.UUID]string{}, told: map[Name][]byte{}, flushed: map[Name][]bundle.Location{}, now: time.UnixMilli(1_800_000_000_000),
		cfg: Config{PackInterval: time.Minute, SegmentBytes: 64 << 20, Roll: 6 * time.Hour, Grace: 15 * time.Minute},
	}
	r.objects, r.facts = r.inner, r.table
	return r
}

// open gives the leader's memory a room, a new one if there was one before.
func (r *rig) open() *Room {
	var out io.Writer = io.Discard
	if os.Getenv("VARVE_TEST_LOG") != "" {
		out = os.Stderr
	}
	r.room = New(r.cfg, Deps{
		Objects: r.objects, Facts: r.facts, Keys: r.keys, Cluster: r.cluster, ClusterID: uuid.UUID{9}, Session: r.session,
		Partitions: r, Topics: r, Snapshots: r, Pool: &memory.Pool{},
		Log: slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	r.room.packed = r.now
	return r.room
}

// lead writes the slot items, once for each epoch.
func (r *rig) lead() {
	if r.leads == r.epoch {
		return
	}
	r.leads = r.epoch
	for slot := range uint16(4) {
		s := records.Slot{Slot: slot, Leader: r.session, Agent: "a", Epoch: r.epoch, V: 1}
		if _, err := r.table.Write(context.Background(), metastore.Op{Kind: metastore.OpPut, Key: r.cluster.SlotKey(slot), Set: s.Item()}); err != nil {
			r.t.Fatal(err)
		}
	}
}

// topic makes a topic, and partitions of it.
func (r *rig) topic(name string, partitions int) []Name {
	id := uuid.New()
	r.topics[id] = name
	item := records.Topic{Name: name, ID: id, State: records.TopicActive, Slots: make([]uint16, partitions)}
	if _, err := r.table.Write(context.Background(), metastore.Op{Kind: metastore.OpPut, Key: r.cluster.TopicKey(name), Set: item.Item()}); err != nil {
		r.t.Fatal(err)
	}
	var names []Name
	for i := range partitions {
		n := Name{id, int32(i)}
		r.logs[n] = &tailLog{r: r, name: n, slot: uint16(i % 4)}
		names = append(names, n)
	}
	return names
}

// produce queues a batch with a value of so many bytes.
func (r *rig) produce(n Name, size int) {
	l := r.logs[n]
	b := recordbatch.Builder{BaseOffset: l.appended, LeaderEpoch: r.epoch}
	out, err := b.Append(nil, []recordbatch.Record{{Timestamp: r.now.UnixMilli(), Value: bytes.Repeat([]byte{byte(l.appended)}, size)}, {Timestamp: r.now.UnixMilli()}})
	if err != nil {
		r.t.Fatal(err)
	}
	l.appended += 2
	r.waiting = append(r.waiting, queued{n, out})
}

// flush commits what is queued as one bundle of the WAL.
func (r *rig) flush() {
	r.seq++
	o := bundle.Object{Kind: bundle.WAL, Session: r.session, Seq: r.seq}
	body := bundle.AppendHeader(r.body[:0], bundle.Header{Kind: bundle.WAL, Session: r.session, Seq: r.seq})
	slices.SortStableFunc(r.waiting, func(a, b queued) int { return compareNames(0, a.name, 0, b.name) })
	var locs []bundle.Location
	var names []Name
	for i, q := range r.waiting {
		b := recordbatch.Batch(q.batch)
		if i == 0 || q.name != r.waiting[i-1].name {
			names = append(names, q.name)
			locs = append(locs, bundle.Location{Pos: uint64(len(body)), Base: b.BaseOffset(), LeaderEpoch: r.epoch, MaxTimestamp: b.MaxTimestamp()})
		}
		loc := &locs[len(locs)-1]
		loc.Len, loc.Next = loc.Len+uint32(len(b)), b.NextOffset()
		body = append(body, b...)
		if r.brief {
			r.spare = append(r.spare, q.batch)
		} else {
			r.told[q.name] = append(r.told[q.name], b...)
		}
	}
	o.Size = uint64(len(body))
	for i := range locs {
		locs[i].Object = o
		l := r.logs[names[i]]
		l.runs = append(l.runs, locs[i])
		r.flushed[names[i]] = append(r.flushed[names[i]], locs[i])
		l.end = locs[i].Next
	}
	if err := r.inner.Put(context.Background(), r.keys.WAL(r.session, r.seq), body); err != nil {
		r.t.Fatal(err)
	}
	r.waiting, r.body = r.waiting[:0], body
}

// write produces and flushes a batch for each partition, some times.
func (r *rig) write(names []Name, size, times int) {
	for range times {
		for _, n := range names {
			r.produce(n, size)
		}
		r.flush()
	}
}

// round lets time pass and the room work; the snapshot of what is committed is recorded after it.
func (r *rig) round(d time.Duration) {
	r.now = r.now.Add(d)
	r.room.Round(context.Background(), r.now)
	r.seq++ // there is always something to commit
	r.snapped = r.seq
}

func (r *rig) Tails(yield func(Tail) bool) {
	r.lead()
	for n, l := range r.logs {
		if l.end == 0 || r.topics[n.Topic] == "" {
			continue
		}
		t := Tail{
			Name: n, TopicName: r.topics[n.Topic], Slot: l.slot, Epoch: r.epoch, LogStart: l.start, Stable: l.end, Base: l.end,
			Runs: len(l.runs), Log: l,
		}
		for i, run := range l.runs {
			if i == 0 {
				t.Base, t.MaxTimestamp = run.Base, run.MaxTimestamp
			}
			t.Bytes += int64(run.Len)
			if run.Object.Kind == bundle.WAL {
				t.WALRuns, t.WALBytes = t.WALRuns+1, t.WALBytes+int64(run.Len)
			}
		}
		if !yield(t) {
			return
		}
	}
}

func (r *rig) Leads(_ uint16, epoch int32) bool { return epoch == r.epoch }

func (r *rig) Rolls(topic uuid.UUID) (int64, time.Duration, bool) {
	_, ok := r.topics[topic]
	return 0, 0, ok
}

func (r *rig) Committed() uint64 { return r.seq }
func (r *rig) Snapped() uint64   { return r.snapped }

// tailLog is a partition's tail index as the simplest thing that could be right.
type tailLog struct {
	r          *rig
	name       Name
	slot       uint16
	appended   int64
	start, end int64
	runs       []bundle.Location
	moved      bool // Replace finds nothing as it was
}

func (l *tailLog) Runs(dst []bundle.Location, from int64, n int) []bundle.Location {
	for _, run := range l.runs {
		if run.Next > from && n > 0 {
			dst, n = append(dst, run), n-1
		}
	}
	return dst
}

var errMoved = errors.New("the tail has moved")

func (l *tailLog) Replace(runs []bundle.Location) error {
	for len(runs) > 0 && (len(l.runs) == 0 || runs[0].Next <= l.runs[0].Base) {
		runs = runs[1:]
	}
	if len(runs) == 0 {
		return nil
	}
	i := slices.IndexFunc(l.runs, func(r bundle.Location) bool { return r.Base == runs[0].Base })
	j := slices.IndexFunc(l.runs, func(r bundle.Location) bool { return r.Next == runs[len(runs)-1].Next })
	if i < 0 || j < i || l.moved {
		return errMoved
	}
	l.runs = slices.Concat(l.runs[:i], runs, l.runs[j+1:])
	return nil
}

func (l *tailLog) Tiered(next int64) {
	l.runs = slices.DeleteFunc(slices.Clone(l.runs), func(r bundle.Location) bool { return r.Next <= next })
}

// moveStart moves the log start, as DeleteRecords and retention do.
func (l *tailLog) moveStart(offset int64) {
	l.start = max(l.start, offset)
	l.Tiered(offset)
}

// extents returns a partition's item and extents; zero if there are none.
func (r *rig) extents(n Name) (p records.Partition, all []records.Extent) {
	r.t.Helper()
	page, err := r.table.Query(context.Background(), metastore.Query{PK: r.cluster.PartitionPK(n.Topic, n.Index), Consistency: metastore.Consistent})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, row := range page.Rows {
		if row.SK == "M" {
			if p, err = records.DecodePartition(row.Item); err != nil {
				r.t.Fatal(err)
			}
			continue
		}
		e, err := records.DecodeExtent(row.Item)
		if err != nil || row.SK != records.ExtentSK(e.Base) {
			r.t.Fatal(row.SK, err)
		}
		all = append(all, e)
	}
	return p, all
}

// check reads every partition as a client would, from extents and then from the tail, and wants what was told, from the log start on.
func (r *rig) check() {
	r.t.Helper()
	for n, l := range r.logs {
		if r.topics[n.Topic] == "" {
			continue
		}
		got, err := r.read(n, l)
		want := r.told[n]
		for len(want) > 0 {
			b, rest, _ := recordbatch.Next(want)
			if b.NextOffset() > l.start {
				break
			}
			want = rest
		}
		if err != nil || !bytes.Equal(got, want) {
			r.t.Fatalf("%s-%d: %d bytes, want %d from offset %d on: %v", r.topics[n.Topic], n.Index, len(got), len(want), l.start, err)
		}
	}
}

func (r *rig) read(n Name, l *tailLog) ([]byte, error) {
	p, extents := r.extents(n)
	var out []byte
	next := p.LogStart
	add := func(body []byte) error {
		for len(body) > 0 {
			b, rest, err := recordbatch.Next(body)
			if err != nil {
				return err
			}
			if body = rest; b.NextOffset() <= max(next, l.start) {
				continue
			}
			if b.BaseOffset() > next && next > l.start || b.CheckCRC() != nil {
				return fmt.Errorf("batch of offset %d at offset %d", b.BaseOffset(), next)
			}
			next, out = b.NextOffset(), append(out, b...)
		}
		return nil
	}
	for _, e := range extents {
		if e.Next <= l.start {
			continue
		}
		got, err := r.inner.Get(context.Background(), r.keys.Segment(n.Topic, n.Index, e.Base, e.Segment), objstore.Range{})
		if err != nil {
			return nil, err
		}
		if uint64(len(got.Body)) != e.Size+uint64(e.FooterLen) {
			return nil, fmt.Errorf("extent %+v of an object of %d bytes", e, len(got.Body))
		}
		if _, err := bundle.Verify(got.Body); err != nil {
			return nil, err
		}
		if err := add(got.Body[bundle.HeaderLen:e.Size]); err != nil {
			return nil, err
		}
	}
	for _, run := range l.runs {
		got, err := r.inner.Get(context.Background(), (&Room{d: Deps{Keys: r.keys}}).key(run.Object), objstore.Range{})
		if err != nil {
			return nil, err
		}
		if run.Object.Kind == bundle.PACK {
			if _, err := bundle.Verify(got.Body); err != nil {
				return nil, err
			}
		}
		if err := add(got.Body[run.Pos : run.Pos+uint64(run.Len)]); err != nil {
			return nil, err
		}
	}
	if max(next, l.start) != l.end {
		return nil, fmt.Errorf("ends at %d, not %d", next, l.end)
	}
	return out, nil
}

// kinds counts the objects in the bucket by the letter of their kind.
func (r *rig) kinds() map[string]int {
	r.t.Helper()
	count := map[string]int{}
	found, err := r.inner.List(context.Background(), "", "", 0)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, o := range found {
		p, err := r.keys.Parse(o.Key)
		if err != nil {
			r.t.Fatal(err)
		}
		count[p.Kind]++
	}
	return count
}

// walRuns counts the runs that lie in the WAL.
func (r *rig) walRuns() (n int) {
	for _, l := range r.logs {
		for _, run := range l.runs {
			if run.Object.Kind == bundle.WAL {
				n++
			}
		}
	}
	return n
}

// queue returns what the garbage queue has.
func (r *rig) queue() (all []records.Garbage) {
	r.t.Helper()
	for shard := range records.GarbageShards {
		page, err := r.table.Query(context.Background(), metastore.Query{PK: r.cluster.GarbagePK(shard), Consistency: metastore.Consistent})
		if err != nil {
			r.t.Fatal(err)
		}
		for _, row := range page.Rows {
			g, err := records.DecodeGarbage(row.Item)
			if err != nil {
				r.t.Fatal(err)
			}
			all = append(all, g)
		}
	}
	return all
}

// accounts checks that no pack is counted lower than there are runs in tails, that each is there whose runs somebody needs, and that
// nothing is in the queue that somebody needs. It returns how many packs and segments nobody names or needs.
func (r *rig) accounts() (idle int) {
	r.t.Helper()
	need := map[string]int64{}
	for n, l := range r.logs {
		if r.topics[n.Topic] == "" {
			continue
		}
		for _, run := range l.runs {
			if run.Object.Kind == bundle.PACK {
				need[r.keys.Pack(run.Object.Session)]++
			}
		}
		_, extents := r.extents(n)
		for _, e := range extents {
			need[r.keys.Segment(n.Topic, n.Index, e.Base, e.Segment)]++
		}
	}
	garbage := map[string]bool{}
	for _, g := range r.queue() {
		for _, key := range g.Keys {
			garbage[key] = true
			if need[key] > 0 {
				r.t.Fatal("garbage is needed:", key)
			}
		}
	}
	found, _ := r.inner.List(context.Background(), "", "", 0)
	for _, o := range found {
		p, _ := r.keys.Parse(o.Key)
		live := need[o.Key]
		if p.Kind == objstore.KindPack && !garbage[o.Key] {
			it, err := r.table.Get(context.Background(), r.cluster.PackKey(p.ID), metastore.Consistent)
			if err != nil {
				r.t.Fatal("a pack without an item: ", err)
			}
			item, err := records.DecodePack(it)
			if err != nil || item.Live < live || item.Bytes != o.Size {
				r.t.Fatalf("pack of %d bytes, %d runs needed: item %+v, %v", o.Size, live, item, err)
			}
			if item.Live > live {
				idle++
			}
		}
		if p.Kind == objstore.KindSegment && live == 0 && !garbage[o.Key] {
			idle++
		}
		delete(need, o.Key)
	}
	if len(need) > 0 {
		r.t.Fatal("objects are gone that are needed:", need)
	}
	return idle
}
