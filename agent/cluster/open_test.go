package cluster

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/varvelog/varve/metastore/mem"
)

// holds reports whether an opening is one of a slot.
func holds(e Open, slot uint16) bool {
	return slices.ContainsFunc(e.Slots, func(t Taken) bool { return t.Slot == slot })
}

// thaw takes away the openings that hang, by job: the play is the same each time.
func (a *actor) thaw() []Open {
	hung := slices.SortedFunc(maps.Values(a.hung), func(x, y Open) int {
		return cmp.Compare(x.Job.String(), y.Job.String())
	})
	clear(a.hung)
	return hung
}

// The store does not give what two slots need: the others are served, those that come later beside, those that are opened together with
// one of them in a smaller group.
func TestPlayOpenHangs(t *testing.T) {
	p, a, b, c := three(t)
	first, later := p.mine(c), p.mine(b)
	a.hangs = func(e Open) bool { return holds(e, first) || holds(e, later) }
	c.dead, b.frozen = true, true // all to a
	p.gone(a, c)
	p.pass(3 * time.Minute)
	p.led(map[string]int{"a1": 4})
	a.hangs = nil
	for _, e := range a.thaw() {
		p.perform(a, e)
	}
	p.pass(time.Second)
	p.led(map[string]int{"a1": 6})
	p.curtain()
}

// The store gives nothing for two minutes: afterwards the slots are opened by a few readings, not each by one of its own.
func TestOpenAfterAnOutage(t *testing.T) {
	playSlots = 64
	defer func() { playSlots = 6 }()
	p := newPlay(t)
	a := p.enters("a1")
	a.dead = true
	b := p.enters("b1")
	b.hangs = func(Open) bool { return true }
	p.gone(b, a)
	p.pass(2 * time.Minute)
	b.hangs = nil
	for _, e := range b.thaw() {
		p.step(b, Answer{Job: e.Job, Committed: 1})
		for _, s := range e.Slots {
			b.open[s.Slot] = s.Epoch
		}
	}
	p.pass(time.Second)
	p.led(map[string]int{"b1": 64})
	if b.opens > 10 {
		t.Errorf("%d readings", b.opens)
	}
}

// stuck is an agent whose openings end with their context only.
type stuck struct{ slotsHere }

func (*stuck) Open(ctx context.Context, _ []Taken) (uint64, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

// An opening that is given up ends, is answered, and is no failure of the agent.
func TestGiveUpOpen(t *testing.T) {
	m := join(t, mem.New(), config("a"))
	s := m.shell
	s.plugs = Plugs{Slots: &stuck{}}
	j := Job{Kind: jobOpen, Slot: 3}
	s.do(t.Context(), Open{j, []Taken{{Slot: 3}, {Slot: 4}}})
	s.do(t.Context(), GiveUp{j})
	s.wg.Wait()
	q := s.take()
	if len(q) != 1 || q[0].(Answer).Job != j || !errors.Is(q[0].(Answer).Err, context.Canceled) {
		t.Errorf("events %v", q)
	}
	select {
	case err := <-m.Failed():
		t.Errorf("the agent would not start: %v", err)
	default:
	}
}

// The store gives nothing of a whole session: slots that come later from another one are served all the same.
func TestOpenBesideThoseThatHang(t *testing.T) {
	playSlots = 40
	defer func() { playSlots = 6 }()
	p := newPlay(t)
	a, b := p.enters("a1"), p.enters("b1")
	p.pass(20 * time.Second)
	bad := p.mine(a)
	b.hangs = func(e Open) bool { return slices.ContainsFunc(e.Slots, func(t Taken) bool { return t.last() == a.id }) }
	a.dead = true
	p.gone(b, a)
	p.pass(30 * time.Minute)
	c := p.enters("c1")
	p.pass(time.Minute)
	c.dead = true
	p.gone(b, c)
	p.pass(time.Second)
	p.led(map[string]int{"b1": 20})
	if _, served := b.open[bad]; served {
		t.Errorf("slot %d is served", bad)
	}
}
