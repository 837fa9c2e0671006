package partition

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/objstore/bundle"
)

// held returns the end of each partition of a slot in a snapshot, and the epoch under which the slot is there, -1 if it is not.
func held(f *bundle.Footer, slot uint16) (epoch int32, ends map[int32]int64) {
	epoch, ends = -1, map[int32]int64{}
	for _, s := range f.Slots {
		if s.Slot == slot {
			epoch = s.Epoch
		}
	}
	for _, p := range f.Partitions {
		if p.Slot == slot {
			ends[p.Partition] = p.LogEnd
		}
	}
	return epoch, ends
}

func (r *rig) wantHeld(slot uint16, epoch int32, end int64) {
	r.t.Helper()
	f := r.set.Capture().Footer()
	if err := f.Check(bundle.SNAP, bundle.HeaderLen); err != nil {
		r.t.Fatal(err)
	}
	if e, ends := held(f, slot); e != epoch || ends[0] != end {
		r.t.Fatalf("the snapshot has slot %d under epoch %d with end %d; want %d, %d", slot, e, ends[0], epoch, end)
	}
}

// send1 appends one batch of n records to partition 0 and commits it.
func (r *rig) send1(slot uint16, n int) {
	r.t.Helper()
	var none *producer
	r.mustSend(r.partition(0, slot), none.batch(r.t, n), 1000+len(r.footers))
	r.commit(len(r.queued))
}

// A draining slot accepts nothing, not even a retry or a log start, and is read as before (mutant: a drain that still accepts).
func TestDrain(t *testing.T) {
	r := newRig(t, 3, 4)
	p := r.partition(0, 3)
	pr := &producer{id: 7}
	first, next := pr.batch(t, 2), pr.batch(t, 2)
	r.mustSend(p, first, 1)
	wantErr(t, r.set.Drain(3, 2), ErrNotLeader)
	wantErr(t, r.set.Drain(9, 1), ErrNotLeader)
	for range 2 {
		if err := r.set.Drain(3, 1); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range [][]byte{next, first} {
		_, err := r.send(p, b, 2)
		wantErr(t, err, ErrDraining)
	}
	_, err := r.send(r.partition(8, 3), next, 3) // made after the drain began
	wantErr(t, err, ErrDraining)
	wantErr(t, p.Queue(func() { t.Error("an operation was queued") }), ErrDraining)
	r.mustSend(r.partition(1, 4), (&producer{id: 8}).batch(t, 1), 4) // another slot
	r.commit(2)                                                      // what came before is committed
	r.wantState(p, 2, 2)
	if locs := p.Locate(nil, 0, 9); len(locs) != 1 {
		t.Fatalf("located %+v", locs)
	}
	r.set.Resume(3, 2) // of another epoch: nothing
	_, err = r.send(p, next, 5)
	wantErr(t, err, ErrDraining)
	r.set.Resume(3, 1)
	if got := r.mustSend(p, next, 6); got.Base != 2 || !got.Pending {
		t.Fatalf("after the resume: %+v", got)
	}
	queued := false
	if err := p.Queue(func() { queued = true }); err != nil || !queued {
		t.Fatalf("after the resume: %v", err)
	}
}

// A slot that is being opened is not handed over.
func TestDrainOfAnOpeningSlot(t *testing.T) {
	r := newRig(t)
	r.set.Begin(r.set.NewFold(), map[uint16]int32{3: 2})
	wantErr(t, r.set.Drain(3, 2), ErrLoading)
}

// hook is an Appender that a test may stop inside.
type hook func(Entry)

func (h hook) Append(e Entry) { h(e) }

// Drain does not return while an append is on its way to the WAL: the barrier after it would miss it.
func TestDrainWaitsForAnAppendUnderWay(t *testing.T) {
	var set *Set
	var queued atomic.Bool
	drained := make(chan bool, 1)
	set = NewSet(hook(func(Entry) {
		go func() {
			if err := set.Drain(3, 1); err != nil {
				t.Error(err)
			}
			drained <- queued.Load()
		}()
		for !set.mu.slots[3].draining.Load() {
			runtime.Gosched()
		}
		time.Sleep(10 * time.Millisecond) // time to return too early
		queued.Store(true)
	}))
	r := &rig{t: t, answers: map[int]error{}, set: set}
	r.open(set.NewFold(), map[uint16]int32{3: 1})
	r.mustSend(r.partition(0, 3), (*producer)(nil).batch(t, 1), 1)
	if !<-drained {
		t.Fatal("Drain returned before the append was queued")
	}
}

// Appends race with a drain: none is queued after it returned, on partitions old and new.
func TestDrainUnderLoad(t *testing.T) {
	for range 20 {
		var drained atomic.Bool
		var late atomic.Int32
		set := NewSet(hook(func(Entry) {
			if drained.Load() {
				late.Add(1)
			}
		}))
		r := &rig{t: t, answers: map[int]error{}, set: set}
		r.open(set.NewFold(), map[uint16]int32{3: 1})
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for g := range int32(4) {
			b := (*producer)(nil).batch(t, 1)
			wg.Go(func() {
				for i := g * 1000; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					p, err := set.Get(ID{topicID, i % 50}, "t", 3)
					if err == nil {
						_, err = r.send(p, b, 0)
					}
					if err != nil && err != ErrDraining {
						t.Error(err)
						return
					}
				}
			})
		}
		time.Sleep(time.Millisecond)
		if err := set.Drain(3, 1); err != nil {
			t.Error(err)
		}
		drained.Store(true)
		time.Sleep(time.Millisecond)
		close(stop)
		wg.Wait()
		if n := late.Load(); n > 0 {
			t.Fatalf("%d batches were queued after Drain returned", n)
		}
	}
}

