// Pure.

package group

import (
	"cmp"
	"time"
)

// legacy is what is known besides of a member that speaks JoinGroup in a group that has moved on (online migration). Its epoch is its
// generation. It is led to its target as the others are: a heartbeat tells it to join again whenever there is a step to
// take, the Join says exactly what it has, and the Sync tells it what it shall have.
type legacy struct {
	session   time.Duration
	protocols []Protocol
	version   int16 // of its subscription
}

// joinClassic is a JoinGroup. Its answer does not wait for anybody: there is no common generation.
func (g *Consumer) joinClassic(e Join, now time.Time) {
	m, told, err := g.admitClassic(&e, now)
	if err != nil {
		g.reply(e.To, refusal(err, cmp.Or(told, e.Member)))
		return
	}
	g.reply(e.To, Joined{Generation: m.epoch, Type: "consumer", Assignor: m.legacy.protocols[0].Name, Member: m.id})
}

func (g *Consumer) admitClassic(e *Join, now time.Time) (m *consumer, told string, err error) {
	if e.Type != "consumer" || len(e.Protocols) == 0 || !g.supports(e) {
		return nil, "", ErrProtocol
	}
	says, ok := parseEmbedded(e.Protocols[0].Metadata)
	if !ok {
		return nil, "", ErrProtocol
	}
	if e.Member == "" && e.Instance == nil && e.KnowsID {
		if g.given == nil || len(g.given) >= maxPending {
			g.given = map[string]bool{} // who was told an id and is forgotten asks for another
		}
		g.given[e.NewID] = true
		return nil, e.NewID, ErrMemberIDRequired
	}
	beat := ConsumerBeat{Member: cmp.Or(e.Member, e.NewID), Instance: e.Instance, Names: says.topics, Rebalance: e.Rebalance, Client: e.Client, Host: e.Host}
	if beat.Names == nil {
		beat.Names = []string{}
	}
	if says.rack != "" {
		beat.Rack = &says.rack
	}
	if m = g.members[e.Member]; m == nil && e.Member != "" && !g.given[e.Member] {
		return nil, "", ErrUnknownMember
	}
	if m != nil && m.legacy == nil {
		return nil, "", ErrUnknownMember
	}
	if m != nil && m.instance != nil && e.Instance != nil && !same(m.instance, e.Instance) {
		return nil, "", ErrFenced
	}
	m, err = g.takeClassic(e, &beat, says, now)
	return m, "", err
}

// takeClassic is converse for a member that joins. old is the run before of a static one, which is fenced whether it left or not: JoinGroup
// has no way to leave for a while.
func (g *Consumer) takeClassic(e *Join, beat *ConsumerBeat, says embedded, now time.Time) (*consumer, error) {
	m := g.members[beat.Member]
	var old *consumer
	if e.Instance != nil && g.static[*e.Instance] != "" && g.static[*e.Instance] != beat.Member {
		old = g.members[g.static[*e.Instance]]
		if e.Member != "" {
			return nil, ErrFenced
		}
	}
	wants, err := g.wanted(beat, cmp.Or(m, old))
	if err != nil {
		return nil, err
	}
	if err := g.room(beat, m, old, wants); err != nil {
		return nil, err
	}
	delete(g.given, beat.Member)
	owned := partsOf(says.owned, g.cat)
	if m == nil {
		m, owned = g.enter(beat, old), Parts{}
	}
	g.out.Save = true
	g.bytes -= m.size()
	m.legacy = &legacy{session: e.Session, protocols: e.Protocols, version: says.version}
	g.bytes += m.size()
	m.deadline = now.Add(e.Session)
	changed := g.describe(m, beat, wants) || old == nil && m.epoch == joining
	if g.refresh() || changed {
		g.bump(now)
	}
	g.retarget(now)
	slow := m.progress == unrevoked
	g.account(m, owned)
	if m.progress != unrevoked && (m.progress != reached || m.epoch != g.targetEpoch) {
		g.advance(m, now)
	}
	if !slow || m.progress != unrevoked {
		m.revokeBy = now.Add(m.rebalance) // for the Sync, and for what that tells it to give up
	}
	g.settle()
	return m, nil
}

