package cluster

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/peer"
	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// three lets three agents come, and the slots spread.
func three(t *testing.T) (p *play, a, b, c *actor) {
	p = newPlay(t)
	a = p.enters("a1")
	b = p.enters("b1")
	c = p.enters("c1")
	p.pass(20 * time.Second)
	p.led(map[string]int{"a1": 2, "b1": 2, "c1": 2})
	p.out.Reset()
	return p, a, b, c
}

// The first agent leads everything, the others get their share by hand-over, and nothing is left pinned.
func TestPlayJoin(t *testing.T) {
	p := newPlay(t)
	a := p.enters("a1")
	p.led(map[string]int{"a1": 6})
	p.enters("b1")
	p.pass(5 * time.Second)
	p.led(map[string]int{"a1": 3, "b1": 3})
	p.pass(time.Minute)
	if pins, _ := getPins(t.Context(), p.facts, "c", a.id); len(pins.Slots) > 0 {
		t.Errorf("pins %v", pins)
	}
	for n := range uint16(6) {
		if s := p.slot(n); len(s.From) > 0 || s.Want != "" {
			t.Errorf("slot %+v", s)
		}
	}
	p.curtain()
}

// An agent that stops for the TTL is fenced by one of its two watchers, sealed, and its slots are given away.
func TestPlayTTL(t *testing.T) {
	p, a, b, _ := three(t)
	p.commits(b, 7)
	b.dead = true
	p.pass(5 * time.Second)
	if p.session(b).State != records.Active {
		t.Error("fenced before the TTL")
	}
	p.pass(8 * time.Second)
	if s := p.session(b); s.State != records.Sealed && s.State != records.Drained || s.End != 8 {
		t.Errorf("%+v", s)
	}
	p.led(map[string]int{"a1": 3, "c1": 3})
	_ = a
	p.curtain()
}

// A refused redial is a death at once.
func TestPlayRefused(t *testing.T) {
	p, a, b, _ := three(t)
	b.dead = true
	p.gone(a, b)
	p.led(map[string]int{"a1": 3, "c1": 3})
	p.curtain()
}

// Who was fenced alive is trusted less: its next session is not fenced on a refused redial for a while.
func TestPlayFencedAlive(t *testing.T) {
	p, a, b, c := three(t)
	p.gone(a, b) // a firewall
	b.dead = true
	next := p.enters("b2")
	next.core.cfg.Node = b.core.cfg.Node
	item := records.Agent{Name: "b", NodeID: 2, Host: "b", Port: 1, Peer: "b:2", Session: next.id, Lived: b.id}
	p.write(putOp(records.Cluster("c").AgentKey("b"), item.Item()), raiseOps("c")[0])
	p.pass(4 * time.Second)
	p.gone(a, next)
	p.gone(c, next)
	if s := p.session(next); s.State != records.Active {
		t.Errorf("fenced again: %+v", s)
	}
	p.pass(11 * time.Minute)
	p.out.Reset()
	next.dead = true
	p.gone(a, next)
	if s := p.session(next); s.State == records.Active {
		t.Error("a refused redial does not count for ever")
	}
	p.curtain()
}

// beatsBeforeFences has b's heartbeat move so often just before a's fence arrives.
func (p *play) beatsBeforeFences(a, b *actor, times int) {
	a.fate = func(f Effect) whatNext {
		if jobOf(f).Kind == jobFence && times > 0 {
			times--
			p.write(beatOp(b))
		}
		return goesWell
	}
}

// The last write of a process that died lands between the look and the fence: its heartbeat stands still then, and nobody waits for a TTL.
func TestPlayLastWriteLands(t *testing.T) {
	p, a, b, _ := three(t)
	b.dead = true
	p.beatsBeforeFences(a, b, 1)
	p.gone(a, b)
	p.led(map[string]int{"a1": 3, "c1": 3})
	p.curtain()
}

// The heartbeat moves between the look and the fence, and again: it is alive, and nobody is fenced.
func TestPlayFenceTooLate(t *testing.T) {
	p, a, b, _ := three(t)
	p.beatsBeforeFences(a, b, 2)
	p.gone(a, b)
	if s := p.session(b); s.State != records.Active {
		t.Errorf("%+v", s)
	}
	p.led(map[string]int{"a1": 2, "b1": 2, "c1": 2})
	p.curtain()
}

