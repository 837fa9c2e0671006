//go:build e2e

package e2e

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"
)

// proxy forwards TCP connections, and can be told to spoil them.
type proxy struct {
	ln     net.Listener
	target string

	mu    sync.Mutex
	mode  mode
	heal  chan struct{} // closed when the mode ends
	conns map[net.Conn]struct{}
}

// mode is what a proxy does to connections, also to those that it has.
type mode struct {
	up, down bool // that way nothing passes any more; connections stay open
	reset    bool // connections are reset, new ones too
	// How long each piece takes that way.
	delayUp, delayDown time.Duration
}

// newProxy listens on address and forwards to target.
func newProxy(t *testing.T, address, target string) *proxy {
	t.Helper()
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{ln: ln, target: target, heal: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		p.set(mode{reset: true})
		wg.Wait()
	})
	return p
}

// set changes what the proxy does from now on.
func (p *proxy) set(m mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = m
	close(p.heal)
	p.heal = make(chan struct{})
	if m.reset {
		for c := range p.conns {
			reset(c)
		}
	}
}

func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// used reports whether connections go through it.
func (p *proxy) used() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns) > 0
}

func (p *proxy) now() (mode, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mode, p.heal
}

func (p *proxy) serve(in net.Conn) {
	if m, _ := p.now(); m.reset {
		reset(in)
		return
	}
	out, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(context.Background(), "tcp", p.target)
	if err != nil {
		reset(in) // what a client sees of a process that is gone
		return
	}
	p.mu.Lock()
	p.conns[in], p.conns[out] = struct{}{}, struct{}{}
	p.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { p.copy(out, in, func(m mode) (bool, time.Duration) { return m.up, m.delayUp }) })
	wg.Go(func() { p.copy(in, out, func(m mode) (bool, time.Duration) { return m.down, m.delayDown }) })
	wg.Wait()
	p.mu.Lock()
	delete(p.conns, in)
	delete(p.conns, out)
	p.mu.Unlock()
}

// copy forwards one way; when that way ends, so does the connection.
func (p *proxy) copy(to, from net.Conn, way func(mode) (blocked bool, delay time.Duration)) {
	defer func() { reset(to); reset(from) }()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		for {
			m, heal := p.now()
			if m.reset {
				return
			}
			if blocked, delay := way(m); !blocked {
				time.Sleep(delay)
				break
			}
			<-heal
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
