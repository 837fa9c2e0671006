package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// OffsetForLeaderEpoch (key 23): v2-4.
//
//	v3: replica id. v4: flexible.
//
// Differs from Kafka: nothing known.
func (s *Server) offsetForLeaderEpoch(_ context.Context, req *kmsg.OffsetForLeaderEpochRequest) *kmsg.OffsetForLeaderEpochResponse {
	resp := kmsg.NewPtrOffsetForLeaderEpochResponse()
	for i := range req.Topics {
		t := kmsg.NewOffsetForLeaderEpochResponseTopic()
		t.Topic = req.Topics[i].Topic
		for j := range req.Topics[i].Partitions {
			q := &req.Topics[i].Partitions[j]
			r := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			r.Partition, r.LeaderEpoch, r.EndOffset = q.Partition, -1, -1
			p, _, code := s.led(t.Topic, q.Partition, q.CurrentLeaderEpoch)
			if code == codeOffsetNotAvailable {
				code = codeNotLeaderOrFollower
			}
			if r.ErrorCode = code; code == codeNone {
				r.LeaderEpoch, r.EndOffset = p.EndOfEpoch(q.LeaderEpoch)
			}
			t.Partitions = append(t.Partitions, r)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}
