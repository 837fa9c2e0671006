package simtest

import (
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// window is how many bytes of one direction may be under way or unread before a writer waits.
const window = 256 << 10

// end is one side of a connection: a net.Conn whose writes do not wait for the reader, up to the window.
type end struct {
	n             *network
	local, remote *host
	at, to        address
	other         *end

	// All guarded by network.mu.
	in          []packet // on their way to here or here and unread, in order
	queued      int      // bytes of in
	closed      bool     // by this side
	abrupt      bool     // Close is to reset
	broken      bool     // reset in the middle: for both sides at once
	readBy      time.Time
	writeBy     time.Time
	wake        chan struct{} // closed and made anew when something changes
	lastArrival time.Time     // no packet arrives before an earlier one
}

// packet is bytes, or the end of the stream.
type packet struct {
	arrives time.Time
	data    []byte
	err     error // io.EOF or ECONNRESET
}

func newEnd(local, remote *host, at, to address) *end {
	return &end{n: local.n, local: local, remote: remote, at: at, to: to, wake: make(chan struct{})}
}

func (e *end) wakeLocked() {
	close(e.wake)
	e.wake = make(chan struct{})
}

// put sends a packet to the other side.
func (e *end) putLocked(p packet) {
	o := e.other
	p.arrives = time.Now().Add(e.n.latencyLocked(e.local, e.remote))
	if !p.arrives.After(o.lastArrival) {
		p.arrives = o.lastArrival.Add(1)
	}
	o.lastArrival = p.arrives
	o.in = append(o.in, p)
	o.queued += len(p.data)
	o.wakeLocked()
}

// headLocked returns the first packet if it has arrived, else for how long to wait, 0 for ever.
func (e *end) headLocked(now time.Time) (p *packet, wait time.Duration) {
	if len(e.in) == 0 || !e.n.openLocked(e.remote, e.local) {
		return nil, 0
	}
	if wait := e.in[0].arrives.Sub(now); wait > 0 {
		return nil, wait
	}
	return &e.in[0], 0
}

// Read implements net.Conn.
func (e *end) Read(b []byte) (int, error) {
	return e.loop("read", func(now time.Time) (n int, wait time.Duration, done bool, err error) {
		if reset := e.resetLocked(now); reset {
			return 0, 0, true, failed("read", syscall.ECONNRESET)
		}
		p, wait := e.headLocked(now)
		switch {
		case p == nil:
			return 0, wait, len(b) == 0, nil
		case p.err != nil:
			return 0, 0, true, p.err // it stays
		}
		n = copy(b, p.data)
		p.data = p.data[n:]
		e.queued -= n
		if len(p.data) == 0 {
			e.in = e.in[1:]
		}
		e.other.wakeLocked()
		return n, 0, true, nil
	}, func() time.Time { return e.readBy })
}

// Write implements net.Conn. The bytes are copied.
func (e *end) Write(b []byte) (written int, err error) {
	for {
		n, err := e.loop("write", func(now time.Time) (n int, wait time.Duration, done bool, err error) {
			if e.resetLocked(now) || e.hungUpLocked(now) {
				return 0, 0, true, failed("write", syscall.EPIPE)
			}
			n = min(len(b), window-e.other.queued)
			if n <= 0 {
				return 0, 0, len(b) == 0, nil
			}
			if !e.other.closed { // else it arrives nowhere
				e.putLocked(packet{data: append([]byte(nil), b[:n]...)})
			}
			return n, 0, true, nil
		}, func() time.Time { return e.writeBy })
		written += n
		b = b[n:]
		if err != nil || len(b) == 0 {
			return written, err
		}
	}
}

// resetLocked reports whether a reset has arrived. It passes unread bytes.
func (e *end) resetLocked(now time.Time) bool {
	if e.broken {
		return true
	}
	if len(e.in) == 0 || !e.n.openLocked(e.remote, e.local) {
		return false
	}
	last := e.in[len(e.in)-1]
	return last.err != nil && last.err != io.EOF && !last.arrives.After(now)
}

// hungUpLocked reports whether we know that the other side reads no more.
func (e *end) hungUpLocked(now time.Time) bool {
	if len(e.in) == 0 || !e.n.openLocked(e.remote, e.local) {
		return false
	}
	last := e.in[len(e.in)-1]
	return last.err != nil && !last.arrives.After(now)
}

// loop tries until done, the deadline, or the end of this side.
func (e *end) loop(op string, try func(now time.Time) (n int, wait time.Duration, done bool, err error), by func() time.Time) (int, error) {
	for {
		e.n.mu.Lock()
		now, deadline := time.Now(), by()
		if e.closed {
			e.n.mu.Unlock()
			return 0, &net.OpError{Op: op, Net: "tcp", Err: net.ErrClosed}
		}
		if !deadline.IsZero() && !now.Before(deadline) {
			e.n.mu.Unlock()
			return 0, &net.OpError{Op: op, Net: "tcp", Err: os.ErrDeadlineExceeded}
		}
		n, wait, done, err := try(now)
		wake := e.wake
		e.n.mu.Unlock()
		if done {
			return n, err
		}
		if left := deadline.Sub(now); !deadline.IsZero() && (wait == 0 || left < wait) {
			wait = left
		}
		waitFor(wake, wait)
	}
}

// waitFor waits for wake, or d if that is not 0.
func waitFor(wake <-chan struct{}, d time.Duration) {
	if d == 0 {
		<-wake
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-wake:
	case <-t.C:
	}
}

// Close implements net.Conn. The other side reads what is under way, and then its end.
func (e *end) Close() error {
	e.n.mu.Lock()
	defer e.n.mu.Unlock()
	if e.closed {
		return &net.OpError{Op: "close", Net: "tcp", Err: net.ErrClosed}
	}
	e.closeLocked(e.abrupt || len(e.in) > 0 && e.in[0].err == nil) // unread bytes make a reset of it
	return nil
}

// SetLinger is net.TCPConn's: 0 makes Close a reset.
func (e *end) SetLinger(sec int) error { return e.set(func() { e.abrupt = sec == 0 }) }

func (e *end) closeLocked(reset bool) {
	if e.closed {
		return
	}
	e.closed = true
	delete(e.n.ends, e)
	if !e.other.closed {
		err := io.EOF
		if reset {
			err = syscall.ECONNRESET
		}
		e.putLocked(packet{err: err})
	}
	e.in, e.queued = nil, 0
	e.wakeLocked()
	e.other.wakeLocked()
}

// LocalAddr implements net.Conn.
func (e *end) LocalAddr() net.Addr { return e.at }

// RemoteAddr implements net.Conn.
func (e *end) RemoteAddr() net.Addr { return e.to }

// SetDeadline implements net.Conn.
func (e *end) SetDeadline(t time.Time) error { return e.set(func() { e.readBy, e.writeBy = t, t }) }

// SetReadDeadline implements net.Conn.
func (e *end) SetReadDeadline(t time.Time) error { return e.set(func() { e.readBy = t }) }

// SetWriteDeadline implements net.Conn.
func (e *end) SetWriteDeadline(t time.Time) error { return e.set(func() { e.writeBy = t }) }

func (e *end) set(f func()) error {
	e.n.mu.Lock()
	defer e.n.mu.Unlock()
	if e.closed {
		return net.ErrClosed
	}
	f()
	e.wakeLocked()
	return nil
}
