package main

// Array bounds of a Life.
const (
	lP = 2 // partitions, of one slot, so that they share packs
	lO = 3 // offsets of a partition
	lL = 3 // leaders, one after the other: leader i leads under epoch i+1, in a session of its own
	lK = 5 // packs
	lG = 4 // segments
)

// Where a record lies; 0: the tail has forgotten it, or does not have it yet.
const (
	inWAL  = 1
	inPack = 2 // plus the number of the pack
)

// Bits of an object.
const (
	oThere  = 1 << iota // in the store
	oQueued             // an item of the queue G# names it
	oDue                // its grace is over
	oWas                // ghost: the queue named it once
)

// Kinds of Work.
const (
	wPack  = iota + 1
	wMerge // packs of a partition become one
	wCut   // a segment is written, its link comes next
	wJoin  // one is written that shall take the place of two
)

// Logs says where the records of each partition lie.
type Logs [lP][lO]uint8

// Copy is a snapshot: the logs up to their ends of that moment.
type Copy struct {
	Set uint8 // 1: there is one; of Taken also 2: the item names it, which its session has not learnt
	Log Logs
	End [lP]uint8
}

// Work is what a leader's room has under way.
type Work struct {
	Kind, Obj, Put, Parts uint8 // Parts: a bit for each partition
	From, To              [lP]uint8
}

// Leader is a session, its process and its memory.
type Leader struct {
	State, Proc         uint8
	Log                 Logs      // the tail index; runs in packs that the log start has passed stay until tiered does
	Known               [lP]uint8 // tiered as last heard, plus one
	Wait, Due           [lK]uint8 // runs to be taken off packs: once a recorded snapshot knows their new place; now
	Opening, Rec, Taken Copy      // named by slot-open; by the session item; PUT, and not recorded as far as known
	TakenWait           [lK]uint8 // of Wait, what Taken knows the new place of
	Op                  Work
	Doubt               [lP]uint8 // segment+1 whose link has an unknown outcome
}

// Tier is a partition: its committed log, its item and extents, and its bundles.
type Tier struct {
	Topic, Start, End, Tiered uint8
	W                         [lO]uint8 // who committed the record, plus one
	Ext                       [lO]uint8 // segment+1 that holds it
	WAL                       [lO]uint8 // the object: one bundle for each record
}

// Pack is a pack's item and object. It has at most one run of each partition.
type Pack struct {
	Item, Live, Nonce, Obj uint8
	Base, Next             [lP]uint8
}

// Piece is a segment's object, and what its link would take off packs.
type Piece struct {
	Owner, P, Base, Next, Linked, Obj uint8 // Linked 2: it was, and is unlinked
	V                                 [lO]uint8
	Runs                              [lK]uint8
	Join                              [2]uint8 // segments+1 whose place it takes
}

// Write is a transaction under way in the network.
type Write struct{ Kind, I, Obj, N, Live, Nonce uint8 }

// Life is everything. It has no padding and no pointer.
type Life struct {
	Epoch uint8 // of the slot
	L     [lL]Leader
	P     [lP]Tier
	K     [lK]Pack
	G     [lG]Piece
	Late  Write
	Read  struct{ Kind, A, B uint8 } // a reader's entry of an index, that may still be counted on: 1 bundle, 2 pack, 3 segment
	Used  struct{ Start, Late, Snap, Read uint8 }
	Bad   uint8
}

// Violations met inside of a step.
const (
	lifeCounted = iota + 1
	lifeGrace
	lifeNowhere
)

var lifeBad = [...]string{"", "I9: a pack is counted down further than it has runs", "I9: an object is deleted before its grace is over, under a reader",
	"V1: part of a log is nowhere, as its leader sees it"}

// runEnd is where the run ends that holds offset o of partition p in a log.
func (s *Life) runEnd(log *Logs, p, o int) int {
	if k := int(log[p][o]) - inPack; k >= 0 {
		return int(s.K[k].Next[p])
	}
	return o + 1
}

// runBase is where it begins.
func (s *Life) runBase(log *Logs, p, o int) int {
	if k := int(log[p][o]) - inPack; k >= 0 {
		return int(s.K[k].Base[p])
	}
	return o
}

// forget drops the runs that end at or below next.
func (s *Life) forget(log *Logs, p, next int) {
	for o := 0; o < next; {
		if log[p][o] == 0 {
			o++
			continue
		}
		end := s.runEnd(log, p, o)
		if end > next {
			return
		}
		for ; o < end; o++ {
			log[p][o] = 0
		}
	}
}

// begins is the first offset of the first run that the log start has not passed; the end of the log if there is none.
func (s *Life) begins(log *Logs, p int) int {
	for o := 0; o < int(s.P[p].End); o++ {
		if log[p][o] != 0 && s.runEnd(log, p, o) > int(s.P[p].Start) {
			return s.runBase(log, p, o)
		}
	}
	return int(s.P[p].End)
}

// object is what a record of a log lies in.
func (s *Life) object(loc uint8, p, o int) *uint8 {
	if loc == inWAL {
		return &s.P[p].WAL[o]
	}
	return &s.K[loc-inPack].Obj
}

// readable reports whether the objects of offsets [from, to) are there.
func (s *Life) readable(log *Logs, p, from, to int) bool {
	for o := from; o < to; o++ {
		if log[p][o] == 0 || *s.object(log[p][o], p, o)&oThere == 0 {
			return false
		}
	}
	return true
}

// copyOf is a snapshot of a leader's logs.
func (s *Life) copyOf(l *Leader) Copy {
	c := Copy{Set: 1, Log: l.Log}
	for p := range s.P {
		c.End[p] = s.P[p].End
		s.forget(&c.Log, p, int(s.P[p].Start))
	}
	return c
}

// heir is what opens after leader i: the newest snapshot that the table names, and the bundles after it; nothing of a topic that is gone,
// because who opens catches up the topics first.
func (s *Life) heir(i int) Logs {
	l := &s.L[i]
	c := &l.Opening
	if l.Rec.Set != 0 {
		c = &l.Rec
	}
	log := c.Log
	for p := range s.P {
		for o := int(c.End[p]); o < int(s.P[p].End); o++ {
			log[p][o] = inWAL
		}
		s.forget(&log, p, int(s.P[p].Start))
		if s.P[p].Topic != tActive {
			log[p] = [lO]uint8{}
		}
	}
	return log
}

// queue puts an object into G#.
func (s *Life) queue(obj *uint8) { *obj |= oQueued | oWas }
