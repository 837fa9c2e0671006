// Pure.

package records

import (
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

// Session is one run of an agent and the head of its WAL. It is never deleted: it is what fences.
//
// Sequences start at 1, so 0 means none.
type Session struct {
	Agent     string
	NodeID    int32 // from 1 on; 0: no agent wrote the session, a rebuild of the table made it up
	State     State
	HB        int64            // rises with every commit and heartbeat
	Committed int64            // highest sequence of the committed log
	Trim      int64            // lowest sequence that somebody needs; at most Committed+1
	Snap      int64            // the newest snapshot covers the log up to this sequence
	SnapID    uuid.UUID        // in that snapshot's key
	End       int64            // Committed+1 once SEALED or CLOSED
	Pending   map[uint16]int32 // slots led or pinned at the end, with the epoch last led, that are not drained yet
	OldestRef int64            // lowest sequence of a bundle that refers to data objects (zone ingest) still in use
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
		AttrPending:   PendingValue(s.Pending),
		AttrOldestRef: metastore.N(s.OldestRef),
	}
}

// DecodeSession decodes it. Error: ErrBadItem. Pending is never nil.
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
