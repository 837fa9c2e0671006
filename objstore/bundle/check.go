// Pure.

package bundle

import (
	"fmt"
	"math"
)

// BatchesOf returns the index entries of r's batches, a part of f.Batches. Nil if the object has no BATCHES section.
func (f *Footer) BatchesOf(r *Run) []Batch {
	first, n := uint64(r.FirstBatch), uint64(r.Batches)
	if n == 0 || first+n > uint64(len(f.Batches)) {
		return nil
	}
	return f.Batches[first : first+n : first+n]
}

// Check says whether f is a footer that readers accept, in an object whose body ends at pos: every index has its row, every
// run lies inside the body (or inside the object that its Ref names), its batches tile it, counts add up. Writers call it
// before they append the footer, ParseTail after it read one. Time is linear in the size of f; it does not allocate.
func (f *Footer) Check(kind Kind, pos int64) error {
	if pos < HeaderLen || kind == SNAP && pos != HeaderLen {
		return fmt.Errorf("body of a %v ends at %d: %w", kind, pos, ErrCorrupt)
	}
	if err := f.checkTopics(); err != nil {
		return err
	}
	if err := f.checkObjects(); err != nil {
		return err
	}
	if err := f.checkRuns(kind, uint64(pos)); err != nil {
		return err
	}
	if err := f.checkKind(kind); err != nil {
		return err
	}
	if err := f.checkSlots(); err != nil {
		return err
	}
	if err := f.checkOps(); err != nil {
		return err
	}
	return f.checkPartitions()
}

func (f *Footer) checkTopics() error {
	for i := range f.Topics {
		if !validString(f.Topics[i].Name, maxName) {
			return fmt.Errorf("topic %d: name of %d bytes: %w", i, len(f.Topics[i].Name), ErrCorrupt)
		}
	}
	return nil
}

func (f *Footer) checkObjects() error {
	for i := range f.Objects {
		o := &f.Objects[i]
		if o.Kind == 0 || o.Size < HeaderLen || o.Size > math.MaxInt64 {
			return fmt.Errorf("object %d: kind %d, %d bytes: %w", i, uint8(o.Kind), o.Size, ErrCorrupt)
		}
		if o.Kind > DATA {
			return fmt.Errorf("object %d: kind %d: %w", i, uint8(o.Kind), ErrVersion)
		}
	}
	return nil
}

// checkRuns also bounds the work: each index entry belongs to one run, so the entries of all runs are as many as there are.
func (f *Footer) checkRuns(kind Kind, pos uint64) error {
	if n := len(f.Refs); n != 0 && n != len(f.Runs) {
		return fmt.Errorf("%d refs, %d runs: %w", n, len(f.Runs), ErrCorrupt)
	}
	var entries uint64
	for i := range f.Runs {
		end := pos
		if len(f.Refs) > 0 && f.Refs[i].Object != Here {
			o := f.Refs[i].Object
			if uint64(o) >= uint64(len(f.Objects)) {
				return fmt.Errorf("run %d: object %d of %d: %w", i, o, len(f.Objects), ErrCorrupt)
			}
			end = f.Objects[o].Size
		}
		if err := f.checkRun(&f.Runs[i], end); err != nil {
			return fmt.Errorf("run %d: %w", i, err)
		}
		if f.Runs[i].Batches == 0 && kind != SNAP {
			return fmt.Errorf("run %d of a %v: batches not counted: %w", i, kind, ErrCorrupt)
		}
		if entries += uint64(f.Runs[i].Batches); len(f.Batches) > 0 {
			if entries > uint64(len(f.Batches)) {
				return fmt.Errorf("run %d: more batches than the index has: %w", i, ErrCorrupt)
			}
			if err := f.checkTiles(&f.Runs[i]); err != nil {
				return fmt.Errorf("run %d: %w", i, err)
			}
		}
	}
	if n := uint64(len(f.Batches)); n > 0 && entries != n {
		return fmt.Errorf("%d batches in runs, %d in the index: %w", entries, n, ErrCorrupt)
	}
	return nil
}

// checkRun checks one run alone, in a body that ends at end.
func (f *Footer) checkRun(r *Run, end uint64) error {
	switch {
	case uint64(r.Topic) >= uint64(len(f.Topics)):
		return fmt.Errorf("topic %d of %d: %w", r.Topic, len(f.Topics), ErrCorrupt)
	case r.Partition < 0:
		return fmt.Errorf("partition %d: %w", r.Partition, ErrCorrupt)
	case r.Base < 0 || r.Next <= r.Base:
		return fmt.Errorf("offsets %d to %d: %w", r.Base, r.Next, ErrCorrupt)
	case r.Pos < HeaderLen || r.Pos > end || uint64(r.Len) > end-r.Pos:
		return fmt.Errorf("bytes %d+%d of a body that ends at %d: %w", r.Pos, r.Len, end, ErrCorrupt)
	case r.Len < minBatch || uint64(r.Batches)*minBatch > uint64(r.Len):
		return fmt.Errorf("%d batches in %d bytes: %w", r.Batches, r.Len, ErrCorrupt)
	}
	return nil
}

