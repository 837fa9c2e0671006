package cluster

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/peer"
)

// cannotRelieve reports whether no single move would relieve an agent: each slot that it leads, but for slot 0, weighs at least what it
// leads more than the least loaded. With k of them it leads at most k/(k-1) times the mean then.
func cannotRelieve(s *share, all []*share, w []float64) bool {
	least := slices.MinFunc(all, byLoad).load
	for n := range s.slots {
		if n > 0 && w[n] < s.load-least-1e-9 {
			return false
		}
	}
	return true
}

// drawLoads returns what slots cost: all the same, at random, or (the third kind) a few have nearly all.
func drawLoads(rng *rand.Rand, slots, kinds int) []float64 {
	w := make([]float64, slots)
	kind := rng.IntN(kinds)
	for n := range w {
		switch kind {
		case 0:
			w[n] = 1
		case 1:
			w[n] = 0.04 + rng.ExpFloat64()
		case 2:
			w[n] = 0.04
			if rng.IntN(8) == 0 {
				w[n] += 10 * rng.Float64()
			}
		}
	}
	return w
}

// A plan ends where it says: each agent leads at most lopsided times the mean, or cannot be relieved by any single move; each move
// does some good; and it is never longer than it may be.
func TestPlanBound(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		slots := []int{16, 64, 256}[rng.IntN(3)]
		nodes, led := nodesOf(2+rng.IntN(6)), map[uint16]uuid.UUID{}
		w := drawLoads(rng, slots, 3)
		crowd := 1 + rng.IntN(len(nodes)) // the others lead nothing
		for n := range slots {
			led[uint16(n)] = nodes[rng.IntN(crowd)].Session
		}
		budget := slots / len(nodes)
		before, _ := sums(led, nodes, w)
		some := plan(led, nodes, w, budget)
		if len(some) > budget {
			t.Errorf("%d moves of %d", len(some), budget)
		}
		apply(led, some)
		if after, _ := sums(led, nodes, w); after > before {
			t.Errorf("some moves: the most loaded led %v, then %v", before, after)
		}
		apply(led, plan(led, nodes, w, slots*len(nodes)))
		all := shares(led, nodes, w)
		_, mean := sums(led, nodes, w)
		for _, s := range all {
			if s.load > lopsided*mean+1e-9 && !cannotRelieve(s, all, w) {
				t.Errorf("%d slots, %d agents: %s leads %v in %d slots, the mean is %v", slots, len(nodes), s.node.Name, s.load, len(s.slots), mean)
			}
			k := float64(len(s.slots))
			if s.slots[0] {
				k--
			}
			if k > 1 && s.load > max(lopsided, k/(k-1))*mean+1e-9 {
				t.Errorf("%s leads %v in %v slots, the mean is %v", s.node.Name, s.load, k, mean)
			}
		}
		if more := plan(led, nodes, w, slots); len(more) > 0 {
			t.Errorf("%d more moves after a plan that was carried out", len(more))
		}
	}
}

// Neighbours are led in different zones when they can: when no zone has more than half of the agents.
func TestPlaceNeighboursInDifferentZones(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, slots := range []int{16, 64, 256} {
		for agents := 2; agents <= 7; agents++ {
			for _, w := range [][]float64{even1(slots), drawLoads(rng, slots, 2), drawLoads(rng, slots, 2)} {
				nodes, free := nodesOf(agents), []uint16{}
				for n := range slots {
					free = append(free, uint16(n))
				}
				chosen := place(free, nil, nodes, w)
				same := 0
				for n := range slots {
					if chosen[uint16(n)].Zone == chosen[uint16((n+1)%slots)].Zone {
						same++
					}
				}
				equal := slices.Max(w) == slices.Min(w)
				if equal && same > 2 || same*10 > slots*3 {
					t.Errorf("%d slots, %d agents, all the same %v: %d neighbours in one zone", slots, agents, equal, same)
				}
			}
		}
	}
}

