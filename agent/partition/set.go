package partition

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/bundle"
)

// Set is the partitions of all slots that an agent leads.
type Set struct {
	appender Appender
	objects  *objects
	durable  durable
	// rewritten is a partition of which something left the tail since the last Capture; nil: none.
	rewritten atomic.Pointer[Partition]

	mu struct {
		sync.RWMutex
		slots map[uint16]*lead
		parts map[ID]*Partition
		// frozen are the slots that were left and that a pin may still name: they stay in snapshots, as they were then.
		frozen map[uint16]slotLogs
		// dropped are the topics deleted in this session, older the ones before the last maxDropped: their batches may still
		// be under way, so they must not begin anew. Topic UUIDs are never used again.
		dropped, older map[uuid.UUID]struct{}
	}
}

// maxDropped bounds what is remembered of deleted topics: no request looked its topic up so many deletions ago.
const maxDropped = 8192

// NewSet returns a Set that leads nothing.
func NewSet(appender Appender) *Set {
	s := &Set{appender: appender, objects: newObjects()}
	s.mu.slots, s.mu.frozen = map[uint16]*lead{}, map[uint16]slotLogs{}
	s.mu.parts = map[ID]*Partition{}
	s.mu.dropped = map[uuid.UUID]struct{}{}
	return s
}

// Get returns a partition of a slot that this agent leads and serves. A partition that holds nothing yet is made on the
// way; that the topic exists and has that partition in that slot is the caller's knowledge, which may be old: a topic that
// was dropped stays away. Errors: ErrNotLeader, ErrLoading.
func (s *Set) Get(id ID, topic string, slot uint16) (*Partition, error) {
	s.mu.RLock()
	l, p := s.mu.slots[slot], s.mu.parts[id]
	open := l != nil && l.open
	s.mu.RUnlock()
	switch {
	case l == nil:
		return nil, ErrNotLeader
	case !open:
		return nil, ErrLoading
	case p != nil:
		return p, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch l = s.mu.slots[slot]; {
	case l == nil || s.isDropped(id.Topic):
		return nil, ErrNotLeader
	case !l.open:
		return nil, ErrLoading
	}
	if p = s.mu.parts[id]; p == nil {
		if l.empty == nil {
			l.empty = &log{shared: true}
			l.empty.open(l.epoch)
		}
		p = s.add(id, topic, l, l.empty)
	}
	return p, nil
}

// Serves returns nil if the partitions of a slot take appends here, else why not: ErrNotLeader, ErrLoading, ErrDraining.
func (s *Set) Serves(slot uint16) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch l := s.mu.slots[slot]; {
	case l == nil:
		return ErrNotLeader
	case !l.open:
		return ErrLoading
	case l.draining.Load():
		return ErrDraining
	}
	return nil
}

// Leads reports whether a slot is served here under epoch, be it draining.
func (s *Set) Leads(slot uint16, epoch int32) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	l := s.mu.slots[slot]
	return l != nil && l.open && l.epoch == epoch
}

func (s *Set) add(id ID, topic string, l *lead, c *log) *Partition {
	p := &Partition{id: id, lead: l, topic: topic}
	p.mu.log, p.mu.end = c, c.end
	s.mu.parts[id] = p
	l.parts = append(l.parts, p)
	return p
}

