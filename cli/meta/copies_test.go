package meta

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// body returns the bytes of the only run of an object.
func (r *rig) body(key string) []byte {
	r.t.Helper()
	o, err := r.objects.Get(context.Background(), key, objstore.Range{})
	if err != nil {
		r.t.Fatal(err)
	}
	f, _, err := bundle.ParseTail(o.Body, o.Size)
	if err != nil || len(f.Runs) != 1 {
		r.t.Fatal(key, err)
	}
	return bytes.Clone(o.Body[f.Runs[0].Pos : f.Runs[0].Pos+uint64(f.Runs[0].Len)])
}

// mergedPack writes a pack with one run of partition 0 that holds batches, from offset base to next.
func (r *rig) mergedPack(base, next int64, batches []byte) (id uuid.UUID, end uint64) {
	r.t.Helper()
	id = uuid.New()
	out := bundle.AppendHeader(nil, bundle.Header{Kind: bundle.PACK, Cluster: r.id, Session: r.a})
	run := bundle.Run{Slot: 1, LeaderEpoch: 3, Base: base, Next: next, Pos: bundle.HeaderLen, Len: uint32(len(batches))}
	f := &bundle.Footer{Topics: []bundle.Topic{{ID: r.topic.ID, Name: "t"}}}
	if err := indexRun(f, &run, batches); err != nil {
		r.t.Fatal(err)
	}
	f.Runs = []bundle.Run{run}
	out = append(out, batches...)
	end = uint64(len(out))
	r.object(r.keys.Pack(id), bundle.AppendFooter(out, bundle.PACK, f))
	r.item(r.cluster.PackKey(id), records.Pack{ID: id, Session: r.a, Live: 1, Runs: 1, Nonce: uuid.New()}.Item())
	return id, end
}

// The newest snapshot is lost. The one before names a pack and a bundle that went since, because a merge of packs has taken their place: what they
// held is found there again, and is not filled with nothing; and the merged pack stays until then.
func TestMendedFromAMergedPack(t *testing.T) {
	r := newRig(t)
	r.older(4)
	packed, flushed := r.body(r.keys.Pack(r.pack)), r.body(r.keys.WAL(r.a, 4))
	id, end := r.mergedPack(20, 40, append(bytes.Clone(packed), flushed...))
	key := r.keys.Snapshot(r.a, 5, r.snap)
	f, _, _, err := r.tool().readFooter(context.Background(), key)
	if err != nil {
		t.Fatal(err)
	}
	f.Objects[0] = bundle.Object{Kind: bundle.PACK, Session: id, Size: end}
	f.Objects[1], f.Objects = f.Objects[2], f.Objects[:2]
	f.Runs[0].Next, f.Runs[0].Len = 40, uint32(len(packed)+len(flushed))
	f.Runs[0].Pos = bundle.HeaderLen
	f.Runs[1], f.Runs, f.Refs = f.Runs[2], f.Runs[:2], f.Refs[:2]
	f.Slots[1].Runs, f.Slots[2].FirstRun, f.Slots[3].FirstRun = 1, 1, 2
	r.snapshot(key, r.a, 5, f)
	r.lose(r.keys.Pack(r.pack))
	r.drop(r.cluster.PackKey(r.pack))
	for seq := uint64(2); seq <= 4; seq++ {
		r.lose(r.keys.WAL(r.a, seq))
	}
	r.set(r.cluster.SessionKey(r.a), records.AttrTrim, metastore.N(5))
	r.clean()
	r.lose(key)
	for round := 0; ; round++ {
		found := r.check(false)
		if len(found) == 0 {
			break
		}
		if round == 9 {
			t.Fatalf("no end: %+v", found)
		}
		for _, n := range found {
			if round < 2 && len(n.Fix) == 3 {
				t.Errorf("round %d: %s %s: %s: it is called needless while something is missing", round, n.Class, n.Where, n.What)
			}
		}
		r.fix(found[0])
	}
	r.clean()
	if got := r.body(r.keys.Pack(r.pack)); !bytes.Equal(got, packed) {
		t.Error("the pack's records are lost")
	}
	if got := r.body(r.keys.WAL(r.a, 4)); !bytes.Equal(got, flushed) {
		t.Error("the bundle's records are lost")
	}
}

// What is sound is not mended, whatever the caller says: it would be lost.
func TestSoundObjectsAreLeftAlone(t *testing.T) {
	r := newRig(t)
	for _, key := range []string{
		r.keys.WAL(r.a, 4), r.keys.Pack(r.pack), r.keys.Snapshot(r.a, 5, r.snap), r.keys.Segment(r.topic.ID, 0, 10, r.extents[1].Segment),
	} {
		if did, err := r.tool().Repair(context.Background(), Damaged, key); !errors.Is(err, ErrSound) {
			t.Errorf("%s: %q, %v", key, did, err)
		}
	}
	r.clean()
}

// A pack of which a run is damaged keeps the others, also those that no snapshot names yet: its writer knows them.
func TestMendedPackKeepsWhatOnlyItsWriterKnows(t *testing.T) {
	r := newRig(t)
	id := r.pack
	r.write(r.keys.Pack(id), bundle.Header{Kind: bundle.PACK, Session: r.a}, []bundle.Run{{Slot: 1, Base: 20, Next: 30}, {Partition: 1, Slot: 2, Base: 10, Next: 20}})
	r.spoil(r.keys.Pack(id), bundle.HeaderLen+70)
	if _, err := r.tool().Repair(context.Background(), Damaged, r.keys.Pack(id)); err != nil {
		t.Fatal(err)
	}
	o, err := r.objects.Get(context.Background(), r.keys.Pack(id), objstore.Range{})
	if err != nil {
		t.Fatal(err)
	}
	v, err := bundle.Verify(o.Body)
	if err != nil || len(v.Footer.Runs) != 2 || v.Footer.Runs[1].Base != 10 {
		t.Fatal(err, v.Footer)
	}
	kept := v.Footer.Runs[1]
	if err := indexRun(&bundle.Footer{Topics: v.Footer.Topics}, &kept, o.Body[kept.Pos:kept.Pos+uint64(kept.Len)]); err != nil {
		t.Error(err)
	}
}
