package segment

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// learn reads what the table knows of a partition's extents.
func (r *Retainer) learn(ctx context.Context, t *Tail) (*memo, error) {
	p, ok, err := r.d.Index.Partition(ctx, t.Topic, t.Index)
	if err != nil {
		return nil, err
	}
	m := &memo{sweep: r.sweep, epoch: t.Epoch}
	if old := r.known[t.Name]; old != nil && old.epoch == t.Epoch {
		m.undated = old.undated
	} else {
		r.d.Index.Forget(t.Topic, t.Index, math.MaxInt64) // another leader may have changed them
	}
	if ok {
		m.tiered, m.bytes = p.Tiered, p.Bytes
		if p.Tiered > t.Base { // linked by somebody before us, after the snapshot that we opened with
			t.Log.Tiered(p.Tiered)
			t.Base = p.Tiered
		}
	}
	if ok && p.Extents > 0 {
		extents, _, err := r.d.Index.query(ctx, t.Name, -1)
		if err != nil {
			return nil, err
		}
		if len(extents) > 0 {
			m.head = unitOf(&extents[0])
		}
	}
	r.known[t.Name] = m
	return m, nil
}

// unlinkTries bounds how often a transaction is built anew because somebody else wrote the partition's item.
const unlinkTries = 16

// unlink takes the extents below a partition's committed log start out of the table, and queues their objects for deletion.
func (r *Retainer) unlink(ctx context.Context, t *Tail, m *memo, now int64) error {
	for tries := 0; tries < unlinkTries; tries++ {
		p, ok, err := r.d.Index.Partition(ctx, t.Topic, t.Index)
		if err != nil || !ok {
			return err
		}
		extents, _, err := r.d.Index.query(ctx, t.Name, -1)
		if err != nil {
			return err
		}
		n, sum := below(extents, t.LogStart)
		if n == 0 {
			m.tiered, m.bytes, m.head = p.Tiered, p.Bytes, unit{}
			if len(extents) > 0 {
				m.head = unitOf(&extents[0])
			}
			return nil
		}
		after := p
		after.Bytes, after.Extents, after.V, after.Nonce = p.Bytes-sum, p.Extents-int64(n), p.V+1, uuid.New()
		// Tiered stays: it passes what was never linked by a step of the room, which takes that off its packs (R28).
		after.LogStart = max(p.LogStart, extents[n-1].Next)
		err = r.commitUnlink(ctx, t, p.V, &after, extents[:n], sum, now)
		switch {
		case err == nil:
			r.d.Index.Forget(t.Topic, t.Index, after.LogStart)
			tries = 0
		case !errors.Is(err, metastore.ErrCondition):
			return err
		}
	}
	return fmt.Errorf("unlink: %w: the partition's item is written by others all the time", metastore.ErrConflict)
}

// commitUnlink sends the transaction until it is answered. Error: metastore.ErrCondition if the item was not at version v: somebody else
// wrote it, or an earlier try whose answer was lost; the extents that are still there tell.
func (r *Retainer) commitUnlink(ctx context.Context, t *Tail, v int64, after *records.Partition, gone []records.Extent, sum, now int64) error {
	ops := []metastore.Op{{
		Kind: metastore.OpUpdate, Key: r.d.Cluster.PartitionKey(t.Topic, t.Index), Set: metastore.Item{
			records.AttrLogStart: metastore.N(after.LogStart), records.AttrTiered: metastore.N(after.Tiered),
			records.AttrBytes: metastore.N(after.Bytes), records.AttrExtents: metastore.N(after.Extents),
			records.AttrV: metastore.N(after.V), records.AttrNonce: records.IDValue(after.Nonce),
		},
		If: []metastore.Cond{{Attr: records.AttrV, Cmp: metastore.Eq, Value: metastore.N(v)}},
	}}
	g := records.Garbage{NotBefore: now + r.cfg.Grace.Milliseconds(), Bytes: sum, ID: uuid.New()}
	for i := range gone {
		e := &gone[i]
		ops = append(ops, metastore.Op{
			Kind: metastore.OpDelete, Key: r.d.Cluster.ExtentKey(t.Topic, t.Index, e.Base),
			If: []metastore.Cond{{Attr: records.AttrSegment, Cmp: metastore.Eq, Value: records.IDValue(e.Segment)}},
		})
		g.Keys = append(g.Keys, r.d.Keys.Segment(t.Topic, t.Index, e.Base, e.Segment))
	}
	ops = append(ops, metastore.Op{Kind: metastore.OpPut, Key: r.d.Cluster.GarbageKey(g), Set: g.Item()})
	return patiently(ctx, func(ctx context.Context) error { return r.d.Facts.Transact(ctx, ops) })
}
