package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/varvelog/varve/agent"
	"github.com/varvelog/varve/client"
	"github.com/varvelog/varve/metastore/bolt"
)

// What "varve dev" keeps in its folder.
const (
	devObjects = "objects"
	devFacts   = "facts.db"
)

// dev is the flags of "varve dev".
type dev struct {
	*agentFlags
	data   string
	memory bool
	topics []newTopic
	demo   bool
	reset  bool
	dry    bool
	yes    bool
}

// newTopic is NAME:PARTITIONS.
type newTopic struct {
	name       string
	partitions int32
}

func devCommand() *command {
	d := &dev{agentFlags: newAgentFlags(), data: "./.varve"}
	d.cfg.Name, d.cfg.Flush, d.cfg.Slots = "dev", 10*time.Millisecond, 16
	d.cfg.SnapshotFlushes = 1000 // so that a start replays little, whatever was written
	d.cfg.HTTP = "127.0.0.1:8080"
	d.cfg.Grace = time.Minute // nobody reads for longer what is gone
	c := &command{
		name: "dev", max: 0, server: true,
		short: "run a server for development: nothing to install, nothing to configure",
		long: `One agent with its bucket in a local folder and its table in one file. Prints on stdout where it listens once it
serves, first "kafka HOST:PORT", and what to type. Topics are created when they are first written to.`,
		options: append([]*option{
			opt(&d.data, parseText, "data", "DIR", "where to keep everything").withEnv(),
			optSwitch(&d.memory, "memory", "keep everything in memory: Ctrl-C leaves nothing"),
			opt(&d.topics, parseTopics, "topics", "NAME:PARTITIONS,...", "create these topics if they do not exist").withDefault(""),
			optSwitch(&d.demo, "demo", "write and read a topic \"demo\", a few records a second"),
			optSwitch(&d.reset, "reset", "delete what --data holds first"),
			optSwitch(&d.dry, "dry-run", "say what --reset would delete, and end"),
			yesOption(&d.yes),
		}, d.options()...),
		examples: []string{"varve dev", "varve dev --memory --topics orders:6,audit:1 --listen 127.0.0.1:0 --http 127.0.0.1:0"},
	}
	c.run = func(ctx context.Context, w *world, _ []string) error {
		if err := d.settle(w, c.options); err != nil {
			return err
		}
		d.cfg.Settings = withDefault(d.cfg.Settings, "group.initial.rebalance.delay.ms", "0") // who tries something out waits for nothing
		if d.memory && (d.reset || c.option("data").from == "--data") {
			return usagef("--memory keeps nothing: leave out --data and --reset")
		}
		if d.dry && !d.reset {
			return usagef("--dry-run is about --reset: add it, or leave both out")
		}
		return d.run(ctx, w)
	}
	return c
}

// withDefault returns settings with name set to value, unless it is set already.
func withDefault(settings map[string]string, name, value string) map[string]string {
	all := map[string]string{name: value}
	maps.Copy(all, settings)
	return all
}

func (d *dev) run(ctx context.Context, w *world) error {
	if d.memory {
		_, err := d.serve(ctx, w, "mem://", "mem://")
		return err
	}
	dir, err := filepath.Abs(d.data)
	if err != nil {
		return err
	}
	if d.reset {
		if err := d.clear(w, dir); err != nil || d.dry {
			return err
		}
	}
	made := missing(dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("--data: %w", errors.Join(err, removeEmpty(made)))
	}
	if len(made) == 0 {
		for _, name := range []string{devObjects, devFacts} {
			made = append(made, missing(filepath.Join(dir, name))...)
		}
	}
	served, err := d.serve(ctx, w, fileURL("file", dir, devObjects), fileURL("bolt", dir, devFacts))
	if served || len(made) == 0 {
		return err
	}
	return errors.Join(err, unmake(dir, made))
}

// missing returns path and those of its parents that do not exist, the topmost first.
func missing(path string) (paths []string) {
	for {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			return paths
		}
		paths = append([]string{path}, paths...)
		path = filepath.Dir(path)
	}
}

