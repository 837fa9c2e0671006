// Pure.

package meta

import (
	"fmt"
	"math"

	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// emptySegment lays out a segment that holds the offsets [base, next), at most 2^31-1 of them, and no record: a batch whose records are
// gone, as compaction leaves them too. Readers go on at its end.
func emptySegment(h bundle.Header, p part, t records.Topic, epoch int32, base, next int64) ([]byte, records.Extent, error) {
	h.Kind = bundle.SEG
	b := recordbatch.Builder{BaseOffset: base, LastOffset: next - 1, LeaderEpoch: epoch, KeepOffsets: true}
	object, err := b.Append(bundle.AppendHeader(nil, h), nil)
	if err != nil {
		return nil, records.Extent{}, err
	}
	end := len(object)
	batch := recordbatch.Batch(object[bundle.HeaderLen:])
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
		Base: base, Next: next, Size: uint64(end), FooterLen: uint32(len(object) - end), Bytes: int64(end - bundle.HeaderLen),
		MinTimestamp: batch.BaseTimestamp(), MaxTimestamp: batch.MaxTimestamp(),
	}, nil
}

// minPadded is the least size of a batch that has a record.
const minPadded = 68

// emptyBatch builds a batch of exactly size bytes that holds the offsets [base, next) and nothing for a reader: a control batch, which
// clients skip, of one record whose value is padding; of the smallest size one without records.
func emptyBatch(size uint32, epoch int32, base, next int64) ([]byte, error) {
	b := recordbatch.Builder{BaseOffset: base, LastOffset: next - 1, LeaderEpoch: epoch, KeepOffsets: true}
	if next-base-1 > math.MaxInt32 {
		return nil, fmt.Errorf("%w: a run of %d offsets", ErrBeyondRepair, next-base)
	}
	if size == recordbatch.HeaderLen {
		return b.Append(nil, nil)
	}
	b.Control = true
	// Lengths before key, value and record are varints: some sizes are met only with a longer key.
	for key := range 8 {
		for pad := max(0, int(size)-minPadded-key-12); pad <= int(size)-minPadded; pad++ {
			r := recordbatch.Record{Offset: base, Value: make([]byte, pad)}
			if key > 0 {
				r.Key = make([]byte, key-1)
			}
			out, err := b.Append(nil, []recordbatch.Record{r})
			if err != nil || len(out) == int(size) {
				return out, err
			}
		}
	}
	return nil, fmt.Errorf("%w: no batch has %d bytes", ErrBeyondRepair, size)
}
