// Pure.

package segment

import (
	"sort"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/bundle"
)

// ledger is what the room remembers of partitions from one round to the next, as long as they are led.
type ledger struct {
	parts  map[Name]*entry
	round  uint64
	debits []debit
}

// entry is what is remembered of a partition under one epoch.
type entry struct {
	name      string // of the topic
	slot      uint16
	epoch     int32
	round     uint64      // last one that saw it
	seen      int64       // when that was, ms
	base      int64       // of the first run
	since     int64       // when the room first saw that run, ms
	cut       int64       // when the last segment was cut, ms; 0: not here
	stays     bool        // nothing is done about it: its records are damaged or gone, or its topic is
	again     int64       // until then, ms; 0: for ever
	known     bool        // tiered and exists are as the table had them
	exists    bool        // there is a Partition item,
	tiered    int64       // which says so,
	top       records.Top // and this
	packs     []packRun   // of the tail, by offset
	forgotten []packRun   // that the log start has passed and nobody took off their packs
	doubt     []step      // links from tiered on whose outcome nobody knows
	joins     joins       // of small segments
}

// packRun is a run that lies in a pack.
type packRun struct {
	pack uuid.UUID
	next int64
}

// debit is runs to be taken off a pack.
type debit struct {
	pack  uuid.UUID
	runs  int64  // wholePack: all
	after uint64 // not before a recorded snapshot covers more than this bundle; 0: at once
	slot  uint16 // and only while this is led here under that epoch, if after is not 0
	epoch int32
}

const wholePack = -1

// maxDebits bounds the debits that wait. Packs beyond stay for ever: no snapshot was recorded for so long that this is the least worry.
const maxDebits = 1 << 16

func newLedger() *ledger { return &ledger{parts: map[Name]*entry{}} }

// of returns what is known of a tail that see was told.
func (l *ledger) of(t *Tail) *entry { return l.parts[t.Name] }

// see takes note of all tails there are.
func (l *ledger) see(tails []Tail, now int64) {
	l.round++
	for i := range tails {
		t := &tails[i]
		e := l.parts[t.Name]
		if e == nil || e.slot != t.Slot || e.epoch != t.Epoch {
			e = &entry{name: t.TopicName, slot: t.Slot, epoch: t.Epoch, base: t.Base, since: now}
			e.load(t)
			l.parts[t.Name] = e
		}
		if e.base != t.Base {
			e.base, e.since = t.Base, now
		}
		e.round, e.seen = l.round, now
		if e.again > 0 && now >= e.again {
			e.stays, e.again = false, 0
		}
		e.pass(t.Base)
	}
}

// load lists the runs of a tail that lie in packs.
func (e *entry) load(t *Tail) {
	if t.packRuns() == 0 {
		return
	}
	for _, run := range t.Log.Runs(nil, t.Base, t.packRuns()) {
		if run.Object.Kind == bundle.PACK {
			e.packs = append(e.packs, packRun{run.Object.Session, run.Next})
		}
	}
}

// pass notes that the tail has forgotten what ends at or below base. What was linked is not in packs any more: so the log start has passed.
func (e *entry) pass(base int64) {
	n := e.upTo(base)
	e.forgotten = append(e.forgotten, e.packs[:n]...)
	e.packs = e.packs[n:]
}

// upTo returns how many of packs end at or below offset.
func (e *entry) upTo(offset int64) int {
	return sort.Search(len(e.packs), func(i int) bool { return e.packs[i].next > offset })
}

// reached notes that tiered is at next now, as a write of this room or of another leader made it: that write took off what was to
// be taken off.
func (e *entry) reached(next int64, top records.Top) {
	e.known, e.exists, e.tiered, e.top, e.doubt = true, true, next, top, nil
	e.packs = e.packs[e.upTo(next):]
	for len(e.forgotten) > 0 && e.forgotten[0].next <= next {
		e.forgotten = e.forgotten[1:]
	}
}

// after returns the Top of extents of which x is one more, of a log that begins at start.
func after(top records.Top, x *records.Extent, start int64) records.Top {
	switch {
	case top == (records.Top{}) || top.At < start:
		return records.Top{TS: x.MaxTimestamp, At: x.Base, From: x.Base}
	case x.MaxTimestamp > top.TS:
		return records.Top{TS: x.MaxTimestamp, At: x.Base, From: top.From}
	}
	return top
}

