package partition

import (
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/varvelog/varve/objstore/bundle"
)

// wantSource checks from which bundle on slot needs this session's WAL; 0: not at all.
func (r *rig) wantSource(slot uint16, low uint64) {
	r.t.Helper()
	got := r.set.Sources(slot)
	if low == 0 && len(got) > 0 || low > 0 && (len(got) != 1 || got[0] != Source{session, low}) {
		r.t.Fatalf("slot %d needs %+v, want bundle %d on", slot, got, low)
	}
	r.wantNeeded(low)
}

func (r *rig) wantNeeded(low uint64) {
	r.t.Helper()
	if got, ok := r.set.Needed(session); got != low || ok != (low > 0) {
		r.t.Fatalf("bundle %d on is needed (%v), want %d", got, ok, low)
	}
}

// A run that was packed stays needed until a snapshot without it is recorded. One that was only taken, or written, is not enough: its
// name may never come to stand in the session item.
func TestPackedRunsAreNeededUntilASnapshotIsRecorded(t *testing.T) {
	r := newRig(t, 3)
	p := r.partition(0, 3)
	r.fill(p, 4) // bundles 2 to 5
	first := r.set.Capture()
	first.Footer()
	r.set.Recorded(first)
	r.replace(p, 1, 0, 3)
	r.wantSource(3, 2)
	second := r.set.Capture()
	second.Footer()
	r.wantSource(3, 2) // taken, not recorded
	p.Tiered(8)
	r.wantSource(3, 2)
	r.set.Recorded(second)
	r.wantSource(3, 5) // what the second names, though no log does any more
	third := r.set.Capture()
	r.set.Recorded(third)
	r.wantSource(3, 0)
}

// A snapshot that was taken counts at once, recorded or not: a write whose answer never came may name it. A later one that is
// recorded ends that.
func TestSnapshotOfUnknownOutcomeCounts(t *testing.T) {
	r := newRig(t, 3)
	p := r.partition(0, 3)
	empty := r.set.Capture()
	r.set.Recorded(empty)
	r.fill(p, 2)
	unknown := r.set.Capture()
	r.replace(p, 1, 0, 2)
	r.wantSource(3, 2)
	later := r.set.Capture()
	r.wantSource(3, 2)
	r.set.Recorded(later)
	r.wantSource(3, 0)
	r.set.Recorded(unknown) // late news take nothing back
	r.wantSource(3, 0)
}

// However many snapshots fail, what they name counts.
func TestManySnapshotsOfUnknownOutcome(t *testing.T) {
	r := newRig(t, 3)
	p := r.partition(0, 3)
	r.fill(p, 1)
	for i := range 5 * laterKept {
		r.set.Capture()
		r.fill(p, 1)
		if n := p.Runs(nil, 0, 100); len(n) > 1 {
			r.replace(p, byte(i), 0, len(n)-1)
		}
		r.wantSource(3, 2)
		if n := len(r.set.durable.later); n > laterKept {
			t.Fatalf("%d snapshots are told apart", n)
		}
	}
	r.set.Recorded(r.set.Capture())
	r.wantSource(3, 42)
}

// takeOver opens the slots of a's last state at b, under epoch, through a snapshot that its slot-open names.
func takeOver(t *testing.T, a, b *rig, epochs map[uint16]int32) {
	t.Helper()
	fold := b.set.NewFold()
	if err := fold.Snapshot(throughFormat(t, a.set.Capture().Footer()), func(slot uint16) bool { _, ok := epochs[slot]; return ok }); err != nil {
		t.Fatal(err)
	}
	if err := b.set.Begin(fold, epochs); err != nil {
		t.Fatal(err)
	}
	b.set.CaptureOpening(epochs).Footer()
	ft := &bundle.Footer{}
	for slot, epoch := range epochs {
		ft.Ops = append(ft.Ops, bundle.Op{Kind: bundle.OpSlotOpen, Slot: slot, Epoch: epoch})
	}
	b.apply(ft)
}

// A slot that was opened after the last recorded snapshot is opened again from its opening snapshot, until a recorded one holds it
// under its epoch.
func TestOpeningSnapshotCounts(t *testing.T) {
	a := newRig(t, 3)
	a.fill(a.partition(0, 3), 2)
	b := newRig(t, 4)
	before := b.set.Capture() // knows nothing of slot 3
	takeOver(t, a, b, map[uint16]int32{3: 2})
	p := b.partition(0, 3)
	b.replace(p, 1, 0, 2)
	b.wantSource(3, 2)
	b.set.Recorded(before)
	b.wantSource(3, 2)
	b.set.Recorded(b.set.Capture())
	b.wantSource(3, 0)
	if n := len(b.set.durable.opened); n != 0 {
		t.Fatalf("%d openings are kept", n)
	}
}

