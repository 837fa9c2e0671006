package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Span is a stretch of one partition: the offsets [From, To).
type Span struct {
	Topic     string
	Partition int32
	From, To  int64 // To -1: no end
	Moved     bool  // From was asked for as an offset, but the log starts later or ends before
}

// Bounds are the offsets between which a partition can be read.
type Bounds struct {
	Partition  int32
	Start, End int64
}

// Bounds returns start and end of all partitions of a topic, sorted. With committed, the end is the last stable offset.
// Errors: ErrUnknownTopic, or what keeps a partition from answering.
func (c *Client) Bounds(ctx context.Context, topic string, committed bool) ([]Bounds, error) {
	starts, err := c.listed(ctx, topic, c.admin.ListStartOffsets)
	if err != nil {
		return nil, err
	}
	list := c.admin.ListEndOffsets
	if committed {
		list = c.admin.ListCommittedOffsets
	}
	ends, err := c.listed(ctx, topic, list)
	if err != nil {
		return nil, err
	}
	bounds := make([]Bounds, 0, len(ends))
	for p, end := range ends {
		bounds = append(bounds, Bounds{Partition: p, Start: starts[p], End: end})
	}
	slices.SortFunc(bounds, func(a, b Bounds) int { return cmp.Compare(a.Partition, b.Partition) })
	return bounds, nil
}

// listed asks for one offset of each partition.
func (c *Client) listed(ctx context.Context, topic string, list func(context.Context, ...string) (kadm.ListedOffsets, error)) (map[int32]int64, error) {
	found, err := list(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("list offsets of %q: %w", topic, err)
	}
	offsets := map[int32]int64{}
	for p, o := range found[topic] {
		if errors.Is(o.Err, kerr.UnknownTopicOrPartition) && p < 0 {
			break // kadm's way to say that there is no such topic
		}
		if o.Err != nil {
			return nil, fmt.Errorf("list offsets of %q, partition %d: %w", topic, p, topicError(topic, o.Err))
		}
		offsets[p] = o.Offset
	}
	if len(offsets) == 0 {
		return nil, fmt.Errorf("list offsets: %w %q", ErrUnknownTopic, topic)
	}
	return offsets, nil
}

// spans resolves a ReadConfig for one topic, now.
func (c *Client) spans(ctx context.Context, topic string, cfg ReadConfig) ([]Span, error) {
	bounds, err := c.Bounds(ctx, topic, cfg.Committed)
	if err != nil {
		return nil, err
	}
	if err := checkPartitions(topic, cfg.Partitions, bounds); err != nil {
		return nil, err
	}
	now := time.Now()
	from, err := c.timed(ctx, topic, cfg.From, now)
	if err != nil {
		return nil, err
	}
	to := map[int32]int64{}
	if cfg.To != nil {
		if to, err = c.timed(ctx, topic, *cfg.To, now); err != nil {
			return nil, err
		}
	}
	var spans []Span
	for _, b := range bounds {
		if len(cfg.Partitions) > 0 && !slices.Contains(cfg.Partitions, b.Partition) {
			continue
		}
		s := Span{Topic: topic, Partition: b.Partition, To: -1}
		s.From, s.Moved = cfg.From.resolve(b, from)
		if cfg.To != nil {
			s.To, _ = cfg.To.resolve(b, to)
		} else if cfg.AtEnd {
			s.To = b.End
		}
		spans = append(spans, s)
	}
	return spans, nil
}

func checkPartitions(topic string, wanted []int32, bounds []Bounds) error {
	for _, p := range wanted {
		if !slices.ContainsFunc(bounds, func(b Bounds) bool { return b.Partition == p }) {
			return fmt.Errorf("topic %q has partitions 0 to %d, not %d", topic, len(bounds)-1, p)
		}
	}
	return nil
}

// timed asks the server where a time lies in each partition; nil if w is not a time.
func (c *Client) timed(ctx context.Context, topic string, w When, now time.Time) (map[int32]int64, error) {
	switch w.kind {
	case whenAgo:
		w.n = now.Add(-w.ago).UnixMilli()
	case whenTime:
	default:
		return nil, nil
	}
	return c.listed(ctx, topic, func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
		return c.admin.ListOffsetsAfterMilli(ctx, w.n, topics...)
	})
}

// resolve turns w into an offset within b. timed holds the answers for times. moved: see Span.
func (w When) resolve(b Bounds, timed map[int32]int64) (offset int64, moved bool) {
	switch w.kind {
	case whenEarliest:
		return b.Start, false
	case whenOffset:
		offset = min(max(w.n, b.Start), b.End)
		return offset, offset != w.n
	case whenLast:
		return max(b.End-w.n, b.Start), false
	case whenTime, whenAgo:
		return max(min(timed[b.Partition], b.End), b.Start), false
	}
	return b.End, false
}
