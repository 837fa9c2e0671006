package simtest

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/agent/wal"
	"github.com/varvelog/varve/metastore"
	factsmem "github.com/varvelog/varve/metastore/mem"
	factsmeter "github.com/varvelog/varve/metastore/meter"
	"github.com/varvelog/varve/metastore/records"
	factsim "github.com/varvelog/varve/metastore/sim"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
	objmeter "github.com/varvelog/varve/objstore/meter"
	"github.com/varvelog/varve/objstore/null"
	"github.com/varvelog/varve/objstore/recordbatch"
	"github.com/varvelog/varve/objstore/sim"
)

// latencyRun is one run of a log under an open load, in virtual time: clients whose records are due at times drawn beforehand, a log, S3
// Standard and DynamoDB by their models. Every draw hangs on the seed and on what it is for, not on the order of goroutines: the same run
// has the same result.
type latencyRun struct {
	flush      time.Duration // the agent's settings
	flushBytes int64
	rate       float64       // bytes a second of all producers together, in records that are due as a Poisson process has them
	record     int           // bytes of a record, or of some that are due together
	each       time.Duration // instead: one record, so often
	producers  int
	linger     time.Duration // of the clients
	inFlight   int           // requests that a client has under way at most; 0: any number
	span       time.Duration // what is measured, after warmUp
	unhedged   bool
	seed       uint64
}

const (
	// thin is by how much all bytes are fewer than they stand for: of records, of a flush, and those that the store takes in a second. Times,
	// requests and prices are those of whole ones.
	thin              = 16
	warmUp            = 20 * time.Second
	latencyPartitions = 16
	oneWay            = 100 * time.Microsecond // between a client and the agent
	clientBatch       = 1 << 20
)

// latencyWorld is a log with its stores and clients.
type latencyWorld struct {
	latencyRun
	t         *testing.T
	log       *wal.Log
	began     time.Time
	templates map[int][]byte // batches by length, of the clients
	mu        struct {
		sync.Mutex
		tries     map[uint64]uint64 // PUTs of a bundle so far
		bundles   map[uint64]*moments
		committed uint64    // the bundle whose entries are being answered
		asked     time.Time // for the last commit
		offsets   [latencyPartitions]int64
	}
	latencyResult
}

// moments are when a bundle passed each place.
type moments struct{ cut, landed, asked time.Time }

// bucket returns the store that bundles go to. It keeps nothing.
func (w *latencyWorld) bucket() objstore.Store {
	return &latencyBucket{w: w, put: sim.S3Standard().Put}
}

type latencyBucket struct {
	null.Store
	w   *latencyWorld
	put sim.Latency
}

func (b *latencyBucket) Put(ctx context.Context, key string, body []byte) error {
	p, err := objstore.Parse(key)
	if err != nil || p.Kind != objstore.KindWAL {
		return err
	}
	try := b.w.tried(p.Seq)
	base, perByte := b.put.Draw(rand.New(rand.NewPCG(b.w.seed, p.Seq<<8|try)))
	if b.w.unhedged && try > 1 {
		base = time.Hour
	}
	select {
	case <-time.After(base + time.Duration(perByte*float64(len(body))*thin)):
		b.w.landed(p.Seq)
		return nil
	case <-ctx.Done():
		return objstore.Ended(ctx)
	}
}

// tried notes a PUT and returns which one of its bundle it is.
func (w *latencyWorld) tried(seq uint64) (try uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.tries[seq]++; w.mu.tries[seq] > 1 {
		w.hedges++ // nothing fails here
	}
	if w.mu.bundles[seq] == nil {
		w.mu.bundles[seq] = &moments{cut: time.Now()}
	}
	return w.mu.tries[seq]
}

func (w *latencyWorld) landed(seq uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m := w.mu.bundles[seq]; m != nil && m.landed.IsZero() {
		m.landed = time.Now()
	}
}

// latencyTable notes when the log asks for a commit.
type latencyTable struct {
	metastore.Store
	w *latencyWorld
}

func (s latencyTable) Write(ctx context.Context, op metastore.Op) (metastore.Item, error) {
	if metastore.PurposeOf(ctx) == metastore.PurposeCommit {
		s.w.mu.Lock()
		s.w.mu.asked = time.Now()
		s.w.mu.Unlock()
	}
	return s.Store.Write(ctx, op)
}

