package agent

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/objstore"
)

// Config of an agent. DefaultConfig has the values of a real cluster.
type Config struct {
	Name    string // of the agent, stable over restarts; its node id hangs on it
	Zone    string // availability zone; empty: not told
	Cluster string // prefix of keys and items
	Slots   int    // units of leadership; counts only for the first agent of a cluster

	Listen    string // HOST:PORT of the Kafka listener; port 0 picks a free one
	Advertise string // HOST:PORT that clients are told; empty: the bound address
	HTTP      string // HOST:PORT of health, metrics and console; empty: none
	Peer      string // HOST:PORT for other agents; empty: the host of Listen and a free port. Not used if Exclusive
	Prefix    string // of object keys, before the cluster's name
	// AdvertisePeer is HOST:PORT that other agents are told; empty: what Peer is bound to, with the advertised host if that is all interfaces.
	AdvertisePeer string

	Flush       time.Duration // longest time between two flushes while there is something to flush
	FlushBytes  int64         // flush when so much waits
	PutBudget   float64       // PUTs of flushes a second: what Flush leaves of it is spent on earlier ones, of 4 MiB; 0: none are earlier but those at pauses, see wal
	MemoryLimit int64         // bytes: what the process shall stay under

	Heartbeat        time.Duration // the session item is written at least so often
	TTL              time.Duration // a session whose heartbeat stands still for so long may be fenced
	SnapshotInterval time.Duration
	SnapshotFlushes  int           // also after so many flushes; 0: only by time
	Poll             time.Duration // how often changes of topics and of the map are looked for
	StopTime         time.Duration // bounds a graceful stop: requests in flight, the last flush, the closing of the session

	PackInterval time.Duration // longest time that committed records lie in the WAL alone, while there is a snapshot; 0: a minute
	PackBytes    int64         // pack when so many bytes wait; 0: 1 GiB, or what fits into the memory
	SegmentBytes int64         // a partition with so many is cut into a segment; 0: 64 MiB
	SegmentMax   int64         // largest segment; 0: 256 MiB
	SegmentRoll  time.Duration // longest time until a record lies in a segment, if its topic does not ask for less; 0: 6 h
	Grace        time.Duration // objects stay so long after nothing names them any more; 0: 15 min
	Sweep        time.Duration // how often the bucket is looked through for what nothing names; 0: 6 h

	// Exclusive: the stores are this process's alone (a file lock, or memory). A session found under the name is dead.
	Exclusive bool
	// Probe: look before the start whether the stores keep their contracts, also if they are exclusive. An agent whose stores
	// are not exclusive always looks.
	Probe bool
	// Profiling: the HTTP side serves /debug/pprof/ to programs on this machine.
	Profiling bool
	// Settings are broker configs by Kafka's names (num.partitions, auto.create.topics.enable, ...).
	Settings map[string]string
	// Net is what Kafka clients and other agents are met through; nil: the system's.
	Net Net

	// Version is shown to people.
	Version string
}

// DefaultConfig returns the defaults of `varve agent`.
func DefaultConfig() Config {
	return Config{
		Cluster: "varve", Slots: 256, Listen: "127.0.0.1:9092",
		Flush: 250 * time.Millisecond, FlushBytes: 8 << 20, MemoryLimit: 512 << 20,
		Heartbeat: 3 * time.Second, TTL: 9 * time.Second, SnapshotInterval: time.Minute, Poll: 3 * time.Second,
		StopTime:     4500 * time.Millisecond,
		PackInterval: time.Minute, PackBytes: 1 << 30, SegmentBytes: 64 << 20, SegmentMax: 256 << 20, SegmentRoll: 6 * time.Hour, Grace: 15 * time.Minute, Sweep: 6 * time.Hour,
	}
}

// Stores are the two stores of an agent, opened by the entry point, and what counts their requests.
type Stores struct {
	Objects    objstore.Store
	Facts      metastore.Store
	Collectors []prometheus.Collector // registered with /metrics
}

// Addresses are what an agent is bound to.
type Addresses struct {
	Kafka string
	HTTP  string // empty: none
	Peer  string // empty: none
}

func (c *Config) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Name == "" {
		bad("name: an agent needs a name that is stable over restarts")
	}
	if c.Slots < 1 || c.Slots > 4096 {
		bad("slots: %d is not in 1..4096", c.Slots)
	}
	if c.Flush < time.Millisecond || c.Flush > time.Minute {
		bad("flush: %v is not in 1ms..1m", c.Flush)
	}
	if c.FlushBytes < 4<<10 || c.FlushBytes > 64<<20 {
		bad("flush-bytes: %d is not in 4KiB..64MiB", c.FlushBytes)
	}
	if !(c.PutBudget >= 0 && c.PutBudget <= 10_000) {
		bad("put budget: %v is not in 0..10,000 PUTs a second", c.PutBudget)
	}
	if c.MemoryLimit < 64<<20 {
		bad("memory-limit: %d bytes is less than 64MiB", c.MemoryLimit)
	}
	if c.Heartbeat <= 0 || c.TTL < 2*c.Heartbeat {
		bad("ttl: %v is less than two heartbeats of %v", c.TTL, c.Heartbeat)
	}
	if c.SnapshotInterval <= 0 || c.Poll <= 0 || c.StopTime <= 0 {
		bad("snapshot interval, poll interval and stop time must be above 0")
	}
	if c.PackInterval < 0 || c.SegmentRoll < 0 || c.Grace < 0 || c.Sweep < 0 || c.PackBytes < 0 || c.SegmentBytes < 0 || c.SegmentMax < 0 {
		bad("pack interval and bytes, segment bytes, maximum and roll, gc grace and sweep interval must not be negative")
	}
	if c.Profiling && c.HTTP == "" {
		bad("pprof: profiles are served over HTTP: add --http HOST:PORT")
	}
	if _, _, err := net.SplitHostPort(c.Peer); c.Peer != "" && err != nil {
		bad("peer: %q is not HOST:PORT", c.Peer)
	}
	if host, port, err := net.SplitHostPort(c.AdvertisePeer); c.AdvertisePeer != "" && (err != nil || host == "" || !isPort(port)) {
		bad("advertise-peer: %q is not HOST:PORT", c.AdvertisePeer)
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		bad("listen: %q is not HOST:PORT", c.Listen)
	} else if ip := net.ParseIP(host); c.Advertise == "" && (host == "" || ip != nil && ip.IsUnspecified()) {
		bad("listen: %s is all interfaces, and clients need one address: add --advertise HOST:PORT", c.Listen)
	}
	return errors.Join(errs...)
}

// isPort reports whether s is a port that one can connect to.
func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}
