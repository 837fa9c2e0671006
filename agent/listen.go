package agent

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/cluster"
	"github.com/varvelog/varve/agent/peer"
)

// Net is a network. A dial to an address where nobody listens fails with an error that is syscall.ECONNREFUSED.
type Net interface {
	Listen(ctx context.Context, address string) (net.Listener, error)
	Dial(ctx context.Context, address string) (net.Conn, error)
}

// systemNet is TCP.
type systemNet struct{}

func (systemNet) Listen(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", address)
}

func (systemNet) Dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address)
}

func (a *Agent) net() Net {
	if a.cfg.Net == nil {
		return systemNet{}
	}
	return a.cfg.Net
}

// listeners are where a session is met.
type listeners struct {
	kafka net.Listener
	peer  net.Listener // nil: no other agent can be there
	dead  uuid.UUID    // the last session of this name, if its process is known to be gone; Nil: not known
	at    string       // address of peer
}

func (l listeners) close() {
	_ = l.kafka.Close()
	if l.peer != nil {
		_ = l.peer.Close()
	}
}

// peerAddress is what other agents are told: advertised, unless that is empty; host is the one that clients are told.
func (l listeners) peerAddress(advertised, host string) string {
	if l.peer == nil {
		return ""
	}
	if advertised != "" {
		return advertised
	}
	own, port, err := net.SplitHostPort(l.at)
	if ip := net.ParseIP(own); err == nil && (own == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort(host, port)
	}
	return l.at
}

// peerListen is where other agents connect.
func (a *Agent) peerListen() string {
	if a.cfg.Peer != "" {
		return a.cfg.Peer
	}
	host, _, _ := net.SplitHostPort(a.cfg.Listen)
	return net.JoinHostPort(host, "0")
}

// listen binds the listeners of a session, after a look whether the last session of this name can still have a process.
func (a *Agent) listen(ctx context.Context, kafka, peer string) (on listeners, err error) {
	if !a.cfg.Exclusive {
		if on.dead, err = cluster.Probe(ctx, a.stores.Facts, a.cluster, a.cfg.Name, a.net().Dial, a.log); err != nil {
			return on, err
		}
	}
	if on.kafka, err = bind(ctx, a.net(), kafka, "--listen"); err != nil {
		return on, err
	}
	a.bound.Kafka = boundTo(on.kafka, kafka)
	if a.cfg.Exclusive {
		return on, nil
	}
	if on.peer, err = bind(ctx, a.net(), peer, "--peer"); err != nil {
		on.close()
		return on, err
	}
	a.bound.Peer = boundTo(on.peer, peer)
	on.at = a.bound.Peer
	return on, nil
}

// bind binds an address, or says which flag to change.
func bind(ctx context.Context, n Net, address, flag string) (net.Listener, error) {
	ln, err := n.Listen(ctx, address)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err // the rest says the address again
		}
		return nil, fmt.Errorf("listen on %s: %w; choose another address with %s", address, err, flag)
	}
	return ln, nil
}

// boundTo returns the address of a listener as the user wrote it, with the port that it got: all interfaces are 0.0.0.0 and
// not the system's word for them.
func boundTo(ln net.Listener, asked string) string {
	host, _, err := net.SplitHostPort(asked)
	_, port, err2 := net.SplitHostPort(ln.Addr().String())
	if host == "" || err != nil || err2 != nil {
		return ln.Addr().String()
	}
	return net.JoinHostPort(host, port)
}

// link keeps links with the other agents on ln, which it closes.
func (s *session) link(life context.Context, ln net.Listener) {
	if ln == nil {
		return
	}
	s.mesh = peer.New(peer.Config{
		Identity: peer.Identity{Cluster: s.member.Cluster().Cluster, Agent: s.cfg.Name, Session: s.member.Session(), Node: s.member.NodeID()},
		Dial:     s.net().Dial,
	}, s.member, s.log, s.metrics.Load())
	s.bg.Go(func() {
		if err := s.mesh.Serve(life, ln); err != nil && life.Err() == nil && !errors.Is(err, net.ErrClosed) {
			s.log.Error("the listener for other agents stopped", "err", err)
		}
	})
}
