package partition

import "slices"

// Tail is what there is to rewrite of a partition: the runs that its tail index knows.
type Tail struct {
	ID        ID
	Topic     string
	Slot      uint16
	Epoch     int32 // under which the slot is led
	LogStart  int64
	Base      int64 // the tail index begins here, and extents end: Stable if it is empty
	Stable    int64 // the last stable offset: nothing from here on may be rewritten
	Runs      int
	Bytes     int64
	WALRuns   int        // of Runs, those in WAL bundles,
	WALBytes  int64      // and their bytes
	Oldest    int64      // largest timestamp of the first run, in ms; 0 if there is none
	Partition *Partition // for Runs, Replace and Tiered
}

// Tails calls yield with each partition of an open slot that holds something, or held it, until yield returns false: by slot, then as
// they came. No lock is held then. It takes a moment per partition, whatever the length of its tail.
func (s *Set) Tails(yield func(Tail) bool) {
	for _, l := range s.Loads() {
		for _, p := range s.openParts(l.Slot) {
			if t, ok := p.tail(); ok && !yield(t) {
				return
			}
		}
	}
}

// openParts returns the partitions of a slot, none unless it is open.
func (s *Set) openParts(slot uint16) []*Partition {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if l := s.mu.slots[slot]; l != nil && l.open {
		return slices.Clone(l.parts)
	}
	return nil
}

// tail is not ok for a partition that never held anything, or is not led any more.
func (p *Partition) tail() (t Tail, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.mu.log
	if p.mu.closed || l.end == 0 {
		return Tail{}, false
	}
	t = Tail{
		ID: p.id, Topic: p.topic, Slot: p.lead.slot, Epoch: p.lead.epoch, LogStart: l.start, Base: l.tailStart(), Stable: l.end,
		Runs: len(l.tail.runs), Bytes: l.tail.bytes, WALRuns: l.tail.walRuns, WALBytes: l.tail.walBytes, Partition: p,
	}
	if t.Runs > 0 {
		t.Oldest = l.tail.runs[0].maxTS
	}
	return t, true
}
