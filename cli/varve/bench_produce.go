package main

import (
	"context"
	"fmt"
	"time"

	"github.com/varvelog/varve/cli/bench"
	"github.com/varvelog/varve/client"
)

func benchProduceCommand() *command {
	b := newBenchFlags()
	b.searches = true
	c := &command{
		name: "produce", max: 0,
		short: "producers alone: latency of acknowledgements, and what a GiB costs",
		long: `Five times are taken of each record that is not sent in the warm-up. "intended_to_ack" counts from when the record was to be
sent, as a user waits; "sent_to_ack" from when the client got it; "service" is one Produce request; "publish_delay" is how late
the bench itself was. With --rate max producers send as fast as they are answered: then there is no intended time. With --rate 0
the highest stable rate is searched, by trials of half the time; then it is measured. What is stable is told with the trials.
They may write --limit bytes together, on --store disk 16 GiB: nothing of that goes before the end.

On --store null, and in a search, which keeps nothing, the offsets of the log are checked instead of its records.`,
		options:  b.options(),
		examples: []string{"varve bench produce --rate 5000 --warmup 1s --duration 1s", "varve bench produce --store null --rate max --warmup 1s --duration 1s --output json"},
	}
	c.run = func(ctx context.Context, w *world, _ []string) error {
		return b.run(ctx, w, c, func(ctx context.Context, t bench.Target, live *bench.Live) (*bench.Report, error) {
			if !b.hunts() {
				return bench.Produce(ctx, t, b.load, b.keeps(), live)
			}
			return bench.Search(ctx, b.load, live, func(ctx context.Context, l bench.Load) (*bench.Report, error) {
				return bench.Produce(ctx, t, l, false, live)
			})
		})
	}
	return c
}

func benchConsumeCommand() *command {
	b := newBenchFlags()
	c := &command{
		name: "consume", max: 0,
		short: "readers alone, of what was written before",
		long: `Writes --backlog bytes as fast as they are answered, then --fan-out readers read all of it again and again. A backlog that fits
into the agent's cache is served from memory; a larger one comes from the store. Costs are those of a GiB read.
With several readers one alone does the same first, for as long: "get_growth_with_fan_out_per_gib" is how many more GETs a GiB of the
log takes with all of them.`,
		options: b.options(
			opt(&b.backlog, parseBytes, "backlog", "SIZE", "what is there to read"),
			opt(&b.load.FanOut, parseCount, "fan-out", "N", "readers; each reads everything"),
		),
		examples: []string{"varve bench consume --store mem --backlog 64MiB --warmup 1s --duration 1s", "varve bench consume --store mem --backlog 64MiB --fan-out 4 --warmup 1s --duration 1s"},
	}
	c.run = func(ctx context.Context, w *world, _ []string) error {
		return b.run(ctx, w, c, func(ctx context.Context, t bench.Target, live *bench.Live) (*bench.Report, error) {
			return bench.Consume(ctx, t, b.load, live)
		})
	}
	return c
}

func benchEndToEndCommand() *command {
	b := newBenchFlags()
	c := &command{
		name: "e2e", max: 0,
		short: "producers, and readers that wait for each record",
		long: `Like produce; besides, "intended_to_consumed" is how long it takes from when a record was to be sent until a reader has it.
Every record is checked as it arrives.`,
		options:  b.options(opt(&b.load.FanOut, parseCount, "fan-out", "N", "readers; each reads everything")),
		examples: []string{"varve bench e2e --rate 5000 --warmup 1s --duration 1s", "varve bench e2e --peer 127.0.0.1:9092 --rate 1000 --warmup 1s --duration 1s"},
	}
	c.run = func(ctx context.Context, w *world, _ []string) error {
		return b.run(ctx, w, c, func(ctx context.Context, t bench.Target, live *bench.Live) (*bench.Report, error) {
			return bench.EndToEnd(ctx, t, b.load, live)
		})
	}
	return c
}

