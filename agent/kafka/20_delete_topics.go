package kafka

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/topic"
)

// DeleteTopics (key 20): v1-6.
//
//	v5: error messages. v6: topics by id.
//
// Differs from Kafka: a topic that is named by its name and by its id in one request is deleted, and unknown the second time.
func (s *Server) deleteTopics(ctx context.Context, req *kmsg.DeleteTopicsRequest) *kmsg.DeleteTopicsResponse {
	ctx, cancel := withTimeout(ctx, req.TimeoutMillis)
	defer cancel()
	resp := req.ResponseKind().(*kmsg.DeleteTopicsResponse)
	named := req.Topics
	if req.GetVersion() < 6 {
		named = make([]kmsg.DeleteTopicsRequestTopic, len(req.TopicNames))
		for i := range req.TopicNames {
			named[i].Topic = &req.TopicNames[i]
		}
	}
	twice := repeated(named, targetOf)
	enabled := s.deps.Topics.Settings().Bool("delete.topic.enable")
	var targets []topic.Target
	var of []int // the index in resp.Topics of each target
	told := map[topic.Target]bool{}
	for i := range named {
		target := targetOf(&named[i])
		if told[target] {
			continue
		}
		told[target] = true
		rt := kmsg.NewDeleteTopicsResponseTopic()
		rt.Topic, rt.TopicID = named[i].Topic, named[i].TopicID
		switch {
		case !enabled:
			code := codeTopicDeletionDisabled
			if req.GetVersion() < 3 {
				code = codeInvalidRequest
			}
			rt.ErrorCode, rt.ErrorMessage = refuse(code, "topics cannot be deleted: the agent runs with delete.topic.enable=false")
		case rt.Topic != nil && rt.TopicID != [16]byte{}:
			rt.ErrorCode, rt.ErrorMessage = refuse(codeInvalidRequest, "a topic is named by its name or by its id, not by both")
		case rt.Topic == nil && rt.TopicID == [16]byte{}:
			rt.ErrorCode, rt.ErrorMessage = refuse(codeInvalidRequest, "a topic is named neither by its name nor by its id")
		case twice[target]:
			rt.ErrorCode, rt.ErrorMessage = refuse(codeInvalidRequest, "topic: %v", errDuplicate)
		case rt.Topic != nil && *rt.Topic == "":
			rt.ErrorCode, rt.ErrorMessage = failure(topic.ErrUnknown)
		default:
			targets, of = append(targets, target), append(of, len(resp.Topics))
		}
		resp.Topics = append(resp.Topics, rt)
	}
	for i, d := range s.deps.Topics.DeleteAll(ctx, targets) {
		rt := &resp.Topics[of[i]]
		rt.ErrorCode, rt.ErrorMessage = failure(d.Err)
		switch {
		case d.Err == nil:
			rt.Topic, rt.TopicID = &d.Name, d.ID
		case errors.Is(d.Err, topic.ErrUnknown) && rt.Topic == nil:
			rt.ErrorCode = codeUnknownTopicID
		}
	}
	return resp
}

func targetOf(t *kmsg.DeleteTopicsRequestTopic) topic.Target {
	target := topic.Target{ID: t.TopicID}
	if t.Topic != nil {
		target.Name = *t.Topic
	}
	return target
}
