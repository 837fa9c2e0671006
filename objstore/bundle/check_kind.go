// Pure.

package bundle

import (
	"bytes"
	"cmp"
	"fmt"
)

// SparseOf returns the index entries of Runs[i], a part of f.Sparse. Nil if the object has no SPARSE section.
func (f *Footer) SparseOf(i int) []Sparse {
	first, end := uint64(f.Runs[i].FirstBatch), uint64(len(f.Sparse))
	if i+1 < len(f.Runs) {
		end = min(end, uint64(f.Runs[i+1].FirstBatch))
	}
	if first >= end {
		return nil
	}
	return f.Sparse[first:end:end]
}

// checkKind checks what packs and segments demand beyond what all objects do.
func (f *Footer) checkKind(kind Kind) error {
	switch {
	case kind != PACK && kind != SEG:
		if len(f.Sparse) > 0 {
			return fmt.Errorf("sparse index in a %v: %w", kind, ErrCorrupt)
		}
		return nil
	case len(f.Ops)+len(f.Objects)+len(f.Refs)+len(f.Partitions)+len(f.Producers) > 0:
		return fmt.Errorf("operations, references or a snapshot in a %v: %w", kind, ErrCorrupt)
	case kind == PACK:
		return f.checkPack()
	}
	return f.checkSegment()
}

// checkPack: every batch has its entry, and the runs are in order.
func (f *Footer) checkPack() error {
	switch {
	case len(f.Sparse) > 0:
		return fmt.Errorf("sparse index in a %v: %w", PACK, ErrCorrupt)
	case len(f.Runs) > 0 && len(f.Batches) == 0:
		return fmt.Errorf("%v without batches: %w", PACK, ErrCorrupt)
	}
	for i := 1; i < len(f.Runs); i++ {
		a, b := &f.Runs[i-1], &f.Runs[i]
		if order := cmp.Or(cmp.Compare(a.Slot, b.Slot), f.compare(a, b)); order > 0 || order == 0 && b.Base < a.Next {
			return fmt.Errorf("run %d out of order: %w", i, ErrCorrupt)
		}
	}
	return nil
}

// compare orders runs of a slot by partition: by topic UUID, then number.
func (f *Footer) compare(a, b *Run) int {
	if a.Topic == b.Topic {
		return cmp.Compare(a.Partition, b.Partition)
	}
	x, y := &f.Topics[a.Topic].ID, &f.Topics[b.Topic].ID
	return cmp.Or(bytes.Compare(x[:], y[:]), cmp.Compare(a.Partition, b.Partition))
}

// checkSegment: the runs are one partition's, each goes on where the one before ends, and the sparse index tiles them.
func (f *Footer) checkSegment() error {
	switch {
	case len(f.Batches) > 0:
		return fmt.Errorf("batches in a %v: %w", SEG, ErrCorrupt)
	case len(f.Runs) > 0 && f.Runs[0].FirstBatch != 0:
		return fmt.Errorf("run 0: sparse index from %d: %w", f.Runs[0].FirstBatch, ErrCorrupt)
	case len(f.Runs) == 0 && len(f.Sparse) > 0:
		return fmt.Errorf("sparse index without runs: %w", ErrCorrupt)
	}
	for i := range f.Runs {
		r := &f.Runs[i]
		if i > 0 {
			a := &f.Runs[i-1]
			if r.Slot != a.Slot || r.Topic != a.Topic || r.Partition != a.Partition || r.Base != a.Next || r.LeaderEpoch < a.LeaderEpoch || r.Pos < a.Pos {
				return fmt.Errorf("run %d does not continue run %d: %w", i, i-1, ErrCorrupt)
			}
		}
		if err := r.checkSparse(f.SparseOf(i)); err != nil {
			return fmt.Errorf("run %d: %w", i, err)
		}
	}
	return nil
}

// checkSparse checks that the entries tile r, in bytes, offsets and batches.
func (r *Run) checkSparse(entries []Sparse) error {
	if len(entries) == 0 || entries[0].PosDelta != 0 || entries[0].OffsetDelta != 0 {
		return fmt.Errorf("sparse index of %d entries does not begin with the run: %w", len(entries), ErrCorrupt)
	}
	var batches uint64
	for i := range entries {
		e, pos, offset := &entries[i], uint64(r.Len), uint64(r.Next-r.Base)
		if i+1 < len(entries) {
			pos, offset = uint64(entries[i+1].PosDelta), uint64(entries[i+1].OffsetDelta)
		}
		at, first := uint64(e.PosDelta), uint64(e.OffsetDelta)
		switch {
		case pos <= at || offset <= first: // and the last ones end with the run
			return fmt.Errorf("sparse entry %d: bytes %d to %d, offsets %d to %d: %w", i, at, pos, first, offset, ErrCorrupt)
		case e.Batches == 0 || uint64(e.Batches)*minBatch > pos-at:
			return fmt.Errorf("sparse entry %d: %d batches in %d bytes: %w", i, e.Batches, pos-at, ErrCorrupt)
		case i > 0 && e.MaxTimestamp < entries[i-1].MaxTimestamp:
			return fmt.Errorf("sparse entry %d: timestamps fall: %w", i, ErrCorrupt)
		}
		batches += uint64(e.Batches)
	}
	if batches != uint64(r.Batches) || entries[len(entries)-1].MaxTimestamp != r.MaxTimestamp {
		return fmt.Errorf("sparse index of %d batches up to %d, the run has %d up to %d: %w",
			batches, entries[len(entries)-1].MaxTimestamp, r.Batches, r.MaxTimestamp, ErrCorrupt)
	}
	return nil
}
