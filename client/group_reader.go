package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// GroupConfig says what a GroupReader reads.
type GroupConfig struct {
	Group     string
	Topics    []string
	From      When // where partitions begin of which the group has committed nothing
	Committed bool // leave out records of transactions that are open or were aborted
}

// GroupReader is a member of a consumer group. It is used from one goroutine at a time.
type GroupReader struct {
	kafka *kgo.Client
	done  map[spanKey]*kgo.Record // the last record of each partition that Done was told of, not committed yet
}

// NewGroupReader joins a group. The server is asked in the background: what it refuses Next returns.
func (c *Client) NewGroupReader(cfg GroupConfig) (*GroupReader, error) {
	k, err := kgo.NewClient(append(c.Options(),
		kgo.ConsumerGroup(cfg.Group), kgo.ConsumeTopics(cfg.Topics...), kgo.ConsumeResetOffset(cfg.From.kgo(time.Now())),
		kgo.DisableAutoCommit(), kgo.MaxDecompressBatchBytes(maxUnfolded), kgo.FetchIsolationLevel(isolation(cfg.Committed)))...)
	if err != nil {
		return nil, fmt.Errorf("join group %q: %w", cfg.Group, err)
	}
	return &GroupReader{kafka: k, done: map[spanKey]*kgo.Record{}}, nil
}

// kgo is w for a partition without a committed offset.
func (w When) kgo(now time.Time) kgo.Offset {
	switch w.kind {
	case whenEarliest:
		return kgo.NewOffset().AtStart()
	case whenOffset:
		return kgo.NewOffset().At(w.n)
	case whenLast:
		return kgo.NewOffset().AtEnd().Relative(-w.n)
	case whenTime:
		return kgo.NewOffset().AfterMilli(w.n)
	case whenAgo:
		return kgo.NewOffset().AfterMilli(now.Add(-w.ago).UnixMilli())
	}
	return kgo.NewOffset().AtEnd()
}

// Next waits for records of the partitions that the group gave to this member. The caller owns them.
func (r *GroupReader) Next(ctx context.Context) ([]*kgo.Record, error) {
	fetches := r.kafka.PollFetches(ctx)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var failed error
	fetches.EachError(func(topic string, p int32, err error) {
		failed = errors.Join(failed, fmt.Errorf("read %q, partition %d: %w", topic, p, topicError(topic, err)))
	})
	return fetches.Records(), failed
}

// Done says that the caller is done with a record and all before it in its partition.
func (r *GroupReader) Done(rec *kgo.Record) { r.done[spanKey{rec.Topic, rec.Partition}] = rec }

// Commit commits what Done was told of.
func (r *GroupReader) Commit(ctx context.Context) error {
	if len(r.done) == 0 {
		return nil
	}
	records := make([]*kgo.Record, 0, len(r.done))
	for _, rec := range r.done {
		records = append(records, rec)
	}
	if err := r.kafka.CommitRecords(ctx, records...); err != nil {
		return fmt.Errorf("commit offsets: %w", err)
	}
	clear(r.done)
	return nil
}

// Close leaves the group, without a last Commit.
func (r *GroupReader) Close() { r.kafka.Close() }
