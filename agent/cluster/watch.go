// Pure.

package cluster

import (
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// seen is what is known of a session.
type seen struct {
	agent   string
	listed  bool            // on the list of live sessions
	item    records.Session // as last read; State empty: never
	closing bool            // it says that it ends itself
	cut     time.Time       // when the link with it was lost; zero: since then it was heard
	alive   time.Time       // last sign of life: its heartbeat moved, or it told something

	// While it is watched.
	hb    int64     // as last seen
	since time.Time // when it was first seen; zero: never
	read  time.Time // last look that was answered
	asked time.Time // last look
	retry time.Time // a suspicion could not be looked into: not before
	gone  bool      // a redial was refused, or answered by another
	went  time.Time // since when
	moved bool      // its heartbeat moved since, before it could be fenced
	still time.Time // since, when it was last suspected

	suspected, fenced, sealed time.Time // steps of its end, by this agent
}

func (c *Core) session(id uuid.UUID) *seen {
	w := c.sessions[id]
	if w == nil {
		w = &seen{}
		c.sessions[id] = w
	}
	return w
}

// learnSession takes in a session item. States never go back.
func (c *Core) learnSession(id uuid.UUID, s records.Session) {
	w := c.session(id)
	if rank(s.State) < rank(w.item.State) {
		return
	}
	w.item = s
	if w.agent == "" {
		w.agent = s.Agent
	}
}

func rank(s records.State) int {
	switch s {
	case records.Active:
		return 1
	case records.Fenced:
		return 2
	case records.Sealed, records.Closed:
		return 3
	case records.Drained:
		return 4
	}
	return 0
}

// live returns the sessions on the list that are not known to have ended or to be fenced, sorted.
func (c *Core) live() []uuid.UUID {
	var ids []uuid.UUID
	for _, id := range sortedIDs(c.sessions) {
		if w := c.sessions[id]; w.listed && rank(w.item.State) <= 1 {
			ids = append(ids, id)
		}
	}
	return ids
}

// watchedBy returns whom a session watches: the two before it in the ring of live sessions, so that each session is watched by
// the two after it.
func watchedBy(me uuid.UUID, ring []uuid.UUID) []uuid.UUID {
	at := slices.Index(ring, me)
	if at < 0 || len(ring) < 2 {
		return nil
	}
	n := len(ring)
	whom := []uuid.UUID{ring[(at+n-1)%n]}
	if n > 2 {
		whom = append(whom, ring[(at+n-2)%n])
	}
	return whom
}

// watch looks at the heartbeats of those whom this session watches, and suspects those that stand still.
func (c *Core) watch() {
	whom := c.live()
	if !c.cfg.Exclusive {
		whom = watchedBy(c.cfg.Session, whom)
	}
	for _, id := range c.live() {
		w := c.sessions[id]
		if id == c.cfg.Session || c.running(about(jobSuspect, id)) || c.running(about(jobFence, id)) {
			continue
		}
		if c.cfg.Exclusive {
			w.gone = true // one process at a time reaches the stores: it is this one
		}
		if w.gone {
			if c.due(w.went.Add(c.turn(id))) {
				c.suspect(id, w, w.went, "its address refuses, or another session answers there")
			}
			continue
		}
		if !slices.Contains(whom, id) {
			w.since = time.Time{}
			continue
		}
		if c.due(w.asked.Add(c.cfg.Heartbeat)) {
			w.asked = c.now
			j := about(jobWatch, id)
			c.begin(j, ReadSession{j, id, metastore.Eventual})
		}
		if w.since.IsZero() {
			continue
		}
		if c.now.Sub(w.read) > c.tooLong() || c.standsStill() {
			w.since = c.now // this agent did not look for too long, or its own heart stands still: so may everybody's
		}
		if c.due(w.since.Add(c.cfg.TTL)) {
			c.suspect(id, w, w.since, "its heartbeat stands still")
		}
	}
}

func (c *Core) tooLong() time.Duration { return 2*c.cfg.Heartbeat + c.cfg.Heartbeat/2 }

// standsStill reports whether this session could not write its own heartbeat for too long. Who can't must not judge who does not:
// the metastore may take nobody's writes, and when it does again everybody would fence everybody.
func (c *Core) standsStill() bool { return !c.beaten.IsZero() && c.now.Sub(c.beaten) > c.tooLong() }

// suspect looks at a session consistently, to fence it. since is when it gave the last sign of life.
func (c *Core) suspect(id uuid.UUID, w *seen, since time.Time, why string) {
	if !c.due(w.retry) {
		return
	}
	if w.suspected.IsZero() {
		w.suspected = since
		c.say(slog.LevelWarn, "an agent seems to be dead", "agent", w.agent, "session", id, "because", why)
	}
	w.still = w.since
	j := about(jobSuspect, id)
	c.begin(j, ReadSession{j, id, metastore.Consistent})
}

// watched takes in a look at a heartbeat. A look that failed restarts the TTL: what this agent does not see it must not judge.
func (c *Core) watched(a Answer) {
	w := c.sessions[a.Job.Session]
	switch {
	case w == nil:
	case a.Err != nil:
		w.since = time.Time{}
	default:
		w.read = c.now
		c.learnSession(a.Job.Session, a.Session)
		c.beat(w, a.Session.HB)
		if ended(a.Session.State) {
			c.stale = true // the map has changed; who ended it may not have come to say so
		}
	}
}

// beat takes in a heartbeat counter. An eventual read may show an older one.
func (c *Core) beat(w *seen, hb int64) {
	if hb > w.hb && w.hb > 0 {
		w.alive = c.now
	}
	if hb > w.hb || w.since.IsZero() {
		w.hb, w.since = max(hb, w.hb), c.now
	}
}

// suspected takes in the consistent read that comes before a fence.
func (c *Core) suspected(a Answer) {
	w := c.sessions[a.Job.Session]
	if w == nil {
		return
	}
	if a.Err != nil {
		w.since, w.retry = time.Time{}, c.now.Add(longestPause) // watch anew; one who is gone is read again
		return
	}
	c.learnSession(a.Job.Session, a.Session)
	if a.Session.State != records.Active {
		return
	}
	// A look that was under way may have seen it move meanwhile.
	if !w.gone && (a.Session.HB > w.hb || !w.since.Equal(w.still)) {
		w.suspected = time.Time{}
		w.read = c.now
		c.beat(w, a.Session.HB)
		return
	}
	if !w.moved {
		c.emit(Timed{StepDetect, c.now.Sub(w.suspected)})
	}
	j := about(jobFence, a.Job.Session)
	c.begin(j, Write{
		j, []metastore.Op{fenceOp(c.cfg.Cluster.SessionKey(a.Job.Session), a.Session.HB)},
		"fence " + short(a.Job.Session) + " if hb " + number(a.Session.HB),
	})
}

// fenced takes in the answer to a fence.
func (c *Core) fenced(a Answer, began *job) {
	id := a.Job.Session
	w := c.session(id)
	item, failed := old(a.Err)
	if a.Err != nil && !failed {
		w.since, w.suspected = time.Time{}, time.Time{} // pointless: watch anew; if it was done after all, that is seen
		return
	}
	if !failed {
		item = a.Item
	}
	s, err := records.DecodeSession(item)
	if err != nil {
		c.say(slog.LevelError, "a session item is gone or does not decode; somebody must look at the table", "session", id, "err", err)
		w.since, w.gone, w.moved, w.suspected = time.Time{}, false, false, time.Time{}
		return
	}
	c.learnSession(id, s)
	if s.State == records.Active {
		w.since, w.read = c.now, c.now
		c.beat(w, s.HB)
		if w.gone && !w.moved { // one write of a process that has died may have been under way, no more: they wait for each other
			w.moved = true
			return
		}
		w.gone, w.moved, w.suspected = false, false, time.Time{}
		c.trustLess(w.agent)
		return
	}
	w.fenced = c.now
	if !failed {
		c.emit(Timed{StepFence, c.now.Sub(began.begun)})
		c.say(slog.LevelWarn, "fenced a session", "agent", w.agent, "session", id, "committed", s.Committed, "in", c.now.Sub(began.begun))
	}
}

// gone takes in that a redial found a process gone. A name that was fenced alive not long ago is not believed to be.
func (c *Core) gone(e Gone) {
	w := c.sessions[e.Session]
	if w == nil || e.Session == c.cfg.Session || !w.listed || rank(w.item.State) > 1 {
		return
	}
	if until := c.wary[w.agent]; e.Other == uuid.Nil && c.now.Before(until) {
		return
	}
	if !w.gone {
		w.gone, w.went = true, c.now
	}
}

// turn is how long this session leaves a session that is gone to others, who see it too: its two watchers act at once, then one after
// the other, unless somebody has ended it by then.
func (c *Core) turn(id uuid.UUID) time.Duration {
	ring := c.live()
	n := len(ring)
	before := (slices.Index(ring, c.cfg.Session) - slices.Index(ring, id) + n) % n
	turns := max(0, before-2)
	if c.sessions[id].closing {
		turns++ // it is about to be off the list
	}
	if c.cfg.Exclusive {
		return 0
	}
	return time.Duration(turns) * turnTime
}
