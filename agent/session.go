package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/cluster"
	"github.com/varvelog/varve/agent/fetch"
	"github.com/varvelog/varve/agent/group"
	"github.com/varvelog/varve/agent/kafka"
	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/agent/partition"
	"github.com/varvelog/varve/agent/peer"
	"github.com/varvelog/varve/agent/segment"
	"github.com/varvelog/varve/agent/topic"
	"github.com/varvelog/varve/agent/txn"
	"github.com/varvelog/varve/agent/wal"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/bundle"
)

// Shares of Config.MemoryLimit. The rest is for the index, for requests that are not Produce, and for garbage.
const (
	budgetShare  = 6  // a sixth: produce requests and bundles until they are committed
	cacheShare   = 6  // a sixth: committed bundles and blocks
	loadsShare   = 8  // an eighth: blocks on their way from the store
	rewriteShare = 8  // an eighth: packs and segments being written
	indexShare   = 64 // where the records in segments lie
)

// poolBytes is room for all buffers of these shares together, which seldom are in use at once.
func (c *Config) poolBytes() int64 { return c.MemoryLimit / 8 * 5 }

// trimEvery is how long a buffer waits for use at most, or twice that.
const trimEvery = 15 * time.Second

// expireEvery is how often idle producers are looked for (producer.id.expiration.check.interval.ms).
const expireEvery = 10 * time.Minute

// session is the rooms of one session.
type session struct {
	*Agent
	member *cluster.Member
	topics *topic.Catalog
	budget *memory.Budget
	parts  *partition.Set
	index  *segment.Index
	reader *fetch.Reader
	wal    *wal.Log
	groups *group.Coordinator
	lags   *lags
	server *kafka.Server
	mesh   *peer.Mesh // nil: no other agent can be there

	segments *segment.Room
	garbage  *segment.Collector
	sweeper  *segment.Sweeper

	bg sync.WaitGroup // runs until stop

	leading    context.CancelFunc // ends led
	led        sync.WaitGroup
	serving    atomic.Bool   // every slot that this session began with is open
	topicsOnce chan struct{} // whoever reads the topics holds its one place; no lock is held over a store call
	topicsRead bool
}

// session runs one session on listeners, which it closes: records.ErrFenced if another agent ended it, nil after a graceful stop.
// lived is the session of this process that was fenced before this one.
func (a *Agent) session(ctx context.Context, on listeners, lived uuid.UUID) error {
	// What a stop still needs goes on after ctx ended.
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s := &session{Agent: a, budget: memory.NewBudget(a.cfg.MemoryLimit / budgetShare), topicsOnce: make(chan struct{}, 1)}
	defer s.end(cancel)
	if err := s.join(ctx, on, lived); err != nil {
		on.close()
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			a.log.Info("stopped before it served")
			return nil
		}
		return err
	}
	a.last = s.member.Session()
	s.build()
	fate := make(chan error, 1)
	s.bg.Go(func() { fate <- s.wal.Run(life) })
	s.background(life)
	s.link(life, on.peer)
	if err := s.open(ctx, fate); err != nil {
		on.close()
		if ctx.Err() == nil || errors.Is(err, records.ErrFenced) {
			return err
		}
		a.notReady("stopping")
		return s.stop()
	}
	s.bg.Go(func() {
		if err := s.server.Serve(life, on.kafka); err != nil && life.Err() == nil {
			a.log.Error("the Kafka listener stopped", "err", err)
		}
	})
	a.state.Store(nil)
	a.once.Do(func() { close(a.ready) })
	a.log.Info("serving", "kafka", a.bound.Kafka, "http", a.bound.HTTP, "peer", a.bound.Peer, "node", s.member.NodeID(), "session", s.member.Session())
	select {
	case err := <-fate:
		return err
	case <-ctx.Done():
		a.notReady("stopping")
		return s.stop()
	}
}

// end stops what is left of the session and waits for it: nothing uses the stores or holds a buffer after it.
func (s *session) end(cancel context.CancelFunc) {
	cancel()
	s.unlead()
	if s.mesh != nil {
		s.mesh.Close()
	}
	s.bg.Wait()
	if s.server == nil {
		return // it never came to build
	}
	over, now := context.WithCancel(context.Background())
	now()
	s.groups.Close()
	_ = s.server.Shutdown(over) // cuts off who is left after a fence, and waits for them
	s.reader.Close()
	s.index.Close()
}

