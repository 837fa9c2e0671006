package client

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Acks says what a write waits for.
type Acks int8

// The kinds of Acks, as Kafka has them.
const (
	AcksAll    Acks = iota // the record is durable
	AcksLeader             // the leader has it in memory
	AcksNone               // nothing; the record's offset stays unknown
)

// ByKey as a record's partition lets its key decide; records without a key are spread.
const ByKey int32 = -1

// WriteConfig says how a Writer writes.
type WriteConfig struct {
	Acks  Acks          // only AcksAll is idempotent: no duplicates when something is repeated
	Codec string        // none, gzip, snappy, lz4 or zstd; empty: none
	Wait  time.Duration // how long a batch waits for more records; 0: as kgo has it
	Limit int32         // bytes of the largest batch: the topic's max.message.bytes; 0: 1,000,012
}

// Writer writes records, in order for each partition. Its methods may be called from many goroutines.
//
// It tries for as long as the context of Write lives. (kgo's own limit, RecordDeliveryTimeout, counts from the record's
// timestamp, and so fails every record that is written with an old one.)
type Writer struct{ kafka *kgo.Client }

// NewWriter opens a writer. Error: an unknown codec.
func (c *Client) NewWriter(cfg WriteConfig) (*Writer, error) {
	codec, err := parseCodec(cfg.Codec)
	if err != nil {
		return nil, err
	}
	opts := append(c.Options(), kgo.RecordPartitioner(partitioner{kgo.StickyKeyPartitioner(nil)}),
		kgo.ProducerBatchCompression(codec), kgo.AllowAutoTopicCreation())
	switch cfg.Acks {
	case AcksLeader:
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	case AcksNone:
		opts = append(opts, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	}
	if cfg.Wait > 0 {
		opts = append(opts, kgo.ProducerLinger(cfg.Wait))
	}
	if cfg.Limit > 0 {
		opts = append(opts, kgo.ProducerBatchMaxBytes(cfg.Limit))
	}
	w := new(Writer)
	if w.kafka, err = kgo.NewClient(opts...); err != nil {
		return nil, fmt.Errorf("open writer: %w", err)
	}
	return w, nil
}

// Codecs are the names that WriteConfig.Codec takes.
func Codecs() []string { return []string{"none", "gzip", "snappy", "lz4", "zstd"} }

func parseCodec(name string) (kgo.CompressionCodec, error) {
	codecs := []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}
	if name == "" {
		return codecs[0], nil
	}
	if i := slices.Index(Codecs(), name); i >= 0 {
		return codecs[i], nil
	}
	return codecs[0], fmt.Errorf("%q is not a compression: want one of %v", name, Codecs())
}

// Write hands a record over; it blocks while too much waits already. The record's Partition is a number or ByKey (so set
// it: its zero value is partition 0), a zero Timestamp means now. done, if not nil, is called once, from another
// goroutine: with partition and offset in the record, or with the reason why it was not written. Do not touch the record
// before. A done that blocks blocks the writer.
func (w *Writer) Write(ctx context.Context, r *kgo.Record, done func(*kgo.Record, error)) {
	w.kafka.Produce(ctx, r, done)
}

// Flush waits until everything handed over is written or has failed.
func (w *Writer) Flush(ctx context.Context) error { return w.kafka.Flush(ctx) }

// Close fails what is still waiting: call Flush before.
func (w *Writer) Close() { w.kafka.Close() }

// partitioner obeys the partition of a record that has one, and asks the other partitioner for ByKey.
type partitioner struct{ other kgo.Partitioner }

// ForTopic is called by kgo.
func (p partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	return topicPartitioner{p.other.ForTopic(topic)}
}

type topicPartitioner struct{ kgo.TopicPartitioner }

func (p topicPartitioner) RequiresConsistency(r *kgo.Record) bool {
	return r.Partition >= 0 || p.TopicPartitioner.RequiresConsistency(r)
}

func (p topicPartitioner) Partition(r *kgo.Record, n int) int {
	if r.Partition >= 0 {
		return int(r.Partition)
	}
	return p.TopicPartitioner.Partition(r, n)
}

// OnNewBatch lets the sticky partitioner move on.
func (p topicPartitioner) OnNewBatch() {
	if sticky, ok := p.TopicPartitioner.(kgo.TopicPartitionerOnNewBatch); ok {
		sticky.OnNewBatch()
	}
}
