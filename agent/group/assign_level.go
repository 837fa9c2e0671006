// Pure.

package group

import (
	"cmp"
	"slices"
)

// Bounds of the passes over all topics; a few are enough for anything that was not made to need more.
const (
	maxLevelPasses = 32
	maxLevelWork   = 2 * maxPairs // pairs of a member and a topic that all passes but the first look at
)

// level assigns when members subscribe to different topics. Members keep what they had; what is left goes to those with the least, topics
// with the fewest readers first; then, topic by topic, partitions move from those with the most to those with the least until no
// move of one partition would make it more even.
func (b *board) level() {
	load := make([]int32, len(b.spec.Members))
	for m := range b.spec.Members {
		b.had(&b.spec.Members[m], func(at int32) bool {
			if b.owner[at] == nobody {
				b.owner[at] = int32(m)
				load[m]++
			}
			return true
		})
	}
	topics, pairs := b.byReaders()
	for i := range topics {
		topics[i].fill(b, load)
	}
	for range min(maxLevelPasses, 1+maxLevelWork/max(pairs, 1)) {
		moved := false
		for i := range topics {
			moved = topics[i].even(b, load) || moved
		}
		if !moved {
			return
		}
	}
}

// shared is a topic with its readers, members by number.
type shared struct {
	topic   int32
	readers []int32
}

func (b *board) byReaders() (topics []shared, pairs int) {
	topics = make([]shared, len(b.spec.Topics))
	for m := range int32(len(b.spec.Members)) {
		b.reads(m, func(t int32) {
			topics[t].readers = append(topics[t].readers, m)
			pairs++
		})
	}
	for t := range topics {
		topics[t].topic = int32(t)
	}
	topics = slices.DeleteFunc(topics, func(s shared) bool { return len(s.readers) == 0 })
	slices.SortStableFunc(topics, func(x, y shared) int { return cmp.Compare(len(x.readers), len(y.readers)) })
	return topics, pairs
}

// fill gives out what nobody has.
func (s *shared) fill(b *board, load []int32) {
	row := b.row(s.topic)
	left := len(row) - owned(row)
	if left == 0 {
		return
	}
	quota := s.quotas(load, make([]int32, len(s.readers)), left)
	next := 0
	for i, m := range s.readers {
		for n := quota[i]; n > 0; next++ {
			if row[next] == nobody {
				row[next] = m
				load[m]++
				n--
			}
		}
	}
}

// even moves partitions of the topic between its readers, and returns whether it did.
func (s *shared) even(b *board, load []int32) bool {
	row := b.row(s.topic)
	least := load[s.readers[0]]
	for _, m := range s.readers {
		least = min(least, load[m])
	}
	if !slices.ContainsFunc(row, func(m int32) bool { return load[m] > least+1 }) {
		return false
	}
	at := b.count // of a member: how many it has, may keep, then lacks
	for _, m := range row {
		at[m]++
	}
	base, own := make([]int32, len(s.readers)), make([]int32, len(s.readers))
	for i, m := range s.readers {
		own[i] = at[m]
		base[i] = load[m] - own[i]
	}
	quota := s.quotasOf(base, own, len(row))
	for i, m := range s.readers {
		at[m] = quota[i]
	}
	for n, m := range row {
		if at[m] > 0 {
			at[m]--
		} else {
			row[n] = nobody
			load[m]--
		}
	}
	next := 0
	for _, m := range s.readers {
		for ; at[m] > 0; next++ {
			if row[next] == nobody {
				row[next] = m
				load[m]++
				at[m]--
			}
		}
	}
	return true
}

func (s *shared) quotas(load, own []int32, n int) []int32 {
	base := make([]int32, len(s.readers))
	for i, m := range s.readers {
		base[i] = load[m]
	}
	return s.quotasOf(base, own, n)
}

// quotasOf divides n partitions among readers that have base elsewhere, so that the least become as many as can be: like water that
// fills a vessel with an uneven floor. What does not divide goes to those that have more of them now.
func (s *shared) quotasOf(base, own []int32, n int) []int32 {
	order := make([]int32, len(base))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(x, y int32) int { return cmp.Or(cmp.Compare(base[x], base[y]), cmp.Compare(x, y)) })
	wet, volume := 1, 0 // readers under water, and what it takes to raise them to the floor of the next
	for ; wet < len(order); wet++ {
		rise := int(base[order[wet]]-base[order[wet-1]]) * wet
		if volume+rise >= n {
			break
		}
		volume += rise
	}
	top := int(base[order[wet-1]]) + (n-volume)/wet
	rest := (n - volume) % wet
	quota := make([]int32, len(base))
	for _, i := range order[:wet] {
		quota[i] = int32(top) - base[i]
	}
	more := slices.Clone(order[:wet])
	slices.SortStableFunc(more, func(x, y int32) int { return cmp.Compare(own[y]-quota[y], own[x]-quota[x]) })
	for _, i := range more[:rest] {
		quota[i]++
	}
	return quota
}
