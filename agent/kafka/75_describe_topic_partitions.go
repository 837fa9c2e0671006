package kafka

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/cluster"
	"github.com/varvelog/varve/agent/topic"
)

// DescribeTopicPartitions (key 75): v0 (KIP-966). Topics in the order of their names, at most as many partitions as asked
// for, and a cursor to where the next request goes on. No topic named: all.
//
// Differs from Kafka: as Metadata; there are no eligible leader replicas beside the leader.
func (s *Server) describeTopicPartitions(ctx context.Context, req *kmsg.DescribeTopicPartitionsRequest) *kmsg.DescribeTopicPartitionsResponse {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	resp := kmsg.NewPtrDescribeTopicPartitionsResponse()
	v := s.deps.Cluster.View()
	left := min(max(req.ResponsePartitionLimit, 1), maxDescribed)
	list, code := s.pageOf(req, left)
	for i := range list {
		name, from := list[i].name, list[i].from
		if left == 0 {
			resp.NextCursor = cursorAt(name, 0)
			return resp
		}
		t, err := list[i].t, error(nil)
		if t == nil && code == codeNone {
			t, err = s.findOrCreate(ctx, name, false)
		}
		if t == nil || code != codeNone {
			resp.Topics = append(resp.Topics, undescribed(name, cmp.Or(code, codeOf(err, codeLeaderNotAvailable))))
			continue
		}
		from = min(from, t.Partitions()) // the topic may have been smaller than the cursor says, or is by now
		to := min(from+left, t.Partitions())
		resp.Topics = append(resp.Topics, describePartitions(v, t, from, to))
		if left -= to - from; to < t.Partitions() {
			resp.NextCursor = cursorAt(name, to)
			return resp
		}
	}
	return resp
}

// maxDescribed is the most partitions of one answer (Kafka's max.request.partition.size.limit).
const maxDescribed = 2000

// describeTopicPartitionsWaits: a topic that is not known here is looked for in the store.
func describeTopicPartitionsWaits(s *Server, req *kmsg.DescribeTopicPartitionsRequest) bool {
	return slices.ContainsFunc(req.Topics, func(t kmsg.DescribeTopicPartitionsRequestTopic) bool {
		return s.deps.Topics.Lookup(t.Topic) == nil && topic.CheckName(t.Topic) == nil
	})
}

// describedTopic is a topic that a request is about, and its first partition that is.
type describedTopic struct {
	name string
	t    *topic.Topic // nil: to be found
	from int32
}

// pageOf returns what a request of at most so many partitions is about, in order, from its cursor on, each topic once. A code
// other than 0 is for all: there is no room for one error of the whole.
func (s *Server) pageOf(req *kmsg.DescribeTopicPartitionsRequest, most int32) (list []describedTopic, code int16) {
	if len(req.Topics) == 0 {
		return s.pageOfAll(req.Cursor, most)
	}
	for i := range req.Topics {
		list = append(list, describedTopic{name: req.Topics[i].Topic})
	}
	byName := func(a, b describedTopic) int { return cmp.Compare(a.name, b.name) }
	slices.SortFunc(list, byName)
	list = slices.CompactFunc(list, func(a, b describedTopic) bool { return a.name == b.name })
	cur := req.Cursor
	if cur == nil {
		return list, codeNone
	}
	at, there := slices.BinarySearchFunc(list, describedTopic{name: cur.Topic}, byName)
	if cur.Partition < 0 || !there {
		return list, codeInvalidRequest
	}
	list = list[at:]
	list[0].from = cur.Partition
	return list, codeNone
}

// pageOfAll is pageOf all topics. A topic has a partition at least, so a page of them is short, however many there are.
func (s *Server) pageOfAll(cur *kmsg.DescribeTopicPartitionsRequestCursor, most int32) (list []describedTopic, code int16) {
	all, from := s.deps.Topics.List(), int32(0)
	if cur != nil {
		at, there := slices.BinarySearchFunc(all, cur.Topic, func(t *topic.Topic, name string) int { return cmp.Compare(t.Name, name) })
		if all = all[at:]; there {
			from = cur.Partition
		}
		if cur.Partition < 0 {
			code = codeInvalidRequest
		}
	}
	const more = 2 // the first may have nothing from the cursor on, and the last is where the next page begins
	for _, t := range all[:min(len(all), int(most)+more)] {
		list = append(list, describedTopic{name: t.Name, t: t})
	}
	if len(list) > 0 {
		list[0].from = from
	}
	return list, code
}

func cursorAt(name string, index int32) *kmsg.DescribeTopicPartitionsResponseNextCursor {
	c := kmsg.NewDescribeTopicPartitionsResponseNextCursor()
	c.Topic, c.Partition = name, index
	return &c
}

func undescribed(name string, code int16) kmsg.DescribeTopicPartitionsResponseTopic {
	r := kmsg.NewDescribeTopicPartitionsResponseTopic()
	r.Topic, r.ErrorCode, r.AuthorizedOperations = &name, code, math.MinInt32
	if code == codeRequestTimedOut {
		r.ErrorCode = codeLeaderNotAvailable // as in Metadata
	}
	return r
}

// describePartitions lists the partitions of a topic from one to before another.
func describePartitions(v *cluster.View, t *topic.Topic, from, to int32) kmsg.DescribeTopicPartitionsResponseTopic {
	r := kmsg.NewDescribeTopicPartitionsResponseTopic()
	r.Topic, r.TopicID, r.AuthorizedOperations = &t.Name, t.ID, topicOperations
	for i := from; i < to; i++ {
		p := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
		l := leaderOf(v, t.Slots[i])
		p.Partition, p.LeaderID, p.LeaderEpoch = i, l.Node, l.Epoch
		p.EligibleLeaderReplicas, p.LastKnownELR = []int32{}, []int32{} // null is for those who do not know
		if l.Node < 0 {
			p.ErrorCode = codeLeaderNotAvailable
		} else {
			p.Replicas = []int32{l.Node}
			p.ISR = p.Replicas
		}
		r.Partitions = append(r.Partitions, p)
	}
	return r
}
