package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/varvelog/varve/agent/console"
	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/agent/topic"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
)

// Agent is a running agent.
type Agent struct {
	cfg      Config
	stores   Stores
	log      *slog.Logger
	cluster  records.Cluster
	keys     objstore.Keys
	settings *topic.Settings
	pool     *memory.Pool
	begun    time.Time

	registry *prometheus.Registry
	probed   *prometheus.GaugeVec
	metrics  atomic.Pointer[collectorSet] // of the session
	state    atomic.Pointer[string]       // why not ready; nil: ready
	ready    chan struct{}
	once     sync.Once
	bound    Addresses
	last     uuid.UUID // the session that ran last
}

// New returns an agent that does nothing yet. The stores stay the caller's: close them after Run.
func New(cfg Config, stores Stores, log *slog.Logger) (*Agent, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	c, err := records.ParseCluster(cfg.Cluster)
	if err != nil {
		return nil, err
	}
	if err := records.CheckName(cfg.Name); err != nil {
		return nil, fmt.Errorf("agent name: %w", err)
	}
	if cfg.Grace == 0 {
		cfg.Grace = DefaultConfig().Grace // for every room that queues garbage
	}
	keys := objstore.Keys{Prefix: cfg.Prefix, Cluster: cfg.Cluster}
	if err := keys.Validate(); err != nil {
		return nil, err
	}
	settings, err := topic.NewSettings(cfg.Settings)
	if err != nil {
		return nil, err
	}
	for _, idle := range settings.Idle() {
		log.Warn(idle)
	}
	a := &Agent{
		cfg: cfg, stores: stores, log: log, cluster: c, keys: keys, settings: settings, begun: time.Now(),
		pool: memory.NewPool(cfg.poolBytes()), registry: prometheus.NewRegistry(), probed: newProbeGauge(), ready: make(chan struct{}),
	}
	a.notReady("starting")
	ofSession := currentMetrics{&a.metrics}
	for _, m := range append(stores.Collectors, ofSession, a.probed, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})) {
		if err := a.registry.Register(m); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return a, nil
}

// Ready is closed when the agent serves for the first time. Addresses is valid then.
func (a *Agent) Ready() <-chan struct{} { return a.ready }

// Addresses returns what the agent is bound to, once Ready is closed.
func (a *Agent) Addresses() Addresses { return a.bound }

// Metrics is what /metrics tells, for a program that runs an agent within it.
func (a *Agent) Metrics() prometheus.Gatherer { return a.registry }

// Buffers returns the bytes of pooled buffers, in use or not: in the Go heap, and apart from it.
func (a *Agent) Buffers() (heap, apart int64) {
	apart = a.pool.Apart()
	return max(0, a.pool.Outstanding()+a.pool.Kept()-apart), apart
}

func (a *Agent) notReady(why string) { a.state.Store(&why) }

// Run serves until ctx ends, and then stops gracefully: no more connections, one last flush, a snapshot, the session closed.
// It returns nil after a graceful stop, else what kept it from serving.
func (a *Agent) Run(ctx context.Context) error {
	on, err := a.listen(ctx, a.cfg.Listen, a.peerListen())
	if err != nil {
		return err
	}
	defer a.pool.Clear() // the process may be another's, and go on
	var wg sync.WaitGroup
	defer wg.Wait()
	web, stop := context.WithCancel(context.Background())
	defer stop()
	if err := a.serveConsole(ctx, web, &wg); err != nil {
		on.close()
		return err
	}
	if err := a.probeStores(ctx); err != nil {
		on.close()
		return err
	}
	lived := uuid.Nil
	for {
		err := a.session(ctx, on, lived)
		if !errors.Is(err, records.ErrFenced) || ctx.Err() != nil {
			return err
		}
		a.notReady("fenced; starting a new session")
		a.log.Error("THIS AGENT WAS FENCED WHILE IT LIVED: another one took over its slots; a new session begins. "+
			"Look for long pauses of this process or of its network", "agent", a.cfg.Name)
		lived = a.last
		if on, err = a.listen(ctx, a.bound.Kafka, a.bound.Peer); err != nil {
			return err
		}
	}
}

// serveConsole starts the HTTP side, which answers until the very end.
func (a *Agent) serveConsole(ctx, web context.Context, wg *sync.WaitGroup) error {
	if a.cfg.HTTP == "" {
		return nil
	}
	ln, err := bind(ctx, systemNet{}, a.cfg.HTTP, "--http")
	if err != nil {
		return err
	}
	a.bound.HTTP = boundTo(ln, a.cfg.HTTP)
	s, err := console.New(a.info, a.check, a.registry, a.log)
	if err != nil {
		_ = ln.Close()
		return fmt.Errorf("start console: %w", err)
	}
	if a.cfg.Profiling {
		s.Profiles()
	}
	wg.Go(func() {
		if err := s.Serve(web, ln); err != nil {
			a.log.Error("the console stopped", "err", err)
		}
	})
	return nil
}

func (a *Agent) info() console.Info {
	return console.Info{Agent: a.cfg.Name, Cluster: a.cfg.Cluster, Version: a.cfg.Version, Kafka: a.bound.Kafka, Started: a.begun}
}

func (a *Agent) check() error {
	if why := a.state.Load(); why != nil {
		return errors.New(*why)
	}
	return nil
}

// advertised splits the address that clients are told.
func (a *Agent) advertised() (host string, port int32, err error) {
	address := a.cfg.Advertise
	if address == "" {
		address = a.bound.Kafka
	}
	host, p, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("advertise: %q is not HOST:PORT", address)
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || n == 0 && a.cfg.Advertise != "" {
		return "", 0, fmt.Errorf("advertise: %q is not a port", p)
	}
	return host, int32(n), nil
}
