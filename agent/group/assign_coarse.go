// Pure.

package group

import "slices"

// coarse assigns when members subscribe to so many different topics that whoever reads which of them is too much to look at. Members keep
// what they had up to an equal share of everything. What is left goes to readers below that share, subscription by subscription; when
// there are none, to whoever had it, or to all readers in turn. How even that is depends on how much the subscriptions have in common.
// It takes a step for each partition, each member, and each topic of each subscription.
func (b *board) coarse() {
	members := len(b.spec.Members)
	share := int32((len(b.owner) + members - 1) / members)
	load, was := b.count, slices.Repeat([]int32{nobody}, len(b.owner))
	for m := range b.spec.Members {
		b.had(&b.spec.Members[m], func(at int32) bool {
			switch {
			case b.owner[at] != nobody:
			case load[m] < share:
				b.owner[at] = int32(m)
				load[m]++
			default:
				was[at] = int32(m)
			}
			return true
		})
	}
	readers := b.queues()
	for t := range b.spec.Topics {
		for at := b.base[t]; at < b.base[t+1]; at++ {
			if b.owner[at] != nobody || len(readers[t]) == 0 {
				continue
			}
			m := next(&readers[t], load, share, was[at])
			b.owner[at] = m
			load[m]++
		}
	}
	clear(load)
}

// queue is the members with one subscription, and how far it was gone through.
type queue struct {
	members []int32
	full    int // so many, from the first on, have their share
	turn    int // of those that get more
}

// queues are those of each topic, in the order of their first members.
func (b *board) queues() [][]*queue {
	topics, known := make([][]*queue, len(b.spec.Topics)), map[*kind]bool{}
	for m := range b.spec.Members {
		k := b.kind(&b.spec.Members[m])
		if k == nil || known[k] {
			continue
		}
		known[k] = true
		q := &queue{members: k.members}
		for _, t := range k.topics {
			topics[t] = append(topics[t], q)
		}
	}
	return topics
}

// next is the reader that gets a partition which a member had, or nobody. Queues in which nobody is below share go, but for the last.
func next(readers *[]*queue, load []int32, share, was int32) int32 {
	for {
		q := (*readers)[0]
		for q.full < len(q.members) && load[q.members[q.full]] >= share {
			q.full++
		}
		if q.full < len(q.members) {
			return q.members[q.full]
		}
		if len(*readers) > 1 {
			*readers = (*readers)[1:]
			continue
		}
		if was != nobody {
			return was
		}
		q.turn++
		return q.members[q.turn%len(q.members)]
	}
}
