package cluster

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/peer"
	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

func putOp(key metastore.Key, item metastore.Item) metastore.Op {
	return metastore.Op{Kind: metastore.OpPut, Key: key, Set: item}
}

func beatOp(a *actor) metastore.Op {
	return metastore.Op{Kind: metastore.OpUpdate, Key: records.Cluster("c").SessionKey(a.id), Add: map[string]int64{records.AttrHB: 1}}
}

func queryAll(pk string) metastore.Query {
	return metastore.Query{PK: pk, Consistency: metastore.Consistent}
}

// wants makes an agent the wanted leader of a slot, as a controller does.
func (p *play) wants(n uint16, agent string) {
	s := p.slot(n)
	p.say("--- slot %d shall go to %s", n, agent)
	p.write(wantOp("c", s, agent, uuid.UUID{1, 2, 3}), raiseOps("c")[0])
}

// mine returns the first slot that an actor leads, other than slot 0.
func (p *play) mine(a *actor) uint16 {
	for n := uint16(1); n < uint16(playSlots); n++ {
		if p.slot(n).Leader == a.id {
			return n
		}
	}
	p.t.Fatal("it leads none")
	return 0
}

// once makes the first request of a kind that does not go well.
func once(kind Kind, what whatNext) func(Effect) whatNext {
	done := false
	return func(f Effect) whatNext {
		if jobOf(f).Kind != kind || done {
			return goesWell
		}
		done = true
		return what
	}
}

// A slot with data moves: its records stay pinned for the new leader, from the lowest on.
func TestPlayHandOver(t *testing.T) {
	p, _, b, c := three(t)
	n := p.mine(b)
	p.commits(b, 9)
	b.sources[n], c.sources[n] = []Source{{b.id, 4}}, []Source{{b.id, 4}}
	p.wants(n, "c")
	p.pass(4 * time.Second)
	s := p.slot(n)
	if s.Leader != c.id || s.From[len(s.From)-1] != (records.From{Session: b.id, End: 10, Epoch: s.Epoch - 1}) || s.Want != "" {
		t.Errorf("%+v", s)
	}
	if pins, _ := getPins(t.Context(), p.facts, "c", b.id); pins.Slots[n] != (records.Pin{Seq: 4, Epoch: s.Epoch - 1}) {
		t.Errorf("pins %+v", pins)
	}
	if _, still := b.open[n]; still || c.open[n] != s.Epoch {
		t.Errorf("b leads %v, c leads %v", b.open, c.open)
	}
	p.curtain()
}

// The answer to the update of the slot item is lost (Z16): it is asked again and recognised as done.
func TestPlayHandOverAnswerLost(t *testing.T) {
	p, _, b, c := three(t)
	n := p.mine(b)
	b.fate = once(jobHand, replyLost)
	p.wants(n, "c")
	p.pass(4 * time.Second)
	if _, still := b.open[n]; still || p.slot(n).Leader != c.id || c.open[n] != p.slot(n).Epoch {
		t.Errorf("%+v: b leads %v, c leads %v", p.slot(n), b.open, c.open)
	}
	p.curtain()
}

// The answer to the pins is lost: read and recognised.
func TestPlayPinAnswerLost(t *testing.T) {
	p, _, b, c := three(t)
	n := p.mine(b)
	b.fate = once(jobPin, replyLost)
	p.wants(n, "c")
	p.pass(4 * time.Second)
	if p.slot(n).Leader != c.id || c.open[n] != p.slot(n).Epoch {
		t.Errorf("%+v: c leads %v", p.slot(n), c.open)
	}
	p.curtain()
}

