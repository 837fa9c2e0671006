package simtest

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/cluster"
	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// misbehave lets something happen to a node or a link now and then.
func (w *coreWorld) misbehave() {
	if !w.faulty() || w.plan.node == 0 || len(w.plan.nodeFaults) == 0 {
		return
	}
	w.after(w.span(w.plan.node/4, 2*w.plan.node), w.misbehave)
	n := w.nodes[w.rnd.IntN(len(w.nodes))]
	if w.rnd.IntN(3) == 0 { // the controller, or who will be
		if it := w.oracle.slots[0]; it != nil && w.sessions[it.Leader] != nil {
			n = w.sessions[it.Leader].n
		}
	}
	fault := w.plan.nodeFaults[w.rnd.IntN(len(w.plan.nodeFaults))]
	w.say("fault: %s at %s", fault, n.name)
	w.fault(fault, n)
}

func (w *coreWorld) fault(fault string, n *coreNode) {
	d := w.span(time.Second, 8*w.plan.heartbeat)
	switch fault {
	case "crash":
		n.crash()
		n.restart(w.span(0, 30*time.Second))
	case "stop":
		if s := n.session; s != nil && !n.frozen && !s.stopping {
			s.stop()
		}
	case "roll":
		w.roll(0)
	case "freeze":
		n.freeze(d)
	case "jump":
		n.jump(d)
	case "cut":
		w.split(n, d)
	case "cut table":
		w.isolate(n, n.cutTable, d)
	case "cut objects":
		w.isolate(n, n.cutStore, d)
	case "wish":
		w.wish(uint16(w.rnd.IntN(w.plan.slots)), n.name)
	}
	if w.plan.refuse {
		w.refuse()
	}
}

// roll restarts one agent after the other.
func (w *coreWorld) roll(i int) {
	if i == len(w.nodes) || !w.faulty() {
		return
	}
	n := w.nodes[i]
	if s := n.session; s != nil && !n.frozen && !s.stopping {
		s.stop()
	}
	w.after(w.span(6*time.Second, 20*time.Second), func() { w.roll(i + 1) })
}

// split cuts a node off from another, both ways or one.
func (w *coreWorld) split(n *coreNode, d time.Duration) {
	m := w.nodes[w.rnd.IntN(len(w.nodes))]
	if m == n {
		return
	}
	keys := [][2]int{{n.index, m.index}, {m.index, n.index}}
	if w.rnd.IntN(3) == 0 {
		keys = keys[:1]
	}
	for _, k := range keys {
		w.cut[k] = true
	}
	w.after(d, func() {
		for _, k := range keys {
			delete(w.cut, k)
		}
	})
}

// isolate cuts a node off from a store, both ways or one.
func (w *coreWorld) isolate(n *coreNode, c *coreCut, d time.Duration) {
	way := w.rnd.IntN(3)
	c.there, c.home = way != 1, way != 2
	n.trouble = w.now
	w.after(d, func() { *c, n.trouble = coreCut{}, w.now })
}

// refuse lets a node believe that another's process is gone, which it is not.
func (w *coreWorld) refuse() {
	n := w.nodes[w.rnd.IntN(len(w.nodes))]
	if s := n.session; s != nil && len(s.peers) > 0 && !n.frozen {
		s.step(cluster.Gone{Session: s.peers[w.rnd.IntN(len(s.peers))].Session})
	}
}

// wish is an operator who wants an agent to lead a slot.
func (w *coreWorld) wish(slot uint16, agent string) {
	it := w.oracle.slots[slot]
	if it == nil || it.Agent == agent {
		return
	}
	next := *it
	next.Want, next.Nonce = agent, uuid.New()
	next.V++
	_, err := w.facts.Write(context.Background(), metastore.Op{
		Kind: metastore.OpPut, Key: records.Cluster("c").SlotKey(slot), Set: next.Item(),
		If: []metastore.Cond{{Attr: records.AttrV, Cmp: metastore.Eq, Value: metastore.N(it.V)}},
	})
	if err == nil {
		_, _ = w.facts.Write(context.Background(), metastore.Op{
			Kind: metastore.OpUpdate, Key: records.Cluster("c").VersionKey(), Add: map[string]int64{records.AttrMap: 1},
		})
	}
}

// heal ends all faults. What is late may still arrive.
func (w *coreWorld) heal() {
	w.say("healed")
	w.healed = w.now
	clear(w.cut)
	for _, n := range w.nodes {
		*n.cutTable, *n.cutStore = coreCut{}, coreCut{}
		n.start()
	}
}

// served says which slot is not served by whom it should be, or what else is not as it has to be; empty: all is well.
func (w *coreWorld) served() string {
	for _, n := range w.nodes {
		if n.session == nil || n.frozen || !n.session.core.Settled() {
			return n.name + " is not settled"
		}
	}
	for slot := range uint16(w.plan.slots) {
		it := w.oracle.slots[slot]
		if it == nil {
			return "a slot was never led"
		}
		s := w.sessions[it.Leader]
		if s == nil || s.dead || w.oracle.opened[slot][it.Epoch] != s.id {
			return "a slot is not served"
		}
		if _, open := s.set.Slots(); !open[slot] {
			return "a slot is not open"
		}
		for _, n := range w.nodes {
			if n.session.view.Slots[slot].Session != s.id {
				return n.name + " does not know who leads a slot"
			}
		}
	}
	for _, p := range w.producers {
		if p.stopped && slices.ContainsFunc(p.flight, func(b *coreBatch) bool { return !b.acked }) {
			return "a batch is not acked"
		}
	}
	return ""
}

// balanced says who leads too much; empty: nobody.
func (w *coreWorld) balanced() string {
	if missing := w.served(); missing != "" {
		return missing
	}
	led := map[uuid.UUID]int{}
	for _, it := range w.oracle.slots {
		led[it.Leader]++
	}
	most := (w.plan.slots + len(w.nodes) - 1) / len(w.nodes)
	for _, n := range w.nodes {
		if k := led[n.session.id]; k > most || w.plan.slots >= len(w.nodes) && k == 0 {
			return n.name + " does not lead its share"
		}
	}
	return ""
}

// drained says which session keeps something although nothing refers to it; empty: none.
func (w *coreWorld) drained() string {
	for id, s := range w.oracle.sessions {
		if s.State != records.Active && s.State != records.Drained {
			return "session " + id.String()[:4] + " is " + string(s.State)
		}
	}
	return ""
}

// until waits for a state of the world.
func (w *coreWorld) until(limit time.Duration, what string, f func() string) {
	end := w.now + limit
	missing := f()
	for ; missing != "" && w.bad == "" && w.now < end; missing = f() {
		w.run(w.now + time.Second)
	}
	if missing != "" {
		w.fail("V17: %s: after %v: %s", what, limit, missing)
	}
}
