package partition

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/google/uuid"

	"github.com/varvelog/varve/objstore/bundle"
)

// Snapshot is the committed state of slots at one moment between two commits.
type Snapshot struct {
	slots   []bundle.Slot
	parts   []capture
	objects []bundle.Object
}

// capture shares the tail with the log, which only ever appends to it, and owns the rest.
type capture struct {
	id         ID
	name       string
	slot       uint16
	start, end int64
	epochs     []bundle.Epoch
	tail       []tailRun
	producers  []bundle.Producer
}

// Capture takes the committed state of the slots that are served, never what is only appended: a fail-over to it must not
// take a retry of an uncommitted batch for a duplicate. It is cheap, and must be called where commits are applied, so that
// it lies between two of them; Footer does the long part.
func (s *Set) Capture() *Snapshot { return s.capture(true) }

// CaptureOpening takes the state of the slots that are being opened: what their slot-open records will name.
func (s *Set) CaptureOpening() *Snapshot { return s.capture(false) }

func (s *Set) capture(open bool) *Snapshot {
	s.mu.RLock()
	defer s.mu.RUnlock()
	snap := &Snapshot{objects: s.objects.all()}
	for n, sl := range s.mu.slots {
		if sl.open == open {
			snap.slots = append(snap.slots, bundle.Slot{Slot: n, Epoch: sl.epoch})
		}
	}
	for _, p := range s.mu.parts {
		if s.mu.slots[p.slot].open != open {
			continue
		}
		p.mu.Lock()
		l := p.mu.log
		if l.end > 0 {
			snap.parts = append(snap.parts, capture{
				id: p.id, name: p.topic, slot: p.slot, start: l.start, end: l.end,
				epochs: slices.Clone(l.epochs), tail: slices.Clip(l.tail), producers: l.producers.list(),
			})
		}
		p.mu.Unlock()
	}
	return snap
}

// Footer returns the snapshot as sections of a SNAP bundle.
func (s *Snapshot) Footer() *bundle.Footer {
	slices.SortFunc(s.slots, func(a, b bundle.Slot) int { return cmp.Compare(a.Slot, b.Slot) })
	slices.SortFunc(s.parts, func(a, b capture) int {
		return cmp.Or(cmp.Compare(a.slot, b.slot), bytes.Compare(a.id.Topic[:], b.id.Topic[:]), cmp.Compare(a.id.Index, b.id.Index))
	})
	f := &bundle.Footer{Slots: s.slots}
	topics := s.topics(f)
	objects := map[uint32]uint32{} // number in the table: index in the section
	parts := s.parts
	for i := range f.Slots {
		sl := &f.Slots[i]
		sl.FirstRun = uint32(len(f.Runs))
		for len(parts) > 0 && parts[0].slot == sl.Slot {
			c := &parts[0]
			c.appendTo(f, topics[c.id.Topic], s.objects, objects)
			parts = parts[1:]
		}
		sl.Runs = uint32(len(f.Runs)) - sl.FirstRun
	}
	return f
}

// topics lists the topics in f, in the order of their ids, which is that of the runs within a slot.
func (s *Snapshot) topics(f *bundle.Footer) map[uuid.UUID]uint32 {
	indexes := map[uuid.UUID]uint32{}
	for i := range s.parts {
		c := &s.parts[i]
		if _, ok := indexes[c.id.Topic]; !ok {
			indexes[c.id.Topic] = 0
			f.Topics = append(f.Topics, bundle.Topic{ID: c.id.Topic, Name: c.name})
		}
	}
	slices.SortFunc(f.Topics, func(a, b bundle.Topic) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	for i := range f.Topics {
		indexes[f.Topics[i].ID] = uint32(i)
	}
	return indexes
}

func (c *capture) appendTo(f *bundle.Footer, topic uint32, table []bundle.Object, objects map[uint32]uint32) {
	f.Partitions = append(f.Partitions, bundle.Partition{
		Topic: topic, Partition: c.id.Index, Slot: c.slot, LogStart: c.start, LogEnd: c.end,
		Epochs: uint32(len(c.epochs)), Producers: uint32(len(c.producers)),
	})
	f.Epochs = append(f.Epochs, c.epochs...)
	slices.SortFunc(c.producers, func(a, b bundle.Producer) int { return cmp.Compare(a.ID, b.ID) })
	f.Producers = append(f.Producers, c.producers...)
	for _, r := range c.tail {
		o, ok := objects[r.object]
		if !ok {
			o = uint32(len(f.Objects))
			objects[r.object] = o
			f.Objects = append(f.Objects, table[r.object])
		}
		f.Refs = append(f.Refs, bundle.Ref{Object: o})
		f.Runs = append(f.Runs, bundle.Run{
			Topic: topic, Partition: c.id.Index, Slot: c.slot, LeaderEpoch: epochAt(c.epochs, r.base),
			Base: r.base, Next: r.next(), Pos: uint64(r.pos), Len: r.length, MaxTimestamp: r.maxTS,
		})
	}
}
