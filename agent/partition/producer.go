// Pure.

package partition

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// Bounds of what a partition remembers of idempotent producers.
const (
	window = 5 // batches per producer: the most a client has in flight (KIP-98)
	// settleTime is for how long after its slot was opened a leader expects batches that were sent to the one before: clients wait 30 s for an
	// answer (request.timeout.ms).
	settleTime   = 35 * time.Second
	maxProducers = 10_000 // per partition; the ones that wrote longest ago go first
)

// producers is what a log remembers of its idempotent producers, sorted by producer id. A sorted slice, because most
// partitions have one producer or a few, and a map for one costs four times what it holds.
type producers []*bundle.Producer

// get returns the state of producer id, nil if nothing is remembered of it.
func (ps producers) get(id int64) *bundle.Producer {
	if i, ok := ps.find(id); ok {
		return ps[i]
	}
	return nil
}

func (ps producers) find(id int64) (int, bool) {
	return slices.BinarySearchFunc(ps, id, func(p *bundle.Producer, id int64) int { return cmp.Compare(p.ID, id) })
}

// put adds p, or replaces what was known of its producer.
func (ps *producers) put(p *bundle.Producer) {
	i, ok := ps.find(p.ID)
	if ok {
		(*ps)[i] = p
		return
	}
	*ps = slices.Insert(*ps, i, p)
}

// check says what to do with a batch of a producer in state p: append it (dup nil), answer it as a duplicate of dup, or refuse it
// with ErrProducerEpoch, ErrOutOfOrder or ErrEarly. A producer without state (nil) may begin anywhere: it may have expired. But not while
// the slot's leader is new: the Java client sends a batch to the new leader before the old one has answered those before it. If these are
// the first it ever sent here they would come after it. (In Kafka they do.)
func check(p *bundle.Producer, b recordbatch.Batch, newLeader bool) (dup *bundle.Appended, err error) {
	first, last := b.BaseSequence(), lastSequence(b)
	if p == nil {
		if newLeader && first != 0 {
			return nil, ErrEarly
		}
		return nil, nil
	}
	switch epoch := b.ProducerEpoch(); {
	case epoch < p.Epoch:
		return nil, ErrProducerEpoch
	case epoch > p.Epoch:
		if first != 0 {
			return nil, ErrOutOfOrder
		}
		return nil, nil
	}
	for i := range p.Last {
		if p.Last[i].FirstSeq == first && p.Last[i].LastSeq == last {
			return &p.Last[i], nil
		}
	}
	if n := len(p.Last); n > 0 && first != addSequence(p.Last[n-1].LastSeq, 1) {
		return nil, ErrOutOfOrder
	}
	return nil, nil
}

// add notes an appended batch. now is in ms since 1970.
func (ps *producers) add(id int64, epoch int16, a bundle.Appended, now int64) {
	p := ps.get(id)
	if p == nil {
		if len(*ps) >= maxProducers {
			ps.evict()
		}
		p = &bundle.Producer{ID: id, Epoch: epoch}
		ps.put(p)
	}
	note(p, epoch, a, now)
}

// note adds a batch to the state of its producer.
func note(p *bundle.Producer, epoch int16, a bundle.Appended, now int64) {
	if p.Epoch != epoch {
		p.Epoch, p.Last = epoch, nil
	}
	switch n := len(p.Last); {
	case n == window:
		copy(p.Last, p.Last[1:])
		p.Last[n-1] = a
	case n == cap(p.Last): // no more room than the window needs: there may be a million of these
		grown := make([]bundle.Appended, n+1, min(window, max(1, 2*n)))
		copy(grown, p.Last)
		grown[n] = a
		p.Last = grown
	default:
		p.Last = append(p.Last, a)
	}
	p.LastTimestamp = max(p.LastTimestamp, now)
}

// expire forgets producers that wrote nothing since before, in ms since 1970. It leaves the old slice as it is.
func (ps *producers) expire(before int64) {
	kept := make(producers, 0, len(*ps))
	for _, p := range *ps {
		if p.LastTimestamp >= before {
			kept = append(kept, p)
		}
	}
	if *ps = nil; len(kept) > 0 {
		*ps = slices.Clip(kept)
	}
}

// expired reports whether expire would forget one.
func (ps producers) expired(before int64) bool {
	return slices.ContainsFunc(ps, func(p *bundle.Producer) bool { return p.LastTimestamp < before })
}

// evict forgets the tenth that wrote longest ago.
func (ps *producers) evict() {
	old := slices.Clone(*ps)
	slices.SortStableFunc(old, func(a, b *bundle.Producer) int { return cmp.Compare(a.LastTimestamp, b.LastTimestamp) })
	gone := map[int64]bool{}
	for _, p := range old[:max(1, len(old)/10)] {
		gone[p.ID] = true
	}
	*ps = slices.DeleteFunc(*ps, func(p *bundle.Producer) bool { return gone[p.ID] })
}

// list returns deep copies, by id.
func (ps producers) list() []bundle.Producer {
	all := make([]bundle.Producer, len(ps))
	for i, p := range ps {
		all[i] = *cloneProducer(p)
	}
	return all
}

// clone returns a deep copy.
func (ps producers) clone() producers {
	if len(ps) == 0 {
		return nil
	}
	c := make(producers, len(ps))
	for i, p := range ps {
		c[i] = cloneProducer(p)
	}
	return c
}

func cloneProducer(p *bundle.Producer) *bundle.Producer {
	c := *p
	if c.Last = nil; len(p.Last) > 0 {
		c.Last = append(make([]bundle.Appended, 0, len(p.Last)), p.Last...)
	}
	return &c
}

func lastSequence(b recordbatch.Batch) int32 {
	return addSequence(b.BaseSequence(), b.LastOffsetDelta())
}

// addSequence adds as producers do: after 2^31-1 comes 0.
func addSequence(seq, n int32) int32 {
	return int32((int64(seq) + int64(n)) % (math.MaxInt32 + 1))
}
