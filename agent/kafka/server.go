package kafka

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/varvelog/varve/agent/cluster"
	"github.com/varvelog/varve/agent/fetch"
	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/agent/partition"
	"github.com/varvelog/varve/agent/segment"
	"github.com/varvelog/varve/agent/topic"
)

// Config bounds what clients can take. A zero value means the default.
type Config struct {
	MaxRequestBytes int64         // of a Produce request (socket.request.max.bytes); 100 MiB
	MaxOtherBytes   int64         // of any other request; 8 MiB
	ReserveBytes    int64         // bodies of all requests but Produce, together; 64 MiB
	ResponseBytes   int64         // records held for consumers that have not read them yet, together; answers of any kind too; 256 MiB
	ConnBytes       int64         // the same, per connection; 64 MiB
	ConfigBytes     int64         // of one DescribeConfigs response; 64 MiB, at most half of ResponseBytes
	FetchMaxBytes   int32         // of one Fetch response (fetch.max.bytes); 55 MiB
	MaxConnections  int           // further ones are closed at once; 10,000
	Idle            time.Duration // a connection with nothing in flight is closed after it (connections.max.idle.ms); 10 min
	FrameTime       time.Duration // for a frame once its first byte came, and for a write, besides what their size takes; 30 s
	SessionMin      int           // partitions a Fetch needs to get a session (KIP-227); 50
	SessionMax      int           // partitions in all sessions together; 200,000
}

// The bounds that are not settings.
const (
	inFlight    = 64        // requests of a connection between admission and the write of the answer
	bytesPerSec = 256 << 10 // a client that reads or writes slower than that, beyond Config.FrameTime, is cut off
	maxElements = 200_000   // array elements of one request
	maxAdmin    = 10_000    // the same for requests that change or describe topics and configs
	maxTags     = 64        // tagged fields of one request
	storeTime   = 10 * time.Second
)

