// Pure.

package meta

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// emptySegment lays out a segment that holds the offsets [base, next), at most 2^31-1 of them, and no record of anybody. Readers go on
// at its end.
func emptySegment(h bundle.Header, p part, t records.Topic, epoch int32, base, next int64) ([]byte, records.Extent, error) {
	h.Kind = bundle.SEG
	empty, err := emptyBatch(emptySize, epoch, base, next)
	if err != nil {
		return nil, records.Extent{}, err
	}
	object := append(bundle.AppendHeader(nil, h), empty...)
	end := len(object)
	batch := recordbatch.Batch(empty)
	f := &bundle.Footer{
		Topics: []bundle.Topic{{ID: t.ID, Name: t.Name}},
		Runs: []bundle.Run{{
			Partition: p.index, Slot: t.Slots[p.index], LeaderEpoch: epoch, Base: base, Next: next, Pos: bundle.HeaderLen, Len: uint32(len(batch)),
			Batches: 1, MaxTimestamp: batch.MaxTimestamp(), Digest: uint32(bundle.RunDigest(t.ID, p.index, epoch, base, batch.CRC())),
		}},
		Sparse: []bundle.Sparse{{MaxTimestamp: batch.MaxTimestamp(), Batches: 1}},
	}
	if err := f.Check(bundle.SEG, int64(end)); err != nil {
		return nil, records.Extent{}, err
	}
	object = bundle.AppendFooter(object, bundle.SEG, f)
	return object, records.Extent{
		Base: base, Next: next, Size: uint64(end), FooterLen: uint32(len(object) - end), Bytes: int64(end - bundle.HeaderLen), Records: 1,
		MinTimestamp: batch.BaseTimestamp(), MaxTimestamp: batch.MaxTimestamp(),
	}, nil
}

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
