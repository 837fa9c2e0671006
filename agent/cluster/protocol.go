// Pure.

package cluster

import (
	"errors"
	"maps"
	"math"
	"slices"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

func stateIs(s records.State) metastore.Cond {
	return metastore.Cond{Attr: records.AttrState, Cmp: metastore.Eq, Value: s.Value()}
}

func versionIs(v int64) metastore.Cond {
	return metastore.Cond{Attr: records.AttrV, Cmp: metastore.Eq, Value: metastore.N(v)}
}

// fenceOp ends a session whose heartbeat stood still at hb: it can never commit again (architecture section 8, step 2).
func fenceOp(key metastore.Key, hb int64) metastore.Op {
	return metastore.Op{
		Kind: metastore.OpUpdate, Key: key,
		Set: metastore.Item{records.AttrState: records.Fenced.Value()},
		If:  []metastore.Cond{stateIs(records.Active), {Attr: records.AttrHB, Cmp: metastore.Eq, Value: metastore.N(hb)}},
	}
}

// endOps write where the log of a session ends, and what may still be needed of it: from FENCED to SEALED by anybody, or from
// ACTIVE to CLOSED by the session itself. One that owes nothing is DRAINED at once. s is the session as read; notBefore is
// when its objects may be deleted then, in ms since 1970.
func endOps(c records.Cluster, id uuid.UUID, s records.Session, to records.State, owed map[uint16]int32, notBefore int64) []metastore.Op {
	end := metastore.Op{
		Kind: metastore.OpUpdate, Key: c.SessionKey(id),
		Set: metastore.Item{
			records.AttrState:   to.Value(),
			records.AttrEnd:     metastore.N(s.Committed + 1),
			records.AttrPending: records.PendingValue(owed),
		},
		If: []metastore.Cond{stateIs(s.State), {Attr: records.AttrCommitted, Cmp: metastore.Eq, Value: metastore.N(s.Committed)}},
	}
	if len(owed) > 0 {
		return []metastore.Op{end}
	}
	end.Set[records.AttrState] = records.Drained.Value()
	s.End = s.Committed + 1
	return []metastore.Op{end, garbageOp(c, id, s, notBefore)}
}

// garbageOp queues the WAL of a session that is drained.
func garbageOp(c records.Cluster, id uuid.UUID, s records.Session, notBefore int64) metastore.Op {
	g := records.Garbage{Session: id, From: max(1, s.Trim), End: s.End, NotBefore: notBefore, Snapshots: true}
	return metastore.Op{Kind: metastore.OpPut, Key: c.GarbageKey(g), Set: g.Item()}
}

// ended reports whether nobody can write under the session any more and its end is known.
func ended(s records.State) bool {
	return s == records.Sealed || s == records.Closed || s == records.Drained
}

// pending is what a session's end must list: the slots it led, which m names, and those it had pinned.
func pending(session uuid.UUID, slots []records.Slot, pins map[uint16]records.Pin) map[uint16]int32 {
	p := map[uint16]int32{}
	for slot, pin := range pins {
		p[slot] = pin.Epoch
	}
	for _, s := range slots {
		if s.Leader == session {
			p[s.Slot] = max(p[s.Slot], s.Epoch)
		}
	}
	return p
}

// takeOp makes a session the leader of a slot whose last leader has ended. old is the item as it is, nil if the slot never
// had a leader; end is where the log of the last leader's session ends.
func takeOp(c records.Cluster, slot uint16, old *records.Slot, end int64, to records.Member, nonce uuid.UUID) metastore.Op {
	if old == nil {
		next := records.Slot{Slot: slot}
		lead(&next, to, nonce)
		return metastore.Op{Kind: metastore.OpPut, Key: c.SlotKey(slot), Set: next.Item(), If: []metastore.Cond{{Cmp: metastore.ItemAbsent}}}
	}
	return moveOp(c, *old, end, to, nonce)
}

// moveOp makes another session the leader of a slot; what the last one leaves behind is pushed to from[]. It is a hand-over if
// the leader itself writes it, after it pinned its WAL.
func moveOp(c records.Cluster, s records.Slot, end int64, to records.Member, nonce uuid.UUID) metastore.Op {
	next := s
	next.From = append(append([]records.From(nil), s.From...), records.From{Session: s.Leader, End: end, Epoch: s.Epoch})
	next.Epoch++
	lead(&next, to, nonce)
	return putSlot(c, s.V, next)
}

func lead(s *records.Slot, to records.Member, nonce uuid.UUID) {
	s.Leader, s.Agent, s.Want, s.Nonce = to.Session, to.Agent, "", nonce
	s.Replicas = []records.Member{to}
	s.ISR = s.Replicas
	s.V++
}

func putSlot(c records.Cluster, v int64, next records.Slot) metastore.Op {
	return metastore.Op{Kind: metastore.OpPut, Key: c.SlotKey(next.Slot), Set: next.Item(), If: []metastore.Cond{versionIs(v)}}
}

// writeUnit is how many bytes of an item the metastore counts, and charges, as one write.
const writeUnit = 1 << 10

// fits reports whether the item of a slot stays within a write unit when its leader makes another one leader, whatever name is in
// want after that.
func fits(c records.Cluster, s records.Slot, to records.Member) bool {
	op := moveOp(c, s, math.MaxInt64, to, uuid.Nil)
	return op.Key.Size()+op.Set.Size()+records.MaxName <= writeUnit
}

// newest keeps one entry of each session, the last. Only the leader may shorten from[] so, and only once its slot-open is committed: then
// whoever opens the slot after it stops there, and all that from[] is for is to say which sessions are still to be let go of.
func newest(from []records.From) (keep []records.From) {
	for i, f := range from {
		later := func(g records.From) bool { return g.Session == f.Session }
		if !slices.ContainsFunc(from[i+1:], later) {
			keep = append(keep, f)
		}
	}
	return keep
}

// wantOp says who shall lead a slot; empty: nobody else. It raises v, so that a hand-over that is under way fails.
func wantOp(c records.Cluster, s records.Slot, agent string, nonce uuid.UUID) metastore.Op {
	v := s.V
	s.Want, s.Nonce, s.V = agent, nonce, v+1
	return putSlot(c, v, s)
}

// clearOp takes sessions out of from[].
func clearOp(c records.Cluster, s records.Slot, keep []records.From, nonce uuid.UUID) metastore.Op {
	v := s.V
	s.From, s.Nonce, s.V = keep, nonce, v+1
	return putSlot(c, v, s)
}

// pinOps change a session's own pins, while it is ACTIVE.
func pinOps(c records.Cluster, session uuid.UUID, was records.Pins, slots map[uint16]records.Pin) []metastore.Op {
	return []metastore.Op{
		{Kind: metastore.OpCheck, Key: c.SessionKey(session), If: []metastore.Cond{stateIs(records.Active)}},
		putPins(c, session, was, slots),
	}
}

func putPins(c records.Cluster, session uuid.UUID, was records.Pins, slots map[uint16]records.Pin) metastore.Op {
	put := pinsAre(c, session, was.V)
	next := records.Pins{Slots: slots, V: was.V + 1}
	put.Kind, put.Set = metastore.OpPut, next.Item()
	return put
}

// pinsAre checks that the pins of a session have a version; 0: that there are none.
func pinsAre(c records.Cluster, session uuid.UUID, v int64) metastore.Op {
	cond := versionIs(v)
	if v == 0 {
		cond = metastore.Cond{Cmp: metastore.ItemAbsent}
	}
	return metastore.Op{Kind: metastore.OpCheck, Key: c.PinsKey(session), If: []metastore.Cond{cond}}
}

// unpinOps take slots out of what a session keeps for others: epochs says under which epoch each is led now, by the caller, whose
// slot-open is committed. Only entries of lower epochs go. Nil: there is nothing to take out.
func unpinOps(c records.Cluster, id uuid.UUID, s records.Session, pins records.Pins, epochs map[uint16]int32, notBefore int64) []metastore.Op {
	if s.State == records.Active {
		left := maps.Clone(pins.Slots)
		maps.DeleteFunc(left, func(n uint16, p records.Pin) bool { e, mine := epochs[n]; return mine && p.Epoch < e })
		if len(left) == len(pins.Slots) {
			return nil
		}
		return []metastore.Op{putPins(c, id, pins, left)}
	}
	if s.State != records.Sealed && s.State != records.Closed {
		return nil
	}
	left := maps.Clone(s.Pending)
	maps.DeleteFunc(left, func(n uint16, p int32) bool { e, mine := epochs[n]; return mine && p < e })
	if len(left) == len(s.Pending) {
		return nil
	}
	op := metastore.Op{
		Kind: metastore.OpUpdate, Key: c.SessionKey(id), Set: metastore.Item{records.AttrPending: records.PendingValue(left)},
		If: []metastore.Cond{stateIs(s.State), {Attr: records.AttrPending, Cmp: metastore.Eq, Value: records.PendingValue(s.Pending)}},
	}
	if len(left) > 0 {
		return []metastore.Op{op}
	}
	op.Set[records.AttrState] = records.Drained.Value()
	return []metastore.Op{op, garbageOp(c, id, s, notBefore)}
}

// raiseOps raise the version of the map.
func raiseOps(c records.Cluster) []metastore.Op {
	return []metastore.Op{{Kind: metastore.OpUpdate, Key: c.VersionKey(), Add: map[string]int64{records.AttrMap: 1}}}
}

// old returns the item that a failed condition brought.
func old(err error) (item metastore.Item, failed bool) {
	var cond *metastore.ConditionError
	if errors.As(err, &cond) {
		return cond.Old, true
	}
	return nil, false
}

// transient reports whether a write is worth repeating.
func transient(err error) bool {
	return errors.Is(err, metastore.ErrUnknown) || errors.Is(err, metastore.ErrThrottled) || errors.Is(err, metastore.ErrConflict)
}