// join registers the session and reads the topics.
func (s *session) join(ctx context.Context, on listeners, lived uuid.UUID) error {
	host, port, err := s.advertised()
	if err != nil {
		return err
	}
	s.member, err = cluster.Join(ctx, s.stores.Facts, cluster.Config{
		Cluster: s.cluster, Name: s.cfg.Name, Zone: s.cfg.Zone, Host: host, Port: port, HTTP: s.bound.HTTP, Peer: on.peerAddress(s.cfg.AdvertisePeer, host),
		Slots: s.cfg.Slots, Heartbeat: s.cfg.Heartbeat, TTL: s.cfg.TTL, Poll: s.cfg.Poll, Grace: s.cfg.Grace, Exclusive: s.cfg.Exclusive, Dead: on.dead, Lived: lived,
	}, s.log)
	if err != nil {
		return fmt.Errorf("join cluster %s: %w", s.cfg.Cluster, err)
	}
	if err = s.markStart(ctx); err != nil {
		s.abandon()
	}
	return err
}

// build makes the rooms and plugs them into each other.
func (s *session) build() {
	s.parts = partition.NewSet(appender{s})
	s.topics = topic.New(s.stores.Facts, s.log, topic.Options{
		Cluster: s.cluster, Slots: s.member.Cluster().Slots, Poll: s.cfg.Poll, Told: true, Settings: s.settings,
		OnDelete: s.dropTopic, Session: s.member.Session(), Announce: s.member.TopicsChanged, Grace: s.cfg.Grace,
	})
	s.index = segment.NewIndex(s.stores.Facts, s.stores.Objects, segment.IndexConfig{Cluster: s.cluster, Keys: s.keys, Bytes: s.cfg.MemoryLimit / indexShare})
	s.reader = fetch.New(s.stores.Objects, s.keys, s.pool, fetch.Config{
		Extents:    s.index,
		CacheBytes: s.cfg.MemoryLimit / cacheShare, Loads: int(min(32, max(2, s.cfg.MemoryLimit/loadsShare/fetch.BlockLen))),
	})
	s.wal = wal.New(wal.Config{
		Cluster: s.cluster, ClusterID: s.member.Cluster().Cluster, Session: s.member.Session(), Keys: s.keys,
		Interval: s.cfg.Flush, FlushBytes: s.cfg.FlushBytes, PutBudget: s.cfg.PutBudget, Heartbeat: s.cfg.Heartbeat,
		SnapshotInterval: s.cfg.SnapshotInterval, SnapshotFlushes: s.cfg.SnapshotFlushes, Beaten: s.member.Beaten, Grace: s.cfg.Grace,
	}, s.stores.Objects, s.stores.Facts, s.pool, s.budget, sink{s}, s.log)
	s.groups = group.New(s.groupConfig(), s.stores.Facts, s.log)
	s.buildSegments()
	metrics := &collectorSet{}
	s.lags = newLags()
	metrics.MustRegister(s.wal.Metrics(), s.member.Metrics(), s.segments.Metrics(), s.sweeper.Metrics(), newGauges(s), s.lags)
	s.server = kafka.New(kafka.Config{
		MaxRequestBytes: s.settings.Int("socket.request.max.bytes"), FetchMaxBytes: int32(s.settings.Int("fetch.max.bytes")),
		ResponseBytes: s.cfg.MemoryLimit / 8, ReserveBytes: s.cfg.MemoryLimit / 16,
		Idle: s.settings.Millis("connections.max.idle.ms"), MaxConnections: int(min(10_000, s.settings.Int("max.connections"))),
	}, kafka.Deps{
		Topics: s.topics, Partitions: s.parts, Reader: s.reader, Cluster: s.member, Peers: peers{s},
		Producers: txn.NewIDs(s.stores.Facts, s.cluster), Groups: s.groups, Budget: s.budget, Pool: s.pool, Log: s.log, Registry: metrics,
		MoveLogStart: s.moveLogStart, Rewriter: s.segments, ExtentBytes: s.index.Size,
	})
	s.metrics.Store(metrics)
}

// background starts what runs beside until life ends.
func (s *session) background(life context.Context) {
	s.bg.Go(func() {
		tick := time.NewTicker(expireEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				s.parts.ExpireProducers(time.Duration(s.settings.Int("producer.id.expiration.ms")) * time.Millisecond)
			case <-life.Done():
				return
			}
		}
	})
	s.bg.Go(func() {
		tick := time.NewTicker(trimEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				s.pool.Trim()
			case <-life.Done():
				return
			}
		}
	})
	s.bg.Go(func() { s.topics.Run(life) })
	s.bg.Go(func() { s.watchGroups(life) })
}

