package segment

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// The purposes of this room's requests, for meters.
const (
	PurposeRewrite objstore.Purpose  = "rewrite" // reading the WAL and packs, writing packs and segments
	PurposeLink    metastore.Purpose = "segment" // packs, extents and the garbage queue
)

// Config of a Room.
type Config struct {
	PackInterval time.Duration // longest time that committed records stay in WAL bundles alone; 0: 60 s
	PackBytes    int64         // pack when so many bytes wait; 0: 1 GiB. Never more than fits into RewriteBytes
	RewriteBytes int64         // memory for objects being laid out and for what they are made of; 0: 146 MiB
	SegmentBytes int64         // a partition with so much is cut; 0: 64 MiB. A topic's segment.bytes may be lower
	SegmentMax   int64         // largest segment; 0: 256 MiB
	Roll         time.Duration // longest time until a record lies in a segment; 0: 6 h. A topic's segment.ms may be lower
	Grace        time.Duration // objects stay so long after nothing names them any more; 0: 15 min
}

// defaultGrace is Config.Grace.
const defaultGrace = 15 * time.Minute

func (c *Config) defaults() {
	set := func(p *time.Duration, d time.Duration) {
		if *p == 0 {
			*p = d
		}
	}
	size := func(p *int64, n int64) {
		if *p == 0 {
			*p = n
		}
	}
	set(&c.PackInterval, time.Minute)
	set(&c.Roll, 6*time.Hour)
	set(&c.Grace, defaultGrace)
	size(&c.PackBytes, 1<<30)
	size(&c.RewriteBytes, 146<<20)
	size(&c.SegmentBytes, 64<<20)
	size(&c.SegmentMax, 256<<20)
}

// Tail is what a led partition's leader knows that is not in segments yet.
type Tail struct {
	Name
	TopicName    string
	Slot         uint16
	Epoch        int32
	LogStart     int64
	Stable       int64 // last stable offset: no segment reaches further
	Base         int64 // of the first run; the log's end if there is none
	MaxTimestamp int64 // of the first run, ms
	Runs         int
	Bytes        int64
	WALRuns      int // of Runs, those in WAL bundles: they follow those in packs
	WALBytes     int64
	Log          Log
}

// Name names a partition.
type Name struct {
	Topic uuid.UUID
	Index int32
}

// Log is a led partition's tail index.
type Log interface {
	// Runs appends to dst where the records from offset from on lie, at most n runs, in order and without a gap.
	Runs(dst []bundle.Location, from int64, n int) []bundle.Location
	// Replace puts runs into the place of those that span the same offsets. An error: nothing was replaced, the tail has changed.
	Replace(runs []bundle.Location) error
	// Tiered says that extents reach up to next: the tail forgets what lies below.
	Tiered(next int64)
}

// Partitions are those that this agent leads.
type Partitions interface {
	// Tails calls yield for each partition of an open slot that holds something or held it.
	Tails(yield func(Tail) bool)
	// Leads reports whether the slot is served here under the epoch, and not being handed over: a leader that comes later opens from a
	// snapshot that is recorded now, or a newer one.
	Leads(slot uint16, epoch int32) bool
}

// Topics are those that exist.
type Topics interface {
	// Rolls returns a topic's segment.bytes and segment.ms; false if there is no such topic any more.
	Rolls(topic uuid.UUID) (bytes int64, after time.Duration, ok bool)
}

// Blocks is memory that may hold committed bytes, so that they need not be read again.
type Blocks interface {
	// Copy copies the bytes of a run to dst, which has its length, if all of them are in memory. It never blocks.
	Copy(run bundle.Location, dst []byte) bool
}

// Snapshots says how far a successor would get from the newest recorded snapshot.
type Snapshots interface {
	Committed() uint64 // last committed bundle
	Snapped() uint64   // the session item names a snapshot of the log up to here
}

// Deps is what a Room works on.
type Deps struct {
	Objects    objstore.Store
	Facts      metastore.Store
	Keys       objstore.Keys
	Cluster    records.Cluster
	ClusterID  uuid.UUID
	Session    uuid.UUID
	Partitions Partitions
	Topics     Topics
	Keeps      Keeps  // nil: topics keep everything
	Index      *Index // is told of extents that change; nil: nobody reads here
	Blocks     Blocks
	Snapshots  Snapshots
	Pool       *memory.Pool
	Busy       func() bool // producers wait for memory: rewriting yields. nil: never
	Log        *slog.Logger
}

// Room rewrites the log of one session.
type Room struct {
	cfg     Config
	rules   rules
	d       Deps
	ledger  *ledger
	metrics *Metrics
	packed  time.Time // when everything was packed last
	worked  time.Time // when the last round began
	joinAt  turn      // where the next round of merges of segments begins
	seen    []Tail    // what tails returned last
	asked   chan chan<- struct{}
	wishes  *wishes
	written ownPacks
}

// New returns a Room. Run makes it work.
func New(cfg Config, d Deps) *Room {
	cfg.defaults()
	return &Room{cfg: cfg, rules: newRules(cfg), d: d, ledger: newLedger(), metrics: newMetrics(), asked: make(chan chan<- struct{}), wishes: newWishes(), written: ownPacks{all: map[uuid.UUID]ownPack{}}}
}

