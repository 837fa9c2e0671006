package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/varvelog/varve/agent"
	"github.com/varvelog/varve/cli/bench"
)

// benchAgentsCommand is the process that a bench with --agents starts for a store that no other process can see.
func benchAgentsCommand() *command {
	b := newBenchFlags()
	b.agents, b.store, b.load.Backlog = 3, "mem", 0 // nobody knows what will be written
	cluster := "varve"
	c := &command{
		name: "agents", max: 0,
		short: "run several agents in one process: what --agents starts",
		long: `Runs --agents agents on one store, which may be one that no other process can see, such as memory with the latency of S3. They
are called a1, a2 and so on, of --zones zones z1, z2 and so on; what agents of two zones send each other takes 0.4 to 0.6 ms.
Prints "kafka HOST:PORT" and "console URL" for each in turn once all serve.`,
		options:  append(b.severalOptions(), opt(&cluster, parseText, "cluster", "NAME", "the cluster: what keys and items begin with")),
		examples: []string{"varve bench agents", "varve bench agents --agents 3 --zones 3 --store sim --flush 100ms"},
	}
	c.option("agents").def, c.option("store").def = "3", "mem"
	c.run = func(ctx context.Context, w *world, _ []string) error {
		if b.store != "disk" && !slices.Contains(memoryStores, b.store) {
			return usagef("--store: %q is none of disk, %s; agents of a bucket are processes: varve agent", b.store, strings.Join(memoryStores, ", "))
		}
		if err := b.checkAgents(); err != nil {
			return err
		}
		return b.serveSeveral(ctx, w, cluster)
	}
	return c
}

// memoryStores are those of benchStores that live in a process and keep what they get.
var memoryStores = []string{"sim", "sim-express", "mem"}

// severalOptions are those that say what agents are like.
func (b *benchFlags) severalOptions() (options []*option) {
	for _, o := range slices.Concat(b.serverOptions(), b.loadOptions()) {
		if slices.Contains([]string{"agents", "zones", "store", "flush", "flush-bytes", "memory-limit", "prices", "seed"}, o.name) {
			options = append(options, o)
		}
	}
	return options
}

// together reports whether the agents are one process.
func (b *benchFlags) together() bool {
	return b.agents > 1 && (b.store == "disk" || slices.Contains(memoryStores, b.store))
}

// togetherArgs are how that process is called.
func (b *benchFlags) togetherArgs(cluster string) []string {
	args := []string{
		"bench", "agents", "--agents", fmt.Sprint(b.agents), "--store", b.store, "--flush", b.flush, "--flush-bytes", fmt.Sprint(int64(b.flushBytes)),
		"--memory-limit", fmt.Sprint(int64(b.memory)), "--seed", fmt.Sprint(b.load.Seed), "--cluster", cluster,
	}
	if b.zones > 0 {
		args = append(args, "--zones", fmt.Sprint(b.zones))
	}
	if b.prices != "" {
		args = append(args, "--prices", b.prices)
	}
	return args
}

// maxBenchAgents bounds how many agents are started.
const maxBenchAgents = 64

// checkAgents says what is wrong with --agents and --zones.
func (b *benchFlags) checkAgents() error {
	switch {
	case b.agents < 1 || b.agents > maxBenchAgents:
		return usagef("--agents: %d is not in 1..%d", b.agents, maxBenchAgents)
	case b.zones > b.agents:
		return usagef("--zones %d: more than there are agents (--agents %d), and a zone without one shows nothing", b.zones, b.agents)
	case !b.owns() && (b.agents > 1 || b.zones > 0):
		return usagef("--agents and --zones are about agents that it starts: leave out --bootstrap and --peer")
	case b.agents > 1 && b.hunts() && b.store != "disk":
		return usagef("--rate 0: a search writes more than memory holds, and several agents need what they wrote: --store disk, or --rate max")
	case b.agents > 1 && b.store == "null":
		return usagef("--store null: it keeps nothing, and what one agent hands to another must be there; there are %s, disk, minio and s3", strings.Join(memoryStores, ", "))
	}
	return nil
}

