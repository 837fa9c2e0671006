package main

import (
	"context"
	"time"

	"github.com/IBM/sarama"
)

// saramaMember is told by sarama what it has. Marked records are committed by sarama, twice a second.
type saramaMember struct {
	m membership
	t *teller
}

func (*saramaMember) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (*saramaMember) Cleanup(sarama.ConsumerGroupSession) error { return nil }

// ConsumeClaim serves one partition until it is taken away.
func (h *saramaMember) ConsumeClaim(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	h.t.partitions("assigned", claim.Partition())
	defer h.t.partitions("revoked", claim.Partition())
	for {
		select {
		case r, ok := <-claim.Messages():
			if !ok {
				return nil
			}
			h.t.read(r.Partition, r.Offset, r.Offset)
			s.MarkMessage(r, "")
		case <-s.Context().Done():
			return nil
		}
	}
}

func (saramaLibrary) member(ctx context.Context, m membership, t *teller) error {
	c := saramaConfig()
	c.Consumer.Offsets.Initial, c.Consumer.Offsets.AutoCommit.Interval = sarama.OffsetOldest, 500*time.Millisecond
	c.Consumer.Group.Session.Timeout, c.Consumer.Group.Heartbeat.Interval = m.session, m.session/10
	c.Consumer.Group.InstanceId = m.instance
	if m.cooperative {
		c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyCooperativeSticky()}
	}
	g, err := sarama.NewConsumerGroup(m.addrs, m.group, c)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := g.Consume(ctx, []string{m.topic}, &saramaMember{m, t}); err != nil && ctx.Err() == nil {
			t.say("again %v", err)
			time.Sleep(100 * time.Millisecond)
		}
	}
	return g.Close()
}
