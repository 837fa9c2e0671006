package simtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/agent"
	factfault "github.com/varvelog/varve/metastore/fault"
	factsmem "github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/objstore"
	objfault "github.com/varvelog/varve/objstore/fault"
	objmem "github.com/varvelog/varve/objstore/mem"
)

// Hosts that are no agents. Stores are hosts too: the way to them can be cut.
const (
	objectsHost = "objects"
	factsHost   = "facts"
)

// clusterSim is a cluster in a bubble: agents on a network in memory, stores that outlive them, and what was seen.
type clusterSim struct {
	t       *testing.T
	rng     *rand.Rand // of the goroutine that drives the run
	net     *network
	objects objstore.Store
	facts   *watcher            // sees every write to the table
	agents  map[string]*process // the last run of each
	runs    []*process          // every run there was
	names   []string
	change  func(*agent.Config)
	stores  func(*process) agent.Stores // nil: those of the process, and nobody counts
	seen    *history
	clients []*kgo.Client
	loads   []*workload
	extra   []tp    // partitions that a script made
	more    []fault // that this run may draw
	begun   time.Time
}

// process is one run of an agent, and its own way to the stores.
type process struct {
	name    string
	agent   *agent.Agent
	cancel  context.CancelFunc
	done    chan struct{} // closed when Run has returned
	err     error         // of Run, once done is closed
	dead    atomic.Bool   // killed: it reaches nothing any more
	objects *objfault.Store
	facts   *factfault.Store
}

// simulate runs f in a bubble on a cluster of three agents, none of them started.
func newSim(t *testing.T, seed uint64) *clusterSim {
	s := &clusterSim{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), net: newNetwork(200 * time.Microsecond), objects: objmem.New(),
		agents: map[string]*process{}, names: []string{"a", "b", "c"}, begun: time.Now(),
	}
	s.facts = newWatcher(factsmem.New(), func(format string, args ...any) { s.violation(format, args...) })
	s.seen = newHistory(s)
	return s
}

// violation reports what must never be. It may be called from any goroutine of the bubble.
func (s *clusterSim) violation(format string, args ...any) {
	s.t.Errorf("after %v: "+format, append([]any{time.Since(s.begun)}, args...)...)
}

// note adds a line to the play of the run, which is printed if it fails.
func (s *clusterSim) note(format string, args ...any) {
	line := fmt.Sprintf("%10v  "+format, append([]any{time.Since(s.begun).Round(time.Millisecond)}, args...)...)
	s.seen.note(line)
}

// start starts an agent; it serves some time later.
func (s *clusterSim) start(name string) *process {
	cfg := agent.DefaultConfig()
	p := &process{name: name, done: make(chan struct{})}
	host := s.net.host(name)
	cfg.Name, cfg.Zone, cfg.Slots = name, "zone-"+name, 8
	cfg.Listen, cfg.Peer, cfg.Net = name+":9092", name+":9093", &processNet{host, p}
	cfg.MemoryLimit = 64 << 20
	if s.change != nil {
		s.change(&cfg)
	}
	p.objects = objfault.New(&objectsWay{s.objects, way{host, s.net.host(objectsHost)}}, objfault.Plan{Seed: s.rng.Uint64()})
	p.facts = factfault.New(&factsWay{s.facts, way{host, s.net.host(factsHost)}}, factfault.Plan{Seed: s.rng.Uint64()})
	stores := agent.Stores{Objects: p.objects, Facts: p.facts}
	if s.stores != nil {
		stores = s.stores(p)
	}
	a, err := agent.New(cfg, stores, s.logger(name))
	if err != nil {
		s.t.Fatal(err)
	}
	p.agent = a
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	s.agents[name] = p
	s.runs = append(s.runs, p)
	go func() {
		p.err = a.Run(ctx)
		close(p.done)
	}()
	return p
}

// logger writes an agent's lines with VARVE_TEST_LOG=1, else only what an agent calls an error into the play.
func (s *clusterSim) logger(name string) *slog.Logger {
	var to = slog.New(&playHandler{s: s, agent: name})
	if os.Getenv("VARVE_TEST_LOG") != "" {
		to = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("on", name)
	}
	return to
}

// playHandler puts an agent's log into the play.
type playHandler struct {
	s     *clusterSim
	agent string
}

