package peer

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/google/uuid"
)

// Pauses between two dials of one peer.
const (
	minPause = 20 * time.Millisecond // also between dials that succeeded
	maxPause = 2 * time.Second
)

// keeper keeps the link to one peer up. It alone dials it.
type keeper struct {
	mesh   *Mesh
	peer   Peer
	ctx    context.Context
	cancel context.CancelFunc
	lost   chan struct{} // the link is gone
	ended  time.Time     // when a link ended last; under Mesh.mu

	proven bool     // this address answered as this session once, dialled by us
	quiet  *limited // lines about this peer
}

func (k *keeper) wake() {
	select {
	case k.lost <- struct{}{}:
	default:
	}
}

// run dials while there is no link, or no proof of the address yet.
func (k *keeper) run() {
	defer k.cancel()
	var pause time.Duration
	for k.ctx.Err() == nil {
		if k.proven && k.mesh.linked(k.peer.Session) {
			pause = 0
			select {
			case <-k.lost:
			case <-k.ctx.Done():
				return
			}
			continue // it may be back by now
		}
		begun := time.Now()
		if k.dial() {
			pause = 0
		} else {
			pause = min(max(2*pause, minPause), maxPause)
		}
		if !sleep(k.ctx, max(pause, minPause-time.Since(begun)), k.lost) {
			return
		}
	}
}

// sleep waits for d, or less if early brings something, and reports whether ctx still runs.
func sleep(ctx context.Context, d time.Duration, early <-chan struct{}) bool {
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	select {
	case <-t.C:
	case <-early:
	case <-ctx.Done():
		return false
	}
	return ctx.Err() == nil
}

// dial dials once and deals with the outcome: a link, a proof, an event, a line in the log or nothing. It reports whether a
// connection came up that the other side keeps.
func (k *keeper) dial() bool {
	m := k.mesh
	ctx, cancel := context.WithTimeout(k.ctx, m.cfg.Timeout)
	defer cancel()
	conn, err := m.cfg.Dial(ctx, k.peer.Address)
	if err != nil {
		k.failed(err)
		return false
	}
	stop := context.AfterFunc(k.ctx, func() { _ = conn.Close() })
	defer stop()
	_ = conn.SetDeadline(time.Now().Add(m.cfg.Timeout)) // if it fails, so will the write
	me := hello{version: version, oldest: oldestVersion, who: m.cfg.Identity, want: k.peer.Session}
	var h hello
	if _, err = conn.Write(appendFrame([]byte(magic), kindHello, me.encode())); err == nil {
		h, err = readHello(conn)
	}
	if err != nil {
		_ = conn.Close()
		k.failed(err)
		return false
	}
	if !k.met(h) || h.spare {
		_ = conn.Close()
		return false
	}
	l, spare := m.adopt(conn, h.who, k)
	if spare || !m.start(l.serve) {
		_ = conn.Close()
		return true
	}
	return true
}

// failed deals with a dial that met nobody.
func (k *keeper) failed(err error) {
	m := k.mesh
	if k.ctx.Err() != nil {
		return
	}
	var no *refusal
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		m.m.dials.WithLabelValues("refused").Inc()
		if k.proven {
			k.gone(Refused, uuid.Nil)
			return
		}
		k.warn("nothing listens at the address of a peer", err)
	case errors.As(err, &no):
		m.m.dials.WithLabelValues("stranger").Inc()
		k.warn("a peer does not want a link", err)
	case errors.Is(err, errMagic), errors.Is(err, errFrame):
		m.m.dials.WithLabelValues("stranger").Inc()
		k.warn("something that is not an agent answers at the address of a peer", err)
	default:
		m.m.dials.WithLabelValues("failed").Inc()
		m.log.Debug("no link to a peer", "agent", k.peer.Agent, "session", k.peer.Session, "address", k.peer.Address, "err", err)
	}
}

// met deals with who answered, and reports whether it is the peer.
func (k *keeper) met(h hello) bool {
	m := k.mesh
	switch {
	case h.who.Cluster != m.cfg.Identity.Cluster || h.oldest > version || h.version < oldestVersion:
		m.m.dials.WithLabelValues("stranger").Inc()
		k.warn("an agent of another cluster or version answers at the address of a peer",
			fmt.Errorf("agent %s of cluster %s, versions %d to %d", h.who.Agent, h.who.Cluster, h.oldest, h.version))
	case h.who.Agent != k.peer.Agent:
		m.m.dials.WithLabelValues("stranger").Inc()
		k.warn("another agent answers at the address of a peer", fmt.Errorf("agent %s, session %s", h.who.Agent, h.who.Session))
	case h.who.Session == k.peer.Session:
		m.m.dials.WithLabelValues("met").Inc()
		k.proven = true
		return true
	case k.proven:
		m.m.dials.WithLabelValues("replaced").Inc()
		k.gone(Replaced, h.who.Session)
	default:
		// The newer of two sessions of a name, asked for while the older one still answers, must not look gone.
		m.m.dials.WithLabelValues("replaced").Inc()
		m.log.Debug("a session that was not met before has no proof of being gone", "agent", k.peer.Agent, "session", k.peer.Session, "answers", h.who.Session)
	}
	return false
}

func (k *keeper) gone(why Why, other uuid.UUID) {
	k.mesh.m.gone.WithLabelValues(why.String()).Inc()
	k.mesh.log.Info("a peer's session is gone", "agent", k.peer.Agent, "session", k.peer.Session, "address", k.peer.Address, "why", why, "answers", other)
	k.mesh.events.Gone(k.peer, why, other)
}

func (k *keeper) warn(msg string, err error) {
	k.quiet.warn(msg, "agent", k.peer.Agent, "session", k.peer.Session, "address", k.peer.Address, "err", err)
}
