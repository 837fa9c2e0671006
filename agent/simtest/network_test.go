package simtest

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// network is the wire between the parties of a simulated cluster, in memory and on the bubble's time. A party is a host, by the name
// that stands before the colon of an address. Each ordered pair of hosts is a link with its own latency, which can be cut;
// bytes and the ends of connections that meet a cut wait there as TCP would hold them, and go on once it is mended.
//
// Every wake-up has its own nanosecond, base + 64k + number of the host, so that the order of events hangs on chance as little as
// can be. One mutex guards all of it, connections too, and is held over nothing that waits.
type network struct {
	mu        sync.Mutex
	base      time.Duration // one way
	k         int64         // of the next latency
	hosts     map[string]*host
	listeners map[string]*listener // by HOST:PORT
	cuts      map[[2]string]bool   // from, to
	slow      map[[2]string]time.Duration
	ends      map[*end]struct{} // connections' ends that are not closed
	changed   chan struct{}     // closed and made anew when a cut, a freeze or a listener changes
}

// host is one party: agent.Config.Net of an agent, the dialler of a client, the way of both to the stores.
type host struct {
	n      *network
	name   string
	index  int64
	port   int  // the next free one
	frozen bool // it neither sends nor hears
}

func newNetwork(base time.Duration) *network {
	return &network{
		base: base, hosts: map[string]*host{}, listeners: map[string]*listener{}, cuts: map[[2]string]bool{},
		slow: map[[2]string]time.Duration{}, ends: map[*end]struct{}{}, changed: make(chan struct{}),
	}
}

// host returns the party of that name, a new one if there is none.
func (n *network) host(name string) *host {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.hostLocked(name)
}

func (n *network) hostLocked(name string) *host {
	h := n.hosts[name]
	if h == nil {
		h = &host{n: n, name: name, index: int64(len(n.hosts)), port: 40000}
		n.hosts[name] = h
	}
	return h
}

// cut stops everything from one host to another until mend; cut both ways with two calls.
func (n *network) cut(from, to string) { n.change(func() { n.cuts[[2]string{from, to}] = true }) }

func (n *network) mend(from, to string) { n.change(func() { delete(n.cuts, [2]string{from, to}) }) }

// mendAll ends all cuts, freezes and slow links.
func (n *network) mendAll() {
	n.change(func() {
		clear(n.cuts)
		clear(n.slow)
		for _, h := range n.hosts {
			h.frozen = false
		}
	})
}

// delay adds to the latency from one host to another.
func (n *network) delay(from, to string, d time.Duration) {
	n.change(func() { n.slow[[2]string{from, to}] = d })
}

// freeze stops all that a host sends and hears, as SIGSTOP does for whoever looks from outside; thaw lets it go on.
func (n *network) freeze(name string) { n.change(func() { n.hostLocked(name).frozen = true }) }

func (n *network) thaw(name string) { n.change(func() { n.hostLocked(name).frozen = false }) }

// reset ends every connection between two hosts, on both sides at once.
func (n *network) reset(a, b string) {
	n.change(func() {
		for e := range n.ends {
			if e.local.name == a && e.remote.name == b || e.local.name == b && e.remote.name == a {
				e.broken = true
			}
		}
	})
}

// kill does what the death of a process does: nobody listens any more, and connections are reset by its kernel.
func (n *network) kill(name string) {
	n.change(func() {
		for address, l := range n.listeners {
			if l.host.name == name {
				l.closeLocked()
				delete(n.listeners, address)
			}
		}
		for e := range n.ends {
			if e.local.name == name {
				e.closeLocked(true)
			}
		}
	})
}

// change changes something under the lock and wakes everybody who waits.
func (n *network) change(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
	n.wakeLocked()
}

func (n *network) wakeLocked() {
	close(n.changed)
	n.changed = make(chan struct{})
	for e := range n.ends {
		e.wakeLocked()
	}
}

func (n *network) openLocked(from, to *host) bool {
	return !from.frozen && !to.frozen && !n.cuts[[2]string{from.name, to.name}]
}

