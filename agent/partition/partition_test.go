package partition

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// The high watermark moves with the commit and not before (I7; mutant: the high watermark ahead of the commit).
func TestHighWatermarkIsTheCommitPoint(t *testing.T) {
	r := newRig(t, 3)
	p := r.partition(0, 3)
	w := NewWaiter()
	p.Watch(w)
	<-w.C
	var none *producer
	if got := r.mustSend(p, none.batch(t, 3), 1); got.Base != 0 || !got.Pending || got.LogAppendTime != -1 {
		t.Fatalf("first append: %+v", got)
	}
	if got := r.mustSend(p, none.batch(t, 2), 2); got.Base != 3 {
		t.Fatalf("second append: %+v", got)
	}
	r.wantState(p, 0, 5)
	if locs := p.Locate(nil, 0, 10); len(locs) != 0 {
		t.Fatalf("uncommitted records are found at %v", locs)
	}
	select {
	case <-w.C:
		t.Fatal("a waiter was woken by an append")
	default:
	}
	r.commit(1)
	r.wantState(p, 3, 5)
	<-w.C
	if locs := p.Locate(nil, 1, 10); len(locs) != 1 || locs[0].Base != 0 || locs[0].Next != 3 || locs[0].Object.Seq != 2 {
		t.Fatalf("located %+v", locs)
	}
	r.commit(1)
	r.wantState(p, 5, 5)
}

// IP1: a repeated batch gets the original's offset, and not before the original is committed (mutant: a duplicate answered
// before the original's commit).
func TestDuplicateWaitsForItsOriginal(t *testing.T) {
	r := newRig(t, 3)
	p := r.partition(0, 3)
	pr := &producer{id: 7}
	b := pr.batch(t, 3)
	r.mustSend(p, b, 1)
	got := r.mustSend(p, b, 2)
	if got.Base != 0 || !got.Pending {
		t.Fatalf("duplicate of an uncommitted batch: %+v", got)
	}
	if len(r.queued) != 1 {
		t.Fatal("a duplicate was appended")
	}
	if len(r.answers) != 0 {
		t.Fatal("a duplicate was answered before its original was committed")
	}
	r.commit(1)
	if err, ok := r.answers[2]; !ok || err != nil {
		t.Fatalf("after the commit: %v", r.answers)
	}
	if got = r.mustSend(p, b, 3); got.Base != 0 || got.Pending {
		t.Fatalf("duplicate of a committed batch: %+v", got)
	}
	r.wantState(p, 3, 3)
}

// A duplicate whose original is lost with the session hears so.
func TestDuplicateOfALostBatch(t *testing.T) {
	r := newRig(t, 3)
	p := r.partition(0, 3)
	b := (&producer{id: 7}).batch(t, 1)
	r.mustSend(p, b, 1)
	r.mustSend(p, b, 2)
	r.set.End()
	wantErr(t, r.answers[2], records.ErrFenced)
	_, err := r.send(p, b, 3)
	wantErr(t, err, ErrNotLeader)
	_, err = r.set.Get(ID{topicID, 0}, "t", 3)
	wantErr(t, err, ErrNotLeader)
}

// IP2 to IP4: sequences.
func TestSequences(t *testing.T) {
	r := newRig(t, 3)
	p := r.partition(0, 3)
	pr := &producer{id: 7, seq: 40} // IP4: no state, any first sequence
	window := []int64{}
	var all [][]byte
	for i := range 7 {
		b := pr.batch(t, 2)
		all = append(all, b)
		window = append(window, r.mustSend(p, b, i).Base)
	}
	r.commit(7)
	for i := 2; i < 7; i++ { // the last five are remembered
		if got := r.mustSend(p, all[i], 100+i); got.Base != window[i] || got.Pending {
			t.Fatalf("batch %d: %+v", i, got)
		}
	}
	_, err := r.send(p, all[1], 1)
	wantErr(t, err, ErrOutOfOrder)
	pr.seq++ // a hole
	_, err = r.send(p, pr.batch(t, 1), 1)
	wantErr(t, err, ErrOutOfOrder)
	newer := &producer{id: 7, epoch: 1, seq: 5}
	_, err = r.send(p, newer.batch(t, 1), 1)
	wantErr(t, err, ErrOutOfOrder)
	newer.seq = 0
	r.mustSend(p, newer.batch(t, 1), 200)
	_, err = r.send(p, (&producer{id: 7, epoch: 0, seq: 54}).batch(t, 1), 1)
	wantErr(t, err, ErrProducerEpoch)
}