func (h *playHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (h *playHandler) WithAttrs([]slog.Attr) slog.Handler           { return h }
func (h *playHandler) WithGroup(string) slog.Handler                { return h }
func (h *playHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s %s", h.agent, r.Level, r.Message)
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&b, " %s=%v", a.Key, a.Value)
		return true
	})
	h.s.note("%s", b.String())
	return nil
}

// startAll starts every agent that does not run, and waits until all serve.
func (s *clusterSim) startAll() {
	s.t.Helper()
	for _, name := range s.names {
		if p := s.agents[name]; p == nil || p.over() {
			s.start(name)
		}
	}
	s.allReady(3 * time.Minute)
}

// allReady waits until every agent serves; one that gave up is started again, as its supervisor would.
func (s *clusterSim) allReady(limit time.Duration) {
	s.t.Helper()
	deadline := time.Now().Add(limit)
	for _, name := range s.names {
		for ready := false; !ready; {
			p := s.agents[name]
			select {
			case <-p.agent.Ready():
				ready = true
			case <-p.done:
				s.note("%s gave up: %v", name, p.err)
				time.Sleep(time.Second)
				s.start(name)
			case <-time.After(time.Until(deadline)):
				s.t.Fatalf("agent %s does not serve after %v\n%s", name, limit, s.seen.play())
			}
		}
	}
}

func (p *process) over() bool {
	select {
	case <-p.done:
		return true
	default:
		return p.dead.Load()
	}
}

// kill ends a process as SIGKILL does. With keep, what it had under way to the stores may still land.
func (s *clusterSim) kill(name string, keep bool) {
	p := s.agents[name]
	if p == nil || p.dead.Swap(true) {
		return
	}
	s.note("kill %s (keep %v)", name, keep)
	p.objects.Crash(keep)
	p.facts.Crash(keep)
	s.net.kill(name)
	p.cancel()
}

// stop ends an agent gracefully and returns what Run says.
func (s *clusterSim) stop(name string) error {
	p := s.agents[name]
	s.note("stop %s", name)
	p.cancel()
	<-p.done
	s.note("%s stopped: %v", name, p.err)
	p.dead.Store(true)
	s.net.kill(name)
	return p.err
}

// end stops everything and waits for every goroutine that is ours.
func (s *clusterSim) end() {
	for _, w := range s.loads {
		w.halt()
	}
	for _, c := range s.clients {
		c.Close()
	}
	s.net.mendAll()
	for _, name := range slices.Sorted(maps.Keys(s.agents)) {
		s.kill(name, false)
	}
	for _, p := range s.runs {
		<-p.done
		p.objects.Wait()
		p.facts.Wait()
	}
	if s.t.Failed() {
		s.t.Log("the play:\n" + s.seen.play())
	}
}

// client returns a client on a host of its own.
func (s *clusterSim) client(host string, opts ...kgo.Opt) *kgo.Client {
	s.t.Helper()
	h := s.net.host(host)
	var seeds []string
	for _, name := range s.names {
		seeds = append(seeds, name+":9092")
	}
	c, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(seeds...), kgo.ClientID(host),
		kgo.Dialer(func(ctx context.Context, _, address string) (net.Conn, error) { return h.Dial(ctx, address) }),
		kgo.DialTimeout(3 * time.Second), kgo.MetadataMinAge(100 * time.Millisecond), kgo.MetadataMaxAge(10 * time.Second),
		kgo.RetryTimeout(10 * time.Minute), kgo.UnknownTopicRetries(-1),
		kgo.RetryBackoffFn(func(n int) time.Duration { return min(time.Duration(n)*50*time.Millisecond, time.Second) }),
	}, opts...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.clients = append(s.clients, c)
	return c
}

// createTopic makes a topic and waits until every agent knows it.
func (s *clusterSim) createTopic(name string, partitions int32) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := s.client("admin")
	if _, err := kadm.NewClient(c).CreateTopic(ctx, partitions, -1, nil, name); err != nil {
		s.t.Fatalf("create topic %s: %v\n%s", name, err, s.seen.play())
	}
}

// processNet is agent.Net of one process: none at all once it is dead.
type processNet struct {
	host *host
	p    *process
}

var errDead = errors.New("this process was killed")

func (n *processNet) Listen(ctx context.Context, at string) (net.Listener, error) {
	if n.p.dead.Load() {
		return nil, errDead
	}
	return n.host.Listen(ctx, at)
}

func (n *processNet) Dial(ctx context.Context, at string) (net.Conn, error) {
	if n.p.dead.Load() {
		return nil, errDead
	}
	return n.host.Dial(ctx, at)
}