// A slot that was left serves nobody and stays in snapshots as it was, until it is forgotten (mutant: a frozen slot is not
// in the snapshot).
func TestLeaveFreezes(t *testing.T) {
	r := newRig(t, 3, 4)
	r.send1(3, 5)
	p := r.partition(0, 3)
	w := NewWaiter()
	p.Watch(w)
	<-w.C
	if err := r.set.Drain(3, 1); err != nil {
		t.Fatal(err)
	}
	r.set.Leave(3, 2) // another epoch: nothing
	r.wantState(p, 5, 5)
	r.set.Leave(3, 1)
	<-w.C
	_, err := p.State()
	wantErr(t, err, ErrNotLeader)
	_, err = r.send(p, (*producer)(nil).batch(t, 1), 9)
	wantErr(t, err, ErrNotLeader)
	_, err = r.set.Get(p.id, "t", 3)
	wantErr(t, err, ErrNotLeader)
	wantErr(t, r.set.Drain(3, 1), ErrNotLeader)
	if n := r.set.Bytes(p.id); n != 0 || len(r.set.Loads()) != 1 || len(r.set.Sources(3)) != 0 {
		t.Error("a slot that was left still counts")
	}
	r.wantHeld(3, 1, 5)
	r.send1(4, 1)
	r.wantHeld(3, 1, 5)
	r.set.Forget(3, 2)
	r.wantHeld(3, 1, 5)
	r.set.Forget(3, 1)
	r.wantHeld(3, -1, 0)
}

// A slot left empty is in snapshots too: that it is there under its epoch is what a replay looks for.
func TestLeaveOfAnEmptySlot(t *testing.T) {
	r := newRig(t, 3)
	r.partition(0, 3)
	r.set.Leave(3, 1)
	r.wantHeld(3, 1, 0)
}

// R20: a slot goes A(e3) -> B(e4) -> A(e5). Until the slot-open of e5 is committed the snapshots of A have it as it was at e3,
// then as it is.
func TestSlotComesBack(t *testing.T) {
	a := newRig(t)
	a.open(a.set.NewFold(), map[uint16]int32{3: 3})
	a.send1(3, 5)
	a.set.Leave(3, 3)
	b := newRig(t)
	fold := b.set.NewFold()
	if err := fold.Snapshot(throughFormat(t, a.set.Capture().Footer()), all); err != nil {
		t.Fatal(err)
	}
	b.open(fold, map[uint16]int32{3: 4})
	b.send1(3, 7)
	b.set.Leave(3, 4)

	fold = a.set.NewFold()
	if err := fold.Snapshot(throughFormat(t, b.set.Capture().Footer()), all); err != nil {
		t.Fatal(err)
	}
	a.set.Begin(fold, map[uint16]int32{3: 5})
	a.wantHeld(3, 3, 5)
	if e, ends := held(a.set.CaptureOpening(map[uint16]int32{3: 5}).Footer(), 3); e != 5 || ends[0] != 12 {
		t.Fatalf("the snapshot to open with: epoch %d, %v", e, ends)
	}
	for _, other := range []map[uint16]int32{{3: 4}, {4: 5}, nil} {
		if f := a.set.CaptureOpening(other).Footer(); len(f.Slots) != 0 {
			t.Fatalf("asked for %v: %+v", other, f.Slots)
		}
	}
	a.apply(&bundle.Footer{Ops: []bundle.Op{{Kind: bundle.OpSlotOpen, Slot: 3, Epoch: 3}}}) // an old one
	a.wantHeld(3, 3, 5)
	a.set.Leave(3, 5) // given up before it was open
	a.wantHeld(3, 3, 5)
	fold = a.set.NewFold()
	if err := fold.Snapshot(b.set.Capture().Footer(), all); err != nil {
		t.Fatal(err)
	}
	a.open(fold, map[uint16]int32{3: 5})
	a.wantHeld(3, 5, 12)
	a.send1(3, 1)
	a.wantHeld(3, 5, 13)
	a.set.Forget(3, 3)
	a.wantHeld(3, 5, 13)
	a.set.Leave(3, 5)
	a.wantHeld(3, 5, 13)
}

