// Pure.

package meta

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	"github.com/varvelog/varve/objstore/recordbatch"
)

// skippedKey is the key of a control record of version 0 and of a type that nobody uses: clients skip it (KIP-98, "Control Messages").
var skippedKey = []byte{0, 0, 0x7f, 0xff}

const (
	minPadded = 68 // the least size of a batch that has a record
	emptySize = 96 // the size of a batch that may have any
)

// emptyBatch builds a batch of exactly size bytes that holds the offsets [base, next) and nothing for a reader: a control batch, which
// clients skip, of one record at the last offset, so that they see how far they are; of the smallest size one without records.
func emptyBatch(size uint32, epoch int32, base, next int64) ([]byte, error) {
	b := recordbatch.Builder{BaseOffset: base, LastOffset: next - 1, LeaderEpoch: epoch, KeepOffsets: true}
	if next-base-1 > math.MaxInt32 {
		return nil, fmt.Errorf("%w: a run of %d offsets", ErrBeyondRepair, next-base)
	}
	if size == recordbatch.HeaderLen {
		return b.Append(nil, nil)
	}
	b.Control = true
	if out := padded(&b, size); out != nil {
		return out, nil
	}
	if out := padded(&b, size-1); out != nil { // a record whose length takes a byte more has two bytes more: in between is this
		return longLength(out), nil
	}
	return nil, fmt.Errorf("%w: no batch of %d offsets has %d bytes", ErrBeyondRepair, next-base, size)
}

// padded builds a batch of size bytes, or nil. Lengths before key and value are varints: some sizes are met only with another key.
func padded(b *recordbatch.Builder, size uint32) []byte {
	for _, key := range [][]byte{skippedKey, append(skippedKey, 0), nil, {}, {0}, {0, 0}, {0, 0, 0}} {
		for pad := max(0, int(size)-minPadded-24); pad <= int(size)-minPadded; pad++ {
			out, err := b.Append(nil, []recordbatch.Record{{Offset: b.LastOffset, Key: key, Value: make([]byte, pad)}})
			if err == nil && len(out) == int(size) {
				return out
			}
		}
	}
	return nil
}

// longLength writes the length of the first record of b with one byte more than it takes, which every reader of varints understands.
func longLength(b []byte) []byte {
	last := recordbatch.HeaderLen
	for b[last]&0x80 != 0 {
		last++
	}
	out := slices.Insert(b, last+1, 0)
	out[last] |= 0x80
	binary.BigEndian.PutUint32(out[8:], uint32(len(out)-12))
	binary.BigEndian.PutUint32(out[17:], crc32.Checksum(out[21:], crc32.MakeTable(crc32.Castagnoli)))
	return out
}
