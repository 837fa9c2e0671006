package group

import (
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
)

// sweepTurns is in how many turns of the check all slots have had theirs: an idle cluster pays for each look at a slot, and
// offsets that are kept for days may stay an hour longer.
const sweepTurns = 6

// expireOffsets looks for offsets that nobody needs any more, until Stop: those that are too old (KIP-211), and those of deleted topics.
func (c *Coordinator) expireOffsets() {
	tick := time.NewTicker(c.cfg.Check)
	defer tick.Stop()
	for turn := uint16(0); ; turn++ {
		select {
		case <-tick.C:
			c.sweep(time.Now(), func(slot uint16) bool { return slot%sweepTurns == turn%sweepTurns })
			c.forgetTopics()
		case <-c.life.Done():
			return
		}
	}
}

// sweep has the groups of those led slots that are due expire their offsets, if they have been without members for long enough, or have
// some: those are in memory. Those that nobody ever joined are read each time: only their offsets know how old they are. What somebody
// began to delete goes, too.
func (c *Coordinator) sweep(now time.Time, due func(slot uint16) bool) {
	c.mu.Lock()
	slots := make([]uint16, 0, len(c.mu.slots))
	for slot := range c.mu.slots {
		if due(slot) {
			slots = append(slots, slot)
		}
	}
	c.mu.Unlock()
	for _, slot := range slots {
		err := c.scan(c.life, slot, func(name string, g records.Group) {
			since := time.UnixMilli(g.EmptySince)
			// Of one that is half deleted whoever loads it goes on with that.
			if g.State != records.GroupEmpty || !now.Before(since.Add(c.cfg.Retention)) {
				c.send(name, message{serve: (*actor).expire, fail: func(error) {}, gone: func() {}})
			}
		})
		if err != nil && c.life.Err() == nil {
			c.log.Warn("expired offsets were not looked for; they are at the next turn", "slot", slot, "err", err)
		}
	}
}

// expire forgets what is too old: of a group without members everything, and when nothing is left, at the next turn, the group goes too; of one
// with members the topics that none of them reads.
func (a *actor) expire(now time.Time) {
	vacant, emptied := a.core.vacant()
	if vacant && !a.core.Idle() {
		return
	}
	unread := func(uuid.UUID) bool { return true }
	if !vacant {
		if unread = a.core.unread(a.c.cfg.Topics(false)); unread == nil {
			return
		}
		emptied = time.Time{} // it was before they came
	}
	old, kept := a.expired(now, emptied, unread)
	if len(old) > 0 {
		a.c.log.Info("offsets expired", "group", a.name, "partitions", len(old))
		a.unstage(old, func(error) {}) // if it fails the group is read again, and they are found again
	} else if vacant && kept == 0 {
		_ = a.delete() // as above
	}
}

// expired returns the offsets of unread topics that are too old, and how many of their offsets are not. A page that is to be written, or is
// being so, counts as one of these: what is stored of it is not what will be acked.
func (a *actor) expired(now, emptied time.Time, unread func(topic uuid.UUID) bool) (old []Partition, kept int) {
	for key, p := range a.pages {
		if !unread(key.topic) {
			continue
		}
		if p.busy || p.next != nil {
			kept++
			continue
		}
		for index, o := range p.stored.Offsets {
			if now.Before(expiry(o, emptied, a.c.cfg.Retention)) {
				kept++
			} else {
				old = append(old, Partition{key.topic, index})
			}
		}
	}
	return old, kept
}

// expiry is when an offset that nobody needs is too old: so long after the last member left, or after the commit if that came later, or nobody
// ever joined, or there are members that read other topics; or when the commit asked for.
func expiry(o records.GroupOffset, emptied time.Time, retention time.Duration) time.Time {
	if o.Expires != 0 {
		return time.Unix(o.Expires, 0)
	}
	since := time.Unix(o.At, 0)
	if emptied.After(since) {
		since = emptied
	}
	return since.Add(retention)
}
