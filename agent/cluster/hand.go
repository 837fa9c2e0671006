// Pure.

package cluster

import (
	"errors"
	"log/slog"
	"maps"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// hand gives slots to the agents that shall lead them: drain, commit what they have, pin this WAL, update the slot item, leave.
// Only the leader does this.
func (c *Core) hand() {
	c.drain()
	c.pinAll()
	for _, n := range sorted(c.held) {
		h := c.held[n]
		if h.sent {
			c.settle(n, h, c.slots[n].item) // a read may tell before the answer does
		}
		late := h.state >= draining && h.state < handing && c.due(h.since.Add(handTime))
		switch {
		case h.state < draining:
		case h.sent && !c.lives(h.to.Session):
			c.giveUp(n, h)
		case late && !h.sent, h.state == isPinned && !c.lives(h.to.Session):
			c.resume(n, h, "it took too long, or the other is gone")
		case h.state == isPinned && c.count(jobHand) < writesAtOnce:
			c.handOver(n, h)
		}
	}
}

// lives reports whether a session may be given slots.
func (c *Core) lives(id uuid.UUID) bool {
	w := c.sessions[id]
	return w != nil && w.listed && rank(w.item.State) <= 1 && !w.closing && !w.gone
}

// drain stops accepting for the slots that shall go, all at once.
func (c *Core) drain() {
	j := about(jobQuiesce, uuid.Nil)
	if c.running(j) || c.running(about(jobPin, uuid.Nil)) || c.running(about(jobPins, uuid.Nil)) || c.soon(jobWant) {
		return
	}
	var going []uint16
	for _, n := range sorted(c.held) {
		h, s := c.held[n], c.slots[n].item
		if h.state != isOpen || s.Leader != c.cfg.Session || s.Epoch != h.epoch || s.Want == "" || s.Want == c.cfg.Agent {
			continue
		}
		a, ok := c.agents[s.Want]
		if !ok || !c.lives(a.Session) || c.running(Job{Kind: jobClear, Slot: int32(n)}) {
			continue
		}
		to := records.Member{Agent: a.Name, Session: a.Session}
		if !fits(c.cfg.Cluster, s, to) {
			if !h.full {
				h.full = true
				c.say(slog.LevelWarn, "a slot does not move yet: too many sessions keep parts of its log", "slot", n, "sessions", len(s.From))
			}
			continue // room is being made: see clear
		}
		h.state, h.since, h.to, h.sent, h.full = draining, c.now, to, false, false
		c.emit(Drain{n, h.epoch})
		going = append(going, n)
	}
	if len(going) > 0 {
		c.begin(j, Quiesce{j, going})
	}
}

// quiesced takes in that everything of the draining slots is committed, and from where on this WAL is needed for each.
func (c *Core) quiesced(a Answer, began *job) {
	for _, n := range began.effect.(Quiesce).Slots {
		h := c.held[n]
		if h == nil || h.state != draining {
			continue
		}
		if a.Err != nil {
			c.resume(n, h, "its records could not be committed")
			continue
		}
		h.state, h.end, h.sources = atRest, int64(a.Committed)+1, a.Sources[n]
		h.pin = records.Pin{Seq: h.end, Epoch: h.epoch}
		for _, s := range h.sources {
			if s.Session == c.cfg.Session {
				h.pin.Seq = min(h.pin.Seq, int64(s.Low))
			}
		}
	}
}

// Replayed adds to the sources of a slot what a successor replays of the session that leads it: its WAL from seq on, the first
// bundle that no recorded snapshot covers. It needs those bundles, whatever has become of their runs in the leader's memory since: a run
// that was packed after the snapshot is found in the WAL by whoever opens from it.
func Replayed(sources []Source, session uuid.UUID, seq uint64) []Source {
	for i := range sources {
		if sources[i].Session == session {
			sources[i].Low = min(sources[i].Low, seq)
			return sources
		}
	}
	return append(sources, Source{session, seq})
}

// pinAll pins this WAL for all slots that are at rest, and unpins it for those that stay.
func (c *Core) pinAll() {
	j := about(jobPin, uuid.Nil)
	if c.running(j) || c.running(about(jobPins, uuid.Nil)) {
		return
	}
	next, what := maps.Clone(c.pins.Slots), "pin"
	for _, n := range sorted(c.held) {
		h := c.held[n]
		pin, there := next[n]
		switch {
		case h.state == atRest:
			next[n] = h.pin
			what += " " + strconv.Itoa(int(n)) + "@" + number(h.pin.Seq)
		case there && h.state == isOpen && (pin.Epoch == h.epoch || c.needsNothingBefore(h)):
			delete(next, n) // it stayed, or came back and left nothing behind
			what += " not " + strconv.Itoa(int(n))
		}
	}
	if what != "pin" {
		c.begin(j, Write{j, pinOps(c.cfg.Cluster, c.cfg.Session, c.pins, next), what})
	}
}

// needsNothingBefore reports whether nothing of an open slot lies in this session's WAL from before the slot was opened.
func (c *Core) needsNothingBefore(h *held) bool {
	for _, s := range h.sources {
		if s.Session == c.cfg.Session && s.Low <= h.opened {
			return false
		}
	}
	return true
}

// pinnedNow takes in the answer to a change of the pins.
func (c *Core) pinnedNow(a Answer, began *job) {
	var cond *metastore.ConditionError
	if errors.As(a.Err, &cond) && cond.Index == 0 {
		c.over = true // this session is not ACTIVE any more; the WAL hears of it too
		return
	}
	if a.Err != nil {
		c.readPins() // they changed, or this is our own success
		return
	}
	if pins, err := records.DecodePins(began.effect.(Write).Ops[1].Set); err == nil {
		c.learnPins(pins)
	}
}

func (c *Core) readPins() {
	j := about(jobPins, uuid.Nil)
	c.begin(j, ReadPins{j, c.cfg.Session})
}

// pinsRead takes in this session's pins as they are.
func (c *Core) pinsRead(a Answer) {
	if a.Err == nil {
		c.learnPins(a.Pins)
	}
}

// learnPins takes in this session's pins, unless newer ones are known.
func (c *Core) learnPins(pins records.Pins) {
	if pins.V < c.pins.V {
		return
	}
	c.pins = pins
	for _, n := range sorted(c.held) {
		if h := c.held[n]; h.state == atRest && c.pins.Slots[n] == h.pin {
			h.state = isPinned
		}
	}
	for _, n := range sorted(c.frozen) {
		if pin, there := c.pins.Slots[n]; !there || pin.Epoch != c.frozen[n] {
			c.emit(Forget{n, c.frozen[n]})
			delete(c.frozen, n)
		}
	}
}

// handOver makes the other leader.
func (c *Core) handOver(n uint16, h *held) {
	s := c.slots[n].item
	if c.running(Job{Kind: jobHand, Slot: int32(n)}) {
		return // an earlier one, given up: its answer is still to come
	}
	if s.Leader != c.cfg.Session || s.Epoch != h.epoch {
		c.left(n, h)
		return
	}
	h.state, h.sent, h.v, h.nonce = handing, true, s.V, c.nonce()
	what := "slot " + strconv.Itoa(int(n)) + " handed over to " + h.to.Agent + " e" + strconv.Itoa(int(h.epoch)+1) + " <" + number(h.end)
	c.writeSlot(jobHand, moveOp(c.cfg.Cluster, s, h.end, h.to, h.nonce), n, what)
}

// handed takes in whether a hand-over happened.
func (c *Core) handed(a Answer) {
	n := uint16(a.Job.Slot)
	h := c.held[n]
	s, ok := c.learnAnswer(a)
	if h == nil || !ok || h.state != handing {
		return
	}
	c.settle(n, h, s)
}

// settle acts on what a slot item says after a hand-over of it was sent.
func (c *Core) settle(n uint16, h *held, s records.Slot) {
	switch {
	case s.Leader != c.cfg.Session || s.Epoch != h.epoch:
		c.left(n, h)
	case s.V > h.v: // it never can happen now
		h.sent = false
		if s.Want == h.to.Agent {
			h.state = isPinned
		} else {
			c.resume(n, h, "it shall stay")
		}
	}
}

// left lets go of a slot that another session leads.
func (c *Core) left(n uint16, h *held) {
	c.emit(Leave{n, h.epoch})
	c.emit(Timed{StepHand, c.now.Sub(h.since)})
	delete(c.held, n)
	c.drop(n)
	if was, there := c.frozen[n]; there {
		c.emit(Forget{n, was}) // the pin of this epoch covers what that one had
	}
	c.frozen[n] = h.epoch
	c.changed = true
	c.say(slog.LevelDebug, "handed a slot over", "slot", n, "to", h.to.Agent, "end", h.end, "in", c.now.Sub(h.since))
}

// resume serves a slot on, whose hand-over can't happen.
func (c *Core) resume(n uint16, h *held, why string) {
	h.state, h.sent = isOpen, false
	c.drop(n)
	c.emit(Resume{n, h.epoch})
	c.say(slog.LevelWarn, "a slot stays where it is", "slot", n, "not", h.to.Agent, "because", why)
	if s := c.slots[n].item; s.Want != "" && s.Leader == c.cfg.Session {
		c.writeSlot(jobGiveUp, wantOp(c.cfg.Cluster, s, "", c.nonce()), n, "slot "+strconv.Itoa(int(n))+" stays")
	}
}

// giveUp raises v, so that a hand-over of unknown outcome fails whenever it arrives; only then is the slot served again.
func (c *Core) giveUp(n uint16, h *held) {
	if s := c.slots[n].item; s.Leader == c.cfg.Session {
		c.writeSlot(jobGiveUp, wantOp(c.cfg.Cluster, s, "", c.nonce()), n, "slot "+strconv.Itoa(int(n))+" stays")
	}
}

// gaveUp takes in whether the hand-over is impossible now, or has happened.
func (c *Core) gaveUp(a Answer) {
	n := uint16(a.Job.Slot)
	h := c.held[n]
	if s, ok := c.learnAnswer(a); ok && h != nil && h.sent {
		c.settle(n, h, s)
	}
}

// pointless reports whether a job need not go on: a hand-over that can't happen any more; a fence of one who may be no more silent
// than this session is.
func (c *Core) pointless(j Job) bool {
	if j.Kind == jobFence {
		w := c.sessions[j.Session]
		return c.standsStill() && (w == nil || !w.gone)
	}
	if j.Kind != jobHand {
		return false
	}
	h := c.held[uint16(j.Slot)]
	return h == nil || !h.sent
}

// drop ends the repeating of a hand-over that has happened, or can't. One that is under way is answered first.
func (c *Core) drop(n uint16) {
	j := Job{Kind: jobHand, Slot: int32(n)}
	if w := c.jobs[j]; w != nil && !w.flying {
		delete(c.jobs, j)
	}
}

// unsure notes that the outcome of a write is unknown.
func (c *Core) unsure(j Job, err error) {
	if w := c.jobs[j]; w.tries == 3 {
		c.say(slog.LevelWarn, "the metastore does not say whether it did what it was asked; it is asked again", "job", j.String(), "for", c.now.Sub(w.begun).Round(time.Millisecond), "err", err)
	}
}
