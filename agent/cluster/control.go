// Pure.

package cluster

import (
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
)

// control is what a controller remembers. Nothing of it matters to safety: two controllers at once do no harm.
type control struct {
	assigning time.Time // since when slots are free; zero: none are
	members   string    // whom the last plan was for
	steady    time.Time // since when they are the same
	looked    time.Time // when it was last seen whether each leads its share
	granted   time.Time // when budget was filled; zero: not since the members changed
	budget    int       // slots that may still move
	told      int       // slots whose load was known then
	planned   []move    // then, until it has come about
	moves     []move    // what is left of it
}

// leadsFirst reports whether this session leads slot 0, and is the controller.
func (c *Core) leadsFirst() bool {
	return len(c.slots) > 0 && c.slots[0].there && c.slots[0].item.Leader == c.cfg.Session
}

// controls reports whether this session is to assign slots: it leads slot 0; or the leader of slot 0 has ended, and it has the
// lowest node id of those who live, or nobody did anything about it for a while.
func (c *Core) controls() bool {
	first := &c.slots[0]
	if first.there && (first.item.Leader == c.cfg.Session || !c.hasEnded(first.item.Leader)) {
		c.vacant = time.Time{}
		return c.leadsFirst()
	}
	if c.vacant.IsZero() {
		c.vacant = c.now
	}
	lowest := true
	for _, n := range c.nodes() {
		lowest = lowest && n.ID >= c.cfg.Node
	}
	return lowest || c.due(c.vacant.Add(vacantFor))
}

// hasEnded reports whether a session is SEALED, CLOSED or DRAINED. One that is FENCED is not: its slots are still to be listed.
func (c *Core) hasEnded(id uuid.UUID) bool {
	w := c.sessions[id]
	return w != nil && ended(w.item.State)
}

// candidates are the agents that may be given slots: this one, and those that gave a sign of life not long ago and mean to stay;
// of these, those that are not drained, if there is one.
func (c *Core) candidates() []Node {
	var all, staying []Node
	for _, n := range c.nodes() {
		w := c.sessions[n.Session]
		if n.Session == c.cfg.Session || w != nil && !w.gone && !w.closing && c.now.Sub(w.alive) < c.cfg.TTL {
			all = append(all, n)
			if !c.draining(n) {
				staying = append(staying, n)
			}
		}
	}
	if len(staying) > 0 {
		return staying
	}
	return all
}

// learned takes in what was written for an operator. An agent item has no version: it is read again, lest an older read be
// under way.
func (c *Core) learned(e Learned) {
	for _, s := range e.Slots {
		c.learnSlot(s)
	}
	for _, a := range e.Agents {
		c.agents[a.Name] = a
		c.stale = true
	}
	c.changed = true
}

// assign gives slots without a leader to those who live.
func (c *Core) assign() {
	var free []uint16
	for n := range c.slots {
		s := &c.slots[n]
		if (!s.there || c.hasEnded(s.item.Leader)) && !c.running(Job{Kind: jobTake, Slot: int32(n)}) {
			free = append(free, uint16(n))
		}
	}
	switch flying := c.under(jobTake); {
	case len(free)+flying == 0:
		if !c.control.assigning.IsZero() {
			took := c.now.Sub(c.control.assigning)
			c.emit(Timed{StepAssign, took})
			c.say(slog.LevelInfo, "every slot has a leader again", "in", took)
			c.control.assigning = time.Time{}
		}
		return
	case !c.controls():
		return
	}
	if c.control.assigning.IsZero() {
		c.control.assigning = c.now
	}
	// Only for those that can be written now: this comes again with each answer, and there may be thousands of slots.
	w := c.weights()
	free = heaviest(free, w, writesAtOnce-c.count(jobTake))
	targets := place(free, c.ledBy(), c.candidates(), w)
	for _, n := range free {
		if to, ok := targets[n]; ok {
			c.take(n, to)
		}
	}
}

