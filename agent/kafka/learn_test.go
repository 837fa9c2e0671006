package kafka

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/topic"
	"github.com/varvelog/varve/metastore"
	factsmem "github.com/varvelog/varve/metastore/mem"
)

// TestTopicOfAnotherAgent: a leader that is asked for a topic made elsewhere a moment ago finds it.
func TestTopicOfAnotherAgent(t *testing.T) {
	w := newWorld(t, option{auto: true, cache: 1 << 20})
	settings, err := topic.NewSettings(nil)
	must(t, err)
	other := topic.New(w.facts, slog.New(slog.DiscardHandler), topic.Options{Cluster: "c", Slots: testSlots, Poll: time.Second, Settings: settings})
	must(t, other.Load(t.Context()))
	create := func(name string) {
		t.Helper()
		_, err := other.Create(context.Background(), topic.Spec{Name: name, Partitions: 1})
		must(t, err)
		if w.topics.Lookup(name) != nil {
			t.Fatalf("%s is known here already", name)
		}
	}
	c := w.dial()
	create("a")
	if p := produced(call[*kmsg.ProduceResponse](c, producing(9, "a", batch(t, 1, 1)))); p.ErrorCode != 0 {
		t.Errorf("produce: %+v", p)
	}
	create("b")
	if f := fetched(call[*kmsg.FetchResponse](c, fetching(11, "b", 0)), 0); f.ErrorCode != 0 || f.HighWatermark != 0 {
		t.Errorf("fetch: %+v", f)
	}
	create("d")
	if p := listed(call[*kmsg.ListOffsetsResponse](c, listing(5, "d", tsLatest))); p.ErrorCode != 0 || p.Offset != 0 {
		t.Errorf("list offsets: %+v", p)
	}
	create("t")
	if p := endOf(c, 3, testEpoch, -1); p.ErrorCode != 0 || p.EndOffset != 0 {
		t.Errorf("offset for leader epoch: %+v", p)
	}
	create("e")
	if r := call[*kmsg.MetadataResponse](c, metadataOf(9, "e")).Topics[0]; r.ErrorCode != 0 || len(r.Partitions) != 1 {
		t.Errorf("metadata: %+v", r)
	}
}

// hanging is a store whose reads of single items wait, and are counted.
type hanging struct {
	metastore.Store
	gate chan struct{}
	gets atomic.Int64
}

func (h *hanging) Get(ctx context.Context, key metastore.Key, c metastore.Consistency) (metastore.Item, error) {
	h.gets.Add(1)
	select {
	case <-h.gate:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return h.Store.Get(ctx, key, c)
}

// TestUnknownNamesWaitOnce: however many topics a request names that are not known here, a store that hangs is waited for
// once, and not asked again after that.
func TestUnknownNamesWaitOnce(t *testing.T) {
	h := &hanging{gate: make(chan struct{})}
	defer close(h.gate)
	w := newWorld(t, option{before: func(s *Server) {
		facts := factsmem.New()
		h.Store = facts
		s.deps.Topics = topic.New(h, slog.New(slog.DiscardHandler), topic.Options{Cluster: "c", Slots: testSlots, Poll: time.Second, Settings: s.deps.Topics.Settings()})
	}})
	produce, fetch := producing(9, "a", batch(t, 1, 1)), fetching(11, "a", 0)
	for _, name := range []string{"b", "c", "d", "e"} {
		produce.Topics = append(produce.Topics, producing(9, name, batch(t, 1, 1)).Topics[0])
		fetch.Topics = append(fetch.Topics, fetching(11, name+"f", 0).Topics[0])
	}
	c, d := w.dial(), w.dial()
	p, f := c.send(produce), d.send(fetch)
	if resp := receive[*kmsg.ProduceResponse](c, produce, p); len(resp.Topics) != 5 || resp.Topics[4].Partitions[0].ErrorCode != codeUnknownTopicOrPartition {
		t.Errorf("produce: %+v", resp)
	}
	if resp := receive[*kmsg.FetchResponse](d, fetch, f); len(resp.Topics) != 5 || resp.Topics[4].Partitions[0].ErrorCode != codeUnknownTopicOrPartition {
		t.Errorf("fetch: %+v", resp)
	}
	if n := h.gets.Load(); n != 1 { // both ask for a at first, and share the read
		t.Errorf("%d reads", n)
	}
}
