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
	"github.com/varvelog/varve/metastore"
	factsmem "github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/objstore"
	objmem "github.com/varvelog/varve/objstore/mem"
)

// idleWorld is an agent of its own, on virtual time.
type idleWorld struct {
	t       *testing.T
	network *network
	facts   metastore.Store
	objects objstore.Store
}

// run lets an agent do what each asks for, and stops it.
func (w *idleWorld) run(each func(ctx context.Context)) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	cfg := agent.DefaultConfig()
	cfg.Name, cfg.Listen, cfg.Net, cfg.MemoryLimit, cfg.Grace = "a", "a:9092", w.network.host("a"), 64<<20, time.Minute
	cfg.PackInterval = 100 * time.Second // after the snapshot that the records caused
	a, err := agent.New(cfg, agent.Stores{Objects: w.objects, Facts: w.facts}, slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	<-a.Ready()
	each(ctx)
	cancel()
	if err := <-done; err != nil {
		w.t.Error(err)
	}
}

func (w *idleWorld) client(opts ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	dial := func(ctx context.Context, _, at string) (net.Conn, error) {
		return w.network.host("client").Dial(ctx, at)
	}
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers("a:9092"), kgo.Dialer(dial))...)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// produce writes n records, some each second.
func (w *idleWorld) produce(ctx context.Context, partitions int32, n int) {
	w.t.Helper()
	c := w.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer c.Close()
	if _, err := kadm.NewClient(c).CreateTopic(ctx, partitions, -1, nil, "orders"); err != nil {
		w.t.Fatal(err)
	}
	for i := range n {
		c.Produce(ctx, &kgo.Record{Topic: "orders", Partition: int32(i) % partitions, Value: fmt.Append(nil, i)}, nil)
		if i%50 == 0 {
			time.Sleep(time.Second)
		}
	}
	if err := c.Flush(ctx); err != nil {
		w.t.Fatal(err)
	}
}

// consume returns when n different records were read.
func (w *idleWorld) consume(ctx context.Context, n int) {
	w.t.Helper()
	c := w.client(kgo.ConsumeTopics("orders"))
	defer c.Close()
	for seen := map[string]bool{}; len(seen) < n; {
		got := c.PollFetches(ctx)
		if err := got.Err(); err != nil {
			w.t.Fatal(err)
		}
		got.EachRecord(func(r *kgo.Record) { seen[string(r.Value)] = true })
	}
}

// count returns how many objects of a kind there are.
func (w *idleWorld) count(kind string) int {
	w.t.Helper()
	found, err := w.objects.List(w.t.Context(), objstore.Keys{Cluster: "varve"}.Root()+kind+"/", "", 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return len(found)
}

// The WAL is freed while an agent serves, also if nobody writes any more: what it held is in a pack, which a recorded snapshot names. A
// session that follows reads it there, and the WAL of the first one, of which nothing is left, is done with.
func TestIdleAgentFreesItsWAL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const records = 400
		w := &idleWorld{t: t, network: newNetwork(200 * time.Microsecond), facts: factsmem.New(), objects: objmem.New()}
		w.run(func(ctx context.Context) {
			w.produce(ctx, 20, records)
			if n := w.count(objstore.KindWAL); n < 5 {
				t.Fatalf("%d bundles", n)
			}
			time.Sleep(15 * time.Minute)
			if bundles, packs := w.count(objstore.KindWAL), w.count(objstore.KindPack); bundles != 0 || packs == 0 {
				t.Errorf("%d bundles are left, %d packs are there", bundles, packs)
			}
			w.consume(ctx, records)
		})
		w.run(func(ctx context.Context) {
			w.consume(ctx, records)
			time.Sleep(15 * time.Minute)
			if n := w.count(objstore.KindWAL); n > 1 { // its own slot-open, perhaps
				t.Errorf("%d bundles are left", n)
			}
			w.consume(ctx, records)
		})
	})
}
