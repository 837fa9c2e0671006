package segment

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
)

// heir is takeOver by another session; the one before is SEALED, and everything that it wrote is there for the new one to rewrite. The
// snapshot of the opening is in the bucket.
func (r *rig) heir(from map[Name]tailLog) (old uuid.UUID) {
	old = r.session
	r.state(old, records.Sealed, 1, int64(r.seq))
	r.takeOver(from)
	r.session = r.state(uuid.New(), records.Active, 1, 0)
	r.seq, r.snapped = 0, 0
	var runs []tailRun
	for n, l := range r.logs {
		for _, run := range l.runs {
			runs = append(runs, tailRun{n, run.Object, run.Base, run.Next})
		}
	}
	r.snapshotOf(r.session, runs...)
	r.open()
	return old
}

// drain says that nobody needs the log of a session any more, as the leader does who needed it last.
func (r *rig) drain(session uuid.UUID, committed int64) {
	r.state(session, records.Drained, 1, committed)
	r.enqueue(records.Garbage{Session: session, From: 1, End: committed + 1, Snapshots: true})
}

// A crash at any request of a life, with its effect or without, by turns: once the next leader has rewritten what it found, two looks and the queue
// leave in the bucket what the table names, and not an object more.
func TestSweepAfterACrashAnywhere(t *testing.T) {
	swept := 0
	for n, effect := range []bool{false, true} {
		for at := 1 + n; ; at += 2 {
			r := newRig(t)
			r.cfg.SegmentBytes = 1 << 30
			r.state(r.session, records.Active, 1, 0)
			names := slices.Concat(r.topic("a", 4), r.topic("b", 3))
			ctx, cancel := context.WithCancel(t.Context())
			c := &crasher{left: at, effect: effect, die: cancel}
			r.objects, r.facts = dyingObjects{r.inner, c}, dyingFacts{r.table, c}
			r.open()
			recorded := r.play(ctx, names)
			died := ctx.Err() != nil
			cancel()
			if !died {
				break
			}
			committed := int64(r.seq)
			r.store(r.keys.WAL(r.session, r.seq+1)) // what was under way
			old := r.heir(recorded)
			s := r.sweeper(1)
			r.look(s) // what the dead one has left may still be needed
			r.look(s)
			r.check()
			r.round(time.Minute)
			r.round(6 * time.Hour)
			r.look(s)
			r.check()
			r.round(time.Minute)
			r.drain(old, committed)
			before := len(r.queuedKeys())
			r.look(s)
			r.look(s)
			swept += len(r.queuedKeys()) - before
			r.check()
			if err := r.collector(r.inner).Sweep(t.Context(), r.now.Add(24*time.Hour)); err != nil {
				t.Fatal(err)
			}
			r.check()
			r.exact(at)
		}
	}
	t.Logf("%d objects were queued by looks", swept)
}

func (r *rig) look(s *Sweeper) {
	r.t.Helper()
	if err := s.Look(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

// exact demands that the bucket holds the segments that extents name, the packs of tails, and what is the leader's own.
func (r *rig) exact(at int) {
	r.t.Helper()
	needed := map[string]bool{}
	for n, l := range r.logs {
		for _, run := range l.runs {
			needed[r.room.key(run.Object)] = true
		}
		_, extents := r.extents(n)
		for _, e := range extents {
			needed[r.keys.Segment(n.Topic, n.Index, e.Base, e.Segment)] = true
		}
	}
	found, err := r.inner.List(context.Background(), "", "", 0)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, o := range found {
		k, _ := r.keys.Parse(o.Key)
		own := k.Session == r.session && (k.Kind == objstore.KindWAL || k.Kind == objstore.KindSnapshot)
		if !own && !needed[o.Key] {
			r.t.Errorf("crash at request %d: nothing needs %s", at, o.Key)
		}
	}
}
