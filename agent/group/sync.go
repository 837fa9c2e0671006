// Pure.

package group

import (
	"slices"
	"time"
)

// Sync asks for a member's assignment; the leader's brings those of all.
type Sync struct {
	To          any
	Member      string
	Instance    *string
	Generation  int32
	Type        string // empty: not told
	Assignor    string // empty: not told
	Assignments []Assignment
}

// Assignment is what the leader gives a member; opaque.
type Assignment struct {
	Member string
	Bytes  []byte
}

func (Sync) event() {}

// Synced answers a Sync.
type Synced struct {
	Err        error
	Type       string
	Assignor   string
	Assignment []byte
}

func (g *Classic) syncGroup(e Sync, now time.Time) {
	m, err := g.check(e.Member, e.Instance)
	switch {
	case err != nil:
	case e.Generation != g.generation:
		err = ErrGeneration
	case e.Type != "" && e.Type != g.kind, e.Assignor != "" && e.Assignor != g.assignor:
		err = ErrProtocol
	case g.state == Preparing:
		err = ErrRebalance
	case g.state == Empty:
		err = ErrUnknownMember
	}
	if err != nil {
		g.reply(e.To, Synced{Err: err})
		return
	}
	m.deadline = now.Add(m.session)
	m.synced = true
	if g.state == Stable {
		g.reply(e.To, g.synced(m))
		return
	}
	if m.sync != nil {
		g.reply(m.sync, Synced{Err: ErrRebalance}) // it asks twice: the first answer is read by nobody
	}
	m.sync = e.To
	if m.id == g.leader {
		g.assign(e, now)
	}
}

// emptyAssignment is what a member of type "consumer" gets if the leader gave it nothing: version 0, no topics, no user data. Some
// clients cannot read less.
func emptyAssignment() []byte { return []byte{0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff} }

// assign takes in the leader's assignments, of members that are there.
func (g *Classic) assign(e Sync, now time.Time) {
	n := g.size()
	for _, a := range e.Assignments {
		n += len(a.Bytes)
	}
	if n > 2*g.bounds.MaxBytes {
		l := g.members[g.leader]
		g.reply(l.sync, Synced{Err: ErrFull})
		l.sync, l.synced = nil, false
		return
	}
	for _, a := range e.Assignments {
		if m := g.members[a.Member]; m != nil {
			m.assignment = a.Bytes
		}
	}
	g.state = Stable
	g.out.Save = true
	for _, id := range g.order {
		m := g.members[id]
		if m.sync != nil {
			g.reply(m.sync, g.synced(m))
			m.sync = nil
			m.deadline = now.Add(m.session)
		}
	}
}

func (g *Classic) synced(m *member) Synced {
	s := Synced{Type: g.kind, Assignor: g.assignor, Assignment: m.assignment}
	if len(s.Assignment) == 0 && g.kind == "consumer" {
		s.Assignment = emptyAssignment()
	}
	return s
}

// endSync throws out those that did not ask for their assignment in time, among them perhaps the leader.
func (g *Classic) endSync(now time.Time) {
	g.deadline = time.Time{}
	gone := false
	for _, id := range slices.Clone(g.order) {
		if m := g.members[id]; !m.synced {
			g.remove(m, ErrRebalance)
			gone = true
		}
	}
	if gone {
		g.disturb(now)
	}
}
