package peer

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

// Every pair has one connection, on both sides the same, and notices go through.
func TestOneLinkPerPair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b, c := n.agent(t, "a", 1), n.agent(t, "b", 2), n.agent(t, "c", 3)
		a.Broadcast(Notice{Map: 7}) // before there are links
		wire(a, b, c)
		time.Sleep(settled)
		a.expectLinks(b, c)
		b.expectLinks(a, c)
		c.expectLinks(a, b)
		for _, l := range a.Mesh.mu.links {
			if !l.ours {
				t.Errorf("the link of %s to %s was not dialled by the lower session", a.me.Agent, l.who.Agent)
			}
		}
		if got := c.notice(a); got.Map != 7 {
			t.Errorf("c heard %+v", got)
		}
		loads := []Load{{Slot: 3, Partitions: 2, Bytes: 100}}
		if !b.Send(c.me.Session, Notice{Topics: 4, Loads: loads, Closing: true}) || b.Send(session(9), Notice{}) {
			t.Error("Send does not know its links")
		}
		time.Sleep(time.Second)
		if got := c.notice(b); got.Topics != 4 || !slices.Equal(got.Loads, loads) || !got.Closing {
			t.Errorf("c heard %+v", got)
		}
		dials := n.dialled()
		time.Sleep(time.Minute)
		if got := n.dialled(); got != dials {
			t.Errorf("%d more dials in a quiet minute", got-dials)
		}
		for _, x := range []*agent{a, b, c} {
			x.expectGone()
		}
		for _, x := range []*agent{a, b, c} {
			x.kill()
		}
	})
}

// A process that dies is noticed by a refused redial, within 100 ms, by both kinds of ends.
func TestDeathIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b, c := n.agent(t, "a", 1), n.agent(t, "b", 2), n.agent(t, "c", 3)
		wire(a, b, c)
		time.Sleep(settled)
		b.kill()
		time.Sleep(100 * time.Millisecond)
		a.expectGone("b refused 0")
		c.expectGone("b refused 0")
		a.expectLinks(c)
		before := len(a.gone())
		time.Sleep(time.Minute)
		if again := len(a.gone()) - before; again < 20 || again > 60 {
			t.Errorf("told %d times again in a minute", again)
		}
		a.kill()
		c.kill()
	})
}

// Who loses a link is told at once; not of one that it does not want any more.
func TestLostLinkIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b, c := n.agent(t, "a", 1), n.agent(t, "b", 2), n.agent(t, "c", 3)
		wire(a, b, c)
		time.Sleep(settled)
		a.losses() // of connections that were one too many
		b.kill()
		synctest.Wait()
		if lost := a.losses(); !slices.Equal(lost, []string{"b"}) {
			t.Errorf("a lost the links with %v", lost)
		}
		a.Set(nil)
		synctest.Wait()
		a.kill()
		if lost := a.losses(); len(lost) > 0 {
			t.Errorf("a lost the links with %v, which it did not want", lost)
		}
		c.kill()
	})
}

// A dying process may still accept and hang up; that is no evidence, and costs less than the 100 ms.
func TestDeathWithABacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b := n.agent(t, "a", 1), n.agent(t, "b", 2)
		wire(a, b)
		time.Sleep(settled)
		backlog := n.listen(b.me.Address)
		go func() {
			for range 2 {
				if c, err := backlog.Accept(); err == nil {
					_ = c.Close()
				}
			}
			_ = backlog.Close()
		}()
		b.kill()
		time.Sleep(100 * time.Millisecond)
		a.expectGone("b refused 0")
		a.kill()
	})
}

// The same address answers as another session of the name: the earlier one is gone. Another name is no evidence.
func TestSuccessorAtTheAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b := n.agent(t, "a", 1), n.agent(t, "b", 2)
		wire(a, b)
		time.Sleep(settled)
		n.cut(true)
		b.kill()
		time.Sleep(settled)
		next := n.agent(t, "b", 9)
		n.cut(false)
		time.Sleep(settled)
		a.expectGone("b replaced 9")
		next.kill()
		a.kill()
	})
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b := n.agent(t, "a", 1), n.agent(t, "b", 2)
		wire(a, b)
		time.Sleep(settled)
		n.cut(true)
		b.kill()
		other := n.agent(t, "b", 9, func(c *Config) { c.Identity.Agent = "x" })
		foreign := n.agent(t, "b2", 8, func(c *Config) { c.Identity.Cluster = uuid.UUID{1} })
		n.cut(false)
		a.Set([]Peer{b.me, {Agent: "b2", Session: session(8), Address: "b2:1"}})
		time.Sleep(settled)
		a.expectGone()
		for _, want := range []string{"another agent answers", "does not want a link", "not of c0000000-"} {
			if !strings.Contains(a.logged(), want) {
				t.Errorf("no line %q in\n%s", want, a.logged())
			}
		}
		if !strings.Contains(foreign.logged(), "refused a peer") {
			t.Errorf("the other side says nothing:\n%s", foreign.logged())
		}
		for _, x := range []*agent{a, other, foreign} {
			x.kill()
		}
	})
}

