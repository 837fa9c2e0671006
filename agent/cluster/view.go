// Pure.

package cluster

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/peer"
)

// View is the cluster as this agent saw it last: who is there and who leads which slot. It is never changed; a newer one
// takes its place.
type View struct {
	ClusterID  uuid.UUID
	Version    int64  // rises with each View of a session
	Nodes      []Node // in order of their ids; those with a live session whose process was not seen to be gone
	Slots      []Leader
	Controller int32 // node id of the leader of slot 0, or of this agent while slot 0 has none
	// Lost are the slots that somebody else is about to lead, or perhaps is: nobody of Nodes leads them, or their leader says that it ends
	// itself, or the link with it was lost a moment ago. When this session first saw it so. Nil: there are none.
	Lost map[uint16]time.Time
}

// Node is an agent that clients may talk to.
type Node struct {
	ID      int32
	Name    string
	Zone    string // empty: not told
	Host    string
	Port    int32
	HTTP    string // address of its console, empty: none
	Peer    string // address for other agents, empty: none
	Session uuid.UUID
	Started int64 // ms since 1970
}

// Leader says who leads a slot.
type Leader struct {
	Node    int32     // -1: nobody
	Epoch   int32     // -1: never led
	Session uuid.UUID // Nil: never led
	Want    string    // agent that shall lead next, empty: nobody else
}

// Node returns the node of an id.
func (v *View) Node(id int32) (Node, bool) {
	for _, n := range v.Nodes {
		if n.ID == id {
			return n, true
		}
	}
	return Node{}, false
}

// String is v for people: agents with how many slots each leads, how many nobody leads, and how many are lost.
func (v *View) String() string {
	var b strings.Builder
	led := map[int32]int{}
	for _, l := range v.Slots {
		led[l.Node]++
	}
	for _, n := range v.Nodes {
		fmt.Fprintf(&b, "%s:%d ", n.Name, led[n.ID])
	}
	fmt.Fprintf(&b, "none:%d", led[-1])
	if len(v.Lost) > 0 {
		fmt.Fprintf(&b, " lost:%d", len(v.Lost))
	}
	return b.String()
}

// nodes returns the agents whose newest session is live, in order of their ids.
func (c *Core) nodes() []Node {
	var all []Node
	for _, id := range c.live() {
		a, ok := c.agents[c.sessions[id].agent]
		if ok && a.Session == id {
			all = append(all, Node{a.NodeID, a.Name, a.Zone, a.Host, a.Port, a.HTTP, a.Peer, a.Session, a.Started})
		}
	}
	slices.SortFunc(all, func(a, b Node) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// publish shows a new view if it differs from the last one, and keeps the links that go with it.
func (c *Core) publish() {
	nodes := c.nodes()
	v := c.sight(nodes)
	if was := c.view; was == nil || !was.same(v) {
		if was != nil {
			v.Version = was.Version
		}
		v.Version++
		c.view = v
		c.emit(Publish{v})
	}
	var peers []peer.Peer
	for _, n := range nodes {
		if n.Session != c.cfg.Session && n.Peer != "" {
			peers = append(peers, peer.Peer{Agent: n.Name, Session: n.Session, Address: n.Peer})
		}
	}
	if !slices.Equal(peers, c.peers) {
		c.peers = peers
		c.emit(Link{peers})
		c.say(slog.LevelDebug, "links", "peers", len(peers))
	}
}

// same reports whether two views say the same.
func (v *View) same(w *View) bool {
	return slices.Equal(v.Nodes, w.Nodes) && slices.Equal(v.Slots, w.Slots) && v.Controller == w.Controller && maps.Equal(v.Lost, w.Lost)
}

// sight is what this session sees, for clients. Who is gone is left out before it is fenced: only the metastore decides about it, but
// to be sent to a process that is not there costs a client seconds.
func (c *Core) sight(nodes []Node) *View {
	v := &View{ClusterID: c.cfg.ClusterID, Slots: make([]Leader, len(c.slots)), Controller: c.cfg.Node}
	ids, leaves := map[uuid.UUID]int32{}, map[uuid.UUID]bool{}
	staying := 0
	for _, n := range nodes {
		if w := c.sessions[n.Session]; w == nil || !w.gone {
			v.Nodes = append(v.Nodes, n)
			ids[n.Session] = n.ID
			if w == nil || !w.closing {
				staying++
			}
			leaves[n.Session] = w != nil && (w.closing || !w.cut.IsZero() && !c.due(w.cut.Add(doubtFor)))
		}
	}
	for i := range c.slots {
		v.Slots[i] = Leader{Node: -1, Epoch: -1}
		s := &c.slots[i]
		if !s.there {
			continue
		}
		v.Slots[i] = Leader{Node: -1, Epoch: s.item.Epoch, Session: s.item.Leader, Want: s.item.Want}
		id, ok := ids[s.item.Leader]
		if ok {
			v.Slots[i].Node = id
		}
		if staying > 0 && (!ok || leaves[s.item.Leader]) {
			c.lost(v, uint16(i))
		}
	}
	if v.Slots[0].Node >= 0 {
		v.Controller = v.Slots[0].Node
	}
	return v
}

// lost notes in v that a slot has lost its leader, and when this session first saw it so.
func (c *Core) lost(v *View, slot uint16) {
	since := c.now
	if c.view != nil {
		if before, ok := c.view.Lost[slot]; ok {
			since = before
		}
	}
	if v.Lost == nil {
		v.Lost = map[uint16]time.Time{}
	}
	v.Lost[slot] = since
}