// town is a play of agents under load, whose slots are handed over without a mishap.
type town struct {
	*play
	bytes  []uint32 // a second, by slot
	since  map[[2]int32]time.Time
	hands  int // slots handed over
	grants int // slots that may have been, by what was promised
	serial map[string]int
}

func newTown(t *testing.T, slots, agents int, rng *rand.Rand) *town {
	playSlots = slots
	w := &town{play: newPlay(t), bytes: make([]uint32, slots), since: map[[2]int32]time.Time{}, serial: map[string]int{}}
	w.mute, w.zones = true, 3
	for n, x := range drawLoads(rng, slots, 3) {
		w.bytes[n] = uint32(x * (1 << 20))
	}
	for i := range agents {
		w.comes(string(rune('a' + i)))
		w.live(time.Second)
	}
	for i := 0; i < 30 && (i < 3 || w.uneven() != ""); i++ {
		w.live(10 * time.Second)
	}
	if bad := w.uneven(); bad != "" {
		t.Errorf("%d slots, %d agents: at the begin %s", slots, agents, bad)
	}
	w.hands, w.grants = 0, 0
	return w
}

// comes has an agent start.
func (w *town) comes(name string) *actor {
	w.serial[name]++
	a := w.enters(fmt.Sprint(name, w.serial[name]))
	a.fate = func(f Effect) whatNext {
		if jobOf(f).Kind == jobHand {
			w.hands++
		}
		return goesWell
	}
	w.grant()
	return a
}

// goes has an agent end itself.
func (w *town) goes(name string) {
	w.closes(w.cast[fmt.Sprint(name, w.serial[name])])
	w.grant()
}

// grant notes that agents came or went: slots/agents+1 may move.
func (w *town) grant() {
	if n := len(w.lives()); n > 0 {
		w.grants += playSlots/n + 1
	}
}

func (w *town) lives() (all []*actor) {
	for _, name := range slices.Sorted(maps.Keys(w.cast)) {
		if a := w.cast[name]; !a.dead {
			all = append(all, a)
		}
	}
	return all
}

// live lets time go by, in which every agent measures its slots as Member.Run does.
func (w *town) live(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); {
		w.pass(min(tellEvery, end.Sub(w.now)))
		for _, a := range w.lives() {
			var loads []peer.Load
			for _, n := range sorted(a.open) {
				at := [2]int32{int32(n), a.open[n]}
				if w.since[at].IsZero() {
					w.since[at] = w.now
				}
				if w.now.Sub(w.since[at]) >= measureFor {
					loads = append(loads, peer.Load{Slot: n, Partitions: 1, Bytes: w.bytes[n]})
				}
			}
			w.step(a, Rates{loads})
		}
		w.settle()
	}
}

// uneven says who leads too much; empty: nobody.
func (w *town) uneven() string {
	var nodes []Node
	led, served := map[uint16]uuid.UUID{}, 0
	bytes := make([]float64, playSlots)
	for n := range bytes {
		bytes[n] = float64(w.bytes[n])
	}
	var weights []float64
	for _, a := range w.lives() {
		nodes = append(nodes, Node{Name: a.name, Session: a.id})
		for n := range a.open {
			led[n] = a.id
			served++
		}
		if a.core.leadsFirst() {
			weights = a.core.weights()
		}
	}
	if len(led) != playSlots || served != playSlots || weights == nil {
		return fmt.Sprintf("%d slots are served, %d of them once, of %d", served, len(led), playSlots)
	}
	most, mean := sums(led, nodes, bytes)
	all := shares(led, nodes, weights)
	for i, s := range shares(led, nodes, bytes) {
		heaviest := 0.0
		for n := range s.slots {
			heaviest = max(heaviest, bytes[n])
		}
		if s.load > max(1.2*mean, heaviest+0.2*mean) && !cannotRelieve(all[i], all, weights) {
			return fmt.Sprintf("%s leads %.2f times the mean, in %d slots", s.node.Name, most/mean, len(s.slots))
		}
	}
	return ""
}

