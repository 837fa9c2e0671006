package simtest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/agent"
	factsmem "github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/meter"
	objmem "github.com/varvelog/varve/objstore/mem"
	objmeter "github.com/varvelog/varve/objstore/meter"
)

// What three agents cost that have nothing to do: at most 1.3 write units and 2 read units a second together, and no object,
// whatever the number of partitions: VARVE_IDLE_PARTITIONS=100000 counts it at so many.
func TestIdleCost(t *testing.T) {
	counts := []int32{10, 3000}
	if v := os.Getenv("VARVE_IDLE_PARTITIONS"); v != "" {
		counts = []int32{10, int32(number(t, v))}
	}
	for _, partitions := range counts {
		t.Run(fmt.Sprint(partitions), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { idle(t, partitions) })
		})
	}
}

func idle(t *testing.T, partitions int32) {
	network := newNetwork(200 * time.Microsecond)
	facts, objects := meter.New(factsmem.New(), meter.ListPrices()), objmeter.New(objmem.New(), objmeter.Prices{})
	ctx, cancel := context.WithCancel(t.Context())
	var all []chan error
	for _, name := range []string{"a", "b", "c"} {
		cfg := agent.DefaultConfig()
		cfg.Name, cfg.Zone, cfg.Listen, cfg.Net, cfg.MemoryLimit = name, name, name+":9092", network.host(name), 64<<20
		a, err := agent.New(cfg, agent.Stores{Objects: objects, Facts: facts}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		all = append(all, done)
		go func() { done <- a.Run(ctx) }()
		<-a.Ready()
	}
	client, err := kgo.NewClient(kgo.SeedBrokers("a:9092"), kgo.Dialer(func(ctx context.Context, _, at string) (net.Conn, error) { return network.host("client").Dial(ctx, at) }))
	if err != nil {
		t.Fatal(err)
	}
	for at := int32(0); at < partitions; at += 10_000 { // no topic has more
		topic, some := fmt.Sprint("orders", at), min(10_000, partitions-at)
		if _, err := kadm.NewClient(client).CreateTopic(ctx, some, -1, nil, topic); err != nil {
			t.Fatal(err)
		}
		for n := range some {
			client.Produce(ctx, &kgo.Record{Topic: topic, Partition: n, Value: []byte("x")}, nil)
		}
	}
	if err := client.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	client.Close()
	const measured = 10 * time.Minute
	time.Sleep(5 * time.Minute)
	before, puts := facts.Snapshot(), objects.Snapshot()
	time.Sleep(measured)
	cost := facts.Snapshot().Sub(before)
	sum := cost.Total(func(meter.Label) bool { return true })
	t.Logf("%.2f write units/s, %.2f read units/s", sum.WriteUnits/measured.Seconds(), sum.ReadUnits/measured.Seconds())
	if sum.WriteUnits > 1.3*measured.Seconds() || sum.ReadUnits > 2*measured.Seconds() {
		t.Errorf("idle agents cost %+v:\n%s", sum, cost)
	}
	if n := objects.Snapshot().Sub(puts); len(n.Lines) > 0 {
		t.Errorf("idle agents asked the object store:\n%s", n)
	}
	cancel()
	for _, done := range all {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
