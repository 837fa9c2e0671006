package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// ListPartitionReassignments (key 46): v0. Partitions are never reassigned, and Kafka, too, leaves out those that are not
// being reassigned: so the answer is always empty.
//
// Differs from Kafka: nothing known.
func (s *Server) listPartitionReassignments(_ context.Context, req *kmsg.ListPartitionReassignmentsRequest) *kmsg.ListPartitionReassignmentsResponse {
	return req.ResponseKind().(*kmsg.ListPartitionReassignmentsResponse)
}
