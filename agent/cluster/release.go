// Pure.

package cluster

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
)

// release lets go of what earlier sessions keep for the slots that this one leads, once nothing needs it: first the slot comes out
// of the session's pins or pending, then the session out of the slot's from[]. None of it is urgent.
func (c *Core) release() {
	c.hurry()
	if c.due(c.looked.Add(lookEvery)) {
		c.looked = c.now
		c.begin(about(jobLook, uuid.Nil), Look{about(jobLook, uuid.Nil), c.epochs()})
		if len(c.frozen) > 0 && !c.running(about(jobPin, uuid.Nil)) {
			c.readPins()
		}
	}
	if c.due(c.trimmed.Add(lookEvery)) && !c.running(about(jobPin, uuid.Nil)) && !c.running(about(jobPins, uuid.Nil)) { // else the pins are not known
		c.trimmed = c.now
		low := uint64(0)
		for _, p := range c.pins.Slots {
			if low == 0 || uint64(p.Seq) < low {
				low = uint64(p.Seq)
			}
		}
		c.begin(about(jobTrim, uuid.Nil), Trim{about(jobTrim, uuid.Nil), low, c.pins.V})
	}
	for _, id := range sortedIDs(c.owing) {
		if !c.running(about(jobUnpin, id)) && c.due(c.owing[id].again) {
			j := about(jobOwed, id)
			c.begin(j, ReadEnd{j, id, false})
		}
	}
	for _, n := range sorted(c.held) {
		if h := c.held[n]; h.state == isOpen && c.count(jobClear) < clearsAtOnce {
			c.clear(n, h)
		}
	}
}

// hurry has what lies in the WALs of other sessions rewritten at once, if from[] of an open slot names many of them: each change of the
// leader adds one, and none is let go of while leaders last for less time than a rewriting takes to come of its own accord.
func (c *Core) hurry() {
	crowded := false
	for n, h := range c.held {
		crowded = crowded || h.state == isOpen && len(c.slots[n].item.From) >= c.crowd() && h.elsewhere(c.cfg.Session)
	}
	if !crowded {
		c.hurries = 0
		return
	}
	j := about(jobRewrite, uuid.Nil)
	if !c.running(j) && c.due(c.hurried.Add(min(hurryEvery<<min(c.hurries, 10), lookEvery))) {
		c.hurried = c.now
		c.hurries++
		c.begin(j, Rewrite{j})
	}
}

func (c *Core) crowd() int { return cmp.Or(c.cfg.Crowd, manyFrom) }

// elsewhere reports whether data of the slot lies in the WAL of another session.
func (h *held) elsewhere(own uuid.UUID) bool {
	return slices.ContainsFunc(h.sources, func(s Source) bool { return s.Session != own })
}

// sources takes in where data of the slots lies, and asks the sessions that keep a WAL for nothing.
func (c *Core) sources(a Answer, began *job) {
	if a.Err != nil {
		return
	}
	then := began.effect.(Look).Epochs
	for n, s := range a.Sources {
		epoch, open := then[n]
		if h := c.held[n]; h != nil && h.state == isOpen && open && epoch == h.epoch {
			h.sources = s
		}
	}
	for _, id := range sortedIDs(c.needless()) {
		j := about(jobOwed, id)
		c.begin(j, ReadEnd{j, id, false})
	}
}

// epochs returns the open slots with their epochs.
func (c *Core) epochs() map[uint16]int32 {
	all := map[uint16]int32{}
	for n, h := range c.held {
		if h.state == isOpen {
			all[n] = h.epoch
		}
	}
	return all
}

// needless returns, by session, the open slots that it is named for and that have no data in its WAL, with their epochs.
func (c *Core) needless() map[uuid.UUID]map[uint16]int32 {
	all := map[uuid.UUID]map[uint16]int32{}
	for n, h := range c.held {
		if h.state != isOpen {
			continue
		}
		for _, f := range c.slots[n].item.From {
			if f.Session == c.cfg.Session || h.free[f.Session] || h.lies(f.Session) {
				continue
			}
			if all[f.Session] == nil {
				all[f.Session] = map[uint16]int32{}
			}
			all[f.Session][n] = h.epoch
		}
	}
	return all
}

// lies reports whether data of the slot lies in a session's WAL.
func (h *held) lies(id uuid.UUID) bool {
	for _, s := range h.sources {
		if s.Session == id {
			return true
		}
	}
	return false
}

// owed takes in what a session keeps. If it keeps nothing for a slot, and its state is such that this stays so, then the slot is
// free of it; what it keeps for nothing is taken out, and then it is read once more: only a read after the update tells whether
// the session was fenced meanwhile, with the pin still there.
func (c *Core) owed(a Answer, asked time.Time) {
	id := a.Job.Session
	if a.Err != nil || a.Session.State == records.Fenced || a.Session.State == "" {
		delete(c.owing, id) // the next look comes back to it
		return
	}
	c.learnSession(id, a.Session)
	slots := c.needless()[id]
	for n := range slots {
		if c.held[n].at.After(asked) { // the session may have led it again since
			delete(slots, n)
		}
	}
	ops := unpinOps(c.cfg.Cluster, id, a.Session, a.Pins, slots, c.notBefore())
	for n := range slots {
		_, pin := a.Pins.Slots[n]
		_, pend := a.Session.Pending[n]
		if !pend && (!pin || ended(a.Session.State)) {
			c.held[n].free[id] = true
		}
	}
	if ops != nil {
		what := "take out of " + short(id) + ":"
		for _, n := range sorted(slots) {
			what += " " + strconv.Itoa(int(n))
		}
		j := about(jobUnpin, id)
		c.begin(j, Write{j, ops, what})
	} else {
		delete(c.owing, id)
	}
}

// unpinned takes in that slots were taken out, or that somebody was faster. Either way it is read again; after a conflict not at once:
// all who took over slots of a session come to the same item.
func (c *Core) unpinned(a Answer) {
	id := a.Job.Session
	o := owing{again: c.now}
	if a.Err != nil {
		o.tries = c.owing[id].tries + 1
		p := pause(o.tries)
		o.again = c.now.Add(p/2 + p*time.Duration(c.cfg.Node%16)/16) // not all at the same moment
	}
	c.owing[id] = o
}

// owing is a session that keeps something for nothing.
type owing struct {
	tries int // writes that met another's
	again time.Time
}

// clear shortens from[] by the sessions that keep nothing for the slot any more; a long one to one entry of each session too. A slot that
// shall go is left alone, unless there has to be room first.
func (c *Core) clear(n uint16, h *held) {
	s := c.slots[n].item
	if s.Leader != c.cfg.Session || s.Epoch != h.epoch || s.Want != "" && !h.full {
		return
	}
	var keep []records.From
	named := s.From
	if h.full || len(named) >= c.crowd() {
		named = newest(named)
	}
	for _, f := range named {
		w := c.sessions[f.Session]
		own := f.Session == c.cfg.Session && c.pins.Slots[n] == (records.Pin{}) && c.needsNothingBefore(h)
		drained := w != nil && w.item.State == records.Drained
		if !own && !drained && !h.free[f.Session] {
			keep = append(keep, f)
		}
	}
	if len(keep) < len(s.From) {
		c.writeSlot(jobClear, clearOp(c.cfg.Cluster, s, keep, c.nonce()), n, "slot "+strconv.Itoa(int(n))+" from[] "+strconv.Itoa(len(s.From))+" -> "+strconv.Itoa(len(keep)))
	}
}
