package simtest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/agent"
	factsmem "github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/objstore"
	objmem "github.com/varvelog/varve/objstore/mem"
)

// The WAL is freed while an agent serves, also if nobody writes any more: what it held is in a pack, which a recorded snapshot names. A
// session that follows reads it there, and the WAL of the first one, of which nothing is left, is done with.
func TestIdleAgentFreesItsWAL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const partitions, records = 20, 400
		network := newNetwork(200 * time.Microsecond)
		facts, objects := factsmem.New(), objmem.New()
		keys := objstore.Keys{Cluster: "varve"}
		count := func(kind string) (n int) {
			found, err := objects.List(t.Context(), keys.Root()+kind+"/", "", 0)
			if err != nil {
				t.Fatal(err)
			}
			return len(found)
		}
		dialer := kgo.Dialer(func(ctx context.Context, _, at string) (net.Conn, error) { return network.host("client").Dial(ctx, at) })
		run := func(each func(ctx context.Context)) {
			ctx, cancel := context.WithCancel(t.Context())
			cfg := agent.DefaultConfig()
			cfg.Name, cfg.Listen, cfg.Net, cfg.MemoryLimit, cfg.Grace = "a", "a:9092", network.host("a"), 64<<20, time.Minute
			cfg.PackInterval = 100 * time.Second // after the snapshot that the records caused
			a, err := agent.New(cfg, agent.Stores{Objects: objects, Facts: facts}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- a.Run(ctx) }()
			<-a.Ready()
			each(ctx)
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		consume := func(ctx context.Context) {
			c, err := kgo.NewClient(kgo.SeedBrokers("a:9092"), dialer, kgo.ConsumeTopics("orders"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			seen := map[string]bool{}
			for len(seen) < records {
				got := c.PollFetches(ctx)
				if err := got.Err(); err != nil {
					t.Fatal(err)
				}
				got.EachRecord(func(r *kgo.Record) { seen[string(r.Value)] = true })
			}
		}
		run(func(ctx context.Context) {
			c, err := kgo.NewClient(kgo.SeedBrokers("a:9092"), dialer, kgo.RecordPartitioner(kgo.ManualPartitioner()))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := kadm.NewClient(c).CreateTopic(ctx, partitions, -1, nil, "orders"); err != nil {
				t.Fatal(err)
			}
			for n := range records {
				c.Produce(ctx, &kgo.Record{Topic: "orders", Partition: int32(n % partitions), Value: fmt.Append(nil, n)}, nil)
				if n%50 == 0 {
					time.Sleep(time.Second)
				}
			}
			if err := c.Flush(ctx); err != nil {
				t.Fatal(err)
			}
			c.Close()
			if count(objstore.KindWAL) < 5 {
				t.Fatalf("%d bundles", count(objstore.KindWAL))
			}
			time.Sleep(15 * time.Minute)
			if w, k := count(objstore.KindWAL), count(objstore.KindPack); w != 0 || k == 0 {
				t.Errorf("%d bundles are left, %d packs are there", w, k)
			}
			consume(ctx)
		})
		run(func(ctx context.Context) {
			consume(ctx)
			time.Sleep(15 * time.Minute)
			if w := count(objstore.KindWAL); w > 1 { // its own slot-open, perhaps
				t.Errorf("%d bundles are left", w)
			}
			consume(ctx)
		})
	})
}
