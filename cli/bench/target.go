package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/client"
)

// Target is a server under load.
type Target struct {
	Bootstrap []string // HOST:PORT each
	Agents    []Agent  // whose counters can be seen; none: costs are not known
}

// open makes a client for administration and sees whether the server answers.
func (t Target) open(ctx context.Context) (*client.Client, error) {
	c, err := client.Open(t.Bootstrap...)
	if err != nil {
		return nil, err
	}
	if err := c.Ping(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// dial opens a client of its own, in a zone. It tells the server, which counts what crosses zones.
func (t Target) dial(zone string, opts ...kgo.Opt) (*kgo.Client, error) {
	all := []kgo.Opt{kgo.SeedBrokers(t.Bootstrap...), kgo.ClientID("varve-bench")}
	if zone != "" {
		all = append(all, kgo.ClientID("varve-bench,zone="+zone), kgo.Rack(zone), kgo.Dialer(t.wire(zone)))
	}
	cl, err := kgo.NewClient(append(all, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("open client: %w", err)
	}
	return cl, nil
}

// leaderTime bounds the wait for the leaders of a topic that was just made.
const leaderTime = 30 * time.Second

// createTopic makes a topic, and returns once every partition has a leader.
func createTopic(ctx context.Context, c *client.Client, name string, partitions int) error {
	if err := c.CreateTopic(ctx, client.NewTopic{Name: name, Partitions: int32(partitions)}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, leaderTime)
	defer cancel()
	for {
		t, err := c.Topic(ctx, name)
		if err == nil && led(t, partitions) {
			return nil
		}
		if err != nil && !errors.Is(err, client.ErrUnknownTopic) && !errors.Is(err, kerr.UnknownTopicOrPartition) {
			return err
		}
		if !sleepUntil(ctx, time.Now().Add(20*time.Millisecond)) {
			return fmt.Errorf("wait for the leaders of topic %q: %w", name, context.Cause(ctx))
		}
	}
}

// led reports whether every partition of a topic has a leader.
func led(t client.Topic, partitions int) bool {
	for _, p := range t.Partitions {
		if p.Err != nil || p.Leader < 0 {
			return false
		}
	}
	return len(t.Partitions) == partitions
}

// endsOf returns the offset after the last record, by partition.
func endsOf(ctx context.Context, c *client.Client, topic string) (map[int32]int64, error) {
	listed, err := c.Admin().ListEndOffsets(ctx, topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("ask where topic %q ends: %w", topic, err)
	}
	ends := map[int32]int64{}
	for p, o := range listed[topic] {
		ends[p] = o.Offset
	}
	return ends, nil
}
