// Pure.

package cluster

import (
	"errors"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// fenceOp ends a session whose heartbeat stood still at hb: it can never commit again (architecture section 8, step 2).
func fenceOp(key metastore.Key, hb int64) metastore.Op {
	return metastore.Op{
		Kind: metastore.OpUpdate, Key: key,
		Set: metastore.Item{records.AttrState: records.Fenced.Value()},
		If: []metastore.Cond{
			{Attr: records.AttrState, Cmp: metastore.Eq, Value: records.Active.Value()},
			{Attr: records.AttrHB, Cmp: metastore.Eq, Value: metastore.N(hb)},
		},
	}
}

// endOp writes where the log of a session ends, and who may still need it: from FENCED to SEALED by anybody, or from
// ACTIVE to CLOSED by the session itself.
func endOp(key metastore.Key, from, to records.State, committed int64, pending map[uint16]int32) metastore.Op {
	return metastore.Op{
		Kind: metastore.OpUpdate, Key: key,
		Set: metastore.Item{
			records.AttrState:   to.Value(),
			records.AttrEnd:     metastore.N(committed + 1),
			records.AttrPending: records.PendingValue(pending),
		},
		If: []metastore.Cond{
			{Attr: records.AttrState, Cmp: metastore.Eq, Value: from.Value()},
			{Attr: records.AttrCommitted, Cmp: metastore.Eq, Value: metastore.N(committed)},
		},
	}
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
func takeOp(c records.Cluster, slot uint16, old *records.Slot, end int64, session uuid.UUID, agent string, nonce uuid.UUID) (metastore.Op, records.Slot) {
	next := records.Slot{Slot: slot, Epoch: 0, V: 1}
	cond := metastore.Cond{Cmp: metastore.ItemAbsent}
	if old != nil {
		next = *old
		next.Epoch, next.V, next.Want = old.Epoch+1, old.V+1, ""
		next.From = append(append([]records.From(nil), old.From...), records.From{Session: old.Leader, End: end, Epoch: old.Epoch})
		cond = metastore.Cond{Attr: records.AttrV, Cmp: metastore.Eq, Value: metastore.N(old.V)}
	}
	me := []records.Member{{Agent: agent, Session: session}}
	next.Leader, next.Agent, next.Nonce, next.Replicas, next.ISR = session, agent, nonce, me, me
	return metastore.Op{Kind: metastore.OpPut, Key: c.SlotKey(slot), Set: next.Item(), If: []metastore.Cond{cond}}, next
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
