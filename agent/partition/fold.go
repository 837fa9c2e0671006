// Pure.

package partition

import (
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/varvelog/varve/objstore/bundle"
)

// Fold rebuilds the committed logs of slots from a snapshot and the footers after it. It is fed by a replay and taken over
// by Set.Begin.
type Fold struct {
	objects *objects               // of its own: the numbers change with take
	logs    map[uint16]map[ID]*log // by slot
	names   map[uuid.UUID]string
	holes   map[ID]error // the first run that did not continue its log; nothing after it is applied
}

// NewFold returns an empty Fold whose logs the Set can take over.
func (s *Set) NewFold() *Fold {
	return &Fold{objects: newObjects(), logs: map[uint16]map[ID]*log{}, names: map[uuid.UUID]string{}, holes: map[ID]error{}}
}

// Snapshot takes over the state of the slots that want holds, replacing what the fold had of them. That a slot is in the snapshot
// under the right epoch is the caller's knowledge.
func (f *Fold) Snapshot(s *bundle.Footer, want func(slot uint16) bool) error {
	for _, sl := range s.Slots {
		if want(sl.Slot) {
			f.clear(sl.Slot)
		}
	}
	epochs, writers := s.Epochs, s.Producers
	for i := range s.Partitions {
		p := &s.Partitions[i]
		if int(p.Epochs) > len(epochs) || int(p.Producers) > len(writers) {
			return fmt.Errorf("take over snapshot: %w: partition %d has more epochs or producers than there are", bundle.ErrCorrupt, i)
		}
		own, known := epochs[:p.Epochs], writers[:p.Producers]
		epochs, writers = epochs[p.Epochs:], writers[p.Producers:]
		if !want(p.Slot) {
			continue
		}
		l := f.log(p.Slot, f.id(s, p.Topic, p.Partition))
		l.start, l.end, l.epochs, l.producers = p.LogStart, p.LogEnd, append([]bundle.Epoch(nil), own...), nil
		if len(known) > 0 {
			l.producers = make(producers, 0, len(known))
		}
		for j := range known {
			l.producers.put(cloneProducer(&known[j]))
		}
	}
	return f.snapshotRuns(s, want)
}

func (f *Fold) clear(slot uint16) {
	for id := range f.logs[slot] {
		delete(f.holes, id)
	}
	delete(f.logs, slot)
}

// snapshotRuns takes over the tail of each partition, whose runs lie together.
func (f *Fold) snapshotRuns(s *bundle.Footer, want func(slot uint16) bool) error {
	if len(s.Refs) != len(s.Runs) {
		return fmt.Errorf("take over snapshot: %w: %d runs with %d references", bundle.ErrCorrupt, len(s.Runs), len(s.Refs))
	}
	places := make([]place, len(s.Objects)) // filled for those that wanted runs lie in
	for i := 0; i < len(s.Runs); {
		r := &s.Runs[i]
		end := i + 1
		for end < len(s.Runs) && s.Runs[end].Slot == r.Slot && s.Runs[end].Topic == r.Topic && s.Runs[end].Partition == r.Partition {
			end++
		}
		if want(r.Slot) {
			if err := f.snapshotTail(s, i, end, places); err != nil {
				return err
			}
		}
		i = end
	}
	return nil
}