// age returns for how long the oldest record of a tail has waited, ms: since its timestamp, unless that lies in the future or is so old
// that each new record would be cut at once.
func (e *entry) age(t *Tail, now int64) int64 {
	return now - max(min(max(t.MaxTimestamp, 0), e.since), e.cut)
}

// disproved returns the links in doubt that never happened and never will, now that done has moved the same partitions' tiered away
// from where they began.
func (l *ledger) disproved(done []step) (never []step) {
	for i := range done {
		if e := l.parts[done[i].Name]; e != nil {
			never = append(never, e.doubt...)
			e.doubt = nil
		}
	}
	return never
}

// suspect notes links whose outcome nobody knows.
func (l *ledger) suspect(steps []step) {
	for i := range steps {
		if e := l.parts[steps[i].Name]; e != nil && steps[i].extent != nil {
			e.doubt = append(e.doubt, steps[i])
		}
	}
}

// stay leaves a partition alone from now on.
func (l *ledger) stay(n Name) {
	if e := l.parts[n]; e != nil {
		e.stays, e.again = true, 0
	}
}

// alarmEvery is how long a partition is left alone whose records are damaged or gone: somebody may mend them.
const alarmEvery = time.Hour

// rest leaves a partition alone for that long.
func (e *entry) rest(now time.Time) { e.stays, e.again = true, now.Add(alarmEvery).UnixMilli() }

// replaced notes that placed, in a pack, took the place of runs. committed is the last committed bundle.
func (l *ledger) replaced(t *Tail, runs, placed []bundle.Location, committed uint64) {
	e := l.of(t)
	i, j := e.upTo(runs[0].Base), e.upTo(runs[len(runs)-1].Next)
	packs := append([]packRun(nil), e.packs[:i]...)
	for k := range placed {
		packs = append(packs, packRun{placed[k].Object.Session, placed[k].Next})
	}
	e.packs = append(packs, e.packs[j:]...)
	for pack, n := range packsOf(runs) {
		if len(l.debits) == maxDebits {
			return
		}
		l.debits = append(l.debits, debit{pack: pack, runs: n, after: committed + 1, slot: t.Slot, epoch: t.Epoch})
	}
}

// takeOff queues a debit that waits for nothing.
func (l *ledger) takeOff(pack uuid.UUID, runs int64) {
	l.debits = append(l.debits, debit{pack: pack, runs: runs})
}

// leave forgets the partitions that see was not told of; alive says which topics there are. It returns those of deleted topics that have
// runs in packs: who leads a slot takes them off.
func (l *ledger) leave(leads func(slot uint16, epoch int32) bool, alive func(topic uuid.UUID) bool) (gone []Name) {
	for name, e := range l.parts {
		switch {
		case e.round == l.round:
		case alive(name.Topic) && leads(e.slot, e.epoch):
			// Between two looks.
		case leads(e.slot, e.epoch) && len(e.packs)+len(e.forgotten) > 0:
			gone = append(gone, name)
		default:
			delete(l.parts, name)
		}
	}
	return gone
}

// bury forgets a partition of a deleted topic, and takes its runs off their packs.
func (l *ledger) bury(n Name) {
	e := l.parts[n]
	for _, run := range append(e.packs, e.forgotten...) {
		l.takeOff(run.pack, 1)
	}
	delete(l.parts, n)
}

// due takes out the debits that may be done, by pack.
func (l *ledger) due(snapped uint64, leads func(slot uint16, epoch int32) bool) map[uuid.UUID]int64 {
	sum := map[uuid.UUID]int64{}
	rest := l.debits[:0]
	for _, d := range l.debits {
		switch {
		case d.after > 0 && !leads(d.slot, d.epoch):
			// Who leads now may have opened from before the move.
		case d.after > snapped:
			rest = append(rest, d)
		case d.runs == wholePack || sum[d.pack] == wholePack:
			sum[d.pack] = wholePack
		default:
			sum[d.pack] += d.runs
		}
	}
	l.debits = rest
	return sum
}
