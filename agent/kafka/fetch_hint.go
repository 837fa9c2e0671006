package kafka

import "github.com/varvelog/varve/agent/cluster"

// noLeader is no hint.
var noLeader = cluster.Leader{Node: -1, Epoch: -1}

// hint returns the leader to tell of a partition that this agent does not lead, or not at the client's epoch, and notes its
// address (ME8). A client takes it only if its epoch is above the one it knows, so no other is told.
func (op *fetchOp) hint(part *fetchPart) cluster.Leader {
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
	return l
}