// An opening that came to nothing does not count for ever.
func TestOpeningThatFailed(t *testing.T) {
	a := newRig(t, 3)
	a.fill(a.partition(0, 3), 2)
	b := newRig(t, 4)
	fold := b.set.NewFold()
	if err := fold.Snapshot(a.set.Capture().Footer(), all); err != nil {
		t.Fatal(err)
	}
	if err := b.set.Begin(fold, map[uint16]int32{3: 2}); err != nil {
		t.Fatal(err)
	}
	b.set.CaptureOpening(map[uint16]int32{3: 2})
	b.set.Recorded(b.set.Capture())
	b.wantNeeded(2)
	b.set.Leave(3, 2)
	b.set.Recorded(b.set.Capture())
	b.wantNeeded(0)
}

// A slot that was left is frozen, with what was needed when it was left, until Forget; snapshots name it as it was.
func TestFrozenSlotIsNeeded(t *testing.T) {
	r := newRig(t, 3, 4)
	p := r.partition(0, 3)
	r.fill(p, 3)
	r.set.Recorded(r.set.Capture())
	r.replace(p, 1, 0, 2)
	if err := r.set.Drain(3, 1); err != nil {
		t.Fatal(err)
	}
	if got := r.set.Sources(3); len(got) != 1 || got[0].Low != 2 {
		t.Fatalf("a pin at %+v would lose what the recorded snapshot names", got)
	}
	r.set.Leave(3, 1)
	r.wantNeeded(2) // the recorded snapshot, from which the next leader opens
	r.set.Recorded(r.set.Capture())
	r.wantNeeded(4) // frozen
	r.set.Recorded(r.set.Capture())
	r.wantNeeded(4)
	r.set.Forget(3, 1)
	r.wantNeeded(4) // the snapshot still names it
	r.set.Recorded(r.set.Capture())
	r.wantNeeded(0)
}

// A slot that comes back is named under both epochs until a snapshot holds the new one.
func TestSlotThatCameBackIsNeeded(t *testing.T) {
	a := newRig(t, 3)
	a.fill(a.partition(0, 3), 2)
	a.set.Recorded(a.set.Capture())
	a.set.Leave(3, 1)
	b := newRig(t)
	takeOver(t, a, b, map[uint16]int32{3: 2})
	takeOver(t, b, a, map[uint16]int32{3: 3})
	p := a.partition(0, 3)
	a.replace(p, 1, 0, 2)
	a.wantSource(3, 2)
	a.set.Recorded(a.set.Capture())
	a.wantSource(3, 0)
}

// What leaves a log while a snapshot is being taken is in the log or in the snapshot, for whoever looks (mutant: Capture says
// what it took when it is done).
func TestNothingIsMissedWhileASnapshotIsTaken(t *testing.T) {
	r := newRig(t, 3, 4)
	p := r.partition(0, 3)
	for i := range 200 {
		r.fill(p, 1)
		low := r.seq
		snap := make(chan *Snapshot)
		var wg sync.WaitGroup
		wg.Go(func() { snap <- r.set.Capture() })
		wg.Go(func() {
			n := len(p.Runs(nil, 0, 1000))
			r.replace(p, byte(i), n-1, n)
			got := r.set.Sources(3)
			taken := <-snap
			names := taken.claim.settle()[3].needs[session] == low
			if named := slices.Contains(got, Source{session, low}); names && !named {
				t.Errorf("the snapshot names bundle %d, the sources are %+v", low, got)
			}
			r.set.Recorded(taken)
		})
		wg.Wait()
		r.set.Recorded(r.set.Capture())
		if t.Failed() {
			return
		}
	}
}

// Who holds a partition that is not led any more still learns where it lay, after the set has forgotten.
func TestClosedPartitionKeepsItsObjects(t *testing.T) {
	r := newRig(t, 3, 4)
	p := r.partition(0, 3)
	r.fill(p, 2*chunkLen)
	want := p.Runs(nil, 0, 1000)
	r.set.Leave(3, 1)
	r.set.Forget(3, 1)
	r.set.Recorded(r.set.Capture())
	if n := len(r.set.objects.index); n > 2*chunkLen {
		t.Fatalf("%d objects are known", n)
	}
	r.fill(r.partition(1, 4), 2*chunkLen) // the numbers come again
	if got := p.Runs(nil, 0, 1000); !reflect.DeepEqual(got, want) {
		t.Fatal("the runs of a closed partition lie elsewhere now")
	}
}
