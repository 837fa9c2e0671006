// Pure.

package records

import (
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/varvelog/varve/metastore"
)

// Pins are the slots that a session handed over and whose new leader still needs its WAL. They stand beside the Session item,
// not in it: that one is written four times a second and stays below one write unit, and a session may hand over all its slots
// at once. No item is no pins.
//
// The session alone adds to them, in a transaction that checks that it is ACTIVE: after a fence no pin appears. A leader
// of a higher epoch takes a slot out when nothing of it lies in the session's WAL any more.
type Pins struct {
	Slots map[uint16]Pin
	V     int64 // rises with every write; 0: there is no item
}

// Pin keeps a session's WAL from Seq on for a slot.
type Pin struct {
	Seq   int64 // the lowest sequence that any epoch still needs
	Epoch int32 // the newest epoch under which the session led the slot
}

// PinsKey is the key of the Pins item of a session.
func (c Cluster) PinsKey(session uuid.UUID) metastore.Key {
	return metastore.Key{PK: c.SessionKey(session).PK, SK: "PINS"}
}

// Item encodes p.
func (p Pins) Item() metastore.Item {
	return metastore.Item{AttrPins: PinsValue(p.Slots), AttrV: metastore.N(p.V)}
}

// DecodePins decodes it. Error: ErrBadItem. Slots is never nil.
func DecodePins(it metastore.Item) (Pins, error) {
	f := fields{kind: "pins", item: it}
	p := Pins{Slots: packed(&f, AttrPins, parsePins), V: f.count(AttrV)}
	if f.err != nil {
		return Pins{}, f.err
	}
	return p, nil
}

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
