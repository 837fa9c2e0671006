//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// What "varve bench" has no run for. The benchmarks run the real binary as a process of its own, with clients on the same machine,
// and read what it cost from /proc (Linux). Sizes are set by VARVE_BENCH_GIB and VARVE_BENCH_FLUSHES. One run is one iteration: -benchtime 1x.

const (
	benchRecord     = 1 << 10
	benchPartitions = 16
	benchClients    = 4
)

// benchSetting returns a number from the environment.
func benchSetting(b *testing.B, name string, otherwise float64) float64 {
	b.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		b.Fatalf("%s: %v", name, err)
	}
	return f
}

// benchAgent starts an agent and creates the topic "bench".
func benchAgent(b *testing.B, args ...string) *agent {
	b.Helper()
	a := newAgent(b, nil, args...)
	a.start(b)
	benchTopic(b, a, "bench")
	return a
}

func benchTopic(b *testing.B, a *agent, name string) {
	b.Helper()
	c := benchClient(b, a)
	if _, err := kadm.NewClient(c).CreateTopic(b.Context(), benchPartitions, -1, nil, name); err != nil {
		b.Fatal(err)
	}
}

func benchClient(b *testing.B, a *agent, opts ...kgo.Opt) *kgo.Client {
	b.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(a.addr)}, opts...)...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	return c
}

// benchProduce sends gib of records of 1 KiB, uncompressed, in batches of 1 MiB, acks=all, from several clients.
func benchProduce(b *testing.B, a *agent, topic string, gib float64, clients int, opts ...kgo.Opt) {
	b.Helper()
	value := make([]byte, benchRecord)
	for i := range value {
		value[i] = byte(rand.Uint32())
	}
	each := int(gib * (1 << 30) / benchRecord / float64(clients))
	var wg sync.WaitGroup
	for range clients {
		c := benchClient(b, a, append([]kgo.Opt{kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(kgo.NoCompression())}, opts...)...)
		wg.Go(func() {
			for range each {
				c.Produce(context.Background(), &kgo.Record{Value: value}, func(_ *kgo.Record, err error) {
					if err != nil {
						b.Error(err)
					}
				})
			}
			if err := c.Flush(b.Context()); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
}

// bigBatches makes kgo fill batches of 1 MiB.
func bigBatches() []kgo.Opt {
	return []kgo.Opt{
		kgo.ProducerBatchMaxBytes(1 << 20), kgo.MaxBufferedRecords(50_000), kgo.ProducerLinger(5 * time.Millisecond),
		kgo.RecordPartitioner(kgo.UniformBytesPartitioner(1000<<10, false, false, nil)),
	}
}

// usage is what a process has used so far.
type usage struct {
	cpu  float64 // seconds, user and system
	peak float64 // MiB of memory at most
	at   time.Time
}

func use(b *testing.B, a *agent) usage {
	b.Helper()
	pid := a.cmd.Process.Pid
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	u := usage{at: time.Now()}
	for _, ticks := range f[11:13] {
		n, err := strconv.ParseFloat(ticks, 64)
		if err != nil {
			b.Fatal(err)
		}
		u.cpu += n / 100 // USER_HZ is 100 on every Linux that Go runs on
	}
	u.peak = statusMiB(b, pid, "VmHWM:")
	return u
}

func statusMiB(b *testing.B, pid int, field string) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb / 1024
		}
	}
	b.Fatal(errors.New("no " + field))
	return 0
}

func report(b *testing.B, a *agent, before usage, gib float64) {
	b.Helper()
	after := use(b, a)
	b.ReportMetric(gib*1024/after.at.Sub(before.at).Seconds(), "MiB/s")
	b.ReportMetric((after.cpu-before.cpu)/gib, "agent-CPU-s/GiB")
	b.ReportMetric(after.peak, "agent-MiB-peak")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkSlowStore: producers that are faster than the store. The agent throttles them, stays under its memory limit and
// loses nothing: every offset is there in the end.
func BenchmarkSlowStore(b *testing.B) {
	gib := benchSetting(b, "VARVE_BENCH_GIB", 1)
	a := benchAgent(b, "agent", "--name", "bench", "--slots", "16", "--flush", "10ms", "--memory-limit", "1GiB",
		"--store", "fault+file://"+b.TempDir()+"?rate=50MiB", "--meta", "bolt://"+b.TempDir()+"/facts.db")
	for b.Loop() {
		before := use(b, a)
		benchProduce(b, a, "bench", gib, benchClients, bigBatches()...)
		report(b, a, before, gib)
		ends, err := kadm.NewClient(benchClient(b, a)).ListEndOffsets(b.Context(), "bench")
		if err != nil {
			b.Fatal(err)
		}
		var records int64
		ends.Each(func(o kadm.ListedOffset) { records += o.Offset })
		if want := int64(gib * (1 << 30) / benchRecord); records != want {
			b.Fatalf("%d records are in the log, %d were acked", records, want)
		}
	}
}

// BenchmarkStart: how long until an agent serves, on an empty folder and after kill -9 on one of many flushes.
func BenchmarkStart(b *testing.B) {
	flushes := int(benchSetting(b, "VARVE_BENCH_FLUSHES", 3000))
	a := newAgent(b, nil, "dev", "--data", b.TempDir(), "--flush", "1ms")
	for b.Loop() {
		begun := time.Now()
		a.start(b)
		b.ReportMetric(float64(time.Since(begun).Milliseconds()), "ms-empty")
		time.Sleep(2 * time.Second)
		b.ReportMetric(statusMiB(b, a.cmd.Process.Pid, "VmRSS:"), "MiB-idle")
		benchTopic(b, a, "bench")
		c := benchClient(b, a, kgo.DefaultProduceTopic("bench"), kgo.ProducerLinger(0))
		for range flushes {
			if err := c.ProduceSync(b.Context(), &kgo.Record{Value: []byte("one flush each")}).FirstErr(); err != nil {
				b.Fatal(err)
			}
		}
		a.kill(b)
		begun = time.Now()
		a.start(b)
		b.ReportMetric(float64(time.Since(begun).Milliseconds()), "ms-after-kill")
		b.ReportMetric(float64(flushes), "flushes")
		b.ReportMetric(0, "ns/op")
	}
}