// Begin takes over the logs of slots that f replayed, as leader with the given epochs, at any time. Nothing is served yet: first a
// snapshot of them must be durable, then the slot-open record committed, which Committed sees. A slot that is being opened
// begins anew; one that is open must be left first, and stays as it is: an error, while the others are begun. The frozen log of an
// earlier epoch stays in snapshots until the slot is open. f may not be used for these slots again.
func (s *Set) Begin(f *Fold, epochs map[uint16]int32) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	objects, sessions := f.objects.numbersIn(s.objects)
	for n, epoch := range epochs {
		if old := s.mu.slots[n]; old != nil {
			if old.open {
				err = fmt.Errorf("begin slot %d under epoch %d: it is served under epoch %d", n, epoch, old.epoch)
				continue
			}
			s.remove(old) // nobody waits: it was never served
		}
		logs := f.take(n, objects, sessions)
		l := &lead{set: s, slot: n, epoch: epoch, begun: time.Now(), parts: make([]*Partition, 0, len(logs))}
		s.mu.slots[n] = l
		for id, c := range logs {
			if c.end > 0 && !s.isDropped(id.Topic) { // one that holds nothing is made when it is asked for
				s.add(id, f.names[id.Topic], l, c)
			}
		}
	}
	return err
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
// continue the log, or holds a run of a slot that is not led under its epoch any more, is a fault of this program: the error
// must end the session before anything is acked on it.
func (s *Set) Committed(o bundle.Object, ft *bundle.Footer) error {
	now := time.Now().UnixMilli()
	s.openSlots(ft.Ops)
	s.moveStarts(ft)
	at := s.objects.add(o)
	for i := range ft.Runs {
		r := &ft.Runs[i]
		id := ID{ft.Topics[r.Topic].ID, r.Partition}
		s.mu.RLock()
		l, p := s.mu.slots[r.Slot], s.mu.parts[id]
		s.mu.RUnlock()
		if l == nil || l.epoch != r.LeaderEpoch {
			return fmt.Errorf("commit bundle %d: run of %s-%d at offset %d: slot %d is not led under epoch %d", o.Seq, id.Topic, id.Index, r.Base, r.Slot, r.LeaderEpoch)
		}
		l.bytes.Add(uint64(r.Len))
		if p == nil {
			continue // the topic was deleted meanwhile
		}
		answered, ok := p.commit(r, ft.BatchesOf(r), at, now)
		if !ok {
			return fmt.Errorf("commit bundle %d: run of %s-%d at offset %d does not continue the log", o.Seq, p.topic, r.Partition, r.Base)
		}
		for _, d := range answered {
			d.done.Appended(d.tag, nil)
		}
	}
	return nil
}

// openSlots serves the slots whose slot-open record is committed. What was frozen of them has had its day.
func (s *Set) openSlots(ops []bundle.Op) {
	if len(ops) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, op := range ops {
		l := s.mu.slots[op.Slot]
		if op.Kind != bundle.OpSlotOpen || l == nil || l.epoch != op.Epoch || l.open {
			continue
		}
		for _, p := range l.parts {
			p.mu.Lock()
			p.mu.log = p.mu.log.own()
			p.mu.log.open(l.epoch)
			p.mu.Unlock()
		}
		l.open = true
		delete(s.mu.frozen, op.Slot)
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
		if p != nil && p.lead.epoch == op.Epoch {
			p.moveStart(op.Offset)
		}
	}
}

// End gives up every slot: the session is over. Repeated batches whose original was not committed get records.ErrFenced.
func (s *Set) End() {
	s.mu.Lock()
	var unanswered []duplicate
	for _, p := range s.mu.parts {
		unanswered = append(unanswered, p.close()...)
	}
	s.mu.parts = map[ID]*Partition{}
	s.mu.slots, s.mu.frozen = map[uint16]*lead{}, map[uint16]slotLogs{}
	s.mu.Unlock()
	refuse(unanswered)
}

// Drop forgets the partitions of a deleted topic, for good, and what is frozen of them.
func (s *Set) Drop(topic uuid.UUID) {
	s.mu.Lock()
	if len(s.mu.dropped) >= maxDropped {
		s.mu.older, s.mu.dropped = s.mu.dropped, map[uuid.UUID]struct{}{}
	}
	s.mu.dropped[topic] = struct{}{}
	var unanswered []duplicate
	for _, l := range s.mu.slots {
		l.parts = slices.DeleteFunc(l.parts, func(p *Partition) bool {
			if p.id.Topic != topic {
				return false
			}
			delete(s.mu.parts, p.id)
			unanswered = append(unanswered, p.drop()...)
			return true
		})
	}
	for slot, f := range s.mu.frozen {
		f.parts = slices.DeleteFunc(slices.Clone(f.parts), func(l namedLog) bool { return l.id.Topic == topic })
		s.mu.frozen[slot] = f
	}
	s.mu.Unlock()
	refuse(unanswered)
}

func (s *Set) isDropped(topic uuid.UUID) bool {
	_, now := s.mu.dropped[topic]
	_, before := s.mu.older[topic]
	return now || before
}

func refuse(unanswered []duplicate) {
	for _, d := range unanswered {
		d.done.Appended(d.tag, records.ErrFenced)
	}
}

// ExpireProducers forgets idempotent producers that appended nothing for idle. One with a batch under way is remembered by it.
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
		if p.mu.log.producers.expired(before) {
			p.mu.log = p.mu.log.own()
			p.mu.log.producers.expire(before)
		}
		p.mu.Unlock()
	}
}