// checkTiles checks that the batches of r lie back to back from its first byte to its last, offsets rising inside it.
func (f *Footer) checkTiles(r *Run) error {
	batches := f.BatchesOf(r)
	if batches == nil {
		return fmt.Errorf("batches %d+%d of %d: %w", r.FirstBatch, r.Batches, len(f.Batches), ErrCorrupt)
	}
	var at, next uint64
	for i := range batches {
		b := &batches[i]
		if uint64(b.PosDelta) != at || b.Len < minBatch {
			return fmt.Errorf("batch %d: bytes %d+%d, not from %d: %w", i, b.PosDelta, b.Len, at, ErrCorrupt)
		}
		if uint64(b.OffsetDelta) < next {
			return fmt.Errorf("batch %d: offset %d after %d: %w", i, b.OffsetDelta, next, ErrCorrupt)
		}
		at += uint64(b.Len)
		next = uint64(b.OffsetDelta) + uint64(b.LastOffsetDelta) + 1
	}
	if at != uint64(r.Len) || next > uint64(r.Next-r.Base) {
		return fmt.Errorf("batches to byte %d and offset %d of %d and %d: %w", at, next, r.Len, r.Next-r.Base, ErrCorrupt)
	}
	return nil
}

// checkSlots checks that the slots, if there are any, tile the runs in order.
func (f *Footer) checkSlots() error {
	if len(f.Slots) == 0 {
		return nil
	}
	at := uint64(0)
	for i := range f.Slots {
		s := &f.Slots[i]
		end := at + uint64(s.Runs)
		if uint64(s.FirstRun) != at || end > uint64(len(f.Runs)) {
			return fmt.Errorf("slot %d: runs %d+%d, not from %d: %w", s.Slot, s.FirstRun, s.Runs, at, ErrCorrupt)
		}
		for ; at < end; at++ {
			if f.Runs[at].Slot != s.Slot {
				return fmt.Errorf("slot %d: run %d is of slot %d: %w", s.Slot, at, f.Runs[at].Slot, ErrCorrupt)
			}
		}
	}
	if at != uint64(len(f.Runs)) {
		return fmt.Errorf("%d runs in slots, %d in all: %w", at, len(f.Runs), ErrCorrupt)
	}
	return nil
}

func (f *Footer) checkOps() error {
	for i := range f.Ops {
		o := &f.Ops[i]
		switch {
		case o.Kind == 0:
			return fmt.Errorf("op %d: no kind: %w", i, ErrCorrupt)
		case o.Kind > OpLogStart:
			return fmt.Errorf("op %d: kind %d: %w", i, uint8(o.Kind), ErrVersion)
		case o.Kind == OpLogStart && (uint64(o.Topic) >= uint64(len(f.Topics)) || o.Partition < 0 || o.Offset < 0):
			return fmt.Errorf("op %d: topic %d of %d, partition %d, offset %d: %w",
				i, o.Topic, len(f.Topics), o.Partition, o.Offset, ErrCorrupt)
		case o.Key != "" && !validString(o.Key, maxKey):
			return fmt.Errorf("op %d: key of %d bytes: %w", i, len(o.Key), ErrCorrupt)
		}
	}
	return nil
}

// checkPartitions checks the snapshot's partitions and that their epochs and producers are all there is.
func (f *Footer) checkPartitions() error {
	var epochs, producers uint64
	for i := range f.Partitions {
		p := &f.Partitions[i]
		if uint64(p.Topic) >= uint64(len(f.Topics)) || p.Partition < 0 || p.LogStart < 0 || p.LogEnd < p.LogStart {
			return fmt.Errorf("partition %d: topic %d of %d, number %d, offsets %d to %d: %w",
				i, p.Topic, len(f.Topics), p.Partition, p.LogStart, p.LogEnd, ErrCorrupt)
		}
		epochs += uint64(p.Epochs)
		producers += uint64(p.Producers)
	}
	if epochs != uint64(len(f.Epochs)) || producers != uint64(len(f.Producers)) {
		return fmt.Errorf("partitions have %d epochs and %d producers, the sections %d and %d: %w",
			epochs, producers, len(f.Epochs), len(f.Producers), ErrCorrupt)
	}
	for i := range f.Producers {
		if n := len(f.Producers[i].Last); n > maxAppended {
			return fmt.Errorf("producer %d: %d batches: %w", i, n, ErrCorrupt)
		}
	}
	return nil
}