// The update has an unknown outcome and the other dies: v is raised before the slot is served again, so that the update, which
// arrives after all, fails (R26).
func TestPlayHandOverGivenUp(t *testing.T) {
	p, a, b, c := three(t)
	n := p.mine(b)
	sent := false
	b.fate = func(f Effect) whatNext {
		if k := jobOf(f).Kind; k != jobHand && k != jobGiveUp {
			return goesWell
		}
		if sent {
			return isLost
		}
		sent = true
		return underWay
	}
	a.fate = func(f Effect) whatNext {
		if jobOf(f).Kind == jobWant {
			return isLost // it would raise v too
		}
		return goesWell
	}
	p.wants(n, "c")
	p.pass(4 * time.Second)
	c.dead = true
	p.gone(a, c)
	p.pass(4 * time.Second)
	if _, yes := b.draws[n]; !yes {
		t.Errorf("it serves before v was raised: %v", b.draws)
	}
	giveUp := b.fate
	b.fate = func(f Effect) whatNext {
		if jobOf(f).Kind == jobGiveUp {
			return goesWell
		}
		return giveUp(f)
	}
	p.pass(4 * time.Second)
	if _, still := b.draws[n]; still {
		t.Error("it drains for ever")
	}
	before := p.slot(n)
	p.land(b)
	if s := p.slot(n); s.Leader != b.id || s.V != before.V {
		t.Errorf("an update that was given up changed %+v", s)
	}
	p.pass(time.Minute)
	if pins, _ := getPins(t.Context(), p.facts, "c", b.id); len(pins.Slots) > 0 {
		t.Errorf("pins %+v", pins)
	}
	p.led(map[string]int{"a1": 3, "b1": 3})
	p.curtain()
}

// The update has an unknown outcome, and arrives before it is given up: then it has happened.
func TestPlayHandOverLate(t *testing.T) {
	p, a, b, c := three(t)
	n := p.mine(b)
	sent := false
	b.fate = func(f Effect) whatNext {
		switch {
		case jobOf(f).Kind != jobHand:
			return goesWell
		case sent:
			return isLost
		}
		sent = true
		return underWay
	}
	p.wants(n, "c")
	p.pass(4 * time.Second)
	p.land(b)
	c.dead = true
	p.gone(a, c)
	p.pass(4 * time.Second)
	if s := p.slot(n); s.Epoch < 2 {
		t.Errorf("%+v", s)
	}
	p.pass(20 * time.Second)
	p.led(map[string]int{"a1": 3, "b1": 3})
	p.curtain()
}

// The other dies before the update is sent: the slot stays, at the same epoch.
func TestPlayHandOverTargetDead(t *testing.T) {
	p, _, b, c := three(t)
	n := p.mine(b)
	epoch := p.slot(n).Epoch
	b.fate = once(jobPin, isLost)
	p.wants(n, "c")
	p.step(b, Told{c.id, noticeMap(p)})
	for range 40 {
		p.settleOne(b)
	}
	c.dead = true
	p.gone(b, c)
	p.pass(4 * time.Second)
	if s := p.slot(n); s.Leader != b.id || s.Epoch != epoch {
		t.Errorf("%+v", s)
	}
	if _, still := b.draws[n]; still {
		t.Error("it drains for ever")
	}
	p.curtain()
}

// The owner is fenced midway: no pin appears after the fence, and the slot goes where all its slots go.
func TestPlayHandOverOwnerFenced(t *testing.T) {
	p, a, b, _ := three(t)
	n := p.mine(b)
	b.fate = func(f Effect) whatNext {
		if jobOf(f).Kind == jobPin {
			b.fate = nil
			p.say("--- %s is fenced", b.name)
			p.gone(a, b)
		}
		return goesWell
	}
	p.wants(n, "c")
	p.pass(4 * time.Second)
	if pins, _ := getPins(t.Context(), p.facts, "c", b.id); len(pins.Slots) > 0 {
		t.Errorf("pins after the fence: %+v", pins)
	}
	if s := p.session(b); s.State == records.Active || s.State == records.Fenced {
		t.Errorf("%+v", s)
	}
	if !b.core.over {
		t.Error("it does not know that it is over")
	}
	p.curtain()
}

// A session that died with a slot pinned owes it, although another led it since.
func TestPlayPinnedThenDead(t *testing.T) {
	p, a, b, c := three(t)
	n := p.mine(b)
	p.commits(b, 9)
	for _, x := range []*actor{a, b, c} {
		x.sources[n] = []Source{{b.id, 4}}
	}
	p.wants(n, "c")
	p.pass(4 * time.Second)
	epoch := p.slot(n).Epoch
	b.dead = true
	p.gone(a, b)
	if s := p.session(b); s.State != records.Sealed || s.Pending[n] != epoch-1 {
		t.Errorf("%+v, slot %+v", s, p.slot(n))
	}
	p.curtain()
}

