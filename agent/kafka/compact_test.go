package kafka

import (
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/segment"
)

// fakeRewriter notes what is asked of it.
type fakeRewriter struct {
	mu    sync.Mutex
	asked []uuid.UUID
	err   error
}

func (f *fakeRewriter) Rewrite(topic uuid.UUID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, topic)
	return f.err
}

func (f *fakeRewriter) Rewritings() (all []segment.Rewriting) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range f.asked {
		all = append(all, segment.Rewriting{Topic: id, Asked: time.UnixMilli(7), Left: 2, Some: []int32{0, 1}, Segments: 3, Bytes: 4})
	}
	return all
}

func (f *fakeRewriter) wishes() []uuid.UUID {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

func (f *fakeRewriter) set(asked []uuid.UUID, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked, f.err = asked, err
}

// Segments of a topic are asked for of the agent that shall cut them, and it tells how far that is; of topics that are gone it does not.
func TestCompactIsAskedForAndTold(t *testing.T) {
	f := &fakeRewriter{}
	w := newWorld(t, option{before: func(s *Server) { s.deps.Rewriter = f }})
	orders := w.topic("orders", 3)
	c := w.dial()
	const set, remove = kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete
	for _, e := range []struct {
		name  string
		op    kmsg.IncrementalAlterConfigOp
		value *string
		code  int16
		text  string
	}{
		{"2", set, ptr("orders"), codeInvalidConfig, "varve.compact is of the agent that is asked, which is 1"},
		{"1", set, ptr("nope"), codeUnknownTopicOrPartition, "nope"},
		{"1", set, ptr(""), codeInvalidTopic, ""},
		{"1", remove, nil, 0, ""},
	} {
		code, msg := c.alterAgent(e.name, "varve.compact", e.op, e.value, false)
		says(t, e.name, code, e.code, msg, e.text)
	}
	if _, _ = c.alterAgent("1", "varve.compact", set, ptr("orders"), true); len(f.wishes()) > 0 {
		t.Fatal("only looked at, and done")
	}
	for _, name := range []string{"1", ""} {
		code, msg := c.alterAgent(name, "varve.compact", set, ptr("orders"), false)
		says(t, "agent "+name, code, 0, msg, "")
	}
	if asked := f.wishes(); !slices.Equal(asked, []uuid.UUID{orders.ID, orders.ID}) {
		t.Fatal(asked)
	}
	f.set([]uuid.UUID{uuid.New(), orders.ID}, nil)
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Version = 4
	req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: "1", ConfigNames: []string{"varve.compact"}}}
	told := call[*kmsg.DescribeConfigsResponse](c, req).Resources[0].Configs[0]
	var all []compactJSON
	if err := json.Unmarshal([]byte(*told.Value), &all); err != nil || told.ReadOnly {
		t.Fatal(err, told.ReadOnly)
	}
	if len(all) != 1 || all[0].ID != orders.ID || all[0].Partitions != 3 || all[0].Left != 2 || all[0].Segments != 3 || all[0].AskedMS != 7 {
		t.Fatal(*told.Value)
	}
	f.set(nil, segment.ErrManyWishes)
	code, msg := c.alterAgent("1", "varve.compact", set, ptr("orders"), false)
	says(t, "many", code, codeInvalidRequest, msg, "many topics are being rewritten")
}