// A new leader takes a producer's second batch only after its first, which may have been sent to the last leader; one that it knows nothing
// of may begin anywhere once clients have given up what they sent there.
func TestNewLeaderWaitsForTheFirstBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.open(r.set.NewFold(), map[uint16]int32{3: 2})
		p := r.partition(0, 3)
		pr := &producer{id: 7}
		first, second := pr.batch(t, 3), pr.batch(t, 2)
		_, err := r.send(p, second, 2)
		wantErr(t, err, ErrEarly)
		if got := r.mustSend(p, first, 1); got.Base != 0 {
			t.Errorf("%+v", got)
		}
		if got := r.mustSend(p, second, 2); got.Base != 3 {
			t.Errorf("%+v", got)
		}
		time.Sleep(settleTime - 1)
		expired := &producer{id: 8, seq: 40}
		_, err = r.send(p, expired.batch(t, 1), 3)
		wantErr(t, err, ErrEarly)
		time.Sleep(1)
		r.mustSend(p, expired.batch(t, 1), 4)
	})
}

// IP2: after 2^31-1 comes 0.
func TestSequenceWraps(t *testing.T) {
	r := newRig(t, 3)
	p := r.partition(0, 3)
	pr := &producer{id: 7, seq: math.MaxInt32 - 1}
	first := pr.batch(t, 3) // 2^31-2, 2^31-1, 0
	r.mustSend(p, first, 1)
	if pr.seq != 1 {
		t.Fatalf("next sequence %d", pr.seq)
	}
	r.mustSend(p, pr.batch(t, 1), 2)
	r.commit(2)
	if got := r.mustSend(p, first, 3); got.Base != 0 || got.Pending {
		t.Fatalf("%+v", got)
	}
}

