package cluster

import (
	"github.com/google/uuid"
)

// View is the cluster as this agent saw it last: who is there and who leads which slot. It is never changed; a newer one
// takes its place.
type View struct {
	ClusterID  uuid.UUID
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
	Session uuid.UUID
	Started int64 // ms since 1970
}

// Leader says who leads a slot.
type Leader struct {
	Node  int32 // -1: nobody
	Epoch int32 // -1: never led
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
