package peer

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// hostiles are first bytes that are no hello, and the words of the log line that each causes.
var hostiles = map[string]struct {
	bytes []byte
	line  string
}{
	"http":            {[]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "not an agent"},
	"kafka":           {[]byte("\x00\x00\x00\x1a\x00\x12\x00\x03\x00\x00\x00\x01\x00\x09client-id\x00\x00\x00\x00\x00\x00"), "not an agent"},
	"short":           {[]byte("GE"), "not an agent"},
	"long hello":      {append([]byte(magic), appendFrame(nil, kindHello, make([]byte, maxHello+1))...), "cannot be read"},
	"notice at first": {append([]byte(magic), appendFrame(nil, kindNotice, exampleNotice().encode())...), "cannot be read"},
	"bad checksum":    {append([]byte(magic), 1, 0, 0, 0, 1, 0, 0, 0, 9, 9, 9, 9, 0), "cannot be read"},
	"nothing":         {nil, ""},
	"half a hello":    {[]byte(magic + "\x10"), ""},
}

// A stranger gets a closed connection without a byte, and one line in the log, however often it comes.
func TestStrangers(t *testing.T) {
	for name, c := range hostiles {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				a := n.agent(t, "a", 1)
				for range 50 {
					conn, err := n.dial(t.Context(), a.me.Address)
					if err != nil {
						t.Fatal(err)
					}
					go func() { _, _ = conn.Write(c.bytes) }()
					if strings.HasPrefix(name, "short") {
						time.Sleep(time.Second)
						_ = conn.Close()
						continue
					}
					if got, err := io.ReadAll(conn); err != nil || len(got) > 0 {
						t.Fatalf("got %q, %v", got, err)
					}
				}
				time.Sleep(settled)
				lines := strings.Count(a.logged(), "\n")
				if c.line == "" && lines > 0 || c.line != "" && (!strings.Contains(a.logged(), c.line) || lines > 8) {
					t.Errorf("%d lines in the log:\n%s", lines, a.logged())
				}
				a.kill()
			})
		})
	}
}

// A connection that is silent after its hello ends, as does one whose reader stopped; neither is an event.
func TestSilentPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a := n.agent(t, "a", 1)
		conn, h := sayHello(t, n, a, hello{version: 7, oldest: 1, who: Identity{Cluster: testCluster, Agent: "b", Session: session(2)}, want: session(1)})
		if h.who.Session != session(1) || h.spare {
			t.Fatalf("%+v", h)
		}
		a.Broadcast(Notice{Map: 1}) // its writer hangs: nobody reads
		a.Broadcast(Notice{Map: 2})
		time.Sleep(settled)
		a.expectLinks()
		a.expectGone()
		_ = conn.Close()
		a.kill()
	})
}

// Refusals say why, on both sides.
func TestRefusals(t *testing.T) {
	good := hello{version: 1, oldest: 1, who: Identity{Cluster: testCluster, Agent: "b", Session: session(2)}, want: session(1)}
	for why, change := range map[string]func(*hello){
		"not of 09000000":            func(h *hello) { h.who.Cluster = uuid.UUID{9} },
		"versions 1 to 1":            func(h *hello) { h.version, h.oldest = 9, 8 },
		"an agent dialled itself":    func(h *hello) { h.who.Session = session(1) },
		"check --cluster":            func(h *hello) { h.who.Cluster = uuid.UUID{9} },
		"of the peer protocol, not ": func(h *hello) { h.version, h.oldest = 0, 0 },
	} {
		t.Run(why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				a := n.agent(t, "a", 1)
				h := good
				change(&h)
				conn, err := n.dial(t.Context(), a.me.Address)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := conn.Write(appendFrame([]byte(magic), kindHello, h.encode())); err != nil {
					t.Fatal(err)
				}
				if _, err := readHello(conn); err == nil || !strings.Contains(err.Error(), why) {
					t.Errorf("told %v", err)
				}
				if !strings.Contains(a.logged(), why) {
					t.Errorf("logged %s", a.logged())
				}
				_ = conn.Close()
				a.kill()
			})
		})
	}
	// One that looks for another session, or has our own name, learns who we are and gets no link.
	for name, h := range map[string]hello{
		"another session": {version: 1, oldest: 1, who: good.who, want: session(8)},
		"our own name":    {version: 1, oldest: 1, who: Identity{Cluster: testCluster, Agent: "a", Session: session(2)}, want: session(1)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				a := n.agent(t, "a", 1)
				conn, got := sayHello(t, n, a, h)
				if got.who.Session != session(1) || !got.spare {
					t.Errorf("%+v", got)
				}
				a.expectLinks()
				_ = conn.Close()
				a.kill()
			})
		})
	}
}

func sayHello(t *testing.T, n *network, to *agent, h hello) (net.Conn, hello) {
	t.Helper()
	conn, err := n.dial(t.Context(), to.me.Address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(appendFrame([]byte(magic), kindHello, h.encode())); err != nil {
		t.Fatal(err)
	}
	got, err := readHello(conn)
	if err != nil {
		t.Fatal(err)
	}
	return conn, got
}

// The other side lost our connection without our noticing: its new one is spare at first, but we ask, and soon there is a link.
func TestOneSidedLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b := n.agent(t, "a", 1), n.agent(t, "b", 2)
		wire(a, b)
		time.Sleep(settled + 500*time.Millisecond) // no ping is under way
		n.cut(true)                                // the end of a connection is not heard of either
		b.Mesh.mu.Lock()
		l := b.Mesh.mu.links[a.me.Session]
		b.Mesh.mu.Unlock()
		l.end(io.ErrClosedPipe)
		time.Sleep(10 * time.Millisecond)
		n.cut(false)
		a.expectLinks(b)
		time.Sleep(500 * time.Millisecond)
		a.expectLinks(b)
		b.expectLinks(a)
		a.expectGone()
		b.expectGone()
		a.kill()
		b.kill()
	})
}