// Begin takes a slot that is being opened anew, and leaves one alone that is open.
func TestBeginAgain(t *testing.T) {
	r := newRig(t, 3)
	r.send1(3, 5)
	if err := r.set.Begin(r.set.NewFold(), map[uint16]int32{3: 2, 4: 2}); err == nil {
		t.Error("an open slot was begun")
	}
	if snap := r.set.CaptureOpening(map[uint16]int32{3: 2, 4: 2}); snap.Holds(map[uint16]int32{4: 2}) != nil || snap.Holds(map[uint16]int32{3: 2, 4: 2}) == nil || snap.Holds(map[uint16]int32{4: 1}) == nil {
		t.Error("a snapshot to open with holds what it does not")
	}
	r.wantState(r.partition(0, 3), 5, 5)
	fold := r.set.NewFold()
	if err := fold.Snapshot(r.set.Capture().Footer(), all); err != nil {
		t.Fatal(err)
	}
	fold.logs[4] = fold.logs[3]
	for id, l := range fold.logs[4] {
		delete(fold.logs[4], id)
		fold.logs[4][ID{id.Topic, 40}] = l
	}
	r.set.Begin(fold, map[uint16]int32{4: 2})
	if e, ends := held(r.set.CaptureOpening(map[uint16]int32{4: 2}).Footer(), 4); e != 2 || ends[40] != 5 {
		t.Fatalf("epoch %d, %v", e, ends)
	}
	r.set.Begin(r.set.NewFold(), map[uint16]int32{4: 2})
	if e, ends := held(r.set.CaptureOpening(map[uint16]int32{4: 2}).Footer(), 4); e != 2 || len(ends) != 0 {
		t.Fatalf("begun anew: epoch %d, %v", e, ends)
	}
}

// Who waits at Leave gets an answer; a batch that was not covered by a barrier must not be acked.
func TestLeaveWithBatchesUnderWay(t *testing.T) {
	r := newRig(t, 3)
	p := r.partition(0, 3)
	b := (&producer{id: 7}).batch(t, 2)
	r.mustSend(p, b, 1)
	r.mustSend(p, b, 2) // waits for its original
	if err := r.set.Drain(3, 1); err != nil {
		t.Fatal(err)
	}
	if len(r.answers) != 0 {
		t.Fatal("a duplicate was answered by a drain")
	}
	r.set.Leave(3, 1)
	wantErr(t, r.answers[2], ErrNotLeader)
	run := &bundle.Footer{Topics: []bundle.Topic{{ID: topicID, Name: "t"}}, Runs: []bundle.Run{{Slot: 3, LeaderEpoch: 1, Next: 2, Pos: 64, Len: 70}}}
	if err := r.set.Committed(r.object(9), run); err == nil {
		t.Fatal("a run of a slot that was left was taken")
	}
	if _, ok := p.commit(&run.Runs[0], nil, place{}, now); ok {
		t.Fatal("a run was taken that raced with Leave")
	}
	r.wantHeld(3, 1, 0)
}

// A duplicate that waits while its slot drains is answered by the commit.
func TestDuplicateWhileDraining(t *testing.T) {
	r := newRig(t, 3)
	p := r.partition(0, 3)
	b := (&producer{id: 7}).batch(t, 2)
	r.mustSend(p, b, 1)
	r.mustSend(p, b, 2)
	if err := r.set.Drain(3, 1); err != nil {
		t.Fatal(err)
	}
	r.commit(1)
	if err, ok := r.answers[2]; !ok || err != nil {
		t.Fatalf("answers: %v", r.answers)
	}
	r.set.Leave(3, 1)
	// The client retries at the next leader, which knows the batch.
	next := newRig(t)
	fold := next.set.NewFold()
	if err := fold.Snapshot(r.set.Capture().Footer(), all); err != nil {
		t.Fatal(err)
	}
	next.open(fold, map[uint16]int32{3: 2})
	if got := next.mustSend(next.partition(0, 3), b, 3); got.Base != 0 || got.Pending {
		t.Fatalf("retry at the next leader: %+v", got)
	}
}

