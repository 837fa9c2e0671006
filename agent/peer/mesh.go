package peer

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
)

// maxLinks bounds what may connect; beyond it a newcomer is refused.
const maxLinks = 1024

// Mesh is an agent's links to all others.
type Mesh struct {
	cfg    Config
	events Events
	log    *slog.Logger
	quiet  *limited // lines that strangers can cause
	m      *metrics

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
	hellos chan struct{} // a place for each connection whose hello is under way

	mu struct {
		sync.Mutex
		closed  bool
		keepers map[uuid.UUID]*keeper // by session: those that Set named
		links   map[uuid.UUID]*link   // by session: at most one each
		said    *Notice               // what Broadcast said, merged: a new link hears it first
	}
}

// New returns a mesh without peers. reg may be nil.
func New(cfg Config, events Events, logger *slog.Logger, reg prometheus.Registerer) *Mesh {
	m := &Mesh{
		cfg: cfg.filled(), events: events, log: logger, quiet: &limited{log: logger, every: 10 * time.Second},
		m: newMetrics(reg), hellos: make(chan struct{}, 64),
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.mu.keepers, m.mu.links = map[uuid.UUID]*keeper{}, map[uuid.UUID]*link{}
	return m
}

// Set says which peers to keep links with from now on; sessions of this agent's own name are left out. The link of a session
// that was named before and is not any more is closed.
func (m *Mesh) Set(peers []Peer) {
	want := map[uuid.UUID]Peer{}
	for _, p := range peers {
		if p.Agent != m.cfg.Identity.Agent && p.Session != m.cfg.Identity.Session {
			want[p.Session] = p
		}
	}
	for _, l := range m.keep(want) {
		l.end(errDropped)
	}
}

// keep starts and stops keepers, and returns the links that are not wanted any more.
func (m *Mesh) keep(want map[uuid.UUID]Peer) (unwanted []*link) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.closed {
		return nil
	}
	for session, k := range m.mu.keepers {
		p, stays := want[session]
		if stays && p == k.peer {
			continue
		}
		k.cancel()
		delete(m.mu.keepers, session)
		if l := m.mu.links[session]; l != nil && !stays {
			unwanted = append(unwanted, l)
		}
	}
	for _, session := range slices.SortedFunc(maps.Keys(want), compareSessions) {
		if m.mu.keepers[session] == nil {
			k := &keeper{mesh: m, peer: want[session], lost: make(chan struct{}, 1), quiet: &limited{log: m.log, every: time.Minute}}
			k.ctx, k.cancel = context.WithCancel(m.ctx)
			m.mu.keepers[session] = k
			m.wg.Go(k.run)
		}
	}
	return unwanted
}

// Broadcast tells all links, and those that come up later, what n says on top of earlier calls. It does not wait. The slices of n
// are the mesh's from here.
func (m *Mesh) Broadcast(n Notice) {
	m.mu.Lock()
	all := n
	if m.mu.said != nil {
		all = n.merge(*m.mu.said)
	}
	m.mu.said = &all
	links := slices.Collect(maps.Values(m.mu.links))
	m.mu.Unlock()
	for _, l := range links {
		l.send(n)
	}
}

// Send tells one session, and reports whether there is a link to it. It does not wait, and true is no promise that n arrives.
func (m *Mesh) Send(session uuid.UUID, n Notice) bool {
	m.mu.Lock()
	l := m.mu.links[session]
	m.mu.Unlock()
	if l == nil {
		return false
	}
	l.send(n)
	return true
}

// Ask returns once the other side of each link has answered a question that was put after the call, or when ctx ends: so it does where
// somebody does not answer, or a link is lost meanwhile, or was lost so lately that those whom it concerns may not know it yet. With no
// links it returns at once.
func (m *Mesh) Ask(ctx context.Context) {
	links, lost := m.asked(time.Now())
	if lost {
		<-ctx.Done()
		return
	}
	answers := make([]<-chan struct{}, len(links))
	for i, l := range links {
		answers[i] = l.ask()
	}
	for _, a := range answers {
		select {
		case <-a:
		case <-ctx.Done():
			return
		}
	}
}

