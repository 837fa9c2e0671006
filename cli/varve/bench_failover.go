package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/varvelog/varve/cli/bench"
)

// benchFailOver is the flags of "varve bench fail-over".
type benchFailOver struct {
	*benchFlags
	times int
	every time.Duration
	how   string
	crew  *crew
}

// strikes are what --how takes.
var strikes = []string{"kill", "term", "pause", "cut"}

func benchFailOverCommand() *command {
	f := &benchFailOver{benchFlags: newBenchFlags(), times: 3, every: 2 * time.Second, how: "kill"}
	f.rate, f.load.Hurry, f.store, f.flush = 2000, true, "disk", "20ms"
	f.load.Warmup, f.agents = 0, 0
	c := &command{
		name: "fail-over", max: 0,
		short: "kill agents under load: how long until their partitions acknowledge again",
		long: `Starts --agents agents, loads them, and strikes one after the other: kill -9 (kill), a graceful stop (term), a process
that stands still (pause), or one that runs on with its network cable pulled (cut): nothing passes to or from clients, other agents
and stores, and nobody is told; only its counters are still read.

"strike_to_ack" is how long each partition took until it acknowledged a record that was sent after the strike, of an agent that stops
gracefully from the signal on; "strike_to_all_ack" until all had; "ack_gap" the longest time between two acknowledgements of a
partition. What the logs of the agents say is told as steps between; "open_to_all_ack" is what clients took after the last of them. Of
a pause or a cut the client pays too: its connection is open, and it waits for an answer until its own time-out of 20 s. At the end
everything is read back.

One agent runs on a folder of its own, and is started again at once: that is a crash, not a fail-over. Several need a bucket and
a table that they share: --store minio or s3; for a cut minio, or URLs with an endpoint=http://HOST:PORT that can be cut off.`,
		options: slices.Concat(f.failOverOptions(), []*option{outputOption(&f.output)}),
		examples: []string{"varve bench fail-over --times 1 --every 500ms --rate 500", "varve bench fail-over --store minio --agents 3 --times 10 --how pause",
			"varve bench fail-over --store minio --agents 3 --times 2 --how cut"},
	}
	c.run = func(ctx context.Context, w *world, _ []string) error { return f.run(ctx, w, c) }
	return c
}

func (f *benchFailOver) failOverOptions() []*option {
	keep := []string{"store", "meta", "flush", "flush-bytes", "memory-limit", "agents", "zones", "prices", "program", "rate", "record-size", "partitions", "producers", "linger", "batch-size", "seed"}
	options := []*option{
		opt(&f.times, parseCount, "times", "N", "how often one is struck"),
		opt(&f.every, parseDuration, "every", "DURATION", "between the moment at which all is well again and the next strike"),
		optOneOf(&f.how, strikes, "how", strings.Join(strikes, "|"), "what is done to an agent"),
	}
	for _, o := range slices.Concat(f.serverOptions(), f.loadOptions()) {
		if slices.Contains(keep, o.name) {
			o.def = o.now() // which may differ from that of the other commands
			if o.name == "agents" {
				o.def = "1 on disk, else 3"
			}
			options = append(options, o)
		}
	}
	return options
}

func (f *benchFailOver) run(ctx context.Context, w *world, c *command) error {
	real := f.store == "minio" || f.store == "s3" || strings.Contains(f.store, "://")
	switch {
	case f.agents == 0 && real:
		f.agents = 3
	case f.agents == 0:
		f.agents = 1
	case f.agents > 1 && !real:
		return usagef("--agents %d: several agents need a bucket and a table that they share, and %s has none: --store minio, s3 or a URL with --meta", f.agents, f.store)
	}
	if !real && f.store != "disk" {
		return usagef("--store %s: it keeps nothing when an agent dies; there are disk, minio, s3 or a URL with --meta", f.store)
	}
	if f.agents == 1 && (f.how == "pause" || f.how == "cut") {
		return usagef("--how %s: one agent has nobody to take over; there are kill and term", f.how)
	}
	f.cables = f.how == "cut"
	if err := f.settle(); err != nil {
		return err
	}
	return f.serve(ctx, w, c, func(ctx context.Context, t bench.Target, live *bench.Live) (*bench.Report, error) {
		return bench.FailOver(ctx, t, f.load, bench.Fault{Times: f.times, Every: f.every, Strike: f.strike, Names: stepNames(), Steps: f.steps, Mend: f.mend}, live)
	}, func(cr *crew) { f.crew = cr })
}

