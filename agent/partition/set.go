package partition

import (
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/bundle"
)

// Set is the partitions of all slots that an agent leads.
type Set struct {
	appender Appender
	objects  *objects

	mu struct {
		sync.RWMutex
		slots map[uint16]slot
		parts map[ID]*Partition
		// dropped are the topics deleted in this session, older the ones before the last maxDropped: their batches may still
		// be under way, so they must not begin anew. Topic UUIDs are never used again.
		dropped, older map[uuid.UUID]struct{}
	}
}

// maxDropped bounds what is remembered of deleted topics: no request looked its topic up so many deletions ago.
const maxDropped = 8192

type slot struct {
	epoch int32
	open  bool // false while the slot-open record is not committed
}

// NewSet returns a Set that leads nothing.
func NewSet(appender Appender) *Set {
	s := &Set{appender: appender, objects: newObjects()}
	s.mu.slots = map[uint16]slot{}
	s.mu.parts = map[ID]*Partition{}
	s.mu.dropped = map[uuid.UUID]struct{}{}
	return s
}

// Get returns a partition of a slot that this agent leads and serves. A partition that holds nothing yet is made on the
// way; that the topic exists and has that partition in that slot is the caller's knowledge, which may be old: a topic that
// was dropped stays away. Errors: ErrNotLeader, ErrLoading.
func (s *Set) Get(id ID, topic string, slot uint16) (*Partition, error) {
	s.mu.RLock()
	sl, led := s.mu.slots[slot]
	p := s.mu.parts[id]
	s.mu.RUnlock()
	switch {
	case !led:
		return nil, ErrNotLeader
	case !sl.open:
		return nil, ErrLoading
	case p != nil:
		return p, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sl, led = s.mu.slots[slot]; !led || s.isDropped(id.Topic) {
		return nil, ErrNotLeader
	}
	if p = s.mu.parts[id]; p == nil {
		p = s.add(id, topic, slot, sl.epoch, newLog())
		p.mu.log.open(sl.epoch)
	}
	return p, nil
}

func (s *Set) add(id ID, topic string, slot uint16, epoch int32, l *log) *Partition {
	p := &Partition{id: id, slot: slot, epoch: epoch, topic: topic, set: s}
	p.mu.log, p.mu.end, p.mu.live = l, l.end, l.producers.clone()
	s.mu.parts[id] = p
	return p
}

// Begin takes over the logs of slots that f replayed, as leader with the given epochs. Nothing is served yet: first a
// snapshot of them must be durable, then the slot-open record committed, which Committed sees.
func (s *Set) Begin(f *Fold, epochs map[uint16]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, epoch := range epochs {
		s.mu.slots[n] = slot{epoch: epoch}
		for id, l := range f.logs[n] {
			if !s.isDropped(id.Topic) {
				s.add(id, f.names[id.Topic], n, epoch, l)
			}
		}
	}
}

// Slots returns the slots led, with their epochs; open tells which are served.
func (s *Set) Slots() (epochs map[uint16]int32, open map[uint16]bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	epochs, open = map[uint16]int32{}, map[uint16]bool{}
	for n, sl := range s.mu.slots {
		epochs[n], open[n] = sl.epoch, sl.open
	}
	return epochs, open
}

// Committed applies the footer of a bundle of this session, right after its commit, in order. A footer that does not
// continue the log is a fault of this program: the error must end the session before anything is acked on it.
func (s *Set) Committed(o bundle.Object, ft *bundle.Footer) error {
	now := time.Now().UnixMilli()
	s.openSlots(ft.Ops)
	s.moveStarts(ft)
	object := s.objects.add(o)
	for i := range ft.Runs {
		r := &ft.Runs[i]
		id := ID{ft.Topics[r.Topic].ID, r.Partition}
		s.mu.RLock()
		p := s.mu.parts[id]
		s.mu.RUnlock()
		if p == nil {
			continue // the topic was deleted meanwhile
		}
		answered, ok := p.commit(r, ft.BatchesOf(r), object, now)
		if !ok {
			return fmt.Errorf("commit bundle %d: run of %s-%d at offset %d does not continue the log", o.Seq, p.topic, r.Partition, r.Base)
		}
		for _, d := range answered {
			d.done.Appended(d.tag, nil)
		}
	}
	return nil
}

func (s *Set) openSlots(ops []bundle.Op) {
	if len(ops) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	opened := map[uint16]bool{}
	for _, op := range ops {
		if sl, led := s.mu.slots[op.Slot]; op.Kind == bundle.OpSlotOpen && led && sl.epoch == op.Epoch {
			s.mu.slots[op.Slot] = slot{epoch: sl.epoch, open: true}
			opened[op.Slot] = true
		}
	}
	for _, p := range s.mu.parts { // once, however many slots: a start opens all of them in one bundle
		if opened[p.slot] {
			p.mu.Lock()
			p.mu.log.open(p.epoch)
			p.mu.Unlock()
		}
	}
}

// moveStarts applies the log-start records of a committed bundle.
func (s *Set) moveStarts(ft *bundle.Footer) {
	for _, op := range ft.Ops {
		if op.Kind != bundle.OpLogStart {
			continue
		}
		s.mu.RLock()
		p := s.mu.parts[ID{ft.Topics[op.Topic].ID, op.Partition}]
		s.mu.RUnlock()
		if p != nil {
			p.mu.Lock()
			if p.mu.log.moveStart(op.Offset) {
				p.wakeAll()
			}
			p.mu.Unlock()
		}
	}
}

// End gives up every slot: the session is over. Repeated batches whose original was not committed get records.ErrFenced.
func (s *Set) End() {
	s.mu.Lock()
	parts := s.mu.parts
	s.mu.parts = map[ID]*Partition{}
	s.mu.slots = map[uint16]slot{}
	s.mu.Unlock()
	for _, p := range parts {
		s.closePartition(p)
	}
}

// Drop forgets the partitions of a deleted topic, for good.
func (s *Set) Drop(topic uuid.UUID) {
	s.mu.Lock()
	if len(s.mu.dropped) >= maxDropped {
		s.mu.older, s.mu.dropped = s.mu.dropped, map[uuid.UUID]struct{}{}
	}
	s.mu.dropped[topic] = struct{}{}
	var gone []*Partition
	for id, p := range s.mu.parts {
		if id.Topic == topic {
			gone = append(gone, p)
			delete(s.mu.parts, id)
		}
	}
	s.mu.Unlock()
	for _, p := range gone {
		s.closePartition(p)
	}
}

func (s *Set) isDropped(topic uuid.UUID) bool {
	_, now := s.mu.dropped[topic]
	_, before := s.mu.older[topic]
	return now || before
}

func (s *Set) closePartition(p *Partition) {
	for _, d := range p.close() {
		d.done.Appended(d.tag, records.ErrFenced)
	}
}

// ExpireProducers forgets idempotent producers that appended nothing for idle.
func (s *Set) ExpireProducers(idle time.Duration) {
	before := time.Now().Add(-idle).UnixMilli()
	s.mu.RLock()
	parts := make([]*Partition, 0, len(s.mu.parts))
	for _, p := range s.mu.parts {
		parts = append(parts, p)
	}
	s.mu.RUnlock()
	for _, p := range parts {
		p.mu.Lock()
		p.mu.live.expire(before)
		p.mu.log.producers.expire(before)
		p.mu.Unlock()
	}
}
