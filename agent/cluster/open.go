// Pure.

package cluster

import (
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
)

// local is the state of a slot at this agent: OPENING -> OPEN -> DRAINING -> left. DRAINING has steps of its own.
type local uint8

const (
	opening  local = iota + 1 // not served: its slot-open is not known to be committed
	isOpen                    // served
	draining                  // accepts nothing; what it has is on its way into the log
	atRest                    // all it has is committed
	isPinned                  // and this WAL is kept for its next leader
	handing                   // the update of the slot item was sent
)

// held is a slot that this session leads, or believes to lead.
type held struct {
	state   local
	epoch   int32
	opened  uint64    // committed when it was open: its slot-open lies at or below
	at      time.Time // in this state since, while it is opening or open
	sources []Source
	free    map[uuid.UUID]bool // sessions of from[] that keep nothing for the slot; what an earlier lead found out does not count

	// While it is handed over.
	to    records.Member
	end   int64 // of this session's log, for the slot
	pin   records.Pin
	since time.Time
	v     int64     // of the item that the hand-over was sent against
	nonce uuid.UUID // of the hand-over
	sent  bool      // it may land at any time, until v is raised

	// After an opening that failed.
	fails int
	again time.Time
}

// Taken is a slot that this session leads from now on, once it has opened it.
type Taken struct {
	Slot  uint16
	Epoch int32
	From  []records.From // sessions that may hold its log, oldest first
}

// open opens what was assigned to this session: all new slots together, those that failed each on its own.
func (c *Core) open() {
	if c.soon(jobTake) {
		return // more may come
	}
	var batch []Taken
	for n := range c.slots {
		s := &c.slots[n]
		if !s.there || s.item.Leader != c.cfg.Session {
			continue
		}
		h := c.held[uint16(n)]
		if h != nil && h.epoch >= s.item.Epoch && h.state != opening {
			continue
		}
		if h == nil || h.epoch < s.item.Epoch {
			h = &held{state: opening, epoch: s.item.Epoch, at: c.now}
		}
		t := Taken{uint16(n), s.item.Epoch, s.item.From}
		switch {
		case h.fails == 0:
			if !c.running(about(jobOpen, uuid.Nil)) {
				batch = append(batch, t)
				c.held[uint16(n)] = h
			}
		case c.due(h.again) && c.count(jobOpen) < 2:
			j := Job{Kind: jobOpen, Slot: int32(n)}
			c.begin(j, Open{j, []Taken{t}})
		}
	}
	if len(batch) > 0 {
		j := about(jobOpen, uuid.Nil)
		c.begin(j, Open{j, batch})
	}
}

// opened takes in that slots are served, or why not.
func (c *Core) opened(a Answer, began *job) {
	slots := began.effect.(Open).Slots
	for _, t := range slots {
		h := c.held[t.Slot]
		if h == nil || h.epoch != t.Epoch || h.state != opening {
			continue
		}
		if a.Err != nil {
			h.fails++
			h.again = c.now.Add(min(openPause<<min(h.fails-1, 10), longestOpening))
			continue
		}
		h.state, h.opened, h.sources = isOpen, a.Committed, a.Sources[t.Slot]
		h.at, h.free = c.now, map[uuid.UUID]bool{}
	}
	took := c.now.Sub(began.begun)
	if a.Err != nil {
		c.say(slog.LevelError, "slots could not be opened; they are tried again one by one, the others are served", "slots", len(slots), "err", a.Err)
		return
	}
	c.emit(Timed{StepOpen, took})
	c.looked = time.Time{} // some sessions may keep nothing for these any more
}
