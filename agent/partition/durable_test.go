package partition

import (
	"reflect"
	"testing"
	"time"

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

// That one is recorded says nothing of those taken after it.
func TestRecordedBeforeALaterOneOfUnknownOutcome(t *testing.T) {
	r := newRig(t, 3)
	p := r.partition(0, 3)
	first := r.set.Capture()
	r.fill(p, 2)
	r.set.Capture()
	r.replace(p, 1, 0, 2)
	r.set.Recorded(first)
	r.wantSource(3, 2)
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

// A snapshot that holds a slot under an older epoch is not one that it can be opened from.
func TestOpeningOfANewEpochCounts(t *testing.T) {
	a := newRig(t, 3)
	a.fill(a.partition(0, 3), 2)
	a.replace(a.partition(0, 3), 1, 0, 2)
	a.set.Leave(3, 1)
	b := newRig(t)
	takeOver(t, a, b, map[uint16]int32{3: 2})
	b.fill(b.partition(0, 3), 1)
	old := a.set.Capture() // slot 3 as it was under epoch 1
	takeOver(t, b, a, map[uint16]int32{3: 3})
	low := b.seq
	a.wantSource(3, low)
	a.replace(a.partition(0, 3), 2, 1, 2)
	a.set.Recorded(old)
	a.wantSource(3, low)
	a.set.Recorded(a.set.Capture())
	a.wantSource(3, 0)
}

// A slot that was left counts though no snapshot was taken since.
func TestFrozenSlotThatNoSnapshotNames(t *testing.T) {
	r := newRig(t, 3)
	r.fill(r.partition(0, 3), 1)
	r.set.Leave(3, 1)
	r.wantNeeded(2)
	r.set.Forget(3, 1)
	r.wantNeeded(0)
}

// What leaves a log while a snapshot is being taken is in the log or in the snapshot, for whoever looks (mutant: Capture says
// what it took when it is done).
func TestNothingIsMissedWhileASnapshotIsTaken(t *testing.T) {
	r := newRig(t, 3, 4)
	p, q := r.partition(0, 3), r.partition(1, 4)
	for try := 0; ; try++ {
		r.fill(p, 1)
		q.mu.Lock() // holds the capture up, before or after it took slot 3
		snap := make(chan *Snapshot, 1)
		go func() { snap <- r.set.Capture() }()
		if !waitFor(func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.mu.log.shared }) {
			q.mu.Unlock()
			if r.set.Recorded(<-snap); try == 100 {
				t.Fatal("slot 3 is never taken first")
			}
			continue
		}
		n := len(p.Runs(nil, 0, 1000))
		r.replace(p, byte(try), 0, n)
		got := make(chan []Source, 1)
		go func() { got <- r.set.Sources(3) }()
		waitFor(func() bool { return len(got) > 0 }) // it may not know yet
		q.mu.Unlock()
		if s := <-got; len(s) != 1 || s[0].Low != 2 {
			t.Fatalf("the snapshot names bundle 2, the sources are %+v", s)
		}
		<-snap
		return
	}
}

// waitFor gives other goroutines a moment to make done true.
func waitFor(done func() bool) bool {
	for range 20 {
		if done() {
			return true
		}
		time.Sleep(time.Millisecond)
	}
	return false
}

// Who holds a partition that is not led any more still learns where it lay, after the set has forgotten.
func TestClosedPartitionKeepsItsObjects(t *testing.T) {
	r := newRig(t, 3, 4)
	p := r.partition(0, 3)
	r.fill(p, 2*chunkLen)
	want := p.Runs(nil, 0, 1000)
	r.set.Leave(3, 1)
	r.set.Recorded(r.set.Capture())
	if f := r.set.Capture().Footer(); len(f.Runs) != 2*chunkLen || f.Objects[chunkLen].Seq != want[chunkLen].Object.Seq {
		t.Fatalf("a frozen log lies elsewhere now: %+v", f.Objects)
	}
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

// Rewritten tells of what waits for a snapshot, until one is taken.
func TestRewritten(t *testing.T) {
	r := newRig(t, 3)
	p := r.partition(0, 3)
	r.fill(p, 2)
	want := func(q *Partition) {
		t.Helper()
		if got := r.set.Rewritten(); got != q {
			t.Fatalf("%p, want %p", got, q)
		}
	}
	want(nil)
	p.Tiered(0)
	want(nil)
	r.replace(p, 1, 0, 2)
	want(p)
	r.set.Capture()
	want(nil)
	p.Tiered(4)
	want(p)
	r.set.Capture()
	want(nil)
}

// A partition that left tells of it through another one: or else nothing would be let go of while nobody writes.
func TestRewrittenAndLeft(t *testing.T) {
	r := newRig(t, 3, 4)
	p, q := r.partition(0, 3), r.partition(1, 4)
	r.fill(p, 2)
	r.fill(q, 2)
	p.Tiered(p.Runs(nil, 0, 1)[0].Next)
	r.set.Leave(3, 1)
	if got := r.set.Rewritten(); got != q {
		t.Fatalf("%p instead of %p", got, q)
	}
	r.set.Capture()
	if got := r.set.Rewritten(); got != nil {
		t.Fatal("something waits after a snapshot")
	}
}
