// Pure.

package cluster

import (
	"time"

	"github.com/google/uuid"
)

// Report is what one agent knows of the cluster, for people.
type Report struct {
	Agents []AgentReport // those that live, in order of their node ids
	Slots  []SlotReport  // all, in order
}

// AgentReport is an agent that lives.
type AgentReport struct {
	Node
	Slots    int           // that it leads
	Draining bool          // it shall lead nothing
	Closing  bool          // it ends itself
	Quiet    time.Duration // its heartbeat stands still for so long; -1: this agent does not watch it
	Silent   bool          // that is longer than it takes to write and to see a heartbeat
}

// SlotReport is a slot. What only its leader knows is there if the agent that reports leads it.
type SlotReport struct {
	Slot       int
	Node       int32     // of the leader, -1: nobody who lives
	Agent      string    // the leader's name, empty: it never had one
	Session    uuid.UUID // Nil: it never had one
	Epoch      int32     // -1: it never had one
	Want       string    // agent that shall lead next, empty: nobody else
	From       int       // sessions that may hold parts of its log
	Partitions int       // -1: the leader has not told yet
	Bytes      int64     // appended a second, -1: the leader has not told yet

	State    string        // of the leader: opening, open, moving
	For      time.Duration // so long in this state
	Unneeded int           // sessions among From that hold nothing of it, and should be let go of
}

// draining reports whether the agent of a session is marked: it shall lead nothing.
func (c *Core) draining(n Node) bool {
	return n.Session != uuid.Nil && c.agents[n.Name].Drain == n.Session
}

// Report tells what this session knows, at a moment.
func (c *Core) Report(now time.Time) Report {
	var r Report
	led := map[uuid.UUID]int{}
	at := map[uuid.UUID]int32{}
	nodes := c.nodes()
	for _, n := range nodes {
		at[n.Session] = n.ID
	}
	for n := range c.slots {
		s := c.slot(uint16(n), now)
		if id, lives := at[s.Session]; lives {
			s.Node = id
			led[s.Session]++
		}
		r.Slots = append(r.Slots, s)
	}
	for _, n := range nodes {
		w := c.sessions[n.Session]
		a := AgentReport{Node: n, Slots: led[n.Session], Draining: c.draining(n), Closing: w.closing, Quiet: -1}
		switch {
		case n.Session == c.cfg.Session:
			a.Quiet = 0
		case !w.since.IsZero():
			a.Quiet = now.Sub(w.since)
			a.Silent = a.Quiet > 2*c.cfg.Heartbeat+c.cfg.Heartbeat/2
		}
		r.Agents = append(r.Agents, a)
	}
	return r
}

func (c *Core) slot(n uint16, now time.Time) SlotReport {
	r := SlotReport{Slot: int(n), Node: -1, Epoch: -1, Partitions: -1, Bytes: -1}
	k := &c.slots[n]
	if !k.there {
		return r
	}
	s := &k.item
	r.Agent, r.Session, r.Epoch, r.Want, r.From = s.Agent, s.Leader, s.Epoch, s.Want, len(s.From)
	if l, told := c.loads[n]; told {
		r.Partitions, r.Bytes = int(l.Partitions), int64(l.Bytes)
	}
	h := c.held[n]
	switch {
	case s.Leader != c.cfg.Session:
		return r
	case h == nil || h.epoch != s.Epoch:
		r.State = "opening" // it has just been told
	case h.state == opening:
		r.State, r.For = "opening", now.Sub(h.at)
	case h.state == isOpen:
		r.State, r.For = "open", now.Sub(h.at)
		for _, f := range s.From {
			if f.Session != c.cfg.Session && !h.lies(f.Session) {
				r.Unneeded++
			}
		}
	default:
		r.State, r.For = "moving", now.Sub(h.since)
	}
	return r
}
