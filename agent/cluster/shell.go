package cluster

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/peer"
	"github.com/varvelog/varve/metastore/records"
)

// Slots is the rest of the agent as this room sees it: its partitions and its WAL. Methods without a context must not block.
type Slots interface {
	// Open replays the logs of slots and serves them. It returns once their slot-open records are committed, with the committed
	// end of this session's log. After an error it may be called again for the same slots.
	Open(ctx context.Context, slots []Taken) (committed uint64, err error)
	// Drain: nothing is accepted any more for the slot; reads go on.
	Drain(slot uint16, epoch int32)
	// Resume: it is accepted again.
	Resume(slot uint16, epoch int32)
	// Leave: another session leads the slot. What is committed of it stays in this session's snapshots.
	Leave(slot uint16, epoch int32)
	// Forget: that is not needed any more.
	Forget(slot uint16, epoch int32)
	// Barrier returns once everything appended before is committed, with the committed end of this session's log.
	Barrier(ctx context.Context) (committed uint64, err error)
	// Sources says in which sessions' WALs committed data of a slot lies.
	Sources(slot uint16) []Source
	// Loads says what the led slots cost.
	Loads() []Load
	// Rewrite has everything that lies in WALs packed, and returns once a snapshot that says so is recorded: sooner than it would be of
	// its own accord. An error says only that it may not have come about.
	Rewrite(ctx context.Context) error
	// Trimmable returns up to where snapshots and the led slots let trim rise.
	Trimmable() uint64
	// Trim makes it rise, if the pins still have that version.
	Trim(ctx context.Context, seq uint64, pins int64) error
}

// Load is what leading a slot costs.
type Load struct {
	Slot       uint16
	Partitions int
	Bytes      uint64 // appended so far; never falls while the slot is led
}

// Links are the connections with other agents.
type Links interface {
	Set(peers []peer.Peer)
	Broadcast(n peer.Notice)
}

// Plugs are what a Member works with. Links and Topics may be nil.
type Plugs struct {
	Slots  Slots
	Links  Links
	Topics func(version int64) // the set of topics has this version, if not a newer one; must not block
}

// Bounds of the shell.
const (
	storeTime   = 5 * time.Second // of one try to read or write
	rewriteTime = time.Minute     // of a rewriting
	maxQueue    = 4096            // events from peers that wait; more are dropped, they come again
)

// shell runs a Core: it feeds it events, one after the other, and does what it wants.
type shell struct {
	*Member
	core      *Core
	plugs     Plugs
	metrics   *Metrics
	signal    chan struct{}
	wg        sync.WaitGroup // effects under way
	settled   chan struct{}  // closed when every slot of this session is open for the first time
	failed    chan error     // an opening that failed before; room for one
	questions chan chan<- Report
	ended     chan struct{}              // closed when Run is about to return
	opens     map[Job]context.CancelFunc // openings under way
	loads     map[uint16]*rate
	loadsAt   time.Time
	trimmed   atomic.Uint64
	beaten    atomic.Int64 // last confirmed heartbeat of this session, in ns since it began; 0: none
	mu        struct {
		sync.Mutex
		queue []Event
	}
}

func newShell(m *Member) *shell {
	return &shell{
		Member: m, metrics: newMetrics(), signal: make(chan struct{}, 1), settled: make(chan struct{}), failed: make(chan error, 1),
		questions: make(chan chan<- Report), ended: make(chan struct{}), opens: map[Job]context.CancelFunc{},
		core: NewCore(CoreConfig{
			Cluster: m.cfg.Cluster, ClusterID: m.cluster.Cluster, Session: m.session, Agent: m.cfg.Name, Node: m.node, Slots: m.cluster.Slots,
			Heartbeat: m.cfg.Heartbeat, TTL: m.cfg.TTL, Poll: m.cfg.Poll, Exclusive: m.cfg.Exclusive, Grace: m.cfg.Grace,
		}),
	}
}

// Run watches over the cluster and over this session's slots until ctx ends; then it tells the peers that this session ends
// itself, waits for what is under way and returns.
func (m *Member) Run(ctx context.Context, plugs Plugs) {
	s := m.shell
	s.plugs = plugs
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer s.wg.Wait()
	defer close(s.ended)
	defer cancel()
	timer, rates := time.NewTimer(time.Hour), time.NewTicker(tellEvery)
	defer timer.Stop()
	defer rates.Stop()
	s.step(work, Tick{})
	for {
		if next := s.core.Next(); next.IsZero() {
			timer.Reset(time.Hour)
		} else {
			timer.Reset(max(0, time.Until(next)))
		}
		select {
		case <-ctx.Done():
			s.step(work, Stop{})
			return
		case <-s.signal:
			for _, e := range s.take() {
				s.step(work, e)
			}
		case <-timer.C:
			s.step(work, Tick{})
		case q := <-s.questions:
			q <- s.core.Report(time.Now())
		case <-rates.C:
			s.step(work, s.rates())
		}
	}
}

