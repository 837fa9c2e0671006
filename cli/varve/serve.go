package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/varvelog/varve/agent"
)

// How much garbage the collector may let lie, unless the environment has GOGC: so many percent of what lives besides the pooled buffers,
// and gcSlack bytes. No collection frees the buffers: a percentage of them would be memory for nothing.
const (
	gcShare = 100
	gcMost  = 400
	gcLeast = 10
	gcSlack = 16 << 20
	gcEvery = time.Second // how often it is adjusted
)

// goMemoryShare is how much of --memory-limit the Go runtime gets: stacks, fragments and the kernel's buffers take the
// rest. In percent.
const goMemoryShare = 85

// serve runs an agent until ctx ends. once runs when the agent serves for the first time; its context ends with the
// agent, and its error ends the agent.
func serve(ctx context.Context, cfg agent.Config, opened *openedStores, log *slog.Logger, once func(context.Context, agent.Addresses) error) error {
	limit := int64(math.MaxInt64)
	if !opened.unbounded { // else the collector would run without end once the objects pass the limit
		limit = cfg.MemoryLimit / 100 * goMemoryShare
	}
	a, err := agent.New(cfg, opened.agent, log)
	if err != nil {
		return usageError{err}
	}
	var pacing sync.WaitGroup
	defer pacing.Wait()
	stop := ctx
	ctx, cancel := context.WithCancelCause(stop)
	defer cancel(nil)
	pacing.Go(func() { paceCollector(ctx, limit, a.Buffers) })
	began := make(chan error, 1)
	go func() {
		select {
		case <-a.Ready():
			err := once(ctx, a.Addresses())
			if err != nil {
				cancel(err)
			}
			began <- err
		case <-ctx.Done():
			began <- nil
		}
	}()
	err = a.Run(ctx)
	cancel(nil)
	if failed := <-began; failed != nil && !errors.Is(failed, context.Canceled) {
		return failed
	}
	if stop.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // asked to stop before it served: that is no failure
	}
	return err
}

// paceCollector sets GOGC by what lives, and the heap's limit to what memory apart from it leaves of limit, but a quarter at least, until ctx ends.
func paceCollector(ctx context.Context, limit int64, buffers func() (heap, apart int64)) {
	now := gcShare
	free := os.Getenv("GOGC") == ""
	if free {
		debug.SetGCPercent(now)
	}
	set := limit
	debug.SetMemoryLimit(set)
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(gcEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		metrics.Read(live)
		heap, apart := buffers()
		if left := max(limit/4, limit-apart); max(left, set)-min(left, set) > limit/32 {
			set = left
			debug.SetMemoryLimit(set)
		}
		if want := gcPercent(int64(live[0].Value.Uint64()), heap); free && max(want, now)-min(want, now) > now/8 {
			now = want
			debug.SetGCPercent(now) // stops the world for a moment
		}
	}
}

// gcPercent is GOGC for a heap of which live bytes survived the last collection, buffers of them in pools. More may be in pools
// than survived: they were made since.
func gcPercent(live, buffers int64) int {
	garbage := max(0, live-buffers)*gcShare/100 + gcSlack
	return int(max(gcLeast, min(gcMost, garbage*100/max(live, 1))))
}

// newLogger logs to stderr.
func newLogger(w *world, level string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo // oneOf has let only levels pass
	}
	return slog.New(slog.NewTextHandler(w.err, &slog.HandlerOptions{Level: l}))
}

// addressLayout is one line of what a server prints first. Scripts read the second word.
const addressLayout = "%-8s %s\n"

func printAddresses(w *world, at agent.Addresses) {
	fmt.Fprintf(w.out, addressLayout, "kafka", at.Kafka)
	if at.HTTP != "" {
		fmt.Fprintf(w.out, addressLayout, "console", "http://"+at.HTTP)
	}
}
