package kafka

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/cluster"
)

// fakePeers are asked, and answer when they are let.
type fakePeers struct {
	asked atomic.Int64
	reply chan struct{}
}

func (p *fakePeers) Ask(ctx context.Context) {
	p.asked.Add(1)
	select {
	case <-p.reply:
	case <-ctx.Done():
	}
}

// worldOfTwo is an agent that has another one beside it.
func worldOfTwo(t *testing.T, news time.Duration) (*world, *fakePeers) {
	p := &fakePeers{reply: make(chan struct{})}
	w := newWorld(t, option{before: func(s *Server) {
		waitLong(s)
		s.deps.Peers, s.leaders.news = p, news
	}})
	w.node.change(func(v *cluster.View) { v.Nodes = append(v.Nodes, other) })
	return w, p
}

// asking are a client's requests that ask the peers first, with the node that the answer leads to.
func (w *world) asking() (reqs []kmsg.Request, leader []func(c *client, corr int32) int32) {
	m, f := metadataOf(12, "t"), finding(4, 0, "g")
	return []kmsg.Request{m, f}, []func(c *client, corr int32) int32{
		func(c *client, corr int32) int32 {
			return receive[*kmsg.MetadataResponse](c, m, corr).Topics[0].Partitions[0].Leader
		},
		func(c *client, corr int32) int32 {
			return receive[*kmsg.FindCoordinatorResponse](c, f, corr).Coordinators[0].NodeID
		},
	}
}

// A client that asks who leads before anybody knows of the leader's death gets the next leader: the other agents were asked first.
func TestPeersAreAskedFirst(t *testing.T) {
	w, p := worldOfTwo(t, time.Minute)
	w.topic("t", 1)
	reqs, leader := w.asking()
	for i, req := range reqs {
		me := w.node.NodeID()
		w.node.change(func(v *cluster.View) {
			for n := range v.Slots {
				v.Slots[n] = cluster.Leader{Node: me, Epoch: testEpoch}
			}
		})
		asked := p.asked.Load()
		c := w.dial()
		corr := c.send(req)
		eventually(t, "asking the peers", func() bool { return p.asked.Load() == asked+1 })
		w.node.loses(time.Now()) // a link broke
		p.reply <- struct{}{}    // the last of the others answered, or there was time enough
		w.waitingForLeaders(1)
		w.node.gains()
		if got := leader[i](c, corr); got != other.ID {
			t.Errorf("%T: node %d, want %d", req, got, other.ID)
		}
	}
}

// Peers that do not answer are not waited for long.
func TestPeersThatDoNotAnswer(t *testing.T) {
	w, p := worldOfTwo(t, 10*time.Millisecond)
	w.topic("t", 1)
	reqs, leader := w.asking()
	for i, req := range reqs {
		c := w.dial()
		if got := leader[i](c, c.send(req)); got < 0 {
			t.Errorf("%T: node %d", req, got)
		}
	}
	if got := p.asked.Load(); got != int64(len(reqs)) {
		t.Errorf("asked %d times", got)
	}
	w.waitingForLeaders(0)
}

// A client that asks for large answers at once, and reads none, is stopped at its share, though each request waits for the peers first.
func TestAskingPeersAdmitsNoMoreAnswers(t *testing.T) {
	p := &fakePeers{reply: make(chan struct{})}
	w := newWorld(t, option{cfg: Config{ConnBytes: 1 << 20}, before: func(s *Server) {
		s.deps.Peers, s.leaders.news = p, time.Minute
	}})
	w.node.change(func(v *cluster.View) { v.Nodes = append(v.Nodes, other) })
	w.topic("wide", 3000)
	near, far := socketpair(t)
	t.Cleanup(func() { _ = far.Close() })
	w.s.accept(t.Context(), near)
	all := metadataOf(9, "wide")
	for n := range int32(inFlight) {
		_, err := far.Write(encode(all, n))
		must(t, err)
	}
	eventually(t, "asking the peers", func() bool { return p.asked.Load() > 0 })
	time.Sleep(300 * time.Millisecond) // whatever is admitted is
	close(p.reply)
	eventually(t, "answers pile up", func() bool { return w.s.unread.Load() >= 1<<20 })
	time.Sleep(300 * time.Millisecond)
	if got := w.s.unread.Load(); got > 3<<19 {
		t.Errorf("%d bytes of answers wait for a client that reads none", got)
	}
}
