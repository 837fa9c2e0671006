package segment

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/bundle"
)

func TestWALBecomesAPack(t *testing.T) {
	r := newRig(t)
	names := append(r.topic("a", 5), r.topic("b", 3)...)
	r.open()
	r.write(names, 1000, 10)
	r.round(30 * time.Second)
	if r.kinds()["k"] != 0 {
		t.Fatal("packed before it was time")
	}
	r.round(30 * time.Second)
	if r.kinds()["k"] != 1 || r.walRuns() != 0 {
		t.Fatal(r.kinds(), r.walRuns())
	}
	for n, l := range r.logs {
		if len(l.runs) != 1 {
			t.Fatal(n, len(l.runs), "runs")
		}
	}
	r.check()
	if idle := r.accounts(); idle != 0 {
		t.Fatal(idle, "objects too many")
	}
}

// A run never crosses a leader epoch, in a pack as in a segment.
func TestRunsEndWithTheirEpoch(t *testing.T) {
	r := newRig(t)
	n := r.topic("a", 1)[0]
	r.open()
	r.write([]Name{n}, 100, 3)
	r.epoch++
	r.write([]Name{n}, 100, 2)
	r.round(time.Minute)
	if runs := r.logs[n].runs; len(runs) != 2 || runs[0].LeaderEpoch != 3 || runs[1].LeaderEpoch != 4 || runs[0].Next != 6 {
		t.Fatal(runs)
	}
	r.round(6 * time.Hour)
	r.check()
	if p, extents := r.extents(n); len(extents) != 1 || p.Tiered != 10 || len(r.logs[n].runs) != 0 {
		t.Fatal(p, extents, r.logs[n].runs)
	}
}

// What is large enough is cut at once, what is old in time; neighbours share a transaction, and the last link frees the packs.
func TestPacksBecomeSegments(t *testing.T) {
	r := newRig(t)
	r.cfg.SegmentBytes = 1 << 20
	names := r.topic("a", 20)
	r.open()
	for range 4 {
		r.write(names[:2], 300<<10, 1)
		r.write(names[2:], 1000, 2)
		r.round(time.Minute)
		r.check()
	}
	for i, n := range names {
		if _, extents := r.extents(n); (len(extents) > 0) != (i < 2) {
			t.Fatal(i, extents)
		}
	}
	r.round(6 * time.Hour)
	r.round(time.Minute)
	r.check()
	for _, n := range names {
		p, extents := r.extents(n)
		if len(r.logs[n].runs) != 0 || p.Extents != int64(len(extents)) || p.Tiered != r.logs[n].end || p.Bytes == 0 {
			t.Fatal(n, p, len(r.logs[n].runs))
		}
	}
	if idle := r.accounts(); idle != 0 || len(r.queue()) == 0 {
		t.Fatal(idle, "objects too many,", len(r.queue()), "in the queue")
	}
	var keys int
	for _, g := range r.queue() {
		if keys += len(g.Keys); g.NotBefore < r.now.Add(14*time.Minute).UnixMilli()-6*3600_000 {
			t.Fatal("no grace", g)
		}
	}
	if keys != r.kinds()["k"] {
		t.Fatal(keys, "keys in the queue of", r.kinds())
	}
}

// A partition with large runs needs no pack.
func TestLargeRunsAreCutFromTheWAL(t *testing.T) {
	r := newRig(t)
	r.cfg.SegmentBytes = 16 << 20
	names := r.topic("a", 2)
	r.open()
	for range 5 {
		r.produce(names[0], 4<<20)
		r.produce(names[1], 1000)
		r.flush()
	}
	r.round(time.Minute)
	if _, extents := r.extents(names[0]); len(extents) != 1 || extents[0].Bytes < 16<<20 {
		t.Fatal(extents)
	}
	for _, run := range r.logs[names[0]].runs {
		if run.Object.Kind == bundle.PACK {
			t.Fatal("packed", run)
		}
	}
	r.check()
	r.accounts()
}

// A segment is cut from at most 16 packs: there are more only for a moment.
func TestPacksAreMerged(t *testing.T) {
	r := newRig(t)
	names := r.topic("a", 6)
	r.open()
	for i := range 70 {
		r.write(names, 2000, 1)
		r.round(time.Minute)
		for n, l := range r.logs {
			if len(packsOf(l.runs)) > maxPacks {
				t.Fatal(i, n, len(l.runs))
			}
		}
	}
	r.check()
	r.round(time.Minute)
	if idle := r.accounts(); idle != 0 {
		t.Fatal(idle, "objects too many")
	}
	r.round(6 * time.Hour)
	r.round(time.Minute)
	r.check()
	if idle := r.accounts(); idle != 0 || r.kinds()["t"] != 6 {
		t.Fatal(idle, r.kinds())
	}
}

