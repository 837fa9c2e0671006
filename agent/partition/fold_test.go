package partition

import (
	"reflect"
	"testing"

	"github.com/varvelog/varve/objstore/bundle"
)

func all(uint16) bool { return true }

func anyEpoch(uint16, int32) bool { return true }

// A snapshot holds what is committed, never what is only appended (R22; mutant: a snapshot taken from live memory). The retry of
// a batch that was appended and not committed is a first send for the next leader.
func TestSnapshotIsTheCommittedState(t *testing.T) {
	r := newRig(t, 3)
	p := r.partition(0, 3)
	pr := &producer{id: 7}
	r.mustSend(p, pr.batch(t, 2), 1)
	r.commit(1)
	uncommitted := pr.batch(t, 2)
	r.mustSend(p, uncommitted, 2)

	f := r.set.Capture().Footer()
	if len(f.Partitions) != 1 || f.Partitions[0].LogEnd != 2 {
		t.Fatalf("snapshot of %+v", f.Partitions)
	}
	if len(f.Producers) != 1 || len(f.Producers[0].Last) != 1 || f.Producers[0].Last[0].LastSeq != 1 {
		t.Fatalf("producers %+v", f.Producers)
	}
	next := newRig(t)
	fold := next.set.NewFold()
	if err := fold.Snapshot(f, all); err != nil {
		t.Fatal(err)
	}
	next.open(fold, map[uint16]int32{3: 2})
	q := next.partition(0, 3)
	if got := next.mustSend(q, uncommitted, 1); got.Base != 2 || !got.Pending || len(next.queued) != 1 {
		t.Fatalf("the retry was taken for a duplicate: %+v", got)
	}
}

