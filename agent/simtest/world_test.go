package simtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/agent"
	"github.com/varvelog/varve/metastore"
	factsmem "github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/objstore"
	objmem "github.com/varvelog/varve/objstore/mem"
)

// world is two stores that outlive the agents on them.
type world struct {
	t       *testing.T
	objects objstore.Store
	facts   metastore.Store
	addr    string // where the agent listens; kept over restarts
	change  func(*agent.Config)

	running *agent.Agent
	kill    context.CancelFunc // ends the agent's context: a graceful stop
	done    chan error
	levers  *levers
}

// levers cut an agent off from its stores, which is as good as killing it: nothing it does counts any more.
type levers struct {
	objstore.Store
	facts metastore.Store
	dead  chan struct{}
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

func (w *world) start() {
	w.t.Helper()
	cfg := agent.DefaultConfig()
	cfg.Name, cfg.Slots, cfg.Listen, cfg.Exclusive, cfg.Flush = "a", 16, w.addr, true, 10*time.Millisecond
	cfg.Poll = 50 * time.Millisecond
	if w.change != nil {
		w.change(&cfg)
	}
	level := slog.LevelError + 4
	if os.Getenv("VARVE_TEST_LOG") != "" {
		level = slog.LevelDebug
	}
	w.levers = &levers{Store: w.objects, facts: w.facts, dead: make(chan struct{})}
	a, err := agent.New(cfg, agent.Stores{Objects: w.levers, Facts: leversFacts{w.facts, w.levers}},
		slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})))
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.running, w.kill, w.done = a, cancel, make(chan error, 1)
	go func() { w.done <- a.Run(ctx) }()
	select {
	case <-a.Ready():
	case err := <-w.done:
		w.t.Fatalf("the agent did not start: %v", err)
	case <-time.After(20 * time.Second):
		w.t.Fatal("the agent is not ready after 20 s")
	}
	w.addr = a.Addresses().Kafka
}

// stop stops the agent gracefully.
func (w *world) stop() {
	w.t.Helper()
	w.kill()
	if err := <-w.done; err != nil {
		w.t.Fatalf("stop: %v", err)
	}
	w.running = nil
}

// crash cuts the agent off from its stores, then ends it: no last flush, no snapshot, no closed session.
func (w *world) crash() {
	w.t.Helper()
	close(w.levers.dead)
	w.kill()
	<-w.done
	w.running = nil
}

var errDead = errors.New("this process is dead")

func (l *levers) check() error {
	select {
	case <-l.dead:
		return fmt.Errorf("%w: %w", objstore.ErrRefused, errDead)
	default:
		return nil
	}
}

func (l *levers) Put(ctx context.Context, key string, body []byte) error {
	if err := l.check(); err != nil {
		return err
	}
	return l.Store.Put(ctx, key, body)
}

type leversFacts struct {
	metastore.Store
	l *levers
}

func (f leversFacts) Write(ctx context.Context, op metastore.Op) (metastore.Item, error) {
	if f.l.check() != nil {
		return nil, fmt.Errorf("%w: %w", metastore.ErrRefused, errDead)
	}
	return f.Store.Write(ctx, op)
}

func (f leversFacts) Transact(ctx context.Context, ops []metastore.Op) error {
	if f.l.check() != nil {
		return fmt.Errorf("%w: %w", metastore.ErrRefused, errDead)
	}
	return f.Store.Transact(ctx, ops)
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
