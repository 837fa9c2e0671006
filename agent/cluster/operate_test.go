package cluster

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/peer"
	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/records"
)

// drains marks an agent, or takes the mark back, as another one does for an operator.
func (p *play) drains(by, a *actor, mark uuid.UUID) {
	p.t.Helper()
	item, err := p.facts.Get(context.Background(), records.Cluster("c").AgentKey(a.name[:1]), metastore.Consistent)
	if err != nil {
		p.t.Fatal(err)
	}
	r, err := records.DecodeAgent(item)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Drain = mark
	p.say("--- %s is drained: %v", a.name, mark == a.id)
	p.write(putOp(records.Cluster("c").AgentKey(r.Name), r.Item()))
	p.step(by, Learned{Agents: []records.Agent{r}})
	p.settle()
}

// The controller is drained: it moves its slots away, slot 0 last, and whoever leads slot 0 then goes on with it. It gets none
// back, also of those of an agent that dies, until the mark is taken back.
func TestPlayDrainAgent(t *testing.T) {
	p, a, b, c := three(t)
	p.drains(c, a, a.id)
	p.pass(2 * time.Second)
	p.led(map[string]int{"a1": 0, "b1": 3, "c1": 3})
	p.curtain()

	p.pass(3 * time.Minute)
	p.led(map[string]int{"a1": 0, "b1": 3, "c1": 3})
	b.dead = true
	p.gone(c, b)
	p.pass(time.Second)
	p.led(map[string]int{"a1": 0, "c1": 6})
	p.drains(c, a, uuid.Nil)
	p.pass(5 * time.Second)
	p.led(map[string]int{"a1": 3, "c1": 3})
}

// Two are drained at the same time, and then the last one too, by two operators who did not see each other: somebody must lead.
func TestPlayDrainAll(t *testing.T) {
	p, a, b, c := three(t)
	p.drains(c, a, a.id)
	p.drains(c, b, b.id)
	p.pass(5 * time.Second)
	p.led(map[string]int{"a1": 0, "b1": 0, "c1": 6})
	p.drains(b, c, c.id)
	p.pass(5 * time.Second)
	p.led(map[string]int{"a1": 2, "b1": 2, "c1": 2})
	p.curtain()
}

// A mark is of one session: an agent that was started anew leads its share.
func TestPlayDrainedRestarts(t *testing.T) {
	p, a, b, _ := three(t)
	p.drains(a, b, b.id)
	p.pass(2 * time.Second)
	p.led(map[string]int{"a1": 3, "b1": 0, "c1": 3})
	p.closes(b)
	p.enters("b2")
	p.pass(5 * time.Second)
	p.led(map[string]int{"a1": 2, "b2": 2, "c1": 2})
}

// wire is a link with one other member.
type wire struct {
	from uuid.UUID
	to   atomic.Pointer[Member]
}

func (*wire) Set([]peer.Peer) {}

func (w *wire) Broadcast(n peer.Notice) {
	if to := w.to.Load(); to != nil {
		to.Notice(peer.Identity{Session: w.from}, n)
	}
}

// pair is two members of one cluster, linked, the first of which leads everything; the second is not run yet.
func pair(t *testing.T) (facts *mem.Store, a, b *Member, here *slotsHere, back *wire) {
	t.Helper()
	facts = mem.New()
	cfg := config("a")
	cfg.Exclusive, cfg.TTL, cfg.Heartbeat = false, time.Minute, 10*time.Second
	a = join(t, facts, cfg)
	if _, err := a.Acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	there, back := &wire{from: a.Session()}, &wire{}
	here, _ = runs(t, a, there)
	cfg.Name, cfg.Port = "b", 2
	b = join(t, facts, cfg)
	if n, err := b.Acquire(t.Context()); n != 0 || err != nil { // it lets the first one know
		t.Fatal(n, err)
	}
	back.from = b.Session()
	there.to.Store(b)
	back.to.Store(a)
	return facts, a, b, here, back
}

func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting for: %s", what)
		}
	}
}

func refusal(t *testing.T, err error, words ...string) {
	t.Helper()
	if !errors.Is(err, ErrRefused) {
		t.Fatalf("%v, want a refusal with %q", err, words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q lacks %q", err, w)
		}
	}
}

