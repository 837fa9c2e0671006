package partition

import (
	"github.com/varvelog/varve/objstore/bundle"
)

// ID returns the partition's name.
func (p *Partition) ID() ID { return p.id }

// Place returns the partition's name, its topic's, and its slot with the epoch under which it is led.
func (p *Partition) Place() (id ID, topic string, slot uint16, epoch int32) {
	return p.id, p.topic, p.lead.slot, p.lead.epoch
}

// State returns the offsets as they are now, or ErrNotLeader.
func (p *Partition) State() (State, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.closed {
		return State{}, ErrNotLeader
	}
	l := p.mu.log
	return State{LogStart: l.start, TailStart: l.tailStart(), HighWatermark: l.end, LastStable: l.end, LogEnd: p.mu.end, Epoch: p.lead.epoch}, nil
}

// Locate appends to dst where the committed records from offset on lie, in order and without a gap, at most n runs. The
// first one holds offset; none if offset is below the log start, or below the tail index (State.TailStart): then it is in extents.
func (p *Partition) Locate(dst []bundle.Location, offset int64, n int) []bundle.Location {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.mu.log
	if offset < l.start || offset < l.tailStart() {
		return dst
	}
	return p.runs(dst, offset, n)
}

// Runs appends to dst the runs of the tail index that end after from, in order, at most n, wherever the log starts.
func (p *Partition) Runs(dst []bundle.Location, from int64, n int) []bundle.Location {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.runs(dst, from, n)
}

func (p *Partition) runs(dst []bundle.Location, from int64, n int) []bundle.Location {
	t := &p.mu.log.tail
	for i := t.find(from); i < len(t.runs) && n > 0; i, n = i+1, n-1 {
		dst = append(dst, p.location(t.runs[i]))
	}
	return dst
}

// LocateTime returns the first run of the tail index that holds a record with a timestamp of ts (ms) or later; extents come
// before it.
func (p *Partition) LocateTime(ts int64) (bundle.Location, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.locateTime(ts)
}

func (p *Partition) locateTime(ts int64) (bundle.Location, bool) {
	t := &p.mu.log.tail
	if i := t.findTime(ts); i < len(t.runs) {
		return p.location(t.runs[i]), true
	}
	return bundle.Location{}, false
}

// LocateMaxTime returns the first run of the tail index that holds the largest timestamp of all of them.
func (p *Partition) LocateMaxTime() (bundle.Location, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.mu.log.tail.runs) == 0 {
		return bundle.Location{}, false
	}
	return p.locateTime(p.mu.log.tail.top())
}

func (p *Partition) location(r tailRun) bundle.Location {
	return bundle.Location{
		Object: p.object(r), Pos: uint64(r.pos), Len: r.length,
		Base: r.base, Next: r.next(), MaxTimestamp: r.maxTS, LeaderEpoch: epochAt(p.mu.log.epochs, r.base),
	}
}

func (p *Partition) object(r tailRun) bundle.Object {
	if p.mu.table != nil {
		return p.mu.table.get(r.object)
	}
	return p.lead.set.objects.get(r.object)
}

// EndOfEpoch answers OffsetForLeaderEpoch: the largest epoch not above the one asked for, and where it ended; (-1, -1)
// if the one asked for is newer than all.
func (p *Partition) EndOfEpoch(epoch int32) (int32, int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return endOfEpoch(p.mu.log.epochs, epoch, p.mu.log.end)
}

// EpochAt returns the leader epoch under which the record at offset was written, or would be.
func (p *Partition) EpochAt(offset int64) int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return epochAt(p.mu.log.epochs, offset)
}

// Producers returns a copy of the committed state of the idempotent producers, by id.
func (p *Partition) Producers() []bundle.Producer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.log.producers.list()
}

// Bytes returns the bytes of a partition's committed records that are in no extent, 0 for one that is not led here or holds nothing.
func (s *Set) Bytes(id ID) (n int64) {
	s.peek(id, func(l *log) { n = l.tail.bytes })
	return n
}

// Tiered returns which offsets [from, to) of a partition's log lie below its tail, in extents: none if from is to, or if it is not led
// here.
func (s *Set) Tiered(id ID) (from, to int64) {
	s.peek(id, func(l *log) { from, to = l.start, max(l.start, l.tailStart()) })
	return from, to
}

// peek calls look for the log of a partition that is led here, under its lock.
func (s *Set) peek(id ID, look func(*log)) {
	s.mu.RLock()
	p := s.mu.parts[id]
	s.mu.RUnlock()
	if p != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		look(p.mu.log)
	}
}
