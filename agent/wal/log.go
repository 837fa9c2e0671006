package wal

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// Config of a Log.
type Config struct {
	Cluster   records.Cluster
	ClusterID uuid.UUID
	Session   uuid.UUID
	Keys      objstore.Keys

	Interval   time.Duration // see policy
	FlushBytes int64
	PutBudget  float64       // PUTs of bundles a second: what the interval leaves of it is spent on flushes before their time; 0: none
	EarlyBytes int64         // a flush before its time has so much; 0: 4 MiB
	InFlight   int           // most PUTs at once; 0: 8
	Ahead      int           // no flush starts beyond committed + Ahead; 0: 64
	Heartbeat  time.Duration // the session item is written at least so often
	Timeout    time.Duration // of one try to write to the metastore; 0: two thirds of Heartbeat, 1 to 5 s: two that hang must not last a TTL
	PutTimeout time.Duration // of one try to PUT; 0: 60 s, far below the grace of deletion
	Grace      time.Duration // bundles stay so long after nothing names them any more; 0: 15 min

	Beaten func() // called after each confirmed write of the session item, and must not block; nil: nobody wants to know

	SnapshotInterval time.Duration // time between two snapshots, while something was committed
	SnapshotFlushes  int           // also after so many commits; 0: never
}

func (c *Config) defaults() {
	set := func(p *time.Duration, d time.Duration) {
		if *p == 0 {
			*p = d
		}
	}
	set(&c.Timeout, max(time.Second, min(c.Heartbeat*2/3, 5*time.Second)))
	set(&c.PutTimeout, time.Minute)
	set(&c.Grace, 15*time.Minute)
	if c.EarlyBytes == 0 {
		c.EarlyBytes = earlyBytes
	}
	if c.InFlight == 0 {
		c.InFlight = 8
	}
	if c.Ahead == 0 {
		c.Ahead = 64
	}
}

// Entry is a batch on its way into the log.
type Entry struct {
	Topic     uuid.UUID
	TopicName string
	Partition int32
	Slot      uint16
	Epoch     int32
	Batch     recordbatch.Batch // complete; not changed any more
	Owner     *memory.Buf       // holds the bytes of Batch; released once they are in a bundle. May be nil
	Done      interface{ Appended(tag int, err error) }
	Tag       int
}

// Sink hears what became of the log, on the committer's goroutine, in order.
type Sink interface {
	// Committed: bundle o is part of the log. body is the whole object; retain it to keep it. An error is a fault of the
	// program: nothing is acked on it, and the session ends.
	Committed(o bundle.Object, f *bundle.Footer, body *memory.Buf) error
	// Capture returns the committed state as it is between two calls of Committed.
	Capture() Captured
	// Ended: the session is over. Entries that are not in its log hear records.ErrFenced after this.
	Ended()
}

// Captured is the committed state at one moment. Its methods are called on a goroutine of their own.
type Captured interface {
	// Footer makes the snapshot's footer. It may take its time.
	Footer() *bundle.Footer
	// Recorded: the session item names the snapshot, so that no older one of this session is opened from any more. It is called
	// before Log.Snapped says so. If it is not called, the item may name the snapshot all the same: nobody knows.
	Recorded()
}

// Log is the WAL of one session.
type Log struct {
	cfg     Config
	store   objstore.Store
	facts   metastore.Store
	pool    *memory.Pool
	budget  *memory.Budget
	sink    Sink
	logger  *slog.Logger
	metrics *Metrics
	policy  policy
	key     metastore.Key // of the session item
	trim    trim          // of who calls Trim

	kick    chan struct{}   // to the flusher
	wanted  chan chan error // who wants a snapshot now
	durable chan *flush     // PUTs that landed; has room for all that may be under way
	closing chan struct{}   // closed by Close
	closed  chan struct{}   // closed when closing and everything is committed
	ended   chan struct{}   // closed when the session is over
	fatal   chan error      // a PUT that can never succeed; room for one
	wg      sync.WaitGroup
	held    atomic.Int64 // see InFlight

	mu struct {
		sync.Mutex
		buffer    []Entry
		bytes     int64
		ops       []control
		lastFlush time.Time
		lastEntry time.Time
		flying    int
		next      uint64
		puts      allowance // of Config.PutBudget
		idle      allowance // of intervals
		objects   float64   // see policy.left
		committed uint64
		applied   uint64 // committed, the Sink saw it, and everybody was told
		queued    uint64 // entries that ever came into buffer
		taken     uint64 // of these, how many were cut
		barriers  []*barrier
		snap      uint64 // the session item names a snapshot of the log up to here
		closing   bool
		stopAt    time.Time     // when Close stops waiting; zero: never
		over      bool          // ended
		failed    []*flush      // PUTs that the end of the session cut short
		pace      objstore.Pace // of second PUTs: commits go by prefix, so one slow PUT holds back all after it
	}
}

// Control is a control operation on its way into the log.
type Control struct {
	Op    bundle.Op
	Topic bundle.Topic // that Op is about; its index is set when the bundle is laid out. Zero: none
}

type control struct {
	Control
	done func(error)
}

