package client

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// LagTime returns how old the next record is that a group will read, of each partition of d with a lag: the time between its timestamp and
// now. It reads one record of each, so it is for a few hundred partitions at once. Partitions that do not answer before ctx ends are left
// out; that is no error.
func (c *Client) LagTime(ctx context.Context, d GroupDetail) (map[TopicPartition]time.Duration, error) {
	next, left := map[string]map[int32]kgo.Offset{}, map[TopicPartition]bool{}
	for _, p := range d.Partitions {
		if p.Lag <= 0 {
			continue
		}
		if next[p.Topic] == nil {
			next[p.Topic] = map[int32]kgo.Offset{}
		}
		next[p.Topic][p.Partition] = kgo.NewOffset().At(max(p.Committed, p.Start))
		left[TopicPartition{p.Topic, p.Partition}] = true
	}
	ages := map[TopicPartition]time.Duration{}
	if len(left) == 0 {
		return ages, nil
	}
	k, err := kgo.NewClient(append(c.Options(), kgo.ConsumePartitions(next), kgo.FetchMaxPartitionBytes(1), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.MaxDecompressBatchBytes(maxUnfolded))...)
	if err != nil {
		return nil, fmt.Errorf("read the next records of group %q: %w", d.Name, err)
	}
	defer k.Close()
	for len(left) > 0 {
		fetches := k.PollFetches(ctx)
		if ctx.Err() != nil {
			return ages, nil
		}
		now := time.Now()
		done := map[string][]int32{}
		fetches.EachRecord(func(r *kgo.Record) {
			if tp := (TopicPartition{r.Topic, r.Partition}); left[tp] {
				delete(left, tp)
				ages[tp] = max(0, now.Sub(r.Timestamp))
				done[r.Topic] = append(done[r.Topic], r.Partition)
			}
		})
		fetches.EachError(func(topic string, p int32, _ error) { delete(left, TopicPartition{topic, p}) })
		k.PauseFetchPartitions(done)
	}
	return ages, nil
}
