package simtest

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// script runs f on a cluster of three agents that serve, with clients about; then everything is settled and checked.
func script(t *testing.T, f func(s *clusterSim)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 1)
		defer s.end()
		s.startAll()
		parts := s.topic("t", 6)
		w := s.workload()
		w.produce("p0", parts, 200*time.Millisecond)
		w.consume("r0", parts)
		time.Sleep(5 * time.Second)
		f(s)
		s.settle(w, parts)
	})
}

// emptySlot returns a slot that has no partition of the topic.
func (s *clusterSim) emptySlot(topic string) uint16 {
	s.t.Helper()
	item, err := s.facts.Get(s.t.Context(), s.facts.cluster.TopicKey(topic), metastore.Consistent)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := records.DecodeTopic(item)
	if err != nil {
		s.t.Fatal(err)
	}
	for slot := uint16(0); ; slot++ {
		if !slices.Contains(r.Slots, slot) {
			return slot
		}
	}
}

// move has a slot handed to an agent.
func (s *clusterSim) move(slot uint16, to string) {
	s.t.Helper()
	for range 600 {
		_, _, slots := s.facts.snapshot()
		if slots[slot].Agent == to {
			return
		}
		if slots[slot].Want == "" { // or the controller took the wish back
			_ = s.wish(slot, slots[slot].V, to)
		}
		time.Sleep(100 * time.Millisecond)
	}
	s.t.Fatalf("slot %d does not move to %s\n%s", slot, to, s.seen.play())
}

// A slot goes to and fro between two sessions. What its leader knew of the other session the last time is not what it has to know
// now: from[] is not shortened before the new pin is gone.
func TestSlotGoesToAndFro(t *testing.T) {
	script(t, func(s *clusterSim) {
		empty := s.emptySlot("t") // nothing of it lies in any WAL, so that it is soon let go of
		for range 3 {
			for _, to := range []string{"a", "b"} {
				s.move(empty, to)
				time.Sleep(3 * time.Second)
			}
		}
	})
}