// account takes a member's word for what it has: one that joins has given up what it does not name, and is about to add nothing. It
// keeps its claim to what it was assigned and shall have.
func (g *Consumer) account(m *consumer, owned Parts) {
	m.restored = false
	g.prove(m, owned)
	g.held.add(m.maybe, -1)
	m.maybe = nil
	still, gone, _ := m.revoking.split(owned)
	g.held.add(gone, -1)
	m.revoking, m.untold = still, false
	kept, lost, _ := m.assigned.split(m.target)
	has, gone, _ := lost.split(owned)
	g.held.add(gone, -1)
	m.assigned = kept.join(has)
	m.progress = missing
	if len(still) > 0 {
		m.progress = unrevoked
	}
}

// supports reports that one of the protocols is known to all other members that speak JoinGroup.
func (g *Consumer) supports(e *Join) bool {
	for _, p := range e.Protocols {
		known := true
		for _, m := range g.members {
			if m.legacy != nil && m.id != e.Member {
				o := member{protocols: m.legacy.protocols}
				known = known && o.knows(p.Name)
			}
		}
		if known {
			return true
		}
	}
	return false
}

// checkClassic finds the member of a request, at its generation.
func (g *Consumer) checkClassic(id string, instance *string, generation int32, now time.Time) (*consumer, error) {
	if instance != nil {
		owner, ok := g.static[*instance]
		switch {
		case !ok:
			return nil, ErrUnknownMember
		case owner != id:
			return nil, ErrFenced
		}
	}
	m := g.members[id]
	switch {
	case m == nil || m.legacy == nil:
		return nil, ErrUnknownMember
	case m.restored && generation == g.restoredAt && generation > m.epoch, generation == m.epoch:
	default:
		return nil, ErrGeneration
	}
	m.deadline = now.Add(m.legacy.session)
	if m.restored {
		g.recall(m, &ConsumerBeat{Epoch: generation})
	}
	return m, nil
}

// heartbeatClassic tells a member to join again if there is a step to take: a newer target, something to give up, or something that has
// become free.
func (g *Consumer) heartbeatClassic(e Heartbeat, now time.Time) {
	m, err := g.checkClassic(e.Member, e.Instance, e.Generation, now)
	if err == nil {
		if g.refresh() {
			g.bump(now)
		}
		g.retarget(now)
		g.settle()
		if g.behind(m) {
			err = ErrRebalance
			m.promise(now)
		}
	}
	g.reply(e.To, Beaten{err})
}

// behind reports that a member has a step to take.
func (g *Consumer) behind(m *consumer) bool {
	if m.epoch != g.targetEpoch || m.progress == unrevoked {
		return true
	}
	_, _, need := m.assigned.split(m.target)
	return len(g.available(m, need)) > 0
}

// syncClassic tells what a member shall have.
func (g *Consumer) syncClassic(e Sync, now time.Time) {
	m, err := g.checkClassic(e.Member, e.Instance, e.Generation, now)
	switch {
	case err != nil:
	case e.Type != "" && e.Type != "consumer", e.Assignor != "" && e.Assignor != m.legacy.protocols[0].Name:
		err = ErrProtocol
	case m.epoch != g.targetEpoch && m.progress != unrevoked:
		err = ErrRebalance
		m.promise(now)
	}
	if err != nil {
		g.reply(e.To, Synced{Err: err})
		return
	}
	m.untold = false
	if m.progress != unrevoked {
		m.revokeBy = time.Time{}
	}
	g.reply(e.To, Synced{Type: "consumer", Assignor: m.legacy.protocols[0].Name, Assignment: embedAssigned(m.assigned.parts(), m.legacy.version, g.cat)})
}

// leaveClassic takes members out. Those that speak ConsumerGroupHeartbeat leave by that.
func (g *Consumer) leaveClassic(e Leave, now time.Time) {
	each, gone := make([]error, len(e.Leavers)), false
	for i, l := range e.Leavers {
		id := l.Member
		if l.Instance != nil {
			owner, ok := g.static[*l.Instance]
			switch {
			case !ok:
				each[i] = ErrUnknownMember
				continue
			case id != "" && owner != id:
				each[i] = ErrFenced
				continue
			}
			id = owner
		}
		if g.given[id] {
			delete(g.given, id)
			continue
		}
		m := g.members[id]
		if m == nil || m.legacy == nil {
			each[i] = ErrUnknownMember
			continue
		}
		g.remove(m)
		gone = true
	}
	if gone {
		g.bump(now)
		g.retarget(now)
		g.settle()
	}
	g.reply(e.To, Left{Each: each})
}
