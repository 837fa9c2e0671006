package partition

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/varvelog/varve/objstore/bundle"
)

// Snapshot is the committed state of slots at one moment between two commits.
type Snapshot struct {
	slots   []slotLogs
	objects table
	claim   *claim
}

// slotLogs is the logs of a slot as they were under an epoch. The logs are shared: nobody changes them any more.
type slotLogs struct {
	slot  uint16
	epoch int32
	parts []namedLog
}

type namedLog struct {
	id   ID
	name string // of the topic
	log  *log
}

// Capture takes the committed state of every slot that is served, and of those that were left, as they were then, under the
// epoch of that time, until they are served again. Never what is only appended: a fail-over to it must not take a retry of
// an uncommitted batch for a duplicate. It copies no log, and must be called where commits are applied, so that it lies
// between two of them; Footer does the long part.
//
// From now on Sources and Needed count what it names, until Recorded says that a later one, or this one, is the newest that
// a successor may open from.
func (s *Set) Capture() *Snapshot {
	s.rewritten.Store(nil) // before the logs are looked at
	snap := &Snapshot{claim: s.durable.claim()}
	defer snap.claim.made(snap)
	s.objects.holds.RLock()
	defer s.objects.holds.RUnlock()
	for _, slot := range s.known() {
		if logs, ok := s.captureSlot(slot); ok {
			snap.slots = append(snap.slots, logs)
		}
	}
	snap.objects = s.objects.view()
	return snap
}

// known returns the slots that are led or frozen, each once.
func (s *Set) known() []uint16 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]uint16, 0, len(s.mu.slots)+len(s.mu.frozen))
	for slot := range s.mu.slots {
		all = append(all, slot)
	}
	for slot := range s.mu.frozen {
		if s.mu.slots[slot] == nil {
			all = append(all, slot)
		}
	}
	return all
}

// captureSlot holds the lock for one slot only: 100,000 partitions take tens of ms, and who asks for one waits meanwhile. A slot
// that is left between two others is the same before and after.
func (s *Set) captureSlot(slot uint16) (slotLogs, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if l := s.mu.slots[slot]; l != nil && l.open {
		return l.share(), true
	}
	f, ok := s.mu.frozen[slot]
	f.parts = slices.Clone(f.parts) // Footer sorts
	return f, ok
}

// CaptureOpening takes the state of the slots named that are being opened under these epochs: what their slot-open records
// will name, and Sources and Needed count for each of them until a later snapshot that holds the slot is recorded.
func (s *Set) CaptureOpening(slots map[uint16]int32) *Snapshot {
	snap := &Snapshot{claim: newClaim(0)}
	defer snap.claim.made(snap)
	s.objects.holds.RLock()
	defer s.objects.holds.RUnlock()
	s.mu.RLock()
	defer s.mu.RUnlock()
	for slot, epoch := range slots {
		if l := s.mu.slots[slot]; l != nil && !l.open && l.epoch == epoch {
			snap.slots = append(snap.slots, l.share())
			s.durable.opening(slot, epoch, snap.claim)
		}
	}
	snap.objects = s.objects.view()
	return snap
}

// Holds returns an error unless the snapshot holds each of these slots under its epoch. A slot-open that names a snapshot without the
// slot, or none, says that the slot is empty.
func (s *Snapshot) Holds(slots map[uint16]int32) error {
	for slot, epoch := range slots {
		if !slices.ContainsFunc(s.slots, func(sl slotLogs) bool { return sl.slot == slot && sl.epoch == epoch }) {
			return fmt.Errorf("slot %d is not being opened under epoch %d any more", slot, epoch)
		}
	}
	return nil
}

// share returns the logs of a slot as they are. The next change of one begins with a copy of it.
func (l *lead) share() slotLogs {
	out := slotLogs{slot: l.slot, epoch: l.epoch, parts: make([]namedLog, 0, len(l.parts))}
	for _, p := range l.parts {
		p.mu.Lock()
		if c := p.mu.log; c.end > 0 {
			c.shared = true
			out.parts = append(out.parts, namedLog{p.id, p.topic, c})
		}
		p.mu.Unlock()
	}
	return out
}

