package main

// Array bounds. They limit memory, not behaviour: a step that would overflow one is counted in Model.Truncated.
const (
	NS   = 4 // sessions
	NK   = 2 // slots
	NP   = 2 // partitions
	NQ   = 7 // WAL bundles of a session
	NO   = 5 // offsets of a partition
	NF   = 4 // from[] entries of a slot
	NSN  = 8 // snapshot objects alive at once
	NSEG = 4 // segment objects alive at once
)

// States of a session item.
const (
	Active = iota + 1
	Fenced
	Sealed
	Closed
	Drained
)

// States of a slot at an agent.
const (
	Opening  = iota + 1 // slot-open appended, not known to be committed
	Open                // serves
	Draining            // hand-off: accepts nothing, all it has is committed, pinned
	Handing             // hand-off: the update of the slot item was sent, outcome unknown
	Left                // handed over; the log is kept, frozen, for snapshots
)

const (
	running = 1
	gone    = 2 // crashed or ended: memory lost

	issued = 1 // bundle flags: the PUT was sent,
	landed = 2 // it is durable and the writer may know,
	exists = 4 // the object is in the store now

	tActive   = 1
	tDeleting = 2
	tGone     = 3
)

// Run is a partition's part of a bundle: N (at most two) records, four bits each in V.
type Run struct{ Epoch, Base, N, V uint8 }

// Bundle is one WAL object. Its content never changes after the PUT was issued (I6) and is kept here after the
// deletion of the object, so that Loc can always be turned into a value.
type Bundle struct {
	Flags uint8
	Run   [NP]Run
	Open  [NK]uint8 // slot-open: epoch, or 0; the snapshot it names is (session, slot, epoch)
}

// Log says where each offset lies: session<<4 | seq, sequence numbers from 1; 0 ends the log.
type Log [NO]uint8

// Lead is what an agent has in memory about one slot.
type Lead struct{ St, Epoch, OpenSeq, FrozenEp uint8 }

// Session is a session item of the metastore, its process, its memory and its WAL.
type Session struct {
	State, Committed, Trim, Snap, End uint8
	Pend                              [NK]uint8 // epoch last led, 0 = not pending
	Pin, PinEp                        [NK]uint8 // the PINS item: lowest seq needed, newest epoch led
	Read                              uint8     // a sealer has read the PINS item,
	Seen                              [NK]uint8 // and found these epochs there

	Proc, Next, Known, Reply uint8 // buffer's seq; committed as far as learnt; a reply of a commit under way
	Topic                    uint8 // cached topic map: the name stands for partition Topic-1
	Query                    uint8 // only with the mutant seal-query-early
	HB, Look                 uint8 // heartbeats, only with Beats; plus one: what an observer saw, who takes it for dead
	Moved                    uint8 // ghost: it gave a sign of life since
	Slot                     [NK]Lead
	Log                      [NP]Log
	Frozen                   [NP]uint8 // length of the log at the last hand-off
	WAL                      [NQ]Bundle
}

// From is an entry of a slot's from[].
type From struct{ S, End, Ep uint8 }

// Slot is a slot item. The epoch serves as version; V counts the changes that leave the epoch alone.
type Slot struct {
	Leader, Epoch, V, NFrom uint8 // Leader is session+1
	From                    [NF]From
}

// Part is a topic of one partition and its partition item.
type Part struct {
	Topic, LogStart, Tiered uint8
	Ext                     [NO]uint8 // segment+1 that holds the offset
	Vis                     [NO]uint8 // ghost: the value acked or shown to a consumer at this offset
}

// Snap is a snapshot object: Kind 0 the periodic one of (S, Seq), Kind k+1 the one named by slot-open(k, Seq=epoch).
type Snap struct {
	S, Kind, Seq uint8 // S is session+1, 0 = no object
	Ep           [NK]uint8
	Log          [NP]Log
}

// Seg is a segment object.
type Seg struct {
	Owner, P, Base, Next, Linked uint8 // Owner is session+1, 0 = no object
	V                            [NO]uint8
}

