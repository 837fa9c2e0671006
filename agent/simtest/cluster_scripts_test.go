package simtest

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/varvelog/varve/agent"
	"github.com/varvelog/varve/metastore"
	factfault "github.com/varvelog/varve/metastore/fault"
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
		s.settle(w, append(parts, s.extra...))
	})
}

// slotsOf returns the slot of each partition of a topic.
func (s *clusterSim) slotsOf(topic string) []uint16 {
	s.t.Helper()
	item, err := s.facts.Get(s.t.Context(), s.facts.cluster.TopicKey(topic), metastore.Consistent)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := records.DecodeTopic(item)
	if err != nil {
		s.t.Fatal(err)
	}
	return r.Slots
}

// emptySlot returns a slot that has no partition of the topic.
func (s *clusterSim) emptySlot(topic string) uint16 {
	s.t.Helper()
	of := s.slotsOf(topic)
	for slot := uint16(0); ; slot++ {
		if !slices.Contains(of, slot) {
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

// R4, R17, Z1: an agent is frozen for longer than the TTL with writes on their way to everywhere, and wakes up in a cluster that has
// gone on. What its clients sent it is acked by others; nothing of its late writes counts.
func TestR4Zombie(t *testing.T) {
	script(t, func(s *clusterSim) {
		w := s.workload()
		p := &producer{name: "q", client: s.producerClient("q"), n: map[tp]int{}}
		w.producers = append(w.producers, p)
		for _, name := range s.names {
			for i := range 1000 { // its share of them is in its sockets when it stands still
				s.send(s.t.Context(), p, tp{"t", int32(i % 6)})
			}
			s.net.freeze(name)
			time.Sleep(13500 * time.Millisecond)
			s.expectLedBy(name, 0)
			time.Sleep(10 * time.Second)
			s.net.thaw(name)
			time.Sleep(20 * time.Second)
		}
		s.expectSessions(6, 3)
		w.stop(time.Minute)
	})
}

// expectLedBy: an agent leads so many slots.
func (s *clusterSim) expectLedBy(name string, want int) {
	s.t.Helper()
	_, _, slots := s.facts.snapshot()
	got := 0
	for _, slot := range slots {
		if slot.Agent == name {
			got++
		}
	}
	if got != want {
		s.violation("V17: %s leads %d slots, want %d", name, got, want)
	}
}

// R9: A dies; B takes its slots and dies before it wrote anything; C finds A's tail.
func TestR9TakenAndDead(t *testing.T) {
	script(t, func(s *clusterSim) {
		s.onFacts(func(_ string, c factfault.Call) factfault.Action {
			if isWrite(c) && c.Key.PK == s.facts.cluster.SlotsPK() {
				return factfault.Action{Do: factfault.CrashAfter}
			}
			return factfault.Action{}
		}, "b", "c")
		s.kill("a", true)
		for _, name := range []string{"b", "c"} {
			go func() {
				select {
				case <-s.agents[name].facts.Crashed():
					s.kill(name, true)
				case <-s.agents[name].done:
				}
			}()
		}
		time.Sleep(10 * time.Second)
		for _, name := range s.names {
			s.revive(name)
		}
	})
}

// R20: slot A(e) -> B(e+1) -> A(e+2), the same session of A, which dies before its slot-open(e+2) is committed.
func TestR20BackToTheSameSession(t *testing.T) {
	script(t, func(s *clusterSim) {
		for slot := range uint16(8) {
			s.move(slot, "a")
			time.Sleep(time.Second)
			s.move(slot, "b")
			time.Sleep(time.Second)
			s.net.cut("a", objectsHost) // it takes the slot, and cannot open it
			s.move(slot, "a")
			time.Sleep(500 * time.Millisecond)
			s.kill("a", false)
			s.net.mend("a", objectsHost)
			time.Sleep(5 * time.Second)
			s.revive("a")
			s.allReady(time.Minute)
			time.Sleep(3 * time.Second)
		}
	})
}

// R21: a topic is created and written within one poll, and then its leaders die.
func TestR21NewTopic(t *testing.T) {
	script(t, func(s *clusterSim) {
		w := s.workload()
		for i, name := range s.names {
			parts := s.topic("new-"+name, 8)
			p := &producer{name: "q" + name, client: s.producerClient("q" + name), n: map[tp]int{}}
			w.producers = append(w.producers, p)
			for _, at := range parts {
				s.send(s.t.Context(), p, at)
			}
			time.Sleep(time.Duration(300+100*i) * time.Millisecond)
			s.kill(name, true)
			time.Sleep(5 * time.Second)
			s.revive(name)
			s.allReady(time.Minute)
			s.extra = append(s.extra, parts...)
		}
		w.stop(time.Minute)
	})
}

// R22: snapshots are taken all the time while sequences are appended and not committed; the agent dies, its producers retry.
func TestR22SnapshotsUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 1)
		defer s.end()
		s.change = func(c *agent.Config) { c.SnapshotFlushes, c.SnapshotInterval = 2, time.Second }
		s.startAll()
		parts := s.topic("t", 6)
		w := s.workload()
		for _, name := range []string{"p0", "p1", "p2"} {
			w.produce(name, parts, 50*time.Millisecond)
		}
		w.consume("r0", parts)
		for i := range 9 {
			name := s.names[i%3]
			s.net.delay(name, objectsHost, time.Second)
			time.Sleep(5 * time.Second)
			s.kill(name, i%2 == 0)
			s.net.delay(name, objectsHost, 0)
			time.Sleep(3 * time.Second)
			s.revive(name)
			s.allReady(time.Minute)
		}
		s.settle(w, parts)
	})
}