func (c *Core) take(n uint16, to Node) {
	s := &c.slots[n]
	var was *records.Slot
	end := int64(0)
	what := "slot " + strconv.Itoa(int(n)) + " to " + to.Name
	if s.there {
		was, end = &s.item, c.sessions[s.item.Leader].item.End
		what += " e" + strconv.Itoa(int(was.Epoch)+1) + " from " + short(was.Leader) + " <" + number(end)
	}
	c.writeSlot(jobTake, takeOp(c.cfg.Cluster, n, was, end, records.Member{Agent: to.Name, Session: to.Session}, c.nonce()), n, what)
}

// taken takes in that a slot has a leader, or a wish: the one that this session chose, or another.
func (c *Core) taken(a Answer) {
	if _, ok := c.learnAnswer(a); ok {
		c.changed = true
	}
}

// ledBy says who leads which slot, as far as somebody live does; slots on their way count for whom they go to.
func (c *Core) ledBy() map[uint16]uuid.UUID {
	led := map[uint16]uuid.UUID{}
	for n := range c.slots {
		if s := &c.slots[n]; s.there && !c.hasEnded(s.item.Leader) {
			led[uint16(n)] = s.item.Leader
		}
	}
	for j, w := range c.jobs {
		if j.Kind == jobTake {
			if next, err := records.DecodeSlot(w.effect.(Write).Ops[0].Set); err == nil {
				led[next.Slot] = next.Leader
			}
		}
	}
	return led
}

// weights says what leading each slot costs: bytes a second if there is traffic worth the name, else partitions; and a little
// for being there, so that idle slots spread too. A slot of which nobody told weighs as much as those of which somebody did.
func (c *Core) weights() []float64 {
	bytes, parts, known := 0.0, 0.0, 0.0
	for _, l := range c.loads {
		bytes += float64(l.Bytes)
		parts += float64(l.Partitions)
		known++
	}
	w := make([]float64, len(c.slots))
	for n := range w {
		l, told := c.loads[uint16(n)]
		switch {
		case bytes < trafficWorthTheName && parts == 0 || !told:
			w[n] = 1
		case bytes >= trafficWorthTheName:
			w[n] = float64(l.Bytes)*known/bytes + beingThere
		default:
			w[n] = float64(l.Partitions)*known/parts + beingThere
		}
	}
	return w
}

// beingThere is what an idle slot weighs, where 1 is what a slot weighs in the mean. With it an agent that leads lopsided times the
// mean of all weights leads less than 1.2 times the mean of the load: lopsided * (1 + beingThere) < 1.2.
const beingThere = 0.04

const trafficWorthTheName = 64 << 10 // bytes a second, in the whole cluster

// balance says which slots shall move, a few at a time; their leaders hand them over.
func (c *Core) balance() {
	if !c.leadsFirst() || !c.control.assigning.IsZero() && !c.due(c.control.assigning.Add(2*lateFor)) {
		c.control.moves = nil
		return
	}
	moving := c.wishes()
	nodes := c.candidates()
	members := ""
	for _, n := range nodes {
		members += n.Session.String()
	}
	b := &c.control
	if members != b.members {
		b.members, b.steady, b.granted, b.moves = members, c.now, time.Time{}, nil
	}
	if len(b.moves) == 0 {
		b.moves = c.evacuation(nodes)
	}
	if len(b.moves) == 0 && c.due(b.steady.Add(settleFor)) {
		c.even(nodes, moving)
	}
	for len(b.moves) > 0 && moving < wantsAtOnce && c.count(jobWant) < writesAtOnce {
		m := b.moves[0]
		b.moves = b.moves[1:]
		s := &c.slots[m.slot]
		if s.there && s.item.Leader == m.from {
			c.want(m.slot, m.to.Name)
			moving++
		}
	}
}

