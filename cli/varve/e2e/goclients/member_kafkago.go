package main

import (
	"context"
	"errors"
	"time"

	"github.com/segmentio/kafka-go"
)

// member works generation by generation, as kafka-go's Reader does inside.
func (kafkaGoLibrary) member(ctx context.Context, m membership, t *teller) error {
	g, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: m.group, Brokers: m.addrs, Topics: []string{m.topic}, StartOffset: kafka.FirstOffset,
		SessionTimeout: m.session, HeartbeatInterval: m.session / 10, JoinGroupBackoff: 200 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	defer g.Close()
	for ctx.Err() == nil {
		gen, err := g.Next(ctx)
		if err != nil {
			if ctx.Err() == nil {
				t.say("again %v", err)
			}
			continue
		}
		for _, a := range gen.Assignments[m.topic] {
			gen.Start(func(ctx context.Context) { kafkaGoClaim(ctx, m, t, gen, a) })
		}
	}
	return nil
}

// kafkaGoClaim serves a partition until the generation ends.
func kafkaGoClaim(ctx context.Context, m membership, t *teller, gen *kafka.Generation, a kafka.PartitionAssignment) {
	t.partitions("assigned", int32(a.ID))
	defer t.partitions("revoked", int32(a.ID))
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: m.addrs, Topic: m.topic, Partition: a.ID, MaxWait: 200 * time.Millisecond})
	defer r.Close()
	if err := r.SetOffset(a.Offset); err != nil {
		t.say("bad %v", err)
		return
	}
	next, committed, at := a.Offset, a.Offset, time.Now()
	for {
		limited, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		msg, err := r.ReadMessage(limited)
		cancel()
		switch {
		case err == nil:
			t.read(int32(msg.Partition), msg.Offset, msg.Offset)
			next = msg.Offset + 1
		case errors.Is(err, kafka.ErrGenerationEnded) || ctx.Err() != nil:
			return
		case !errors.Is(err, context.DeadlineExceeded):
			t.say("again %v", err)
		}
		if next == committed || time.Since(at) < 200*time.Millisecond {
			continue
		}
		if err := gen.CommitOffsets(map[string]map[int]int64{m.topic: {a.ID: next}}); err != nil {
			t.say("uncommitted %v", err)
			continue
		}
		committed, at = next, time.Now()
	}
}
