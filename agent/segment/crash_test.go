package segment

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/varvelog/varve/objstore/bundle"
)

// snapshot keeps the tails as they are, as a recorded snapshot does.
func (r *rig) snapshot() map[Name]tailLog {
	logs := map[Name]tailLog{}
	for n, l := range r.logs {
		c := *l
		c.runs = slices.Clone(l.runs)
		logs[n] = c
	}
	r.snapped = r.seq
	return logs
}

// takeOver makes the next leader's memory: the snapshot, and what was flushed after it.
func (r *rig) takeOver(from map[Name]tailLog) {
	r.epoch++
	r.objects, r.facts = r.inner, r.table
	for n, l := range r.logs {
		old := from[n]
		runs := slices.Clone(old.runs)
		for _, run := range r.flushed[n] {
			if run.Base >= old.end {
				runs = append(runs, run)
			}
		}
		l.runs = slices.DeleteFunc(runs, func(run bundle.Location) bool { return run.Next <= l.start })
	}
	r.open()
}

// play is a life of a leader: two packs, a log start that passes one of them, merges, cuts, links. It returns the newest recorded
// snapshot.
func (r *rig) play(ctx context.Context, names []Name) (recorded map[Name]tailLog) {
	recorded = r.snapshot()
	work := func(d time.Duration) {
		r.now = r.now.Add(d)
		r.room.Round(ctx, r.now)
	}
	record := func() {
		if ctx.Err() == nil {
			r.seq++
			recorded = r.snapshot()
		}
	}
	r.write(names, 500, 3)
	work(time.Minute)
	r.write(names[:3], 500, 2)
	record()
	work(time.Minute)
	r.logs[names[0]].moveStart(8)
	r.logs[names[1]].moveStart(5)
	work(time.Second)
	record()
	for range maxPacks {
		r.write(names[2:4], 300, 1)
		work(time.Minute)
	}
	record()
	work(time.Second)
	work(6 * time.Hour)
	r.write(names, 200, 1)
	work(time.Minute)
	return recorded
}

// A crash at any request of a life, with and without the effect of that request: the next leader finds everything once, finishes what
// was begun, and nothing that somebody needs is deleted, then or later.
func TestCrashAnywhere(t *testing.T) {
	most, total := 0, 0
	for _, effect := range []bool{false, true} {
		for at := 1; ; at++ {
			r := newRig(t)
			r.cfg.SegmentBytes = 1 << 30 // by age alone
			names := slices.Concat(r.topic("a", 4), r.topic("b", 3))
			ctx, cancel := context.WithCancel(t.Context())
			c := &crasher{left: at, effect: effect, die: cancel}
			r.objects, r.facts = dyingObjects{r.inner, c}, dyingFacts{r.table, c}
			r.open()
			recorded := r.play(ctx, names)
			died := ctx.Err() != nil
			if !died {
				recorded = r.snapshot()
			}
			cancel()
			r.takeOver(recorded) // may name packs that are garbage: extents cover them, and there is the grace
			r.check()
			r.round(time.Minute)
			r.round(6 * time.Hour)
			r.check()
			r.round(time.Minute)
			idle := r.accounts()
			if err := r.collector(r.inner).Sweep(t.Context(), r.now.Add(24*time.Hour)); err != nil {
				t.Fatal(err)
			}
			r.check()
			if len(r.queue()) != 0 || r.walRuns() != 0 {
				t.Fatalf("request %d: %d items in the queue, %d runs in the WAL", at, len(r.queue()), r.walRuns())
			}
			most = max(most, idle)
			if !died {
				if idle > 0 {
					t.Errorf("%d objects too many without a crash", idle)
				}
				break
			}
			total++
		}
	}
	t.Logf("%d crashes; a crash left at most %d objects that nothing needs", total, most)
}

// A link whose outcome stays unknown for long, done or not done: it is found out later, and no segment is left without a name.
func TestLinkInDoubt(t *testing.T) { synctest.Test(t, testLinkInDoubt) }

func testLinkInDoubt(t *testing.T) {
	for _, effect := range []bool{false, true} {
		r := newRig(t)
		names := r.topic("a", 3)
		facts := &vagueFacts{Store: r.table, effect: effect}
		r.facts = facts
		r.open()
		r.write(names, 1000, 2)
		r.round(time.Minute)
		facts.vague = true
		r.round(6 * time.Hour)
		facts.vague = false
		r.check()
		r.round(time.Minute)
		r.round(time.Minute)
		r.check()
		if idle := r.accounts(); idle != 0 {
			t.Fatalf("effect %v: %d objects too many", effect, idle)
		}
		if p, extents := r.extents(names[0]); p.Tiered != 4 || len(extents) != 1 {
			t.Fatal(effect, p, extents)
		}
	}
}

// The leader lives on while the outcome of any one request is unknown: done, or not done.
func TestAnyOutcomeUnknown(t *testing.T) { synctest.Test(t, testAnyOutcomeUnknown) }

func testAnyOutcomeUnknown(t *testing.T) {
	for _, effect := range []bool{false, true} {
		for at := 1; ; at++ {
			r := newRig(t)
			r.cfg.SegmentBytes = 1 << 30
			names := slices.Concat(r.topic("a", 4), r.topic("b", 3))
			c := &crasher{left: at, effect: effect, die: func() {}, once: true}
			r.objects, r.facts = dyingObjects{r.inner, c}, dyingFacts{r.table, c}
			r.open()
			recorded := r.play(t.Context(), names)
			if c.left > 0 {
				break
			}
			r.round(time.Minute)
			r.round(6 * time.Hour)
			r.round(time.Minute)
			r.check()
			if idle := r.accounts(); idle != 0 {
				t.Fatalf("request %d, effect %v: %d objects too many", at, effect, idle)
			}
			r.takeOver(recorded)
			r.round(time.Minute)
			r.round(6 * time.Hour)
			r.check()
			r.accounts()
		}
	}
}

// A link is done and its leader hears nothing. Before it asks, somebody else who looks at the table, as retention and readers do, tells the
// tail how far extents reach: that is no hole, and the leader goes on.
func TestTailIsToldOfALinkInDoubt(t *testing.T) { synctest.Test(t, testTailIsTold) }

func testTailIsTold(t *testing.T) {
	r := newRig(t)
	r.cfg.SegmentBytes = 6 << 20
	n := r.topic("a", 1)[0]
	facts := &vagueFacts{Store: r.table, effect: true}
	r.facts = facts
	r.open()
	for i := range 3 {
		facts.vague = i == 1
		r.write([]Name{n}, 4<<20, 2) // runs that are cut from the WAL
		r.round(time.Minute)
		if facts.vague = false; i == 1 {
			p, extents := r.extents(n)
			if len(extents) != 2 || p.Tiered != extents[1].Next || r.logs[n].runs[0].Base >= p.Tiered {
				t.Fatal(p, extents)
			}
			r.logs[n].Tiered(p.Tiered)
		}
	}
	r.check()
	if _, extents := r.extents(n); len(extents) != 3 {
		t.Fatalf("%d segments, want 3: %+v", len(extents), r.room.ledger.parts[n])
	}
}
