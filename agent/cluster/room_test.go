package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/varvelog/varve/metastore/records"
)

// unit fails if the item of a slot takes more than one write unit.
func (p *play) unit(n uint16) int {
	p.t.Helper()
	s := p.slot(n)
	size := records.Cluster("c").SlotKey(n).Size() + s.Item().Size()
	if size > writeUnit {
		p.t.Fatalf("the item of slot %d has %d bytes, %d sessions in from[]", n, size, len(s.From))
	}
	return size
}

// remember has data of a slot lie where its leader knows it to lie, and in the leader's own WAL, for whoever leads it next.
func (p *play) remember(n uint16) {
	s := p.slot(n)
	var all []Source
	for _, a := range p.cast {
		if a.id == s.Leader {
			all = append(slices.Clone(a.sources[n]), Source{a.id, 1})
		}
	}
	slices.SortFunc(all, func(a, b Source) int { return slices.Compare(a.Session[:], b.Session[:]) })
	all = slices.Compact(all)
	for _, a := range p.cast {
		if a.id != s.Leader {
			a.sources[n] = slices.Clone(all)
		}
	}
}

// TestThousandHandOvers: three agents hand a slot round a thousand times, faster than anything is rewritten of its own accord, and all
// that they wrote stays where it is: the item never takes more than a write unit, and no hand-over waits.
func TestThousandHandOvers(t *testing.T) {
	p, a, b, c := three(t)
	p.mute = true
	for _, x := range []*actor{a, b, c} {
		p.commits(x, 9)
		x.stuck = true
	}
	n := p.mine(b)
	most, longest := 0, 0
	for i := range 1000 {
		p.remember(n)
		to := []*actor{c, a, b}[i%3]
		p.wants(n, to.name[:1])
		for _, x := range []*actor{a, b, c} {
			p.step(x, Recount{})
		}
		p.settle()
		p.pass(200 * time.Millisecond)
		if s := p.slot(n); s.Leader != to.id || to.open[n] != s.Epoch {
			t.Fatalf("move %d, to %s: %+v", i, to.name, s)
		}
		most, longest = max(most, p.unit(n)), max(longest, len(p.slot(n).From))
	}
	t.Logf("at most %d bytes, %d entries of from[]", most, longest)
}

// TestLeadersDieOneAfterTheOther: each leader lasts for ten seconds, too short for anything to be rewritten of its own accord: what lies
// in the WALs of the dead is rewritten in a hurry before from[] is full, and they drain.
func TestLeadersDieOneAfterTheOther(t *testing.T) {
	p := newPlay(t)
	p.mute = true
	watcher, a := p.enters("a1"), p.enters("b#")
	p.pass(10 * time.Second)
	var dead []*actor
	most := 0
	for i := range 90 {
		p.commits(a, 9)
		next := p.enters(string([]byte{'b', byte('$' + i)}))
		for s := range uint16(playSlots) {
			p.remember(s)
		}
		a.dead = true
		p.gone(watcher, a)
		dead = append(dead, a)
		a = next
		p.pass(10 * time.Second)
		for s := range uint16(playSlots) {
			most = max(most, p.unit(s))
		}
		if len(a.open) != playSlots/2 {
			t.Fatalf("round %d: the newcomer leads %v: from[] is too full for more", i, a.open)
		}
	}
	for _, x := range []*actor{watcher, a} { // what comes of its own accord, a minute later
		x.sources = map[uint16][]Source{}
	}
	p.pass(5 * time.Minute)
	drained := 0
	for _, x := range dead {
		if p.session(x).State == records.Drained {
			drained++
		}
	}
	if drained < len(dead) {
		t.Errorf("%d of %d who died are drained", drained, len(dead))
	}
	t.Logf("at most %d bytes", most)
}