// The leader of slot 0 dies, and with it the controller: the lowest node id that lives gives its slots away.
func TestPlayFirstDies(t *testing.T) {
	p, a, b, _ := three(t)
	first := p.slot(0).Leader
	if first != a.id {
		t.Fatalf("slot 0 is led by %s", first)
	}
	a.dead = true
	p.gone(b, a)
	p.led(map[string]int{"b1": 3, "c1": 3})
	p.curtain()
}

// Slots of a session that is FENCED and not yet sealed are left alone, whatever happens to who fenced it; somebody seals it.
func TestPlayFencerDies(t *testing.T) {
	p, a, b, c := three(t)
	b.dead = true
	a.fate = func(f Effect) whatNext {
		if e, ok := f.(ReadEnd); ok && e.Job.Kind == jobEnd {
			a.dead = true
			return isLost
		}
		return goesWell
	}
	p.gone(a, b)
	if s := p.session(b); s.State != records.Fenced {
		t.Fatalf("%+v", s)
	}
	if p.slot(1).Leader == c.id && p.slot(1).Epoch > 1 {
		t.Error("slots of a FENCED session were given away")
	}
	p.pass(20 * time.Second)
	p.led(map[string]int{"c1": 6})
	p.curtain()
}

// The table does not answer, for seconds or for minutes: nobody is fenced for it (Z11).
func TestPlayTableAway(t *testing.T) {
	for d := 5 * time.Second; d < 10*time.Minute; d += d/16 + time.Second/2 {
		p, a, b, c := three(t)
		for _, x := range []*actor{a, b, c} {
			x.cut = true
		}
		p.pass(d)
		for _, x := range []*actor{a, b, c} {
			x.cut, x.beaten = false, p.now // their heartbeats come later than their looks
		}
		p.pass(30 * time.Second)
		for _, x := range []*actor{a, b, c} {
			if s := p.session(x); s.State != records.Active {
				t.Errorf("away for %v: %s: %+v", d, x.name, s)
			}
		}
		p.led(map[string]int{"a1": 2, "b1": 2, "c1": 2})
	}
}

// All three stand still, and wake up together (a host that was suspended): nobody is fenced (R17).
func TestPlayAllStandStill(t *testing.T) {
	p, a, b, c := three(t)
	for _, x := range []*actor{a, b, c} {
		x.frozen = true
	}
	p.now = p.now.Add(time.Minute)
	for _, x := range []*actor{a, b, c} {
		x.frozen, x.beaten = false, p.now // their heartbeats come later than their looks
	}
	p.pass(30 * time.Second)
	for _, x := range []*actor{a, b, c} {
		if s := p.session(x); s.State != records.Active {
			t.Errorf("%s: %+v", x.name, s)
		}
	}
}

// An agent leaves: its slots are led again at once.
func TestPlayLeave(t *testing.T) {
	p, _, b, _ := three(t)
	p.commits(b, 4)
	p.closes(b)
	p.led(map[string]int{"a1": 3, "c1": 3})
	p.pass(2 * time.Minute)
	if s := p.session(b); s.State != records.Drained {
		t.Errorf("%+v", s)
	}
	p.curtain()
}

// An agent that cannot open a slot says so, goes on serving the others, and tries again.
func TestPlayOpenFails(t *testing.T) {
	p, a, b, c := three(t)
	c.fail = 4
	b.dead = true
	p.gone(a, b)
	p.led(map[string]int{"a1": 3, "c1": 2})
	p.pass(15 * time.Second)
	p.led(map[string]int{"a1": 3, "c1": 3})
	p.curtain()
}

// The WAL of a dead session is kept for a slot as long as the slot has data in it; then the session is drained, its objects are
// queued, and from[] forgets it.
func TestPlayDrained(t *testing.T) {
	p, a, b, c := three(t)
	p.commits(b, 9)
	for _, x := range []*actor{a, c} {
		for n := range uint16(6) {
			if p.slot(n).Leader == b.id {
				x.sources[n] = []Source{{b.id, 3}}
			}
		}
	}
	b.dead = true
	p.gone(a, b)
	p.led(map[string]int{"a1": 3, "c1": 3})
	p.pass(3 * time.Minute)
	s := p.session(b)
	if s.State != records.Sealed || len(s.Pending) != 2 {
		t.Errorf("with data in its WAL it is %+v", s)
	}
	for n := range s.Pending {
		if from := p.slot(n).From; len(from) != 1 || from[0] != (records.From{Session: b.id, End: 10, Epoch: s.Pending[n]}) {
			t.Errorf("slot %d: from %+v", n, from)
		}
	}
	clear(a.sources)
	clear(c.sources)
	p.pass(3 * time.Minute)
	if s = p.session(b); s.State != records.Drained {
		t.Errorf("without data in its WAL it is %+v", s)
	}
	page, err := p.facts.Query(t.Context(), queryAll(records.Cluster("c").GarbagePK(int(b.id[0]))))
	if err != nil || len(page.Rows) != 1 {
		t.Fatalf("%v, %v", page, err)
	}
	if g, err := records.DecodeGarbage(page.Rows[0].Item); err != nil || g.Session != b.id || g.From != 1 || g.End != 10 {
		t.Errorf("%+v, %v", g, err)
	}
	for n := range uint16(6) {
		if from := p.slot(n).From; len(from) > 0 {
			t.Errorf("slot %d: from %+v", n, from)
		}
	}
	p.curtain()
}