// What a snapshot or a frozen slot shares is not changed by what comes after.
func TestSharedLogsStay(t *testing.T) {
	r := newRig(t, 3)
	pr := &producer{id: 7}
	p := r.partition(0, 3)
	send := func() {
		r.mustSend(p, pr.batch(t, 2), 100+len(r.footers))
		r.commit(1)
	}
	for range 3 {
		send()
	}
	snap := r.set.Capture()
	want := throughFormat(t, snap.Footer())
	for range 70 {
		send()
	}
	logStart := &bundle.Footer{
		Topics: []bundle.Topic{{ID: topicID, Name: "t"}}, Ops: []bundle.Op{{Kind: bundle.OpLogStart, Slot: 3, Epoch: 1, Offset: 4}},
	}
	r.apply(logStart)
	r.set.ExpireProducers(-time.Hour)
	wantSame(t, throughFormat(t, snap.Footer()), want)
	want = throughFormat(t, r.set.Capture().Footer())
	r.set.Leave(3, 1)
	wantSame(t, throughFormat(t, r.set.Capture().Footer()), want)
	if e := r.set.Committed(r.object(99), logStart); e != nil { // nobody is there to hear it
		t.Fatal(e)
	}
	wantSame(t, throughFormat(t, r.set.Capture().Footer()), want)
	if want.Partitions[0].LogStart != 4 || want.Partitions[0].LogEnd != 146 || len(want.Runs) != 71 {
		t.Fatalf("%+v with %d runs", want.Partitions, len(want.Runs))
	}
	r.set.Drop(topicID)
	if e, ends := held(r.set.Capture().Footer(), 3); e != 1 || len(ends) != 0 {
		t.Fatalf("a deleted topic stays frozen: epoch %d, %v", e, ends)
	}
}

// Sources names every session that data lies in, with the lowest number above the log start (mutant: the oldest is missed).
func TestSources(t *testing.T) {
	other := uuid.MustParse("00000000-bbbb-4ccc-8ddd-eeeeeeeeeeee")
	s := NewSet(nil)
	f := s.NewFold()
	write := func(in uuid.UUID, seq uint64, partition int32, offset int64) {
		t.Helper()
		ft := &bundle.Footer{
			Topics: []bundle.Topic{{ID: topicID, Name: "t"}},
			Runs:   []bundle.Run{{Partition: partition, Slot: 3, LeaderEpoch: 1, Base: offset, Next: offset + 10, Pos: 64, Len: 100}},
		}
		if err := f.Apply(bundle.Object{Kind: bundle.WAL, Session: in, Seq: seq, Size: 1000}, ft, anyEpoch, now); err != nil {
			t.Fatal(err)
		}
	}
	write(session, 5, 0, 0)
	write(session, 6, 0, 10)
	write(other, 3, 0, 20)
	write(other, 4, 0, 30)
	write(session, 9, 0, 40)
	write(other, 2, 1, 0)
	r := &rig{t: t, answers: map[int]error{}, set: s}
	s.Begin(f, map[uint16]int32{3: 2})
	want := func(own, others uint64) {
		t.Helper()
		got := map[uuid.UUID]uint64{}
		for _, src := range s.Sources(3) {
			got[src.Session] = src.Low
		}
		if got[session] != own || got[other] != others {
			t.Fatalf("%v, want %d and %d", got, own, others)
		}
	}
	want(5, 2) // while it is opened too
	r.seq = 100
	r.apply(&bundle.Footer{Ops: []bundle.Op{{Kind: bundle.OpSlotOpen, Slot: 3, Epoch: 2}}})
	start := func(partition int32, offset int64) {
		r.apply(&bundle.Footer{
			Topics: []bundle.Topic{{ID: topicID, Name: "t"}},
			Ops:    []bundle.Op{{Kind: bundle.OpLogStart, Slot: 3, Epoch: 2, Partition: partition, Offset: offset}},
		})
	}
	start(0, 9)
	want(5, 2)
	start(0, 10)
	want(6, 2)
	start(1, 10)
	want(6, 3)
	start(0, 25)
	want(9, 3)
	start(0, 40)
	want(9, 0)
	if got := s.Sources(3); len(got) != 1 {
		t.Fatalf("%v", got)
	}
	start(0, 50)
	want(0, 0)
	if s.Sources(4) != nil && len(s.Sources(4)) > 0 {
		t.Fatal("sources of a slot that is not led")
	}
}

func TestLoads(t *testing.T) {
	r := newRig(t, 3, 4)
	r.send1(3, 5)
	r.partition(7, 4)
	loads := r.set.Loads()
	if len(loads) != 2 || loads[0].Slot != 3 || loads[0].Partitions != 1 || loads[0].Bytes == 0 || loads[1] != (Load{4, 1, 0}) {
		t.Fatalf("%+v", loads)
	}
	before := loads[0].Bytes
	r.set.Drop(topicID)
	if loads = r.set.Loads(); loads[0] != (Load{3, 0, before}) {
		t.Fatalf("after the topic was deleted: %+v", loads)
	}
}
