package kafka

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/cluster"
	"github.com/varvelog/varve/agent/topic"
)

// page asks for partitions and returns them as topic-index or topic:code, and the cursor in the same form.
func page(c *client, limit int32, cursor *kmsg.DescribeTopicPartitionsRequestCursor, names ...string) (got []string, next string) {
	c.t.Helper()
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.ResponsePartitionLimit, req.Cursor = limit, cursor
	for _, n := range names {
		req.Topics = append(req.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: n})
	}
	resp := call[*kmsg.DescribeTopicPartitionsResponse](c, req)
	for _, t := range resp.Topics {
		if t.ErrorCode != 0 || len(t.Partitions) == 0 {
			got = append(got, fmt.Sprintf("%s:%d", *t.Topic, t.ErrorCode))
		}
		for _, p := range t.Partitions {
			got = append(got, fmt.Sprintf("%s-%d", *t.Topic, p.Partition))
		}
	}
	if resp.NextCursor != nil {
		next = fmt.Sprintf("%s-%d", resp.NextCursor.Topic, resp.NextCursor.Partition)
	}
	return got, next
}

func at(top string, index int32) *kmsg.DescribeTopicPartitionsRequestCursor {
	return &kmsg.DescribeTopicPartitionsRequestCursor{Topic: top, Partition: index}
}

// TestDescribeTopicPartitionsPages: names in order, each once, no more partitions than asked for, and a cursor to the rest.
func TestDescribeTopicPartitionsPages(t *testing.T) {
	w := newWorld(t, option{})
	for _, n := range []string{"a", "b", "d"} {
		w.topic(n, 3)
	}
	c := w.dial()
	for i, e := range []struct {
		limit  int32
		cursor *kmsg.DescribeTopicPartitionsRequestCursor
		names  []string
		want   []string
		next   string
	}{
		{2000, nil, nil, []string{"a-0", "a-1", "a-2", "b-0", "b-1", "b-2", "d-0", "d-1", "d-2"}, ""},
		{4, nil, nil, []string{"a-0", "a-1", "a-2", "b-0"}, "b-1"},
		{4, at("b", 1), nil, []string{"b-1", "b-2", "d-0", "d-1"}, "d-2"},
		{4, at("d", 2), nil, []string{"d-2"}, ""},
		{3, nil, nil, []string{"a-0", "a-1", "a-2"}, "b-0"},
		{0, nil, nil, []string{"a-0"}, "a-1"},
		{-5, at("d", 1), nil, []string{"d-1"}, "d-2"},
		{9, at("c", 2), nil, []string{"d-0", "d-1", "d-2"}, ""},                        // deleted between two pages
		{9, at("b", 5), nil, []string{"b:0", "d-0", "d-1", "d-2"}, ""},                 // made again, smaller
		{9, at("b", 1<<31-1), nil, []string{"b:0", "d-0", "d-1", "d-2"}, ""},           // no sum may wrap
		{9, at("z", 0), nil, nil, ""},                                                  // the last one deleted
		{4, nil, []string{"d", "b", "d"}, []string{"b-0", "b-1", "b-2", "d-0"}, "d-1"}, // order and twice
		{4, at("d", 1), []string{"d", "b"}, []string{"d-1", "d-2"}, ""},
		{9, nil, []string{"nope", "b", "a/b"}, []string{"a/b:17", "b-0", "b-1", "b-2", "nope:3"}, ""},
		{9, at("c", 0), []string{"b", "d"}, []string{"b:42", "d:42"}, ""}, // a cursor that is none of the named
		{9, at("b", -1), []string{"b"}, []string{"b:42"}, ""},
		{9, at("b", -1), nil, []string{"b:42", "d:42"}, ""},
		{1, at("a", 3), nil, []string{"a:0", "b-0"}, "b-1"},
		{3, at("a", 3), nil, []string{"a:0", "b-0", "b-1", "b-2"}, "d-0"},
		{3, at("aa", 0), nil, []string{"b-0", "b-1", "b-2"}, "d-0"},
	} {
		if got, next := page(c, e.limit, e.cursor, e.names...); !slices.Equal(got, e.want) || next != e.next {
			t.Errorf("%d: limit %d from %v: %v, next %q; want %v, %q", i, e.limit, e.cursor, got, next, e.want, e.next)
		}
	}
}

func TestDescribeTopicPartitionsIsBounded(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("t", maxDescribed+1)
	if got, next := page(w.dial(), 1<<30, nil, "t"); len(got) != maxDescribed || next != fmt.Sprintf("t-%d", maxDescribed) {
		t.Errorf("%d partitions, next %q", len(got), next)
	}
}

// TestME3ME5DescribeTopicPartitions: leader and epoch are those of the view, and a slot without a leader has no epoch 0.
func TestME3ME5DescribeTopicPartitions(t *testing.T) {
	w := newWorld(t, option{})
	top := w.topic("t", 2)
	w.node.change(func(v *cluster.View) { v.Slots[top.Slots[1]] = cluster.Leader{Node: -1, Epoch: 8} })
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.Topics = []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: "t"}}
	r := call[*kmsg.DescribeTopicPartitionsResponse](w.dial(), req).Topics[0]
	if r.TopicID != [16]byte(top.ID) || r.IsInternal || r.AuthorizedOperations != topicOperations {
		t.Errorf("topic: %+v", r)
	}
	led, lost := r.Partitions[0], r.Partitions[1]
	if led.ErrorCode != 0 || led.LeaderID != testNode || led.LeaderEpoch != testEpoch || !slices.Equal(led.Replicas, []int32{testNode}) || !slices.Equal(led.ISR, led.Replicas) {
		t.Errorf("led: %+v", led)
	}
	if lost.ErrorCode != codeLeaderNotAvailable || lost.LeaderID != -1 || lost.LeaderEpoch != 8 || len(lost.Replicas) != 0 {
		t.Errorf("not led: %+v", lost)
	}
	if led.EligibleLeaderReplicas == nil || led.LastKnownELR == nil {
		t.Errorf("null lists: %+v", led)
	}
}

// BenchmarkDescribeTopicPartitions is a page of 100 partitions in the middle of 10,000 topics.
func BenchmarkDescribeTopicPartitions(b *testing.B) {
	w := newWorld(b, option{})
	var specs []topic.Spec
	for i := range 10_000 {
		specs = append(specs, topic.Spec{Name: fmt.Sprintf("topic-%05d", i), Partitions: 1})
	}
	w.topics.CreateAll(b.Context(), specs)
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.ResponsePartitionLimit, req.Cursor = 100, at("topic-05000", 0)
	b.ReportAllocs()
	for b.Loop() {
		if n := len(w.s.describeTopicPartitions(b.Context(), req).Topics); n != 100 {
			b.Fatalf("%d topics", n)
		}
	}
}
