package segment

import (
	"slices"
	"testing"
	"time"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/objstore"
)

// breakItem replaces an item by one that does not decode, and returns what it was.
func (r *rig) breakItem(key metastore.Key) (was metastore.Item) {
	r.t.Helper()
	was, err := metastore.Find(r.t.Context(), r.table, key)
	if err != nil {
		r.t.Fatal(err)
	}
	r.putItem(key, metastore.Item{"x": metastore.N(1)})
	return was
}

func (r *rig) putItem(key metastore.Key, it metastore.Item) {
	r.t.Helper()
	if _, err := r.table.Write(r.t.Context(), metastore.Op{Kind: metastore.OpPut, Key: key, Set: it}); err != nil {
		r.t.Fatal(err)
	}
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
	r.putItem(key, was)
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
