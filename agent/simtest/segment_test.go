package simtest

import (
	"maps"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/varvelog/varve/agent"
	factfault "github.com/varvelog/varve/metastore/fault"
	"github.com/varvelog/varve/objstore"
	objfault "github.com/varvelog/varve/objstore/fault"
)

// hasty makes of hours what takes a moment: all that the segment room does happens many times in a test.
func hasty(c *agent.Config) {
	c.PackInterval, c.SegmentRoll, c.Grace = 40*time.Millisecond, 400*time.Millisecond, 300*time.Millisecond
	c.SnapshotInterval, c.SnapshotFlushes, c.Heartbeat = 200*time.Millisecond, 7, 100*time.Millisecond
}

// What was acked is read back, at its offset and once, while it becomes packs and segments on stores that delay, throttle, lose replies
// and apply late, and while the agent crashes time and again, whatever it was doing. What nothing names is deleted meanwhile.
func TestFaultySegments(t *testing.T) {
	rng := seeded(t)
	w := newWorld(t)
	w.change = hasty
	w.plans = func() (objfault.Plan, factfault.Plan) {
		o := objfault.Plan{Seed: rng.Uint64()}
		o.Rates[objfault.Put] = objfault.Rates{Jitter: 5 * time.Millisecond, Throttle: 0.05, Error: 0.05, Lost: 0.1, Late: 0.05, LateFor: 50 * time.Millisecond}
		o.Rates[objfault.Get] = objfault.Rates{Throttle: 0.05, Error: 0.05}
		o.Rates[objfault.Delete] = objfault.Rates{Error: 0.1, Lost: 0.1}
		f := factfault.Plan{Seed: rng.Uint64()}
		f.Rates[factfault.Write] = factfault.Rates{Jitter: 3 * time.Millisecond, Throttle: 0.05, Error: 0.05, Lost: 0.1, Late: 0.05, LateFor: 20 * time.Millisecond}
		return o, f
	}
	w.start()
	w.createTopic("orders", 8)
	acked := map[string]place{}
	producer := w.client()
	for round := range 8 {
		for part := range 5 {
			maps.Copy(acked, w.produce(producer, "orders", round*300+part*60, 60))
			time.Sleep(time.Duration(rng.IntN(150)) * time.Millisecond)
		}
		w.crash()
		w.start()
	}
	expectEqual(t, w.consume("orders", len(acked)), acked)
	w.becameSegments(t)
}

// becameSegments counts the objects by kind, and wants segments among them.
func (w *world) becameSegments(t *testing.T) {
	t.Helper()
	kinds := w.kinds(t)
	t.Log("objects by kind:", kinds)
	if kinds[objstore.KindSegment] == 0 {
		t.Error("nothing became a segment")
	}
}

// kinds counts the objects by the letter of their kind.
func (w *world) kinds(t *testing.T) map[string]int {
	t.Helper()
	found, err := w.objects.List(t.Context(), "varve/", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, o := range found {
		p, err := objstore.Keys{Cluster: "varve"}.Parse(o.Key)
		if err != nil {
			t.Fatal(err)
		}
		kinds[p.Kind]++
	}
	return kinds
}

// A topic is deleted: its packs, segments and extents go, whatever was under way, and its WAL with them once snapshots know.
func TestDeletedTopicLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.change = hasty
	w.start()
	w.createTopic("orders", 4)
	producer := w.client()
	for round := range 5 {
		w.produce(producer, "orders", round*100, 100)
		time.Sleep(200 * time.Millisecond)
	}
	w.becameSegments(t)
	w.produce(producer, "orders", 500, 100)
	admin := kadm.NewClient(w.client())
	if _, err := admin.DeleteTopic(t.Context(), "orders"); err != nil {
		t.Fatal(err)
	}
	w.createTopic("others", 1)
	for i := 0; ; i++ {
		kinds := w.kinds(t)
		if kinds[objstore.KindSegment] == 0 && kinds[objstore.KindPack] == 0 {
			break
		}
		if i == 200 {
			t.Fatal("after 20 s there are still ", kinds)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
