// Pure.

package cluster

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/peer"
)

// View is the cluster as this agent saw it last: who is there and who leads which slot. It is never changed; a newer one
// takes its place.
type View struct {
	ClusterID  uuid.UUID
	Version    int64  // rises with each View of a session
	Nodes      []Node // in order of their ids; those with a live session
	Slots      []Leader
	Controller int32 // node id of the leader of slot 0, or of this agent while slot 0 has none
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

// String is v for people: agents with how many slots each leads.
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
	v := &View{ClusterID: c.cfg.ClusterID, Nodes: c.nodes(), Slots: make([]Leader, len(c.slots)), Controller: c.cfg.Node}
	ids := map[uuid.UUID]int32{}
	for _, n := range v.Nodes {
		ids[n.Session] = n.ID
	}
	for i := range c.slots {
		v.Slots[i] = Leader{Node: -1, Epoch: -1}
		if s := &c.slots[i]; s.there {
			v.Slots[i] = Leader{Node: -1, Epoch: s.item.Epoch, Session: s.item.Leader, Want: s.item.Want}
			if id, ok := ids[s.item.Leader]; ok {
				v.Slots[i].Node = id
			}
		}
	}
	if v.Slots[0].Node >= 0 {
		v.Controller = v.Slots[0].Node
	}
	if was := c.view; was == nil || !slices.Equal(was.Nodes, v.Nodes) || !slices.Equal(was.Slots, v.Slots) || was.Controller != v.Controller {
		if was != nil {
			v.Version = was.Version
		}
		v.Version++
		c.view = v
		c.emit(Publish{v})
	}
	var peers []peer.Peer
	for _, n := range v.Nodes {
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
