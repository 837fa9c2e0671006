// Pure.

package group

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// ranges assigns each topic by itself, as evenly as can be, in an order of members that lasts: static ones by instance id, then the
// others by member id. Topics with as many partitions and the same readers are assigned alike, partition by partition, whatever
// the past of each is: that is what the assignor is for. Within that members keep what they had.
func (b *board) ranges(alike bool) {
	order := make([]int32, len(b.spec.Members))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(x, y int32) int {
		m, n := &b.spec.Members[x], &b.spec.Members[y]
		return cmp.Or(cmp.Compare(btoi(m.Instance == ""), btoi(n.Instance == "")), cmp.Compare(m.Instance, n.Instance), cmp.Compare(m.ID, n.ID))
	})
	for m := range b.spec.Members {
		b.had(&b.spec.Members[m], func(at int32) bool {
			if b.owner[at] == nobody {
				b.owner[at] = int32(m)
			}
			return true
		})
	}
	for _, set := range b.joinable(order, alike) {
		before := b.row(set.topics[0])
		for _, t := range set.topics[1:] {
			if row := b.row(t); owned(row) > owned(before) {
				before = row // a new topic follows those that are assigned
			}
		}
		row := spread(before, set.readers, b.count)
		for _, t := range set.topics {
			copy(b.row(t), row)
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (b *board) row(t int32) []int32 { return b.owner[b.base[t]:b.base[t+1]] }

func owned(row []int32) int {
	n := 0
	for _, m := range row {
		if m != nobody {
			n++
		}
	}
	return n
}

// joinable are topics with as many partitions and the same readers.
type joinable struct {
	topics  []int32
	readers []int32 // members, in order
}

// joinable groups the topics. alike: everybody reads all of them.
func (b *board) joinable(order []int32, alike bool) []*joinable {
	readers := make([][]int32, len(b.spec.Topics))
	for _, m := range order {
		if !alike {
			b.reads(m, func(t int32) { readers[t] = append(readers[t], m) })
		}
	}
	var all []*joinable
	known := map[string]*joinable{}
	for t := range b.spec.Topics {
		key := binary.BigEndian.AppendUint32(nil, uint32(b.base[t+1]-b.base[t]))
		for _, m := range readers[t] {
			key = binary.BigEndian.AppendUint32(key, uint32(m))
		}
		if alike {
			readers[t] = order
		} else if len(readers[t]) == 0 {
			continue
		}
		set := known[string(key)]
		if set == nil {
			set = &joinable{readers: readers[t]}
			known[string(key)] = set
			all = append(all, set)
		}
		set.topics = append(set.topics, int32(t))
	}
	return all
}

// spread returns who gets the partitions of a topic: as evenly as can be, everybody the lowest of what it had up to its share, the rest in
// order. load counts by member, and is all 0 again at the end.
func spread(before, readers, load []int32) []int32 {
	row := slices.Repeat([]int32{nobody}, len(before))
	share, extras := int32(len(row)/len(readers)), len(row)%len(readers)
	for n, m := range before { // all readers, or nobody: nobody else keeps what it had
		switch {
		case m == nobody:
		case load[m] < share:
			row[n] = m
			load[m]++
		case load[m] == share && extras > 0:
			extras--
			row[n] = m
			load[m]++
		}
	}
	next := 0
	for _, m := range readers {
		want := share
		if load[m] <= share && extras > 0 {
			want++
			extras--
		}
		for ; load[m] < want; next++ {
			if row[next] == nobody {
				row[next] = m
				load[m]++
			}
		}
	}
	for _, m := range readers {
		load[m] = 0
	}
	return row
}