// A leader of an epoch between, late, must not take a slot out of what the session of a newer epoch keeps (R25).
func TestUnpinNeedsAHigherEpoch(t *testing.T) {
	active := records.Session{State: records.Active}
	pins := records.Pins{Slots: map[uint16]records.Pin{3: {Seq: 5, Epoch: 7}}, V: 2}
	sealed := records.Session{State: records.Sealed, Pending: map[uint16]int32{3: 7, 4: 1}, End: 9}
	id := sessionID("a1")
	for epoch, want := range map[int32]bool{6: false, 7: false, 8: true} {
		led := map[uint16]int32{3: epoch}
		if got := unpinOps("c", id, active, pins, led, 0) != nil; got != want {
			t.Errorf("pin of epoch 7, leader of %d: taken out %v", epoch, got)
		}
		if got := unpinOps("c", id, sealed, records.Pins{}, led, 0) != nil; got != want {
			t.Errorf("pending of epoch 7, leader of %d: taken out %v", epoch, got)
		}
	}
	if unpinOps("c", id, records.Session{State: records.Fenced, Pending: sealed.Pending}, pins, map[uint16]int32{3: 9}, 0) != nil {
		t.Error("what a FENCED session owes is not known yet")
	}
}

func noticeMap(p *play) (n peer.Notice) {
	v, _ := getVersion(p.t.Context(), p.facts, "c", metastore.Consistent)
	n.Map = v.Map
	return n
}

// settleOne carries out one effect of an actor.
func (p *play) settleOne(a *actor) {
	if len(a.todo) > 0 {
		f := a.todo[0]
		a.todo = a.todo[1:]
		p.perform(a, f)
	}
}

// A look at where data lies takes long: meanwhile the slot goes to another agent, which writes to it, and comes back. What the look
// saw is no reason to take the slot out of what the other one keeps.
func TestLateLook(t *testing.T) {
	p, _, b, c := three(t)
	n := p.mine(b)
	p.commits(b, 9)
	b.sources[n], c.sources[n] = []Source{{b.id, 4}}, []Source{{b.id, 4}, {c.id, 3}}
	b.core.looked = time.Time{}
	p.step(b, Tick{})
	var late *Answer
	b.todo = slices.DeleteFunc(b.todo, func(f Effect) bool {
		if e, ok := f.(Look); ok {
			late = &Answer{Job: e.Job, Sources: p.where(b)}
		}
		return late != nil && f.String() == Look{}.String()
	})
	if late == nil {
		t.Fatal("it does not look")
	}
	p.wants(n, "c")
	p.pass(4 * time.Second)
	p.commits(c, 5)
	b.sources[n] = c.sources[n]
	p.wants(n, "b")
	p.pass(4 * time.Second)
	if p.slot(n).Leader != b.id {
		t.Fatalf("%+v", p.slot(n))
	}
	p.step(b, *late)
	p.settle()
	pins, err := getPins(t.Context(), p.facts, "c", c.id)
	if pin, there := pins.Slots[n]; err != nil || !there || pin.Seq != 3 {
		t.Errorf("pins %+v of the session that holds data of slot %d; %v", pins, n, err)
	}
	p.pass(2 * time.Minute)
	if s := p.slot(n); len(s.From) == 0 {
		t.Errorf("nobody is named any more: %+v", s)
	}
}

// What a successor replays after the newest recorded snapshot is needed, also where memory has it elsewhere by now (core seed 211358).
func TestReplayed(t *testing.T) {
	own, other := uuid.UUID{1}, uuid.UUID{2}
	for _, c := range []struct{ have, want []Source }{
		{nil, []Source{{own, 11}}},
		{[]Source{{other, 3}}, []Source{{other, 3}, {own, 11}}},
		{[]Source{{own, 15}, {other, 3}}, []Source{{own, 11}, {other, 3}}},
		{[]Source{{own, 4}}, []Source{{own, 4}}},
	} {
		if got := Replayed(slices.Clone(c.have), own, 11); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.have, got, c.want)
		}
	}
}
