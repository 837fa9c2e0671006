package partition

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"
)

// lead is a slot that this agent leads under an epoch: OPENING, then OPEN, perhaps DRAINING, until Leave.
type lead struct {
	set      *Set
	slot     uint16
	epoch    int32
	begun    time.Time
	open     bool         // false while the slot-open record is not committed; guarded by Set.mu
	parts    []*Partition // guarded by Set.mu
	empty    *log         // of all partitions that hold nothing yet; guarded by Set.mu
	draining atomic.Bool  // set under Set.mu, seen by Append under Partition.mu
	bytes    atomic.Uint64
}

// isNew reports whether batches may still be on their way that clients sent to the slot's last leader.
func (l *lead) isNew() bool { return l.epoch > 1 && time.Since(l.begun) < settleTime }

// Drain begins a hand-over: from now on nothing is appended to the slot's partitions (ErrDraining), while reads go on. What was
// appended before is queued in the WAL when Drain returns, so a barrier there covers it. A slot that drains already stays so.
// Errors: ErrNotLeader if the slot is not led under this epoch, ErrLoading if it is not open.
func (s *Set) Drain(slot uint16, epoch int32) error {
	s.mu.Lock()
	l := s.mu.slots[slot]
	switch {
	case l == nil || l.epoch != epoch:
		s.mu.Unlock()
		return ErrNotLeader
	case !l.open:
		s.mu.Unlock()
		return ErrLoading
	}
	l.draining.Store(true) // a partition that Get makes later begins with it
	parts := slices.Clone(l.parts)
	s.mu.Unlock()
	for _, p := range parts { // whoever came before the flag is through now
		p.mu.Lock()
		//lint:ignore SA2001 waits for an Append under way
		p.mu.Unlock()
	}
	return nil
}

// Resume serves a draining slot again: the hand-over did not happen, and never will. Nothing happens if the slot is not led under
// this epoch.
func (s *Set) Resume(slot uint16, epoch int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.mu.slots[slot]; l != nil && l.epoch == epoch {
		l.draining.Store(false)
	}
}

// Leave gives a slot up that was handed over: its partitions answer ErrNotLeader, who waits for more is woken, and repeated
// batches that wait for their original hear ErrNotLeader, which is safe: the next leader recognises them. The committed log stays
// frozen, and in each snapshot under its epoch, until Forget, or until the slot is served again. A slot that is still being
// opened served nothing: it is forgotten, and a frozen log of an earlier epoch stays. Nothing happens if the slot is not led under this epoch.
//
// Everything that was appended must be committed: Drain, then a barrier. A later commit of a run of this epoch is
// an error of Committed, which ends the session before anybody is told of it.
func (s *Set) Leave(slot uint16, epoch int32) {
	s.mu.Lock()
	l := s.mu.slots[slot]
	if l == nil || l.epoch != epoch {
		s.mu.Unlock()
		return
	}
	unanswered := s.remove(l)
	if l.open {
		s.mu.frozen[slot] = l.share()
	}
	s.mu.Unlock()
	for _, d := range unanswered {
		d.done.Appended(d.tag, ErrNotLeader)
	}
}

// remove takes l and its partitions out of the set, under Set.mu.
func (s *Set) remove(l *lead) (unanswered []duplicate) {
	delete(s.mu.slots, l.slot)
	for _, p := range l.parts {
		delete(s.mu.parts, p.id)
		unanswered = append(unanswered, p.close()...)
	}
	return unanswered
}

// Forget lets go of the frozen log of a slot that was left under epoch: nothing names it any more.
func (s *Set) Forget(slot uint16, epoch int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, ok := s.mu.frozen[slot]; ok && f.epoch == epoch {
		delete(s.mu.frozen, slot)
	}
}

// Load is how much a led slot has to do.
type Load struct {
	Slot       uint16
	Partitions int    // that hold or were asked for anything
	Bytes      uint64 // committed since the slot was begun under its epoch: it only rises, and begins at 0 with each epoch
}

// Loads returns the load of each led slot, by slot.
func (s *Set) Loads() []Load {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]Load, 0, len(s.mu.slots))
	for _, l := range s.mu.slots {
		out = append(out, Load{l.slot, len(l.parts), l.bytes.Load()})
	}
	slices.SortFunc(out, func(a, b Load) int { return cmp.Compare(a.Slot, b.Slot) })
	return out
}