// New returns a Log. Run makes it work.
func New(cfg Config, store objstore.Store, facts metastore.Store, pool *memory.Pool, budget *memory.Budget, sink Sink, logger *slog.Logger) *Log {
	cfg.defaults()
	l := &Log{
		cfg: cfg, store: store, facts: facts, pool: pool, budget: budget, sink: sink, logger: logger, metrics: newMetrics(),
		policy: policy{interval: cfg.Interval, bytes: cfg.FlushBytes, inFlight: cfg.InFlight, ahead: uint64(cfg.Ahead)},
		key:    cfg.Cluster.SessionKey(cfg.Session), trim: trim{cluster: cfg.Cluster, session: cfg.Session, grace: cfg.Grace},
		kick: make(chan struct{}, 1), wanted: make(chan chan error), durable: make(chan *flush, cfg.Ahead),
		closing: make(chan struct{}), closed: make(chan struct{}), ended: make(chan struct{}), fatal: make(chan error, 1),
	}
	l.mu.next = 1
	if cfg.PutBudget > 0 {
		l.policy.early, l.mu.puts = cfg.EarlyBytes, allowance{perSecond: cfg.PutBudget, most: cfg.PutBudget * allowanceSpan.Seconds()}
	}
	if cfg.Interval > 0 {
		l.mu.idle = allowance{perSecond: 1 / cfg.Interval.Seconds(), most: idleMost}
	}
	return l
}

// Append queues e. It never blocks. e.Done, unless nil, is called exactly once, later: with nil when e is committed and
// the Sink saw it, or with records.ErrFenced when e is not in the log and never will be.
func (l *Log) Append(e Entry) {
	l.mu.Lock()
	if l.mu.over || l.mu.closing {
		l.mu.Unlock()
		go refuse([]Entry{e})
		return
	}
	was := l.mu.bytes
	l.mu.lastEntry = time.Now()
	l.mu.buffer = append(l.mu.buffer, e)
	l.mu.bytes += int64(len(e.Batch))
	l.mu.queued++
	wake := len(l.mu.buffer) == 1 || l.policy.passes(was, l.mu.bytes, l.mu.objects)
	l.mu.Unlock()
	if wake || l.budget.Pressure() {
		l.wake()
	}
}

// Control queues control operations, all for one bundle, and waits until they are committed. Errors: records.ErrFenced, or that
// of ctx, and then the outcome is unknown.
func (l *Log) Control(ctx context.Context, ops []Control) error {
	done := make(chan error, 1)
	l.Queue(ops, func(err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Queue queues control operations, all for one bundle, and does not wait. done is called once, with nil when they are
// committed and the Sink saw it, or with records.ErrFenced when they never will be; it must not block.
func (l *Log) Queue(ops []Control, done func(error)) {
	if len(ops) == 0 {
		done(nil)
		return
	}
	l.mu.Lock()
	if l.mu.over || l.mu.closing {
		l.mu.Unlock()
		done(records.ErrFenced)
		return
	}
	for i, op := range ops {
		c := control{Control: op}
		if i == len(ops)-1 {
			c.done = done
		}
		l.mu.ops = append(l.mu.ops, c)
	}
	l.mu.Unlock()
	l.wake()
}

func (l *Log) wake() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// Committed returns the last sequence number that is known to be committed.
func (l *Log) Committed() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.committed
}

// InFlight returns the bytes of memory of all bundles that are cut and neither committed nor given up. The budget counts them too.
func (l *Log) InFlight() int64 { return l.held.Load() }

// Metrics returns the log's counters.
func (l *Log) Metrics() *Metrics { return l.metrics }

// Run flushes and commits until ctx ends, which drops what is not committed, or the session is over, and returns
// records.ErrFenced then, or what else ended it. After Close it returns nil.
func (l *Log) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	l.wg.Go(func() { l.runFlusher(ctx) })
	err := l.runCommitter(ctx)
	cancel()
	l.wg.Wait()
	for len(l.durable) > 0 {
		l.fail(<-l.durable)
	}
	l.end()
	return err
}

// Close flushes what waits, commits it and writes a last snapshot, which may take half of the time that ctx leaves then. Append
// refuses from now on. When it returns nil everything appended is committed and Run has no work left; the session item is
// still ACTIVE. Errors: records.ErrFenced, or that of ctx.
func (l *Log) Close(ctx context.Context) error {
	l.mu.Lock()
	if !l.mu.closing {
		l.mu.closing = true
		l.mu.stopAt, _ = ctx.Deadline()
		close(l.closing)
	}
	l.mu.Unlock()
	l.wake()
	select {
	case <-l.closed:
		return nil
	case <-l.ended:
		select {
		case <-l.closed: // Run came to its end because of that
			return nil
		default:
			return records.ErrFenced
		}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end fails whatever is still queued or under way.
func (l *Log) end() {
	l.mu.Lock()
	l.mu.over = true
	buffer, ops, failed, barriers := l.mu.buffer, l.mu.ops, l.mu.failed, l.mu.barriers
	l.mu.buffer, l.mu.ops, l.mu.failed, l.mu.barriers = nil, nil, nil, nil
	l.mu.Unlock()
	close(l.ended)
	l.sink.Ended()
	for _, f := range failed {
		f.settle(l, records.ErrFenced)
	}
	refuse(buffer)
	for _, c := range ops {
		c.settle(records.ErrFenced)
	}
	for _, b := range barriers {
		b.done <- records.ErrFenced
	}
}

// fail keeps a flush that will not be committed until the Sink knows that the session is over.
func (l *Log) fail(f *flush) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.failed = append(l.mu.failed, f)
}

func (c control) settle(err error) {
	if c.done != nil {
		c.done(err)
	}
}

// refuse answers entries that never got into a bundle.
func refuse(entries []Entry) {
	for _, e := range entries {
		if e.Owner != nil {
			e.Owner.Release()
		}
		if e.Done != nil {
			e.Done.Appended(e.Tag, records.ErrFenced)
		}
	}
}
