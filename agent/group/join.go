// Pure.

package group

import (
	"bytes"
	"fmt"
	"slices"
	"time"
)

// Join asks to be a member of the next generation.
type Join struct {
	To        any
	Member    string  // empty: a new one
	NewID     string  // the id it gets if it is new; unique
	Instance  *string // of a static member (KIP-345)
	Client    string
	Host      string
	Session   time.Duration
	Rebalance time.Duration
	Type      string
	Protocols []Protocol // in order of preference
	KnowsID   bool       // a new member is told its id first (KIP-394)
	Skips     bool       // a leader can be told not to assign (KIP-814)
	// Taken is called when the group takes the request up, before it is answered: from then on the group counts what it holds of it. Not if
	// it is refused before. Nil: nobody wants to know.
	Taken func()
}

func (Join) event() {}

// Joined answers a Join.
type Joined struct {
	Err        error
	Generation int32
	Type       string
	Assignor   string
	Leader     string
	Member     string       // the id of who asked, also with ErrMemberIDRequired
	Members    []JoinMember // for the leader alone
	Skip       bool         // the leader shall not assign
}

// JoinMember is a member as the leader is told of it.
type JoinMember struct {
	ID       string
	Instance *string
	Metadata []byte
}

func (g *Classic) joinGroup(e Join, now time.Time) {
	m, err := g.admit(e, now)
	if err != nil {
		g.reply(e.To, refusal(err, e.Member))
		return
	}
	switch {
	case m == nil && e.Instance != nil && g.static[*e.Instance] != "" && e.Member == "":
		g.replaceStatic(e, now)
	case m == nil && e.Member == "" && e.Instance == nil && e.KnowsID:
		g.pending[e.NewID] = now.Add(e.Session)
		g.reply(e.To, refusal(ErrMemberIDRequired, e.NewID))
	case m == nil:
		g.add(e, now)
	default:
		g.rejoin(m, e, now)
	}
}

// admit checks what is wrong in any group, so that none is made for it.
func (b Bounds) admit(e Join) error {
	switch {
	case e.Session < b.MinSession || e.Session > b.MaxSession:
		return fmt.Errorf("%w: %v, the agent takes %v to %v", ErrSessionTimeout, e.Session, b.MinSession, b.MaxSession)
	case e.Member == "" && (e.Type == "" || len(e.Protocols) == 0):
		return ErrProtocol
	}
	return nil
}

func refusal(err error, id string) Joined { return Joined{Err: err, Generation: -1, Member: id} }

// admit checks a Join. m is the member that asks, nil if it is new or takes the place of a static one.
func (g *Classic) admit(e Join, now time.Time) (m *member, err error) {
	if err := g.bounds.admit(e); err != nil {
		return nil, err
	}
	_, isPending := g.pending[e.Member]
	switch {
	case e.Member == "":
	case isPending && e.Instance == nil:
	default:
		if m, err = g.check(e.Member, e.Instance); err != nil {
			return nil, err
		}
	}
	if e.Type == "" || len(e.Protocols) == 0 || len(g.members) > 0 && (e.Type != g.kind || !g.supports(e.Protocols)) {
		return nil, ErrProtocol
	}
	replaces := m != nil || e.Instance != nil && g.static[*e.Instance] != ""
	if !replaces && g.full() || g.size()-size(m)+sizeOf(e.Protocols) > g.bounds.MaxBytes {
		return nil, ErrFull
	}
	return m, nil
}

// full reports that no new member is taken. While members join again only those that have done so count.
func (g *Classic) full() bool {
	n := len(g.members)
	if g.state == Preparing {
		n = 0
		for _, m := range g.members {
			if m.join != nil {
				n++
			}
		}
	}
	return n >= g.bounds.MaxMembers || len(g.pending) >= maxPending
}

const (
	maxPending = 10_000 // ids given out to members that did not come back yet
	perMember  = 64     // bytes that a member costs besides what it says
)

func size(m *member) int {
	if m == nil {
		return 0
	}
	return perMember + len(m.id) + len(m.client) + len(m.assignment) + sizeOf(m.protocols)
}

func sizeOf(protocols []Protocol) int {
	n := 0
	for i := range protocols {
		n += len(protocols[i].Name) + len(protocols[i].Metadata) + 8
	}
	return n
}

// size is about how many bytes the members take.
func (g *Classic) size() int {
	n := 0
	for _, m := range g.members {
		n += size(m)
	}
	return n
}