// latencySink is the log's.
type latencySink struct{ w *latencyWorld }

func (s latencySink) Committed(o bundle.Object, _ *bundle.Footer, _ *memory.Buf) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.mu.bundles[o.Seq].asked = s.w.mu.asked
	s.w.mu.committed = o.Seq
	delete(s.w.mu.tries, o.Seq)
	delete(s.w.mu.bundles, o.Seq-100) // whose requests were all answered long ago
	return nil
}
func (latencySink) Capture() wal.Captured { return latencyCapture{} }
func (latencySink) Ended()                {}

type latencyCapture struct{}

func (latencyCapture) Footer() *bundle.Footer { return &bundle.Footer{} }
func (latencyCapture) Recorded()              {}

// run plays the run and returns what was seen.
func (r latencyRun) run(t *testing.T) *latencyResult {
	w := &latencyWorld{latencyRun: r, t: t, templates: map[int][]byte{}}
	w.mu.tries, w.mu.bundles = map[uint64]uint64{}, map[uint64]*moments{}
	synctest.Test(t, func(t *testing.T) { w.t = t; w.play() })
	return &w.latencyResult
}

func (w *latencyWorld) play() {
	cluster, session := records.Cluster("c"), uuid.New()
	facts := factsmeter.New(latencyTable{factsim.New(factsmem.New(), factsim.DynamoDB(), w.seed), w}, factsmeter.ListPrices())
	objects := objmeter.New(w.bucket(), objmeter.Prices{})
	item := records.Session{Agent: "a", NodeID: 1, State: records.Active, HB: 1}
	if _, err := facts.Write(w.t.Context(), metastore.Op{Kind: metastore.OpPut, Key: cluster.SessionKey(session), Set: item.Item()}); err != nil {
		w.t.Fatal(err)
	}
	w.log = wal.New(wal.Config{
		Cluster: cluster, ClusterID: uuid.New(), Session: session, Keys: objstore.Keys{Cluster: "c"},
		Interval: w.flush, FlushBytes: w.flushBytes / thin, Heartbeat: 3 * time.Second, SnapshotInterval: time.Minute,
	}, objects, facts, &memory.Pool{}, memory.NewBudget(1<<30), latencySink{w}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- w.log.Run(ctx) }()
	w.began = time.Now()
	var clients sync.WaitGroup
	for i := range w.producers {
		c := &latencyClient{w: w, index: i, due: w.schedule(i), slots: make(chan struct{}, cmp.Or(w.inFlight, 1<<20)), rng: rand.New(rand.NewPCG(w.seed, 1<<32|uint64(i)))}
		clients.Go(c.run)
	}
	time.Sleep(warmUp)
	puts, units := objects.Snapshot(), facts.Snapshot()
	w.mu.Lock()
	hedges := w.hedges
	w.mu.Unlock()
	time.Sleep(w.span)
	w.mu.Lock()
	w.hedges -= hedges
	w.mu.Unlock()
	w.puts, w.units = objects.Snapshot().Sub(puts), facts.Snapshot().Sub(units)
	clients.Wait()
	cancel()
	<-done
}

// schedule returns when the records of a producer are due, one after the other, counted from the start.
func (w *latencyWorld) schedule(producer int) func() time.Duration {
	if w.each > 0 {
		n := 0
		return func() time.Duration { n++; return time.Duration(n) * w.each }
	}
	rng := rand.New(rand.NewPCG(w.seed, uint64(producer)))
	gap := float64(time.Second) * float64(w.record*w.producers) / w.rate
	at := 0.0
	return func() time.Duration { at += gap * rng.ExpFloat64(); return time.Duration(at) }
}

// latencyClient is a producer as franz-go is one: the first record of a request lingers, what is there when a request may be sent goes
// with it, and so many requests are under way.
type latencyClient struct {
	w       *latencyWorld
	index   int
	rng     *rand.Rand
	due     func() time.Duration
	next    time.Duration // when the next record is due that is not in pending; 0: not known
	pending []time.Duration
	slots   chan struct{}
	at      int32 // the partition that gets records now
	left    int   // how many more it gets
	sending sync.WaitGroup
}

