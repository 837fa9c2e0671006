package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// GroupConfig says what a GroupReader reads.
type GroupConfig struct {
	Group     string
	Topics    []string
	From      When // where partitions begin of which the group has committed nothing
	Committed bool // leave out records of transactions that are open or were aborted
	// AtEnd has Next return io.EOF once this member has read all of its partitions to where they end when it is opened, or has none.
	AtEnd bool
}

// GroupReader is a member of a consumer group. It is used from one goroutine at a time.
type GroupReader struct {
	kafka *kgo.Client
	done  map[spanKey]*kgo.Record // the last record of each partition that Done was told of, not committed yet
	ends  *groupEnds              // nil: it reads on for ever
}

// NewGroupReader joins a group. But for AtEnd the server is asked in the background: what it refuses Next returns.
func (c *Client) NewGroupReader(ctx context.Context, cfg GroupConfig) (*GroupReader, error) {
	r := &GroupReader{done: map[spanKey]*kgo.Record{}}
	opts := append(c.Options(),
		kgo.ConsumerGroup(cfg.Group), kgo.ConsumeTopics(cfg.Topics...), kgo.ConsumeResetOffset(cfg.From.kgo(time.Now())),
		kgo.DisableAutoCommit(), kgo.MaxDecompressBatchBytes(maxUnfolded), kgo.FetchIsolationLevel(isolation(cfg.Committed)))
	if cfg.AtEnd {
		var err error
		if r.ends, err = c.newGroupEnds(ctx, cfg); err != nil {
			return nil, err
		}
		opts = append(opts, r.ends.options()...)
	}
	var err error
	if r.kafka, err = kgo.NewClient(opts...); err != nil {
		return nil, fmt.Errorf("join group %q: %w", cfg.Group, err)
	}
	return r, nil
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

// quiet is how long Next waits for records at most.
const quiet = time.Second

// Next waits for records of the partitions that the group gave to this member. The caller owns them. Without AtEnd it returns none after a
// second in which none came, so that the caller can commit what it is done with. io.EOF: there are no more, see GroupConfig.
func (r *GroupReader) Next(ctx context.Context) ([]*kgo.Record, error) {
	fetches, err := r.poll(ctx)
	if err != nil {
		return nil, err
	}
	var failed error
	fetches.EachError(func(topic string, p int32, err error) {
		if err == context.DeadlineExceeded { // that of wait: ctx goes on
			return
		}
		failed = errors.Join(failed, fmt.Errorf("read %q, partition %d: %w", topic, p, topicError(topic, err)))
	})
	return fetches.Records(), failed
}

// poll waits for fetches, or for the end if there is one.
func (r *GroupReader) poll(ctx context.Context) (kgo.Fetches, error) {
	if r.ends == nil {
		return r.wait(ctx, quiet)
	}
	for {
		fetches, err := r.wait(ctx, endsEvery)
		if err != nil {
			return nil, err
		}
		if fetches.NumRecords() > 0 {
			fetches.EachRecord(r.ends.read)
			return fetches, nil
		}
		if err := fetches.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return fetches, nil // Next tells it
		}
		reached, err := r.ends.reached(ctx)
		if err != nil {
			return nil, err
		}
		if reached {
			return nil, io.EOF
		}
	}
}

// wait polls for d at most; that nothing came is an error of the fetches alone.
func (r *GroupReader) wait(ctx context.Context, d time.Duration) (kgo.Fetches, error) {
	limited, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return r.kafka.PollFetches(limited), ctx.Err()
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
