package simtest

import (
	"context"
	"fmt"
	"log/slog"
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

// world is two stores that outlive the agents on them.
type world struct {
	t       *testing.T
	objects objstore.Store
	facts   metastore.Store
	addr    string // where the agent listens; kept over restarts
	change  func(*agent.Config)
	plans   func() (objfault.Plan, factfault.Plan) // of the next agent's way to its stores; nil: no faults

	running *running
}

// running is one agent and its way to the stores.
type running struct {
	agent   *agent.Agent
	stop    context.CancelFunc
	done    chan struct{} // closed when Run has returned
	err     error         // of Run, once done is closed
	objects *objfault.Store
	facts   *factfault.Store
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, objects: objmem.New(), facts: factsmem.New(), addr: "127.0.0.1:0"}
	t.Cleanup(func() {
		if w.running != nil {
			w.crash()
		}
	})
	return w
}

// start starts the agent and waits until it serves.
func (w *world) start() {
	w.t.Helper()
	w.running = w.launch(w.addr)
	select {
	case <-w.running.agent.Ready():
	case <-w.running.done:
		w.t.Fatalf("the agent did not start: %v", w.running.err)
	case <-time.After(30 * time.Second):
		w.t.Fatal("the agent is not ready after 30 s")
	}
	w.addr = w.running.agent.Addresses().Kafka
}

func (w *world) launch(addr string) *running {
	w.t.Helper()
	cfg := agent.DefaultConfig()
	cfg.Name, cfg.Slots, cfg.Listen, cfg.Exclusive, cfg.Flush = "a", 16, addr, true, 10*time.Millisecond
	cfg.Poll, cfg.StopTime = 50*time.Millisecond, time.Second
	if w.change != nil {
		w.change(&cfg)
	}
	level := slog.LevelError + 4
	if os.Getenv("VARVE_TEST_LOG") != "" {
		level = slog.LevelDebug
	}
	var objects objfault.Plan
	var facts factfault.Plan
	if w.plans != nil {
		objects, facts = w.plans()
	}
	r := &running{done: make(chan struct{}), objects: objfault.New(w.objects, objects), facts: factfault.New(w.facts, facts)}
	a, err := agent.New(cfg, agent.Stores{Objects: r.objects, Facts: r.facts},
		slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})))
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.agent, r.stop = a, cancel
	go func() {
		defer close(r.done)
		r.err = a.Run(ctx)
	}()
	return r
}

// wait returns what Run said, as often as it is asked: also after a test that gave up at it.
func (r *running) wait() error {
	<-r.done
	return r.err
}

// stop stops the agent gracefully.
func (w *world) stop() {
	w.t.Helper()
	w.running.stop()
	if err := w.running.wait(); err != nil {
		w.t.Fatalf("stop: %v", err)
	}
	w.running = nil
}

// crash cuts the agent off from its stores, then ends it: no last flush, no snapshot, no closed session. What was under
// way to the stores may land or not.
func (w *world) crash() {
	w.t.Helper()
	w.running.objects.Crash(false)
	w.running.facts.Crash(false)
	w.running.stop()
	err, served := w.running.wait(), false
	select {
	case <-w.running.agent.Ready():
		served = true
	default: // called off before it had a session, perhaps
	}
	if err == nil && served && !w.t.Failed() {
		w.t.Error("an agent without stores claims to have stopped gracefully")
	}
	w.running = nil
}

func (w *world) client(opts ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(w.addr), kgo.RetryTimeout(20 * time.Second)}, opts...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return c
}

func (w *world) createTopic(name string, partitions int32) {
	w.t.Helper()
	if _, err := kadm.NewClient(w.client()).CreateTopic(w.t.Context(), partitions, -1, nil, name); err != nil {
		w.t.Fatal(err)
	}
}

// produce sends n records to a topic and returns the offsets by value.
func (w *world) produce(c *kgo.Client, topic string, from, n int) map[string]place {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	got := map[string]place{}
	rs := make([]*kgo.Record, n)
	for i := range rs {
		rs[i] = &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "k%d", (from+i)%100), Value: fmt.Appendf(nil, "v%d", from+i)}
	}
	for _, r := range c.ProduceSync(ctx, rs...) {
		if r.Err != nil {
			w.t.Fatal(r.Err)
		}
		got[string(r.Record.Value)] = place{r.Record.Partition, r.Record.Offset}
	}
	return got
}

type place struct {
	partition int32
	offset    int64
}

// consume reads a topic from the start until n records came.
func (w *world) consume(topic string, n int) map[string]place {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	c := w.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	got := map[string]place{}
	for len(got) < n {
		fs := c.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			w.t.Fatalf("after %d of %d records: %v", len(got), n, err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			if _, twice := got[string(r.Value)]; twice {
				w.t.Errorf("%s was read twice", r.Value)
			}
			got[string(r.Value)] = place{r.Partition, r.Offset}
		})
	}
	return got
}
