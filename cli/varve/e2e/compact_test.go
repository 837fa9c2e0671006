//go:build e2e

package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestSegmentCompact: two agents cut what a topic holds when they are asked, hours before its time, while it is written on.
func TestSegmentCompact(t *testing.T) {
	t.Parallel() // as others that mostly wait
	f := newFleet(t, 2)
	f.awaitEven(t, 2)
	const partitions = 6
	createTopic(t, f.agents[0].addr, "soon", partitions)
	createTopic(t, f.agents[0].addr, "later", 1)
	l := startLoad(t, f.agents[0].addr, "soon", partitions, kgo.SeedBrokers(f.seeds()...))
	l.outage(t, time.Minute)
	var got struct {
		Partitions, Segments, Bytes int
		Agents                      []struct{ Agent, Partitions, Segments int }
	}
	if err := json.Unmarshal([]byte(f.ok(t, "segment", "compact", "soon", "--now", "-o", "json")), &got); err != nil {
		t.Fatal(err)
	}
	if got.Partitions != partitions || got.Segments < partitions || got.Bytes == 0 || len(got.Agents) != 2 {
		t.Errorf("%+v", got)
	}
	l.finish(t)
	cut := f.agents[0].objectsOf(t, "t")
	if cut != got.Segments {
		t.Errorf("%d segments in the bucket, %d were told of", cut, got.Segments)
	}
	f.ok(t, "segment", "compact", "soon", "--now")
	if again := f.agents[0].objectsOf(t, "t"); again <= cut {
		t.Errorf("%d segments, %d before", again, cut)
	}
	l.check(t, f.agents[0].addr, "soon")
	if out := f.ok(t, "segment", "compact", "later", "--now"); !strings.Contains(out, "later") {
		t.Errorf("%q", out)
	}
	f.fails(t, []string{"segment", "compact", "never", "--now"}, "unknown topic", "never")
	for _, a := range f.agents {
		a.stop(t)
	}
	f.only(t, "")
}