func (n *network) latencyLocked(from, to *host) time.Duration {
	n.k = (n.k + 1) % 10_000
	return n.base + n.slow[[2]string{from.name, to.name}] + time.Duration(n.k*64+from.index)
}

// cross waits until something has gone from one host to another.
func (n *network) cross(ctx context.Context, from, to *host) error {
	n.mu.Lock()
	wait := n.latencyLocked(from, to)
	n.mu.Unlock()
	if err := sleepFor(ctx, wait); err != nil {
		return err
	}
	for {
		n.mu.Lock()
		open, changed := n.openLocked(from, to), n.changed
		n.mu.Unlock()
		if open {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func sleepFor(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// address is a net.Addr.
type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

func failed(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Err: os.NewSyscallError(op, err)}
}

// Listen binds HOST:PORT of this host; port 0 is a free one.
func (h *host) Listen(_ context.Context, at string) (net.Listener, error) {
	name, port, err := net.SplitHostPort(at)
	if err != nil || name != h.name {
		return nil, failed("listen", syscall.EADDRNOTAVAIL)
	}
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	if port == "0" {
		h.port++
		port = strconv.Itoa(h.port)
	}
	at = net.JoinHostPort(name, port)
	if h.n.listeners[at] != nil {
		return nil, failed("bind", syscall.EADDRINUSE)
	}
	l := &listener{host: h, at: address(at), arrived: make(chan struct{}, 1), over: make(chan struct{})}
	h.n.listeners[at] = l
	return l, nil
}

// Dial connects to HOST:PORT: syscall.ECONNREFUSED if nobody listens there, and no answer before ctx ends if the way is cut.
func (h *host) Dial(ctx context.Context, at string) (net.Conn, error) {
	name, _, err := net.SplitHostPort(at)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", at, err)
	}
	to := h.n.host(name)
	if err := h.n.cross(ctx, h, to); err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
	mine, err := h.connect(to, at)
	if err := h.n.cross(ctx, to, h); err != nil {
		if mine != nil {
			_ = mine.Close()
		}
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
	if err != nil {
		return nil, err
	}
	return mine, nil
}

// connect makes a connection and leaves the other end with the listener.
func (h *host) connect(to *host, at string) (net.Conn, error) {
	n := h.n
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.listeners[at]
	if l == nil || len(l.backlog) >= backlog {
		return nil, failed("connect", syscall.ECONNREFUSED)
	}
	h.port++
	from := address(net.JoinHostPort(h.name, strconv.Itoa(h.port)))
	mine, theirs := newEnd(h, to, from, l.at), newEnd(to, h, l.at, from)
	mine.other, theirs.other = theirs, mine
	n.ends[mine], n.ends[theirs] = struct{}{}, struct{}{}
	l.backlog = append(l.backlog, theirs)
	l.signal()
	return mine, nil
}

// backlog is how many connections wait for a listener's Accept.
const backlog = 256

type listener struct {
	host    *host
	at      address
	backlog []*end
	closed  bool
	arrived chan struct{} // something may be in backlog
	over    chan struct{}
}

func (l *listener) signal() {
	select {
	case l.arrived <- struct{}{}:
	default:
	}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		l.host.n.mu.Lock()
		if l.closed {
			l.host.n.mu.Unlock()
			return nil, &net.OpError{Op: "accept", Net: "tcp", Err: net.ErrClosed}
		}
		if len(l.backlog) > 0 {
			e := l.backlog[0]
			l.backlog = slices.Delete(l.backlog, 0, 1)
			l.signal() // there may be more, and more who accept
			l.host.n.mu.Unlock()
			return e, nil
		}
		l.host.n.mu.Unlock()
		select {
		case <-l.arrived:
		case <-l.over:
		}
	}
}

// Close implements net.Listener. Who waits in the backlog is reset.
func (l *listener) Close() error {
	n := l.host.n
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.closed {
		return net.ErrClosed
	}
	l.closeLocked()
	delete(n.listeners, string(l.at))
	n.wakeLocked()
	return nil
}

func (l *listener) closeLocked() {
	if l.closed {
		return
	}
	l.closed = true
	close(l.over)
	for _, e := range l.backlog {
		e.closeLocked(true)
	}
	l.backlog = nil
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return l.at }