// TestSlotWaitsForRoom: while from[] has no room for another session the slot stays with its leader, which says so once; when the others
// are let go of, it moves.
func TestSlotWaitsForRoom(t *testing.T) {
	p, _, b, c := three(t)
	n := p.mine(b)
	s := p.slot(n)
	v := s.V
	s.V++
	for i := range 40 {
		id := sessionID(fmt.Sprintf("z%c", 'A'+i))
		p.write(putOp(records.Cluster("c").SessionKey(id), records.Session{Agent: "z", State: records.Sealed, End: 2, Committed: 1, Pending: map[uint16]int32{n: 0}}.Item()))
		next := s
		next.From = append(next.From, records.From{Session: id, End: 2, Epoch: 0})
		if !fits("c", next, records.Member{Agent: "c", Session: c.id}) {
			break
		}
		s.From = next.From
		b.sources[n] = append(b.sources[n], Source{id, 1})
	}
	s.From = append(s.From, records.From{Session: sessionID("z~"), End: 2, Epoch: 0})
	p.write(putOp(records.Cluster("c").SessionKey(sessionID("z~")), records.Session{Agent: "z", State: records.Drained, End: 2}.Item()))
	b.sources[n] = append(b.sources[n], Source{sessionID("z~"), 1})
	b.stuck = true
	p.write(putSlot("c", v, s), raiseOps("c")[0])
	p.pass(4 * time.Second)
	p.wants(n, "c")
	p.pass(20 * time.Second)
	if now := p.slot(n); now.Leader != b.id || b.draws[n] {
		t.Errorf("%d sessions, it moved: %+v", len(s.From), now)
	}
	if said := strings.Count(p.out.String(), "say: a slot does not move yet"); said != 1 {
		t.Errorf("said %d times", said)
	}
	p.unit(n)
	b.stuck = false
	p.pass(3 * time.Minute)
	p.wants(n, "c")
	p.pass(4 * time.Second)
	if now := p.slot(n); now.Leader != c.id {
		t.Errorf("it does not move: %+v", now)
	}
}

// TestLeadersDieWithinSeconds: no leader lasts longer than a second, and nothing that they committed is rewritten meanwhile. Each has to be
// named, or what it acked is lost: here alone the item outgrows a write unit, with the 32nd of them (with names of 64 bytes the 22nd, see
// TestSlotItemFits). The slot is taken over all the same, and once a leader lasts the item is small again and the dead are drained.
func TestLeadersDieWithinSeconds(t *testing.T) {
	p, _, b, _ := three(t)
	p.mute = true
	n := p.mine(b)
	var dead []*actor
	for i := range 40 {
		leader := p.leads(n)
		p.commits(leader, 9)
		next := p.enters(leader.name[:1] + string(rune('A'+i)))
		for _, a := range p.cast {
			a.stuck = true
		}
		p.remember(n)
		leader.dead = true
		dead = append(dead, leader)
		p.gone(next, leader)
		p.pass(time.Second)
		p.leads(n)
		s := p.slot(n)
		if len(s.From) != i+1 {
			t.Fatalf("death %d: %+v", i+1, s)
		}
		if size := records.Cluster("c").SlotKey(n).Size() + s.Item().Size(); (size > writeUnit) != (i+1 >= 32) {
			t.Fatalf("death %d: an item of %d bytes", i+1, size)
		}
	}
	for _, a := range p.cast {
		a.stuck = false
	}
	p.pass(5 * time.Minute)
	if s := p.slot(n); len(s.From) > 0 {
		t.Errorf("%d bytes, from[] %+v", p.unit(n), s.From)
	}
	for _, x := range dead {
		if s := p.session(x); s.State != records.Drained {
			t.Errorf("%s is not drained: %+v", x.name, s)
		}
	}
}

// leads returns who leads a slot, and serves it.
func (p *play) leads(n uint16) *actor {
	p.t.Helper()
	s := p.slot(n)
	for _, a := range p.cast {
		if epoch, open := a.open[n]; a.id == s.Leader && !a.dead && open && epoch == s.Epoch {
			return a
		}
	}
	p.t.Fatalf("nobody serves slot %d: %+v", n, s)
	return nil
}