// serveSeveral runs the agents until ctx ends, or one of them does.
func (b *benchFlags) serveSeveral(ctx context.Context, w *world, cluster string) (err error) {
	log := newLogger(w, "info")
	at, err := b.openStore(w)
	if err != nil {
		return err
	}
	defer at.remove(w, cluster)
	stores, err := openStores(ctx, at.store, at.meta, zoneName(0, b.zones), log)
	if err != nil {
		return err
	}
	defer stores.close(log)
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	ended := make(chan error, b.agents)
	defer func() {
		cancel()
		running.Wait()
		for len(ended) > 0 {
			err = errors.Join(err, <-ended)
		}
	}()
	var all []*agent.Agent
	links := &zoneNet{}
	for i := range b.agents {
		a, err := b.oneOfSeveral(i, cluster, stores, links, log)
		if err != nil {
			return err
		}
		all = append(all, a)
		running.Go(func() { ended <- a.Run(ctx) })
		select {
		case <-a.Ready():
		case err := <-ended:
			return err
		case <-ctx.Done():
			return nil
		}
	}
	for _, a := range all {
		printAddresses(w, a.Addresses())
	}
	limit := int64(math.MaxInt64)
	if !stores.unbounded {
		limit = int64(b.memory) / 100 * goMemoryShare * int64(b.agents)
	}
	running.Go(func() { paceCollector(ctx, limit, func() (heap, apart int64) { return buffersOf(all) }) })
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return nil
	}
}

// buffersOf is what is in the pooled buffers of some agents.
func buffersOf(all []*agent.Agent) (heap, apart int64) {
	for _, a := range all {
		h, more := a.Buffers()
		heap, apart = heap+h, apart+more
	}
	return heap, apart
}

// oneOfSeveral makes the ith agent, with counters of its own.
func (b *benchFlags) oneOfSeveral(i int, cluster string, stores *openedStores, links *zoneNet, log *slog.Logger) (*agent.Agent, error) {
	cfg := agent.DefaultConfig()
	flush, err := time.ParseDuration(b.flush)
	if err != nil {
		return nil, usageError{err}
	}
	cfg.Name, cfg.Zone, cfg.Cluster, cfg.Slots = agentName(i), zoneName(i, b.zones), cluster, benchSlots
	cfg.Listen, cfg.HTTP, cfg.Net = "127.0.0.1:0", "127.0.0.1:0", links.in(cfg.Zone)
	cfg.Flush, cfg.FlushBytes, cfg.MemoryLimit, cfg.Version = flush, int64(b.flushBytes), int64(b.memory), version()
	return agent.New(cfg, stores.another(cfg.Zone), log.With("agent", cfg.Name))
}

// zoneNet is the network of agents in one process: what crosses zones takes longer.
type zoneNet struct {
	mu    sync.Mutex
	zones map[string]string // by the address of a listener
	dials uint64
}

// in is how an agent in a zone sees it.
func (n *zoneNet) in(zone string) agent.Net { return zoneView{n, zone} }

type zoneView struct {
	n    *zoneNet
	zone string
}

// Listen implements agent.Net.
func (v zoneView) Listen(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	v.n.mu.Lock()
	defer v.n.mu.Unlock()
	if v.n.zones == nil {
		v.n.zones = map[string]string{}
	}
	v.n.zones[ln.Addr().String()] = v.zone
	return ln, nil
}

// Dial implements agent.Net.
func (v zoneView) Dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	v.n.mu.Lock()
	defer v.n.mu.Unlock()
	if theirs, known := v.n.zones[address]; known && theirs != v.zone {
		v.n.dials++
		return bench.Far(conn, v.n.dials), nil
	}
	return conn, nil
}
