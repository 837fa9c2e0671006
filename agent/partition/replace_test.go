package partition

import (
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/varvelog/varve/objstore/bundle"
)

// packed makes one run of locs in a pack.
func packed(pack byte, locs []bundle.Location) bundle.Location {
	out := bundle.Location{
		Object: bundle.Object{Kind: bundle.PACK, Session: uuid.UUID{pack}, Size: 1 << 30}, Pos: 64,
		Base: locs[0].Base, Next: locs[len(locs)-1].Next, MaxTimestamp: locs[0].MaxTimestamp, LeaderEpoch: locs[0].LeaderEpoch,
	}
	for _, l := range locs {
		out.Len += l.Len
		out.MaxTimestamp = max(out.MaxTimestamp, l.MaxTimestamp)
	}
	return out
}

// fill commits n bundles of one batch of two records each.
func (r *rig) fill(p *Partition, n int) {
	r.t.Helper()
	var none *producer
	for range n {
		clear(r.answers)
		r.mustSend(p, none.batch(r.t, 2), 0)
		r.commit(1)
	}
}

func (r *rig) replace(p *Partition, pack byte, from, to int) {
	r.t.Helper()
	if err := p.Replace([]bundle.Location{packed(pack, p.Runs(nil, 0, math.MaxInt)[from:to])}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) tail(index int32) Tail {
	r.t.Helper()
	for t := range r.set.Tails {
		if t.ID == (ID{topicID, index}) {
			t.Partition = nil
			return t
		}
	}
	r.t.Fatal("no tail")
	return Tail{}
}

// Runs in a pack take the place of those in bundles: for readers nothing changes but the place, and a snapshot is smaller.
func TestReplace(t *testing.T) {
	r := newRig(t, 3)
	p := r.partition(0, 3)
	r.fill(p, 10)
	bytes := r.set.Bytes(p.ID())
	before := p.Runs(nil, 0, 100)
	r.replace(p, 1, 0, 6)
	got := p.Locate(nil, 5, 100)
	want := append([]bundle.Location{packed(1, before[:6])}, before[6:]...)
	if !reflect.DeepEqual(got, want) || r.set.Bytes(p.ID()) != bytes {
		t.Fatalf("%+v\nwant\n%+v", got, want)
	}
	if tl := r.tail(0); tl.Runs != 5 || tl.WALRuns != 4 || tl.Bytes != bytes || tl.WALBytes != bytes/10*4 || tl.Base != 0 || tl.Stable != 20 {
		t.Fatalf("%+v", tl)
	}
	if got := r.set.Sources(3); len(got) != 1 || got[0].Low != 8 { // the slot-open was bundle 1
		t.Fatalf("%+v", got)
	}
	r.replace(p, 2, 1, 5)
	if got := r.set.Sources(3); len(got) != 0 {
		t.Fatalf("a pack is no session's WAL: %+v", got)
	}
	if loc, ok := p.LocateTime(1001); !ok || loc.Object.Session != (uuid.UUID{1}) {
		t.Fatalf("%+v", loc)
	}
	r.fill(p, 1)
	f := throughFormat(t, r.set.Capture().Footer())
	if len(f.Runs) != 3 || len(f.Objects) != 3 || f.Objects[0].Kind != bundle.PACK || f.Objects[2].Kind != bundle.WAL {
		t.Fatalf("%+v", f)
	}
	next := newRig(t)
	fold := next.set.NewFold()
	if err := fold.Snapshot(f, all); err != nil {
		t.Fatal(err)
	}
	next.open(fold, map[uint16]int32{3: 2})
	if got, want := next.partition(0, 3).Runs(nil, 0, 100), p.Runs(nil, 0, 100); !reflect.DeepEqual(got, want) {
		t.Fatalf("after a fail-over: %+v\nwant\n%+v", got, want)
	}
	if got := next.set.Sources(3); len(got) != 1 || got[0] != (Source{session, 12}) {
		t.Fatalf("%+v", got)
	}
}

// What does not line up is refused, and nothing changes.
func TestReplaceRefuses(t *testing.T) {
	r := newRig(t, 3)
	p := r.partition(0, 3)
	r.fill(p, 10)
	before := p.Runs(nil, 0, 100)
	for name, c := range map[string]struct {
		change func(l *bundle.Location)
		moved  bool
	}{
		"inside a run":      {func(l *bundle.Location) { l.Base++ }, true},
		"ends inside a run": {func(l *bundle.Location) { l.Next++ }, true},
		"beyond the log":    {func(l *bundle.Location) { l.Next = 22 }, true},
		"in a bundle":       {func(l *bundle.Location) { l.Object.Kind = bundle.WAL }, false},
		"no offsets":        {func(l *bundle.Location) { l.Next = l.Base }, false},
		"too many offsets":  {func(l *bundle.Location) { l.Next = l.Base + 1<<32 }, false},
		"beyond 4 GiB":      {func(l *bundle.Location) { l.Pos = 1 << 32 }, false},
		"other bytes":       {func(l *bundle.Location) { l.Len-- }, false},
	} {
		run := packed(1, before[2:6])
		c.change(&run)
		if err := p.Replace([]bundle.Location{run}); err == nil || errors.Is(err, ErrMoved) != c.moved {
			t.Errorf("%s: %v", name, err)
		}
	}
	gap := []bundle.Location{packed(1, before[2:4]), packed(1, before[5:6])}
	if err := p.Replace(gap); err == nil || errors.Is(err, ErrMoved) {
		t.Errorf("a gap: %v", err)
	}
	if got := p.Runs(nil, 0, 100); !reflect.DeepEqual(got, before) {
		t.Fatalf("something was replaced: %+v", got)
	}
	if err := p.Replace(nil); err != nil {
		t.Fatal(err)
	}
	r.set.Leave(3, 1)
	wantErr(t, p.Replace([]bundle.Location{packed(1, before[2:6])}), ErrNotLeader)
	if got := p.Runs(nil, 0, 100); !reflect.DeepEqual(got, before) {
		t.Fatalf("what was left changed: %+v", got)
	}
}

// A run never crosses a leader epoch: fetch and OffsetForLeaderEpoch tell epochs by runs.
func TestReplaceAcrossAnEpoch(t *testing.T) {
	r := newRig(t, 3)
	r.fill(r.partition(0, 3), 3)
	next := newRig(t)
	fold := next.set.NewFold()
	if err := fold.Snapshot(r.set.Capture().Footer(), all); err != nil {
		t.Fatal(err)
	}
	next.open(fold, map[uint16]int32{3: 2})
	p := next.partition(0, 3)
	next.fill(p, 3)
	runs := p.Runs(nil, 0, 100)
	if err := p.Replace([]bundle.Location{packed(1, runs)}); err == nil || errors.Is(err, ErrMoved) {
		t.Fatalf("one run: %v", err)
	}
	two := []bundle.Location{packed(1, runs[:3]), packed(1, runs[3:])}
	if err := p.Replace(two); err != nil {
		t.Fatal(err)
	}
	if got := p.Runs(nil, 0, 100); !reflect.DeepEqual(got, two) {
		t.Fatalf("%+v\nwant\n%+v", got, two)
	}
}

// The log start moves while a pack is written: what it passed stays away, and a run that it cut stays whole.
func TestReplaceAfterTheLogStartMoved(t *testing.T) {
	for start, want := range map[int64][]int64{0: {0, 6, 12}, 5: {0, 6, 12}, 6: {6, 12}, 7: {6, 12}, 12: {12}, 14: {14}, 20: nil} {
		r := newRig(t, 3)
		p := r.partition(0, 3)
		r.fill(p, 10)
		runs := p.Runs(nil, 0, 100)
		with := []bundle.Location{packed(1, runs[:3]), packed(1, runs[3:6])}
		p.moveStart(start)
		if err := p.Replace(with); err != nil {
			t.Fatalf("start %d: %v", start, err)
		}
		var got []int64
		for i, l := range p.Runs(nil, 0, 100) {
			if i == 0 || l.Base == 6 || l.Base == 12 {
				got = append(got, l.Base)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("start %d: runs at %v, want %v", start, got, want)
		}
		if locs := p.Locate(nil, max(start, 0), 1); start < 20 && (len(locs) != 1 || locs[0].Base > start) {
			t.Errorf("start %d: read at %+v", start, locs)
		}
	}
	// A pack that begins at the log start, inside a run.
	r := newRig(t, 3)
	p := r.partition(0, 3)
	r.fill(p, 4)
	p.moveStart(3)
	run := packed(1, p.Runs(nil, 0, 100))
	run.Base, run.Len = 3, run.Len-10
	if err := p.Replace([]bundle.Location{run}); err != nil {
		t.Fatal(err)
	}
	if got := p.Runs(nil, 0, 100); len(got) != 1 || got[0].Base != 3 || got[0].Next != 8 {
		t.Fatalf("%+v", got)
	}
}

// Extents take over from below: the tail begins above the log start, and says so instead of answering from the wrong place.
func TestTiered(t *testing.T) {
	r := newRig(t, 3)
	p := r.partition(0, 3)
	r.fill(p, 10)
	r.replace(p, 1, 0, 4)
	p.Tiered(9) // inside a run: that one stays
	if st, _ := p.State(); st.LogStart != 0 || st.TailStart != 8 || st.HighWatermark != 20 {
		t.Fatalf("%+v", st)
	}
	if got := p.Locate(nil, 3, 5); len(got) != 0 {
		t.Fatalf("offset 3 is in an extent, not in %+v", got)
	}
	if got := p.Locate(nil, 8, 1); len(got) != 1 || got[0].Base != 8 {
		t.Fatalf("%+v", got)
	}
	if got := p.Runs(nil, 3, 1); len(got) != 1 || got[0].Base != 8 {
		t.Fatalf("%+v", got)
	}
	if err := p.Replace([]bundle.Location{{
		Object: bundle.Object{Kind: bundle.PACK}, Base: 6, Next: 10, Len: 1,
	}}); !errors.Is(err, ErrMoved) {
		t.Fatalf("a pack of what is in an extent: %v", err)
	}
	p.moveStart(4) // the log start rises below the tail
	if st, _ := p.State(); st.LogStart != 4 || st.TailStart != 8 {
		t.Fatalf("%+v", st)
	}
	p.Tiered(20)
	st, _ := p.State()
	if from, to := r.set.Tiered(p.ID()); from != 4 || to != 20 {
		t.Errorf("extents from %d to %d", from, to)
	}
	if st.LogStart != 4 || st.TailStart != 20 || r.set.Bytes(p.ID()) != 0 || len(p.Locate(nil, 4, 1)) != 0 {
		t.Fatalf("%+v", st)
	}
	if _, ok := p.LocateMaxTime(); ok {
		t.Fatal("a time in an empty tail")
	}
	if _, ok := p.LocateTime(0); ok {
		t.Fatal("a time in an empty tail")
	}
	if tl := r.tail(0); tl.Runs != 0 || tl.Base != 20 || tl.LogStart != 4 || tl.Oldest != 0 || tl.Bytes != 0 || tl.WALBytes != 0 {
		t.Fatalf("%+v", tl)
	}
	// The next leader knows where its log ends, and what is appended goes on.
	f := throughFormat(t, r.set.Capture().Footer())
	next := newRig(t)
	fold := next.set.NewFold()
	if err := fold.Snapshot(f, all); err != nil {
		t.Fatal(err)
	}
	if err := fold.Check(); err != nil {
		t.Fatal(err)
	}
	next.open(fold, map[uint16]int32{3: 2})
	q := next.partition(0, 3)
	if st, _ := q.State(); st.LogStart != 4 || st.TailStart != 20 || st.HighWatermark != 20 {
		t.Fatalf("%+v", st)
	}
	next.fill(q, 1)
	if got := q.Locate(nil, 20, 5); len(got) != 1 || got[0].Base != 20 {
		t.Fatalf("%+v", got)
	}
	if got := next.set.Sources(3); len(got) != 1 || got[0].Low != 3 {
		t.Fatalf("%+v", got)
	}
	r.set.Leave(3, 1)
	p.Tiered(1 << 40) // not led any more: no effect, no panic
}

// Tails tells of what is led and open, and of nothing that never held a record; it stops when it is told to.
func TestTails(t *testing.T) {
	r := newRig(t, 3, 4)
	r.partition(5, 3) // asked for, empty
	r.fill(r.partition(0, 3), 2)
	r.fill(r.partition(1, 4), 1)
	r.set.Begin(r.set.NewFold(), map[uint16]int32{7: 1})
	var seen []int32
	for tl := range r.set.Tails {
		seen = append(seen, tl.ID.Index)
		if tl.Partition == nil || tl.Topic != "t" || tl.Epoch != 1 || tl.Oldest != 1001 || !r.set.Leads(tl.Slot, 1) || r.set.Leads(tl.Slot, 2) {
			t.Errorf("%+v", tl)
		}
	}
	if !slices.Equal(seen, []int32{0, 1}) || r.set.Leads(7, 1) {
		t.Fatal(seen)
	}
	seen = nil
	for tl := range r.set.Tails {
		seen = append(seen, tl.ID.Index)
		break
	}
	if len(seen) != 1 {
		t.Fatal(seen)
	}
	r.set.Leave(3, 1)
	for tl := range r.set.Tails {
		if tl.Slot == 3 {
			t.Fatalf("%+v is not led", tl)
		}
	}
}

// Random packs, cuts and moves of the log start, against a list of the runs.
func TestRewritingAgainstAList(t *testing.T) {
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		r := newRig(t, 3)
		p := r.partition(0, 3)
		var want []bundle.Location
		start, end := int64(0), int64(0)
		for step := range 150 {
			switch k := rnd.IntN(10); {
			case k < 6 || len(want) == 0:
				r.fill(p, 1)
				want = append(want, p.Runs(nil, end, 1)...)
				end += 2
			case k < 8:
				i := rnd.IntN(len(want))
				j := i + 1 + rnd.IntN(len(want)-i)
				run := packed(byte(step), want[i:j])
				if err := p.Replace([]bundle.Location{run}); err != nil {
					t.Fatal(seed, err)
				}
				want = slices.Replace(slices.Clone(want), i, j, run)
			default:
				next := want[rnd.IntN(len(want))].Next - rnd.Int64N(2)
				if k == 8 {
					p.Tiered(next)
				} else {
					p.moveStart(next)
					start = max(start, next)
				}
				want = slices.DeleteFunc(slices.Clone(want), func(l bundle.Location) bool { return l.Next <= next })
			}
			checkTail(t, r, p, want, start)
			if t.Failed() {
				t.Fatal("seed", seed, "step", step)
			}
		}
	}
}

func checkTail(t *testing.T, r *rig, p *Partition, want []bundle.Location, start int64) {
	t.Helper()
	var bytes, walBytes int64
	var low uint64
	wal := 0
	for _, l := range want {
		bytes += int64(l.Len)
		if l.Object.Kind == bundle.WAL {
			wal, walBytes = wal+1, walBytes+int64(l.Len)
			if low == 0 || l.Object.Seq < low {
				low = l.Object.Seq
			}
		}
	}
	if got := p.Runs(nil, 0, math.MaxInt); len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant\n%+v", got, want)
	}
	tl := r.tail(0)
	if tl.Runs != len(want) || tl.Bytes != bytes || tl.WALRuns != wal || tl.WALBytes != walBytes || tl.LogStart != start {
		t.Errorf("%+v, want %d runs of %d bytes, %d of %d in the WAL", tl, len(want), bytes, wal, walBytes)
	}
	src := r.set.Sources(3)
	if (len(src) > 0) != (wal > 0) || wal > 0 && (len(src) != 1 || src[0] != Source{session, low}) {
		t.Errorf("sources %+v, want %d", src, low)
	}
}

