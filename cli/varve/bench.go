package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/varvelog/varve/cli/bench"
)

func benchCommand() *command {
	return &command{
		name:  "bench",
		short: "load a server, and tell its latency and its price",
		long: `Without --bootstrap or --peer it starts an agent of its own as another process, on the store that --store names, and stops
it at the end. Records are sent at times drawn beforehand, whether earlier ones were answered or not, and everything is read
back and checked: a record lost, doubled, out of order or damaged is a failure. Each run has a topic of its own, which it removes.

acks=all means that a record is in the bucket (object durability: there is no other yet). Figures to be published want --warmup 30s
--duration 5m and a machine with nothing else to do. With --agents and --zones the agents are spread over emulated zones and so are
the clients; what crosses zones is told for each pair, and costs $0.02 a GB besides.

No latency is printed without its price. Dollars are those of requests to the bucket and the table at list prices (us-east-1);
storage comes on top. A list of your own is a file of lines "name = dollars": s3.put_million, s3.get_million, s3.list_million,
s3.in_gb, s3.out_gb, dynamodb.write_million, dynamodb.read_million, and "date = 2026-11-01"; an agent takes it as the parameter
prices=FILE of --store and --meta. What cannot be seen, as of a server that is not Varve, prints "-".`,
		sub: []*command{benchProduceCommand(), benchConsumeCommand(), benchEndToEndCommand(), benchCatchUpCommand(), benchFailOverCommand(),
			benchIdleCommand(), benchCompareCommand(), benchAgentsCommand()},
		examples: []string{"varve bench e2e --duration 1s --warmup 1s", "varve bench produce --store null --rate max --duration 1s --warmup 1s"},
	}
}

// benchFlags is what every run of the bench takes.
type benchFlags struct {
	load               bench.Load
	rate               loadRate
	searches, idles    bool // what --rate 0 means: search the highest rate; nothing is sent. Else it is refused
	size, batch        byteSize
	limit, backlog     byteSize
	acks, spread       string
	bootstrap, peer    []string
	http               []string
	store, meta, flush string
	flushBytes         byteSize
	output             string
	memory             byteSize
	prices, program    string
	agents, zones      int  // that it starts; zones 0: they are not told apart
	cables             bool // that they can be cut off
}

func newBenchFlags() *benchFlags {
	l := bench.DefaultLoad()
	return &benchFlags{
		load: l, rate: loadRate(l.Rate), size: byteSize(l.Size), batch: byteSize(l.BatchBytes), backlog: byteSize(l.Backlog),
		acks: string(l.Acks), spread: string(l.Spread), store: "sim", flush: "250ms", flushBytes: 8 << 20, memory: 512 << 20, agents: 1,
	}
}

// benchStores are the words that --store takes besides URLs.
var benchStores = []string{"sim", "sim-express", "null", "mem", "disk", "minio", "s3"}

// serverOptions say which server it is about.
func (b *benchFlags) serverOptions() []*option {
	store := opt(&b.store, parseText, "store", "STORE", "what the agent it starts writes to: "+strings.Join(benchStores, ", ")+" or a URL")
	store.choices = benchStores
	return []*option{
		store,
		opt(&b.meta, parseText, "meta", "URL", "the metastore, if --store is a URL"),
		opt(&b.flush, parseSpan, "flush", "DURATION", "of the agent it starts: longest time between two flushes"),
		opt(&b.flushBytes, parseBytes, "flush-bytes", "SIZE", "likewise: flush when so much waits"),
		opt(&b.memory, parseBytes, "memory-limit", "SIZE", "likewise: what its process shall stay under"),
		opt(&b.agents, parseCount, "agents", "N", "how many it starts; those of one store in memory or on disk share a process"),
		opt(&b.zones, parseCount, "zones", "N", "likewise: the zones that agents and clients are spread over, 0.4 to 0.6 ms apart").withDefault("not told apart"),
		opt(&b.prices, parseText, "prices", "FILE", "likewise: a price list, as \"varve bench --help\" has it").withDefault("us-east-1"),
		opt(&b.program, parseText, "program", "FILE", "likewise: the varve that it is, to compare two with one client").withDefault("this one"),
		opt(&b.bootstrap, parseList, "bootstrap", "HOST:PORT,...", "load this cluster of Varve instead").withDefault("starts an agent"),
		opt(&b.http, parseList, "http", "HOST:PORT,...", "with --bootstrap: the HTTP sides of its agents, for costs").withDefault(""),
		opt(&b.peer, parseList, "peer", "HOST:PORT,...", "load this server instead, whatever it is").withDefault(""),
	}
}

// loadOptions say how much of what.
func (b *benchFlags) loadOptions() []*option {
	l := &b.load
	return []*option{
		opt(&b.rate, parseLoadRate, "rate", "N/s", b.rateUsage()),
		opt(&b.size, parseBytes, "record-size", "SIZE", "of each value; a quarter of it random"),
		opt(&l.Partitions, parseCount, "partitions", "N", "of the topic"),
		opt(&l.Producers, parseCount, "producers", "N", "clients that write"),
		optOneOf(&b.acks, []string{"all", "1", "0"}, "acks", "all|1|0", "what a producer waits for"),
		optOneOf(&b.spread, []string{"sticky", "each"}, "spread", "sticky|each", "a batch to one partition, or each record to any"),
		opt(&l.Linger, parseDuration, "linger", "DURATION", "how long a client waits for a batch to fill"),
		opt(&b.batch, parseBytes, "batch-size", "SIZE", "of the largest batch"),
		opt(&b.limit, parseBytes, "limit", "SIZE", "end when so many bytes were written; a search fails before").withDefault("none; in memory 2GiB; searching disk 16GiB"),
		opt(&l.Seed, parseSeed, "seed", "N", "of the times of sending, the values, and the simulated store"),
		optSwitch(&l.Keep, "keep", "leave the topic there"),
	}
}