// PR8, PR9: timestamps.
func TestTimestamps(t *testing.T) {
	r := newRig(t, 3)
	p := r.partition(0, 3)
	var none *producer
	b := none.batch(t, 1)
	_, err := p.Append(Append{Batch: b, Now: 0, Before: math.MaxInt64, After: 999})
	wantErr(t, err, ErrTimestamp)
	_, err = p.Append(Append{Batch: b, Now: 5000, Before: 3999, After: 0})
	wantErr(t, err, ErrTimestamp)
	if _, err = p.Append(Append{Batch: b, Now: 5000, Before: math.MaxInt64, After: 0}); err != nil {
		t.Fatal(err)
	}
	if _, err = p.Append(Append{Batch: b, Now: 5000, Before: math.MaxInt64, After: math.MaxInt64}); err != nil {
		t.Fatal("no bound on the future refused a batch of the past")
	}
	old, err := (&recordbatch.Builder{}).Append(nil, []recordbatch.Record{{Timestamp: -1}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = p.Append(Append{Batch: old, Now: 5000, Before: 1, After: 1}); err != nil {
		t.Fatal("a batch without timestamps was refused for them")
	}
	got, err := p.Append(Append{Batch: b, Now: 77, LogAppendTime: true})
	if err != nil || got.LogAppendTime != 77 || b.MaxTimestamp() != 77 || !b.IsLogAppend() {
		t.Fatalf("%+v, %v, batch %d", got, err, b.MaxTimestamp())
	}
	if err := b.CheckCRC(); err != nil {
		t.Fatal(err)
	}
}

// A slot is not served before its slot-open is committed (I5).
func TestSlotIsServedAfterSlotOpen(t *testing.T) {
	r := newRig(t)
	_, err := r.set.Get(ID{topicID, 0}, "t", 4)
	wantErr(t, err, ErrNotLeader)
	r.set.Begin(r.set.NewFold(), map[uint16]int32{4: 9})
	_, err = r.set.Get(ID{topicID, 0}, "t", 4)
	wantErr(t, err, ErrLoading)
	r.apply(&bundle.Footer{Ops: []bundle.Op{{Kind: bundle.OpSlotOpen, Slot: 4, Epoch: 8}}})
	_, err = r.set.Get(ID{topicID, 0}, "t", 4)
	wantErr(t, err, ErrLoading)
	r.apply(&bundle.Footer{Ops: []bundle.Op{{Kind: bundle.OpSlotOpen, Slot: 4, Epoch: 9}}})
	if s, err := r.partition(0, 4).State(); err != nil || s.Epoch != 9 {
		t.Fatalf("%+v, %v", s, err)
	}
}

// A run that does not continue the log is never applied.
func TestCommitThatDoesNotFit(t *testing.T) {
	r := newRig(t, 3)
	p := r.partition(0, 3)
	ft := &bundle.Footer{Topics: []bundle.Topic{{ID: topicID, Name: "t"}}, Runs: []bundle.Run{{Slot: 3, Base: 1, Next: 2, Pos: 64, Len: 70}}}
	if err := r.set.Committed(r.object(9), ft); err == nil {
		t.Fatal("a hole in the log was accepted")
	}
	r.wantState(p, 0, 0)
}

func TestExpireProducers(t *testing.T) {
	r := newRig(t, 3)
	p := r.partition(0, 3)
	pr := &producer{id: 7}
	r.mustSend(p, pr.batch(t, 1), 1)
	r.commit(1)
	r.set.ExpireProducers(time.Hour) // its append lies in 1970, its commit does not
	if n := len(p.Producers()); n != 1 {
		t.Fatalf("%d producers after an hour", n)
	}
	r.set.ExpireProducers(-time.Hour)
	if n := len(p.Producers()); n != 0 {
		t.Fatalf("%d producers are left", n)
	}
	pr.seq = 99
	r.mustSend(p, pr.batch(t, 1), 2)
}

func TestProducersAreBounded(t *testing.T) {
	ps := producers{}
	for i := range int64(3 * maxProducers) {
		ps.add(i, 0, bundle.Appended{}, i)
	}
	if len(ps) > maxProducers {
		t.Fatalf("%d producers", len(ps))
	}
	if ps.get(3*maxProducers-1) == nil {
		t.Fatal("the newest producer was forgotten")
	}
}

// ME7: OffsetForLeaderEpoch.
func TestEndOfEpoch(t *testing.T) {
	epochs := []bundle.Epoch{{Epoch: 2, Start: 10}, {Epoch: 5, Start: 20}, {Epoch: 6, Start: 30}}
	for _, c := range []struct {
		ask, epoch int32
		end        int64
	}{{6, 6, 40}, {7, -1, -1}, {5, 5, 30}, {4, 2, 20}, {3, 2, 20}, {2, 2, 20}, {1, 1, 10}, {0, 0, 10}} {
		if e, o := endOfEpoch(epochs, c.ask, 40); e != c.epoch || o != c.end {
			t.Errorf("epoch %d: (%d, %d), want (%d, %d)", c.ask, e, o, c.epoch, c.end)
		}
	}
	if e := epochAt(epochs, 25); e != 5 {
		t.Errorf("offset 25 has epoch %d", e)
	}
	if e := epochAt(epochs, 9); e != -1 {
		t.Errorf("offset 9 has epoch %d", e)
	}
}

// A request that looked its topic up before the deletion must not bring the partition back: it would begin at offset 0 while
// batches of the old one are under way, which ends the session at their commit.
func TestDroppedTopicStaysAway(t *testing.T) {
	r := newRig(t, 3)
	var none *producer
	r.mustSend(r.partition(0, 3), none.batch(t, 2), 1)
	r.commit(1)
	r.mustSend(r.partition(0, 3), none.batch(t, 2), 2)
	r.set.Drop(topicID)
	_, err := r.set.Get(ID{topicID, 0}, "t", 3)
	wantErr(t, err, ErrNotLeader)
	r.commit(1)
	r.set.Begin(r.fold(), map[uint16]int32{3: 1})
	if len(r.set.mu.parts) != 0 {
		t.Fatal("a topic that was deleted during the replay is back")
	}
}

// fold replays what was committed.
func (r *rig) fold() *Fold {
	r.t.Helper()
	f := r.set.NewFold()
	for i, ft := range r.footers {
		if err := f.Apply(r.object(uint64(i+1)), ft, anyEpoch, now); err != nil {
			r.t.Fatal(err)
		}
	}
	return f
}

// OF8: the log start moves by a committed record, never back and never past the commit; a replay and a snapshot know it.
func TestLogStartMoves(t *testing.T) {
	r := newRig(t, 3)
	p := r.partition(0, 3)
	var none *producer
	for i := range 4 {
		r.mustSend(p, none.batch(t, 5), i)
		r.commit(1)
	}
	move := func(offset int64) {
		t.Helper()
		r.apply(&bundle.Footer{
			Topics: []bundle.Topic{{ID: topicID, Name: "t"}},
			Ops:    []bundle.Op{{Kind: bundle.OpLogStart, Slot: 3, Epoch: 1, Offset: offset}},
		})
	}
	w := NewWaiter()
	p.Watch(w)
	<-w.C
	for _, c := range []struct{ to, want int64 }{{7, 7}, {3, 7}, {21, 7}, {10, 10}, {20, 20}} {
		move(c.to)
		if s, err := p.State(); err != nil || s.LogStart != c.want || s.HighWatermark != 20 {
			t.Fatalf("moved to %d: %+v, %v", c.to, s, err)
		}
		if c.to == 7 {
			<-w.C
			if locs := p.Locate(nil, 7, 9); len(locs) != 3 || locs[0].Base != 5 {
				t.Fatalf("from the log start: %+v", locs)
			}
			if locs := p.Locate(nil, 6, 9); len(locs) != 0 {
				t.Fatalf("below the log start: %+v", locs)
			}
		}
	}
	fold := r.set.NewFold()
	for i, ft := range r.footers {
		if err := fold.Apply(r.object(uint64(i+1)), ft, anyEpoch, now); err != nil {
			t.Fatal(err)
		}
	}
	for name, l := range map[string]*log{"replay": fold.logs[3][p.id], "leader": p.mu.log} {
		if l.start != 20 || l.end != 20 || len(l.tail.runs) != 0 {
			t.Errorf("%s: start %d, end %d, %d runs", name, l.start, l.end, len(l.tail.runs))
		}
	}
	if f := r.set.Capture().Footer(); len(f.Partitions) != 1 || f.Partitions[0].LogStart != 20 || f.Partitions[0].LogEnd != 20 {
		t.Errorf("snapshot: %+v", f.Partitions)
	}
}

// Partitions that hold nothing share a log, until one of them holds something.
func TestEmptyPartitions(t *testing.T) {
	r := newRig(t, 3)
	a, b := r.partition(0, 3), r.partition(1, 3)
	pr := &producer{id: 7}
	r.mustSend(a, pr.batch(t, 3), 1)
	if got := r.set.Capture().Footer(); len(got.Partitions) != 0 || len(got.Slots) != 1 {
		t.Fatalf("%+v", got)
	}
	r.commit(1)
	r.wantState(a, 3, 3)
	r.wantState(b, 0, 0)
	if len(b.Producers()) != 0 || b.EpochAt(0) != 1 || a.EpochAt(0) != 1 || r.set.Bytes(b.id) != 0 {
		t.Fatal("what one holds is seen at the other")
	}
	r.mustSend(b, (&producer{id: 8}).batch(t, 2), 2)
	r.commit(1)
	r.wantState(a, 3, 3)
	r.wantState(b, 2, 2)
}