// A snapshot that was taken stays as it was, whatever is packed and cut before its footer is made.
func TestSnapshotStaysWhileRunsAreReplaced(t *testing.T) {
	for name, change := range map[string]func(r *rig, p *Partition){
		"packed": func(r *rig, p *Partition) { r.replace(p, 1, 0, 3) },
		"linked": func(_ *rig, p *Partition) { p.Tiered(4) },
	} {
		r := newRig(t, 3)
		p := r.partition(0, 3)
		r.fill(p, 4)
		want := throughFormat(t, r.set.Capture().Footer())
		snap := r.set.Capture()
		change(r, p)
		if got := throughFormat(t, snap.Footer()); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the snapshot changed:\n%+v\nwas\n%+v", name, got, want)
		}
	}
}

// A snapshot whose tail has a hole, or ends elsewhere than its log, is damaged.
func TestFoldRefusesATailWithAHole(t *testing.T) {
	r := newRig(t, 3)
	r.fill(r.partition(0, 3), 4)
	for name, change := range map[string]func(f *bundle.Footer){
		"fine":        func(*bundle.Footer) {},
		"a hole":      func(f *bundle.Footer) { f.Runs[2].Base++ },
		"an overlap":  func(f *bundle.Footer) { f.Runs[2].Base-- },
		"too short":   func(f *bundle.Footer) { f.Partitions[0].LogEnd = 9 },
		"too long":    func(f *bundle.Footer) { f.Partitions[0].LogEnd = 7 },
		"no such log": func(f *bundle.Footer) { f.Partitions[0].Partition = 5 },
	} {
		f := r.set.Capture().Footer()
		change(f)
		if err := NewSet(nil).NewFold().Snapshot(f, all); errors.Is(err, bundle.ErrCorrupt) == (name == "fine") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
