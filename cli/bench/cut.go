package bench

import (
	"context"
	"net"
	"sync"
	"time"
)

// Bounds of a Cable.
const (
	cableWires = 512              // connections of each lead; more wait in the kernel
	cableBytes = 16 << 10         // that a connection holds in each direction, besides the kernel's
	cableDial  = 10 * time.Second // until the other end answers
)

// Cable is all that links a process to its network, and can be cut without the process: TCP connections to and from it go through
// leads, which forward bytes. While it is cut nothing passes and nobody is told, as when a cable is pulled: there is no end of
// stream and no reset, who dials is answered by the kernel and hears nothing more. When it is mended all that was connected is
// closed, with the bytes that were held, and what is dialled from then on goes through.
//
// Goroutines: one per lead, two per connection; Close ends them and waits. mu is held over no I/O but closing sockets.
type Cable struct {
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	all    sync.WaitGroup

	mu    sync.Mutex
	cut   bool
	wires map[*wire]struct{}
	leads []net.Listener
}

// wire is a connection through a lead.
type wire struct {
	near, far net.Conn // who dialled, and who is dialled: nil before that
	gone      chan struct{}
	once      sync.Once

	mu     sync.Mutex // guards what follows, and far
	cables []*Cable   // that it is on, at most two
}

// NewCable returns a cable that is whole. Close must be called.
func NewCable() *Cable {
	c := &Cable{wires: map[*wire]struct{}{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Lead forwards what is dialled at an address, which it picks on this machine and returns, to target, HOST:PORT. Neither needs to
// be there yet. caller, unless nil, says by the first bytes that came over a connection on which cable that dialled is, so that it
// is cut with that one too; nil: on none. It is called by several goroutines.
func (c *Cable) Lead(target string, caller func(first []byte) *Cable) (address string, err error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(c.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	c.leads = append(c.leads, ln)
	c.mu.Unlock()
	c.all.Go(func() { c.accept(ln, target, caller) })
	return ln.Addr().String(), nil
}

// Cut lets nothing pass until Mend.
func (c *Cable) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
}

// Mend closes all that is connected if it was cut, and lets pass what comes.
func (c *Cable) Mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		c.cut = false
		c.drop()
	}
}

// Close ends all leads and all that is connected. No other method may run beside it, or follow.
func (c *Cable) Close() {
	c.cancel()
	c.mu.Lock()
	for _, ln := range c.leads {
		_ = ln.Close() // nobody else does
	}
	c.drop()
	c.mu.Unlock()
	c.all.Wait()
}

// drop closes all connections. The caller holds mu.
func (c *Cable) drop() {
	for w := range c.wires {
		w.close()
	}
}

// accept takes connections until Close.
func (c *Cable) accept(ln net.Listener, target string, caller func([]byte) *Cable) {
	room := make(chan struct{}, cableWires)
	for {
		conn, err := ln.Accept()
		if err != nil && c.ctx.Err() != nil {
			return
		}
		if err != nil { // too many open files: another time
			if !sleepUntil(c.ctx, time.Now().Add(glance)) {
				return
			}
			continue
		}
		w := &wire{near: conn, gone: make(chan struct{})}
		select {
		case room <- struct{}{}:
		case <-c.ctx.Done():
			w.close()
			return
		}
		c.all.Go(func() {
			defer func() { <-room }()
			c.carry(w, target, caller)
		})
	}
}

// carry forwards in both directions until an end closes.
func (c *Cable) carry(w *wire, target string, caller func([]byte) *Cable) {
	defer w.leave()
	defer w.close()
	if !w.join(c) || !w.passes() || !w.dial(c.ctx, target) {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { w.pump(w.near, w.far, nil) })
	w.pump(w.far, w.near, caller)
	back.Wait()
}

// join puts the wire on a cable; false: that one is closed.
func (w *wire) join(c *Cable) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return false
	}
	c.wires[w] = struct{}{}
	w.mu.Lock()
	w.cables = append(w.cables, c)
	w.mu.Unlock()
	return true
}

// on returns the cables that the wire is on.
func (w *wire) on() []*Cable {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cables
}

// leave takes the wire off its cables.
func (w *wire) leave() {
	for _, c := range w.on() {
		c.mu.Lock()
		delete(c.wires, w)
		c.mu.Unlock()
	}
}

// passes reports whether bytes may pass. While a cable is cut it waits for the end of the wire, which comes when that is mended.
func (w *wire) passes() bool {
	for _, c := range w.on() {
		c.mu.Lock()
		cut := c.cut
		c.mu.Unlock()
		if cut {
			<-w.gone
			return false
		}
	}
	return true
}

// dial connects the far end.
func (w *wire) dial(ctx context.Context, target string) bool {
	d := net.Dialer{Timeout: cableDial}
	conn, err := d.DialContext(ctx, "tcp", target)
	if err != nil {
		w.passes() // who dialled is told by the end of its connection, but not through a cable that is cut
		return false
	}
	w.mu.Lock()
	w.far = conn
	w.mu.Unlock()
	select {
	case <-w.gone: // close may have come too early to see it
		_ = conn.Close()
		return false
	default:
		return true
	}
}

// pump forwards until either side ends, and closes both then.
func (w *wire) pump(to, from net.Conn, caller func([]byte) *Cable) {
	defer w.close()
	buf := make([]byte, cableBytes)
	for {
		n, err := from.Read(buf)
		if n > 0 && caller != nil {
			if c := caller(buf[:n]); c != nil && !w.join(c) {
				return
			}
			caller = nil
		}
		if !w.passes() {
			return
		}
		if n > 0 && err == nil {
			_, err = to.Write(buf[:n])
		}
		if err != nil {
			w.passes() // an end is held too
			return
		}
	}
}

// close ends both connections.
func (w *wire) close() {
	w.once.Do(func() {
		close(w.gone)
		w.mu.Lock()
		defer w.mu.Unlock()
		_ = w.near.Close() // what was held is meant to be lost
		if w.far != nil {
			_ = w.far.Close()
		}
	})
}
