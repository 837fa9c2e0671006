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
		rt.ErrorCode, rt.ErrorMessage = s.refuseDelete(req.GetVersion(), &named[i], twice[target])
		if rt.ErrorCode == codeNone {
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

// refuseDelete says why a topic of a request cannot be deleted, as far as the request alone tells.
func (s *Server) refuseDelete(version int16, t *kmsg.DeleteTopicsRequestTopic, twice bool) (int16, *string) {
	byID := t.TopicID != [16]byte{}
	switch {
	case !s.deps.Topics.Settings().Bool("delete.topic.enable"):
		code := codeTopicDeletionDisabled
		if version < 3 {
			code = codeInvalidRequest
		}
		return refuse(code, "topics cannot be deleted: the agent runs with delete.topic.enable=false")
	case t.Topic != nil && byID:
		return refuse(codeInvalidRequest, "a topic is named by its name or by its id, not by both")
	case t.Topic == nil && !byID:
		return refuse(codeInvalidRequest, "a topic is named neither by its name nor by its id")
	case twice:
		return refuse(codeInvalidRequest, "topic: %v", errDuplicate)
	case t.Topic != nil && *t.Topic == "":
		return failure(topic.ErrUnknown)
	}
	return codeNone, nil
}

func targetOf(t *kmsg.DeleteTopicsRequestTopic) topic.Target {
	target := topic.Target{ID: t.TopicID}
	if t.Topic != nil {
		target.Name = *t.Topic
	}
	return target
}