func benchCatchUpCommand() *command {
	b := newBenchFlags()
	b.rate, b.store = 5000, "mem"
	segments := false
	c := &command{
		name: "catch-up", max: 0,
		short: "read a backlog beside a live tail: how fast, and who pays",
		long: `Writes --backlog bytes, then writes at --rate while a reader follows; after --warmup and --duration other readers go through the
backlog, from its beginning to its end, one after the other until --duration is over again, and then the first one has the server
to itself for --duration: that is a round, of --rounds. "tail_before", "tail_during" and "tail_after" are how long the first reader waits for a
record, before the others come, beside them and after they have gone. "tail_p99_ratio" is the p99 of the time beside them to that of the
time before and after: the median of all rounds, the lowest and the highest. Costs are those of a GiB of the backlog, in the first
round.

With --segments the backlog is cut into segments before it is read, as it will be hours later; without, it lies where it is.`,
		options: b.options(
			opt(&b.backlog, parseBytes, "backlog", "SIZE", "what is there to read"),
			optSwitch(&segments, "segments", "have the backlog cut into segments first, and wait for it"),
			opt(&b.load.Rounds, parseCount, "rounds", "N", "how often the backlog's readers come and go"),
			opt(&b.load.FanOut, parseCount, "fan-out", "N", "readers that follow the tail"),
		),
		examples: []string{"varve bench catch-up --backlog 64MiB --warmup 1s --duration 1s", "varve bench catch-up --store sim --backlog 16MiB --segments --rate 100 --warmup 1s --duration 1s"},
	}
	c.option("store").def = b.store
	c.run = func(ctx context.Context, w *world, _ []string) error {
		return b.run(ctx, w, c, func(ctx context.Context, t bench.Target, live *bench.Live) (*bench.Report, error) {
			if !segments {
				return bench.CatchUp(ctx, t, b.load, nil, live)
			}
			return bench.CatchUp(ctx, t, b.load, func(ctx context.Context, topic string) error { return cutNow(ctx, t, topic) }, live)
		})
	}
	return c
}

// cutTime bounds how long the backlog of a bench may take to become segments.
const cutTime = time.Hour

// cutNow has what a topic holds cut into segments, as "varve segment compact" does, and waits for it.
func cutNow(ctx context.Context, t bench.Target, name string) error {
	c, err := client.Open(t.Bootstrap...)
	if err != nil {
		return err
	}
	defer c.Close()
	topic, err := c.Topic(ctx, name)
	if err != nil {
		return err
	}
	run := compactRun{c: c, topic: topic, began: map[int32]int64{}}
	if _, err = run.wait(ctx, cutTime); err != nil {
		return fmt.Errorf("have the backlog cut into segments: %w", err)
	}
	return nil
}

func benchIdleCommand() *command {
	b := newBenchFlags()
	b.rate, b.idles, b.load.Duration = 0, true, time.Minute
	c := &command{
		name: "idle-cost", max: 0,
		short: "what a server costs that has nothing to do",
		long: `Makes a topic of --partitions, and counts for --duration what the agent asks of bucket and table, by purpose. --rate N adds a
trickle of records. On a server of your own say where its HTTP side is: --http.`,
		options:  b.options(),
		examples: []string{"varve bench idle-cost --warmup 1s --duration 2s", "varve bench idle-cost --partitions 1000 --rate 1 --warmup 1s --duration 2s"},
	}
	c.run = func(ctx context.Context, w *world, _ []string) error {
		if !b.owns() && len(b.http) == 0 {
			return usagef("nothing can be seen of a server without its HTTP side: --bootstrap HOST:PORT --http HOST:PORT")
		}
		return b.run(ctx, w, c, func(ctx context.Context, t bench.Target, live *bench.Live) (*bench.Report, error) {
			return bench.IdleCost(ctx, t, b.load, live)
		})
	}
	return c
}