// timeOptions say for how long.
func (b *benchFlags) timeOptions() []*option {
	return []*option{
		opt(&b.load.Warmup, parseDuration, "warmup", "DURATION", "at first; not measured"),
		opt(&b.load.Duration, parseDuration, "duration", "DURATION", "measured"),
		outputOption(&b.output),
	}
}

// options are all of them, with those that a command has besides.
func (b *benchFlags) options(more ...*option) []*option {
	return slices.Concat(b.serverOptions(), b.loadOptions(), more, b.timeOptions())
}

// parseSpan checks a duration and leaves it as it is written: the agent parses it.
func parseSpan(s string) (string, error) {
	_, err := parseDuration(s)
	return s, err
}

// loadRate is records a second; infinite: as fast as they are answered.
type loadRate float64

// parseLoadRate is parseRate that takes 0 and max too.
func parseLoadRate(s string) (loadRate, error) {
	switch s {
	case "0":
		return 0, nil
	case "max":
		return loadRate(math.Inf(1)), nil
	}
	r, err := parseRate(s)
	return loadRate(r), err
}

// String writes r as it is given.
func (r loadRate) String() string {
	if math.IsInf(float64(r), 1) {
		return "max"
	}
	return strconv.FormatFloat(float64(r), 'f', -1, 64)
}

// rateUsage is the help of --rate.
func (b *benchFlags) rateUsage() string {
	switch {
	case b.searches:
		return "records a second; max: as fast as they are answered; 0: search the highest rate that is stable"
	case b.idles:
		return "records a second; 0: none"
	}
	return "records a second; max: as fast as they are answered"
}

// parseSeed reads a seed.
func parseSeed(s string) (uint64, error) {
	n, err := parseInt(s)
	if err == nil && n < 0 {
		err = fmt.Errorf("%d is less than 0", n)
	}
	return uint64(n), err
}

// What --limit is if objects lie in memory, and of a search if they lie in a temporary folder, which has them until the end.
const (
	inMemory     = 2 << 30
	searchOnDisk = 16 << 30
)

// settle puts the pieces together.
func (b *benchFlags) settle() error {
	l := &b.load
	l.Size, l.BatchBytes, l.Limit, l.Backlog = int(b.size), int(b.batch), int64(b.limit), int64(b.backlog)
	l.Acks, l.Spread, l.Rate = bench.Acks(b.acks), bench.Spread(b.spread), float64(b.rate)
	switch {
	case math.IsInf(l.Rate, 1) && b.idles:
		return usagef("--rate max: idle-cost is about a server with nothing to do, or a trickle")
	case math.IsInf(l.Rate, 1):
		l.Rate = 0
	case b.hunts() && b.owns() && b.store == "mem":
		return usagef("--rate 0: a search writes more than memory holds; there are --store null, sim, disk, and --rate max")
	case l.Rate == 0 && !b.searches && !b.idles:
		return usagef("--rate 0: only produce searches a rate; as fast as records are answered is --rate max")
	}
	switch {
	case b.limit != 0 || !b.owns():
	case b.hunts() && b.store == "disk":
		l.Limit = searchOnDisk
	case !b.hunts() && slices.Contains([]string{"sim", "sim-express", "mem"}, b.store):
		l.Limit = inMemory
	}
	if err := l.Validate(); err != nil {
		return usageError{err}
	}
	if len(b.bootstrap) > 0 && len(b.peer) > 0 {
		return usagef("--bootstrap and --peer exclude each other")
	}
	if len(b.http) > 0 && len(b.bootstrap) == 0 {
		return usagef("--http is about --bootstrap: add it, or leave both out")
	}
	return b.checkAgents()
}

// hunts reports whether the highest stable rate is to be found.
func (b *benchFlags) hunts() bool { return b.searches && b.rate == 0 }

// owns reports whether the bench starts agents itself.
func (b *benchFlags) owns() bool { return len(b.bootstrap) == 0 && len(b.peer) == 0 }

// runner runs one kind of bench.
type runner func(ctx context.Context, t bench.Target, live *bench.Live) (*bench.Report, error)

// run starts a server if need be, loads it and prints what was seen.
func (b *benchFlags) run(ctx context.Context, w *world, c *command, do runner) error {
	if err := b.settle(); err != nil {
		return err
	}
	t, stop, err := b.target(ctx, w)
	if err != nil {
		return err
	}
	defer stop()
	return b.show(ctx, w, c, t, do)
}

// benchGC is GOGC of the client: records of a few hundred MiB come and go, and hardly any live.
const benchGC = 400

// show runs do and prints what it reports.
func (b *benchFlags) show(ctx context.Context, w *world, c *command, t bench.Target, do runner) error {
	if os.Getenv("GOGC") == "" {
		defer debug.SetGCPercent(debug.SetGCPercent(benchGC)) // what the client takes the server can't have
	}
	var live bench.Live
	hide := showProgress(w, false, live.Line)
	r, err := do(ctx, t, &live)
	hide()
	if err != nil {
		return err
	}
	r.Version, r.Settings = version(), settingsOf(c)
	if err := reportDocument(r, b.output).print(w.out, b.output); err != nil {
		return err
	}
	if v := r.Verified; !v.Good() {
		return fmt.Errorf("the log does not hold what was written: %s", verdict(v))
	}
	return nil
}
