package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// offsetForLeaderEpochWaits: a topic may not be known here yet.
func offsetForLeaderEpochWaits(s *Server, req *kmsg.OffsetForLeaderEpochRequest) bool {
	for i := range req.Topics {
		if s.deps.Topics.Lookup(req.Topics[i].Topic) == nil {
			return true
		}
	}
	return false
}

// OffsetForLeaderEpoch (key 23): v2-4.
//
//	v3: replica id. v4: flexible.
//
// Differs from Kafka: nothing known.
func (s *Server) offsetForLeaderEpoch(ctx context.Context, req *kmsg.OffsetForLeaderEpochRequest) *kmsg.OffsetForLeaderEpochResponse {
	names := s.finder(ctx)
	defer names.end()
	resp := kmsg.NewPtrOffsetForLeaderEpochResponse()
	for i := range req.Topics {
		t := kmsg.NewOffsetForLeaderEpochResponseTopic()
		t.Topic = req.Topics[i].Topic
		top := names.topic(t.Topic)
		for j := range req.Topics[i].Partitions {
			q := &req.Topics[i].Partitions[j]
			r := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			r.Partition, r.LeaderEpoch, r.EndOffset = q.Partition, -1, -1
			p, _, code := s.led(top, q.Partition, q.CurrentLeaderEpoch)
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
