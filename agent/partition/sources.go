package partition

import (
	"bytes"
	"slices"

	"github.com/google/uuid"
)

// Source is a session in whose WAL committed data of a slot lies, and the lowest sequence number of it.
type Source struct {
	Session uuid.UUID
	Low     uint64
}

// Sources returns in whose WAL committed records of a led slot lie: those of the log as it is, and those that a successor would
// look for, who opens the slot from the newest recorded snapshot. A run that was packed, or linked in a segment, counts until a snapshot
// is recorded that does not name it. In the order of the session ids; none for a slot that is not led. It takes time by the partitions
// of the slot and how often it changed its leader.
func (s *Set) Sources(slot uint16) []Source {
	parts, epoch, led := s.partsOf(slot)
	if !led {
		return nil
	}
	all := needs{}
	s.live(all, parts) // before the claims: what leaves a log in between is in one of them
	claims, opening := s.durable.claims(slot, epoch)
	for _, c := range claims {
		if sl := c.settle()[slot]; sl.epoch == epoch { // not what was frozen under an earlier one: who follows this leader does not open from it
			all.merge(sl.needs)
		}
	}
	if opening != nil {
		all.merge(opening.settle()[slot].needs)
	}
	out := make([]Source, 0, len(all))
	for session, low := range all {
		out = append(out, Source{session, low})
	}
	slices.SortFunc(out, func(a, b Source) int { return bytes.Compare(a.Session[:], b.Session[:]) })
	return out
}

// Needed returns the lowest bundle of a session's WAL that is named by a log, led or frozen, or by a snapshot from which a successor
// may open; ok is false if there is none. What lies beyond the newest recorded snapshot is needed besides, and not counted here.
func (s *Set) Needed(session uuid.UUID) (low uint64, ok bool) {
	all := needs{}
	s.mu.RLock()
	parts := make([]*Partition, 0, len(s.mu.parts))
	for _, p := range s.mu.parts {
		parts = append(parts, p)
	}
	table := s.objects.view() // no chunk that a frozen log names can have gone
	for _, f := range s.mu.frozen {
		all.merge(f.needs(table))
	}
	s.mu.RUnlock()
	s.live(all, parts)
	for _, c := range s.durable.all() {
		for _, sl := range c.settle() {
			all.merge(sl.needs)
		}
	}
	low, ok = all[session]
	return low, ok
}

// live adds what the logs of partitions name.
func (s *Set) live(all needs, parts []*Partition) {
	s.objects.holds.RLock()
	defer s.objects.holds.RUnlock()
	var objects []uint32
	for _, p := range parts {
		p.mu.Lock()
		p.mu.log.tail.sources(func(object uint32) { objects = append(objects, object) })
		p.mu.Unlock()
	}
	table := s.objects.view()
	for _, o := range objects {
		all.add(table.get(o).Session, table.get(o).Seq)
	}
}

func (s *Set) partsOf(slot uint16) (parts []*Partition, epoch int32, led bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if l := s.mu.slots[slot]; l != nil {
		return slices.Clone(l.parts), l.epoch, true
	}
	return nil, 0, false
}

// Recorded says that the session item names this snapshot, which Capture took: no older one can be opened from any more. Call it as
// soon as that is known, and before anything acts on it. One whose outcome is unknown is not recorded: it goes on counting beside
// the last one that was. It also lets go of objects that nothing names.
func (s *Set) Recorded(snap *Snapshot) {
	for slot, epoch := range s.durable.recorded(snap.claim) {
		if !s.holdsSlot(slot, epoch) {
			s.durable.closed(slot, epoch)
		}
	}
	s.sweep(snap)
}

// Rewritten returns a partition of which runs were replaced, or left to extents, since the last Capture; nil if there is none. What they
// were is kept until a snapshot is taken and recorded. If it is not led any more another one that is stands for it, if there is one.
func (s *Set) Rewritten() *Partition {
	p := s.rewritten.Load()
	if p == nil {
		return nil
	}
	if _, err := p.State(); err != nil {
		for t := range s.Tails {
			return t.Partition
		}
	}
	return p
}

// holdsSlot reports whether a slot is led, or its log frozen, under epoch.
func (s *Set) holdsSlot(slot uint16, epoch int32) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	l := s.mu.slots[slot]
	f, frozen := s.mu.frozen[slot]
	return l != nil && l.epoch == epoch || frozen && f.epoch == epoch
}

// sweep forgets the objects that were known when the snapshot was taken, and that no log names any more, led, being opened or frozen.
func (s *Set) sweep(snap *Snapshot) {
	if !s.durable.sweeping.TryLock() {
		return // the next one will do
	}
	defer s.durable.sweeping.Unlock()
	s.objects.sweep(snap.objects, func(name func(uint32)) {
		for _, slot := range s.known() {
			for _, runs := range s.runsOf(slot) {
				for _, r := range runs {
					name(r.object)
				}
			}
		}
	})
}

// runsOf returns the tails of a slot's logs, led and frozen, as they are.
func (s *Set) runsOf(slot uint16) (all [][]tailRun) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if l := s.mu.slots[slot]; l != nil {
		for _, p := range l.parts {
			p.mu.Lock()
			all = append(all, p.mu.log.tail.runs)
			p.mu.Unlock()
		}
	}
	for _, l := range s.mu.frozen[slot].parts {
		all = append(all, l.log.tail.runs)
	}
	return all
}

// needs is in whose WAL something lies: per session the lowest sequence number.
type needs map[uuid.UUID]uint64

func (n needs) add(session uuid.UUID, seq uint64) {
	if low, known := n[session]; !known || seq < low {
		n[session] = seq
	}
}

func (n needs) merge(o needs) {
	for session, seq := range o {
		n.add(session, seq)
	}
}

// needs returns in whose WAL these logs lie.
func (sl *slotLogs) needs(t table) needs {
	n := needs{}
	for _, p := range sl.parts {
		p.log.tail.sources(func(object uint32) { o := t.get(object); n.add(o.Session, o.Seq) })
	}
	return n
}
