// Pure.

package records

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/varvelog/varve/metastore"
)

const (
	// pendingPlain is how many slots take 6 bytes each. More are packed by runs, so that the session item stays small also when an
	// agent ends that led every slot: at most 2 bytes a slot and 2 a run for 256 slots whose epochs lie within 16,383 of each other.
	pendingPlain   = 64
	pendingVersion = 2 // first byte, if packed by runs
)

// PendingValue is the packed form of pending, sorted by slot.
func PendingValue(pending map[uint16]int32) metastore.Value {
	p := newPacker(6 * len(pending))
	slots := slices.Sorted(maps.Keys(pending))
	if len(slots) > pendingPlain {
		return metastore.B(pendingRuns(p.b[:0], slots, pending))
	}
	for _, slot := range slots {
		p.u16(slot)
		p.i32(pending[slot])
	}
	return metastore.B(p.b)
}

// pendingRuns appends the lowest epoch and then, for each run of neighbouring slots, how many slots lie between it and the run before,
// how many follow its first one, and of each by how much its epoch is above the lowest. All are uvarints.
func pendingRuns(b []byte, slots []uint16, pending map[uint16]int32) []byte {
	lowest := slices.Min(slices.Collect(maps.Values(pending)))
	b = binary.AppendUvarint(append(b, pendingVersion), uint64(lowest))
	next := 0 // the slot after the run before
	for len(slots) > 0 {
		n := 1
		for n < len(slots) && slots[n] == slots[n-1]+1 {
			n++
		}
		b = binary.AppendUvarint(b, uint64(int(slots[0])-next))
		b = binary.AppendUvarint(b, uint64(n-1))
		for _, slot := range slots[:n] {
			b = binary.AppendUvarint(b, uint64(pending[slot]-lowest))
		}
		next, slots = int(slots[n-1])+1, slots[n:]
	}
	return b
}

func parsePending(b []byte) (map[uint16]int32, error) {
	if len(b) > 0 && b[0] == pendingVersion {
		return parsePendingRuns(b[1:])
	}
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
	if u.err == nil && len(pending) > pendingPlain {
		u.fail(fmt.Errorf("%d slots: %w", len(pending), errEncoding))
	}
	return pending, u.err
}

// parsePendingRuns takes no more memory than the bytes are worth: each slot has at least one.
func parsePendingRuns(b []byte) (map[uint16]int32, error) {
	u, pending := &unpacker{b: b}, make(map[uint16]int32, len(b))
	lowest, next, least := u.uvarint(), uint64(0), uint64(math.MaxUint64)
	for !u.done() {
		gap, more := u.uvarint(), u.uvarint()
		switch {
		case gap > math.MaxUint16 || more > math.MaxUint16 || next+gap+more > math.MaxUint16:
			u.fail(errRange)
		case gap == 0 && next > 0:
			u.fail(errEncoding) // one run in two pieces
		}
		for slot := next + gap; slot <= next+gap+more && u.err == nil; slot++ {
			above := u.uvarint()
			if above > math.MaxInt32 || lowest > math.MaxInt32 || lowest+above > math.MaxInt32 {
				u.fail(errRange)
			}
			pending[uint16(slot)], least = int32(lowest+above), min(least, above)
		}
		next += gap + more + 1
	}
	if u.err == nil && (least != 0 || len(pending) <= pendingPlain) {
		u.fail(errEncoding)
	}
	return pending, u.err
}