func (c Config) withDefaults() Config {
	def(&c.MaxRequestBytes, 100<<20)
	def(&c.MaxOtherBytes, 8<<20)
	def(&c.ReserveBytes, 64<<20)
	def(&c.ResponseBytes, 256<<20)
	def(&c.ConnBytes, 64<<20)
	def(&c.ConfigBytes, min(64<<20, c.ResponseBytes/2))
	def(&c.FetchMaxBytes, 55<<20)
	def(&c.MaxConnections, 10_000)
	def(&c.Idle, 10*time.Minute)
	def(&c.FrameTime, 30*time.Second)
	def(&c.SessionMin, 50)
	def(&c.SessionMax, 200_000)
	return c
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Cluster is what the server asks of the cluster room.
type Cluster interface {
	// View returns the cluster as this agent saw it last. It never blocks and never returns nil.
	View() *cluster.View
	// NodeID is this agent's node id.
	NodeID() int32
	// Report tells what this agent knows of the cluster, for operators.
	Report(ctx context.Context) (cluster.Report, error)
	// Move has an agent lead a slot soon. Error: cluster.ErrRefused says why it can't be; others are those of the metastore.
	Move(ctx context.Context, slot int, agent string) error
	// Drain says whether an agent shall lead nothing. Errors as of Move.
	Drain(ctx context.Context, node int32, drain bool) error
	// Confirm returns nil if this agent's session was active at some moment after the call, as a consistent read says.
	Confirm(ctx context.Context) error
}

// Peers are the other agents, as far as there are links with them.
type Peers interface {
	// Ask returns once each of them has answered a question put after the call, or when ctx ends.
	Ask(ctx context.Context)
}

// ProducerIDs gives out producer ids that nobody else gives out.
type ProducerIDs interface {
	Next(ctx context.Context) (int64, error)
}

// Rewriter cuts logs into segments.
type Rewriter interface {
	// Rewrite has all that a topic's partitions hold which are led here cut into segments soon. Error: segment.ErrManyWishes.
	Rewrite(topic uuid.UUID) error
	// Rewritings tells how far that has come.
	Rewritings() []segment.Rewriting
}

// Deps is what the server works with. All but Registry and Peers must be there.
type Deps struct {
	Topics     *topic.Catalog
	Partitions *partition.Set
	Reader     *fetch.Reader
	Cluster    Cluster
	Peers      Peers // nil: there can be no other agent
	Producers  ProducerIDs
	Groups     Groups
	Budget     *memory.Budget // bytes of Produce requests, until their batches are in a bundle
	Pool       *memory.Pool   // of frames
	Log        *slog.Logger
	Registry   prometheus.Registerer // nil: metrics are counted and not shown
	// MoveLogStart commits that a partition's log begins at offset from now on; nil: DeleteRecords is refused.
	MoveLogStart func(ctx context.Context, p *partition.Partition, offset int64) error
	// ExtentBytes returns how many bytes of records a partition has in extents, which hold the offsets from start to tiered; nil: none.
	ExtentBytes func(ctx context.Context, topic uuid.UUID, index int32, start, tiered int64) (int64, error)
	Rewriter    Rewriter // nil: nothing is cut when it is asked for
}

// Server answers Kafka clients.
type Server struct {
	cfg     Config
	deps    Deps
	log     *slog.Logger
	apis    []api
	byKey   [maxKey + 1]*api
	reserve *memory.Budget // bodies of requests other than Produce
	metrics *metrics

	replies  sync.Pool    // *reply
	produces sync.Pool    // *produceOp
	fetches  sync.Pool    // *fetchOp
	decoders sync.Pool    // *recordbatch.Decoder, each used in a turn
	held     atomic.Int64 // bytes of records in responses not written yet
	unread   atomic.Int64 // bytes of whole responses that are made and not written
	shared   atomic.Int64 // bytes of the bodies in them that several may be made of, each counted once
	sessions atomic.Int64 // partitions in fetch sessions
	parked   atomic.Int64 // partitions of parked Fetches
	refused  atomic.Int64 // connections over the limit
	lines    lines
	ids      idSearch
	turns    chan struct{} // held by who decompresses a batch
	long     chan struct{} // held by who makes a long answer
	known    *metadataCache
	waits    slotWaits
	leaders  leaderWaits
	wg       sync.WaitGroup // every goroutine but those in Serve
	mu       struct {
		sync.Mutex
		listeners map[net.Listener]struct{}
		conns     map[*conn]struct{}
		draining  bool
	}
}

// New returns a server that does not listen yet.
func New(cfg Config, deps Deps) *Server {
	s := &Server{cfg: cfg.withDefaults(), deps: deps, log: deps.Log, apis: dispatch(), known: newMetadataCache(maxMetadataCache)}
	s.ids.turn = make(chan struct{}, 1)
	s.waits.slots, s.waits.longest = map[seat]*slotWait{}, slotTime
	s.leaders.longest, s.leaders.find, s.leaders.news = leaderTime, findTheNext, newsTime
	s.turns, s.long = make(chan struct{}, runtime.GOMAXPROCS(0)), make(chan struct{}, runtime.GOMAXPROCS(0))
	s.reserve = memory.NewBudget(s.cfg.ReserveBytes)
	for i := range s.apis {
		s.byKey[s.apis[i].key] = &s.apis[i]
	}
	s.metrics = newMetrics(s.apis, deps.Registry)
	s.mu.listeners = map[net.Listener]struct{}{}
	s.mu.conns = map[*conn]struct{}{}
	return s
}

// Serve accepts connections until Shutdown, which makes it return nil, or until ctx ends, which also cuts the
// connections off. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer func() { _ = l.Close() }()
	if !s.listen(l) {
		return nil
	}
	stop := context.AfterFunc(ctx, func() { _ = l.Close(); s.cut() })
	defer stop()
	pause := time.Duration(0)
	for {
		nc, err := l.Accept()
		if err == nil {
			pause = 0
			s.accept(ctx, nc)
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if s.isDraining() {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		// Out of file descriptors, or a client gone before it was accepted: both pass.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		s.log.Warn("accept connection", "error", err, "pause", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

func (s *Server) listen(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.draining {
		return false
	}
	s.mu.listeners[l] = struct{}{}
	return true
}

func (s *Server) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.draining
}

func (s *Server) accept(ctx context.Context, nc net.Conn) {
	s.mu.Lock()
	full := len(s.mu.conns) >= s.cfg.MaxConnections
	if full || s.mu.draining {
		s.mu.Unlock()
		if n := s.refused.Add(1); full && n&(n-1) == 0 { // the 1st, 2nd, 4th, ...: a flood is not a flood of log lines
			s.log.Warn("connection refused: too many", "limit", s.cfg.MaxConnections, "refused", n)
		}
		_ = nc.Close()
		return
	}
	c := newConn(ctx, s, nc)
	s.mu.conns[c] = struct{}{}
	s.wg.Add(1)
	s.mu.Unlock()
	s.metrics.connections.Inc()
	go func() {
		defer s.wg.Done()
		c.serve()
		s.metrics.connections.Dec()
		s.mu.Lock()
		delete(s.mu.conns, c)
		s.mu.Unlock()
	}()
}

// Shutdown stops accepting and reading, answers what is in flight, and closes. When ctx ends first it cuts off what is
// left and returns the error of ctx.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.mu.draining = true
	for l := range s.mu.listeners {
		_ = l.Close()
	}
	s.mu.Unlock()
	for _, c := range s.conns() {
		c.drain()
	}
	done := make(chan struct{})
	go func() { s.wg.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.cut()
		<-done
		return ctx.Err()
	}
}

// cut closes all connections at once.
func (s *Server) cut() {
	for _, c := range s.conns() {
		c.kill()
	}
}

func (s *Server) conns() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*conn, 0, len(s.mu.conns))
	for c := range s.mu.conns {
		all = append(all, c)
	}
	return all
}
