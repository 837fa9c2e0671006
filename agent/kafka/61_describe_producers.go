package kafka

import (
	"cmp"
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/partition"
	"github.com/varvelog/varve/agent/topic"
)

// DescribeProducers (key 61): v0. The idempotent producers of which the leader of a partition remembers committed batches.
//
// Differs from Kafka: the state is that of the committed log; an answer holds at most maxToldProducers, partitions beyond
// are refused; the last timestamp is when the batch came, by the leader's clock, not that of its records.
func (s *Server) describeProducers(ctx context.Context, req *kmsg.DescribeProducersRequest) *kmsg.DescribeProducersResponse {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	names := s.finder(ctx)
	defer names.end()
	resp := kmsg.NewPtrDescribeProducersResponse()
	type key struct {
		topic string
		index int32
	}
	told, room := map[key]bool{}, maxToldProducers
	for i := range req.Topics {
		t := &req.Topics[i]
		top := names.topic(t.Topic)
		rt := kmsg.NewDescribeProducersResponseTopic()
		rt.Topic = t.Topic
		for _, index := range t.Partitions {
			if told[key{t.Topic, index}] {
				continue // one answer of a size that others decide is enough
			}
			told[key{t.Topic, index}] = true
			rp := s.producersOf(t.Topic, top, index, room)
			room -= len(rp.ActiveProducers)
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// maxToldProducers bounds an answer: a partition alone remembers 10,000.
const maxToldProducers = 100_000

// describeProducersWaits: a topic that is not known here is looked for in the store.
func describeProducersWaits(s *Server, req *kmsg.DescribeProducersRequest) bool {
	return slices.ContainsFunc(req.Topics, func(t kmsg.DescribeProducersRequestTopic) bool {
		return s.deps.Topics.Lookup(t.Topic) == nil && topic.CheckName(t.Topic) == nil
	})
}

// producersOf answers for one partition; top is nil if there is no such topic.
func (s *Server) producersOf(name string, top *topic.Topic, index int32, room int) kmsg.DescribeProducersResponseTopicPartition {
	rp := kmsg.NewDescribeProducersResponseTopicPartition()
	rp.Partition = index
	if err := topic.CheckName(name); err != nil {
		rp.ErrorCode, rp.ErrorMessage = failure(err)
		return rp
	}
	if top == nil || index < 0 || index >= top.Partitions() {
		rp.ErrorCode, rp.ErrorMessage = refuse(codeUnknownTopicOrPartition, "there is no such partition")
		return rp
	}
	p, err := s.deps.Partitions.Get(partition.ID{Topic: top.ID, Index: index}, top.Name, top.Slots[index])
	if err != nil {
		rp.ErrorCode, rp.ErrorMessage = failure(err)
		return rp
	}
	known := p.Producers()
	if len(known) > room {
		rp.ErrorCode, rp.ErrorMessage = refuse(codeInvalidRequest, "more than %d producers in one answer: ask for fewer partitions", maxToldProducers)
		return rp
	}
	for i := range known {
		a := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
		a.ProducerID, a.ProducerEpoch, a.LastTimestamp = known[i].ID, int32(known[i].Epoch), known[i].LastTimestamp
		a.LastSequence, a.CoordinatorEpoch, a.CurrentTxnStartOffset = -1, -1, -1
		if n := len(known[i].Last); n > 0 {
			a.LastSequence = known[i].Last[n-1].LastSeq
		}
		rp.ActiveProducers = append(rp.ActiveProducers, a)
	}
	slices.SortFunc(rp.ActiveProducers, func(a, b kmsg.DescribeProducersResponseTopicPartitionActiveProducer) int {
		return cmp.Compare(a.ProducerID, b.ProducerID)
	})
	return rp
}
