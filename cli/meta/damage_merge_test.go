package meta

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// key is that of a segment of partition 0.
func (r *rig) key(e records.Extent) string { return r.keys.Segment(r.topic.ID, 0, e.Base, e.Segment) }

// join puts a merged segment into the place of the extents of partition 0, [0, 10) and [10, 20), and returns them and it.
func (r *rig) join() (old []records.Extent, x records.Extent) {
	old, x = r.extents, r.merged(0, 0, 20)
	r.drop(r.cluster.ExtentKey(r.topic.ID, 0, 10))
	r.item(r.cluster.ExtentKey(r.topic.ID, 0, 0), x.Item())
	r.extents = []records.Extent{x}
	r.partition(0, 0, 20)
	return old, x
}

// forget deletes segments, as the garbage queue does.
func (r *rig) forget(some ...records.Extent) {
	for _, e := range some {
		r.lose(r.key(e))
	}
}

// mergeDamages is what merges of segments can leave behind, or be left with.
var mergeDamages = []struct {
	name  string
	class Class
	deep  bool
	kept  int // records of offsets 0 to 19 of partition 0, when it is mended
	plant func(r *rig) (where string)
}{
	{"a merged segment", MissingSegment, false, 0, func(r *rig) string {
		old, x := r.join()
		r.forget(append(old, x)...)
		return r.key(x)
	}},
	{"a merged segment, and what it was made of is still queued", MissingSegment, false, 20, func(r *rig) string {
		old, x := r.join()
		g := records.Garbage{ID: uuid.New(), Keys: []string{r.key(old[0]), r.key(old[1])}, NotBefore: time.Now().Add(time.Minute).UnixMilli()}
		r.item(r.cluster.GarbageKey(g), g.Item())
		r.forget(x)
		return r.key(x)
	}},
	{"a merged segment, and a part of what it was made of", MissingSegment, false, 10, func(r *rig) string {
		old, x := r.join()
		r.forget(old[0], x)
		return r.key(x)
	}},
	{"a batch in a merged segment", Damaged, true, 10, func(r *rig) string {
		old, x := r.join()
		r.forget(old...)
		r.spoil(r.key(x), bundle.HeaderLen+70)
		return r.key(x)
	}},
	{"a merged segment that is cut", Damaged, false, 0, func(r *rig) string {
		old, x := r.join()
		r.forget(old...)
		r.object(r.key(x), []byte("cut"))
		return r.key(x)
	}},
	{"what was merged is back", Orphan, false, 20, func(r *rig) string {
		old, _ := r.join()
		r.forget(old[0])
		return r.key(old[1])
	}},
	{"a merge that nobody linked, of a session that is drained", Orphan, false, 20, func(r *rig) string {
		a := r.a
		r.a = uuid.New()
		defer func() { r.a = a }()
		r.item(r.cluster.SessionKey(r.a), records.Session{Agent: "one", NodeID: 1, State: records.Drained, HB: 1, Committed: 8, End: 9}.Item())
		return r.key(r.merged(0, 0, 20))
	}},
	{"an extent that was merged, with its segment", ExtentOverlap, false, 20, func(r *rig) string {
		old, _ := r.join()
		r.forget(old[0])
		r.item(r.cluster.ExtentKey(r.topic.ID, 0, 10), old[1].Item())
		return r.part(0)
	}},
	{"an extent that was merged, without its segment", ExtentOverlap, false, 20, func(r *rig) string {
		old, _ := r.join()
		r.forget(old...)
		r.item(r.cluster.ExtentKey(r.topic.ID, 0, 10), old[1].Item())
		return r.part(0)
	}},
	{"a merged segment and one that begins inside of it", ExtentOverlap, false, 20, func(r *rig) string {
		r.forget(r.extents[0], r.extents[1])
		r.drop(r.cluster.ExtentKey(r.topic.ID, 0, 10))
		r.extents = nil
		x, y := r.merged(0, 0, 10), r.segment(0, 5, 20)
		r.item(r.cluster.ExtentKey(r.topic.ID, 0, 0), x.Item())
		r.item(r.cluster.ExtentKey(r.topic.ID, 0, 5), y.Item())
		r.extents = []records.Extent{x, y}
		r.partition(0, 0, 20)
		return r.part(0)
	}},
	{"a segment, and a merge that nobody linked yet has what was in it", MissingSegment, false, 20, func(r *rig) string {
		r.merged(0, 0, 20)
		r.forget(r.extents[1])
		return r.key(r.extents[1])
	}},
	{"a segment, and a merge that nobody linked has more than was in it", MissingSegment, false, 15, func(r *rig) string {
		r.merged(0, 5, 15)
		r.forget(r.extents[1])
		return r.key(r.extents[1])
	}},
	{"an extent of a merge is gone, and what it was made of is there too", ExtentBounds, false, 20, func(r *rig) string {
		r.join()
		r.drop(r.cluster.ExtentKey(r.topic.ID, 0, 0))
		return r.part(0)
	}},
}

