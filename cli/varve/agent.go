package main

import (
	"context"
	"fmt"
	"time"

	"github.com/varvelog/varve/agent"
	"github.com/varvelog/varve/objstore/meter"
)

// agentFlags is what "varve agent" and "varve dev" set.
type agentFlags struct {
	cfg         agent.Config
	store, meta string
	flushBytes  byteSize
	memoryLimit byteSize
	putBudget   float64 // dollars a month
	settings    []pair
	packBytes   byteSize
	segment     byteSize
	level       string
	config      string // file
}

func newAgentFlags() *agentFlags {
	cfg := agent.DefaultConfig()
	return &agentFlags{
		cfg: cfg, flushBytes: byteSize(cfg.FlushBytes), memoryLimit: byteSize(cfg.MemoryLimit),
		packBytes: byteSize(cfg.PackBytes), segment: byteSize(cfg.SegmentBytes), level: "info",
	}
}

func agentCommand() *command {
	f := newAgentFlags()
	c := &command{
		name: "agent", max: 0, server: true,
		short: "run an agent of a cluster",
		long: `Serves Kafka clients from the bucket and the table until it gets SIGTERM or SIGINT; then it flushes once more, leaves
a snapshot and exits with 0. A second signal ends it at once.

Prints on stdout where it listens once it serves, first "kafka HOST:PORT". Port 0 picks a free one.

  --store  s3://BUCKET/PREFIX?region=R&endpoint=URL&path_style=true  file:///DIR  mem://  null://
           minio://... takes what s3:// takes, and goes through another client library
  --meta   dynamodb://TABLE?region=R&endpoint=URL  bolt:///FILE  mem://

"fault+" in front of either injects failures, for tests: fault+file:///DIR?delay=250ms. "sim+" gives
a store the latency of another: sim+mem://?model=s3-standard&seed=1 (or s3-express; dynamodb for --meta); both together are
"fault+sim+". Credentials come from the AWS environment, files or role. A --config FILE has a line "name = value" for each
flag, without the dashes, and may also set heartbeat, ttl, snapshot-interval, snapshot-flushes and poll.`,
		options: append(f.storeOptions(), f.options()...),
		examples: []string{
			"varve agent --name a1 --store 's3://varve/prod?region=eu-central-1' --meta 'dynamodb://varve?region=eu-central-1' --listen 0.0.0.0:9092 --advertise a1.example.com:9092",
			"varve agent --name a1 --store file:///var/lib/varve/objects --meta bolt:///var/lib/varve/facts.db --http 127.0.0.1:8080",
		},
	}
	c.run = func(ctx context.Context, w *world, _ []string) error {
		if err := f.settle(w, c.options); err != nil {
			return err
		}
		for _, o := range c.options[:3] {
			if o.from == "" {
				return usagef("--%s is missing: %s (also %s)", o.name, o.usage, o.envName())
			}
		}
		log := newLogger(w, f.level)
		stores, err := openStores(ctx, f.store, f.meta, f.cfg.Zone, log)
		if err != nil {
			return err
		}
		defer stores.close(log)
		f.cfg.Prefix, f.cfg.Exclusive, f.cfg.Probe = stores.prefix, stores.exclusive, stores.foreign
		return serve(ctx, f.cfg, stores, log, func(_ context.Context, at agent.Addresses) error {
			printAddresses(w, at)
			return nil
		})
	}
	return c
}

// storeOptions are the three that an agent cannot do without.
func (f *agentFlags) storeOptions() []*option {
	return []*option{
		opt(&f.cfg.Name, parseText, "name", "NAME", "the name of the agent, stable over restarts").withEnv(),
		opt(&f.store, parseText, "store", "URL", "the object store, like s3://bucket/prefix?region=eu-central-1").withEnv(),
		opt(&f.meta, parseText, "meta", "URL", "the metastore, like dynamodb://table?region=eu-central-1").withEnv(),
	}
}