// supports reports whether one of protocols is known to all members.
func (g *Classic) supports(protocols []Protocol) bool {
	return slices.ContainsFunc(protocols, func(p Protocol) bool {
		for _, m := range g.members {
			if !m.knows(p.Name) {
				return false
			}
		}
		return true
	})
}

func (m *member) knows(name string) bool {
	return slices.ContainsFunc(m.protocols, func(p Protocol) bool { return p.Name == name })
}

// metadata is what m says of itself in the protocol name.
func (m *member) metadata(name string) []byte {
	for i := range m.protocols {
		if m.protocols[i].Name == name {
			return m.protocols[i].Metadata
		}
	}
	return nil
}

// add takes in a new member, with the id it was told or with a new one.
func (g *Classic) add(e Join, now time.Time) {
	id := e.NewID
	if e.Member != "" {
		id = e.Member
		delete(g.pending, id)
	}
	m := &member{id: id, instance: e.Instance, client: e.Client, host: e.Host}
	if len(g.members) == 0 {
		g.kind = e.Type
	}
	g.members[id] = m
	g.order = append(g.order, id)
	if e.Instance != nil {
		g.static[*e.Instance] = id
	}
	if g.state == Preparing {
		g.grew = true
	}
	g.park(m, e, now)
	g.disturb(now)
}

// park updates a member and has its Join wait for the others.
func (g *Classic) park(m *member, e Join, now time.Time) {
	if m.join != nil {
		g.reply(m.join, refusal(ErrUnknownMember, m.id)) // the same member asks twice: the first answer is read by nobody
	}
	m.join = e.To
	m.update(e, now)
}

func (m *member) update(e Join, now time.Time) {
	m.session, m.rebalance, m.protocols, m.deadline = e.Session, e.Rebalance, e.Protocols, now.Add(e.Session)
}

// rejoin is a Join by a member.
func (g *Classic) rejoin(m *member, e Join, now time.Time) {
	changed := !slices.EqualFunc(m.protocols, e.Protocols, func(a, b Protocol) bool {
		return a.Name == b.Name && bytes.Equal(a.Metadata, b.Metadata)
	})
	switch {
	case g.state == Preparing:
		g.park(m, e, now)
		g.tryComplete(now)
	case g.state == Completing && !changed:
		m.update(e, now)
		g.reply(e.To, g.joined(m)) // the answer to its last Join was lost
	case g.state == Stable && !changed && m.id != g.leader:
		m.update(e, now)
		g.reply(e.To, g.joined(m))
	default: // the leader asks again because something changed that it sees: the topics, or what it wants
		g.park(m, e, now)
		g.disturb(now)
	}
}

// joined is the answer for a member of the current generation.
func (g *Classic) joined(m *member) Joined {
	j := Joined{Generation: g.generation, Type: g.kind, Assignor: g.assignor, Leader: g.leader, Member: m.id}
	if m.id != g.leader {
		return j
	}
	for _, id := range g.order {
		o := g.members[id]
		j.Members = append(j.Members, JoinMember{ID: id, Instance: o.instance, Metadata: o.metadata(g.assignor)})
	}
	return j
}

// replaceStatic gives the place of a static member to its next run, with a new member id. As long as the group is Stable and
// votes as before nobody else notices.
func (g *Classic) replaceStatic(e Join, now time.Time) {
	old := g.members[g.static[*e.Instance]]
	g.dismiss(old, ErrFenced)
	m := &member{id: e.NewID, instance: e.Instance, client: e.Client, host: e.Host, assignment: old.assignment, synced: old.synced}
	delete(g.members, old.id)
	g.members[m.id], g.static[*e.Instance] = m, m.id
	g.order[slices.Index(g.order, old.id)] = m.id
	led := g.leader == old.id
	if led {
		g.leader = m.id
	}
	m.update(e, now)
	if g.state != Stable || g.vote() != g.assignor {
		g.park(m, e, now)
		g.disturb(now)
		return
	}
	g.out.Save = true
	j := g.joined(m)
	if led && e.Skips {
		j.Skip = true
	} else if led {
		// It must not assign: nobody would be told. A leader of another name keeps it from that.
		j.Leader, j.Members = old.id, nil
	}
	g.reply(e.To, j)
}

// dismiss answers what a member has parked.
func (g *Classic) dismiss(m *member, err error) {
	if m.join != nil {
		g.reply(m.join, refusal(err, m.id))
		m.join = nil
	}
	if m.sync != nil {
		g.reply(m.sync, Synced{Err: err})
		m.sync = nil
	}
}
