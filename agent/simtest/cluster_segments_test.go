package simtest

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/varvelog/varve/agent"
)

// TestClusterSegments runs whole clusters under random faults while everything they write becomes packs and segments within seconds,
// and what nothing names is deleted after half a minute: leaders die, are fenced alive and hand slots over in the middle of it.
func TestClusterSegments(t *testing.T) {
	for seed := uint64(1); seed <= min(4, seedsAtOnce); seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { segmentSeed(t, seed) })
		})
	}
}

func segmentSeed(t *testing.T, seed uint64) {
	s := newSim(t, seed)
	defer s.end()
	s.change = func(c *agent.Config) {
		c.PackInterval, c.SegmentRoll, c.Grace, c.SnapshotInterval = time.Second, 6*time.Second, 30*time.Second, 4*time.Second
	}
	s.startAll()
	parts := s.topic("t", 6)
	w := s.workload()
	w.produce("p0", parts, 200*time.Millisecond)
	w.produce("p1", parts, 300*time.Millisecond)
	w.consume("r0", parts)
	if seed%4 == 0 {
		time.Sleep(45 * time.Second)
		s.expectQuiet()
	} else {
		s.misbehave(45 * time.Second)
	}
	s.allReady(2 * time.Minute)
	time.Sleep(time.Minute) // more than the TTL, and than the grace
	w.stop(200 * time.Second)
	s.readAll(parts, 200*time.Second)
	s.seen.check()
	kinds := (&world{objects: s.objects}).kinds(t)
	t.Logf("%v virtual: %d records, %d fences, objects by kind %v", time.Since(s.begun).Round(time.Second), len(s.seen.sends), s.facts.fences, kinds)
	if kinds["t"] == 0 {
		t.Error("nothing became a segment")
	}
}
