package meta

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// TestRebuildBesideAMerge: of segments and one that was merged from them and not linked, one or the others get extents, and nothing is lost or there
// twice. What gets none is found at once, or, if it is a merge, when its writer is DRAINED; and it is swept.
func TestRebuildBesideAMerge(t *testing.T) {
	for _, c := range []struct {
		what       string
		from, next int64 // of the merge
		extents    int
		left       int // segments without a name
	}{
		{"of all", 0, 20, 1, 2},
		{"of the first", 0, 10, 2, 1},
		{"that ends inside of one", 0, 15, 2, 1},
		{"that begins inside of one", 5, 20, 2, 1},
	} {
		r := newRig(t)
		a := r.a
		r.a = uuid.New() // a session that owes nothing wrote it: the rebuild makes it DRAINED
		r.object(r.keys.Start(1), []byte(r.a.String()+"\n"))
		r.merged(0, c.from, c.next)
		r.a = a
		r.rebuilt(RebuildConfig{Uncommitted: true})
		p := decoded(r, r.cluster.PartitionKey(r.topic.ID, 0), records.DecodePartition)
		if got := r.records(0, 20); len(got) != 20 || p.Tiered != 20 || int(p.Extents) != c.extents {
			t.Errorf("%s: %d records, %+v", c.what, len(got), p)
		}
		found := r.check(true)
		for _, f := range found {
			if f.Class != Orphan {
				t.Errorf("%s: %+v", c.what, f)
			}
			r.fix(f)
		}
		if len(found) != c.left {
			t.Errorf("%s: found %+v", c.what, found)
		}
		r.clean()
		if got := r.records(0, 20); len(got) != 20 {
			t.Errorf("%s: %d records when all is swept", c.what, len(got))
		}
	}
}

// TestOverwrittenAfterARebuild: a segment of bundles that a rebuild did not keep stays without a name, and others write its offsets anew. As soon as their
// segments have passed it, it is found, and swept; and before that no repair takes its records for those that were written after it.
func TestOverwrittenAfterARebuild(t *testing.T) {
	for _, sweep := range []bool{true, false} {
		r := newRig(t)
		late := r.link(0, 20, 50) // cut from bundles, the last of which no snapshot covers
		r.partition(0, 0, 50)
		r.rebuilt(RebuildConfig{})
		if p := decoded(r, r.cluster.PartitionKey(r.topic.ID, 0), records.DecodePartition); p.Tiered != 20 || p.Extents != 2 {
			t.Fatalf("%+v", p)
		}
		r.extents = r.extents[:2]
		r.link(0, 20, 40)
		again := r.linkOf(4, 0, 40, 60)
		r.partition(0, 0, 60)
		r.drop(r.cluster.PackKey(r.pack)) // its run is linked
		r.lose(r.keys.Pack(r.pack))
		r.lose(r.keys.WAL(r.a, 6))
		r.wrote(bundle.Epoch{Epoch: 3}, bundle.Epoch{Epoch: 4, Start: 40})
		if sweep {
			found := r.check(true)
			if len(found) != 1 || found[0].Class != Orphan || found[0].Where != r.key(late) {
				t.Fatalf("found %+v", found)
			}
			r.fix(found[0])
			r.clean()
			continue
		}
		r.forget(again)
		for _, f := range r.check(true) {
			r.fix(f)
		}
		r.clean()
		if got := r.records(20, 60); len(got) != 20 || got[19] != 39 {
			t.Errorf("records of offsets %v", got)
		}
	}
}

// wrote lets the newest snapshot say that partition 0 ends at 60, all in extents, and was led under some epochs.
func (r *rig) wrote(epochs ...bundle.Epoch) {
	r.t.Helper()
	key := r.keys.Snapshot(r.a, 5, r.snap)
	f, _, _, err := r.tool().readFooter(context.Background(), key)
	if err != nil {
		r.t.Fatal(err)
	}
	f.Partitions[0].LogEnd, f.Partitions[0].Epochs = 60, uint32(len(epochs))
	f.Epochs = append(epochs, f.Epochs[1:]...)
	f.Objects, f.Runs, f.Refs = f.Objects[2:], f.Runs[2:], []bundle.Ref{{}}
	f.Slots[1].Runs, f.Slots[2].FirstRun, f.Slots[3].FirstRun = 0, 0, 1
	r.snapshot(key, r.a, 5, f)
}

func TestLineRefutes(t *testing.T) {
	l := line{[]bundle.Epoch{{Epoch: 3, Start: 10}, {Epoch: 5, Start: 40}}, 60}
	for _, c := range []struct {
		epoch      int32
		base, next int64
		want       bool
	}{
		{2, 0, 10, false}, {2, 0, 11, true}, {3, 10, 40, false}, {3, 30, 41, true}, {4, 40, 50, true}, {5, 40, 60, false}, {5, 39, 60, true},
		{7, 60, 70, false}, {5, 50, 70, false},
	} {
		if got := l.refutes(&bundle.Run{LeaderEpoch: c.epoch, Base: c.base, Next: c.next}); got != c.want {
			t.Errorf("epoch %d, %d to %d: %v", c.epoch, c.base, c.next, got)
		}
	}
}

// TestStretches: whatever bytes of a segment are broken, what is salvaged is what was written, and only batches with a broken byte, or before which
// too much is broken to find them, are lost.
func TestStretches(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	topic := records.Topic{Name: "t", ID: uuid.New(), Slots: []uint16{1}}
	var all []recordbatch.Batch
	for offset := int64(7); len(all) < 300; {
		b := recordbatch.Builder{BaseOffset: offset, LeaderEpoch: int32(3 + len(all)/120)}
		value := make([]byte, r.IntN(2000))
		out, err := b.Append(nil, []recordbatch.Record{{Value: value}, {Value: value}})
		if err != nil {
			t.Fatal(err)
		}
		all, offset = append(all, out), offset+2
	}
	whole, e, err := segmentOf(bundle.Header{}, part{topic.ID, 0}, topic, all)
	if err != nil || e.Base != 7 || e.Next != 607 || e.Records != 600 {
		t.Fatal(e, err)
	}
	v, err := bundle.Verify(whole)
	if err != nil || len(v.Footer.Runs) != 3 || len(v.Footer.Sparse) < 4 {
		t.Fatal(err, v)
	}
	f := v.Footer
	for n := range 200 {
		object := slices.Clone(whole)
		for range n % 5 {
			object[bundle.HeaderLen+r.IntN(int(e.Bytes))] ^= byte(1 + r.IntN(255))
		}
		from, to := int64(0), int64(1000)
		if n%3 == 1 {
			from, to = 100+r.Int64N(100), 300+r.Int64N(100)
		}
		at, saved, within := int64(-1), 0, 0
		for _, b := range all {
			if b.BaseOffset() >= from && b.NextOffset() <= to {
				within++
			}
		}
		for _, s := range stretches(object, f, from, to) {
			if s[0].BaseOffset() == at {
				t.Fatal("two stretches are one")
			}
			for i, b := range s {
				if i > 0 && b.BaseOffset() != at || b.BaseOffset() < max(from, at) || b.NextOffset() > to || !slices.Equal(b, all[(b.BaseOffset()-7)/2]) {
					t.Fatalf("batch at %d after %d", b.BaseOffset(), at)
				}
				at, saved = b.NextOffset(), saved+1
			}
		}
		if most := n % 5 * 40; saved < within-most || n%5 == 0 && saved != within {
			t.Fatalf("%d broken bytes: %d batches of %d", n%5, saved, within)
		}
	}
}
