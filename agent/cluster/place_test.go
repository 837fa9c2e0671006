package cluster

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/peer"
	"github.com/varvelog/varve/metastore/records"
)

func nodesOf(n int) []Node {
	var all []Node
	for i := range n {
		all = append(all, Node{ID: int32(i + 1), Name: fmt.Sprint("n", i), Zone: fmt.Sprint("z", i%3), Session: uuid.UUID{byte(i + 1)}})
	}
	return all
}

// sums returns what each node leads after moves, the most, and the mean.
func sums(led map[uint16]uuid.UUID, nodes []Node, w []float64) (most, mean float64) {
	for _, s := range shares(led, nodes, w) {
		most = max(most, s.load)
		mean += s.load / float64(len(nodes))
	}
	return most, mean
}

func apply(led map[uint16]uuid.UUID, moves []move) {
	for _, m := range moves {
		led[m.slot] = m.to.Session
	}
}

func even1(n int) []float64 {
	w := make([]float64, n)
	for i := range w {
		w[i] = 1
	}
	return w
}

// A join moves no more than a share and one, and the most loaded leads at most 1.2 times the mean then; a second plan has
// nothing to add.
func TestPlanAfterAJoin(t *testing.T) {
	for slots := 16; slots <= 512; slots *= 2 {
		for agents := 2; agents <= 9 && agents*4 <= slots; agents++ {
			nodes, w, led := nodesOf(agents), even1(slots), map[uint16]uuid.UUID{}
			free := []uint16{}
			for n := range slots {
				free = append(free, uint16(n))
			}
			for n, to := range place(free, led, nodes[:agents-1], w) {
				led[n] = to.Session
			}
			moves := plan(led, nodes, w, slots/agents+1)
			apply(led, moves)
			if most, mean := sums(led, nodes, w); most > 1.2*mean {
				t.Errorf("%d slots, %d agents: the most loaded leads %v, the mean is %v", slots, agents, most, mean)
			}
			if more := plan(led, nodes, w, slots); len(more) > 0 {
				t.Errorf("%d slots, %d agents: %d moves, then %d more", slots, agents, len(moves), len(more))
			}
		}
	}
}

// After joins each stretch of slots is led by all agents: the partitions of a topic lie side by side.
func TestPlanSpreadsStretches(t *testing.T) {
	const slots, stretch = 256, 32
	w, led := even1(slots), map[uint16]uuid.UUID{}
	for n := range slots {
		led[uint16(n)] = nodesOf(1)[0].Session
	}
	for agents := 2; agents <= 4; agents++ {
		nodes := nodesOf(agents)
		apply(led, plan(led, nodes, w, slots))
		for from := range slots {
			count := map[uuid.UUID]int{}
			for n := range stretch {
				count[led[uint16((from+n)%slots)]]++
			}
			for _, node := range nodes {
				if n := count[node.Session]; n*agents > 2*stretch || n*agents*2 < stretch {
					t.Fatalf("%d agents: of %d slots from %d on %s leads %d", agents, stretch, from, node.Name, n)
				}
			}
		}
	}
}

// Uneven loads are evened out as far as single slots let them; slots that do no good stay.
func TestPlanByLoad(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		nodes, led := nodesOf(2+rng.IntN(5)), map[uint16]uuid.UUID{}
		w := make([]float64, 128)
		heaviest := 0.0
		for n := range w {
			w[n] = rng.ExpFloat64()
			heaviest = max(heaviest, w[n])
			led[uint16(n)] = nodes[rng.IntN(len(nodes))].Session
		}
		before, _ := sums(led, nodes, w)
		apply(led, plan(led, nodes, w, len(w)))
		most, mean := sums(led, nodes, w)
		if most > before || most > max(1.2*mean, heaviest) {
			t.Errorf("%d agents: most %v before, %v after, mean %v", len(nodes), before, most, mean)
		}
	}
}

// Slots of a dead agent go to those with the least, neighbours to different agents and zones.
func TestPlace(t *testing.T) {
	nodes, w := nodesOf(3), even1(12)
	free := []uint16{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
	chosen := place(free, nil, nodes, w)
	count := map[string]int{}
	for n, to := range chosen {
		count[to.Name]++
		if next, ok := chosen[n+1]; ok && next.Zone == to.Zone {
			t.Errorf("slots %d and %d are both led in zone %s", n, n+1, to.Zone)
		}
	}
	if len(chosen) != 12 || count["n0"] != 4 || count["n1"] != 4 || count["n2"] != 4 {
		t.Errorf("%v", count)
	}
	led := map[uint16]uuid.UUID{0: nodes[0].Session, 1: nodes[0].Session, 2: nodes[1].Session}
	if to := place([]uint16{9}, led, nodes, w)[9]; to.Name != "n2" {
		t.Errorf("a slot goes to %s, which leads more than n2", to.Name)
	}
	if len(place(free, nil, nil, w)) != 0 {
		t.Error("slots for nobody")
	}
}

func TestWatchedBy(t *testing.T) {
	for n := 1; n < 8; n++ {
		var ring []uuid.UUID
		for i := range n {
			ring = append(ring, uuid.UUID{byte(i + 1)})
		}
		seen := map[uuid.UUID]int{}
		for _, me := range ring {
			for _, id := range watchedBy(me, ring) {
				if seen[id]++; id == me {
					t.Errorf("%d sessions: one watches itself", n)
				}
			}
		}
		for _, id := range ring {
			if want := min(2, n-1); seen[id] != want {
				t.Errorf("%d sessions: one is watched by %d, want %d", n, seen[id], want)
			}
		}
	}
}

// A controller that finds many slots without a leader gives those away first that have the most to do, and no more than it may
// write at once; it does not choose for the others yet.
func TestAssignHeaviestFirst(t *testing.T) {
	const slots = 100
	me := uuid.New()
	c := NewCore(CoreConfig{Cluster: "c", Session: me, Agent: "a", Node: 1, Slots: slots, Heartbeat: 3 * time.Second, TTL: 9 * time.Second, Poll: 3 * time.Second})
	now := time.Unix(1e9, 0)
	var busy []peer.Load
	for n := slots - writesAtOnce; n < slots; n++ {
		busy = append(busy, peer.Load{Slot: uint16(n), Partitions: 1, Bytes: 1 << 20})
	}
	c.Step(now, Rates{busy})
	m := &Map{
		Live: map[uuid.UUID]string{me: "a"}, Past: map[uuid.UUID]records.Session{},
		Agents: []records.Agent{{Name: "a", NodeID: 1, Host: "a", Port: 1, Session: me}},
	}
	taken := 0
	for _, f := range c.Step(now, Answer{Job: about(jobMap, uuid.Nil), Version: records.Version{Map: 1}, Map: m}) {
		if w, ok := f.(Write); ok && w.Job.Kind == jobTake {
			if taken++; w.Job.Slot < slots-writesAtOnce {
				t.Errorf("slot %d, which is idle, before busy ones", w.Job.Slot)
			}
		}
	}
	if taken != writesAtOnce {
		t.Errorf("%d slots given away at once, want %d", taken, writesAtOnce)
	}
}
