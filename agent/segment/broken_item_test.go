package segment

import (
	"errors"
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

// breakItem replaces an item by one that does not decode, and returns what it was.
func (r *rig) breakItem(key metastore.Key) (was metastore.Item) {
	r.t.Helper()
	was, err := metastore.Find(r.t.Context(), r.table, key)
	if err != nil {
		r.t.Fatal(err)
	}
	r.put(key, metastore.Item{"x": metastore.N(1)})
	return was
}

// One partition's item does not decode: the others are merged and cut all the same, and this one too once its item is mended.
func TestBrokenPartitionItem(t *testing.T) {
	r := newRig(t)
	names := r.topic("a", 3)
	r.open()
	r.write(names, 500, 1)
	r.round(time.Minute)
	r.round(6 * time.Hour)
	r.takeOver(r.snapshot()) // who knows nothing of the table
	r.lead()
	key := r.cluster.PartitionKey(names[0].Topic, 0)
	was := r.breakItem(key)
	for range maxPacks + 1 {
		r.write(names, 300, 1)
		r.round(time.Minute)
	}
	for i, n := range names {
		if packs := len(packsOf(r.logs[n].runs)); (packs > maxPacks) != (i == 0) {
			t.Errorf("partition %d lies in %d packs", i, packs)
		}
	}
	r.round(6 * time.Hour)
	for i, n := range names {
		if left := len(r.logs[n].runs); (left > 0) != (i == 0) {
			t.Errorf("partition %d: %d runs are in no segment", i, left)
		}
	}
	r.put(key, was)
	r.round(time.Hour)
	r.round(6 * time.Hour)
	if left := len(r.logs[names[0]].runs); left > 0 {
		t.Errorf("%d runs are in no segment, and the item is mended", left)
	}
	r.check()
}

// A pack's item does not decode: what lies in the pack is linked all the same, and its object stays.
func TestBrokenPackItem(t *testing.T) {
	r := newRig(t)
	names := r.topic("a", 3)
	r.open()
	r.write(names, 500, 1)
	r.round(time.Minute)
	pack := r.logs[names[0]].runs[0].Object.Session
	r.breakItem(r.cluster.PackKey(pack))
	r.round(6 * time.Hour)
	for _, n := range names {
		if _, extents := r.extents(n); len(extents) != 1 {
			t.Error(n, extents)
		}
	}
	if len(r.queue()) != 0 || r.kinds()[objstore.KindPack] != 1 {
		t.Error(r.queue(), r.kinds())
	}
	r.check()
}

// However many partitions are due at once, the runs of so many only are listed as one plan has.
func TestCutsAreBounded(t *testing.T) {
	r := newRig(t)
	r.brief = true
	names := r.topic("a", 40)
	r.open()
	if err := r.room.Rewrite(names[0].Topic); err != nil {
		t.Fatal(err)
	}
	r.write(names, 10, 700)
	if err := r.room.Rewrite(names[0].Topic); err != nil {
		t.Fatal(err)
	}
	r.room.rules.runs = 5000
	cut := map[Name]bool{}
	for tails := r.room.tails(r.now); ; tails = r.room.tails(r.now) {
		parts, err := r.room.cuts(t.Context(), tails, r.now)
		if err != nil {
			t.Fatal(err)
		}
		if len(parts) == 0 {
			break
		}
		sum := 0
		for _, p := range parts {
			if sum += cap(p.runs); cut[p.tail.Name] {
				t.Fatal("cut twice:", p.tail.Name)
			}
			cut[p.tail.Name] = true
			p.tail.Log.Tiered(p.next())
		}
		if sum > r.room.rules.runs+runsPerPart {
			t.Fatalf("%d partitions: room for %d runs", len(parts), sum)
		}
	}
	if len(cut) != len(names) || slices.ContainsFunc(names, func(n Name) bool { return len(r.logs[n].runs) > 0 }) {
		t.Error(len(cut), "partitions were cut")
	}
}

// What the table says of a partition, a pack or a topic does not decode: a look leaves alone what it may be about, and finds all other orphans.
func TestSweepPastBrokenItems(t *testing.T) { synctest.Test(t, testSweepPastBroken) }

func testSweepPastBroken(t *testing.T) {
	for _, broken := range []string{"partition", "extent", "pack", "topic"} {
		r := newRig(t)
		names := r.topic("a", 2)
		drained := r.state(uuid.New(), records.Drained, 3, 5)
		var orphans, maybe []string
		for _, n := range names {
			orphans = append(orphans, r.written(r.keys.Segment(n.Topic, n.Index, 0, uuid.New()), bundle.SEG, uuid.UUID{9}, drained))
		}
		one, key := r.pack(drained, 1)
		_, other := r.pack(drained, 1)
		orphans = append(orphans, key, other)
		switch first := r.cluster.PartitionKey(names[0].Topic, 0); broken {
		case "partition":
			r.put(first, metastore.Item{"x": metastore.N(1)})
			r.snapshotOf(uuid.New(), tailRun{names[0], bundle.Object{Kind: bundle.PACK, Session: one}, 0, 5}) // linked or not, nobody knows
			maybe = []string{orphans[0], key}
		case "extent":
			r.put(r.cluster.ExtentKey(names[0].Topic, 0, 0), metastore.Item{"x": metastore.N(1)})
			maybe = orphans[:1]
		case "pack":
			r.put(r.cluster.PackKey(one), metastore.Item{"x": metastore.N(1)})
			maybe = []string{key}
		case "topic": // of whichever topic that is
			r.put(r.cluster.TopicKey("b"), metastore.Item{"x": metastore.N(1)})
			n := Name{uuid.New(), 0}
			maybe = []string{r.written(r.keys.Segment(n.Topic, 0, 4, uuid.New()), bundle.SEG, uuid.UUID{9}, r.state(uuid.New(), records.Active, 1, 9))}
		}
		s := r.sweeper(1)
		for range 2 {
			r.look(s)
			time.Sleep(time.Second)
		}
		queued := r.queuedKeys()
		for _, key := range orphans {
			if found := slices.Contains(queued, key); found == slices.Contains(maybe, key) {
				t.Errorf("a broken %s: %s is queued: %v", broken, key, found)
			}
		}
		if slices.ContainsFunc(maybe, func(key string) bool { return slices.Contains(queued, key) }) {
			t.Errorf("a broken %s: %v are queued", broken, queued)
		}
	}
}

// An extent that does not decode is an error for who reads what it holds, and for nobody else.
func TestBrokenExtentAmongOthers(t *testing.T) {
	for _, count := range []int{5, 3 * pageExtents} {
		for _, at := range []int{0, 1, count / 2, count - 1} {
			s := newShelved(t)
			for i := range count {
				s.link(s.topic, 3, records.Extent{Base: int64(i) * 10, Next: int64(i)*10 + 10, Segment: uuid.New(), Size: 164, FooterLen: 40, Bytes: 100})
			}
			_, err := s.facts.Write(t.Context(), metastore.Op{Kind: metastore.OpPut, Key: s.cluster.ExtentKey(s.topic, 3, int64(at)*10), Set: metastore.Item{"x": metastore.N(1)}})
			s.must(err)
			for i := range count {
				x := s.index()
				got, err := x.Extents(t.Context(), s.topic, 3, int64(i)*10+5)
				if broken := errors.Is(err, records.ErrBadItem); broken != (i == at) || !broken && (err != nil || len(got) == 0 || got[0].Base != int64(i)*10) {
					t.Fatalf("%d extents, number %d is broken; number %d: %v, %v", count, at, i, got, err)
				}
				x.Close()
			}
		}
	}
}
