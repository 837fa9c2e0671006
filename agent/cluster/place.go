// Pure.

package cluster

import (
	"cmp"
	"math"
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

// place chooses a leader for each free slot: of the agents that lead less than their share with it, and of that with the least to do, the
// one in whose zone no neighbour of the slot is led; of these the one with the least to do, of equals the one that has least to do with
// the slots around. Nothing, if there is nobody.
func place(free []uint16, led map[uint16]uuid.UUID, nodes []Node, weights []float64) map[uint16]Node {
	all, zones, mean := shares(led, nodes, weights), map[uint16]string{}, 0.0
	chosen := map[uint16]Node{}
	if len(all) == 0 {
		return chosen
	}
	for _, s := range all {
		mean += s.load / float64(len(all))
		for n := range s.slots {
			zones[n] = s.node.Zone
		}
	}
	for _, n := range free {
		mean += weights[n] / float64(len(all))
	}
	for _, n := range heaviest(free, weights, len(free)) {
		limit := max(slices.MinFunc(all, byLoad).load, mean*even-weights[n])
		best := slices.MinFunc(slices.DeleteFunc(slices.Clone(all), func(s *share) bool { return s.load > limit }), func(a, b *share) int {
			return cmp.Or(
				a.beside(n, zones, len(weights))-b.beside(n, zones, len(weights)), cmp.Compare(a.load, b.load),
				cmp.Compare(a.near(n, zones, len(weights), len(all)), b.near(n, zones, len(weights), len(all))), byLoad(a, b),
			)
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

// beside returns how many neighbours of a slot are led in the agent's zone.
func (s *share) beside(n uint16, zones map[uint16]string, slots int) (same int) {
	for _, m := range []int{int(n) + 1, int(n) - 1 + slots} {
		if z, ok := zones[uint16(m%slots)]; ok && z == s.node.Zone && z != "" {
			same++
		}
	}
	return same
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

func byLoad(a, b *share) int {
	return cmp.Or(cmp.Compare(a.load, b.load), cmp.Compare(a.node.ID, b.node.ID))
}

// plan returns at most most moves that even out what the agents lead; none, if that is even enough. If most does not end it, each agent
// leads at most lopsided times the mean, or each slot that it leads, slot 0 apart, weighs at least what it leads more than the least
// loaded.
func plan(led map[uint16]uuid.UUID, nodes []Node, weights []float64, most int) []move {
	all, zones, total := shares(led, nodes, weights), map[uint16]string{}, 0.0
	for _, s := range all {
		total += s.load
		for n := range s.slots {
			zones[n] = s.node.Zone
		}
	}
	mean, limit := total/float64(len(all)), lopsided
	var moves []move
	for len(moves) < most {
		hi, lo, n := choose(all, mean*limit, weights, zones)
		if hi == nil {
			break
		}
		delete(hi.slots, n)
		lo.slots[n] = true
		hi.load -= weights[n]
		lo.load += weights[n]
		zones[n] = lo.node.Zone
		moves = append(moves, move{n, hi.node.Session, lo.node})
		limit = even
	}
	return moves
}

// choose returns the next move, to the least loaded agent from one that leads more than limit: the one that evens out most, for moves
// are few, and to relieve an agent of all but one slot that is too much for anybody would take them all. If one leads nothing it comes
// from whoever can give. Nil: there is no such move.
func choose(all []*share, limit float64, weights []float64, zones map[uint16]string) (hi, lo *share, n uint16) {
	lo = slices.MinFunc(all, byLoad)
	most := 0.0
	for _, s := range all {
		if s.load <= limit && len(lo.slots) > 0 {
			continue
		}
		if m, ok := s.pick(lo, weights, zones, len(all)); ok {
			if good := weights[m] * (s.load - lo.load - weights[m]); good > most {
				hi, n, most = s, m, good
			}
		}
	}
	return hi, lo, n
}

// pick chooses the slot whose move from s to lo evens out most: the one closest to half of the difference, and below all of it; of
// equals, about, where s leads most and lo least. Slot 0 stays: the controller would go along, and begin anew.
func (s *share) pick(lo *share, weights []float64, zones map[uint16]string, agents int) (uint16, bool) {
	gap := s.load - lo.load
	var fit []uint16
	for _, n := range sorted(s.slots) {
		if n > 0 && weights[n] < gap-1e-9 {
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
			cmp.Compare(off(weights[a], gap), off(weights[b], gap)), cmp.Compare(crowded[a], crowded[b]),
			cmp.Compare(bits.Reverse16(b), bits.Reverse16(a)), // the first few far apart, should there be no more
		)
	}), true
}

// off is how far a weight is from half of a difference, in sixteenths of it.
func off(w, gap float64) int { return int(math.Abs(w-gap/2) * 16 / gap) }
