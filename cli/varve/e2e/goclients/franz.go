package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// franzLibrary is franz-go: kgo for records, kadm for admin.
type franzLibrary struct{}

// with runs do with a client of its own, for a minute at most.
func (franzLibrary) with(addr string, do func(context.Context, *kgo.Client, *kadm.Client) error, opts ...kgo.Opt) error {
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(addr)}, opts...)...)
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := bounded()
	defer cancel()
	return do(ctx, cl, kadm.NewClient(cl))
}

func (l franzLibrary) create(addr, topic string, partitions int) error {
	return l.with(addr, func(ctx context.Context, _ *kgo.Client, a *kadm.Client) error {
		_, err := a.CreateTopic(ctx, int32(partitions), 1, nil, topic)
		return err
	})
}

func (l franzLibrary) remove(addr, topic string) error {
	return l.with(addr, func(ctx context.Context, _ *kgo.Client, a *kadm.Client) error {
		_, err := a.DeleteTopic(ctx, topic)
		return err
	})
}

func (l franzLibrary) list(addr string) (names []string, err error) {
	err = l.with(addr, func(ctx context.Context, _ *kgo.Client, a *kadm.Client) error {
		topics, err := a.ListTopics(ctx)
		names = topics.Names()
		return err
	})
	return names, err
}

func (l franzLibrary) describe(addr, topic string) (n int, err error) {
	err = l.with(addr, func(ctx context.Context, _ *kgo.Client, a *kadm.Client) error {
		topics, err := a.ListTopics(ctx, topic)
		n = len(topics[topic].Partitions)
		if err == nil {
			err = topics[topic].Err
		}
		return err
	})
	return n, err
}

func (l franzLibrary) config(addr, topic, name string) (value string, err error) {
	err = l.with(addr, func(ctx context.Context, _ *kgo.Client, a *kadm.Client) error {
		found, err := a.DescribeTopicConfigs(ctx, topic)
		if err != nil {
			return err
		}
		r, err := found.On(topic, nil)
		if err != nil {
			return err
		}
		for _, c := range r.Configs {
			if c.Key == name {
				value = c.MaybeValue()
				return r.Err
			}
		}
		return fmt.Errorf("no config %s", name)
	})
	return value, err
}

func (l franzLibrary) alter(addr, topic, name, value string) error {
	return l.with(addr, func(ctx context.Context, _ *kgo.Client, a *kadm.Client) error {
		done, err := a.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}}, topic)
		if err != nil {
			return err
		}
		r, err := done.On(topic, nil)
		if err != nil {
			return err
		}
		return r.Err
	})
}

func (l franzLibrary) produce(addr, topic, codec string, rounds [][]record) (offsets []int64, err error) {
	codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	send := func(ctx context.Context, cl *kgo.Client, _ *kadm.Client) error {
		for _, records := range rounds {
			var out []*kgo.Record
			for _, r := range records {
				k := &kgo.Record{Partition: r.partition, Key: r.key, Value: r.value, Timestamp: r.time}
				for _, h := range r.headers {
					k.Headers = append(k.Headers, kgo.RecordHeader{Key: h.name, Value: h.value})
				}
				out = append(out, k)
			}
			if err := cl.ProduceSync(ctx, out...).FirstErr(); err != nil {
				return err
			}
			for _, k := range out {
				offsets = append(offsets, k.Offset)
			}
		}
		return nil
	}
	err = l.with(addr, send, kgo.DefaultProduceTopic(topic), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codecs[codec]))
	return offsets, err
}

func (l franzLibrary) consume(addr, topic string, from start, each func(record)) error {
	return l.with(addr, func(ctx context.Context, cl *kgo.Client, a *kadm.Client) error {
		starts, err := a.ListStartOffsets(ctx, topic)
		if from.at == "time" {
			starts, err = a.ListOffsetsAfterMilli(ctx, from.n, topic)
		}
		if err != nil {
			return err
		}
		ends, err := a.ListEndOffsets(ctx, topic)
		if err != nil {
			return err
		}
		offsets, left := map[int32]kgo.Offset{}, int64(0)
		for p, end := range ends[topic] {
			first := starts[topic][p].Offset
			if from.at == "offset" {
				first = from.n
			}
			offsets[p] = kgo.NewOffset().At(first)
			left += end.Offset - first
		}
		cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets})
		for left > 0 {
			fetches := cl.PollFetches(ctx)
			if err := fetches.Err(); err != nil {
				return err
			}
			fetches.EachRecord(func(k *kgo.Record) {
				r := record{partition: k.Partition, offset: k.Offset, time: k.Timestamp.Truncate(time.Millisecond), key: k.Key, value: k.Value}
				for _, h := range k.Headers {
					r.headers = append(r.headers, header{h.Key, h.Value})
				}
				each(r)
				left--
			})
		}
		return nil
	})
}