// What a merge took out of a pack is counted down only when a recorded snapshot knows the new place, and not by who leads no more.
func TestMergedPacksStayUntilASnapshot(t *testing.T) {
	for _, lost := range []bool{false, true} {
		r := newRig(t)
		names := r.topic("a", 2)
		r.open()
		for range maxPacks + 1 {
			r.write(names, 2000, 1)
			r.now = r.now.Add(time.Minute)
			r.room.Round(context.Background(), r.now)
		}
		if len(packsOf(r.logs[names[0]].runs)) > 2 || len(r.queue()) != 0 {
			t.Fatal(r.logs[names[0]].runs, r.queue())
		}
		if lost {
			r.epoch++
		}
		r.snapped = r.seq
		r.room.Round(context.Background(), r.now)
		if len(r.queue()) != 0 {
			t.Fatal("the snapshot may be from before the merge")
		}
		r.snapped = r.seq + 1
		r.room.Round(context.Background(), r.now)
		if (len(r.queue()) == 0) != lost {
			t.Fatal(lost, len(r.queue()))
		}
		r.check()
		r.accounts()
	}
}

// A log start that passes packs takes their runs off, with one write for the partition; without packs it needs none.
func TestLogStartPassesPacks(t *testing.T) {
	r := newRig(t)
	names := r.topic("a", 3)
	r.open()
	r.write(names, 1000, 3)
	r.round(time.Minute)
	for _, n := range names {
		r.logs[n].moveStart(6)
	}
	r.round(time.Second)
	r.check()
	if idle := r.accounts(); idle != 0 || len(r.queue()) != 1 {
		t.Fatal(idle, r.queue())
	}
	if p, _ := r.extents(names[0]); p.LogStart != 6 || p.Tiered != 6 {
		t.Fatal(p)
	}
	r.write(names, 1000, 3)
	r.logs[names[0]].moveStart(12)
	r.round(time.Second)
	if p, _ := r.extents(names[0]); p.Tiered != 6 {
		t.Fatal("a write for what was in the WAL alone:", p)
	}
	r.round(time.Minute)
	r.round(6 * time.Hour)
	r.check()
	if p, _ := r.extents(names[0]); p.LogStart != 6 || p.Extents != 0 {
		t.Fatal(p)
	}
	r.write(names, 1000, 1)
	r.round(time.Minute)
	r.round(6 * time.Hour) // R28: tiered follows the log start, then the link
	r.check()
	if p, extents := r.extents(names[0]); p.LogStart != 12 || p.Tiered != 14 || len(extents) != 1 {
		t.Fatal(p, extents)
	}
}

// A log start inside of a run: extents are cut whole, and nothing is lost.
func TestLogStartInsideOfARun(t *testing.T) {
	r := newRig(t)
	n := r.topic("a", 1)[0]
	r.open()
	r.write([]Name{n}, 1000, 5)
	r.round(time.Minute)
	r.logs[n].moveStart(5)
	r.round(6 * time.Hour)
	r.check()
	if p, _ := r.extents(n); p.LogStart != 0 || p.Tiered != 10 {
		t.Fatal(p)
	}
}

// The log start moves while a pack is being written.
func TestLogStartMovesUnderAPack(t *testing.T) {
	r := newRig(t)
	names := r.topic("a", 2)
	r.open()
	r.write(names, 1000, 5)
	r.objects = &hookStore{Store: r.objects, put: func(string) { r.logs[names[0]].moveStart(10) }}
	r.open()
	r.round(time.Minute)
	r.objects = r.inner
	r.check()
	r.round(time.Second)
	if idle := r.accounts(); idle != 0 {
		t.Fatal(idle)
	}
}

// A slot is lost while its runs are packed: they are taken off the pack, and the others stay in it.
func TestSlotLeavesUnderAPack(t *testing.T) {
	r := newRig(t)
	names := r.topic("a", 2)
	r.open()
	r.write(names, 1000, 5)
	r.logs[names[0]].moved = true
	r.round(time.Minute)
	if r.logs[names[0]].runs[0].Object.Kind != bundle.WAL || r.logs[names[1]].runs[0].Object.Kind != bundle.PACK {
		t.Fatal(r.logs[names[0]].runs, r.logs[names[1]].runs)
	}
	r.check()
	if idle := r.accounts(); idle != 0 {
		t.Fatal(idle)
	}
}

// What waits is looked at in each tick, all the rest not so often.
func TestDue(t *testing.T) {
	r := newRig(t)
	n := r.topic("a", 1)[0]
	r.cfg.PackBytes = 5000
	room := r.open()
	room.Round(t.Context(), r.now)
	r.write([]Name{n}, 1000, 3)
	if room.due(r.now.Add(14*time.Second)) || !room.due(r.now.Add(15*time.Second)) {
		t.Error("not each quarter of the interval")
	}
	r.write([]Name{n}, 1000, 3)
	if !room.due(r.now) {
		t.Error("enough waits")
	}
}

