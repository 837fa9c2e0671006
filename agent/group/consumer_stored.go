// Pure.

package group

import (
	"fmt"
	"time"

	"github.com/varvelog/varve/metastore/records"
)

// How a Consumer stands in the records of a classic group: the generation is the group epoch; the first member, whose id is
// empty, is the target; of each other one the metadata of the first protocol is all of it but the target, and the assignment is its
// target. A member that speaks JoinGroup has a session time-out, and its own protocols after the first.
const (
	packedTarget = "target/1" // epoch of the target, checksum of the topics
	packedMember = "member/1"
)

// Record returns what is to be stored of the group: all of it but claim and version, and the members.
func (g *Consumer) Record() (records.Group, []records.GroupMember) {
	r := records.Group{Type: records.ConsumerGroup, State: records.GroupStable, Generation: g.epoch, ProtocolType: "consumer", Assignor: g.assignor}
	if len(g.members) == 0 {
		r.State = records.GroupEmpty
		if !g.emptied.IsZero() {
			r.EmptySince = g.emptied.UnixMilli()
		}
	}
	var head enc
	head.num(int64(g.targetEpoch))
	head.fixed(g.sum)
	members := make([]records.GroupMember, 1, 1+len(g.order))
	members[0].Protocols = []records.GroupProtocol{{Name: packedTarget, Metadata: head}}
	for _, id := range g.order {
		members = append(members, g.members[id].record())
	}
	return r, members
}

func (m *consumer) record() records.GroupMember {
	s := records.GroupMember{ID: m.id, Client: m.client, Host: m.host, Rebalance: millis(m.rebalance)}
	if m.instance != nil {
		s.Static, s.Instance = true, *m.instance
	}
	var b, target enc
	b.num(int64(m.epoch))
	b.num(int64(m.previous))
	b.str(m.rack)
	b.str(m.assignor)
	b.str(m.wants.regex)
	b.num(int64(len(m.wants.names)))
	for _, n := range m.wants.names {
		b.str(n)
	}
	b.grants(m.assigned)
	b.grants(m.revoking)
	b.grants(m.maybe)
	s.Protocols = []records.GroupProtocol{{Name: packedMember, Metadata: b}}
	if m.legacy != nil {
		s.Session = millis(m.legacy.session)
		for _, p := range m.legacy.protocols {
			s.Protocols = append(s.Protocols, records.GroupProtocol(p))
		}
	}
	target.grants(granted(m.target, 0))
	s.Assignment = target
	return s
}

// RestoreConsumer returns the group as it was stored. Sessions start anew.
//
// What was stored is what members held when the target was made, and the target. Since then each can only have moved from the one to
// the other: so each may also hold what the target gives it, until it speaks (recall), and nobody is given anything that another
// may hold. Once everybody has arrived that is stored too (settle), so that usually nothing is in doubt. Error: ErrBad.
func RestoreConsumer(b ConsumerBounds, cat *Catalogue, r records.Group, members []records.GroupMember, now time.Time) (*Consumer, error) {
	g := NewConsumer(b, cat)
	g.epoch, g.seen = r.Generation, -1
	if r.Assignor != "" {
		g.assignor = r.Assignor
	}
	if r.EmptySince != 0 {
		g.emptied = time.UnixMilli(r.EmptySince)
	}
	if r.Type != records.ConsumerGroup || len(members) == 0 || members[0].ID != "" {
		return nil, fmt.Errorf("%w: it is no consumer group, or has no target", ErrBad)
	}
	head, err := packed(&members[0], packedTarget)
	if err != nil {
		return nil, err
	}
	g.targetEpoch, g.sum = head.i32(), head.fixed()
	g.restoredAt = g.targetEpoch
	if err := head.end(); err != nil {
		return nil, err
	}
	for i := range members[1:] {
		if err := g.restore(&members[1+i], now); err != nil {
			return nil, err
		}
	}
	g.settled = g.State() == "Stable" || len(g.members) == 0
	return g, nil
}

func packed(s *records.GroupMember, name string) (*dec, error) {
	if len(s.Protocols) == 0 || s.Protocols[0].Name != name {
		return nil, fmt.Errorf("%w: member %.100q: not packed as %q", ErrBad, s.ID, name)
	}
	return &dec{b: s.Protocols[0].Metadata}, nil
}

func (g *Consumer) restore(s *records.GroupMember, now time.Time) error {
	b, err := packed(s, packedMember)
	if err != nil {
		return err
	}
	m := &consumer{id: s.ID, client: s.Client, host: s.Host, rebalance: time.Duration(s.Rebalance) * time.Millisecond}
	if s.Static {
		instance := s.Instance
		m.instance = &instance
	}
	m.epoch, m.previous, m.rack, m.assignor = b.i32(), b.i32(), b.str(), b.str()
	regex, names := b.str(), []string(nil)
	for n := b.count(); n > 0; n-- {
		names = append(names, b.str())
	}
	assigned, revoking, maybe := b.grants(), b.grants(), b.grants()
	t := dec{b: s.Assignment}
	m.target = t.grants().parts()
	for _, d := range []*dec{b, &t} {
		if err := d.end(); err != nil {
			return fmt.Errorf("member %.100q: %w", s.ID, err)
		}
	}
	w := &interest{key: interestKey(names, regex), names: names, regex: regex}
	if g.interests[w.key] == nil {
		if err := w.resolve(g.cat, false); err != nil {
			return fmt.Errorf("%w: member %.100q: %w", ErrBad, s.ID, err)
		}
	}
	m.wants = g.share(w)
	if g.members[m.id] != nil {
		return fmt.Errorf("%w: member %.100q is there twice", ErrBad, s.ID)
	}
	m.deadline = now.Add(g.bounds.Session)
	if len(s.Protocols) > 1 {
		m.legacy = &legacy{session: time.Duration(s.Session) * time.Millisecond}
		for _, p := range s.Protocols[1:] {
			m.legacy.protocols = append(m.legacy.protocols, Protocol(p))
		}
		says, _ := parseEmbedded(s.Protocols[1].Metadata)
		m.legacy.version = says.version
		m.deadline = now.Add(m.legacy.session)
	}
	g.insert(m)
	m.hold(assigned, revoking, maybe, g.targetEpoch)
	for _, all := range []grants{m.assigned, m.revoking, m.maybe} {
		g.held.add(all, 1)
	}
	return nil
}

// hold sets what a member that was stored may hold.
func (m *consumer) hold(assigned, revoking, maybe grants, target int32) {
	if m.epoch == leftForAWhile {
		m.assigned = assigned // it has stopped; its next run begins with nothing
		return
	}
	kept, lost, need := assigned.split(m.target)
	sure, stray, _ := maybe.split(m.target)
	_, lost2, _ := stray.split(revoking.parts())
	m.assigned, m.maybe = kept, granted(need, target).join(sure)
	m.revoking = revoking.join(lost).join(lost2)
	m.restored = m.epoch != target || len(m.revoking) > 0 || len(m.maybe) > 0
	switch {
	case len(m.revoking) > 0:
		m.progress, m.untold = unrevoked, true
	case len(m.maybe) > 0:
		m.progress = missing
	}
}