// open takes the free slots if there is nobody else, and returns once every slot that this session has been given is served.
func (s *session) open(ctx context.Context, fate <-chan error) error {
	s.notReady("opening slots")
	taken, err := s.member.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("take slots: %w", err)
	}
	s.log.Info("joined", "slots", taken, "session", s.member.Session())
	s.lead()
	select {
	case <-s.member.Settled():
	case err := <-s.member.Failed():
		return err
	case err := <-fate:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := s.catchUp(ctx); err != nil {
		return fmt.Errorf("read topics: %w", err)
	}
	s.serving.Store(true)
	return nil
}

// lead watches over the cluster and over the slots of this session until end or stop.
func (s *session) lead() {
	ctx, cancel := context.WithCancel(context.Background())
	s.leading = cancel
	plugs := cluster.Plugs{Slots: slots{s}, Topics: func(int64) { s.topics.Poke() }}
	if s.mesh != nil {
		plugs.Links = s.mesh
	}
	s.led.Go(func() { s.member.Run(ctx, plugs) })
	s.led.Go(func() { s.segments.Run(ctx) })
	s.led.Go(func() { s.garbage.Run(ctx) })
	s.led.Go(func() { s.sweeper.Run(ctx) })
	s.led.Go(func() { s.newRetainer().Run(ctx) })
}

// unlead ends that, and waits.
func (s *session) unlead() {
	if s.leading != nil {
		s.leading()
		s.led.Wait()
	}
}

// stop ends the session in order: the last flush, the snapshot, the session item; then whoever still asks is told who leads next, and
// the server goes. Produce requests that come meanwhile wait for that word.
func (s *session) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.StopTime)
	defer cancel()
	s.unlead() // tells the peers
	s.drainAll()
	if err := s.wal.Close(ctx); err != nil {
		return fmt.Errorf("stop: the last flush: %w", err)
	}
	if err := s.member.Leave(ctx, s.wal.Committed()); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	s.member.Follow(ctx)
	s.groups.Stop() // whoever waits for a rebalance is answered, so that the server can drain
	if err := s.server.Shutdown(ctx); err != nil {
		s.log.Warn("some clients were cut off before their requests were answered", "err", err)
	}
	s.log.Info("stopped: everything is flushed, the session is closed")
	return nil
}

// drainAll makes every slot that is served take no more.
func (s *session) drainAll() {
	epochs, open := s.parts.Slots()
	for n, epoch := range epochs {
		if open[n] {
			_ = s.parts.Drain(n, epoch) // it is led under this epoch: nobody else changes that now
		}
	}
}

// appender is the WAL as a partition sees it.
type appender struct{ s *session }

func (a appender) Append(e partition.Entry) { a.s.wal.Append(wal.Entry(e)) }

// peers are the other agents as the Kafka server sees them. The links come after it.
type peers struct{ s *session }

func (p peers) Ask(ctx context.Context) {
	if p.s.mesh != nil {
		p.s.mesh.Ask(ctx)
	}
}

// sink is the rest of the agent as the WAL sees it.
type sink struct{ s *session }

// Committed makes the bytes readable before the high watermark says that they are there.
func (k sink) Committed(o bundle.Object, f *bundle.Footer, body *memory.Buf) error {
	k.s.reader.Committed(o, body)
	return k.s.parts.Committed(o, f)
}

func (k sink) Capture() wal.Captured { return captured{k.s, k.s.parts.Capture()} }

// captured is a snapshot of the partitions as the WAL sees it.
type captured struct {
	s    *session
	snap *partition.Snapshot
}

func (c captured) Footer() *bundle.Footer { return c.s.withTopics(c.snap.Footer()) }
func (c captured) Recorded()              { c.s.parts.Recorded(c.snap) }

// withTopics adds to a snapshot how many partitions its topics have: a rebuild from the bucket alone needs it.
func (s *session) withTopics(f *bundle.Footer) *bundle.Footer {
	for i := range f.Topics {
		if t := s.topics.LookupID(f.Topics[i].ID); t != nil {
			f.Topics[i].Partitions = uint32(t.Partitions())
		}
	}
	return f
}

func (k sink) Ended() {
	k.s.parts.End()
	k.s.groups.Stop()
}
