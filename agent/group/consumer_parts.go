// Pure.

package group

import (
	"maps"
	"slices"

	"github.com/google/uuid"
)

// Parts is a set of partitions: topic -> partition numbers, ascending and each once; no topic without partitions. A Parts that was
// handed over is never changed.
type Parts map[uuid.UUID][]int32

// Len counts the partitions.
func (p Parts) Len() int {
	n := 0
	for _, s := range p {
		n += len(s)
	}
	return n
}

// has reports whether the partition is in p.
func (p Parts) has(topic uuid.UUID, part int32) bool {
	_, ok := slices.BinarySearch(p[topic], part)
	return ok
}

// normal returns what a client sent in order: sorted, without duplicates and empty topics.
func (p Parts) normal() Parts {
	out := make(Parts, len(p))
	for id, s := range p {
		if len(s) == 0 {
			continue
		}
		if !slices.IsSorted(s) {
			s = slices.Sorted(slices.Values(s))
		}
		out[id] = slices.Compact(slices.Clone(s))
	}
	return out
}

// topics returns the topics in order, so that whoever walks them does the same every time.
func (p Parts) topics() []uuid.UUID { return sortedIDs(maps.Keys(p)) }

// grant is a partition that a member was given, and the epoch at which (KIP-1251).
type grant struct{ part, epoch int32 }

// grants are the partitions of a member: topic -> grants, ascending; no topic without any.
type grants map[uuid.UUID][]grant

// len counts them.
func (g grants) len() int {
	n := 0
	for _, s := range g {
		n += len(s)
	}
	return n
}

// parts returns them without epochs; never nil.
func (g grants) parts() Parts {
	out := make(Parts, len(g))
	for id, s := range g {
		ps := make([]int32, len(s))
		for i := range s {
			ps[i] = s[i].part
		}
		out[id] = ps
	}
	return out
}

// epochOf returns the epoch at which the partition was given.
func (g grants) epochOf(topic uuid.UUID, part int32) (int32, bool) {
	s := g[topic]
	i, ok := slices.BinarySearchFunc(s, part, func(a grant, p int32) int { return int(a.part) - int(p) })
	if !ok {
		return 0, false
	}
	return s[i].epoch, true
}

// granted is p, given at epoch.
func granted(p Parts, epoch int32) grants {
	out := make(grants, len(p))
	for id, s := range p {
		gs := make([]grant, len(s))
		for i, n := range s {
			gs[i] = grant{n, epoch}
		}
		out[id] = gs
	}
	return out
}

// split divides g into what is in want, what is not, and what want has beside it.
func (g grants) split(want Parts) (kept, lost grants, missing Parts) {
	kept, lost, missing = grants{}, grants{}, Parts{}
	for id, have := range g {
		k, l := splitTopic(have, want[id])
		if len(k) > 0 {
			kept[id] = k
		}
		if len(l) > 0 {
			lost[id] = l
		}
	}
	for id, w := range want {
		if len(kept[id]) == len(w) {
			continue
		}
		var m []int32
		k := kept[id]
		for _, n := range w {
			if len(k) > 0 && k[0].part == n {
				k = k[1:]
			} else {
				m = append(m, n)
			}
		}
		missing[id] = m
	}
	return kept, lost, missing
}

// since divides g into what was given at epoch or later, and what was given before.
func (g grants) since(epoch int32) (late, early grants) {
	late, early = grants{}, grants{}
	for id, s := range g {
		for _, a := range s {
			if a.epoch >= epoch {
				late[id] = append(late[id], a)
			} else {
				early[id] = append(early[id], a)
			}
		}
	}
	return late, early
}

func splitTopic(have []grant, want []int32) (kept, lost []grant) {
	if len(have) == len(want) && slices.EqualFunc(have, want, func(a grant, n int32) bool { return a.part == n }) {
		return have, nil // nothing moved, as for most
	}
	for _, a := range have {
		for len(want) > 0 && want[0] < a.part {
			want = want[1:]
		}
		if len(want) > 0 && want[0] == a.part {
			kept = append(kept, a)
		} else {
			lost = append(lost, a)
		}
	}
	return kept, lost
}

// join returns both; of a partition in both that of b.
func (g grants) join(b grants) grants {
	if len(b) == 0 {
		return g
	}
	out := maps.Clone(g)
	if out == nil {
		out = grants{}
	}
	for id, s := range b {
		if len(out[id]) == 0 {
			out[id] = s
			continue
		}
		_, rest, _ := grants{id: out[id]}.split(grants{id: s}.parts())
		all := slices.Concat(rest[id], s)
		slices.SortFunc(all, func(a, b grant) int { return int(a.part) - int(b.part) })
		out[id] = all
	}
	return out
}

// meets reports whether p and g have a partition in common.
func (p Parts) meets(g grants) bool {
	for id, s := range g {
		if len(p[id]) == 0 {
			continue
		}
		for _, a := range s {
			if p.has(id, a.part) {
				return true
			}
		}
	}
	return false
}

// within reports whether g has all of p.
func (p Parts) within(g grants) bool {
	for id, s := range p {
		for _, n := range s {
			if _, ok := g.epochOf(id, n); !ok {
				return false
			}
		}
	}
	return true
}

// ledger counts who may hold each partition: one, or two for a while after a crash of the coordinator, when it is not known which of the two.
type ledger map[uuid.UUID][]uint8

// add changes the counts of all in g by n, 1 or -1.
func (l ledger) add(g grants, n int) {
	for id, s := range g {
		counts := l[id]
		if last := int(s[len(s)-1].part); last >= len(counts) {
			counts = append(counts, make([]uint8, last+1-len(counts))...)
			l[id] = counts
		}
		for _, a := range s {
			counts[a.part] = uint8(int(counts[a.part]) + n)
		}
		if n < 0 && !slices.ContainsFunc(counts, func(c uint8) bool { return c > 0 }) {
			delete(l, id)
		}
	}
}

// count returns how many may hold the partition.
func (l ledger) count(topic uuid.UUID, part int32) int {
	if counts := l[topic]; int(part) < len(counts) {
		return int(counts[part])
	}
	return 0
}