// R29, R16: a topic that is gone gets no segments, and what was made for it is garbage. Its runs are taken off their packs.
func TestTopicGoes(t *testing.T) {
	for _, state := range []records.TopicState{records.TopicActive, records.TopicDeleting} {
		topicGoes(t, state)
	}
}

// topicGoes deletes a topic while segments of it are written; it is there again as another one, or still on its way out.
func topicGoes(t *testing.T, state records.TopicState) {
	r := newRig(t)
	names := append(r.topic("a", 2), r.topic("b", 2)...)
	r.open()
	r.write(names, 1000, 2)
	r.round(time.Minute)
	drop := func() {
		again := records.Topic{Name: "a", ID: uuid.New(), State: state}
		if state == records.TopicDeleting {
			again.ID = names[0].Topic
		}
		if _, err := r.table.Write(t.Context(), metastore.Op{Kind: metastore.OpPut, Key: r.cluster.TopicKey("a"), Set: again.Item()}); err != nil {
			t.Fatal(err)
		}
	}
	var once sync.Once
	r.objects = &hookStore{Store: r.inner, put: func(string) { once.Do(drop) }}
	ledger := r.room.ledger
	r.open().ledger = ledger
	r.round(6 * time.Hour)
	if p, extents := r.extents(names[0]); p.V != 0 || len(extents) != 0 {
		t.Fatal("linked into a topic that is gone", p, extents)
	}
	if p, _ := r.extents(names[2]); p.Extents != 1 {
		t.Fatal("the neighbour was not linked", p)
	}
	delete(r.topics, names[0].Topic)
	r.round(time.Second)
	r.check()
	if idle := r.accounts(); idle != 0 || len(r.queue()) != 2 {
		t.Fatal(idle, r.queue())
	}
}

// R12: two leaders link the same bytes; one wins, the other adopts that and goes on from there, also within a run of its own.
func TestZombieLinks(t *testing.T) {
	for _, more := range []bool{false, true} {
		r := newRig(t)
		names := r.topic("a", 3)
		r.open()
		r.write(names, 1000, 4)
		r.round(time.Minute)
		zombie, old := r.room, map[Name]*tailLog{}
		for n, l := range r.logs {
			c := *l
			old[n] = &c
		}
		if more {
			// The new leader opened from before the pack, and packed more in one.
			for _, n := range names {
				r.logs[n].runs = nil
			}
			told := r.told
			r.told, r.seq = map[Name][]byte{}, 100
			for _, n := range names {
				r.waiting = append(r.waiting, queued{n, told[n]})
			}
			r.write(names, 1000, 2)
		}
		r.open()
		r.round(time.Minute)
		zombie.d.Partitions = others{r, old}
		zombie.Round(t.Context(), r.now.Add(6*time.Hour))
		r.round(6 * time.Hour)
		r.round(time.Second)
		r.check()
		r.accounts()
		for _, n := range names {
			if p, _ := r.extents(n); p.Tiered < 8 || p.Extents == 0 {
				t.Fatal(p)
			}
		}
		if more {
			r.round(6 * time.Hour)
			r.check()
			if p, extents := r.extents(names[0]); p.Tiered != 12 || extents[len(extents)-1].Base != 8 {
				t.Fatal(p, extents)
			}
		}
	}
}

// A link that somebody was faster with is refused by tiered alone, also where nothing is left of the other one's extents; what was
// written for it is garbage, and what the table says is adopted.
func TestTieredDecides(t *testing.T) {
	r := newRig(t)
	n := r.topic("a", 1)[0]
	r.open()
	r.write([]Name{n}, 1000, 4)
	r.round(time.Minute)
	r.round(6 * time.Hour)
	if err := r.table.Transact(t.Context(), []metastore.Op{{Kind: metastore.OpDelete, Key: r.cluster.ExtentKey(n.Topic, 0, 0)}}); err != nil {
		t.Fatal(err)
	}
	r.room.ledger.parts[n].tiered = 0
	x := records.Extent{Next: 6, Segment: uuid.New(), Bytes: 1}
	for _, s := range []step{{from: 0}, {from: 0, absent: true}} {
		s.slot, s.epoch = r.logs[n].slot, r.epoch
		s.Name, s.topic, s.next, s.extent, s.key, s.log = n, "a", 6, &x, r.keys.Segment(n.Topic, 0, 0, x.Segment), r.logs[n]
		if err := r.room.linkAll(t.Context(), []step{s}, r.now); err != nil {
			t.Fatal(err)
		}
		p, extents := r.extents(n)
		if p.Tiered != 8 || p.Extents != 1 || len(extents) != 0 || r.room.ledger.parts[n].tiered != 8 {
			t.Fatal(p, extents)
		}
		if q := r.queue(); len(q) == 0 || !slices.ContainsFunc(q, func(g records.Garbage) bool { return g.Keys[0] == s.key }) {
			t.Fatal("the segment is no garbage", q)
		}
	}
}

