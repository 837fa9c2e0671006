//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// epochAsks counts the truncation checks that a client makes by itself.
type epochAsks struct{ n atomic.Int64 }

// OnBrokerWrite implements kgo.HookBrokerWrite.
func (e *epochAsks) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	if key == kmsg.NewPtrOffsetForLeaderEpochRequest().Key() {
		e.n.Add(1)
	}
}

// TestClusterEpochs: a partition goes from agent to agent, by hand-overs and by kills, with records under each leader. Whoever leads it
// last tells the end of every epoch there was, and a consumer that followed checked for truncation and found none.
func TestClusterEpochs(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	createTopic(t, f.agents[0].addr, "epochs", 1)
	asks := &epochAsks{}
	reader := dial(t, f.agents[0].addr, kgo.SeedBrokers(f.seeds()...), kgo.ConsumeTopics("epochs"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.WithHooks(asks), kgo.MetadataMinAge(100*time.Millisecond))
	writer := dial(t, f.agents[0].addr, kgo.SeedBrokers(f.seeds()...), kgo.DefaultProduceTopic("epochs"), kgo.MetadataMinAge(100*time.Millisecond))
	slot := -1
	await(t, "the slot of the partition", func() bool {
		slot = slices.IndexFunc(f.show(t, "slots").Slots, func(s slotJSON) bool { return s.Partitions != nil && *s.Partitions > 0 })
		return slot >= 0
	})
	ends, next := map[int32]int64{}, 0
	for round := range 8 {
		for range 50 {
			if err := writer.ProduceSync(t.Context(), kgo.StringRecord(fmt.Sprint(next))).FirstErr(); err != nil {
				t.Fatal(err)
			}
			next++
		}
		epoch, _ := endOfEpoch(t, writer, -2)
		ends[epoch] = int64(next)
		read(t, reader, next)
		at := f.show(t, "slots").Slots[slot].Agent
		i := slices.IndexFunc(f.agents, func(a *agent) bool { return a.name() == at })
		if round%4 == 3 {
			f.agents[i].kill(t)
			f.agents[i].start(t)
		} else {
			f.ok(t, "cluster", "move", fmt.Sprint(slot), f.agents[(i+1)%3].name())
		}
		await(t, "another leader", func() bool {
			s := f.show(t, "slots").Slots[slot]
			return s.Agent != at && s.State == "open" || s.Epoch > int(epoch) && s.State == "open"
		})
	}
	for epoch, want := range ends {
		if e, end := endOfEpoch(t, writer, epoch); e != epoch || end != want {
			t.Errorf("epoch %d ends at %d under epoch %d, want %d", epoch, end, e, want)
		}
	}
	if len(ends) != 8 || asks.n.Load() == 0 {
		t.Errorf("%d epochs, the consumer asked for the end of one %d times", len(ends), asks.n.Load())
	}
	t.Logf("epochs end at %v; the consumer asked %d times", ends, asks.n.Load())
}

// read reads until n records have come in all; each says its own number.
func read(t *testing.T, cl *kgo.Client, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hang)
	defer cancel()
	for last := -1; last < n-1; {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("the consumer stands at record %d of %d", last, n)
		}
		fetches.EachError(func(_ string, _ int32, err error) { t.Errorf("the consumer is told %v", err) })
		fetches.EachRecord(func(r *kgo.Record) {
			if last = int(r.Offset); string(r.Value) != fmt.Sprint(r.Offset) {
				t.Errorf("offset %d holds %q", r.Offset, r.Value)
			}
		})
	}
}

// endOfEpoch asks the leader of the partition where an epoch ends; -2: the newest one that it knows.
func endOfEpoch(t *testing.T, cl *kgo.Client, epoch int32) (of int32, end int64) {
	t.Helper()
	if epoch == -2 {
		req := kmsg.NewPtrMetadataRequest()
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr("epochs")
		req.Topics = append(req.Topics, topic)
		resp, err := req.RequestWith(t.Context(), cl)
		if err != nil || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
			t.Fatalf("%+v, %v", resp, err)
		}
		epoch = resp.Topics[0].Partitions[0].LeaderEpoch
	}
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	topic := kmsg.NewOffsetForLeaderEpochRequestTopic()
	topic.Topic = "epochs"
	part := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	part.LeaderEpoch = epoch
	topic.Partitions = append(topic.Partitions, part)
	req.Topics = append(req.Topics, topic)
	var got kmsg.OffsetForLeaderEpochResponseTopicPartition
	await(t, "an answer of the leader", func() bool {
		resp, err := req.RequestWith(t.Context(), cl)
		if err != nil || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
			return false
		}
		got = resp.Topics[0].Partitions[0]
		return got.ErrorCode == 0
	})
	return got.LeaderEpoch, got.EndOffset
}