// R23: the links of healthy agents are reset every 50 ms for a minute; for another one they are cut. Nobody is fenced.
func TestR23BadLinks(t *testing.T) {
	script(t, func(s *clusterSim) {
		for range 1200 {
			time.Sleep(50 * time.Millisecond)
			s.net.reset("a", "b")
			s.net.reset("b", "c")
			s.net.reset("a", "c")
		}
		s.net.cut("a", "b")
		s.net.cut("c", "a")
		time.Sleep(time.Minute)
		s.net.mendAll()
		s.expectSessions(3, 0)
	})
}

// R24: whoever seals reads the map long after the fence; nobody moves a slot meanwhile. Both survivors are slow, one more than the
// other.
func TestR24SlowSeal(t *testing.T) {
	script(t, func(s *clusterSim) {
		s.onFacts(func(name string, c factfault.Call) factfault.Action {
			if c.Op == factfault.Query && c.Consistency == metastore.Consistent {
				return factfault.Action{Do: factfault.Pass, Delay: map[string]time.Duration{"b": 3 * time.Second, "c": 700 * time.Millisecond}[name]}
			}
			return factfault.Action{}
		}, "b", "c")
		s.kill("a", true)
		time.Sleep(25 * time.Second)
		s.well()
		s.revive("a")
	})
}

// R26, Z16: the update that hands a slot over has an unknown outcome and lands late, or never; its target is dead, or its owner is
// fenced midway.
func TestR26HandOverUnknown(t *testing.T) {
	for name, after := range map[string]time.Duration{"late": 4 * time.Second, "very late": 30 * time.Second, "never": time.Hour} {
		t.Run(name, func(t *testing.T) {
			script(t, func(s *clusterSim) {
				s.move(0, "a")
				for round := range 3 {
					s.onFacts(func(_ string, c factfault.Call) factfault.Action {
						if c.Op == factfault.Write && c.Key == s.facts.cluster.SlotKey(0) {
							return factfault.Action{Do: factfault.Late, After: after}
						}
						return factfault.Action{}
					}, "a")
					_, _, slots := s.facts.snapshot()
					_ = s.wish(0, slots[0].V, "b")
					time.Sleep(8 * time.Second)
					switch round {
					case 1:
						s.kill("b", false)
					case 2:
						s.net.freeze("a")
					}
					time.Sleep(15 * time.Second)
					s.net.thaw("a")
					s.well()
					s.revive("b")
					s.allReady(time.Minute)
					time.Sleep(10 * time.Second)
					s.move(0, "a")
				}
			})
		})
	}
}

// Z15: all agents are killed at once, some of their writes still to land.
func TestZ15AllDead(t *testing.T) {
	script(t, func(s *clusterSim) {
		for i := range 4 {
			time.Sleep(2 * time.Second)
			for _, name := range s.names {
				s.kill(name, i%2 == 0)
			}
			time.Sleep(time.Duration(i) * 5 * time.Second)
			for _, name := range s.names {
				s.revive(name)
			}
			s.allReady(time.Minute)
		}
	})
}

// A rolling restart under load: nobody is fenced, and no client sees an error.
func TestRollingRestart(t *testing.T) {
	script(t, func(s *clusterSim) {
		for range 2 {
			for _, name := range s.names {
				if err := s.stop(name); err != nil {
					s.violation("%s stops with %v", name, err)
				}
				time.Sleep(time.Second)
				s.revive(name)
				s.allReady(time.Minute)
				time.Sleep(5 * time.Second)
			}
		}
		s.expectSessions(9, 0)
	})
}