// Who cannot write its own heartbeat does not judge who stands still. Once it can, the other has the whole TTL again.
func TestOwnHeartStandsStill(t *testing.T) {
	p, a, b, c := three(t)
	b.dead, c.frozen = true, true
	a.core.Beaten(p.now.Add(-3 * time.Second))
	p.pass(time.Minute)
	if s := p.session(b); s.State != records.Active {
		t.Errorf("fenced by one who stood still: %+v", s)
	}
	for s := range 24 {
		a.core.Beaten(p.now)
		p.pass(500 * time.Millisecond)
		if s < 16 && p.session(b).State != records.Active {
			t.Fatalf("fenced %d half seconds after the heart moved again", s+1)
		}
	}
	if s := p.session(b); s.State == records.Active {
		t.Error("never fenced")
	}
}

// A fence that the metastore does not take is given up when the own heartbeat does not go through either.
func TestFenceGivenUp(t *testing.T) {
	p, a, b, c := three(t)
	b.dead, c.frozen = true, true
	a.core.Beaten(p.now)
	a.fate = func(f Effect) whatNext {
		if jobOf(f).Kind == jobFence {
			return isLost
		}
		return goesWell
	}
	p.gone(a, b) // the write is lost, again and again
	a.core.sessions[b.id].gone = false
	p.pass(10 * time.Second)
	a.fate = nil
	a.core.Beaten(p.now)
	p.pass(5 * time.Second)
	if s := p.session(b); s.State != records.Active {
		t.Errorf("an old decision was carried out: %+v", s)
	}
}

// The item of one slot cannot be written, for whatever reason: the others are given away, opened, and everybody hears of it.
func TestOneSlotCannotBeTaken(t *testing.T) {
	for i := range 2 {
		p, a, b, c := three(t)
		bad := slices.Sorted(maps.Keys(b.open))[i]
		never := func(f Effect) whatNext {
			if j := jobOf(f); j.Kind == jobTake && j.Slot == int32(bad) {
				return isLost
			}
			return goesWell
		}
		a.fate, c.fate = never, never
		b.dead = true
		p.gone(a, b)
		p.pass(1500 * time.Millisecond)
		for n := range uint16(playSlots) {
			s := p.slot(n)
			if served := p.cast[s.Agent+"1"].open[n] == s.Epoch; n != bad && (s.Leader == b.id || !served) {
				t.Errorf("without slot %d: slot %d: served %v: %+v", bad, n, served, s)
			}
		}
	}
}

// Somebody else is always faster at the item that a slot is to be taken out of: it is tried again after ever longer pauses.
func TestUnpinBacksOff(t *testing.T) {
	p, a, b, _ := three(t)
	tries := 0
	a.fate = func(f Effect) whatNext {
		if w, ok := f.(Write); ok && w.Job.Kind == jobUnpin && w.Job.Session == b.id {
			tries++
			s := p.session(b)
			s.Pending[uint16(100+tries)] = 1
			p.write(metastore.Op{
				Kind: metastore.OpUpdate, Key: records.Cluster("c").SessionKey(b.id),
				Set: metastore.Item{records.AttrPending: records.PendingValue(s.Pending)},
			})
		}
		return goesWell
	}
	b.dead = true
	p.gone(a, b)
	p.pass(20 * time.Second)
	if tries < 5 || tries > 25 {
		t.Errorf("%d tries in 20 s", tries)
	}
	a.fate = nil
	p.pass(5 * time.Second)
	if _, owes := p.session(b).Pending[p.mine(a)]; owes {
		t.Errorf("%+v", p.session(b))
	}
}

