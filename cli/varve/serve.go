package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/varvelog/varve/agent"
)

// gcPercent is GOGC unless the environment has one. What lives long is small (indexes, producer state) and the bulk is in
// pooled buffers that no collection frees, so collecting at 100 % would be work for nothing. The memory limit holds when
// the heap does grow.
const gcPercent = 300

// goMemoryShare is how much of --memory-limit the Go runtime gets: stacks, fragments and the kernel's buffers take the
// rest. In percent.
const goMemoryShare = 85

// serve runs an agent until ctx ends. once runs when the agent serves for the first time; its context ends with the
// agent, and its error ends the agent.
func serve(ctx context.Context, cfg agent.Config, opened *openedStores, log *slog.Logger, once func(context.Context, agent.Addresses) error) error {
	if !opened.unbounded { // else the collector would run without end once the objects pass the limit
		debug.SetMemoryLimit(cfg.MemoryLimit / 100 * goMemoryShare)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	a, err := agent.New(cfg, opened.agent, log)
	if err != nil {
		return usageError{err}
	}
	stop := ctx
	ctx, cancel := context.WithCancelCause(stop)
	defer cancel(nil)
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
