// Pure.

package records

import (
	"fmt"
	"math"

	"github.com/google/uuid"
	"github.com/varvelog/varve/metastore"
)

// Slot says who leads a slot, and from which sessions' WALs its state is recovered. A slot that never had a leader has no item.
type Slot struct {
	Slot     uint16
	Leader   uuid.UUID // session
	Agent    string    // name of the leader's agent
	Epoch    int32     // rises with every change of leader
	Replicas []Member  // who the leader pushes to, itself included
	ISR      []Member  // who has everything that was acked
	From     []From    // oldest first; the newest entry is the last
	Want     string    // agent that the controller wants to lead, empty: none
	V        int64     // rises with every write
	Nonce    uuid.UUID // of the last writer, who recognises its own success by it
}

// Member is an agent in one of its runs: every restart is an empty memory.
type Member struct {
	Agent   string
	Session uuid.UUID
}

// From is a session whose WAL may hold data of the slot below End, led under Epoch.
type From struct {
	Session uuid.UUID
	End     int64
	Epoch   int32
}

// SlotsPK is the partition key of all Slot items.
func (c Cluster) SlotsPK() string { return c.pk("M") }

// SlotKey is the key of the Slot item of slot. Sort keys have the order of slots.
func (c Cluster) SlotKey(slot uint16) metastore.Key {
	return metastore.Key{PK: c.SlotsPK(), SK: fmt.Sprintf("slot:%04x", slot)}
}

// Item encodes s.
func (s Slot) Item() metastore.Item {
	return metastore.Item{
		AttrSlot:     metastore.N(int64(s.Slot)),
		AttrLeader:   IDValue(s.Leader),
		AttrAgent:    metastore.S(s.Agent),
		AttrEpoch:    metastore.N(int64(s.Epoch)),
		AttrReplicas: MembersValue(s.Replicas),
		AttrISR:      MembersValue(s.ISR),
		AttrFrom:     FromValue(s.From),
		AttrWant:     metastore.S(s.Want),
		AttrV:        metastore.N(s.V),
		AttrNonce:    IDValue(s.Nonce),
	}
}

// DecodeSlot decodes it. Error: ErrBadItem. Empty lists are nil.
func DecodeSlot(it metastore.Item) (Slot, error) {
	f := fields{kind: "slot", item: it}
	s := Slot{
		Slot:     uint16(f.num(AttrSlot, 0, math.MaxUint16)),
		Leader:   f.id(AttrLeader),
		Agent:    f.str(AttrAgent),
		Epoch:    f.i32(AttrEpoch),
		Replicas: packed(&f, AttrReplicas, parseMembers),
		ISR:      packed(&f, AttrISR, parseMembers),
		From:     packed(&f, AttrFrom, parseFrom),
		Want:     f.str(AttrWant),
		V:        f.count(AttrV),
		Nonce:    f.id(AttrNonce),
	}
	if f.err != nil {
		return Slot{}, f.err
	}
	return s, nil
}

// MembersValue is the packed form of members, in their order.
func MembersValue(members []Member) metastore.Value {
	p := newPacker(32 * len(members))
	for _, m := range members {
		p.id(m.Session)
		p.str(m.Agent)
	}
	return metastore.B(p.b)
}

func parseMembers(b []byte) ([]Member, error) {
	var members []Member
	u := unpack(b)
	for !u.done() {
		members = append(members, Member{Session: u.id(), Agent: u.str()})
	}
	return members, u.err
}

// FromValue is the packed form of from, in its order.
func FromValue(from []From) metastore.Value {
	p := newPacker(28 * len(from))
	for _, e := range from {
		p.id(e.Session)
		p.i64(e.End)
		p.i32(e.Epoch)
	}
	return metastore.B(p.b)
}

func parseFrom(b []byte) ([]From, error) {
	var from []From
	u := unpack(b)
	for !u.done() {
		e := From{Session: u.id(), End: u.i64(), Epoch: u.i32()}
		if e.End < 0 || e.Epoch < 0 {
			u.fail(errRange)
		}
		from = append(from, e)
	}
	return from, u.err
}
