// Pure.

package group

import (
	"slices"

	"github.com/google/uuid"
)

// The assignors that run in the agent.
const (
	Uniform = "uniform" // as even as can be, moving as little as can be
	Range   = "range"   // the same partition numbers of all topics to one member, so that it can join them
)

// Assignors are the names of all, the preferred one first.
func Assignors() []string { return []string{Uniform, Range} }

// Spec is what an assignor knows. Like Kafka's (4.x) it does not look at racks: any agent serves any partition in the zone of the client.
type Spec struct {
	Members []SpecMember // in the order of their ids
	Topics  []SpecTopic  // all that members subscribe to, in the order of their ids
}

// SpecMember is a member.
type SpecMember struct {
	ID       string
	Instance string      // of a static member
	Topics   []uuid.UUID // that there are, in order; members with the same subscription share the slice
	Had      Parts       // the target before
}

// SpecTopic is a topic.
type SpecTopic struct {
	ID         uuid.UUID
	Partitions int32
}

// size is the number of members and partitions.
func (s *Spec) size() int {
	n := len(s.Members)
	for _, t := range s.Topics {
		n += int(t.Partitions)
	}
	return n
}

// Assign gives every partition to exactly one member that subscribes to its topic, if there is one. The result, in the order of the
// members, depends on nothing but s.
func Assign(name string, s Spec) []Parts {
	b := newBoard(s)
	alike := b.alike()
	switch {
	case !alike && b.pairs() > maxPairs:
		b.coarse()
	case name == Range:
		b.ranges(alike)
	case alike:
		b.even()
	default:
		b.level()
	}
	return b.result()
}

// maxPairs bounds the work where members subscribe to different topics, which grows with the sum of all subscriptions (1,000 members with
// 2,000 topics each): nobody can hold an agent for seconds.
const maxPairs = 2_000_000

const nobody = -1

// board is the work of one assignment: topics and members by number, all partitions in one row.
type board struct {
	spec  Spec
	base  []int32             // of topic t: where its partitions begin; one more at the end
	topic map[uuid.UUID]int32 // number of a topic
	owner []int32             // of a partition: a member, or nobody
	kinds map[place]*kind     // by where the subscription lies, which members share
	count []int32             // of a member: scratch, all 0 between uses
}

// kind is a subscription: topics by number, in order.
type kind struct {
	topics  []int32
	members []int32 // who has it, in order; set by pairs
}

func newBoard(s Spec) *board {
	b := &board{spec: s, base: make([]int32, 1, len(s.Topics)+1), topic: make(map[uuid.UUID]int32, len(s.Topics)), kinds: map[place]*kind{}}
	for t, topic := range s.Topics {
		b.topic[topic.ID] = int32(t)
		b.base = append(b.base, b.base[t]+max(topic.Partitions, 0))
	}
	b.owner = slices.Repeat([]int32{nobody}, int(b.base[len(s.Topics)]))
	b.count = make([]int32, len(s.Members))
	return b
}

// alike reports that all members subscribe to all topics.
func (b *board) alike() bool {
	if len(b.spec.Members) == 0 || len(b.spec.Members[0].Topics) != len(b.spec.Topics) {
		return false
	}
	same := map[place]bool{} // where subscriptions lie that are known to be the same
	for _, m := range b.spec.Members[1:] {
		if len(m.Topics) == 0 || !same[placeOf(m.Topics)] && !sameTopics(m.Topics, b.spec.Members[0].Topics) {
			return false
		}
		same[placeOf(m.Topics)] = true
	}
	return true
}

func sameTopics(x, y []uuid.UUID) bool {
	return len(x) == len(y) && (len(x) == 0 || &x[0] == &y[0] || slices.Equal(x, y))
}

// place is where a slice lies.
type place struct {
	first *uuid.UUID
	n     int
}

func placeOf(topics []uuid.UUID) place { return place{&topics[0], len(topics)} }

// pairs is the number of pairs of a member and a topic that it subscribes to.
func (b *board) pairs() int {
	n := 0
	for m := range b.spec.Members {
		if k := b.kind(&b.spec.Members[m]); k != nil {
			k.members = append(k.members, int32(m))
			n += len(k.topics)
		}
	}
	return n
}

// kind returns what a member subscribes to; nil: nothing.
func (b *board) kind(m *SpecMember) *kind {
	if len(m.Topics) == 0 {
		return nil
	}
	at := placeOf(m.Topics)
	if k := b.kinds[at]; k != nil {
		return k
	}
	k := &kind{topics: make([]int32, 0, len(m.Topics))}
	for _, id := range m.Topics {
		if t, ok := b.topic[id]; ok {
			k.topics = append(k.topics, t)
		}
	}
	b.kinds[at] = k
	return k
}

// reads calls each with every topic that a member subscribes to, in order.
func (b *board) reads(m int32, each func(topic int32)) {
	if k := b.kind(&b.spec.Members[m]); k != nil {
		for _, t := range k.topics {
			each(t)
		}
	}
}

// had walks over the partitions that a member had and may keep, in order, as long as each returns true.
func (b *board) had(m *SpecMember, each func(at int32) bool) {
	k := b.kind(m)
	if k == nil {
		return
	}
	topics := make([]int32, 0, len(m.Had))
	for id := range m.Had {
		if t, ok := b.topic[id]; ok {
			if _, reads := slices.BinarySearch(k.topics, t); reads {
				topics = append(topics, t)
			}
		}
	}
	slices.Sort(topics)
	for _, t := range topics {
		first, end := b.base[t], b.base[t+1]
		for _, n := range m.Had[b.spec.Topics[t].ID] {
			if n < 0 || n >= end-first {
				continue
			}
			if !each(first + n) {
				return
			}
		}
	}
}

// result collects what everybody has.
func (b *board) result() []Parts {
	counts := make([]int, len(b.spec.Members))
	for _, m := range b.owner {
		if m != nobody {
			counts[m]++
		}
	}
	rows := make([][]int32, len(counts)) // of a member: its partitions so far
	out := make([]Parts, len(counts))
	for m, n := range counts {
		rows[m], out[m] = make([]int32, 0, n), Parts{}
	}
	begun := make([]int, len(counts)) // of a member: where the current topic begins in its row
	for t, topic := range b.spec.Topics {
		first, end := b.base[t], b.base[t+1]
		touched := b.owner[first:end]
		for n, m := range touched {
			if m != nobody {
				rows[m] = append(rows[m], int32(n))
			}
		}
		for _, m := range touched {
			if m == nobody || begun[m] == len(rows[m]) {
				continue
			}
			out[m][topic.ID] = rows[m][begun[m]:len(rows[m]):len(rows[m])]
			begun[m] = len(rows[m])
		}
	}
	return out
}