// options are those that dev has too.
func (f *agentFlags) options() []*option {
	return append([]*option{
		opt(&f.cfg.Listen, parseText, "listen", "HOST:PORT", "where Kafka clients connect").withEnv(),
		opt(&f.cfg.Advertise, parseText, "advertise", "HOST:PORT", "what clients are told to connect to").withEnv().withDefault("what --listen is bound to"),
		opt(&f.cfg.Peer, parseText, "peer", "HOST:PORT", "where other agents connect").withEnv().withDefault("the host of --listen, a free port"),
		opt(&f.cfg.AdvertisePeer, parseText, "advertise-peer", "HOST:PORT", "what other agents are told to connect to").withEnv().withDefault("what --peer is bound to"),
		opt(&f.cfg.HTTP, parseText, "http", "HOST:PORT", "health, metrics and console").withEnv(),
		optSwitch(&f.cfg.Profiling, "pprof", "serve profiles over --http, to this machine only: see varve pprof").withEnv(),
		opt(&f.cfg.Zone, parseText, "zone", "ZONE", "the availability zone this runs in").withEnv(),
		opt(&f.cfg.Cluster, parseText, "cluster", "NAME", "the cluster: what keys and items begin with").withEnv(),
		opt(&f.cfg.Slots, parseInt, "slots", "N", "units of leadership; fixed by a cluster's first agent").withEnv(),
		opt(&f.cfg.Flush, parseDuration, "flush", "DURATION", "longest time between two flushes").withEnv(),
		opt(&f.flushBytes, parseBytes, "flush-bytes", "SIZE", "flush when so much waits").withEnv(),
		opt(&f.putBudget, parseDollars, "put-budget", "USD", "a month for flushes: what --flush leaves of it is spent on earlier ones, of 4 MiB").withEnv().withDefault("0: none but at pauses"),
		opt(&f.memoryLimit, parseBytes, "memory-limit", "SIZE", "what the process shall stay under").withEnv(),
		optOneOf(&f.level, []string{"debug", "info", "warn", "error"}, "log-level", "LEVEL", "debug, info, warn or error").withEnv(),
		optMany(&f.settings, parsePair, "set", "KEY=VALUE", "a broker config by Kafka's name, like num.partitions=6").withEnv(),
		opt(&f.config, parseText, "config", "FILE", "read flags from a file").withEnv(),
	}, f.segmentOptions()...)
}

// segmentOptions say when the log is rewritten. A cluster of any size needs none of them.
func (f *agentFlags) segmentOptions() []*option {
	return []*option{
		opt(&f.cfg.PackInterval, parseDuration, "pack-interval", "DURATION", "how often the WAL is packed").withEnv(),
		opt(&f.packBytes, parseBytes, "pack-bytes", "SIZE", "pack when so much waits").withEnv(),
		opt(&f.segment, parseBytes, "segment-bytes", "SIZE", "cut a segment of a partition with so much").withEnv(),
		opt(&f.cfg.SegmentRoll, parseDuration, "segment-roll", "DURATION", "cut a segment of what is so old").withEnv(),
		opt(&f.cfg.Grace, parseDuration, "gc-grace", "DURATION", "how long objects stay that nothing names").withEnv(),
		opt(&f.cfg.Sweep, parseDuration, "sweep-interval", "DURATION", "how often to look for what crashes left in the bucket").withEnv(),
	}
}

// fileOptions may stand in a config file only: intervals that tests shorten.
func (f *agentFlags) fileOptions() []*option {
	return []*option{
		opt(&f.cfg.Heartbeat, parseDuration, "heartbeat", "DURATION", ""),
		opt(&f.cfg.TTL, parseDuration, "ttl", "DURATION", ""),
		opt(&f.cfg.SnapshotInterval, parseDuration, "snapshot-interval", "DURATION", ""),
		opt(&f.cfg.SnapshotFlushes, parseInt, "snapshot-flushes", "N", ""),
		opt(&f.cfg.Poll, parseDuration, "poll", "DURATION", ""),
	}
}

// settle reads the config file and puts the pieces together.
func (f *agentFlags) settle(w *world, options []*option) error {
	if f.config != "" {
		if err := readConfigFile(w, f.config, append(f.fileOptions(), options...)); err != nil {
			return err
		}
	}
	settings, err := pairMap(f.settings)
	if err != nil {
		return fmt.Errorf("--set: %w", err)
	}
	f.cfg.Settings, f.cfg.Version = settings, version()
	f.cfg.FlushBytes, f.cfg.MemoryLimit = int64(f.flushBytes), int64(f.memoryLimit)
	f.cfg.PutBudget = f.putBudget / meter.S3Standard.Put / (730 * time.Hour).Seconds()
	f.cfg.PackBytes, f.cfg.SegmentBytes = int64(f.packBytes), int64(f.segment)
	return nil
}