// others is what a leader that was replaced still believes.
type others struct {
	*rig
	logs map[Name]*tailLog
}

func (o others) Tails(yield func(Tail) bool) {
	mine := o.rig.logs
	o.rig.logs = o.logs
	defer func() { o.rig.logs = mine }()
	o.rig.Tails(yield)
}

// A batch that is damaged stays where it is; everything else goes on.
func TestDamagedBatch(t *testing.T) {
	r := newRig(t)
	names := r.topic("a", 3)
	r.open()
	r.write(names, 1000, 2)
	loc := r.logs[names[1]].runs[1]
	key := r.keys.WAL(r.session, loc.Object.Seq)
	got, err := r.inner.Get(t.Context(), key, objstoreAll)
	if err != nil {
		t.Fatal(err)
	}
	got.Body[loc.Pos+100] ^= 1
	if err := r.inner.Put(t.Context(), key, got.Body); err != nil {
		t.Fatal(err)
	}
	r.round(time.Minute)
	r.round(time.Minute)
	for i, n := range names {
		if wal := r.logs[n].runs[0].Object.Kind == bundle.WAL; wal != (i == 1) {
			t.Fatal(i, r.logs[n].runs)
		}
	}
	r.accounts()
}

// An object is gone: what extents cover is forgotten, anything else is an alarm and stays.
func TestSourceIsGone(t *testing.T) {
	r := newRig(t)
	names := r.topic("a", 2)
	r.open()
	r.write(names, 1000, 2)
	if err := r.inner.Delete(t.Context(), r.keys.WAL(r.session, 1)); err != nil {
		t.Fatal(err)
	}
	p := records.Partition{Topic: names[0].Topic, Index: 0, Tiered: 4, V: 1}
	if _, err := r.table.Write(t.Context(), metastore.Op{Kind: metastore.OpPut, Key: r.cluster.PartitionKey(p.Topic, 0), Set: p.Item()}); err != nil {
		t.Fatal(err)
	}
	r.round(time.Minute)
	if len(r.logs[names[0]].runs) != 0 || len(r.logs[names[1]].runs) != 2 || !r.room.ledger.parts[names[1]].stays {
		t.Fatal(r.logs[names[0]].runs, r.logs[names[1]].runs)
	}
}

// The table ends below the leader's tail, and the log start does not say why: nothing is linked over the hole.
func TestHoleIsAnAlarm(t *testing.T) {
	r := newRig(t)
	n := r.topic("a", 1)[0]
	r.open()
	r.write([]Name{n}, 1000, 4)
	p := records.Partition{Topic: n.Topic, Tiered: 2, V: 1}
	if _, err := r.table.Write(t.Context(), metastore.Op{Kind: metastore.OpPut, Key: r.cluster.PartitionKey(p.Topic, 0), Set: p.Item()}); err != nil {
		t.Fatal(err)
	}
	r.logs[n].runs = r.logs[n].runs[2:]
	r.round(time.Minute)
	r.round(6 * time.Hour)
	if p, extents := r.extents(n); len(extents) != 0 || p.Tiered != 2 || !r.room.ledger.parts[n].stays {
		t.Fatal(p, extents)
	}
}

// Records that could not be rewritten were mended since: after an hour the leader looks again, and goes on.
func TestMendedRecordsAreRewritten(t *testing.T) {
	r := newRig(t)
	n := r.topic("a", 1)[0]
	r.open()
	r.write([]Name{n}, 1000, 1)
	key := r.keys.WAL(r.session, r.seq)
	o, err := r.inner.Get(t.Context(), key, objstoreAll)
	if err != nil {
		t.Fatal(err)
	}
	for _, gone := range []bool{false, true} {
		if gone {
			err = r.inner.Delete(t.Context(), key)
		} else {
			spoilt := bytes.Clone(o.Body)
			spoilt[len(spoilt)-1] ^= 1
			err = r.inner.Put(t.Context(), key, spoilt)
		}
		if err != nil {
			t.Fatal(err)
		}
		r.round(time.Minute)
		if err := r.inner.Put(t.Context(), key, o.Body); err != nil {
			t.Fatal(err)
		}
		if r.round(time.Minute); r.walRuns() != 1 {
			t.Fatal("it does not rest after an alarm")
		}
		if r.round(time.Hour); r.walRuns() != 0 {
			t.Fatal("mended records stay in the WAL")
		}
		r.check()
		r.write([]Name{n}, 1000, 1)
		key = r.keys.WAL(r.session, r.seq)
		if o, err = r.inner.Get(t.Context(), key, objstoreAll); err != nil {
			t.Fatal(err)
		}
	}
}