// Settled is closed once the map was read and every slot that it gives to this session is open.
func (m *Member) Settled() <-chan struct{} { return m.shell.settled }

// Failed gives the first error of an opening before Settled was closed. Later ones are logged, and tried again.
func (m *Member) Failed() <-chan error { return m.shell.failed }

// Metrics returns the room's counters.
func (m *Member) Metrics() *Metrics { return m.shell.metrics }

// Notice takes in what a peer told. It never blocks.
func (m *Member) Notice(from peer.Identity, n peer.Notice) { m.shell.post(Told{from.Session, n}, true) }

// Lost takes in that the link with a peer is gone. It never blocks.
func (m *Member) Lost(p peer.Peer) { m.shell.post(Cut{p.Session}, true) }

// Gone takes in that the process of a peer is gone. It never blocks.
func (m *Member) Gone(p peer.Peer, _ peer.Why, other uuid.UUID) {
	m.shell.post(Gone{p.Session, other}, true)
}

// TopicsChanged says that this agent changed topics: the others hear of it at once. It never blocks.
func (m *Member) TopicsChanged() { m.shell.post(Recount{}, true) }

// Beaten says that the metastore has just taken a heartbeat or a commit of this session. It never blocks.
func (m *Member) Beaten() { m.shell.beaten.Store(int64(max(1, time.Since(m.begun)))) }

// bye tells the peers that the map changed for the last time by this session.
func (s *shell) bye(version int64) {
	if s.plugs.Links != nil {
		s.plugs.Links.Broadcast(peer.Notice{Map: version, Closing: true})
	}
}

func (s *shell) post(e Event, drop bool) {
	s.mu.Lock()
	if !drop || len(s.mu.queue) < maxQueue {
		s.mu.queue = append(s.mu.queue, e)
	}
	s.mu.Unlock()
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

func (s *shell) take() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.mu.queue
	s.mu.queue = nil
	return q
}

func (s *shell) step(ctx context.Context, e Event) {
	if s.logger.Enabled(ctx, slog.LevelDebug-4) {
		s.logger.Log(ctx, slog.LevelDebug-4, "event", "is", e.String())
	}
	if a, ok := e.(Answer); ok {
		delete(s.opens, a.Job)
	}
	if d := s.beaten.Load(); d > 0 {
		s.core.Beaten(s.begun.Add(time.Duration(d)))
	}
	for _, f := range s.core.Step(time.Now(), e) {
		s.do(ctx, f)
	}
	s.metrics.count(s.core)
	select {
	case <-s.settled:
	default:
		if s.core.Settled() {
			close(s.settled)
		}
	}
}

// do does an effect. What may take time gets a goroutine of its own; the Core bounds how many there are.
func (s *shell) do(ctx context.Context, f Effect) {
	switch e := f.(type) {
	case Drain:
		s.plugs.Slots.Drain(e.Slot, e.Epoch)
	case Resume:
		s.plugs.Slots.Resume(e.Slot, e.Epoch)
	case Leave:
		s.plugs.Slots.Leave(e.Slot, e.Epoch)
	case Forget:
		s.plugs.Slots.Forget(e.Slot, e.Epoch)
	case Publish:
		s.view.Store(e.View)
	case Topics:
		if s.plugs.Topics != nil {
			s.plugs.Topics(e.Version)
		}
	case Link:
		if s.plugs.Links != nil {
			s.plugs.Links.Set(e.Peers)
		}
	case Tell:
		if s.plugs.Links != nil {
			s.plugs.Links.Broadcast(e.Notice)
		}
	case Say:
		s.logger.Log(ctx, e.Level, e.Msg, e.Args...)
	case Timed:
		s.metrics.observe(e.Step, e.Took)
	case Open:
		ctx, cancel := context.WithCancel(ctx)
		s.opens[e.Job] = cancel
		s.wg.Go(func() {
			defer cancel()
			s.post(s.perform(ctx, f), false)
		})
	case GiveUp:
		if cancel := s.opens[e.Job]; cancel != nil {
			cancel()
		}
	case Trim:
		// Looked at here, where no slot leaves meanwhile.
		seq := s.plugs.Slots.Trimmable()
		if e.Pinned > 0 {
			seq = min(seq, e.Pinned)
		}
		s.wg.Go(func() { s.post(s.trim(ctx, e.Job, seq, e.Version), false) })
	default:
		s.wg.Go(func() { s.post(s.perform(ctx, f), false) })
	}
}

