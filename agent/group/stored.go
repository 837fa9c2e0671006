// Pure.

package group

import (
	"math"
	"time"

	"github.com/varvelog/varve/metastore/records"
)

// Record returns what is to be stored of the group: all of it but claim and version, and the members.
func (g *Classic) Record() (records.Group, []records.GroupMember) {
	r := records.Group{
		Type: records.ClassicGroup, State: records.GroupStable, Generation: g.generation, ProtocolType: g.kind, Assignor: g.assignor, Steward: g.leader,
	}
	switch g.state {
	case Empty:
		r.State = records.GroupEmpty
		if !g.emptied.IsZero() {
			r.EmptySince = g.emptied.UnixMilli()
		}
	case Preparing:
		r.State, r.Steward = records.GroupJoined, "" // whoever joins first will be it
	case Completing:
		r.State = records.GroupJoined
	}
	members := make([]records.GroupMember, 0, len(g.order))
	for _, id := range g.order {
		m := g.members[id]
		s := records.GroupMember{
			ID: m.id, Client: m.client, Host: m.host, Session: millis(m.session), Rebalance: millis(m.rebalance), Assignment: m.assignment,
		}
		if m.instance != nil {
			s.Static, s.Instance = true, *m.instance
		}
		for _, p := range m.protocols {
			s.Protocols = append(s.Protocols, records.GroupProtocol(p))
		}
		members = append(members, s)
	}
	return r, members
}

func millis(d time.Duration) int32 { return int32(min(max(d.Milliseconds(), 0), math.MaxInt32)) }

// Restore returns the group as it was stored. Sessions start anew, and nobody need join again who was not told to: a rebalance
// whose generation was given out goes on where it was; one that has no leader yet waits for everybody to join, as it did.
func Restore(b Bounds, r records.Group, members []records.GroupMember, now time.Time) *Classic {
	g := NewClassic(b)
	g.generation, g.kind, g.assignor, g.leader = r.Generation, r.ProtocolType, r.Assignor, r.Steward
	if r.EmptySince != 0 {
		g.emptied = time.UnixMilli(r.EmptySince)
	}
	for i := range members {
		s := &members[i]
		m := &member{
			id: s.ID, client: s.Client, host: s.Host, session: time.Duration(s.Session) * time.Millisecond,
			rebalance: time.Duration(s.Rebalance) * time.Millisecond, assignment: s.Assignment, synced: true,
		}
		m.deadline = now.Add(m.session)
		if s.Static {
			instance := s.Instance
			m.instance, g.static[instance] = &instance, m.id
		}
		for _, p := range s.Protocols {
			m.protocols = append(m.protocols, Protocol(p))
		}
		if g.members[m.id] == nil {
			g.order = append(g.order, m.id)
		}
		g.members[m.id] = m
	}
	switch {
	case len(g.members) == 0:
		g.state, g.assignor, g.leader = Empty, "", ""
	case r.State == records.GroupJoined && g.leader == "":
		g.state, g.deadline = Preparing, now.Add(g.longest())
	case r.State == records.GroupJoined:
		g.state, g.deadline = Completing, now.Add(g.longest())
		for _, m := range g.members {
			m.synced = false
		}
	default:
		g.state = Stable
	}
	return g
}

// Description is a group as administrators are told of it.
type Description struct {
	State    string
	Type     string // protocol type
	Assignor string
	Members  []MemberDescription
}

// MemberDescription is one of its members.
type MemberDescription struct {
	ID         string
	Instance   *string
	Client     string
	Host       string
	Metadata   []byte
	Assignment []byte
}

// Describe returns a description. As in Kafka metadata are told of a Stable group alone.
func (g *Classic) Describe() Description {
	d := Description{State: g.state.String(), Type: g.kind}
	if g.state == Stable {
		d.Assignor = g.assignor
	}
	for _, id := range g.order {
		m := g.members[id]
		md := MemberDescription{ID: m.id, Instance: m.instance, Client: m.client, Host: m.host, Assignment: m.assignment}
		if g.state == Stable {
			md.Metadata = m.metadata(g.assignor)
		}
		d.Members = append(d.Members, md)
	}
	return d
}
