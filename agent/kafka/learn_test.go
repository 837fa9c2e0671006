package kafka

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/topic"
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