// Footer returns the snapshot as sections of a SNAP bundle.
func (s *Snapshot) Footer() *bundle.Footer {
	s.claim.settle() // before the sorting: it may be under way elsewhere
	slices.SortFunc(s.slots, func(a, b slotLogs) int { return cmp.Compare(a.slot, b.slot) })
	var parts, runs, epochs, producers int
	for _, sl := range s.slots {
		slices.SortFunc(sl.parts, func(a, b namedLog) int {
			return cmp.Or(bytes.Compare(a.id.Topic[:], b.id.Topic[:]), cmp.Compare(a.id.Index, b.id.Index))
		})
		for i := range sl.parts {
			l := sl.parts[i].log
			parts, runs, epochs, producers = parts+1, runs+len(l.tail.runs), epochs+len(l.epochs), producers+len(l.producers)
		}
	}
	f := &bundle.Footer{
		Slots: make([]bundle.Slot, 0, len(s.slots)), Partitions: make([]bundle.Partition, 0, parts), Epochs: make([]bundle.Epoch, 0, epochs),
		Producers: make([]bundle.Producer, 0, producers), Runs: make([]bundle.Run, 0, runs), Refs: make([]bundle.Ref, 0, runs),
	}
	topics := s.topics(f)
	objects := map[uint32]uint32{} // number in the table: index in the section
	for _, sl := range s.slots {
		first := uint32(len(f.Runs))
		for i := range sl.parts {
			p := &sl.parts[i]
			p.appendTo(f, sl.slot, topics[p.id.Topic], s.objects, objects)
		}
		f.Slots = append(f.Slots, bundle.Slot{Slot: sl.slot, Epoch: sl.epoch, FirstRun: first, Runs: uint32(len(f.Runs)) - first})
	}
	return f
}

// topics lists the topics in f, in the order of their ids, which is that of the runs within a slot.
func (s *Snapshot) topics(f *bundle.Footer) map[uuid.UUID]uint32 {
	indexes := map[uuid.UUID]uint32{}
	for _, sl := range s.slots {
		for i := range sl.parts {
			p := &sl.parts[i]
			if _, ok := indexes[p.id.Topic]; !ok {
				indexes[p.id.Topic] = 0
				f.Topics = append(f.Topics, bundle.Topic{ID: p.id.Topic, Name: p.name})
			}
		}
	}
	slices.SortFunc(f.Topics, func(a, b bundle.Topic) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	for i := range f.Topics {
		indexes[f.Topics[i].ID] = uint32(i)
	}
	return indexes
}

func (p *namedLog) appendTo(f *bundle.Footer, slot uint16, topic uint32, table table, objects map[uint32]uint32) {
	l := p.log
	f.Partitions = append(f.Partitions, bundle.Partition{
		Topic: topic, Partition: p.id.Index, Slot: slot, LogStart: l.start, LogEnd: l.end,
		Epochs: uint32(len(l.epochs)), Producers: uint32(len(l.producers)),
	})
	f.Epochs = append(f.Epochs, l.epochs...)
	for _, pr := range l.producers {
		f.Producers = append(f.Producers, *pr)
	}
	for _, r := range l.tail.runs {
		o, ok := objects[r.object]
		if !ok {
			o = uint32(len(f.Objects))
			objects[r.object] = o
			f.Objects = append(f.Objects, table.get(r.object))
		}
		f.Refs = append(f.Refs, bundle.Ref{Object: o})
		f.Runs = append(f.Runs, bundle.Run{
			Topic: topic, Partition: p.id.Index, Slot: slot, LeaderEpoch: epochAt(l.epochs, r.base),
			Base: r.base, Next: r.next(), Pos: uint64(r.pos), Len: r.length, MaxTimestamp: r.maxTS,
		})
	}
}
