package meta

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// patch adds extents for [from, to), which lies in none of the segments that are linked: copies of what is sound of it in others, and in between
// what holds nothing.
func (m *mending) patch(ctx context.Context, from, to int64) error {
	return m.patchFrom(ctx, slices.Concat(m.there, m.torn), from, to)
}

func (m *mending) patchFrom(ctx context.Context, others []records.Extent, from, to int64) error {
	for i, e := range others {
		if e.Next <= from || e.Base >= to || from >= to {
			continue
		}
		all, err := m.salvage(ctx, e, from, to)
		if err != nil {
			return err
		}
		for _, batches := range all {
			if err := m.patchFrom(ctx, others[i+1:], from, batches[0].BaseOffset()); err != nil {
				return err
			}
			if err := m.copied(ctx, batches); err != nil {
				return err
			}
			from = batches[len(batches)-1].NextOffset()
		}
	}
	return m.leave(ctx, from, to)
}

// salvage reads the batches of a segment that are sound and lie within [from, to).
func (m *mending) salvage(ctx context.Context, e records.Extent, from, to int64) ([][]recordbatch.Batch, error) {
	f, _, _, err := m.readFooter(ctx, m.key(e))
	if errors.Is(err, objstore.ErrNotFound) || errors.Is(err, objstore.ErrRange) || broken(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	o, err := m.get(ctx, m.key(e), objstore.Range{})
	if err != nil {
		return nil, err
	}
	line := m.lines[m.p]
	f.Runs = slices.DeleteFunc(f.Runs, func(r bundle.Run) bool {
		return f.Topics[r.Topic].ID != m.p.topic || r.Partition != m.p.index || line.refutes(&r)
	})
	return stretches(o.Body, f, from, to), nil
}

// leave adds extents for [from, to) that hold nothing.
func (m *mending) leave(ctx context.Context, from, to int64) error {
	for from < to {
		next := min(to, from+math.MaxInt32)
		batch, err := emptyBatch(emptySize, m.epochBefore(ctx), from, next)
		if err == nil {
			err = m.copied(ctx, []recordbatch.Batch{batch})
		}
		if err != nil {
			return err
		}
		m.lost += next - from
		from = next
	}
	return nil
}

// epochBefore is the leader epoch of what comes before the next extent.
func (m *mending) epochBefore(ctx context.Context) int32 {
	if n := len(m.extent); n > 0 {
		if f, _, _, err := m.readFooter(ctx, m.key(m.extent[n-1])); err == nil {
			return f.Runs[len(f.Runs)-1].LeaderEpoch
		}
	}
	return 0
}

// copied writes a segment of batches that follow each other, and adds its extent.
func (m *mending) copied(ctx context.Context, batches []recordbatch.Batch) error {
	t := m.topics[m.p.topic]
	if int(m.p.index) >= len(t.Slots) {
		return fmt.Errorf("%w: topic %s has no partition %d", ErrBeyondRepair, t.Name, m.p.index)
	}
	h := bundle.Header{Cluster: m.config.Cluster, Session: m.slots[t.Slots[m.p.index]].Leader}
	object, e, err := segmentOf(h, m.p, t, batches)
	if err != nil {
		return err
	}
	e.Segment = uuid.New()
	if err := m.put(ctx, m.key(e), object); err != nil {
		return err
	}
	m.add(e)
	return nil
}
