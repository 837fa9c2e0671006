package kafka

import (
	"context"
	"encoding/binary"
	"io"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func (w *world) kgo(opts ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(w.addr), kgo.RetryTimeout(hangTime)}, opts...)...)
	must(w.t, err)
	w.t.Cleanup(c.Close)
	return c
}

// TestKgo: a real client creates topics by asking for them, produces with every acks and codec, and reads everything back in
// order, at once and from the store.
func TestKgo(t *testing.T) {
	for _, cache := range []int64{1, 64 << 20} {
		w := newWorld(t, option{auto: true, cache: cache, settings: map[string]string{"auto.create.topics.enable": "true", "num.partitions": "4"}})
		ctx, cancel := context.WithTimeout(context.Background(), hangTime)
		defer cancel()
		const each = 300
		kinds := map[string][]kgo.Opt{
			"plain":  {kgo.ProducerBatchCompression(kgo.NoCompression())},
			"gzip":   {kgo.ProducerBatchCompression(kgo.GzipCompression())},
			"snappy": {kgo.ProducerBatchCompression(kgo.SnappyCompression())},
			"lz4":    {kgo.ProducerBatchCompression(kgo.Lz4Compression())},
			"zstd":   {kgo.ProducerBatchCompression(kgo.ZstdCompression())},
			"one":    {kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite()},
			"none":   {kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite()},
		}
		var all sync.WaitGroup
		for name, opts := range kinds {
			all.Go(func() { produceAndConsume(ctx, w, name, each, opts) })
		}
		all.Wait()
	}
}

func produceAndConsume(ctx context.Context, w *world, name string, each int, opts []kgo.Opt) {
	p := w.kgo(append(opts, kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic(name), kgo.ProducerLinger(time.Millisecond),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	for i := range each {
		p.Produce(ctx, &kgo.Record{Partition: int32(i % 4), Key: []byte(strconv.Itoa(i)), Value: make([]byte, 500)}, func(_ *kgo.Record, err error) {
			if err != nil {
				w.t.Errorf("%s: produce: %v", name, err)
			}
		})
	}
	if err := p.Flush(ctx); err != nil {
		w.t.Errorf("%s: flush: %v", name, err)
		return
	}
	c := w.kgo(kgo.ConsumeTopics(name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(200*time.Millisecond))
	next := [4]int{0, 1, 2, 3}
	for got := 0; got < each; {
		fs := c.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			w.t.Errorf("%s: poll: %v", name, err)
			return
		}
		fs.EachRecord(func(r *kgo.Record) {
			if want := strconv.Itoa(next[r.Partition]); string(r.Key) != want {
				w.t.Errorf("%s: partition %d: key %s, want %s", name, r.Partition, r.Key, want)
			}
			next[r.Partition] += 4
			got++
		})
	}
}

// TestKgoTransaction: a transactional client is told once, and finally.
func TestKgoTransaction(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("t", 1)
	ctx, cancel := context.WithTimeout(context.Background(), hangTime)
	defer cancel()
	c := w.kgo(kgo.TransactionalID("tx"), kgo.DefaultProduceTopic("t"))
	before := time.Now()
	err := c.BeginTransaction()
	if err == nil {
		err = c.ProduceSync(ctx, kgo.StringRecord("v")).FirstErr()
	}
	if err == nil || ctx.Err() != nil {
		t.Errorf("error %v after %v", err, time.Since(before))
	}
}

// BenchmarkProduce is produce of 1 KiB records in 1 MiB batches over loopback, bytes admitted and answered.
func BenchmarkProduce(b *testing.B) {
	w := newWorld(b, option{auto: true, budget: 256 << 20, cache: 1})
	w.topic("t", 1, "max.message.bytes", "2000000")
	c := w.dial()
	req := producing(9, "t", batch(b, 1000, 1000))
	frame := encode(req, 1)
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		for range b.N {
			if _, err := c.nc.Write(frame); err != nil {
				return
			}
		}
	}()
	for range b.N {
		if _, err := c.frame(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFetch is a tail fetch of 10 MiB of cached records over loopback.
func BenchmarkFetch(b *testing.B) {
	w := newWorld(b, option{auto: true, budget: 256 << 20, cache: 64 << 20})
	w.topic("t", 1)
	c := w.dial()
	for range 10 {
		call[*kmsg.ProduceResponse](c, producing(9, "t", batch(b, 1000, 1000)))
	}
	req := fetching(12, "t", 0)
	req.MaxBytes, req.Topics[0].Partitions[0].PartitionMaxBytes = 20<<20, 20<<20
	frame := encode(req, 1)
	first := call[*kmsg.FetchResponse](c, req)
	b.SetBytes(int64(len(first.Topics[0].Partitions[0].RecordBatches)))
	b.ReportAllocs()
	b.ResetTimer()
	buf := make([]byte, 1<<20)
	for range b.N {
		if _, err := c.nc.Write(frame); err != nil {
			b.Fatal(err)
		}
		c.discard(buf)
	}
}

// discard reads one answer and forgets it.
func (c *client) discard(buf []byte) {
	c.t.Helper()
	_, err := io.ReadFull(c.nc, buf[:4])
	must(c.t, err)
	for left := int(binary.BigEndian.Uint32(buf)); left > 0; {
		n, err := c.nc.Read(buf[:min(left, len(buf))])
		must(c.t, err)
		left -= n
	}
}
