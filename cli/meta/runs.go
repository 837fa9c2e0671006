// Pure.

package meta

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// topicIn returns the number of a topic in f, which gets it if it does not have it.
func topicIn(f *bundle.Footer, t bundle.Topic) uint32 {
	i := slices.IndexFunc(f.Topics, func(o bundle.Topic) bool { return o.ID == t.ID })
	if i < 0 {
		i = len(f.Topics)
		t.Partitions = 0
		f.Topics = append(f.Topics, t)
	}
	return uint32(i)
}

// sortRuns puts runs in the order of packs and WAL bundles. It makes no list of slots.
func sortRuns(f *bundle.Footer) {
	slices.SortFunc(f.Runs, func(a, b bundle.Run) int {
		x, y := f.Topics[a.Topic].ID, f.Topics[b.Topic].ID
		return cmp.Or(cmp.Compare(a.Slot, b.Slot), bytes.Compare(x[:], y[:]), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Base, b.Base))
	})
}

// indexRun checks the batches of r, which are b, and appends their index to f. On error f is as it was.
func indexRun(f *bundle.Footer, r *bundle.Run, b []byte) error {
	first, next, at := len(f.Batches), r.Base, 0
	digest := bundle.NewDigest(f.Topics[r.Topic].ID, r.Partition, r.LeaderEpoch, r.Base)
	fail := func(err error) error {
		f.Batches = f.Batches[:first]
		return err
	}
	for {
		batch, rest, err := recordbatch.Next(b[at:])
		if err == nil && batch != nil {
			err = batch.CheckCRC()
		}
		if err != nil {
			return fail(err)
		}
		if batch == nil {
			break
		}
		if batch.BaseOffset() != next || batch.LeaderEpoch() != r.LeaderEpoch {
			return fail(fmt.Errorf("%w: offset %d, epoch %d", bundle.ErrCorrupt, batch.BaseOffset(), batch.LeaderEpoch()))
		}
		f.Batches = append(f.Batches, bundle.Batch{
			PosDelta: uint32(at), Len: uint32(len(batch)), OffsetDelta: uint32(next - r.Base), LastOffsetDelta: uint32(batch.LastOffsetDelta()),
			MaxTimestamp: batch.MaxTimestamp(), ProducerID: batch.ProducerID(), ProducerEpoch: batch.ProducerEpoch(),
			Attributes: uint16(batch.Attributes()), BaseSequence: batch.BaseSequence(), Records: uint32(batch.NumRecords()),
		})
		digest = digest.Add(batch.CRC())
		next, at = batch.NextOffset(), len(b)-len(rest)
	}
	if next != r.Next {
		return fail(fmt.Errorf("%w: batches end at offset %d, not %d", bundle.ErrCorrupt, next, r.Next))
	}
	r.FirstBatch, r.Batches, r.Digest = uint32(first), uint32(len(f.Batches)-first), uint32(digest)
	return nil
}
