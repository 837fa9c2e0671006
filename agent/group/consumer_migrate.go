// Pure.

package group

import (
	"fmt"
	"slices"
	"time"
)

// Upgrade makes of a classic group one that members of the newer protocol can join: what a shell does when the first of them
// does, if the group's policy allows it or nobody is in it. The epoch goes on from the generation. The classic group stays as it was;
// if it is given up it must be aborted with ErrRebalance, so that members whose requests are parked join again. ErrOtherType: a member
// is no consumer, or says what cannot be read.
func Upgrade(c *Classic, b ConsumerBounds, cat *Catalogue, now time.Time) (*Consumer, error) {
	g := NewConsumer(b, cat)
	g.epoch, g.targetEpoch, g.emptied = c.generation, c.generation, c.emptied
	if len(c.members) > 0 && c.kind != "consumer" {
		return nil, fmt.Errorf("%w: its members are of type %.100q", ErrOtherType, c.kind)
	}
	owned := make([]Parts, len(c.order))
	for i, id := range c.order {
		var err error
		if owned[i], err = g.adopt(c, c.members[id], now); err != nil {
			return nil, err
		}
	}
	for i, id := range c.order {
		g.concede(g.members[id], owned[i])
	}
	for id := range c.pending {
		if g.given == nil {
			g.given = map[string]bool{}
		}
		g.given[id] = true
	}
	g.sum, g.settled = g.checksum(), false
	return g, nil
}

// adopt takes in a member of a classic group, with what it was assigned. It returns what the member said it has when it joined.
func (g *Consumer) adopt(c *Classic, old *member, now time.Time) (Parts, error) {
	unreadable := fmt.Errorf("%w: member %.100q says of itself what cannot be read", ErrOtherType, old.id)
	if len(old.protocols) == 0 {
		return nil, unreadable
	}
	metadata := old.protocols[0].Metadata
	if chosen := old.metadata(c.assignor); chosen != nil {
		metadata = chosen
	}
	says, ok := parseEmbedded(metadata)
	has, ok2 := parseAssigned(old.assignment)
	if !ok || !ok2 {
		return nil, unreadable
	}
	m := &consumer{
		id: old.id, instance: old.instance, client: old.client, host: old.host, rack: says.rack, rebalance: old.rebalance, epoch: c.generation,
		legacy:   &legacy{session: old.session, protocols: old.protocols, version: says.version},
		deadline: now.Add(old.session),
	}
	names := slices.Compact(slices.Sorted(slices.Values(says.topics)))
	w := &interest{key: interestKey(names, ""), names: names}
	if err := w.resolve(g.cat, false); err != nil {
		return nil, err
	}
	m.wants = g.share(w)
	m.assigned = granted(partsOf(has, g.cat), c.generation)
	g.insert(m)
	g.held.add(m.assigned, 1)
	return partsOf(says.owned, g.cat), nil
}

// concede has a member keep what it said it has when it joined, as far as nobody was assigned that: the group is rebalancing, or the member
// was told to give it up and is about to (cooperative assignors do that first, and join once more).
func (g *Consumer) concede(m *consumer, owned Parts) {
	_, _, more := m.assigned.split(owned)
	kept := granted(g.available(m, more), m.epoch)
	g.held.add(kept, 1)
	m.assigned = m.assigned.join(kept)
	m.target = m.assigned.parts()
}

// AllClassic reports that every member speaks JoinGroup: then a shell makes the group classic again, if its policy allows it.
func (g *Consumer) AllClassic() bool {
	for _, m := range g.members {
		if m.legacy == nil {
			return false
		}
	}
	return len(g.members) > 0
}

// Modern reports whether this member speaks ConsumerGroupHeartbeat: it must not commit with versions of OffsetCommit that know no epochs.
func (g *Consumer) Modern(id string) bool {
	m := g.members[id]
	return m != nil && m.legacy == nil
}

// Downgrade makes a classic group of one whose members are AllClassic, or that is empty. Its members join again; until then they have what
// they have. The generation goes on from the highest epoch that one of them was told: so its heartbeat is told to join again, and not
// that it has lost everything.
func Downgrade(g *Consumer, b Bounds, now time.Time) (*Classic, Effects) {
	c := NewClassic(b)
	c.generation, c.emptied = g.epoch, g.emptied
	if len(g.members) > 0 {
		c.generation = 0
	}
	for _, id := range g.order {
		m := g.members[id]
		c.generation = max(c.generation, m.epoch)
		c.kind = "consumer"
		all := m.assigned.join(m.revoking).join(m.maybe)
		c.members[id] = &member{
			id: id, instance: m.instance, client: m.client, host: m.host, session: m.legacy.session, rebalance: m.rebalance,
			protocols: m.legacy.protocols, assignment: embedAssigned(all.parts(), m.legacy.version, g.cat), synced: true, deadline: now.Add(m.legacy.session),
		}
		c.order = append(c.order, id)
		if m.instance != nil {
			c.static[*m.instance] = id
		}
	}
	var out Effects
	c.out = &out
	if len(c.members) > 0 {
		c.state = Stable
		c.assignor = c.vote()
		c.disturb(now)
	}
	out.Save = true
	c.out = nil
	return c, out
}