// lostNews is how long after the end of a link it may still be news.
const lostNews = 50 * time.Millisecond

// asked returns the links there are, and whether one that is wanted was lost lately and is not back.
func (m *Mesh) asked(now time.Time) (links []*link, lost bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for session, k := range m.mu.keepers {
		lost = lost || m.mu.links[session] == nil && now.Sub(k.ended) < lostNews
	}
	return slices.Collect(maps.Values(m.mu.links)), lost
}

// Linked returns the sessions that there is a link to, in order.
func (m *Mesh) Linked() []uuid.UUID {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.SortedFunc(maps.Keys(m.mu.links), compareSessions)
}

// Close ends all links and goroutines, Serve too, and waits for them. What was told before goes out, if that does not take long. No
// event is told after it.
func (m *Mesh) Close() {
	for end := time.Now().Add(flushTime); !m.flushed() && time.Now().Before(end); {
		time.Sleep(flushLook)
	}
	m.mu.Lock()
	m.mu.closed = true
	links := slices.Collect(maps.Values(m.mu.links))
	m.mu.Unlock()
	for _, l := range links {
		l.end(errDropped)
	}
	m.cancel()
	m.wg.Wait()
}

// Bounds of what Close waits for.
const (
	flushTime = 250 * time.Millisecond
	flushLook = time.Millisecond
)

// flushed reports whether no link has a notice left to write.
func (m *Mesh) flushed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.mu.links {
		if !l.said() {
			return false
		}
	}
	return true
}

// start runs f as a goroutine that Close waits for, unless the mesh is closed.
func (m *Mesh) start(f func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.closed {
		return false
	}
	m.wg.Go(f)
	return true
}

// adopt makes conn the link to who, or reports that it is spare: another one stays. by is who dialled it; nil: the other side.
func (m *Mesh) adopt(conn net.Conn, who Identity, by *keeper) (l *link, spare bool) {
	l = newLink(m, conn, who, by != nil)
	old, spare := m.place(l, by)
	if !spare {
		if old != nil {
			old.end(errReplaced)
		}
		return l, false
	}
	if old != nil {
		old.poke() // the other side may know better than we that it is dead
	}
	return nil, true
}

// place puts l into its place unless it is spare, and returns the link that it meets there.
func (m *Mesh) place(l *link, by *keeper) (old *link, spare bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old = m.mu.links[l.who.Session]
	switch {
	case m.mu.closed || by != nil && by.ctx.Err() != nil || old == nil && len(m.mu.links) >= maxLinks:
		return nil, true
	// Who dials again over an own connection has lost that one. Else the lower session's connection stays.
	case old != nil && old.ours != l.ours && old.ours == m.lower(l.who.Session):
		return old, true
	case old == nil:
		m.m.links.Inc()
	}
	if m.mu.said != nil {
		l.send(*m.mu.said)
	}
	m.mu.links[l.who.Session] = l
	return old, false
}

// forget takes l out, and tells its keeper, and whom it may concern, that there is no link, unless another one took its place.
func (m *Mesh) forget(l *link) {
	if k := m.takeOut(l); k != nil {
		m.events.Lost(k.peer)
		k.wake()
	}
}

// takeOut returns the keeper of a link that was in its place, nil if nobody wants one there.
func (m *Mesh) takeOut(l *link) *keeper {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.links[l.who.Session] != l {
		return nil
	}
	delete(m.mu.links, l.who.Session)
	m.m.links.Dec()
	k := m.mu.keepers[l.who.Session]
	if m.mu.closed || k == nil {
		return nil
	}
	k.ended = time.Now()
	return k
}

func (m *Mesh) linked(session uuid.UUID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.links[session] != nil
}

// lower reports whether this agent's session is the lower one of the two.
func (m *Mesh) lower(than uuid.UUID) bool { return compareSessions(m.cfg.Identity.Session, than) < 0 }

func compareSessions(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) }