// Snapshot + footers after it, and footers alone, give the same state, through the format and back.
func TestReplayGivesTheSameState(t *testing.T) {
	r := newRig(t, 3, 5)
	pr := &producer{id: 7}
	var snap *bundle.Footer
	snapAt := 0
	for i := range 30 {
		p := r.partition(int32(i%3), 3)
		r.mustSend(p, pr.batch(t, 1+i%4), 0)
		r.mustSend(r.partition(9, 5), pr.batch(t, 1), 0)
		clear(r.answers)
		r.commit(1)
		clear(r.answers)
		r.commit(1)
		if i == 17 {
			snap, snapAt = r.set.Capture().Footer(), len(r.footers)
		}
		pr.seq, pr.id = 0, pr.id+1
	}
	want := r.set.Capture().Footer()
	footersOnly, both := r.set.NewFold(), r.set.NewFold()
	if err := both.Snapshot(throughFormat(t, snap), all); err != nil {
		t.Fatal(err)
	}
	for i, ft := range r.footers {
		for _, f := range []*Fold{footersOnly, both} {
			if f == both && i < snapAt {
				continue
			}
			if err := f.Apply(r.object(uint64(i+1)), ft, anyEpoch, now); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, f := range map[string]*Fold{"footers": footersOnly, "snapshot and footers": both} {
		next := newRig(t)
		next.set.objects = r.set.objects
		next.set.Begin(f, map[uint16]int32{3: 1, 5: 1})
		got := next.set.CaptureOpening(map[uint16]int32{3: 1, 5: 1}).Footer()
		for _, ft := range []*bundle.Footer{want, got} {
			for i := range ft.Producers {
				ft.Producers[i].LastTimestamp = 0
			}
			for i := range ft.Runs {
				ft.Runs[i].LeaderEpoch = 1 // of footers alone the first epoch is that of the runs
			}
		}
		got.Epochs = want.Epochs
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got\n%+v\nwant\n%+v", name, got, want)
		}
	}
}

func throughFormat(t *testing.T, f *bundle.Footer) *bundle.Footer {
	t.Helper()
	out := bundle.AppendFooter(bundle.AppendHeader(nil, bundle.Header{Kind: bundle.SNAP}), bundle.SNAP, f)
	got, _, err := bundle.ParseTail(out, int64(len(out)))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// Only the wanted slots are taken over, and a dropped topic is gone.
func TestFoldTakesWantedSlots(t *testing.T) {
	r := newRig(t, 3, 5)
	var none *producer
	r.mustSend(r.partition(0, 3), none.batch(t, 1), 1)
	r.mustSend(r.partition(1, 5), none.batch(t, 1), 2)
	r.commit(2)
	f := r.set.NewFold()
	want := func(slot uint16) bool { return slot == 5 }
	if err := f.Snapshot(r.set.Capture().Footer(), want); err != nil {
		t.Fatal(err)
	}
	if len(f.logs[3]) != 0 || len(f.logs[5]) != 1 {
		t.Fatalf("took over %v", f.logs)
	}
	f.Drop(topicID)
	if len(f.logs[5]) != 0 || len(f.Topics()) != 0 {
		t.Fatal("a dropped topic is still there")
	}
}

// A footer that does not continue the log is an error that says where, unless the topic is deleted: a snapshot of after the
// deletion knows nothing of it, and what was under way then is committed after the snapshot.
func TestFoldRefusesAHole(t *testing.T) {
	r := newRig(t, 3)
	f := r.set.NewFold()
	ft := &bundle.Footer{Topics: []bundle.Topic{{ID: topicID, Name: "t"}}, Runs: []bundle.Run{{Slot: 3, Base: 5, Next: 6}}}
	if err := f.Apply(r.object(1), ft, anyEpoch, now); err != nil {
		t.Fatal(err)
	}
	wantErr(t, f.Check(), bundle.ErrCorrupt)
	f.Drop(topicID)
	if err := f.Check(); err != nil {
		t.Fatal(err)
	}
}

// A run that a snapshot claims to hold itself, which the format allows, is an error and no panic.
func TestFoldRefusesRunsInASnapshot(t *testing.T) {
	s := &bundle.Footer{
		Slots: []bundle.Slot{{Slot: 3, Runs: 1}}, Topics: []bundle.Topic{{ID: topicID, Name: "t"}},
		Runs: []bundle.Run{{Slot: 3, Next: 1}}, Refs: []bundle.Ref{{Object: bundle.Here}},
	}
	wantErr(t, NewSet(nil).NewFold().Snapshot(s, all), bundle.ErrCorrupt)
}

// Each slot-open adds an epoch at the log's end; one without records gives way to the next.
func TestEpochsOfSlotOpens(t *testing.T) {
	r := newRig(t, 3)
	var none *producer
	r.mustSend(r.partition(0, 3), none.batch(t, 4), 1)
	r.commit(1)
	for epoch := int32(2); epoch < 5; epoch++ {
		next := newRig(t)
		f := next.set.NewFold()
		if err := f.Snapshot(r.set.Capture().Footer(), all); err != nil {
			t.Fatal(err)
		}
		next.open(f, map[uint16]int32{3: epoch})
		r = next
	}
	p := r.partition(0, 3)
	if e, o := p.EndOfEpoch(1); e != 1 || o != 4 {
		t.Fatalf("epoch 1 ends at (%d, %d)", e, o)
	}
	if e, o := p.EndOfEpoch(3); e != 1 || o != 4 {
		t.Fatalf("epoch 3, which wrote nothing: (%d, %d)", e, o)
	}
	if e, o := p.EndOfEpoch(4); e != 4 || o != 4 {
		t.Fatalf("epoch 4: (%d, %d)", e, o)
	}
}

func TestLocateByTime(t *testing.T) {
	r := newRig(t, 3)
	p := r.partition(0, 3)
	var none *producer
	for i := range 5 {
		r.mustSend(p, none.batch(t, 1+i), i)
		r.commit(1)
	}
	if loc, ok := p.LocateTime(1003); !ok || loc.Base != 6 {
		t.Fatalf("%+v %v", loc, ok)
	}
	if _, ok := p.LocateTime(1005); ok {
		t.Fatal("found a record later than all")
	}
	if loc, ok := p.LocateMaxTime(); !ok || loc.Base != 10 {
		t.Fatalf("%+v %v", loc, ok)
	}
}

// Runs and operations under another epoch than the wanted one are not applied: a session may have led the slot before.
func TestFoldTakesTheWantedEpoch(t *testing.T) {
	r := newRig(t)
	f := r.set.NewFold()
	ft := func(epoch int32, base int64) *bundle.Footer {
		return &bundle.Footer{
			Topics: []bundle.Topic{{ID: topicID, Name: "t"}},
			Ops:    []bundle.Op{{Kind: bundle.OpSlotOpen, Slot: 3, Epoch: epoch}, {Kind: bundle.OpLogStart, Slot: 3, Epoch: epoch, Offset: base}},
			Runs:   []bundle.Run{{Slot: 3, LeaderEpoch: epoch, Base: base, Next: base + 5, Pos: 64, Len: 70}},
		}
	}
	five := func(slot uint16, epoch int32) bool { return slot == 3 && epoch == 5 }
	for i, x := range []*bundle.Footer{ft(5, 0), ft(3, 5), ft(4, 0), ft(5, 5)} {
		if err := f.Apply(r.object(uint64(i+1)), x, five, now); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Check(); err != nil {
		t.Fatal(err)
	}
	if l := f.logs[3][ID{topicID, 0}]; l.start != 5 || l.end != 10 || len(l.tail.runs) != 1 || len(l.epochs) != 1 {
		t.Fatalf("%+v", l)
	}
}