// Late is one metastore update under way in the network, to be applied at any later time, or never.
type Late struct{ Kind, S, K, A, B, C, D uint8 }

// State is everything. It has no padding and no pointer, so that it can be hashed and copied as bytes.
type State struct {
	S     [NS]Session
	M     [NK]Slot
	P     [NP]Part
	Snap  [NSN]Snap
	Seg   [NSEG]Seg
	Late  Late
	Used  struct{ Hand, Late, Ones, Start, Close, Age, Beats uint8 }
	Wrong uint8 // ghost: records appended to a deleted topic after its successor was created, one bit per value
	Bad   uint8 // a violation met inside a step
}

func (l *Log) len() int {
	n := 0
	for n < NO && l[n] != 0 {
		n++
	}
	return n
}

// val is the record of partition p at offset o that lies at loc.
func (s *State) val(p, o int, loc uint8) uint8 {
	r := &s.S[loc>>4].WAL[loc&15-1].Run[p]
	return r.V >> (4 * (uint8(o) - r.Base)) & 15
}

// last is the producer state of a log: the highest sequence number of the idempotent producer (values below 8).
func (s *State) last(p int, l *Log) uint8 {
	var v uint8
	for o := 0; o < NO && l[o] != 0; o++ {
		if x := s.val(p, o, l[o]); x < 8 && x > v {
			v = x
		}
	}
	return v
}

// acked is how many records the producer of p may know as acked.
func (s *State) acked(p int) uint8 {
	var v uint8
	for _, x := range s.P[p].Vis {
		if x < 8 && x > v {
			v = x
		}
	}
	return v
}

// hw is the high watermark of partition p at session i: what lies in other sessions was committed before the slot was
// opened, its own sequence numbers count as far as it has learnt.
func (s *State) hw(i, p int) int {
	u := &s.S[i]
	n := 0
	for n < NO && u.Log[p][n] != 0 && (int(u.Log[p][n]>>4) != i || u.Log[p][n]&15 <= u.Known) {
		n++
	}
	return n
}

// show records that a value was acked at, or read from, an offset.
func (s *State) show(p, o int, v uint8) {
	if x := &s.P[p].Vis[o]; *x == 0 {
		*x = v
	} else if *x != v {
		s.Bad = badTwoValues
	}
	if p == 0 && v < 8 && s.Wrong>>v&1 == 1 {
		s.Bad = badWrongTopic
	}
}

func (s *State) findSnap(sess, kind, seq uint8) *Snap {
	for i := range s.Snap {
		if n := &s.Snap[i]; n.S == sess+1 && n.Kind == kind && n.Seq == seq {
			return n
		}
	}
	return nil
}

func less(a, b *Snap) bool {
	x, y := int(a.S)<<16|int(a.Kind)<<8|int(a.Seq), int(b.S)<<16|int(b.Kind)<<8|int(b.Seq)
	return x < y
}

// putSnap inserts in order, so that equal sets are equal states.
func (s *State) putSnap(n Snap) bool {
	i := 0
	for i < NSN && s.Snap[i].S != 0 {
		i++
	}
	if i == NSN {
		return false
	}
	for ; i > 0 && less(&n, &s.Snap[i-1]); i-- {
		s.Snap[i] = s.Snap[i-1]
	}
	s.Snap[i] = n
	return true
}

func (s *State) dropSnap(i int) {
	copy(s.Snap[i:], s.Snap[i+1:])
	s.Snap[NSN-1] = Snap{}
}

// forget is the end of a process.
func (s *State) forget(i int) {
	u := &s.S[i]
	if u.Next >= 1 && u.Next <= NQ {
		u.WAL[u.Next-1] = Bundle{}
	}
	u.Proc, u.Next, u.Known, u.Reply, u.Topic = gone, 0, 0, 0, 0
	u.Slot, u.Log, u.Frozen = [NK]Lead{}, [NP]Log{}, [NP]uint8{}
}