// take moves what is due until then to pending, most records at most.
func (c *latencyClient) take(until time.Duration, most int) {
	for len(c.pending) < most {
		if c.next == 0 {
			c.next = c.due()
		}
		if c.next > until {
			return
		}
		c.pending, c.next = append(c.pending, c.next), 0
	}
}

func (c *latencyClient) run() {
	defer c.sending.Wait()
	end := warmUp + c.w.span
	batch := clientBatch / c.w.record
	for {
		if len(c.pending) == 0 {
			c.take(end, 1)
		}
		if len(c.pending) == 0 {
			return
		}
		at := c.pending[0] + c.w.linger
		c.take(at, batch)
		if len(c.pending) == batch {
			at = c.pending[batch-1]
		}
		time.Sleep(time.Until(c.w.began.Add(at)))
		c.slots <- struct{}{}
		c.take(time.Since(c.w.began), 1<<30)
		c.send()
	}
}

// send makes a request of all that is pending.
func (c *latencyClient) send() {
	r := &latencyRequest{w: c.w, due: c.pending, sent: time.Now(), done: make(chan struct{})}
	c.pending = nil
	type piece struct {
		partition int32
		batch     recordbatch.Batch
	}
	var pieces []piece
	for rest := len(r.due); rest > 0; {
		if c.left == 0 {
			c.at, c.left = c.rng.Int32N(latencyPartitions), clientBatch/c.w.record
		}
		n := min(rest, c.left)
		pieces = append(pieces, piece{c.at, c.w.batch(n)})
		rest, c.left = rest-n, c.left-n
	}
	r.open = len(pieces)
	c.sending.Go(func() {
		time.Sleep(oneWay + time.Duration(c.index)*time.Microsecond) // no two at the same moment
		r.came = time.Now()
		for _, p := range pieces {
			c.w.append(p.partition, p.batch, r)
			time.Sleep(time.Nanosecond) // and no flush between two by chance
		}
		<-r.done
		time.Sleep(oneWay + time.Duration(c.index)*time.Microsecond)
		r.answered()
		<-c.slots
	})
}

var latencyTopic = uuid.MustParse("11111111-2222-4333-8444-555555555555")

// batch returns a batch of n records.
func (w *latencyWorld) batch(n int) recordbatch.Batch {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.templates[n]
	if b == nil {
		var err error
		if b, err = (&recordbatch.Builder{}).Append(nil, []recordbatch.Record{{Value: make([]byte, max(1, n*w.record/thin-75))}}); err != nil {
			panic(err)
		}
		w.templates[n] = b
	}
	return append(recordbatch.Batch(nil), b...)
}

func (w *latencyWorld) append(partition int32, b recordbatch.Batch, r *latencyRequest) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b.SetBaseOffset(w.mu.offsets[partition])
	w.mu.offsets[partition] = b.NextOffset()
	w.log.Append(wal.Entry{Topic: latencyTopic, TopicName: "t", Partition: partition, Slot: uint16(partition), Epoch: 1, Batch: b, Done: r})
}

// latencyRequest is one Produce.
type latencyRequest struct {
	w          *latencyWorld
	due        []time.Duration // of its records
	sent, came time.Time
	open       int // batches that are not committed
	done       chan struct{}
	last       moments // of the last bundle with something of it
}

// Appended implements the Done of wal.Entry.
func (r *latencyRequest) Appended(_ int, err error) {
	if err != nil {
		r.w.t.Error(err)
	}
	if r.open--; r.open > 0 {
		return
	}
	r.w.mu.Lock()
	r.last = *r.w.mu.bundles[r.w.mu.committed]
	r.w.mu.Unlock()
	close(r.done)
}

// answered notes what the records of a request went through.
func (r *latencyRequest) answered() {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	now := time.Now()
	for _, due := range r.due {
		if due < warmUp || due >= warmUp+r.w.span {
			continue
		}
		r.w.bytes += int64(r.w.record)
		at := r.w.began.Add(due)
		r.w.due.add(now.Sub(at))
		r.w.client.add(r.sent.Sub(at))
		r.w.request.add(now.Sub(r.sent))
		r.w.cut.add(r.last.cut.Sub(r.came))
		r.w.put.add(r.last.landed.Sub(r.last.cut))
		r.w.blocked.add(r.last.asked.Sub(r.last.landed))
		r.w.commit.add(now.Sub(r.last.asked))
	}
}