// That somebody was fenced alive counts for a newcomer if it was not long ago, and for whoever saw the next session start.
func TestFencedAliveLongAgo(t *testing.T) {
	begun := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, x := range []struct {
		ago   time.Duration
		later bool // the mark comes with the second map
		wary  bool
	}{{time.Minute, false, true}, {time.Hour, false, false}, {time.Hour, true, true}} {
		me, other := sessionID("a1"), records.Agent{Name: "b", Session: sessionID("b2"), Started: begun.Add(-x.ago).UnixMilli(), Lived: sessionID("b1")}
		c := NewCore(CoreConfig{Cluster: "c", Session: me, Agent: "a", Slots: 1, Heartbeat: time.Second, TTL: 3 * time.Second, Poll: time.Second})
		c.Step(begun, Tick{})
		m := &Map{Agents: []records.Agent{{Name: "a", Session: me, Started: begun.UnixMilli()}, other}}
		if x.later {
			m.Agents[1].Lived = uuid.Nil
		}
		c.Step(begun, Answer{Job: about(jobMap, uuid.Nil), Map: m})
		if x.later {
			c.Step(begun, Answer{Job: about(jobMap, uuid.Nil), Map: m})
			c.Step(begun, Told{other.Session, peer.Notice{Map: 9}})
			m.Agents[1] = other
			c.Step(begun, Answer{Job: about(jobMap, uuid.Nil), Map: m})
		}
		if _, wary := c.wary["b"]; wary != x.wary {
			t.Errorf("%v ago, seen to start: %v: wary %v", x.ago, x.later, wary)
		}
	}
}

// Everybody sees that a process is gone: its two watchers do something about it, and the next ones if these are gone too.
func TestGoneForMany(t *testing.T) {
	for dead := 1; dead <= 4; dead++ {
		p := newPlay(t)
		var all []*actor
		for _, name := range []string{"a1", "b1", "c1", "d1", "e1", "f1", "g1", "h1"} {
			all = append(all, p.enters(name))
		}
		p.pass(20 * time.Second)
		acted := map[string]bool{}
		for _, x := range all {
			x.fate = func(f Effect) whatNext {
				if jobOf(f) == about(jobSuspect, all[2].id) {
					acted[x.name] = true
				}
				return goesWell
			}
		}
		for _, x := range all[2 : 2+dead] {
			x.dead = true
		}
		for _, x := range all {
			for _, y := range all[2 : 2+dead] {
				if !x.dead {
					p.step(x, Gone{Session: y.id})
				}
			}
		}
		p.settle()
		p.pass(2 * time.Second)
		if len(acted) == 0 || len(acted) > 2 {
			t.Errorf("%d dead: %v acted", dead, acted)
		}
		for _, x := range all[2 : 2+dead] {
			if s := p.session(x); s.State == records.Active {
				t.Errorf("%d dead: %s: %+v", dead, x.name, s)
			}
		}
	}
}

// One that has said that it ends itself, and whose address refuses then, is not taken for dead at once.
func TestGoneAfterClosing(t *testing.T) {
	p, a, b, _ := three(t)
	suspects := 0
	a.fate = func(f Effect) whatNext {
		if jobOf(f).Kind == jobSuspect {
			suspects++
		}
		return goesWell
	}
	p.step(b, Stop{})
	p.settle()
	b.dead = true
	p.gone(a, b)
	p.pass(turnTime / 2)
	if suspects > 0 {
		t.Error("suspected at once")
	}
	p.pass(turnTime)
	if s := p.session(b); suspects != 1 || s.State == records.Active {
		t.Errorf("then died: %d looks, %+v", suspects, s)
	}
}

// A hand-over that landed late named an agent that had ended, and nobody told anybody: the controller reads the whole map every 60 s, whatever
// it hears, and gives the slot to one who lives. All others would come upon it after five minutes.
func TestPlayLooksEachMinute(t *testing.T) {
	p, _, b, _ := three(t)
	gone := sessionID("z1")
	p.write(putOp(records.Cluster("c").SessionKey(gone), records.Session{Agent: "z", State: records.Sealed, End: 1}.Item()))
	n := p.mine(b)
	s := p.slot(n)
	p.say("--- slot %d goes to z1, which has ended, and the version of the map stays", n)
	p.write(moveOp("c", s, 1, records.Member{Agent: "z", Session: gone}, uuid.UUID{1}))
	p.pass(60*time.Second + 100*time.Millisecond)
	now := p.slot(n)
	if to := p.cast[now.Agent+"1"]; to == nil || now.Leader != to.id || to.open[n] != s.Epoch+2 || now.Epoch != s.Epoch+2 {
		t.Errorf("a minute after a late hand-over to one who has ended: %+v", now)
	}
	p.curtain()
}
