package kafka

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/topic"
)

// CreateTopics (key 19): v2-7.
//
//	v4: -1 partitions and replication factor. v5: configs in the answer. v7: topic ids.
//
// Differs from Kafka: any replication factor above 0 is accepted and only echoed, since the object store replicates; a
// manual assignment counts as a number of partitions; -1 is accepted in every version; names that differ only in '.' and
// '_' are allowed; a null config value means the default.
func (s *Server) createTopics(ctx context.Context, req *kmsg.CreateTopicsRequest) *kmsg.CreateTopicsResponse {
	ctx, cancel := withTimeout(ctx, req.TimeoutMillis)
	defer cancel()
	resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
	twice := repeated(req.Topics, func(t *kmsg.CreateTopicsRequestTopic) string { return t.Topic })
	var specs []topic.Spec
	var of []int // the index in resp.Topics of each spec
	told := map[string]bool{}
	for i := range req.Topics {
		t := &req.Topics[i]
		if told[t.Topic] {
			continue // answered once, as Kafka does
		}
		told[t.Topic] = true
		rt := kmsg.NewCreateTopicsResponseTopic()
		rt.Topic, rt.NumPartitions, rt.ReplicationFactor = t.Topic, -1, -1
		spec, code, msg := newSpec(t)
		if twice[t.Topic] {
			code, msg = refuse(codeInvalidRequest, "topic %q: %v", t.Topic, errDuplicate)
		}
		rt.ErrorCode, rt.ErrorMessage = code, msg
		if code == codeNone {
			spec.ValidateOnly = req.ValidateOnly
			specs, of = append(specs, spec), append(of, len(resp.Topics))
			rt.ReplicationFactor = s.replication(t)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	for i, made := range s.deps.Topics.CreateAll(ctx, specs) {
		s.tellCreated(&resp.Topics[of[i]], made, req.ValidateOnly)
	}
	return resp
}

// newSpec turns a topic of a request into the words of the topic room.
func newSpec(t *kmsg.CreateTopicsRequestTopic) (topic.Spec, int16, *string) {
	spec := topic.Spec{Name: t.Topic, Partitions: t.NumPartitions, Configs: make(map[string]*string, len(t.Configs))}
	for i := range t.Configs {
		c := &t.Configs[i]
		if _, twice := spec.Configs[c.Name]; twice {
			code, msg := refuse(codeInvalidRequest, "config %q: %v", c.Name, errDuplicate)
			return spec, code, msg
		}
		spec.Configs[c.Name] = c.Value
	}
	if len(t.ReplicaAssignment) > 0 {
		if t.NumPartitions != -1 || t.ReplicationFactor != -1 {
			code, msg := refuse(codeInvalidRequest, "a replica assignment goes with -1 partitions and replication factor -1 only")
			return spec, code, msg
		}
		if err := checkAssignment(t.ReplicaAssignment); err != nil {
			code, msg := refuse(codeInvalidReplicaAssignment, "%v", err)
			return spec, code, msg
		}
		spec.Partitions = int32(len(t.ReplicaAssignment))
	} else if rf := t.ReplicationFactor; rf == 0 || rf < -1 {
		code, msg := refuse(codeInvalidReplicationFactor, "replication factor %d is neither above 0 nor -1, the default", rf)
		return spec, code, msg
	}
	return spec, codeNone, nil
}

// checkAssignment checks what Kafka checks of a manual assignment, besides whether the brokers exist: the slots, not the
// client, decide where partitions are.
func checkAssignment(list []kmsg.CreateTopicsRequestTopicReplicaAssignment) error {
	seen := make(map[int32]bool, len(list))
	for i := range list {
		p, replicas := list[i].Partition, list[i].Replicas
		switch {
		case p < 0 || int(p) >= len(list) || seen[p]:
			return fmt.Errorf("replica assignment: partitions must be 0 to %d, each once", len(list)-1)
		case len(replicas) == 0 || len(replicas) != len(list[0].Replicas):
			return fmt.Errorf("replica assignment: partition %d has %d replicas, the first has %d", p, len(replicas), len(list[0].Replicas))
		}
		seen[p] = true
		if err := checkReplicas(replicas); err != nil {
			return fmt.Errorf("replica assignment: partition %d: %w", p, err)
		}
	}
	return nil
}

func checkReplicas(replicas []int32) error {
	for i, r := range replicas {
		if r < 0 || slices.Contains(replicas[:i], r) {
			return fmt.Errorf("replica %d is negative or there twice", r)
		}
	}
	return nil
}

// replication is the replication factor that a topic is told to have.
func (s *Server) replication(t *kmsg.CreateTopicsRequestTopic) int16 {
	switch {
	case len(t.ReplicaAssignment) > 0:
		return int16(len(t.ReplicaAssignment[0].Replicas))
	case t.ReplicationFactor > 0:
		return t.ReplicationFactor
	}
	return s.deps.Topics.Settings().ReplicationFactor()
}

func (s *Server) tellCreated(rt *kmsg.CreateTopicsResponseTopic, made topic.Created, validateOnly bool) {
	rt.ErrorCode, rt.ErrorMessage = failure(made.Err)
	if made.Err != nil {
		rt.ReplicationFactor = -1
		return
	}
	if !validateOnly {
		rt.TopicID = made.Topic.ID
	}
	rt.NumPartitions = made.Topic.Partitions()
	for _, e := range s.deps.Topics.Settings().Topic(made.Topic.Overrides) {
		c := kmsg.NewCreateTopicsResponseTopicConfig()
		c.Name, c.Value, c.ReadOnly, c.Source = e.Name, value(&e), e.ReadOnly, int8(e.Source)
		rt.Configs = append(rt.Configs, c)
	}
}

// value is the value of a config as Kafka tells it.
func value(e *topic.Entry) *string {
	if e.Null {
		return nil
	}
	return &e.Value
}