// After a join, a leave, two joins in a row, and when all are started anew one after the other, each agent leads at most 1.2 times the mean
// within a minute; or a fifth of the mean besides its heaviest slot, which nobody can split; or each of its slots weighs what it leads more
// than the least loaded. No more slots are handed over than slots/agents+1 for each that came or went.
func TestBalanced(t *testing.T) {
	defer func(n int) { playSlots = n }(playSlots)
	rng := rand.New(rand.NewPCG(7, 8))
	letter := func(i int) string { return string(rune('a' + i)) }
	for _, x := range []struct {
		what string
		do   func(w *town, agents int)
	}{
		{"a join", func(w *town, agents int) { w.comes(letter(agents)) }},
		{"a leave", func(w *town, agents int) { w.goes(letter(rng.IntN(agents))) }},
		{"two joins", func(w *town, agents int) {
			w.comes(letter(agents))
			w.live(time.Duration(rng.IntN(4000)) * time.Millisecond)
			w.comes(letter(agents + 1))
		}},
		{"all start anew", func(w *town, agents int) {
			for i := range agents {
				w.goes(letter(i))
				w.live(time.Duration(rng.IntN(4000)) * time.Millisecond)
				w.comes(letter(i))
				w.live(time.Duration(rng.IntN(6000)) * time.Millisecond)
			}
		}},
	} {
		for _, slots := range []int{16, 64, 256} {
			for agents := 2; agents <= 7; agents++ {
				if agents%3 != 1 && (slots != 16 || agents != 2) || slots > 16 && agents != 4 || slots > 64 && x.what != "a join" {
					continue
				}
				w := newTown(t, slots, agents, rng)
				x.do(w, agents)
				w.live(time.Minute)
				if bad := w.uneven(); bad != "" {
					t.Errorf("%s, %d slots, %d agents: %s", x.what, slots, agents, bad)
				}
				if w.hands > w.grants {
					t.Errorf("%s, %d slots, %d agents: %d slots were handed over, %d may", x.what, slots, agents, w.hands, w.grants)
				}
			}
		}
	}
}

// Wishes that meet another write of the slot's item are not carried out; they do not count as moves, and are wished anew within seconds.
func TestRefusedWishesAreWishedAnew(t *testing.T) {
	p := newPlay(t)
	a := p.enters("a1")
	met := map[uint16]bool{}
	a.fate = func(f Effect) whatNext {
		if w, ok := f.(Write); ok && w.Job.Kind == jobWant && !met[uint16(w.Job.Slot)] {
			n := uint16(w.Job.Slot)
			met[n] = true
			p.write(clearOp("c", p.slot(n), nil, uuid.New())) // by whoever leads it
		}
		return goesWell
	}
	b := p.enters("b1")
	p.pass(8 * time.Second)
	if len(met) < 3 || len(b.open) != 3 {
		t.Errorf("%d wishes were refused; b leads %d slots", len(met), len(b.open))
	}
}

// A controller that was started just now does not know the loads; when it hears of them it does not wait for a minute.
func TestLoadsBecomeKnown(t *testing.T) {
	defer func(n int) { playSlots = n }(playSlots)
	playSlots = 16
	p := newPlay(t)
	a, b := p.enters("a1"), p.enters("b1")
	p.pass(10 * time.Second)
	heavy := sorted(b.open)[:2] // all that b leads but two weigh nothing
	for _, x := range []*actor{a, b} {
		var loads []peer.Load
		for _, n := range sorted(x.open) {
			l := peer.Load{Slot: n, Partitions: 1}
			if slices.Contains(heavy, n) {
				l.Bytes = 1 << 20
			}
			loads = append(loads, l)
		}
		p.step(x, Rates{loads})
	}
	p.settle()
	p.pass(8 * time.Second)
	led := 0
	for _, n := range heavy {
		if _, here := a.open[n]; here {
			led++
		}
	}
	if led != 1 {
		t.Errorf("of two heavy slots a leads %d", led)
	}
}
