//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/localstack/servers"
)

// BenchmarkIdlePartitions: an agent that leads VARVE_BENCH_PARTITIONS partitions with a record each and nothing to do: its memory, and
// how long the start after kill -9 takes, which opens them all. One run is one iteration: -benchtime 1x.
func BenchmarkIdlePartitions(b *testing.B) {
	n := int(benchSetting(b, "VARVE_BENCH_PARTITIONS", 10_000))
	objects, facts := servers.MinIO(b), servers.DynamoDB(b)
	a := newAgent(b, objects.Env(), "agent", "--name", "bench", "--store", objects.StoreURL, "--meta", facts.MetaURL)
	for b.Loop() {
		a.start(b)
		fillPartitions(b, a, n)
		a.kill(b)
		begun := time.Now()
		a.start(b)
		b.ReportMetric(float64(time.Since(begun).Milliseconds()), "ms-after-kill")
		time.Sleep(10 * time.Second)
		b.ReportMetric(statusMiB(b, a.cmd.Process.Pid, "VmRSS:"), "MiB-idle")
		b.ReportMetric(statusMiB(b, a.cmd.Process.Pid, "VmHWM:"), "MiB-peak")
		b.ReportMetric(0, "ns/op")
		for line := range strings.Lines(a.readLogOf(b)) {
			if strings.Contains(line, "opened slots") {
				b.Log(strings.TrimSpace(line))
			}
		}
		a.kill(b)
	}
}

// fillPartitions makes topics of 10,000 partitions, which no topic has more of, and writes a record to each partition.
func fillPartitions(b *testing.B, a *agent, n int) {
	b.Helper()
	c := benchClient(b, a, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(20_000))
	for at := 0; at < n; at += 10_000 {
		topic, some := fmt.Sprint("idle", at), min(10_000, n-at)
		begun := time.Now()
		if _, err := kadm.NewClient(c).CreateTopic(b.Context(), int32(some), -1, nil, topic); err != nil {
			b.Fatal(err)
		}
		b.Logf("%d partitions created in %v", some, time.Since(begun).Round(time.Millisecond))
		for p := range some {
			c.Produce(context.Background(), &kgo.Record{Topic: topic, Partition: int32(p), Value: []byte("x")}, func(_ *kgo.Record, err error) {
				if err != nil {
					b.Error(err)
				}
			})
		}
		if err := c.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// readLogOf returns what the agent wrote on stderr.
func (a *agent) readLogOf(b *testing.B) string {
	b.Helper()
	log, err := os.ReadFile(a.log)
	if err != nil {
		b.Fatal(err)
	}
	return string(log)
}
