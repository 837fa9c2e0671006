package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/cluster"
)

// ElectLeaders (key 43): v0-2.
//
//	v1: kinds of election, an error for the whole. v2: flexible.
//
// Differs from Kafka: nothing is elected. Agents take over slots by themselves and no leader is preferred, so a partition
// that has a leader needs no election, and for one without a leader a request helps nothing.
func (s *Server) electLeaders(_ context.Context, req *kmsg.ElectLeadersRequest) *kmsg.ElectLeadersResponse {
	resp := req.ResponseKind().(*kmsg.ElectLeadersResponse)
	if req.ElectionType != electPreferred && req.ElectionType != electUnclean {
		resp.ErrorCode = codeInvalidRequest
		return resp
	}
	v := s.deps.Cluster.View()
	for i := range req.Topics { // null means all partitions; then Kafka, too, names only those with a change
		t := &req.Topics[i]
		rt := kmsg.NewElectLeadersResponseTopic()
		rt.Topic = t.Topic
		for _, index := range t.Partitions {
			rp := kmsg.NewElectLeadersResponseTopicPartition()
			rp.Partition = index
			rp.ErrorCode, rp.ErrorMessage = s.elect(v, t.Topic, index, req.ElectionType)
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// The kinds of election (KIP-460).
const (
	electPreferred = 0
	electUnclean   = 1
)

func (s *Server) elect(v *cluster.View, name string, index int32, kind int8) (int16, *string) {
	t := s.deps.Topics.Lookup(name)
	switch {
	case t == nil || index < 0 || index >= t.Partitions():
		return refuse(codeUnknownTopicOrPartition, "there is no such partition")
	case leaderOf(v, t.Slots[index]).Node >= 0:
		return refuse(codeElectionNotNeeded, "the partition has a leader, and none is preferred")
	case kind == electUnclean:
		return refuse(codeNoEligibleLeaders, "no agent leads the partition; one takes over by itself")
	}
	return refuse(codeNoPreferredLeader, "no agent leads the partition; one takes over by itself")
}
