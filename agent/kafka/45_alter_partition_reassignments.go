package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// AlterPartitionReassignments (key 45): v0-1.
//
//	v1: whether the number of replicas may change.
//
// Differs from Kafka: records lie in the object store and agents share out slots by themselves, so there is nothing to
// reassign: every partition is refused. Cancelling is answered as in Kafka: nothing is under way.
func (s *Server) alterPartitionReassignments(_ context.Context, req *kmsg.AlterPartitionAssignmentsRequest) *kmsg.AlterPartitionAssignmentsResponse {
	resp := req.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
	resp.AllowReplicationFactorChange = req.AllowReplicationFactorChange
	for i := range req.Topics {
		t := &req.Topics[i]
		rt := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		rt.Topic = t.Topic
		for j := range t.Partitions {
			rp := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			rp.Partition = t.Partitions[j].Partition
			if t.Partitions[j].Replicas == nil {
				rp.ErrorCode, rp.ErrorMessage = refuse(codeNoReassignmentInProgress, "no reassignment is under way")
			} else {
				rp.ErrorCode, rp.ErrorMessage = refuse(codeInvalidRequest, "replicas cannot be assigned: records lie in the object store")
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}