// evacuation returns the moves that relieve the agents that are to lead nothing, slot 0 last, so that the controller stays where
// it is meanwhile.
func (c *Core) evacuation(nodes []Node) []move {
	relieved := map[uuid.UUID]bool{}
	for _, n := range c.nodes() {
		if c.draining(n) {
			relieved[n.Session] = true
		}
	}
	for _, n := range nodes {
		delete(relieved, n.Session) // nobody else is there
	}
	if len(relieved) == 0 {
		return nil
	}
	led := c.ledBy()
	var free []uint16
	for _, n := range sorted(led) {
		s := &c.slots[n]
		if relieved[led[n]] && s.item.Want == "" && !c.running(Job{Kind: jobWant, Slot: int32(n)}) {
			free = append([]uint16{n}, free...)
		}
	}
	var moves []move
	targets := place(free, led, nodes, c.weights())
	for _, n := range free {
		if to, ok := targets[n]; ok {
			moves = append(moves, move{n, led[n], to})
		}
	}
	return moves
}

// even plans the moves that even out what the agents lead: when the members have changed, once a minute, and again when more loads are
// known, or moves did not come about. What an operator moves stays for a while. A budget bounds the moves: slots/agents+1 after each change
// of the members, for each that leads nothing, and as many a minute.
func (c *Core) even(nodes []Node, moving int) {
	b := &c.control
	if moving > 0 || len(nodes) < 2 {
		return
	}
	if c.came(b.planned) {
		b.planned = nil // from now on it is somebody else's doing if they are elsewhere
	}
	fresh := b.granted.IsZero() || c.due(b.granted.Add(balanceEvery))
	if !fresh && (len(c.loads) <= b.told && b.planned == nil || !c.due(b.looked.Add(balanceAgain))) {
		return
	}
	led := c.ledBy()
	for _, m := range b.planned {
		if led[m.slot] == m.from {
			b.budget++ // it did not move: its item had changed, or its leader did not follow
		}
	}
	if fresh {
		b.granted, b.budget = c.now, newcomers(led, nodes)*(len(c.slots)/len(nodes)+1)
	}
	b.planned = plan(led, nodes, c.weights(), b.budget)
	b.looked, b.told, b.moves = c.now, len(c.loads), b.planned
	b.budget -= len(b.moves)
	if len(b.moves) > 0 {
		c.say(slog.LevelInfo, "slots are to move, so that each agent leads its share", "slots", len(b.moves), "agents", len(nodes))
	}
}

// came reports whether moves have happened.
func (c *Core) came(moves []move) bool {
	return !slices.ContainsFunc(moves, func(m move) bool { return c.slots[m.slot].item.Leader != m.to.Session })
}

// newcomers returns how many agents lead nothing; at least 1.
func newcomers(led map[uint16]uuid.UUID, nodes []Node) int {
	n := len(nodes)
	for _, node := range nodes {
		for _, leader := range led {
			if leader == node.Session {
				n--
				break
			}
		}
	}
	return max(1, n)
}

func (c *Core) want(n uint16, agent string) {
	s := c.slots[n].item
	what := "slot " + strconv.Itoa(int(n)) + " shall go to " + agent
	if agent == "" {
		what = "slot " + strconv.Itoa(int(n)) + " shall stay"
	}
	c.writeSlot(jobWant, wantOp(c.cfg.Cluster, s, agent, c.nonce()), n, what)
}

// wishes returns how many slots are on their way, and takes back what does not come true.
func (c *Core) wishes() (moving int) {
	names := map[string]bool{}
	for _, n := range c.candidates() {
		names[n.Name] = true
	}
	moving = c.under(jobWant)
	for n := range c.slots {
		s := &c.slots[n]
		if !s.there || s.item.Want == "" || c.running(Job{Kind: jobWant, Slot: int32(n)}) {
			continue
		}
		if c.due(s.wish.Add(wantTime)) || !names[s.item.Want] {
			c.want(uint16(n), "")
		}
		moving++
	}
	return moving
}