// TestDamageOfMerges: as TestEveryDamageIsFoundAndMended, and whatever of the records is left somewhere is kept. What a repair did not need is found,
// and swept.
func TestDamageOfMerges(t *testing.T) {
	for _, live := range []bool{false, true} {
		for _, d := range mergeDamages {
			t.Run(fmt.Sprintf("live=%v/%s/%s", live, d.class, d.name), func(t *testing.T) {
				r := newRig(t)
				if live {
					r.ledBy(r.alive())
				}
				where := d.plant(r)
				found := r.check(d.deep)
				i := slices.IndexFunc(found, func(f Finding) bool { return f.Class == d.class && f.Where == where })
				if i < 0 {
					t.Fatalf("not found: %s %s; found %+v", d.class, where, found)
				}
				r.fix(found[i])
				for _, f := range r.check(true) {
					if f.Class != Orphan {
						t.Errorf("left: %+v", f)
					}
					r.fix(f)
				}
				r.clean()
				if got := r.records(0, 20); len(got) != d.kept {
					t.Errorf("%d records are left, want %d: %v", len(got), d.kept, got)
				}
			})
		}
	}
}

// TestMendedFromWhatAnAgentWrote: an agent that lives may find that its merge cannot be linked any more, and queue it, after it was linked by a repair:
// what the repair linked is a copy.
func TestMendedFromWhatAnAgentWrote(t *testing.T) {
	r := newRig(t)
	r.ledBy(r.alive())
	x := r.merged(0, 0, 20)
	r.forget(r.extents[0])
	for _, f := range r.check(false) {
		r.fix(f)
	}
	r.forget(x, r.extents[1])
	r.clean()
	if got := r.records(0, 20); len(got) != 20 {
		t.Error(got)
	}
}

// records returns which offsets of [from, to) of partition 0 have their records in segments that extents name.
func (r *rig) records(from, to int64) (all []int64) {
	r.t.Helper()
	y, err := r.tool().readLayout(context.Background(), part{r.topic.ID, 0}, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range y.extents {
		o, err := r.objects.Get(context.Background(), r.key(e), objstore.Range{})
		if err != nil {
			r.t.Fatal(err)
		}
		for rest := o.Body[bundle.HeaderLen:e.Size]; len(rest) > 0; {
			var b recordbatch.Batch
			if b, rest, err = recordbatch.Next(rest); err != nil {
				r.t.Fatal(err)
			}
			for rec, err := range b.Iterate(1 << 20) {
				if err != nil {
					r.t.Fatal(err)
				}
				if rec.Offset >= from && rec.Offset < to && string(rec.Value) == fmt.Sprint("record ", rec.Offset) {
					all = append(all, rec.Offset)
				}
			}
		}
	}
	return all
}

// The extent that begins last is not always the one that ends last: what lies behind its end is not given back to the tail of an older snapshot, whose
// pack may be gone.
func TestAnOverlapThatEndsBeforeTheLog(t *testing.T) {
	r := newRig(t)
	r.forget(r.extents...)
	r.drop(r.cluster.ExtentKey(r.topic.ID, 0, 10))
	x := r.merged(0, 0, 30)
	r.item(r.cluster.ExtentKey(r.topic.ID, 0, 0), x.Item())
	r.extents = []records.Extent{x}
	r.partition(0, 0, 30)
	r.drop(r.cluster.PackKey(r.pack))
	r.lose(r.keys.Pack(r.pack))
	r.clean()
	r.item(r.cluster.ExtentKey(r.topic.ID, 0, 20), r.segment(0, 20, 25).Item())
	for _, f := range r.check(true) {
		if f.Class == ExtentOverlap {
			r.fix(f)
		}
	}
	p := decoded(r, r.cluster.PartitionKey(r.topic.ID, 0), records.DecodePartition)
	if got := r.records(0, 30); len(got) != 30 || p.Tiered != 30 || p.Extents != 1 {
		t.Errorf("%d records, extents reach to %d, %d of them", len(got), p.Tiered, p.Extents)
	}
}