// What an operator asks of one agent another one does; what can't be is refused, with a reason.
func TestMove(t *testing.T) {
	_, a, b, first, back := pair(t)
	refusal(t, a.Move(t.Context(), 8, "a"), "no slot 8", "0 to 7")
	refusal(t, a.Move(t.Context(), -1, "a"), "no slot -1")
	refusal(t, a.Move(t.Context(), 3, "x"), "no agent x", "there are a")
	refusal(t, a.Move(t.Context(), 3, "x\x00y"), "agent name")
	if err := a.Move(t.Context(), 3, "a"); err != nil {
		t.Errorf("where it is: %v", err)
	}
	second, _ := runs(t, b, back)
	for range 2 { // twice is once
		if err := b.Move(t.Context(), 3, "b"); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the slot is there", func() bool { _, there := second.taken()[3]; return there })
	eventually(t, "it is not here", func() bool { _, there := first.taken()[3]; return !there })
	if e := second.taken()[3].Epoch; e != 1 {
		t.Errorf("it is there at epoch %d: it moved more than once", e)
	}
}

func TestDrain(t *testing.T) {
	facts, a, b, _, back := pair(t)
	second, stop := runs(t, b, back)
	refusal(t, a.Drain(t.Context(), 7, true), "node id 7")
	for range 2 {
		if err := a.Drain(t.Context(), b.NodeID(), true); err != nil {
			t.Fatal(err)
		}
	}
	refusal(t, a.Drain(t.Context(), a.NodeID(), true), "no other agent", "start one first")
	refusal(t, b.Move(t.Context(), 3, "b"), "agent b is being drained")
	eventually(t, "it leads nothing and says so", func() bool {
		r, err := b.Report(t.Context())
		return err == nil && len(r.Agents) == 2 && r.Agents[1].Draining && r.Agents[1].Slots == 0 && len(second.taken()) == 0
	})
	for range 2 {
		if err := a.Drain(t.Context(), b.NodeID(), false); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Move(t.Context(), 3, "b"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the slot is there", func() bool { _, there := second.taken()[3]; return there })
	stop()
	if _, err := b.Report(t.Context()); err == nil {
		t.Error("a session that is over reports")
	}
	if err := b.Leave(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	refusal(t, a.Drain(t.Context(), b.NodeID(), true), "does not run")
	refusal(t, a.Move(t.Context(), 3, "b"), "does not run")

	// One that was fenced alive is drained on; one that was started anew is not.
	for _, lived := range []uuid.UUID{b.Session(), uuid.Nil} {
		mark(t, facts, "b")
		cfg := b.cfg
		cfg.Lived = lived
		next := join(t, facts, cfg)
		item := agentItem(t, facts, "b")
		if drained := item.Drain == next.Session(); item.Session != next.Session() || drained != (lived != uuid.Nil) {
			t.Errorf("fenced alive %v: %+v", lived, item)
		}
		if err := next.Leave(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
}

func agentItem(t *testing.T, facts metastore.Store, name string) records.Agent {
	t.Helper()
	item, err := facts.Get(t.Context(), records.Cluster("c").AgentKey(name), metastore.Consistent)
	if err != nil {
		t.Fatal(err)
	}
	a, err := records.DecodeAgent(item)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func mark(t *testing.T, facts metastore.Store, name string) {
	t.Helper()
	a := agentItem(t, facts, name)
	a.Drain = a.Session
	if _, err := facts.Write(t.Context(), putOp(records.Cluster("c").AgentKey(name), a.Item())); err != nil {
		t.Fatal(err)
	}
}

// A report says what its agent alone can know of the slots that it leads.
func TestReport(t *testing.T) {
	p, a, b, _ := three(t)
	n := p.mine(b)
	p.step(b, Rates{nil})
	r := b.core.Report(p.now)
	i := slices.IndexFunc(r.Agents, func(a AgentReport) bool { return a.Name == "b" })
	if len(r.Agents) != 3 || r.Agents[i].Slots != 2 || r.Agents[i].Quiet != 0 || r.Agents[0].Quiet < 0 || r.Agents[0].Quiet > 6*time.Second {
		t.Errorf("%+v", r.Agents)
	}
	if s := r.Slots[n]; s.State != "open" || s.Agent != "b" || s.Node != 2 || s.Epoch != 1 || s.Session != b.id || s.For < time.Second {
		t.Errorf("%+v", s)
	}
	if s := a.core.Report(p.now).Slots[n]; s.State != "" || s.Node != 2 || s.Agent != "b" {
		t.Errorf("at another agent: %+v", s)
	}
	b.fail = 3
	p.wants(p.mine(a), "b")
	m := p.mine(a)
	p.pass(5 * time.Second)
	if s := b.core.Report(p.now).Slots[m]; s.State != "opening" || s.For <= 0 || s.From == 0 {
		t.Errorf("an opening that fails: %+v", s)
	}
	b.dead = true
	p.gone(a, b)
	p.pass(3 * time.Minute)
	for _, s := range a.core.Report(p.now).Slots {
		if s.Unneeded != 0 || s.Node < 0 {
			t.Errorf("%+v", s)
		}
	}
}

// Who has closed its session sees who leads its slots next; the last one of all sees that nobody does, and does not wait.
func TestFollow(t *testing.T) {
	_, a, b, _, back := pair(t)
	second, stop := runs(t, b, back)
	eventually(t, "the slot is there", func() bool { // the wish is taken back until the other one was heard of
		_, there := second.taken()[3]
		return there || a.Move(t.Context(), 3, "b") != nil
	})
	stop()
	if err := b.Leave(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	b.Follow(t.Context())
	if l := b.View().Slots[3]; l.Node != a.NodeID() || l.Session != a.Session() || l.Epoch != 2 {
		t.Errorf("after it left: %+v", l)
	}
	if _, there := b.View().Node(b.NodeID()); there {
		t.Error("it sees itself among those who live")
	}
}

func TestFollowOfTheLast(t *testing.T) {
	m := join(t, mem.New(), config("a"))
	if _, err := m.Acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, stop := runs(t, m)
	stop()
	if err := m.Leave(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	m.Follow(t.Context())
	if l := m.View().Slots[3]; l.Node != -1 {
		t.Errorf("%+v", l)
	}
}
