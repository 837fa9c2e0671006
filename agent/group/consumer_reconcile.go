// Pure.

package group

import (
	"time"

	"github.com/google/uuid"
)

// reconcile leads a member one step towards its target, and returns whether it must be told what it shall have.
//
// Nothing of this is stored: from the target, and from what members held when it was made, follows all that they can have been given
// since (RestoreConsumer).
func (g *Consumer) reconcile(m *consumer, e *ConsumerBeat, now time.Time) bool {
	if e.Epoch == joining {
		g.letGo(m) // who begins has nothing
	} else if m.restored {
		g.recall(m, e)
	}
	tell := m.untold || e.Epoch != m.epoch // or it begins, or the last answer was lost
	if m.progress == unrevoked {
		// A list that was sent before the member was told proves nothing: it may be about to add what it was told earlier.
		if m.untold || e.Owned == nil || e.Owned.meets(m.revoking) {
			return m.promise(now) || tell
		}
		g.held.add(m.revoking, -1)
		m.revoking, m.revokeBy = nil, time.Time{}
		g.advance(m, now)
		return true
	}
	if m.epoch == g.targetEpoch && m.progress == reached {
		return tell
	}
	return g.advance(m, now) || tell
}

// promise starts the time in which a member must give up, once it is told to.
func (m *consumer) promise(now time.Time) bool {
	if m.revokeBy.IsZero() {
		m.revokeBy = now.Add(m.rebalance)
	}
	return m.untold
}

// letGo frees what a member was to give up, or may have been given, as it has nothing, and has it begin anew. It keeps its claim to what it
// was assigned last.
func (g *Consumer) letGo(m *consumer) {
	g.held.add(m.revoking, -1)
	g.held.add(m.maybe, -1)
	m.revoking, m.maybe, m.revokeBy, m.untold, m.restored = nil, nil, time.Time{}, false, false
	if _, lost, _ := m.assigned.split(m.target); len(lost) > 0 {
		g.held.add(lost, -1)
		m.assigned, _, _ = m.assigned.split(m.target)
	}
	m.progress = missing
}

// recall finds out how far a member had come that speaks for the first time since it was read from the store. Its epoch says whether it
// had given up what it should: then it may also have been given what the target says. If its epoch is an older one it was given nothing
// since.
func (g *Consumer) recall(m *consumer, e *ConsumerBeat) {
	m.restored = false
	switch {
	case e.Epoch == g.restoredAt && e.Epoch > m.epoch:
		m.previous, m.epoch = m.epoch, e.Epoch
		g.held.add(m.revoking, -1)
		m.revoking, m.untold = nil, false
		m.progress = reached
	case e.Epoch < g.restoredAt:
		since, before := m.maybe.since(e.Epoch + 1)
		g.held.add(since, -1)
		m.maybe = before
	}
	g.prove(m, e.Owned)
	if len(m.maybe) > 0 && m.progress == reached {
		m.progress = missing
	}
}

// prove notes what a member that was read from the store has indeed. Others, which were to give that up and have not spoken yet,
// must have done so.
func (g *Consumer) prove(m *consumer, owned Parts) {
	sure, rest, _ := m.maybe.split(owned)
	if len(sure) == 0 {
		return
	}
	m.assigned, m.maybe = m.assigned.join(sure), rest
	if back, left, _ := m.revoking.split(sure.parts()); len(back) > 0 {
		g.held.add(back, -1) // it was to give that up, and then to have it again
		m.revoking, m.untold = left, true
		if len(left) == 0 && m.progress == unrevoked {
			m.progress = missing
		}
	}
	for _, id := range g.order {
		o := g.members[id]
		if o == m || !o.restored {
			continue
		}
		gone, left, _ := o.revoking.split(sure.parts())
		g.held.add(gone, -1)
		if o.revoking = left; len(gone) > 0 && len(left) == 0 {
			o.untold, o.progress = false, reached
		}
	}
}

// advance moves a member that has nothing to confirm towards the newest target, and returns whether what it shall have changed.
func (g *Consumer) advance(m *consumer, now time.Time) bool {
	kept, lost, need := m.assigned.split(m.target)
	unsure, stray, _ := m.maybe.split(m.target)
	if lost = lost.join(stray); len(lost) > 0 {
		m.assigned, m.maybe, m.revoking = kept, unsure, lost
		m.progress, m.untold = unrevoked, true
		return m.promise(now)
	}
	free := g.free(m, need)
	if free.len() > 0 {
		m.assigned = kept.join(free)
	}
	if m.epoch != g.targetEpoch {
		m.previous, m.epoch = max(m.epoch, 0), g.targetEpoch
	}
	m.progress = reached
	if free.len() < need.Len() {
		m.progress = missing
	}
	return free.len() > 0
}

// free takes what nobody else holds of need, and notes that m holds it.
func (g *Consumer) free(m *consumer, need Parts) grants {
	got := g.available(m, need)
	was, rest, fresh := m.maybe.split(got)
	gave := granted(fresh, g.targetEpoch)
	g.held.add(gave, 1)
	m.maybe = rest
	return gave.join(was)
}

// available is what nobody else holds of need.
func (g *Consumer) available(m *consumer, need Parts) Parts {
	got := Parts{}
	for id, parts := range need {
		for _, n := range parts {
			if g.others(m, id, n) == 0 {
				got[id] = append(got[id], n)
			}
		}
	}
	return got
}

// others counts who may hold the partition besides m.
func (g *Consumer) others(m *consumer, topic uuid.UUID, part int32) int {
	n := g.held.count(topic, part)
	if _, own := m.maybe.epochOf(topic, part); own {
		n--
	}
	return n
}

// settle has it stored, once, that everybody is where the target wants it: then a coordinator that reads the group knows exactly who
// holds what, and nobody notices a fail-over.
func (g *Consumer) settle() {
	if g.settled || g.epoch != g.targetEpoch {
		return
	}
	for _, m := range g.members {
		if m.progress != reached || m.epoch != g.targetEpoch && m.epoch != leftForAWhile {
			return
		}
	}
	g.settled, g.out.Save = true, true
}
