// Pure.

package partition

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/varvelog/varve/objstore/bundle"
)

// Fold rebuilds the committed logs of slots from a snapshot and the footers after it. It is fed by a replay and taken over
// by Set.Open.
type Fold struct {
	objects *objects
	logs    map[uint16]map[ID]*log // by slot
	names   map[uuid.UUID]string
}

// NewFold returns an empty Fold whose logs the Set can take over.
func (s *Set) NewFold() *Fold {
	return &Fold{objects: s.objects, logs: map[uint16]map[ID]*log{}, names: map[uuid.UUID]string{}}
}

// Snapshot takes over the state of the slots that want holds, replacing what the fold had of them.
func (f *Fold) Snapshot(s *bundle.Footer, want func(slot uint16) bool) error {
	for _, sl := range s.Slots {
		if want(sl.Slot) {
			f.logs[sl.Slot] = map[ID]*log{}
		}
	}
	epochs, producers := s.Epochs, s.Producers
	for i := range s.Partitions {
		p := &s.Partitions[i]
		if int(p.Epochs) > len(epochs) || int(p.Producers) > len(producers) {
			return fmt.Errorf("take over snapshot: %w: partition %d has more epochs or producers than there are", bundle.ErrCorrupt, i)
		}
		own, known := epochs[:p.Epochs], producers[:p.Producers]
		epochs, producers = epochs[p.Epochs:], producers[p.Producers:]
		if !want(p.Slot) {
			continue
		}
		l := f.log(p.Slot, f.id(s, p.Topic, p.Partition))
		l.start, l.end, l.epochs = p.LogStart, p.LogEnd, append([]bundle.Epoch(nil), own...)
		for _, pr := range known {
			l.producers[pr.ID] = &pr
		}
	}
	return f.snapshotRuns(s, want)
}

func (f *Fold) snapshotRuns(s *bundle.Footer, want func(slot uint16) bool) error {
	if len(s.Refs) != len(s.Runs) {
		return fmt.Errorf("take over snapshot: %w: %d runs with %d references", bundle.ErrCorrupt, len(s.Runs), len(s.Refs))
	}
	numbers := make([]uint32, len(s.Objects))
	for i, o := range s.Objects {
		numbers[i] = f.objects.add(o)
	}
	for i := range s.Runs {
		r := &s.Runs[i]
		if !want(r.Slot) {
			continue
		}
		object := s.Refs[i].Object
		if int64(object) >= int64(len(numbers)) { // bundle.Here too: a snapshot holds no batches
			return fmt.Errorf("take over snapshot: %w: run %d lies in object %d of %d", bundle.ErrCorrupt, i, object, len(numbers))
		}
		l := f.log(r.Slot, f.id(s, r.Topic, r.Partition))
		l.tail = append(l.tail, tailRun{
			base: r.Base, maxTS: r.MaxTimestamp, object: numbers[object],
			pos: uint32(r.Pos), length: r.Len, span: uint32(r.Next - r.Base),
		})
	}
	return nil
}

// Apply adds the footer of a committed WAL bundle, as far as it concerns slots that want holds. Footers come in the
// order of their sequence numbers. now is in ms since 1970. A run that does not continue its log is left for Check: the log of
// a topic that was deleted in between is in no snapshot, and may well go on in the footers after it.
func (f *Fold) Apply(o bundle.Object, ft *bundle.Footer, want func(slot uint16) bool, now int64) error {
	for _, op := range ft.Ops {
		switch {
		case !want(op.Slot):
		case op.Kind == bundle.OpSlotOpen:
			for _, l := range f.logs[op.Slot] {
				l.open(op.Epoch)
			}
		case op.Kind == bundle.OpLogStart:
			f.log(op.Slot, f.id(ft, op.Topic, op.Partition)).moveStart(op.Offset)
		}
	}
	object := f.objects.add(o)
	for i := range ft.Runs {
		r := &ft.Runs[i]
		if !want(r.Slot) {
			continue
		}
		id := f.id(ft, r.Topic, r.Partition)
		if l := f.log(r.Slot, id); l.hole == nil && !l.apply(r, ft.BatchesOf(r), object, now) {
			l.hole = fmt.Errorf("replay bundle %d of session %s: %w: run of %s-%d begins at offset %d, the log ends at %d",
				o.Seq, o.Session, bundle.ErrCorrupt, f.names[id.Topic], id.Index, r.Base, l.end)
		}
	}
	return nil
}

// Check returns an error if a log has a hole. Call it after Drop of all topics that are gone, and before Set.Begin.
func (f *Fold) Check() error {
	for _, logs := range f.logs {
		for _, l := range logs {
			if l.hole != nil {
				return l.hole
			}
		}
	}
	return nil
}

// Topics returns the name of each topic that the fold holds data of, by UUID.
func (f *Fold) Topics() map[uuid.UUID]string { return f.names }

// Drop forgets a topic: it is deleted.
func (f *Fold) Drop(topic uuid.UUID) {
	for _, logs := range f.logs {
		for id := range logs {
			if id.Topic == topic {
				delete(logs, id)
			}
		}
	}
	delete(f.names, topic)
}

func (f *Fold) id(ft *bundle.Footer, topic uint32, partition int32) ID {
	t := ft.Topics[topic]
	f.names[t.ID] = t.Name
	return ID{t.ID, partition}
}

func (f *Fold) log(slot uint16, id ID) *log {
	logs := f.logs[slot]
	if logs == nil {
		logs = map[ID]*log{}
		f.logs[slot] = logs
	}
	l := logs[id]
	if l == nil {
		l = newLog()
		logs[id] = l
	}
	return l
}
