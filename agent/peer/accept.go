package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// Serve accepts links until ctx ends, Close is called or the listener fails; it closes the listener. It returns nil but in the last
// case. Links that were accepted live on until Close.
func (m *Mesh) Serve(ctx context.Context, ln net.Listener) error {
	defer ln.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(m.ctx, cancel)()
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	done := make(chan struct{})
	defer close(done)
	if !m.start(func() { <-done }) { // Close waits for this call too
		return nil
	}
	for pause := time.Duration(0); ; {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			m.receive(conn)
			continue
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept peers: %w", err)
		}
		// Out of descriptors, as a rule: the listener works again once some are free.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		m.quiet.warn("cannot accept a peer", "err", err)
		if !sleep(ctx, pause, nil) {
			return nil
		}
	}
}

// receive starts the hello of a connection that came in.
func (m *Mesh) receive(conn net.Conn) {
	select {
	case m.hellos <- struct{}{}:
	default:
		m.m.strangers.WithLabelValues("too-many").Inc()
		_ = conn.Close()
		return
	}
	started := m.start(func() {
		stop := context.AfterFunc(m.ctx, func() { _ = conn.Close() })
		l := m.answer(conn)
		stop()
		<-m.hellos
		if l == nil {
			_ = conn.Close()
			return
		}
		l.serve()
	})
	if !started {
		<-m.hellos
		_ = conn.Close()
	}
}

// answer says hello to who dialled, and returns the link; nil: the connection is to be closed.
func (m *Mesh) answer(conn net.Conn) *link {
	if conn.SetDeadline(time.Now().Add(m.cfg.Timeout)) != nil {
		return nil
	}
	h, err := readHello(conn)
	if err != nil {
		m.stranger(conn, err)
		return nil
	}
	if why := m.refuses(h); why != "" {
		m.m.strangers.WithLabelValues("identity").Inc()
		m.quiet.warn("refused a peer: "+why, "from", conn.RemoteAddr(), "agent", h.who.Agent, "session", h.who.Session, "cluster", h.who.Cluster)
		_, _ = conn.Write(appendFrame([]byte(magic), kindRefuse, []byte(why)))
		return nil
	}
	me := hello{version: version, oldest: oldestVersion, who: m.cfg.Identity, want: h.who.Session}
	// The link is adopted before the answer is written: who has our answer knows that this side chose.
	var l *link
	if h.want == m.cfg.Identity.Session && h.who.Agent != m.cfg.Identity.Agent {
		l, me.spare = m.adopt(conn, h.who, nil)
	} else {
		me.spare = true // the dialler looks for another session here, or is one of our own name; it learns who we are
	}
	if _, err := conn.Write(appendFrame([]byte(magic), kindHello, me.encode())); err != nil && l != nil {
		l.end(err)
	}
	return l
}

// refuses returns what keeps us from a link with the sender of h; empty: nothing.
func (m *Mesh) refuses(h hello) string {
	me := m.cfg.Identity
	switch {
	case h.who.Cluster != me.Cluster:
		return fmt.Sprintf("this is agent %s of cluster %s, not of %s; check --cluster and the peer address", me.Agent, me.Cluster, h.who.Cluster)
	case h.oldest > version || h.version < oldestVersion:
		return fmt.Sprintf("agent %s speaks versions %d to %d of the peer protocol, not %d to %d", me.Agent, oldestVersion, version, h.oldest, h.version)
	case h.who.Session == me.Session:
		return "an agent dialled itself"
	}
	return ""
}

// stranger logs a connection that brought no hello.
func (m *Mesh) stranger(conn net.Conn, err error) {
	switch {
	case m.ctx.Err() != nil:
	case errors.Is(err, errMagic):
		m.m.strangers.WithLabelValues("protocol").Inc()
		m.quiet.warn("something that is not an agent dialled the peer port; clients belong to the Kafka port", "from", conn.RemoteAddr(), "err", err)
	case errors.Is(err, errFrame):
		m.m.strangers.WithLabelValues("malformed").Inc()
		m.quiet.warn("a hello on the peer port cannot be read", "from", conn.RemoteAddr(), "err", err)
	default:
		m.m.strangers.WithLabelValues("silent").Inc() // a port scan, or a peer that changed its mind
	}
}

// readHello reads the other side's first bytes.
func readHello(conn net.Conn) (h hello, err error) {
	if err := readMagic(conn); err != nil {
		return h, err
	}
	var buf bytes.Buffer
	k, payload, err := readFrame(conn, &buf, maxHello)
	if err != nil {
		return h, err
	}
	switch k {
	case kindHello:
		return decodeHello(payload)
	case kindRefuse:
		return h, &refusal{string(payload[:min(len(payload), maxReason)])}
	}
	return h, fmt.Errorf("%w: kind %d where a hello belongs", errFrame, k)
}

// refusal is what the other side says why it does not serve us.
type refusal struct{ why string }

func (r *refusal) Error() string { return fmt.Sprintf("refused: %q", r.why) }