// perform does an effect that is answered.
func (s *shell) perform(ctx context.Context, f Effect) Answer {
	switch e := f.(type) {
	case Open:
		a := Answer{Job: e.Job, Sources: map[uint16][]Source{}}
		if a.Committed, a.Err = s.plugs.Slots.Open(ctx, e.Slots); a.Err != nil && ctx.Err() == nil {
			select {
			case s.failed <- a.Err:
			default:
			}
		}
		for _, t := range e.Slots {
			a.Sources[t.Slot] = s.plugs.Slots.Sources(t.Slot)
		}
		return a
	case Quiesce:
		ctx, cancel := context.WithTimeout(ctx, handTime)
		defer cancel()
		a := Answer{Job: e.Job, Sources: map[uint16][]Source{}}
		a.Committed, a.Err = s.plugs.Slots.Barrier(ctx)
		for _, n := range e.Slots {
			a.Sources[n] = s.plugs.Slots.Sources(n)
		}
		return a
	case Rewrite:
		ctx, cancel := context.WithTimeout(ctx, rewriteTime)
		defer cancel()
		return Answer{Job: e.Job, Err: s.plugs.Slots.Rewrite(ctx)}
	case Look:
		a := Answer{Job: e.Job, Sources: map[uint16][]Source{}}
		for _, l := range s.plugs.Slots.Loads() {
			a.Sources[l.Slot] = s.plugs.Slots.Sources(l.Slot)
		}
		return a
	}
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	a, ok := Do(ctx, s.facts, s.cfg.Cluster, f)
	if !ok {
		a.Err = errors.New("an effect that nobody knows: " + f.String())
	}
	if errors.Is(a.Err, records.ErrBadItem) {
		s.logger.Error("an item does not decode; somebody must look at the table", "err", a.Err)
	}
	return a
}

// trim lets trim rise to seq, if it is not there yet.
func (s *shell) trim(ctx context.Context, j Job, seq uint64, pins int64) Answer {
	if seq <= max(1, s.trimmed.Load()) {
		return Answer{Job: j}
	}
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	err := s.plugs.Slots.Trim(ctx, seq, pins)
	if err == nil {
		s.trimmed.Store(seq)
	}
	return Answer{Job: j, Err: err}
}

// rates measures what the led slots cost: bytes a second, since the slot is led, or over about half a minute. A slot that this agent
// did not lead for long is left out: what its last leader told of it is better.
func (s *shell) rates() Rates {
	now := time.Now()
	took := now.Sub(s.loadsAt)
	next := map[uint16]*rate{}
	var r Rates
	for _, l := range s.plugs.Slots.Loads() {
		m := s.loads[l.Slot]
		if m == nil || l.Bytes < m.bytes {
			m = &rate{since: now, bytes: l.Bytes}
		} else if took > 0 {
			m.measure(l.Bytes, now, took)
		}
		next[l.Slot] = m
		if now.Sub(m.since) >= measureFor {
			r.Loads = append(r.Loads, peer.Load{
				Slot: l.Slot, Partitions: uint16(min(l.Partitions, 1<<16-1)), Bytes: uint32(min(m.perSecond, 1<<32-1)),
			})
		}
	}
	s.loads, s.loadsAt = next, now
	return r
}

const (
	smoothOver = 30 * time.Second // time constant of rates
	measureFor = 9 * time.Second  // before a rate is told
)

// rate is the measure of one slot.
type rate struct {
	since     time.Time // led since
	bytes     uint64    // appended, at the last look
	perSecond float64
}

// measure takes in how many bytes were appended, some time after the last look: a plain mean at first, then an exponential one.
func (m *rate) measure(bytes uint64, now time.Time, took time.Duration) {
	over := min(smoothOver, now.Sub(m.since))
	m.perSecond += (float64(bytes-m.bytes)/took.Seconds() - m.perSecond) * min(1, float64(took)/float64(over))
	m.bytes = bytes
}
