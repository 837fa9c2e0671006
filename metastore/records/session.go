// Pure.

package records

import (
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/varvelog/varve/metastore"
)

// State is the state of a session: ACTIVE -> CLOSED, or ACTIVE -> FENCED -> SEALED; CLOSED or SEALED -> DRAINED.
type State string

// The states of a session.
const (
	Active  State = "ACTIVE"  // may commit
	Fenced  State = "FENCED"  // will never commit again; its end is not written yet
	Sealed  State = "SEALED"  // end and pending are written by whoever fenced it
	Closed  State = "CLOSED"  // the same, written by itself
	Drained State = "DRAINED" // nothing refers to its WAL any more
)

// MaxPins is the most entries that a writer lets Pins have: the item stays below 1 KB, one write unit.
const MaxPins = 32

// Session is one run of an agent and the head of its WAL. It is never deleted: it is what fences.
//
// Sequences start at 1, so 0 means none.
type Session struct {
	Agent     string
	NodeID    int32
	State     State
	HB        int64            // rises with every commit and heartbeat
	Committed int64            // highest sequence of the committed log
	Trim      int64            // lowest sequence that somebody needs; at most Committed+1
	Snap      int64            // the newest snapshot covers the log up to this sequence
	SnapID    uuid.UUID        // in that snapshot's key
	End       int64            // Committed+1 once SEALED or CLOSED
	Pins      map[uint16]Pin   // slots handed over or taken, whose new leader still needs this WAL
	Pending   map[uint16]int32 // slots led or pinned at the end, with the epoch last led, that are not drained yet
	OldestRef int64            // lowest sequence of a bundle that refers to data objects (zone ingest) still in use
}

// Pin keeps a session's WAL from Seq on for a slot.
type Pin struct {
	Seq   int64 // the lowest sequence that any epoch still needs
	Epoch int32 // the newest epoch under which the session led the slot
}

// SessionKey is the key of a Session item, which has a partition key of its own: a session is written four times a second.
func (c Cluster) SessionKey(session uuid.UUID) metastore.Key {
	return metastore.Key{PK: c.pk("S#" + session.String()), SK: "-"}
}

// Item encodes s.
func (s Session) Item() metastore.Item {
	return metastore.Item{
		AttrAgent:     metastore.S(s.Agent),
		AttrNode:      metastore.N(int64(s.NodeID)),
		AttrState:     s.State.Value(),
		AttrHB:        metastore.N(s.HB),
		AttrCommitted: metastore.N(s.Committed),
		AttrTrim:      metastore.N(s.Trim),
		AttrSnap:      metastore.N(s.Snap),
		AttrSnapID:    IDValue(s.SnapID),
		AttrEnd:       metastore.N(s.End),
		AttrPins:      PinsValue(s.Pins),
		AttrPending:   PendingValue(s.Pending),
		AttrOldestRef: metastore.N(s.OldestRef),
	}
}

// DecodeSession decodes it. Error: ErrBadItem. Pins and Pending are never nil.
func DecodeSession(it metastore.Item) (Session, error) {
	f := fields{kind: "session", item: it}
	s := Session{
		Agent:     f.str(AttrAgent),
		NodeID:    f.i32(AttrNode),
		State:     State(f.str(AttrState)),
		HB:        f.count(AttrHB),
		Committed: f.count(AttrCommitted),
		Trim:      f.count(AttrTrim),
		Snap:      f.count(AttrSnap),
		SnapID:    f.id(AttrSnapID),
		End:       f.count(AttrEnd),
		Pins:      packed(&f, AttrPins, parsePins),
		Pending:   packed(&f, AttrPending, parsePending),
		OldestRef: f.count(AttrOldestRef),
	}
	switch s.State {
	case Active, Fenced, Sealed, Closed, Drained:
	default:
		f.fail(AttrState, errRange)
	}
	if f.err != nil {
		return Session{}, f.err
	}
	return s, nil
}

// Value is s as an attribute.
func (s State) Value() metastore.Value { return metastore.S(string(s)) }

// PinsValue is the packed form of pins, sorted by slot.
func PinsValue(pins map[uint16]Pin) metastore.Value {
	p := newPacker(14 * len(pins))
	for _, slot := range slices.Sorted(maps.Keys(pins)) {
		p.u16(slot)
		p.i64(pins[slot].Seq)
		p.i32(pins[slot].Epoch)
	}
	return metastore.B(p.b)
}

func parsePins(b []byte) (map[uint16]Pin, error) {
	u, pins, last := unpack(b), make(map[uint16]Pin, len(b)/14), -1
	for !u.done() {
		slot := u.u16()
		pin := Pin{Seq: u.i64(), Epoch: u.i32()}
		if int(slot) <= last {
			u.fail(errOrder)
		}
		if pin.Seq < 0 || pin.Epoch < 0 {
			u.fail(errRange)
		}
		pins[slot], last = pin, int(slot)
	}
	return pins, u.err
}

// PendingValue is the packed form of pending, sorted by slot.
func PendingValue(pending map[uint16]int32) metastore.Value {
	p := newPacker(6 * len(pending))
	for _, slot := range slices.Sorted(maps.Keys(pending)) {
		p.u16(slot)
		p.i32(pending[slot])
	}
	return metastore.B(p.b)
}

func parsePending(b []byte) (map[uint16]int32, error) {
	u, pending, last := unpack(b), make(map[uint16]int32, len(b)/6), -1
	for !u.done() {
		slot, epoch := u.u16(), u.i32()
		if int(slot) <= last {
			u.fail(errOrder)
		}
		if epoch < 0 {
			u.fail(errRange)
		}
		pending[slot], last = epoch, int(slot)
	}
	return pending, u.err
}
