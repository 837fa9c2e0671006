// Pure.

package cluster

import (
	"log/slog"
	"strconv"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

func number(n int64) string { return strconv.FormatInt(n, 10) }

// end brings sessions that are fenced to their end, whoever fenced them: what they led is read now, after the fence.
func (c *Core) end() {
	for _, id := range sortedIDs(c.sessions) {
		w := c.sessions[id]
		if id == c.cfg.Session {
			continue
		}
		switch {
		case w.item.State == records.Fenced && !c.running(about(jobSeal, id)):
			if w.fenced.IsZero() {
				w.fenced = c.now
			}
			j := about(jobEnd, id)
			c.begin(j, ReadEnd{j, id, true})
		case ended(w.item.State) && w.listed:
			c.unlist(id, w)
		}
	}
}

// notBefore is when what nothing names from now on may be deleted, in ms since 1970.
func (c *Core) notBefore() int64 { return c.now.Add(c.cfg.Grace).UnixMilli() }

// unlist takes an ended session off the list of live ones.
func (c *Core) unlist(id uuid.UUID, w *seen) {
	w.listed, c.changed = false, true
	j := about(jobUnlist, id)
	c.begin(j, Write{j, []metastore.Op{{Kind: metastore.OpDelete, Key: c.cfg.Cluster.LiveKey(id)}}, "take " + short(id) + " off the list"})
}

// endRead takes in what a fenced session leaves, and seals it.
func (c *Core) endRead(a Answer) {
	id := a.Job.Session
	c.learnSession(id, a.Session)
	if a.Err != nil || a.Session.State != records.Fenced {
		return
	}
	for _, s := range a.Slots {
		c.learnSlot(s)
	}
	owed := pending(id, a.Slots, a.Pins.Slots)
	j := about(jobSeal, id)
	what := "seal " + short(id) + " at " + number(a.Session.Committed+1)
	for _, n := range sorted(owed) {
		what += " " + strconv.Itoa(int(n)) + "e" + strconv.Itoa(int(owed[n]))
	}
	c.begin(j, Write{j, endOps(c.cfg.Cluster, id, a.Session, records.Sealed, owed, c.notBefore()), what})
}

// sealed takes in the answer to a seal.
func (c *Core) sealed(a Answer, began *job) {
	id := a.Job.Session
	w := c.session(id)
	if item, failed := old(a.Err); failed {
		if s, err := records.DecodeSession(item); err == nil {
			c.learnSession(id, s)
		}
	} else {
		s := w.item
		s.State, s.End = records.Sealed, s.Committed+1
		c.learnSession(id, s)
		c.emit(Timed{StepSeal, c.now.Sub(w.fenced)})
		c.say(slog.LevelInfo, "sealed a session", "agent", w.agent, "session", id, "end", s.End, "in", c.now.Sub(began.begun))
	}
	w.sealed = c.now
}
