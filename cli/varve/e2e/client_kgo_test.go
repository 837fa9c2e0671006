//go:build e2e

package e2e

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// kgoClient is franz-go.
type kgoClient struct{}

func (kgoClient) name() string { return "kgo" }

func dial(t *testing.T, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(addr)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func createTopic(t *testing.T, addr, topic string, partitions int32) {
	t.Helper()
	cl := dial(t, addr)
	defer cl.Close()
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), partitions, 1, nil, topic); err != nil {
		t.Fatalf("create topic %s: %v", topic, err)
	}
}

func kgoCodec(t *testing.T, name string) kgo.CompressionCodec {
	switch name {
	case "none":
		return kgo.NoCompression()
	case "gzip":
		return kgo.GzipCompression()
	case "snappy":
		return kgo.SnappyCompression()
	case "lz4":
		return kgo.Lz4Compression()
	case "zstd":
		return kgo.ZstdCompression()
	}
	t.Fatalf("unknown codec %s", name)
	return kgo.CompressionCodec{}
}

func (kgoClient) produce(t *testing.T, addr, topic, codec string, records []record) []int64 {
	t.Helper()
	cl := dial(t, addr, kgo.DefaultProduceTopic(topic), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgoCodec(t, codec)))
	defer cl.Close()
	var out []*kgo.Record
	for _, r := range records {
		out = append(out, toKgo(r))
	}
	if err := cl.ProduceSync(t.Context(), out...).FirstErr(); err != nil {
		t.Fatalf("produce to %s: %v", topic, err)
	}
	offsets := make([]int64, len(out))
	for i, r := range out {
		offsets[i] = r.Offset
	}
	return offsets
}

func toKgo(r record) *kgo.Record {
	k := &kgo.Record{Partition: r.partition, Key: r.key, Value: r.value}
	if r.millis != 0 {
		k.Timestamp = time.UnixMilli(r.millis)
	}
	for _, h := range r.headers {
		k.Headers = append(k.Headers, kgo.RecordHeader{Key: h.name, Value: h.value})
	}
	return k
}

func fromKgo(k *kgo.Record) record {
	r := record{partition: k.Partition, offset: k.Offset, millis: k.Timestamp.UnixMilli(), key: k.Key, value: k.Value}
	for _, h := range k.Headers {
		r.headers = append(r.headers, header{h.Key, h.Value})
	}
	return r
}

func (kgoClient) consume(t *testing.T, addr, topic string) []record {
	t.Helper()
	cl := dial(t, addr)
	defer cl.Close()
	return readFrom(t, cl, topic, func() (kadm.ListedOffsets, error) { return kadm.NewClient(cl).ListStartOffsets(t.Context(), topic) })
}

func (kgoClient) consumeFrom(t *testing.T, addr, topic string, millis int64) []record {
	t.Helper()
	cl := dial(t, addr)
	defer cl.Close()
	return readFrom(t, cl, topic, func() (kadm.ListedOffsets, error) {
		return kadm.NewClient(cl).ListOffsetsAfterMilli(t.Context(), millis, topic)
	})
}

// readFrom reads from the listed offsets to the ends.
func readFrom(t *testing.T, cl *kgo.Client, topic string, from func() (kadm.ListedOffsets, error)) []record {
	t.Helper()
	starts := listed(t, topic, from)
	ends := listed(t, topic, func() (kadm.ListedOffsets, error) { return kadm.NewClient(cl).ListEndOffsets(t.Context(), topic) })
	return readBetween(t, cl, topic, starts, ends)
}

// listed lists offsets, again while partitions are on their way to another leader: this client does not by itself.
func listed(t *testing.T, topic string, list func() (kadm.ListedOffsets, error)) kadm.ListedOffsets {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		offsets, err := list()
		if err == nil {
			err = offsets.Error()
		}
		if err == nil {
			return offsets
		}
		if !kerr.IsRetriable(err) || time.Now().After(deadline) {
			t.Fatalf("list offsets of %s: %v", topic, err)
		}
	}
}

func readBetween(t *testing.T, cl *kgo.Client, topic string, starts, ends kadm.ListedOffsets) []record {
	t.Helper()
	from, left := map[int32]kgo.Offset{}, int64(0)
	for p, end := range ends[topic] {
		start := starts[topic][p].Offset
		from[p] = kgo.NewOffset().At(start)
		left += end.Offset - start
	}
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: from})
	var got []record
	for left > 0 {
		fetches := cl.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatalf("fetch %s: %v", topic, err)
		}
		fetches.EachRecord(func(k *kgo.Record) {
			got = append(got, fromKgo(k))
			left--
		})
	}
	return got
}
