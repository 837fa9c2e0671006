package cluster

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/peer"
	"github.com/varvelog/varve/metastore/records"
)

// shown checks what an actor's clients are told of another: whether it is there, how many slots it leads, and how many are lost.
func (a *actor) shown(t *testing.T, when string, b *actor, there bool, leads, lost int) {
	t.Helper()
	v := a.core.view
	at := slices.IndexFunc(v.Nodes, func(n Node) bool { return n.Session == b.id })
	led := 0
	for _, l := range v.Slots {
		if at >= 0 && l.Node == v.Nodes[at].ID {
			led++
		}
	}
	if at >= 0 != there || led != leads || len(v.Lost) != lost {
		t.Errorf("%s: %s shows %s: there %v, leads %d; %d slots lost, want %v, %d; %d", when, a.name, b.name, at >= 0, led, len(v.Lost), there, leads, lost)
	}
}

// Who is seen to be gone is not shown any more, before the metastore knows it; whom the metastore shows to be alive is shown again. The
// link with it is kept up all the while.
func TestGoneLeavesTheView(t *testing.T) {
	p, a, b, _ := three(t)
	links := slices.Clone(a.core.peers)
	a.cut = true
	b.frozen = true
	p.gone(a, b)
	a.shown(t, "the table is away", b, false, 0, 2)
	since := p.now
	p.pass(2 * time.Second)
	a.shown(t, "the table is still away", b, false, 0, 2)
	for slot, at := range a.core.view.Lost {
		if l := a.core.view.Slots[slot]; !at.Equal(since) || l.Node != -1 || l.Session != b.id || l.Epoch < 1 {
			t.Errorf("slot %d is lost since %v, want %v: %+v", slot, at, since, l)
		}
	}
	if !slices.Equal(a.core.peers, links) {
		t.Errorf("links with %v, want %v", a.core.peers, links)
	}
	p.beatsBeforeFences(a, b, 2)
	a.cut = false
	p.pass(2 * time.Second)
	if s := p.session(b); s.State != records.Active {
		t.Fatalf("%+v", s)
	}
	a.shown(t, "it beats", b, true, 2, 0)
}

// The slots of who ends itself count as lost, on its own word and at itself too, and it is shown as long as it lives.
func TestClosingIsLost(t *testing.T) {
	p, a, b, c := three(t)
	p.step(b, Stop{})
	b.frozen = true
	for _, x := range []*actor{a, b, c} {
		p.step(x, Told{b.id, peer.Notice{Closing: true}})
		x.shown(t, "it ends itself", b, true, 2, 2)
	}
	b.frozen = false
	p.closes(b)
	for _, x := range []*actor{a, c} {
		x.shown(t, "it is closed", b, false, 0, 0)
	}
	b.core.follow(p.now, readMap(t.Context(), p.facts, "c", ReadMap{}))
	b.shown(t, "it is closed", b, false, 0, 0)
}

// An agent that is alone has nobody who would lead what it leads.
func TestNothingIsLostWithoutAnHeir(t *testing.T) {
	p := newPlay(t)
	a := p.enters("a1")
	p.step(a, Stop{})
	a.shown(t, "alone", a, true, 6, 0)
	p, a, b, _ := three(t)
	for _, x := range p.cast {
		p.step(b, Told{x.id, peer.Notice{Closing: true}})
	}
	p.step(b, Stop{})
	b.shown(t, "all end themselves", a, true, 2, 0)
}

// What a session finds without a leader was lost when it looked first, however often it looks.
func TestFoundLost(t *testing.T) {
	me, other := sessionID("a1"), sessionID("b1")
	begun := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	c := NewCore(CoreConfig{Cluster: "c", Session: me, Agent: "a", Node: 1, Slots: 3, Heartbeat: 3 * time.Second, TTL: 9 * time.Second, Poll: 3 * time.Second})
	c.Step(begun, Tick{})
	c.Step(begun, Answer{Job: about(jobMap, uuid.Nil), Map: &Map{
		Live:   map[uuid.UUID]string{me: "a"},
		Agents: []records.Agent{{Name: "a", NodeID: 1, Session: me}},
		Slots:  []records.Slot{{Leader: me, Agent: "a"}, {Slot: 1, Leader: other, Agent: "b", Epoch: 3}},
	}})
	for n := range 3 {
		if want := map[uint16]time.Time{1: begun}; !maps.Equal(c.view.Lost, want) {
			t.Errorf("lost %v, want %v", c.view.Lost, want) // slot 2 never had a leader
		}
		c.Step(begun.Add(time.Duration(n)*time.Second), Tick{})
	}
}

// While nobody knows what became of a link, the slots of the other side count as lost; not for long, and not once it was heard again.
func TestCutIsDoubted(t *testing.T) {
	p, a, b, _ := three(t)
	cut := func() {
		p.step(a, Cut{b.id})
		p.step(a, Cut{a.id})            // it is no link
		p.step(a, Cut{sessionID("x1")}) // nor that of a session
		a.shown(t, "the link is lost", b, true, 2, 2)
	}
	cut()
	p.step(a, Told{b.id, peer.Notice{}})
	a.shown(t, "it was heard", b, true, 2, 0)
	cut()
	p.pass(doubtFor)
	a.shown(t, "nothing came of it", b, true, 2, 0)
	cut()
	since := maps.Clone(a.core.view.Lost)
	b.dead, a.cut = true, true
	p.gone(a, b)
	a.shown(t, "it is gone", b, false, 0, 2)
	if !maps.Equal(a.core.view.Lost, since) {
		t.Errorf("lost since %v, want %v", a.core.view.Lost, since)
	}
}
