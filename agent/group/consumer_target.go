// Pure.

package group

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// wanted returns what a member will subscribe to with this heartbeat; m is what is known of it, or nil. The interest is not the
// group's yet.
func (g *Consumer) wanted(e *ConsumerBeat, m *consumer) (*interest, error) {
	var names []string
	regex := ""
	if m != nil {
		if e.Names == nil && (e.Regex == nil || *e.Regex == m.wants.regex) {
			return m.wants, nil
		}
		names, regex = m.wants.names, m.wants.regex
	}
	if e.Names != nil {
		names = slices.Compact(slices.Sorted(slices.Values(e.Names)))
	}
	if e.Regex != nil {
		regex = *e.Regex
	}
	key := interestKey(names, regex)
	if w := g.interests[key]; w != nil {
		return w, nil
	}
	if n := g.regexes(); regex != "" && n >= maxRegexes {
		return nil, fmt.Errorf("%w: its members subscribe to %d different regular expressions", ErrFull, n)
	}
	w := &interest{key: key, names: names, regex: regex}
	if err := w.resolve(g.cat, true); err != nil {
		return nil, err
	}
	return w, nil
}

// maxRegexes bounds the different subscriptions with a regular expression in a group: each may stand for all topics there are, and is matched
// when one comes.
const maxRegexes = 100

func (g *Consumer) regexes() int {
	n := 0
	for _, w := range g.interests {
		if w.regex != "" {
			n++
		}
	}
	return n
}

// interestKey tells interests apart. Names of topics have no control characters; whatever a hostile client sends in their place
// makes an interest of its own or shares one that resolves alike.
func interestKey(names []string, regex string) string {
	var b strings.Builder
	for _, n := range append([]string{regex}, names...) {
		b.Write(binary.AppendUvarint(nil, uint64(len(n))))
		b.WriteString(n)
	}
	return b.String()
}

// resolve looks up the topics. check refuses expressions that are too much work.
func (w *interest) resolve(cat *Catalogue, check bool) error {
	var topics []uuid.UUID
	if w.regex != "" {
		found, err := cat.match(w.regex, check)
		if err != nil {
			return err
		}
		topics = append(topics, found...)
	}
	for _, n := range w.names {
		if t, ok := cat.names[n]; ok {
			topics = append(topics, t.ID)
		}
	}
	slices.SortFunc(topics, compareID)
	w.topics = slices.Compact(topics)
	return nil
}

// share makes w the group's, for one more member.
func (g *Consumer) share(w *interest) *interest {
	if known := g.interests[w.key]; known != nil {
		w = known
	}
	g.interests[w.key] = w
	w.users++
	return w
}

// release drops w for one member.
func (g *Consumer) release(w *interest) {
	if w == nil {
		return
	}
	if w.users--; w.users == 0 {
		delete(g.interests, w.key)
	}
}

// refresh takes over the newest topics, and returns whether what the group reads has changed: a topic came, grew, went, or was
// created again.
func (g *Consumer) refresh() bool {
	if g.cat.version == g.seen {
		return false
	}
	g.seen = g.cat.version
	for _, w := range g.interests {
		_ = w.resolve(g.cat, false) // it compiled when it was taken
	}
	return g.sum != g.checksum()
}

// checksum stands for the topics that the group reads, and how many partitions they have.
func (g *Consumer) checksum() uint64 {
	h := fnv.New64a()
	for _, id := range g.topics() {
		_, _ = h.Write(id[:])
		_, _ = h.Write(binary.BigEndian.AppendUint32(nil, uint32(g.cat.ids[id].Partitions)))
	}
	return h.Sum64()
}

// topics are all that the members subscribe to, in order.
func (g *Consumer) topics() []uuid.UUID {
	if len(g.interests) == 1 {
		for _, w := range g.interests {
			return w.topics
		}
	}
	all := map[uuid.UUID]bool{}
	for _, w := range g.interests {
		for _, id := range w.topics {
			all[id] = true
		}
	}
	ids := make([]uuid.UUID, 0, len(all))
	for id := range all {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, compareID)
	return ids
}

// bump raises the group epoch: a new target is due.
func (g *Consumer) bump(now time.Time) {
	g.epoch++
	g.out.Save, g.settled = true, false
	if len(g.members) == 0 {
		g.targetEpoch, g.emptied, g.sum = g.epoch, now, 0
	}
}

// retarget computes the target if it is due and the last is long enough ago for a group of this size.
func (g *Consumer) retarget(now time.Time) {
	if g.epoch == g.targetEpoch || len(g.members) == 0 {
		return
	}
	soon := !g.assignedAt.IsZero() && now.Before(g.assignedAt.Add(g.bounds.AssignInterval))
	if soon && len(g.members) > assignAtOnce { // without a look at what each wants
		return
	}
	spec := g.spec()
	if soon && spec.size() > assignAtOnce {
		return
	}
	g.assignor = g.vote()
	for i, target := range Assign(g.assignor, spec) {
		g.members[g.order[i]].target = target
	}
	g.targetEpoch, g.assignedAt, g.sum = g.epoch, now, g.checksum()
	g.out.Save = true
}

// vote is the assignor that most members ask for; of two the one that the agent prefers, which also wins if nobody asks.
func (g *Consumer) vote() string {
	votes := map[string]int{}
	for _, m := range g.members {
		if m.assignor != "" {
			votes[m.assignor]++
		}
	}
	best := Uniform
	for _, name := range Assignors() {
		if votes[name] > votes[best] {
			best = name
		}
	}
	return best
}

// spec is what the assignors need to know, members in the group's order.
func (g *Consumer) spec() Spec {
	s := Spec{Members: make([]SpecMember, len(g.order))}
	for i, id := range g.order {
		m := g.members[id]
		s.Members[i] = SpecMember{ID: m.id, Topics: m.wants.topics, Had: m.target}
		if m.instance != nil {
			s.Members[i].Instance = *m.instance
		}
	}
	for _, id := range g.topics() {
		s.Topics = append(s.Topics, SpecTopic{ID: id, Partitions: g.cat.ids[id].Partitions})
	}
	return s
}
