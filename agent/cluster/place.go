// Pure.

package cluster

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/google/uuid"
)

// Balance is sought when an agent leads more than lopsided times the mean, or nothing, and is reached at even times the mean.
const (
	lopsided = 1.15
	even     = 1.04
)

// move is a slot that another agent shall lead.
type move struct {
	slot uint16
	from uuid.UUID
	to   Node
}

// share is an agent with what it leads.
type share struct {
	node  Node
	load  float64
	slots map[uint16]bool
}

func shares(led map[uint16]uuid.UUID, nodes []Node, weights []float64) []*share {
	var all []*share
	by := map[uuid.UUID]*share{}
	for _, n := range nodes {
		s := &share{node: n, slots: map[uint16]bool{}}
		all, by[n.Session] = append(all, s), s
	}
	for _, n := range sorted(led) {
		if s := by[led[n]]; s != nil {
			s.load += weights[n]
			s.slots[n] = true
		}
	}
	return all
}

// place chooses a leader for each free slot: the agent with the least to do, of equals the one that has least to do
// with the slots around. Nothing, if there is nobody.
func place(free []uint16, led map[uint16]uuid.UUID, nodes []Node, weights []float64) map[uint16]Node {
	all := shares(led, nodes, weights)
	chosen := map[uint16]Node{}
	if len(all) == 0 {
		return chosen
	}
	zones := map[uint16]string{}
	for _, s := range all {
		for n := range s.slots {
			zones[n] = s.node.Zone
		}
	}
	for _, n := range heaviest(free, weights, len(free)) {
		best := slices.MinFunc(all, func(a, b *share) int {
			return cmp.Or(cmp.Compare(a.load, b.load), cmp.Compare(a.near(n, zones, len(weights), len(all)), b.near(n, zones, len(weights), len(all))), cmp.Compare(a.node.ID, b.node.ID))
		})
		best.load += weights[n]
		best.slots[n] = true
		zones[n] = best.node.Zone
		chosen[n] = best.node
	}
	return chosen
}

// heaviest returns at most most slots in the order in which place gives them away: by weight, the largest first.
func heaviest(free []uint16, weights []float64, most int) []uint16 {
	order := slices.Clone(free)
	slices.SortStableFunc(order, func(a, b uint16) int { return cmp.Compare(weights[b], weights[a]) })
	return order[:min(most, len(order))]
}

// near says how much an agent has to do with the slots around one, those closest counting most: the slots of a topic lie side by
// side, and each stretch of them is to be led by all agents. Slots that it leads count double, those in its zone once.
func (s *share) near(n uint16, zones map[uint16]string, slots, window int) (points int) {
	for d := 1; d <= window; d++ {
		for _, m := range []int{int(n) + d, int(n) - d + slots} {
			if m := uint16(m % slots); s.slots[m] {
				points += 2 * (window + 1 - d)
			} else if z, ok := zones[m]; ok && z == s.node.Zone && z != "" {
				points += window + 1 - d
			}
		}
	}
	return points
}

// plan returns at most most moves that even out what the agents lead; none, if that is even enough.
func plan(led map[uint16]uuid.UUID, nodes []Node, weights []float64, most int) []move {
	all := shares(led, nodes, weights)
	total, idle := 0.0, false
	for _, s := range all {
		total += s.load
		idle = idle || len(s.slots) == 0
	}
	mean := total / float64(len(all))
	zones := map[uint16]string{}
	for _, s := range all {
		for n := range s.slots {
			zones[n] = s.node.Zone
		}
	}
	byLoad := func(a, b *share) int { return cmp.Or(cmp.Compare(a.load, b.load), cmp.Compare(a.node.ID, b.node.ID)) }
	if hi := slices.MaxFunc(all, byLoad); hi.load <= mean*lopsided && !idle {
		return nil
	}
	var moves []move
	for len(moves) < most {
		hi, lo := slices.MaxFunc(all, byLoad), slices.MinFunc(all, byLoad)
		if hi.load <= mean*even && len(lo.slots) > 0 {
			break
		}
		n, ok := hi.pick(lo, weights, zones, len(all))
		if !ok {
			break
		}
		delete(hi.slots, n)
		lo.slots[n] = true
		hi.load -= weights[n]
		lo.load += weights[n]
		zones[n] = lo.node.Zone
		moves = append(moves, move{n, hi.node.Session, lo.node})
	}
	return moves
}

// pick chooses the slot whose move from s to lo evens out most: the one closest to half of the difference, and below all of it; of
// equals not slot 0, so that the controller stays where it is, and where s leads most and lo least.
func (s *share) pick(lo *share, weights []float64, zones map[uint16]string, agents int) (uint16, bool) {
	gap := s.load - lo.load
	var fit []uint16
	for _, n := range sorted(s.slots) {
		if weights[n] < gap-1e-9 {
			fit = append(fit, n)
		}
	}
	if len(fit) == 0 {
		return 0, false
	}
	crowded := map[uint16]int{} // how much more lo has to do with the slots around than s
	for _, n := range fit {
		crowded[n] = lo.near(n, zones, len(weights), agents) - s.near(n, zones, len(weights), agents)
	}
	return slices.MinFunc(fit, func(a, b uint16) int {
		return cmp.Or(
			cmp.Compare(off(weights[a], gap), off(weights[b], gap)), first(a)-first(b), cmp.Compare(crowded[a], crowded[b]),
			cmp.Compare(bits.Reverse16(b), bits.Reverse16(a)), // the first few far apart, should there be no more
		)
	}), true
}

// first is 1 for slot 0.
func first(n uint16) int {
	if n == 0 {
		return 1
	}
	return 0
}

func off(w, gap float64) float64 {
	if d := w - gap/2; d > 0 {
		return d
	}
	return gap/2 - w
}
