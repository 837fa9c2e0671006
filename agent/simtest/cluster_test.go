package simtest

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/agent"
	"github.com/varvelog/varve/metastore"
	factfault "github.com/varvelog/varve/metastore/fault"
	factsmem "github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/objstore"
	objfault "github.com/varvelog/varve/objstore/fault"
	objmem "github.com/varvelog/varve/objstore/mem"
)

// fleet is several agents on one pair of stores.
type fleet struct {
	t       *testing.T
	objects objstore.Store
	facts   metastore.Store
	slots   int
	agents  map[string]*running
}

func newFleet(t *testing.T) *fleet {
	f := &fleet{t: t, objects: objmem.New(), facts: factsmem.New(), slots: 16, agents: map[string]*running{}}
	t.Cleanup(func() {
		for name := range maps.Clone(f.agents) {
			f.kill(name)
		}
	})
	return f
}

// start starts an agent and waits until it serves.
func (f *fleet) start(name string) {
	f.t.Helper()
	cfg := agent.DefaultConfig()
	cfg.Name, cfg.Slots, cfg.Listen, cfg.Flush = name, f.slots, "127.0.0.1:0", 10*time.Millisecond
	cfg.Heartbeat, cfg.TTL, cfg.Poll, cfg.StopTime = 200*time.Millisecond, time.Second, 200*time.Millisecond, 4*time.Second
	level := slog.LevelError + 4
	if os.Getenv("VARVE_TEST_LOG") != "" {
		level = slog.LevelDebug
	}
	r := &running{done: make(chan struct{}), objects: objfault.New(f.objects, objfault.Plan{}), facts: factfault.New(f.facts, factfault.Plan{})}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})).With("me", name)
	a, err := agent.New(cfg, agent.Stores{Objects: r.objects, Facts: r.facts}, logger)
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.agent, r.stop = a, cancel
	go func() {
		defer close(r.done)
		r.err = a.Run(ctx)
	}()
	f.agents[name] = r
	select {
	case <-a.Ready():
	case <-r.done:
		f.t.Fatalf("agent %s did not start: %v", name, r.err)
	case <-time.After(30 * time.Second):
		f.t.Fatalf("agent %s is not ready after 30 s", name)
	}
}

// kill ends an agent without a word to anybody: it is cut off from its stores, then its listeners are closed.
func (f *fleet) kill(name string) {
	f.t.Helper()
	r := f.agents[name]
	delete(f.agents, name)
	r.objects.Crash(false)
	r.facts.Crash(false)
	r.stop()
	<-r.done
}

// leave stops an agent gracefully.
func (f *fleet) leave(name string) {
	f.t.Helper()
	r := f.agents[name]
	delete(f.agents, name)
	r.stop()
	if err := r.wait(); err != nil {
		f.t.Fatalf("stop %s: %v", name, err)
	}
}

func (f *fleet) client(opts ...kgo.Opt) *kgo.Client {
	f.t.Helper()
	var seeds []string
	for _, r := range f.agents {
		seeds = append(seeds, r.agent.Addresses().Kafka)
	}
	opts = append([]kgo.Opt{kgo.SeedBrokers(seeds...), kgo.RetryTimeout(30 * time.Second), kgo.MetadataMinAge(50 * time.Millisecond)}, opts...)
	c, err := kgo.NewClient(opts...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(c.Close)
	return c
}

// shares waits until each running agent leads about as many partitions of a topic as the others, and all have a leader.
func (f *fleet) shares(topic string, partitions int) {
	f.t.Helper()
	adm := kadm.NewClient(f.client())
	deadline := time.Now().Add(60 * time.Second)
	for {
		m, err := adm.Metadata(f.t.Context(), topic)
		led := map[int32]int{}
		total := 0
		if err == nil {
			for _, p := range m.Topics[topic].Partitions {
				if p.Leader >= 0 && p.Err == nil {
					led[p.Leader]++
					total++
				}
			}
			most := 0
			for _, n := range led {
				most = max(most, n)
			}
			if total == partitions && len(led) == len(f.agents) && most*len(f.agents)*10 <= partitions*13 {
				return
			}
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("after a minute %d of %d partitions have a leader: %v, %v", total, partitions, led, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (f *fleet) produce(c *kgo.Client, topic string, from, n int) map[string]place {
	f.t.Helper()
	w := world{t: f.t}
	return w.produce(c, topic, from, n)
}

func (f *fleet) consume(topic string, n int) map[string]place {
	f.t.Helper()
	for _, r := range f.agents {
		w := world{t: f.t, addr: r.agent.Addresses().Kafka}
		return w.consume(topic, n)
	}
	return nil
}

// A second agent gets its share by hand-over; the first is killed, and the second leads everything; the first comes back and stops
// gracefully: nothing acked is lost, doubled or moved.
func TestTwoAgents(t *testing.T) {
	f := newFleet(t)
	f.start("a")
	if _, err := kadm.NewClient(f.client()).CreateTopic(t.Context(), 32, -1, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	producer := f.client()
	acked := f.produce(producer, "orders", 0, 500)
	f.start("b")
	f.shares("orders", 32)
	maps.Copy(acked, f.produce(producer, "orders", 500, 500))
	f.kill("a")
	producer = f.client()
	maps.Copy(acked, f.produce(producer, "orders", 1000, 500))
	f.shares("orders", 32)
	f.start("a")
	f.shares("orders", 32)
	maps.Copy(acked, f.produce(producer, "orders", 1500, 500))
	f.leave("b")
	producer = f.client()
	maps.Copy(acked, f.produce(producer, "orders", 2000, 500))
	expectEqual(t, f.consume("orders", len(acked)), acked)
}
