package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/topic"
)

// CreatePartitions (key 37): v0-3.
//
// Differs from Kafka: a manual assignment counts as a number of partitions; more than 10,000 partitions at once are refused
// whole.
func (s *Server) createPartitions(ctx context.Context, req *kmsg.CreatePartitionsRequest) *kmsg.CreatePartitionsResponse {
	ctx, cancel := withTimeout(ctx, req.TimeoutMillis)
	defer cancel()
	resp := req.ResponseKind().(*kmsg.CreatePartitionsResponse)
	twice := repeated(req.Topics, func(t *kmsg.CreatePartitionsRequestTopic) string { return t.Topic })
	told := map[string]bool{}
	for i := range req.Topics {
		t := &req.Topics[i]
		if told[t.Topic] {
			continue
		}
		told[t.Topic] = true
		rt := kmsg.NewCreatePartitionsResponseTopic()
		rt.Topic = t.Topic
		if twice[t.Topic] {
			rt.ErrorCode, rt.ErrorMessage = refuse(codeInvalidRequest, "topic %q: %v", t.Topic, errDuplicate)
		} else {
			rt.ErrorCode, rt.ErrorMessage = s.grow(ctx, t, req.ValidateOnly)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

func (s *Server) grow(ctx context.Context, t *kmsg.CreatePartitionsRequestTopic, validateOnly bool) (int16, *string) {
	if err := topic.CheckName(t.Topic); err != nil {
		return failure(err)
	}
	if t.Assignment != nil {
		now, err := s.deps.Topics.Find(ctx, t.Topic)
		if err != nil {
			return failure(err)
		}
		if more := t.Count - now.Partitions(); more > 0 && int(more) != len(t.Assignment) {
			return refuse(codeInvalidReplicaAssignment, "the assignment is for %d partitions, and %d are to be added", len(t.Assignment), more)
		}
		for i := range t.Assignment {
			if r := t.Assignment[i].Replicas; len(r) == 0 || checkReplicas(r) != nil {
				return refuse(codeInvalidReplicaAssignment, "the replicas %v of new partition %d are none, negative, or there twice", r, i)
			}
		}
	}
	_, err := s.deps.Topics.AddPartitions(ctx, t.Topic, t.Count, validateOnly)
	return failure(err)
}