// At most 64 hellos are under way.
func TestManyHellos(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a := n.agent(t, "a", 1)
		var open []net.Conn
		for range 200 {
			conn, err := n.dial(t.Context(), a.me.Address)
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, conn)
		}
		synctest.Wait()
		if got := len(a.hellos); got != 64 {
			t.Errorf("%d hellos under way", got)
		}
		time.Sleep(settled)
		if got := len(a.hellos); got != 0 {
			t.Errorf("%d hellos are left", got)
		}
		for _, c := range open {
			_ = c.Close()
		}
		a.kill()
	})
}

// Over TCP: links, pings measured, a death noticed by a refused redial.
func TestOverTCP(t *testing.T) {
	reg := prometheus.NewRegistry()
	listen := func() (net.Listener, string) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return ln, ln.Addr().String()
	}
	heard := make(chan Notice, 16)
	gone := make(chan Why, 1024)
	silent := slog.New(slog.DiscardHandler)
	lnA, atA := listen()
	lnB, atB := listen()
	a := New(Config{Identity: Identity{Cluster: testCluster, Agent: "a", Session: session(1)}, Ping: 10 * time.Millisecond}, channels{heard, gone}, silent, reg)
	b := New(Config{Identity: Identity{Cluster: testCluster, Agent: "b", Session: session(2)}, Ping: 10 * time.Millisecond}, channels{heard, gone}, silent, nil)
	served := make(chan error, 2)
	go func() { served <- a.Serve(t.Context(), lnA) }()
	go func() { served <- b.Serve(t.Context(), lnB) }()
	a.Set([]Peer{{Agent: "b", Session: session(2), Address: atB}})
	b.Set([]Peer{{Agent: "a", Session: session(1), Address: atA}})
	b.Broadcast(Notice{Map: 3, Loads: make([]Load, maxLoads)})
	if n := <-heard; n.Map != 3 || len(n.Loads) != maxLoads {
		t.Errorf("heard %d, %d loads", n.Map, len(n.Loads))
	}
	for measured(t, a.m.ping).GetHistogram().GetSampleCount() < 3 || measured(t, a.m.links).GetGauge().GetValue() != 1 ||
		measured(t, a.m.dials.WithLabelValues("met")).GetCounter().GetValue() == 0 {
		time.Sleep(time.Millisecond)
	}
	b.Close()
	if why := <-gone; why != Refused {
		t.Errorf("gone: %s", why)
	}
	a.Close()
	for range 2 {
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

func measured(t *testing.T, m prometheus.Metric) *dto.Metric {
	t.Helper()
	var got dto.Metric
	if err := m.Write(&got); err != nil {
		t.Fatal(err)
	}
	return &got
}

type channels struct {
	notices chan Notice
	gone    chan Why
}

func (c channels) Notice(_ Identity, n Notice)       { c.notices <- n }
func (channels) Lost(Peer)                           {}
func (c channels) Gone(_ Peer, why Why, _ uuid.UUID) { c.gone <- why }

// FuzzConnection lets a stranger send anything, first or after a good hello.
func FuzzConnection(f *testing.F) {
	for _, c := range hostiles {
		f.Add(c.bytes, false)
	}
	f.Add(appendFrame(nil, kindNotice, exampleNotice().encode()), true)
	f.Add(appendFrame(appendFrame(nil, kindPing, make([]byte, 8)), kindPong, make([]byte, 8)), true)
	f.Add(appendFrame(nil, kindPing, nil), true)
	f.Add(appendFrame(nil, kind(99), []byte("later")), true)
	f.Fuzz(func(t *testing.T, b []byte, known bool) {
		m := New(Config{Identity: Identity{Cluster: testCluster, Agent: "a", Session: session(1)}, Timeout: time.Second}, channels{make(chan Notice, len(b)), make(chan Why)}, slog.New(slog.DiscardHandler), nil)
		defer m.Close()
		theirs, ours := net.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = m.Serve(ctx, &oneConn{conn: theirs, over: ctx.Done()}) }()
		if known {
			h := hello{version: 1, oldest: 1, who: Identity{Cluster: testCluster, Agent: "b", Session: session(2)}, want: session(1)}
			b = append(appendFrame([]byte(magic), kindHello, h.encode()), b...)
		}
		go func() {
			_, _ = ours.Write(b)
			_ = ours.Close()
		}()
		answer, _ := io.ReadAll(ours)
		if len(answer) > 0 && !bytes.HasPrefix(answer, []byte(magic)) {
			t.Fatalf("answered %q", answer)
		}
	})
}

// oneConn is a listener with one connection to give.
type oneConn struct {
	conn net.Conn
	over <-chan struct{}
}

func (o *oneConn) Accept() (net.Conn, error) {
	if c := o.conn; c != nil {
		o.conn = nil
		return c, nil
	}
	<-o.over
	return nil, net.ErrClosed
}
func (o *oneConn) Close() error   { return nil }
func (o *oneConn) Addr() net.Addr { return &net.UnixAddr{} }