// unmake takes away what a start that failed had made, unless somebody else uses it by now: the lock of the table tells.
func unmake(dir string, made []string) error {
	facts := filepath.Join(dir, devFacts)
	table, err := bolt.Open(facts)
	switch {
	case errors.Is(err, bolt.ErrLocked):
		return nil
	case err == nil:
		defer table.Close()
	}
	var errs []error
	for _, path := range []string{filepath.Join(dir, devObjects), facts} {
		if slices.Contains(made, path) || slices.Contains(made, dir) {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	return errors.Join(append(errs, removeEmpty(made))...)
}

// removeEmpty removes folders that are there and empty, the lowest first: somebody else may have begun to use them.
func removeEmpty(dirs []string) error {
	for _, dir := range slices.Backward(dirs) {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			continue
		}
		if err := os.Remove(dir); err != nil {
			return err
		}
	}
	return nil
}

// serve runs the agent; served tells whether it came to serve.
func (d *dev) serve(ctx context.Context, w *world, store, meta string) (served bool, err error) {
	log := newLogger(w, d.level)
	stores, err := openStores(ctx, store, meta, d.cfg.Zone, log)
	if errors.Is(err, bolt.ErrLocked) {
		return false, fmt.Errorf("another varve runs on %s: stop it, or choose another folder with --data DIR", d.data)
	}
	if err != nil {
		return false, err
	}
	defer stores.close(log)
	d.cfg.Exclusive = true
	var traffic <-chan struct{}
	err = serve(ctx, d.cfg, stores, log, func(ctx context.Context, at agent.Addresses) error {
		if err := d.begin(ctx, at); err != nil {
			return err
		}
		served = true
		d.announce(w, at)
		traffic = d.startDemo(ctx, at, log)
		return nil
	})
	if traffic != nil {
		<-traffic
	}
	return served, err
}

// begin creates the topics of --topics.
func (d *dev) begin(ctx context.Context, at agent.Addresses) error {
	if len(d.topics) == 0 {
		return nil
	}
	c, err := client.Open(at.Kafka)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, t := range d.topics {
		err := c.CreateTopic(ctx, client.NewTopic{Name: t.name, Partitions: t.partitions})
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("--topics: %w", err)
		}
	}
	return nil
}

// announce prints where it listens and what to try, for people; scripts read the first lines.
func (d *dev) announce(w *world, at agent.Addresses) {
	printAddresses(w, at)
	if d.memory {
		fmt.Fprintf(w.out, addressLayout, "data", "in memory (gone when this ends)")
	} else {
		fmt.Fprintf(w.out, addressLayout, "data", d.data+" (kept; use --memory for a throw-away run)")
	}
	flag := ""
	if at.Kafka != "127.0.0.1:9092" {
		flag = " --bootstrap " + at.Kafka
	}
	fmt.Fprintf(w.out, addressLayout, "try", "echo hello | varve produce demo"+flag)
	fmt.Fprintf(w.out, addressLayout, "", "varve consume demo --from earliest"+flag)
	fmt.Fprintf(w.out, addressLayout, "", "kcat -b "+at.Kafka+" -L")
}

// startDemo starts the traffic of --demo; the channel is closed when it has ended.
func (d *dev) startDemo(ctx context.Context, at agent.Addresses, log *slog.Logger) <-chan struct{} {
	if !d.demo {
		return nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := demoTraffic(ctx, at.Kafka); err != nil && ctx.Err() == nil {
			log.Error("the demo traffic stopped", "err", err)
		}
	}()
	return done
}

// clear deletes what a former run left in dir, and nothing else. Taking the lock of the table first tells whether
// somebody still uses it.
func (d *dev) clear(w *world, dir string) error {
	facts, objects := filepath.Join(dir, devFacts), filepath.Join(dir, devObjects)
	if _, err := os.Stat(facts); errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat(objects); errors.Is(err, os.ErrNotExist) {
			return nil // nothing to lose, so nothing to ask
		}
	} else if err != nil {
		return fmt.Errorf("--reset: %w", err)
	}
	if d.dry {
		return said(w, nil, true, "deleted all topics and records in %s", d.data)
	}
	if err := confirm(w, d.yes, fmt.Sprintf("delete all topics and records in %s", d.data)); err != nil {
		return err
	}
	table, err := bolt.Open(facts)
	switch {
	case errors.Is(err, bolt.ErrLocked):
		return fmt.Errorf("another varve runs on %s: stop it first", d.data)
	case err == nil:
		defer table.Close()
	}
	// A table that is damaged cannot be opened, and is deleted all the same.
	return errors.Join(os.RemoveAll(objects), os.Remove(facts))
}

// parseTopics reads orders:6,audit:1.
func parseTopics(s string) (topics []newTopic, err error) {
	parts, err := parseList(s)
	if err != nil {
		return nil, err
	}
	for _, part := range parts {
		name, count, ok := strings.Cut(part, ":")
		t := newTopic{name: name, partitions: -1}
		if ok {
			n, err := strconv.ParseInt(count, 10, 32)
			if err != nil || n < 1 {
				return nil, fmt.Errorf("%q is not a number of partitions (like orders:6)", count)
			}
			t.partitions = int32(n)
		}
		if name == "" {
			return nil, fmt.Errorf("%q has no name (like orders:6)", part)
		}
		topics = append(topics, t)
	}
	return topics, nil
}
