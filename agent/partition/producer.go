// Pure.

package partition

import (
	"cmp"
	"math"
	"slices"

	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// Bounds of what a partition remembers of idempotent producers.
const (
	window       = 5      // batches per producer: the most a client has in flight (KIP-98)
	maxProducers = 10_000 // per partition; the ones that wrote longest ago go first
)

// producers is what a partition remembers of its idempotent producers, by producer id.
type producers map[int64]*bundle.Producer

// check says what to do with a batch: append it (dup nil), answer it as a duplicate of dup, or refuse it with
// ErrProducerEpoch or ErrOutOfOrder. A producer without state may begin anywhere: it may have expired.
func (ps producers) check(b recordbatch.Batch) (dup *bundle.Appended, err error) {
	p, ok := ps[b.ProducerID()]
	if !ok {
		return nil, nil
	}
	first, last := b.BaseSequence(), lastSequence(b)
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
func (ps producers) add(id int64, epoch int16, a bundle.Appended, now int64) {
	p, ok := ps[id]
	if !ok {
		if len(ps) >= maxProducers {
			ps.evict()
		}
		p = &bundle.Producer{ID: id, Epoch: epoch}
		ps[id] = p
	}
	if p.Epoch != epoch {
		p.Epoch, p.Last = epoch, nil
	}
	if len(p.Last) == window {
		copy(p.Last, p.Last[1:])
		p.Last = p.Last[:window-1]
	}
	p.Last = append(p.Last, a)
	p.LastTimestamp = max(p.LastTimestamp, now)
}

// expire forgets producers that wrote nothing since before, in ms since 1970.
func (ps producers) expire(before int64) {
	for id, p := range ps {
		if p.LastTimestamp < before {
			delete(ps, id)
		}
	}
}

// evict forgets the tenth that wrote longest ago.
func (ps producers) evict() {
	all := ps.list()
	slices.SortFunc(all, func(a, b bundle.Producer) int { return cmp.Compare(a.LastTimestamp, b.LastTimestamp) })
	for _, p := range all[:max(1, len(all)/10)] {
		delete(ps, p.ID)
	}
}

// list returns deep copies, in no order.
func (ps producers) list() []bundle.Producer {
	all := make([]bundle.Producer, 0, len(ps))
	for _, p := range ps {
		c := *p
		c.Last = slices.Clone(p.Last)
		all = append(all, c)
	}
	return all
}

func (ps producers) clone() producers {
	c := make(producers, len(ps))
	for _, p := range ps.list() {
		c[p.ID] = &p
	}
	return c
}

func lastSequence(b recordbatch.Batch) int32 {
	return addSequence(b.BaseSequence(), b.LastOffsetDelta())
}

// addSequence adds as producers do: after 2^31-1 comes 0.
func addSequence(seq, n int32) int32 {
	return int32((int64(seq) + int64(n)) % (math.MaxInt32 + 1))
}
