package kafka

import "github.com/varvelog/varve/agent/cluster"

// toldLeader is what an answer tells of a cluster.Leader. Each of many results has one, so it has no more.
type toldLeader struct{ node, epoch int32 }

// noLeader is no hint.
var noLeader = toldLeader{-1, -1}

func tell(l cluster.Leader) toldLeader { return toldLeader{l.Node, l.Epoch} }

// hint returns the leader to tell of a partition that this agent does not lead, or not at the client's epoch, and notes its
// address (ME8). A client takes it only if its epoch is above the one it knows, so no other is told.
func (op *fetchOp) hint(part *fetchPart) toldLeader {
	lost := part.look.code == codeNotLeaderOrFollower
	if !lost && part.look.code != codeFencedLeaderEpoch || part.name == "" {
		return noLeader
	}
	v := op.c.s.deps.Cluster.View()
	l := leaderOf(v, part.slot)
	mine := l.Node == op.c.s.deps.Cluster.NodeID()
	if l.Node < 0 || lost == mine || l.Epoch <= part.want.epoch {
		return noLeader
	}
	n, ok := v.Node(l.Node)
	if !ok {
		return noLeader
	}
	op.answer.nodes = addNode(op.answer.nodes, &n)
	return tell(l)
}
