package segment

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// Partition returns the item of a partition, as it is now; ok is false if there is none: nothing of it was ever in a segment. Errors:
// those of the table, records.ErrBadItem.
func (x *Index) Partition(ctx context.Context, topic uuid.UUID, index int32) (p records.Partition, ok bool, err error) {
	var it metastore.Item
	err = patiently(ctx, func(ctx context.Context) (err error) {
		it, err = metastore.Find(ctx, x.facts, x.cfg.Cluster.PartitionKey(topic, index))
		return err
	})
	if err == nil && it != nil {
		p, err = records.DecodePartition(it)
	}
	if err != nil {
		return p, false, fmt.Errorf("read partition %s-%d: %w", topic, index, err)
	}
	return p, it != nil, nil
}

// Size returns how many bytes of batches the extents of a partition have, whose log begins at start, and whose tail at tiered. It asks the
// table once as long as neither moves. What retention has passed and not unlinked yet counts. Errors as of Partition.
func (x *Index) Size(ctx context.Context, topic uuid.UUID, index int32, start, tiered int64) (int64, error) {
	at := Name{topic, index}
	x.mu.Lock()
	v := x.mu.shelf.volumes[at]
	if v != nil && v.start == start && v.tiered == tiered {
		x.mu.shelf.recent.MoveToFront(v.elem)
		x.mu.Unlock()
		return v.bytes, nil
	}
	x.mu.Unlock()
	p, _, err := x.Partition(ctx, topic, index)
	if err != nil {
		return 0, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.shelf.putVolume(&volume{at: at, start: start, tiered: tiered, bytes: p.Bytes})
	return p.Bytes, nil
}

// Extents returns neighbouring extents of a partition, the one that holds offset first: as many as one page has, none if no extent
// holds it. They must not be changed. Errors as of Locate.
func (x *Index) Extents(ctx context.Context, topic uuid.UUID, index int32, offset int64) ([]records.Extent, error) {
	at := Name{topic, index}
	for {
		x.mu.Lock()
		p := x.mu.shelf.page(at, offset)
		x.mu.Unlock()
		if p != nil {
			return p.extents[find(p.extents, offset):], nil
		}
		found, own, err := x.once(ctx, at, func(ctx context.Context) (bool, error) { return x.loadPage(ctx, at, offset) })
		if err != nil || own && !found {
			return nil, err
		}
	}
}

// loadPage reads the page of extents that holds offset, if there is one, unless another load has just brought it.
func (x *Index) loadPage(ctx context.Context, at Name, offset int64) (found bool, err error) {
	x.mu.Lock()
	there := x.mu.shelf.page(at, offset) != nil
	x.mu.Unlock()
	if there {
		return true, nil
	}
	h, err := x.begin(ctx, at, offset)
	if err != nil {
		return false, err
	}
	var broken error
	for {
		extents, more, bad, err := x.rows(ctx, at, h.after)
		if err != nil {
			return false, err
		}
		if bad != nil {
			broken = bad
		}
		base, next, last := int64(0), int64(0), int64(0)
		if n := len(extents); n > 0 {
			base, next, last = extents[0].Base, extents[n-1].Next, extents[n-1].Base
		}
		switch h.learn(len(extents), base, next, last, more) {
		case huntHit:
			x.mu.Lock()
			x.mu.shelf.putPage(&page{at: at, extents: extents})
			x.mu.Unlock()
			return true, nil
		case huntOut:
			return false, broken // which may be the one
		}
	}
}

// begin returns where to look first: right at the offset if a page that is here ends there, else as far below it as a quarter of a
// page is likely to reach.
func (x *Index) begin(ctx context.Context, at Name, offset int64) (hunt, error) {
	x.mu.Lock()
	follows := offset > 0 && x.mu.shelf.page(at, offset-1) != nil
	x.mu.Unlock()
	if follows {
		return newHunt(offset, 1), nil
	}
	p, ok, err := x.Partition(ctx, at.Topic, at.Index)
	if err != nil || !ok || p.Extents <= pageExtents || offset <= p.LogStart {
		return newHunt(offset, offset+1), err
	}
	each := max((p.Tiered-p.LogStart)/p.Extents, 1)
	if offset-p.LogStart < each*(pageExtents/4) {
		return newHunt(offset, offset+1), nil
	}
	return newHunt(offset, each*(pageExtents/4)), nil
}

// query returns at most one page of contiguous extents with a base above after, and whether there are more. Extents that wait to be
// unlinked may leave a gap before those that were linked after the log start had passed them (R28).
func (x *Index) query(ctx context.Context, at Name, after int64) (extents []records.Extent, more bool, err error) {
	extents, more, bad, err := x.rows(ctx, at, after)
	if err = errors.Join(err, bad); err != nil {
		return nil, false, err
	}
	return extents, more, nil
}

// rows is query, and passes over items that do not decode: bad tells of the last one that lies before the extents, or where there are none.
func (x *Index) rows(ctx context.Context, at Name, after int64) (extents []records.Extent, more bool, bad, err error) {
	q := metastore.Query{
		PK: x.cfg.Cluster.PartitionPK(at.Topic, at.Index), Prefix: records.ExtentPrefix, Limit: pageExtents, Consistency: metastore.Consistent,
	}
	if after >= 0 {
		q.After = records.ExtentSK(after)
	}
	for {
		var got metastore.Page
		err := patiently(ctx, func(ctx context.Context) (err error) {
			got, err = x.facts.Query(ctx, q)
			return err
		})
		if err != nil {
			return nil, false, nil, fmt.Errorf("read extents of %s-%d: %w", at.Topic, at.Index, err)
		}
		for _, row := range got.Rows {
			e, err := records.DecodeExtent(row.Item)
			switch n := len(extents); {
			case err != nil && n == 0:
				bad = fmt.Errorf("read extent %s of %s-%d: %w", row.SK, at.Topic, at.Index, err)
				continue
			case err != nil || n > 0 && extents[n-1].Next != e.Base:
				return extents, true, bad, nil
			}
			extents = append(extents, e)
		}
		if q.After = got.Next; got.Next == "" || len(extents) > 0 {
			return extents, got.Next != "", bad, nil
		}
	}
}

// loadOutline reads the footer of a segment, unless another load has just brought it.
func (x *Index) loadOutline(ctx context.Context, at Name, e records.Extent) error {
	x.mu.Lock()
	there := x.mu.shelf.outline(e.Segment) != nil
	x.mu.Unlock()
	if there {
		return nil
	}
	key := x.cfg.Keys.Segment(at.Topic, at.Index, e.Base, e.Segment)
	ctx = objstore.WithPurpose(ctx, objstore.PurposeCatchup)
	var got objstore.Object
	err := patiently(ctx, func(ctx context.Context) (err error) {
		got, err = x.objects.Get(ctx, key, objstore.Exact(int64(e.Size), int64(e.FooterLen)))
		return err
	})
	if err != nil {
		return fmt.Errorf("read footer of %s: %w", key, err)
	}
	f, kind, err := bundle.ParseTail(got.Body, int64(e.Size)+int64(e.FooterLen))
	if err == nil && kind != bundle.SEG {
		err = fmt.Errorf("%w: a %s", bundle.ErrCorrupt, kind)
	}
	var pieces []bundle.Location
	if err == nil {
		pieces, err = outlineOf(f, at, &e)
	}
	if err != nil {
		return fmt.Errorf("read footer of %s: %w", key, err)
	}
	x.mu.Lock()
	x.mu.shelf.putOutline(&outline{segment: e.Segment, pieces: pieces})
	x.mu.Unlock()
	return nil
}