// victim is the agent of a round.
func (f *benchFailOver) victim(round int) *child { return f.crew.agents[round%len(f.crew.agents)] }

// strike does it to the agent of the round. One that is alone is started again at once.
func (f *benchFailOver) strike(ctx context.Context, round int) (struck time.Time, err error) {
	v := f.victim(round)
	struck = time.Now()
	switch f.how {
	case "kill":
		v.kill()
	case "term":
		v.stop()
	case "pause":
		return struck, pauseProcess(v.cmd.Process)
	case "cut":
		v.cable.Cut()
		return struck, nil
	}
	if len(f.crew.agents) == 1 {
		return struck, v.start(ctx)
	}
	return struck, nil
}

// mend brings the agent of the round back.
func (f *benchFailOver) mend(ctx context.Context, round int) error {
	switch {
	case f.how == "pause":
		return resumeProcess(f.victim(round).cmd.Process)
	case f.how == "cut":
		f.victim(round).cable.Mend()
		return nil
	case len(f.crew.agents) == 1:
		return nil
	}
	return f.victim(round).start(ctx)
}

// failOverSteps are what the agents log on the way, and how the report calls it.
var failOverSteps = []struct{ said, name string }{
	{"seems to be dead", "detect"}, {"fenced a session", "fence"}, {"sealed a session", "seal"},
	{"every slot has a leader", "assign"}, {"opened slots", "open"},
}

func stepNames() (names []string) {
	for _, s := range failOverSteps {
		names = append(names, s.name)
	}
	return names
}

// steps reads in the logs when each step was first reached after the strike.
func (f *benchFailOver) steps(_ int, struck time.Time) map[string]time.Duration {
	first := map[string]time.Duration{}
	for _, c := range f.crew.agents {
		log, err := os.Open(c.log)
		if err != nil {
			continue
		}
		lines := bufio.NewScanner(log)
		for lines.Scan() {
			at, ok := loggedAt(lines.Text())
			if !ok || at.Before(struck) {
				continue
			}
			for _, s := range failOverSteps {
				if old, seen := first[s.name]; strings.Contains(lines.Text(), s.said) && (!seen || at.Sub(struck) < old) {
					first[s.name] = at.Sub(struck)
				}
			}
		}
		_ = log.Close() // it was only read
	}
	return first
}

// loggedAt is the time of a line of a log, as log/slog writes it.
func loggedAt(line string) (time.Time, bool) {
	_, rest, ok := strings.Cut(line, "time=")
	text, _, _ := strings.Cut(rest, " ")
	at, err := time.Parse(time.RFC3339Nano, text)
	return at, ok && err == nil
}

// serve hires agents, runs do against them and prints.
func (b *benchFlags) serve(ctx context.Context, w *world, c *command, do runner, hired func(*crew)) error {
	cr, err := b.hire(ctx, w)
	if err != nil {
		return err
	}
	defer cr.dismiss(w)
	hired(cr)
	if err := b.show(ctx, w, c, cr.target(), do); err != nil {
		for _, c := range cr.agents {
			if words := c.lastWords(); words != "" && ctx.Err() == nil {
				fmt.Fprintf(w.err, "%s said at last:\n%s\n", c.args[slices.Index(c.args, "--name")+1], words)
			}
		}
		return err
	}
	return nil
}
