// Pure.

package group

import "github.com/google/uuid"

// CheckCommit says whether whoever says to be this member, at this epoch, may commit offsets at all; may then says it of one
// partition: a member that has not heard of its newest epoch may commit what it was given at its own or before (KIP-1251), and a
// member that lost a partition and got it back may not commit what it read before. A commit by nobody (epoch below 0, no member) is for
// groups without members. It is no sign of life.
func (g *Consumer) CheckCommit(id string, epoch int32) (may func(topic uuid.UUID, part int32) error, err error) {
	anything := func(uuid.UUID, int32) error { return nil }
	if epoch < 0 && len(g.members) == 0 {
		return anything, nil
	}
	m := g.members[id]
	switch {
	case m == nil:
		return nil, ErrUnknownMember
	case epoch < 0:
		return nil, ErrStaleEpoch
	case epoch == m.epoch, m.restored && epoch == g.restoredAt && epoch > m.epoch:
		return anything, nil
	case m.legacy != nil:
		return nil, ErrGeneration
	case epoch > m.epoch:
		return nil, ErrStaleEpoch
	}
	return func(topic uuid.UUID, part int32) error {
		for _, has := range []grants{m.assigned, m.revoking, m.maybe} {
			if at, ok := has.epochOf(topic, part); ok && at <= epoch {
				return nil
			}
		}
		return ErrStaleEpoch
	}, nil
}

// CheckFetch says whether whoever says to be this member, at this epoch, is told committed offsets. Whoever says nothing (no member, epoch
// below 0) is.
func (g *Consumer) CheckFetch(id string, epoch int32) error {
	if id == "" && epoch < 0 {
		return nil
	}
	m := g.members[id]
	switch {
	case m == nil:
		return ErrUnknownMember
	case epoch < 0:
	case epoch == m.epoch, m.restored && epoch == g.restoredAt && epoch > m.epoch:
		return nil
	}
	return ErrStaleEpoch
}

// Reads reports whether a member subscribes to the topic: then its offsets neither expire nor can be deleted.
func (g *Consumer) Reads(topic uuid.UUID) bool {
	for _, w := range g.interests {
		for _, id := range w.topics {
			if id == topic {
				return true
			}
		}
	}
	return false
}

// unread does not count topics that are newer than what the members' subscriptions were resolved against.
func (g *Consumer) unread(*Catalogue) func(uuid.UUID) bool {
	if g.seen != g.cat.version {
		return nil
	}
	read := map[uuid.UUID]bool{}
	for _, w := range g.interests {
		for _, id := range w.topics {
			read[id] = true
		}
	}
	return func(id uuid.UUID) bool {
		_, known := g.cat.ids[id]
		return known && !read[id]
	}
}

// ConsumerDescription is a group as administrators are told of it.
type ConsumerDescription struct {
	State       string
	Epoch       int32
	TargetEpoch int32
	Assignor    string
	Members     []ConsumerMember // in the order of their ids
}

// ConsumerMember is one of its members.
type ConsumerMember struct {
	ID       string
	Instance *string
	Rack     string
	Client   string
	Host     string
	Epoch    int32
	Names    []string
	Regex    string
	Classic  bool // it speaks JoinGroup
	Assigned Parts
	Target   Parts
}

// State is the name that Kafka's tools show.
func (g *Consumer) State() string {
	switch {
	case len(g.members) == 0:
		return "Empty"
	case g.epoch != g.targetEpoch:
		return "Assigning"
	}
	for _, m := range g.members {
		if m.progress != reached || m.epoch != g.targetEpoch && m.epoch != leftForAWhile {
			return "Reconciling"
		}
	}
	return "Stable"
}

// Describe returns a description.
func (g *Consumer) Describe() ConsumerDescription {
	d := ConsumerDescription{State: g.State(), Epoch: g.epoch, TargetEpoch: g.targetEpoch, Assignor: g.assignor}
	for _, id := range g.order {
		m := g.members[id]
		d.Members = append(d.Members, ConsumerMember{
			ID: m.id, Instance: m.instance, Rack: m.rack, Client: m.client, Host: m.host, Epoch: m.epoch,
			Names: m.wants.names, Regex: m.wants.regex, Classic: m.legacy != nil, Assigned: m.assigned.parts(), Target: m.target,
		})
	}
	return d
}
