// Pure.

package meta

import (
	"math"

	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// line is a partition's leader epochs, with their first offsets, in a log that ends at end.
type line struct {
	epochs []bundle.Epoch
	end    int64
}

// refutes reports whether a run is not part of the log: the epochs say that others wrote at its offsets. So what was overwritten after a rebuild
// is not taken for what was written there.
func (l line) refutes(r *bundle.Run) bool {
	for i, e := range l.epochs {
		next := l.end
		if i+1 < len(l.epochs) {
			next = l.epochs[i+1].Start
		}
		if r.Base < next && r.Next > e.Start && r.Base < l.end && e.Epoch != r.LeaderEpoch {
			return true
		}
	}
	return false
}

// stretches returns the batches of a segment that are sound and lie within [from, to), divided where something is missing in between.
func stretches(object []byte, f *bundle.Footer, from, to int64) (all [][]recordbatch.Batch) {
	next := int64(-1)
	for i := range f.Runs {
		soundBatches(object, f, i, func(b recordbatch.Batch) {
			if b.BaseOffset() < from || b.NextOffset() > to {
				return
			}
			if b.BaseOffset() != next {
				all = append(all, nil)
			}
			next = b.NextOffset()
			all[len(all)-1] = append(all[len(all)-1], b)
		})
	}
	return all
}

// soundBatches calls yield for the batches of run i of a segment that are sound and lie at the offset where they should. Behind one that is not
// it goes on where that says that it ends, if what follows is sound; else where the sparse index has the next one.
func soundBatches(object []byte, f *bundle.Footer, i int, yield func(recordbatch.Batch)) {
	r := &f.Runs[i]
	object = object[:min(int64(r.Pos)+int64(r.Len), int64(len(object)))]
	index := f.Sparse[min(int(r.FirstBatch), len(f.Sparse)):]
	if i+1 < len(f.Runs) {
		index = index[:min(int(f.Runs[i+1].FirstBatch-r.FirstBatch), len(index))]
	}
	at, offset := int64(r.Pos), r.Base
	for {
		b, sound := batchAt(object, r, at, offset)
		if !sound && b != nil {
			if next, ok := batchAt(object, r, at+int64(len(b)), b.NextOffset()); ok {
				at, b, sound = at+int64(len(b)), next, true
			}
		}
		if sound {
			yield(b)
			at, offset = at+int64(len(b)), b.NextOffset()
			continue
		}
		for len(index) > 0 && int64(r.Pos)+int64(index[0].PosDelta) <= at {
			index = index[1:]
		}
		if len(index) == 0 {
			return
		}
		at, offset = int64(r.Pos)+int64(index[0].PosDelta), r.Base+int64(index[0].OffsetDelta)
	}
}

// batchAt returns the batch of a run at a position, nil if there is none of that offset; sound if it has the CRC that it says.
func batchAt(object []byte, r *bundle.Run, at, offset int64) (b recordbatch.Batch, sound bool) {
	if at >= int64(len(object)) {
		return nil, false
	}
	b, _, err := recordbatch.Next(object[at:])
	if err != nil || b == nil || b.BaseOffset() != offset || b.NextOffset() <= offset || b.NextOffset() > r.Next {
		return nil, false
	}
	return b, b.LeaderEpoch() == r.LeaderEpoch && b.CheckCRC() == nil
}

const (
	sparseStretch = 64 << 10 // bytes of batches that an entry of the sparse index stands for, at least
	mostRun       = 1 << 30  // bytes of a run, about
)

// segmentOf lays out a segment of batches that follow each other, at least one.
func segmentOf(h bundle.Header, p part, t records.Topic, batches []recordbatch.Batch) ([]byte, records.Extent, error) {
	h.Kind = bundle.SEG
	object := bundle.AppendHeader(nil, h)
	f := &bundle.Footer{Topics: []bundle.Topic{{ID: t.ID, Name: t.Name}}}
	e := records.Extent{Base: batches[0].BaseOffset(), MinTimestamp: math.MaxInt64, MaxTimestamp: math.MinInt64}
	var run *bundle.Run
	var digest bundle.Digest
	for _, b := range batches {
		if run == nil || run.LeaderEpoch != b.LeaderEpoch() || run.Len > mostRun || b.NextOffset()-run.Base > math.MaxUint32 {
			f.Runs = append(f.Runs, bundle.Run{
				Partition: p.index, Slot: t.Slots[p.index], LeaderEpoch: b.LeaderEpoch(), Base: b.BaseOffset(), Pos: uint64(len(object)),
				FirstBatch: uint32(len(f.Sparse)), MaxTimestamp: math.MinInt64,
			})
			run = &f.Runs[len(f.Runs)-1]
			digest = bundle.NewDigest(t.ID, p.index, run.LeaderEpoch, run.Base)
		}
		if n := len(f.Sparse); n == int(run.FirstBatch) || run.Len-f.Sparse[n-1].PosDelta >= sparseStretch {
			f.Sparse = append(f.Sparse, bundle.Sparse{OffsetDelta: uint32(b.BaseOffset() - run.Base), PosDelta: run.Len})
		}
		object = append(object, b...)
		digest = digest.Add(b.CRC())
		run.Next, run.Digest, run.Batches = b.NextOffset(), uint32(digest), run.Batches+1
		run.Len, run.MaxTimestamp = run.Len+uint32(len(b)), max(run.MaxTimestamp, b.MaxTimestamp())
		s := &f.Sparse[len(f.Sparse)-1]
		s.Batches, s.MaxTimestamp = s.Batches+1, run.MaxTimestamp
		e.Next, e.Records = b.NextOffset(), e.Records+int64(b.NumRecords())
		e.MinTimestamp, e.MaxTimestamp = min(e.MinTimestamp, b.BaseTimestamp()), max(e.MaxTimestamp, b.MaxTimestamp())
	}
	e.Size = uint64(len(object))
	if err := f.Check(bundle.SEG, int64(e.Size)); err != nil {
		return nil, records.Extent{}, err
	}
	object = bundle.AppendFooter(object, bundle.SEG, f)
	e.FooterLen, e.Bytes = uint32(uint64(len(object))-e.Size), int64(e.Size-bundle.HeaderLen)
	return object, e, nil
}
