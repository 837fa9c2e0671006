package peer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

var (
	errDropped  = errors.New("not wanted any more")
	errReplaced = errors.New("replaced by another connection")
)

// link is an adopted connection. Its reader and writer end when the connection does.
type link struct {
	mesh *Mesh
	conn net.Conn
	who  Identity
	ours bool          // dialled by us
	wake chan struct{} // something waits for the writer
	over chan struct{} // closed by end

	mu struct {
		sync.Mutex
		reason error // why it ended
		notice *Notice
		pong   *uint64
		ping   bool // ask now, not at the next tick
		busy   bool // a notice is being written
		// Those who ask whether the other side is there: by the next ping, and by the one that is under way. Nil: nobody.
		asking, asked chan struct{}
		sent          time.Time // the last ping
	}
	pings atomic.Uint64 // how many there were: the number of the last. A pong of an earlier one tells nothing
}

func newLink(m *Mesh, conn net.Conn, who Identity, ours bool) *link {
	return &link{mesh: m, conn: conn, who: who, ours: ours, wake: make(chan struct{}, 1), over: make(chan struct{})}
}

// serve reads until the connection ends. The caller counts the goroutine.
func (l *link) serve() {
	if !l.mesh.start(l.write) {
		l.end(errDropped)
	}
	l.end(l.read())
	l.mesh.forget(l)
	l.mu.Lock()
	reason := l.mu.reason
	l.mu.Unlock()
	l.mesh.m.ends.WithLabelValues(endReason(reason)).Inc()
	l.mesh.log.Debug("a peer link ended", "agent", l.who.Agent, "session", l.who.Session, "reason", reason)
}

// end closes the connection; the first reason counts.
func (l *link) end(reason error) {
	l.mu.Lock()
	first := l.mu.reason == nil
	if first {
		l.mu.reason = reason
		close(l.over)
	}
	l.mu.Unlock()
	if first {
		_ = l.conn.Close()
	}
}

func endReason(err error) string {
	switch {
	case errors.Is(err, errDropped):
		return "dropped"
	case errors.Is(err, errReplaced):
		return "replaced"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "silent"
	case errors.Is(err, errFrame):
		return "malformed"
	case errors.Is(err, io.EOF):
		return "closed"
	}
	return "network"
}

// send leaves n for the writer, merged with what waits there.
func (l *link) send(n Notice) {
	l.mu.Lock()
	if l.mu.notice != nil {
		n = n.merge(*l.mu.notice)
		l.mesh.m.merged.Inc()
	}
	l.mu.notice = &n
	l.mu.Unlock()
	l.signal()
}

// poke asks now whether the other side is there.
func (l *link) poke() {
	l.mu.Lock()
	l.mu.ping = true
	l.mu.Unlock()
	l.signal()
}

// ask returns what is closed once the other side has answered a ping that was sent after the call. Who asks together shares one, and one
// is under way at a time.
func (l *link) ask() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.asking == nil {
		l.mu.asking = make(chan struct{})
		if l.mu.asked == nil {
			l.mu.ping = true
			l.signal()
		}
	}
	return l.mu.asking
}

// ponged takes in that a ping was answered.
func (l *link) ponged(n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n == 0 || n != l.pings.Load() {
		return
	}
	l.mesh.m.ping.Observe(time.Since(l.mu.sent).Seconds())
	if l.mu.asked != nil {
		close(l.mu.asked)
		l.mu.asked = nil
	}
	if l.mu.asking != nil {
		l.mu.ping = true
		l.signal()
	}
}

func (l *link) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// write sends what waits, and a ping at each tick.
func (l *link) write() {
	tick := time.NewTicker(l.mesh.cfg.Ping)
	defer tick.Stop()
	var buf []byte
	for ping := true; ; {
		buf = l.next(buf[:0], ping)
		if len(buf) > 0 {
			if err := l.conn.SetWriteDeadline(time.Now().Add(l.mesh.cfg.Timeout)); err != nil {
				l.end(err)
				return
			}
			if _, err := l.conn.Write(buf); err != nil {
				l.end(err)
				return
			}
			l.mesh.m.out.Add(float64(len(buf)))
			l.mu.Lock()
			l.mu.busy = false
			l.mu.Unlock()
		}
		select {
		case <-l.over:
			return
		case <-tick.C:
			ping = true
		case <-l.wake:
			ping = false
		}
	}
}

// said reports whether no notice waits or is being written.
func (l *link) said() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.reason != nil || l.mu.notice == nil && !l.mu.busy
}

// next takes what waits and appends its frames to buf.
func (l *link) next(buf []byte, ping bool) []byte {
	l.mu.Lock()
	notice, pong := l.mu.notice, l.mu.pong
	ping = ping || l.mu.ping
	l.mu.notice, l.mu.pong, l.mu.ping, l.mu.busy = nil, nil, false, notice != nil
	number := l.pings.Load()
	if ping {
		number = l.pings.Add(1) // together with who asks by it: the pong of the ping before may be on its way
		l.mu.sent = time.Now()
		if l.mu.asked == nil {
			l.mu.asked, l.mu.asking = l.mu.asking, nil
		}
	}
	l.mu.Unlock()
	if pong != nil {
		buf = appendFrame(buf, kindPong, binary.LittleEndian.AppendUint64(nil, *pong))
	}
	if ping {
		buf = appendFrame(buf, kindPing, binary.LittleEndian.AppendUint64(nil, number))
	}
	if notice != nil {
		buf = appendFrame(buf, kindNotice, notice.encode())
	}
	return buf
}

// read handles frames until the connection fails, is silent for too long, or brings something malformed.
func (l *link) read() error {
	var buf bytes.Buffer
	for {
		if err := l.conn.SetReadDeadline(time.Now().Add(l.mesh.cfg.Timeout)); err != nil {
			return err
		}
		k, payload, err := readFrame(l.conn, &buf, maxFrame)
		if err != nil {
			if errors.Is(err, errFrame) {
				l.mesh.quiet.warn("a peer sent what cannot be read; its link is dropped", "agent", l.who.Agent, "session", l.who.Session, "err", err)
			}
			return err
		}
		l.mesh.m.in.Add(float64(headerLen + len(payload)))
		if err := l.handle(k, payload); err != nil {
			l.mesh.quiet.warn("a peer sent what cannot be read; its link is dropped", "agent", l.who.Agent, "session", l.who.Session, "err", err)
			return err
		}
		if buf.Cap() > firstRead {
			buf = bytes.Buffer{} // a rare large notice is not kept
		}
	}
}

func (l *link) handle(k kind, payload []byte) error {
	switch k {
	case kindPing, kindPong:
		if len(payload) < 8 {
			return errFrame
		}
		v := binary.LittleEndian.Uint64(payload)
		if k == kindPong {
			l.ponged(v)
			return nil
		}
		l.mu.Lock()
		l.mu.pong = &v
		l.mu.Unlock()
		l.signal()
	case kindNotice:
		n, err := decodeNotice(payload)
		if err != nil {
			return err
		}
		if l.mesh.ctx.Err() == nil {
			l.mesh.events.Notice(l.who, n)
		}
	}
	return nil // other kinds are of later versions
}
