package simtest

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/agent"
	factsmem "github.com/varvelog/varve/metastore/mem"
	factsim "github.com/varvelog/varve/metastore/sim"
	objmem "github.com/varvelog/varve/objstore/mem"
	"github.com/varvelog/varve/objstore/sim"
)

// beside is an agent on stores each of whose requests takes the same time but for its bytes: what a reader of the tail waits for longer than
// before, others have made it wait for.
type beside struct {
	t       *testing.T
	network *network
	objects *objmem.Store
	gets    *taxed
	agent   *agent.Agent
}

// even takes as long as S3 does at the median.
func even() (sim.Model, factsim.Model) {
	m, f := sim.S3Standard(), factsim.DynamoDB()
	for _, l := range []*sim.Latency{&m.Put, &m.Get, &m.List, &m.Delete} {
		l.P99, l.Straggler = l.P50, 0
	}
	for _, l := range []*factsim.Latency{&f.Get, &f.Query, &f.Write, &f.Transact} {
		l.P99, l.Straggler = l.P50, 0
	}
	return m, f
}

func newBeside(t *testing.T) *beside {
	b := &beside{t: t, network: newNetwork(200 * time.Microsecond), objects: objmem.New()}
	m, f := even()
	b.gets = &taxed{Store: sim.New(b.objects, m, 1)}
	cfg := agent.DefaultConfig()
	cfg.Name, cfg.Slots, cfg.Exclusive, cfg.Listen, cfg.Net, cfg.MemoryLimit = "a", 16, true, "a:9092", b.network.host("a"), 128<<20
	cfg.PackInterval, cfg.SegmentRoll = time.Second, 2*time.Second // of the tail too, meanwhile
	var err error
	b.agent, err = agent.New(cfg, agent.Stores{Objects: b.gets, Facts: factsim.New(factsmem.New(), f, 1)}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.agent.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	<-b.agent.Ready()
	return b
}

func (b *beside) client(name string, opts ...kgo.Opt) *kgo.Client {
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers("a:9092"), kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.Dialer(func(ctx context.Context, _, at string) (net.Conn, error) { return b.network.host(name).Dial(ctx, at) }))...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(c.Close)
	return c
}

const (
	besidePartitions = 4
	besideHistory    = 12 << 20 // bytes of each partition's log, in segments
)

// fill writes history, and waits until it lies in segments.
func (b *beside) fill() {
	c := b.client("writer")
	if _, err := kadm.NewClient(c).CreateTopic(b.t.Context(), besidePartitions, -1, nil, "t"); err != nil {
		b.t.Fatal(err)
	}
	value := make([]byte, 512<<10)
	for i := range besidePartitions * besideHistory / len(value) {
		if err := c.ProduceSync(b.t.Context(), &kgo.Record{Topic: "t", Partition: int32(i % besidePartitions), Value: value}).FirstErr(); err != nil {
			b.t.Fatal(err)
		}
	}
	time.Sleep(time.Minute)
}

// from are all partitions from an offset on.
func from(o kgo.Offset) kgo.Opt {
	at := map[int32]kgo.Offset{}
	for p := range int32(besidePartitions) {
		at[p] = o
	}
	return kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"t": at})
}

// follow returns how long each record of a live load took to a reader of the tail, from when it was sent, in order of length.
func (b *beside) follow(reader *kgo.Client, writer *kgo.Client, d time.Duration) (took []time.Duration) {
	const every = 20 * time.Millisecond
	n := int(d / every)
	go func() {
		for i := range n {
			stamp := binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixNano()))
			writer.Produce(context.Background(), &kgo.Record{Topic: "t", Partition: int32(i % besidePartitions), Value: stamp}, func(_ *kgo.Record, err error) {
				if err != nil {
					b.t.Error(err)
				}
			})
			time.Sleep(every)
		}
	}()
	for len(took) < n {
		fs := reader.PollFetches(b.t.Context())
		if err := fs.Err(); err != nil {
			b.t.Fatal(err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			took = append(took, time.Since(time.Unix(0, int64(binary.BigEndian.Uint64(r.Value)))))
		})
	}
	slices.Sort(took)
	return took
}

// count is how many GETs there were.
func (s *taxed) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gets
}

// drain reads history again and again until stop.
func (b *beside) drain(stop *atomic.Bool) (bytes int64) {
	for i := 0; !stop.Load(); i++ {
		c := b.client(fmt.Sprint("drain", i), from(kgo.NewOffset().At(0)), kgo.FetchMaxBytes(50<<20), kgo.FetchMaxPartitionBytes(8<<20))
		for left := int64(besidePartitions * besideHistory); left > 0 && !stop.Load(); {
			fs := c.PollFetches(b.t.Context())
			if err := fs.Err(); err != nil {
				b.t.Error(err)
				return bytes
			}
			fs.EachRecord(func(r *kgo.Record) {
				bytes, left = bytes+int64(len(r.Value)), left-int64(len(r.Value))
			})
		}
		c.Close()
	}
	return bytes
}

// TestTailBesideCatchUp: who follows the tail waits no longer while another reader goes through the same partitions' history as fast as
// the store lets it: p99 within 1.25 of what it was before, while all that takes time is the store and the network.
func TestTailBesideCatchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBeside(t)
		b.fill()
		reader, writer := b.client("reader", from(kgo.NewOffset().AtEnd())), b.client("live")
		const long = 10 * time.Second
		b.follow(reader, writer, time.Second)
		before := b.follow(reader, writer, long)
		var stop atomic.Bool
		done := make(chan int64)
		go func() { done <- b.drain(&stop) }()
		gets := b.gets.count()
		during := b.follow(reader, writer, long)
		gets = b.gets.count() - gets
		stop.Store(true)
		bytes := <-done
		after := b.follow(reader, writer, long)
		p99 := func(took []time.Duration) time.Duration { return took[len(took)*99/100] }
		t.Logf("p50 %v, %v, %v; p99 %v, %v, %v; %d MiB of history by %d GETs", before[len(before)/2], during[len(during)/2], after[len(after)/2],
			p99(before), p99(during), p99(after), bytes>>20, gets)
		if p99(during) > p99(before)*5/4 {
			t.Errorf("p99 beside the other reader: %v, before %v", p99(during), p99(before))
		}
		if bytes < 256<<20 || gets < 64 {
			t.Errorf("only %d MiB of history were read, by %d GETs", bytes>>20, gets)
		}
	})
}