// Metrics returns the room's gauges and counters.
func (r *Room) Metrics() *Metrics { return r.metrics }

// tick is how often the room looks whether there is something to do.
func (r *Room) tick() time.Duration {
	return min(max(r.cfg.PackInterval/12, 20*time.Millisecond), time.Second)
}

// Run rewrites until ctx ends. What fails is logged and done again later.
func (r *Room) Run(ctx context.Context) {
	r.packed = time.Now()
	tick := time.NewTicker(r.tick())
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if now := time.Now(); r.due(now) {
				r.Round(ctx, now)
			}
		case done := <-r.asked:
			now := time.Now()
			r.packed = now.Add(-r.cfg.PackInterval)
			r.Round(ctx, now)
			r.packed = now // also if nothing lay in bundles
			close(done)
		case <-r.wishes.wake:
			r.Round(ctx, time.Now())
		case <-ctx.Done():
			return
		}
	}
}

// Pack packs all that lies in WAL bundles now, and returns once that was tried. Error: that of ctx. It is Run that does it.
func (r *Room) Pack(ctx context.Context) error {
	done := make(chan struct{})
	select {
	case r.asked <- done:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// due reports whether a round may have something to do: it looks at all tails, which is too much for each tick.
func (r *Room) due(now time.Time) bool {
	if now.Sub(r.worked) >= r.cfg.PackInterval/4 {
		return true
	}
	var wait int64
	r.d.Partitions.Tails(func(t Tail) bool {
		wait += t.WALBytes
		return wait < r.rules.packBytes
	})
	return wait >= r.rules.packBytes
}

// Round does what is due at now: packs, merges, cuts, in this order.
func (r *Room) Round(ctx context.Context, now time.Time) {
	r.worked = now
	ctx = metastore.WithPurpose(objstore.WithPurpose(ctx, PurposeRewrite), PurposeLink)
	tails := r.tails(now)
	if since := now.Sub(r.packed); r.rules.packDue(tails, since) {
		all := since >= r.cfg.PackInterval
		if all {
			r.packed = now
		}
		r.report("packs", r.packAll(ctx, tails, all, now))
		tails = r.tails(now)
	}
	r.report("merges of packs", r.mergeAll(ctx, tails, now))
	r.report("segments", r.cutAll(ctx, r.tails(now), now))
	r.report("merges of segments", r.joinAll(ctx, r.tails(now), now))
	r.report("counts of packs", r.settle(ctx, now))
}

// tails returns the tails as they are, in the order in which packs have them, and takes note of what it sees. What it returned before
// is not valid any more.
func (r *Room) tails(now time.Time) []Tail {
	all := r.seen[:0]
	r.d.Partitions.Tails(func(t Tail) bool {
		if t.Runs > 0 || r.ledger.parts[t.Name] != nil {
			all = append(all, t)
		}
		return true
	})
	clear(r.seen[min(len(all), len(r.seen)):])
	r.seen = all
	sortTails(all)
	r.ledger.see(all, now.UnixMilli())
	r.metrics.see(all, r.ledger, now.UnixMilli())
	return all
}

// report logs what kept work from being done.
func (r *Room) report(what string, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		r.metrics.failed.Inc()
		r.d.Log.Warn("writing "+what+" failed; it is tried again", "err", err)
	}
}

// yield waits while producers wait for memory, a while at most: if rewriting never ran, the WAL would grow for ever.
func (r *Room) yield(ctx context.Context) {
	for range 10 {
		if r.d.Busy == nil || !r.d.Busy() || !sleep(ctx, 20*time.Millisecond) {
			return
		}
	}
}

// Retries of one request.
const (
	tries      = 8
	tryTimeout = time.Minute // of one: far below the grace of deletion
	slowest    = 1 << 20     // bytes a second that a store takes or gives, at least
)

// patiently repeats a request while the store is slow or unsure.
func patiently(ctx context.Context, do func(context.Context) error) error {
	return withPatience(ctx, 0, do)
}

// withPatience is patiently for a request that moves so many bytes.
func withPatience(ctx context.Context, bytes int, do func(context.Context) error) error {
	timeout := tryTimeout + time.Duration(bytes/slowest)*time.Second
	pause := 50 * time.Millisecond
	for try := 1; ; try++ {
		tctx, cancel := context.WithTimeout(ctx, timeout)
		err := do(tctx)
		cancel()
		if err == nil || try == tries || !again(err) {
			return err
		}
		if !sleep(ctx, pause/2+time.Duration(rand.Int64N(int64(pause)))) {
			return errors.Join(err, ctx.Err())
		}
		pause = min(2*pause, 5*time.Second)
	}
}

// again reports whether a request that failed so may be repeated.
func again(err error) bool {
	return objstore.Transient(err) || errors.Is(err, objstore.ErrCorrupt) || metastore.Transient(err)
}

// sleep waits, and reports whether ctx is still there.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