// A session that this address never answered as is not gone when another one answers, or nobody: the address may be wrong,
// or the older session of a restarting agent not yet out of the way.
func TestNoProofNoEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b := n.agent(t, "a", 1), n.agent(t, "b", 2)
		wrong := b.me
		wrong.Address = "nobody:1"
		a.Set([]Peer{wrong, {Agent: "b", Session: session(9), Address: b.me.Address}})
		b.Set([]Peer{a.me}) // so that there is a link to b after all
		time.Sleep(settled)
		a.expectLinks(b)
		n.reset()
		time.Sleep(settled)
		a.expectGone()
		a.expectLinks(b)
		if !strings.Contains(a.logged(), "nothing listens") {
			t.Errorf("no line about the address:\n%s", a.logged())
		}
		a.kill()
		b.kill()
	})
}

// R23: the link between two healthy agents is reset every 50 ms, for a minute.
func TestResetsAreNoDeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b := n.agent(t, "a", 1), n.agent(t, "b", 2)
		wire(a, b)
		time.Sleep(settled)
		for range 1200 {
			time.Sleep(50 * time.Millisecond)
			n.reset()
		}
		time.Sleep(100 * time.Millisecond)
		a.expectLinks(b)
		b.expectLinks(a)
		a.expectGone()
		b.expectGone()
		a.kill()
		b.kill()
	})
}

// A cut is no event, however long; the link is back soon after it.
func TestCutIsNoDeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b := n.agent(t, "a", 1), n.agent(t, "b", 2)
		wire(a, b)
		time.Sleep(settled)
		n.cut(true)
		time.Sleep(time.Hour)
		a.expectLinks()
		b.expectLinks()
		n.cut(false)
		time.Sleep(settled)
		a.expectLinks(b)
		b.expectLinks(a)
		a.expectGone()
		b.expectGone()
		a.kill()
		b.kill()
	})
}

// A peer that does not read for a while gets the newest state, in one piece, and costs no memory meanwhile.
func TestNoticesAreMerged(t *testing.T) {
	m := New(Config{Identity: Identity{Agent: "a", Session: session(1)}}, nil, nil, nil)
	l := newLink(m, nil, Identity{Session: session(2)}, true)
	m.mu.links[session(2)] = l
	m.Broadcast(Notice{Map: 9, Closing: true})
	m.Broadcast(Notice{Loads: []Load{{Slot: 1}}})
	for i := range 1000 {
		m.Broadcast(Notice{Topics: int64(i), Map: 3})
	}
	want := Notice{Map: 9, Topics: 999, Loads: []Load{{Slot: 1}}, Closing: true}
	buf := l.next(nil, false)
	n, err := decodeNotice(buf[headerLen:])
	if err != nil || n.Map != want.Map || n.Topics != want.Topics || !slices.Equal(n.Loads, want.Loads) || !n.Closing {
		t.Errorf("%+v, %v", n, err)
	}
	if again := l.next(nil, false); len(again) > 0 {
		t.Errorf("%d bytes more", len(again))
	}
}

// Set drops who is not named any more, and Close ends everything, also twice and before anything began.
func TestSetAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b := n.agent(t, "a", 1), n.agent(t, "b", 2)
		a.Set([]Peer{a.me, b.me, {Agent: "a", Session: session(7), Address: b.me.Address}})
		time.Sleep(settled)
		a.expectLinks(b)
		b.expectLinks(a)
		a.Set(nil)
		time.Sleep(settled)
		a.expectLinks()
		b.expectLinks()
		a.kill()
		a.Close()
		a.Set([]Peer{b.me})
		if err := a.Serve(t.Context(), n.listen("late:1")); err != nil {
			t.Error(err)
		}
		b.kill()
	})
}

// What was told right before Close arrives; a peer that does not read keeps nobody.
func TestCloseFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b := n.agent(t, "a", 1), n.agent(t, "b", 2)
		wire(a, b)
		time.Sleep(settled)
		a.Broadcast(Notice{Map: 3, Closing: true})
		a.kill()
		synctest.Wait()
		if got := b.notice(a); !got.Closing || got.Map != 3 {
			t.Errorf("b heard %+v", got)
		}
		c := n.agent(t, "c", 3)
		wire(b, c)
		time.Sleep(settled)
		n.cut(true)
		b.Broadcast(Notice{Map: 4, Closing: true})
		begun := time.Now()
		b.kill()
		if took := time.Since(begun); took > time.Second {
			t.Errorf("Close took %v", took)
		}
		c.kill()
	})
}
