package segment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// commitJoin puts one extent into the place of several, in one transaction, built anew when the partition's item was written meanwhile. If
// they are not all there any more, or somebody else leads, the segment is given up. If nobody knows the outcome it is asked for at the next round.
func (r *Room) commitJoin(ctx context.Context, j *joined, e *entry, now time.Time) error {
	e.joins.doubt = j
	for range unlinkTries {
		err := patiently(ctx, func(ctx context.Context) error { return r.d.Facts.Transact(ctx, r.joinOps(j, now)) })
		if err == nil {
			return r.joinDone(ctx, j, e, true, now)
		}
		if !errors.Is(err, metastore.ErrCondition) {
			return fmt.Errorf("merge segments: %w", err)
		}
		there, possible, rerr := r.readJoin(ctx, j)
		if rerr != nil {
			return fmt.Errorf("merge segments: %w: %w", err, rerr)
		}
		may := r.mayJoin(err, j)
		e.joins.stays = e.joins.stays || !may // or each round would write another one, until this leader hears of it
		if there || !possible || !may {
			return r.joinDone(ctx, j, e, there, now)
		}
	}
	return fmt.Errorf("merge segments: %w: the partition's item is written by others all the time", metastore.ErrConflict)
}

// mayJoin reports whether the transaction that failed by a condition may be applied at another time: not if the topic is gone, or the slot
// has another leader.
func (r *Room) mayJoin(err error, j *joined) bool {
	var failed *metastore.ConditionError
	if !errors.As(err, &failed) {
		return false
	}
	switch failed.Key {
	case r.d.Cluster.TopicKey(j.topic):
		return activeTopic(failed.Old, j.Topic)
	case r.d.Cluster.SlotKey(j.slot):
		s, err := records.DecodeSlot(failed.Old)
		return err == nil && s.Epoch == j.epoch
	}
	return true
}

// readJoin reads whether the extent is in its place, and if not whether it may still come there; then the item's version is the one for the
// next try: every earlier one fails.
func (r *Room) readJoin(ctx context.Context, j *joined) (there, possible bool, err error) {
	p, ok, err := r.readPartition(ctx, j.Name)
	if err != nil || !ok {
		return false, false, err
	}
	if p.Nonce == j.nonce {
		return true, false, nil
	}
	extents, _, err := r.readExtents(ctx, j.Name, j.x.Base, len(j.old))
	if err != nil {
		return false, false, err
	}
	if len(extents) > 0 && extents[0].Segment == j.x.Segment {
		return true, false, nil
	}
	j.v = p.V
	return false, slices.Equal(extents, j.old) && p.LogStart <= j.x.Base, nil
}

// joinDone ends a merge whose outcome is known.
func (r *Room) joinDone(ctx context.Context, j *joined, e *entry, linked bool, now time.Time) error {
	e.joins.doubt = nil
	if r.d.Index != nil {
		r.d.Index.Forget(j.Topic, j.Index, j.x.Next)
	}
	if linked {
		r.metrics.merged.Add(float64(len(j.old)))
		r.d.Log.Debug("merged segments", "topic", j.topic, "partition", j.Index, "segments", len(j.old), "from", j.x.Base, "to", j.x.Next, "bytes", j.x.Bytes)
		return nil
	}
	return r.orphaned(ctx, []step{{Name: j.Name, extent: &j.x, key: r.d.Keys.Segment(j.Topic, j.Index, j.x.Base, j.x.Segment)}}, now)
}

// joinOps is the transaction: three items, one for each extent, and one of the queue. The first condition that fails tells why.
func (r *Room) joinOps(j *joined, now time.Time) []metastore.Op {
	var bytes int64
	keys := make([]string, len(j.old))
	for i := range j.old {
		bytes += j.old[i].Bytes
		keys[i] = r.d.Keys.Segment(j.Topic, j.Index, j.old[i].Base, j.old[i].Segment)
	}
	ops := []metastore.Op{
		{Kind: metastore.OpCheck, Key: r.d.Cluster.TopicKey(j.topic), If: []metastore.Cond{
			{Attr: records.AttrID, Cmp: metastore.Eq, Value: records.IDValue(j.Topic)},
			{Attr: records.AttrState, Cmp: metastore.Eq, Value: records.TopicActive.Value()},
		}},
		{Kind: metastore.OpCheck, Key: r.d.Cluster.SlotKey(j.slot), If: []metastore.Cond{
			{Attr: records.AttrEpoch, Cmp: metastore.Eq, Value: metastore.N(int64(j.epoch))},
		}},
		{
			Kind: metastore.OpUpdate, Key: r.d.Cluster.PartitionKey(j.Topic, j.Index),
			Set: metastore.Item{records.AttrV: metastore.N(j.v + 1), records.AttrNonce: records.IDValue(j.nonce)},
			Add: map[string]int64{records.AttrExtents: int64(1 - len(j.old)), records.AttrBytes: j.x.Bytes - bytes},
			If:  []metastore.Cond{{Attr: records.AttrV, Cmp: metastore.Eq, Value: metastore.N(j.v)}},
		},
	}
	for i := range j.old {
		op := metastore.Op{
			Kind: metastore.OpDelete, Key: r.d.Cluster.ExtentKey(j.Topic, j.Index, j.old[i].Base),
			If: []metastore.Cond{{Attr: records.AttrSegment, Cmp: metastore.Eq, Value: records.IDValue(j.old[i].Segment)}},
		}
		if i == 0 {
			op.Kind, op.Set = metastore.OpPut, j.x.Item()
		}
		ops = append(ops, op)
	}
	return append(ops, r.garbage(keys, bytes, now))
}