func (f *Fold) snapshotTail(s *bundle.Footer, from, end int, places []place) error {
	r := &s.Runs[from]
	l := f.log(r.Slot, f.id(s, r.Topic, r.Partition))
	t := &l.tail
	if t.runs == nil {
		t.runs = make([]tailRun, 0, end-from)
	}
	if last := s.Runs[end-1].Next; last != l.end {
		return fmt.Errorf("take over snapshot: %w: the runs of partition %d end at offset %d, its log at %d", bundle.ErrCorrupt, r.Partition, last, l.end)
	}
	for i := from; i < end; i++ {
		object := s.Refs[i].Object
		if i > from && s.Runs[i].Base != s.Runs[i-1].Next {
			return fmt.Errorf("take over snapshot: %w: run %d begins at offset %d, the one before ends at %d", bundle.ErrCorrupt, i, s.Runs[i].Base, s.Runs[i-1].Next)
		}
		if int64(object) >= int64(len(places)) { // bundle.Here too: a snapshot holds no batches
			return fmt.Errorf("take over snapshot: %w: run %d lies in object %d of %d", bundle.ErrCorrupt, i, object, len(places))
		}
		at := &places[object]
		if *at == (place{}) {
			*at = f.objects.add(s.Objects[object])
		}
		t.add(newTailRun(&s.Runs[i], at.object), at.session)
	}
	return nil
}

// Apply adds the footer of a committed WAL bundle: the runs and operations of slots that want holds under that epoch, and no
// others; a session may have led a slot before, under an epoch whose data other sessions continued. Footers come in the order
// of their sequence numbers. now is in ms since 1970. A run that does not continue its log is left for Check: the log of
// a topic that was deleted in between is in no snapshot, and may well go on in the footers after it.
func (f *Fold) Apply(o bundle.Object, ft *bundle.Footer, want func(slot uint16, epoch int32) bool, now int64) error {
	for _, op := range ft.Ops {
		switch {
		case !want(op.Slot, op.Epoch):
		case op.Kind == bundle.OpSlotOpen:
			for _, l := range f.logs[op.Slot] {
				l.open(op.Epoch)
			}
		case op.Kind == bundle.OpLogStart:
			f.log(op.Slot, f.id(ft, op.Topic, op.Partition)).moveStart(op.Offset)
		}
	}
	var at place
	for i := range ft.Runs {
		r := &ft.Runs[i]
		if !want(r.Slot, r.LeaderEpoch) {
			continue
		}
		if at == (place{}) {
			at = f.objects.add(o) // not before: most bundles may be of other slots
		}
		id := f.id(ft, r.Topic, r.Partition)
		if l := f.log(r.Slot, id); f.holes[id] == nil && !l.apply(r, ft.BatchesOf(r), at, now) {
			f.holes[id] = fmt.Errorf("replay bundle %d of session %s: %w: run of %s-%d begins at offset %d, the log ends at %d",
				o.Seq, o.Session, bundle.ErrCorrupt, f.names[id.Topic], id.Index, r.Base, l.end)
		}
	}
	return nil
}

// Check returns an error if a log has a hole. Call it after Drop of all topics that are gone, and before Set.Begin.
func (f *Fold) Check() error {
	for _, err := range f.holes {
		return err
	}
	return nil
}

// Topics returns the name of each topic that the fold holds data of, by UUID. What is unknown to the caller's topic map stays
// until the caller says Drop: it may have to read the topics again first.
func (f *Fold) Topics() map[uuid.UUID]string { return f.names }

// Drop forgets a topic: it is deleted.
func (f *Fold) Drop(topic uuid.UUID) {
	for _, logs := range f.logs {
		for id := range logs {
			if id.Topic == topic {
				delete(logs, id)
				delete(f.holes, id)
			}
		}
	}
	delete(f.names, topic)
}

// take returns the logs of a slot, with these numbers of objects and sessions, and forgets them.
func (f *Fold) take(slot uint16, objects, sessions []uint32) map[ID]*log {
	logs := f.logs[slot]
	delete(f.logs, slot)
	for _, l := range logs {
		l.tail.renumber(objects, sessions)
	}
	return logs
}

func (f *Fold) id(ft *bundle.Footer, topic uint32, partition int32) ID {
	t := &ft.Topics[topic]
	if _, known := f.names[t.ID]; !known {
		f.names[t.ID] = strings.Clone(t.Name) // the names of a footer are one string
	}
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
		l = &log{}
		logs[id] = l
	}
	return l
}
