package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// ReadConfig says what a Reader reads.
type ReadConfig struct {
	Topics     []string
	Partitions []int32 // of each topic; none: all
	From       When    // the zero When: only what is written from now on
	To         *When   // where to stop, exclusive; nil: see AtEnd
	AtEnd      bool    // stop at the ends of the partitions as they are at the start
	Committed  bool    // leave out records of transactions that are open or were aborted
}

// Reader reads partitions from one position to another. It is used from one goroutine at a time.
type Reader struct {
	kafka *kgo.Client // nil if there is nothing to read
	spans []Span
	left  map[spanKey]int64 // where the partitions that are still read end, -1: nowhere
}

type spanKey struct {
	topic     string
	partition int32
}

// maxUnfolded bounds what one batch may be when decompressed, in bytes, of which kgo takes four times as much: servers pass bombs
// through as they are.
const maxUnfolded = 64 << 20

// NewReader resolves the positions of cfg and starts to read. Errors: ErrUnknownTopic, or what the server answers.
func (c *Client) NewReader(ctx context.Context, cfg ReadConfig) (*Reader, error) {
	r := &Reader{left: map[spanKey]int64{}}
	assigned := map[string]map[int32]kgo.Offset{}
	for _, topic := range cfg.Topics {
		spans, err := c.spans(ctx, topic, cfg)
		if err != nil {
			return nil, err
		}
		r.spans = append(r.spans, spans...)
		for _, s := range spans {
			if s.To >= 0 && s.From >= s.To {
				continue
			}
			if assigned[topic] == nil {
				assigned[topic] = map[int32]kgo.Offset{}
			}
			assigned[topic][s.Partition] = kgo.NewOffset().At(s.From)
			r.left[spanKey{topic, s.Partition}] = s.To
		}
	}
	if len(r.left) == 0 {
		return r, nil
	}
	opts := append(c.Options(),
		kgo.ConsumePartitions(assigned),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // an offset that vanished is an error, never a silent jump
		kgo.KeepControlRecords(),                    // a partition may end with one: see Next
		kgo.MaxDecompressBatchBytes(maxUnfolded),
		kgo.FetchIsolationLevel(isolation(cfg.Committed)))
	var err error
	if r.kafka, err = kgo.NewClient(opts...); err != nil {
		return nil, fmt.Errorf("open reader: %w", err)
	}
	return r, nil
}

func isolation(committed bool) kgo.IsolationLevel {
	if committed {
		return kgo.ReadCommitted()
	}
	return kgo.ReadUncommitted()
}

// Spans are the positions as they were resolved.
func (r *Reader) Spans() []Span { return slices.Clone(r.spans) }

// Next waits for records and returns them, those of one partition in order; io.EOF when every partition is read to its
// end. The caller owns the records. An empty slice without an error is possible. Other errors end the reading.
func (r *Reader) Next(ctx context.Context) ([]*kgo.Record, error) {
	if len(r.left) == 0 {
		return nil, io.EOF
	}
	fetches := r.kafka.PollFetches(ctx)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var failed error
	fetches.EachError(func(topic string, p int32, err error) {
		failed = errors.Join(failed, fmt.Errorf("read %q, partition %d: %w", topic, p, topicError(topic, err)))
	})
	if failed != nil {
		return nil, failed
	}
	var records []*kgo.Record
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		records = r.keep(records, spanKey{p.Topic, p.Partition}, p.Records)
	})
	return records, nil
}

// keep appends those of fetched that lie before the end of their partition, and stops a partition that came there.
// Control records are not handed out, but they count as read.
func (r *Reader) keep(records []*kgo.Record, key spanKey, fetched []*kgo.Record) []*kgo.Record {
	to, reading := r.left[key]
	if !reading {
		return records
	}
	for _, rec := range fetched {
		if to >= 0 && rec.Offset >= to {
			break
		}
		if !rec.Attrs.IsControl() {
			records = append(records, rec)
		}
	}
	if n := len(fetched); to >= 0 && n > 0 && fetched[n-1].Offset+1 >= to {
		delete(r.left, key)
		r.kafka.PauseFetchPartitions(map[string][]int32{key.topic: {key.partition}})
	}
	return records
}

// Close ends the reading.
func (r *Reader) Close() {
	if r.kafka != nil {
		r.kafka.Close()
	}
}
