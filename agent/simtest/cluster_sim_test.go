package simtest

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// TestClusterSim runs whole clusters under random faults, a seed each. A quarter of the seeds has no faults.
// A seed gives the same faults at the same moments, and nearly always the same run: `make sim SEED=n`.
func TestClusterSim(t *testing.T) { eachSeed(t, seedsAtOnce, runSeed) }

// eachSeed runs seeds 1 to n, or those that the environment names, in bubbles side by side.
func eachSeed(t *testing.T, n uint64, run func(t *testing.T, seed uint64)) {
	first := uint64(1)
	if v := os.Getenv("VARVE_SIM_SEED"); v != "" {
		first, n = number(t, v), 1
	}
	if v := os.Getenv("VARVE_SIM_N"); v != "" {
		n = number(t, v)
	}
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { run(t, seed) })
		})
	}
}

func number(t *testing.T, v string) uint64 {
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		t.Fatalf("%q is not a number", v)
	}
	return n
}

func runSeed(t *testing.T, seed uint64) {
	s := newSim(t, seed)
	defer s.end()
	s.startAll()
	parts := s.topic("t", 6)
	w := s.workload()
	w.produce("p0", parts, 200*time.Millisecond)
	w.produce("p1", parts, 300*time.Millisecond)
	w.consume("r0", parts)
	s.live(seed%4 == 0)
	s.settle(w, parts)
}

// live lets 45 s pass: quietly, or with faults.
func (s *clusterSim) live(quiet bool) {
	if quiet {
		time.Sleep(45 * time.Second)
		s.expectQuiet()
	} else {
		s.misbehave(45 * time.Second)
	}
}

// topic creates a topic and returns its partitions.
func (s *clusterSim) topic(name string, partitions int32) (parts []tp) {
	s.t.Helper()
	s.createTopic(name, partitions)
	for i := range partitions {
		parts = append(parts, tp{name, i})
	}
	return parts
}

// expectQuiet: nobody is fenced in a cluster without faults.
func (s *clusterSim) expectQuiet() {
	s.facts.mu.Lock()
	defer s.facts.mu.Unlock()
	if s.facts.fences > 0 {
		s.violation("E6: %d sessions were fenced without a fault", s.facts.fences)
	}
}

// settle ends a run: all agents serve, everything that was sent is acked, all of it is read, and every check is made.
func (s *clusterSim) settle(w *workload, parts []tp) {
	s.t.Helper()
	s.allReady(2 * time.Minute)
	time.Sleep(15 * time.Second) // more than the TTL
	w.stop(200 * time.Second)
	s.readAll(parts, 200*time.Second)
	s.seen.check()
	s.walk()
	s.t.Logf("%v virtual: %d records, %d fences, %d moves, %d writes to the table", time.Since(s.begun).Round(time.Second), len(s.seen.sends), s.facts.fences, s.facts.moves, s.facts.writes)
}
