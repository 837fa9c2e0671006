package main

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// member commits what it was given after it has said so: each record at least once.
func (franzLibrary) member(ctx context.Context, m membership, t *teller) error {
	tell := func(what string) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, p map[string][]int32) { t.partitions(what, p[m.topic]...) }
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(m.addrs...), kgo.ConsumerGroup(m.group), kgo.ConsumeTopics(m.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(), kgo.SessionTimeout(m.session), kgo.HeartbeatInterval(m.session / 10), kgo.FetchMaxWait(200 * time.Millisecond),
		kgo.OnPartitionsAssigned(tell("assigned")), kgo.OnPartitionsRevoked(tell("revoked")), kgo.OnPartitionsLost(tell("revoked")),
		kgo.Balancers(kgo.RangeBalancer()),
	}
	switch {
	case m.cooperative:
		opts = append(opts, kgo.Balancers(kgo.CooperativeStickyBalancer()))
	case m.newer:
		opts = append(opts, kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()))
	}
	if m.instance != "" {
		opts = append(opts, kgo.InstanceID(m.instance))
	}
	c, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer c.Close()
	for ctx.Err() == nil {
		fetches := c.PollFetches(ctx)
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if n := len(p.Records); n > 0 {
				t.read(p.Partition, p.Records[0].Offset, p.Records[n-1].Offset)
			}
		})
		if fetches.NumRecords() == 0 {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, 20*time.Second)
		if err := c.CommitUncommittedOffsets(limited); err != nil && ctx.Err() == nil {
			t.say("uncommitted %v", err)
		}
		cancel()
	}
	return nil
}
