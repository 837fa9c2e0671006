package peer

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// network joins meshes by net.Pipe.
type network struct {
	mu     sync.Mutex
	at     map[string]*pipes
	conns  []net.Conn
	dials  int
	silent bool // what is written from now on arrives nowhere
}

type pipes struct {
	n       *network
	address string
	in      chan net.Conn
	over    chan struct{}
	once    sync.Once
}

func newNetwork() *network { return &network{at: map[string]*pipes{}} }

func (n *network) listen(address string) *pipes {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := &pipes{n: n, address: address, in: make(chan net.Conn), over: make(chan struct{})}
	n.at[address] = p
	return p
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.in:
		return c, nil
	case <-p.over:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() {
		p.n.mu.Lock()
		if p.n.at[p.address] == p {
			delete(p.n.at, p.address)
		}
		p.n.mu.Unlock()
		close(p.over)
	})
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: p.address} }

func (n *network) dial(ctx context.Context, address string) (net.Conn, error) {
	n.mu.Lock()
	n.dials++
	for n.silent { // like TCP, knock again
		n.mu.Unlock()
		if !sleep(ctx, 10*time.Millisecond, nil) {
			return nil, ctx.Err()
		}
		n.mu.Lock()
	}
	p := n.at[address]
	n.mu.Unlock()
	if p == nil {
		return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	a, b := net.Pipe()
	theirs, ours := &conn{n: n, Conn: a}, &conn{n: n, Conn: b}
	theirs.other, ours.other = ours, theirs
	select {
	case p.in <- theirs:
	case <-p.over:
		return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	n.mu.Lock()
	n.conns = append(n.conns, theirs, ours)
	n.mu.Unlock()
	return ours, nil
}

// reset ends every connection there is.
func (n *network) reset() {
	n.mu.Lock()
	conns := n.conns
	n.conns = nil
	n.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
}

// cut makes the network swallow everything, or mends it: connections of before stay dead.
func (n *network) cut(silent bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.silent = silent
}

func (n *network) dialled() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dials
}

type conn struct {
	n     *network
	other *conn
	left  bool // closed while nobody could hear of it
	net.Conn
}

func (c *conn) Write(b []byte) (int, error) {
	c.n.mu.Lock()
	silent, alone := c.n.silent, c.other.left
	c.n.mu.Unlock()
	switch {
	case silent:
		return len(b), nil
	case alone:
		_ = c.Conn.Close()
		return 0, syscall.ECONNRESET
	}
	return c.Conn.Write(b)
}

func (c *conn) Close() error {
	c.n.mu.Lock()
	silent := c.n.silent
	c.left = c.left || silent
	c.n.mu.Unlock()
	if silent {
		return c.SetDeadline(time.Unix(1, 0)) // our own readers and writers end
	}
	return c.Conn.Close()
}

// agent is a mesh and what it heard.
type agent struct {
	*Mesh
	t    *testing.T
	me   Peer
	ln   *pipes
	done chan error

	mu     sync.Mutex
	heard  []string
	lost   []string
	latest map[uuid.UUID]Notice
	lines  strings.Builder
}

var testCluster = uuid.MustParse("c0000000-0000-0000-0000-000000000000")

// session makes session ids whose order is that of n.
func session(n byte) uuid.UUID { return uuid.UUID{n, 15: 1} }

func (n *network) agent(t *testing.T, name string, id byte, change ...func(*Config)) *agent {
	a := &agent{t: t, me: Peer{Agent: name, Session: session(id), Address: name + ":1"}, done: make(chan error, 1), latest: map[uuid.UUID]Notice{}}
	cfg := Config{Identity: Identity{Cluster: testCluster, Agent: name, Session: a.me.Session, Node: int32(id)}, Dial: n.dial}
	for _, c := range change {
		c(&cfg)
	}
	a.ln = n.listen(a.me.Address)
	a.Mesh = New(cfg, a, slog.New(slog.NewTextHandler(a, nil)), nil)
	go func() { a.done <- a.Serve(t.Context(), a.ln) }()
	return a
}

// Write takes log lines.
func (a *agent) Write(b []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lines.Write(b)
}

func (a *agent) logged() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lines.String()
}

func (a *agent) Notice(from Identity, n Notice) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.latest[from.Session] = n
}

func (a *agent) Lost(p Peer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lost = append(a.lost, p.Agent)
}

// losses returns whose links were lost since the last call.
func (a *agent) losses() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	lost := a.lost
	a.lost = nil
	return lost
}

func (a *agent) Gone(p Peer, why Why, other uuid.UUID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.heard = append(a.heard, fmt.Sprintf("%s %s %d", p.Agent, why, other[0]))
}

func (a *agent) gone() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.heard)
}

func (a *agent) notice(from *agent) Notice {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.latest[from.me.Session]
}

// kill ends an agent as its process's death would: nobody listens, connections end.
func (a *agent) kill() {
	a.Close()
	if err := <-a.done; err != nil {
		a.t.Errorf("Serve: %v", err)
	}
}

// wire makes every agent know all others.
func wire(agents ...*agent) {
	var all []Peer
	for _, a := range agents {
		all = append(all, a.me)
	}
	for _, a := range agents {
		a.Set(all)
	}
}

func (a *agent) expectGone(want ...string) {
	a.t.Helper()
	if got := a.gone(); !slices.Equal(slices.Compact(got), want) {
		a.t.Errorf("%s heard %v, want %v", a.me.Agent, got, want)
	}
}

func (a *agent) expectLinks(to ...*agent) {
	a.t.Helper()
	var want []uuid.UUID
	for _, o := range to {
		want = append(want, o.me.Session)
	}
	if got := a.Linked(); !slices.Equal(got, want) {
		a.t.Errorf("%s has links to %v, want %v", a.me.Agent, got, want)
	}
}

const settled = 5 * time.Second // virtual; longer than any pause and time-out
