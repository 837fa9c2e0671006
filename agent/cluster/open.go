// Pure.

package cluster

import (
	"log/slog"
	"maps"
	"slices"
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
	full  bool // it was said that from[] has no room for another session
	to    records.Member
	end   int64 // of this session's log, for the slot
	pin   records.Pin
	since time.Time
	v     int64     // of the item that the hand-over was sent against
	nonce uuid.UUID // of the hand-over
	sent  bool      // it may land at any time, until v is raised

	// While it is opened.
	busy   bool // an opening of it is under way; there is one at a time
	batch  int  // opened together with the others of this number; 0: that are new
	splits int  // openings of several that failed or took too long
	fails  int  // openings of it alone that failed
	again  time.Time
}

// Taken is a slot that this session leads from now on, once it has opened it.
type Taken struct {
	Slot  uint16
	Epoch int32
	From  []records.From // sessions that may hold its log, oldest first
}

// open opens what was assigned to this session: what is new together, beside what is being opened already.
func (c *Core) open() {
	c.openLate()
	if c.soon(jobTake) {
		return // more may come
	}
	batches := map[int][]Taken{}
	for n := range c.slots {
		s := &c.slots[n]
		if !s.there || s.item.Leader != c.cfg.Session {
			continue
		}
		h := c.held[uint16(n)]
		if h == nil || h.epoch < s.item.Epoch {
			h = &held{state: opening, epoch: s.item.Epoch, at: c.now}
			c.held[uint16(n)] = h
		}
		if h.state == opening && !h.busy && c.due(h.again) {
			batches[h.batch] = append(batches[h.batch], Taken{uint16(n), s.item.Epoch, s.item.From})
		}
	}
	for _, b := range sorted(batches) {
		slots := batches[b]
		j := Job{Kind: jobOpen, Slot: int32(slots[0].Slot)}
		if c.opens(b == 0) >= opensAtOnce || c.running(j) {
			continue
		}
		for _, t := range slots {
			c.held[t.Slot].busy = true
		}
		c.begin(j, Open{j, slots})
	}
}

// opens returns how many openings are under way, of slots that are new or of those that were tried before: these may take all their
// places for ever.
func (c *Core) opens(fresh bool) (n int) {
	for j, w := range c.jobs {
		if j.Kind == jobOpen && (c.splits(w) == 0) == fresh {
			n++
		}
	}
	return n
}

// splits is how often the slots of an opening were tried before.
func (c *Core) splits(w *job) int {
	if h := c.held[w.effect.(Open).Slots[0].Slot]; h != nil {
		return h.splits
	}
	return 0
}

// openLate gives up openings that take too long: one object that the store does not give must not keep the other slots, nor a place.
func (c *Core) openLate() {
	for _, j := range slices.SortedFunc(maps.Keys(c.jobs), Job.compare) {
		w := c.jobs[j]
		if j.Kind != jobOpen || w.late {
			continue
		}
		if !c.due(w.begun.Add(longestOpening << min(c.splits(w), 6))) {
			continue
		}
		w.late = true
		slots := w.effect.(Open).Slots
		c.say(slog.LevelWarn, "slots take long to open; they are tried again, in smaller groups", "slots", len(slots), "first", slots[0].Slot, "for", c.now.Sub(w.begun))
		c.emit(GiveUp{j})
	}
}

// opened takes in that slots are served, or why not.
func (c *Core) opened(a Answer, began *job) {
	slots := began.effect.(Open).Slots
	var failed []Taken
	for _, t := range slots {
		h := c.held[t.Slot]
		if h == nil || h.epoch != t.Epoch || h.state != opening {
			continue
		}
		h.busy = false
		if a.Err != nil {
			failed = append(failed, t)
			continue
		}
		h.state, h.opened, h.sources = isOpen, a.Committed, a.Sources[t.Slot]
		h.at, h.free = c.now, map[uuid.UUID]bool{}
	}
	if a.Err != nil {
		c.regroup(failed, began.late)
		if !began.late {
			c.say(slog.LevelError, "slots could not be opened; they are tried again, in smaller groups; the others are served", "slots", len(slots), "err", a.Err)
		}
		return
	}
	c.emit(Timed{StepOpen, c.now.Sub(began.begun)})
	c.looked = time.Time{} // some sessions may keep nothing for these any more
}

// regroup has slots that were not opened together tried again in smaller groups: by the session that their logs lie in, or else in
// halves. Not each on its own at once: after a mere outage each would read the same objects again. Each time they have twice as long.
func (c *Core) regroup(slots []Taken, late bool) {
	groups := map[uuid.UUID]int{}
	for _, t := range slots {
		groups[t.last()] = c.batches + len(groups) + 1
	}
	for i, t := range slots {
		h := c.held[t.Slot]
		h.splits++
		if h.batch = groups[t.last()]; len(groups) == 1 {
			h.batch += i * 2 / len(slots)
		}
		if !late {
			h.again = c.now.Add(openPause)
		}
		if len(slots) == 1 {
			h.fails++
			h.again = c.now.Add(min(openPause<<min(h.fails-1, 10), longestOpening))
		}
	}
	c.batches += len(groups) + 1
}

// last is the session that led the slot before; Nil: none.
func (t Taken) last() uuid.UUID {
	if len(t.From) == 0 {
		return uuid.Nil
	}
	return t.From[len(t.From)-1].Session
}
