package meta

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// segment is an object of a partition.
type segment struct {
	base   int64
	id     uuid.UUID
	size   int64
	merged bool // written to take the place of others
	named  bool // by an extent
}

// checkPartitions compares extents and segments: first of the partitions that have objects, in the order of the listing, then of
// all others that there are.
func (l *look) checkPartitions(ctx context.Context) error {
	l.say("reads extents and segments")
	var at part
	var own []segment
	flush := func() error {
		if len(own) == 0 {
			return nil
		}
		objects := own
		own = nil
		return l.checkPartition(ctx, at, objects)
	}
	err := l.list(ctx, l.cfg.Keys.Root()+objstore.KindSegment+"/", func(o objstore.Info) error {
		k, err := l.cfg.Keys.Parse(o.Key)
		if err != nil {
			l.foreign(o.Key)
			return nil
		}
		if p := (part{k.Topic, k.Partition}); p != at {
			if err := flush(); err != nil {
				return err
			}
			at = p
		}
		own = append(own, segment{base: k.Base, id: k.ID, size: o.Size, merged: k.Merged()})
		return nil
	})
	if err = errors.Join(err, flush()); err != nil {
		return err
	}
	var rest []part
	for id, t := range l.topics {
		for i := range t.Slots {
			if p := (part{id, int32(i)}); l.parts[p] == nil {
				rest = append(rest, p)
			}
		}
	}
	l.say("reads %d partitions without segments", len(rest))
	return l.each(ctx, len(rest), func(ctx context.Context, i int) error { return l.checkPartition(ctx, rest[i], nil) })
}

// layout is a partition as the table has it.
type layout struct {
	item    *records.Partition
	extents []records.Extent
	bad     bool // something did not decode
}

// readLayout reads a partition's items as they were at one moment.
func (t *Tool) readLayout(ctx context.Context, p part, bad func(metastore.Key, error)) (y layout, err error) {
	key := t.cfg.Cluster.PartitionKey(p.topic, p.index)
	for try := 0; ; try++ {
		y = layout{}
		err = t.query(ctx, key.PK, "", func(row metastore.Row) error {
			var err error
			if row.SK == key.SK {
				var item records.Partition
				if item, err = records.DecodePartition(row.Item); err == nil {
					y.item = &item
				}
			} else {
				var e records.Extent
				if e, err = records.DecodeExtent(row.Item); err == nil && row.SK != records.ExtentSK(e.Base) {
					err = fmt.Errorf("%w: extent: its key says another base than %d", records.ErrBadItem, e.Base)
				}
				if err == nil {
					y.extents = append(y.extents, e)
				}
			}
			if err != nil {
				y.bad = true
				bad(metastore.Key{PK: key.PK, SK: row.SK}, err)
			}
			return nil
		})
		if err != nil || y.bad || y.item == nil && len(y.extents) == 0 {
			return y, err
		}
		it, err := t.item(ctx, key)
		if err != nil {
			return y, err
		}
		again := records.Partition{}
		if it != nil {
			if again, err = records.DecodePartition(it); err != nil {
				y.bad = true
				bad(key, err)
				return y, nil
			}
		}
		if (it == nil) == (y.item == nil) && (it == nil || again.V == y.item.V) || try == rereads {
			return y, nil
		}
	}
}

// checkPartition compares a partition's items with each other and with its objects, which are in the order of keys. A segment that no
// extent names is nobody's only below tiered, or if the topic is gone, or its writer's session is DRAINED: a link demands that tiered is the
// segment's base and that the slot's epoch is its writer's, and not that the session lives. One that stood still for long may link it yet. What
// was merged may be linked below tiered too.
func (l *look) checkPartition(ctx context.Context, p part, objects []segment) error {
	y, err := l.readLayout(ctx, p, func(key metastore.Key, err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if strings.HasPrefix(key.SK, records.ExtentPrefix) && len(objects) > 0 {
			l.repair(Undecodable, key.PK+","+key.SK, "%v", err) // its segment says what it said
			return
		}
		l.undecodable(key, err)
	})
	if err != nil {
		return err
	}
	r := &reach{known: y.item != nil, base: -1}
	if y.item != nil {
		r.start, r.tiered = y.item.LogStart, y.item.Tiered
	}
	l.mu.Lock()
	l.parts[p] = r
	_, alive := l.topics[p.topic]
	blind := l.blind
	l.mu.Unlock()
	if l.leaving[p.topic] && !alive {
		return nil // objects go before the extents that name them
	}
	if !alive && !blind && (y.bad || y.item != nil || len(y.extents) > 0) {
		if err := l.gonePartition(ctx, p, len(y.extents)); err != nil {
			return err
		}
	}
	if y.bad {
		return nil
	}
	if alive { // to mend one whose topic is gone is to unlink it
		for _, f := range y.faults() {
			l.repair(f.class, p.String(), "%s", f.what)
		}
	}
	for _, e := range y.extents {
		if err := l.checkExtent(ctx, p, e, objects); err != nil {
			return err
		}
	}
	for _, o := range objects {
		if !o.named {
			if err := l.unnamed(ctx, l.cfg.Keys.Segment(p.topic, p.index, o.base, o.id), alive && (o.merged || o.base >= r.tiered)); err != nil {
				return err
			}
		}
	}
	return nil
}

// lostTopic is what to do when extents have no topic.
const lostTopic = "if nobody deleted the topic, its item is lost: stop the agents and restore the table to a moment before, or rebuild it: varve meta rebuild. " +
	"Only if somebody did: varve meta repair extent-bounds, with this place"

// gonePartition judges a partition whose topic the table does not have. Who deletes a topic queues what it has in segments first, and every leader
// says in the table that it has dropped it: without a word of that the item is lost, and nothing is called needless for its sake.
func (l *look) gonePartition(ctx context.Context, p part, extents int) error {
	deleted := false
	err := l.query(ctx, l.cfg.Cluster.DroppedPK(p.topic), "", func(metastore.Row) error {
		deleted = true
		return nil
	})
	if err != nil {
		return err
	}
	if deleted {
		l.repair(ExtentBounds, p.String(), "%d extents of a topic that is gone", extents)
		return nil
	}
	l.mu.Lock()
	l.blind = true
	l.mu.Unlock()
	l.hint(ExtentBounds, p.String(), lostTopic, "%d extents of a topic that the table does not have, and nothing says that it was deleted", extents)
	return nil
}

// checkExtent looks for the object of an extent.
func (l *look) checkExtent(ctx context.Context, p part, e records.Extent, objects []segment) error {
	key := l.cfg.Keys.Segment(p.topic, p.index, e.Base, e.Segment)
	i, found := slices.BinarySearchFunc(objects, e, func(o segment, e records.Extent) int {
		return cmp.Or(cmp.Compare(o.base, e.Base), compareIDs(o.id, e.Segment))
	})
	size := int64(0)
	if found {
		objects[i].named, size = true, objects[i].size
	} else {
		o, err := l.get(ctx, key, objstore.Suffix(1))
		if errors.Is(err, objstore.ErrNotFound) {
			l.repair(MissingSegment, key, "offsets %d to %d of %s lie in it", e.Base, e.Next, l.partName(p))
			return nil
		}
		if err != nil {
			return err
		}
		size = o.Size
	}
	if want := int64(e.Size) + int64(e.FooterLen); size != want {
		l.repair(Damaged, key, "it has %d bytes, its extent says %d", size, want)
		return nil
	}
	if !l.deep {
		return nil
	}
	return l.deeply(ctx, key, func(h bundle.Header, f *bundle.Footer, pos int64) error { return isSegmentOf(p, e, f, pos) })
}

// isSegmentOf compares a segment's footer with its extent.
func isSegmentOf(p part, e records.Extent, f *bundle.Footer, pos int64) error {
	if len(f.Runs) == 0 || uint64(pos) != e.Size {
		return fmt.Errorf("%w: %d runs in %d bytes, the extent says %d", bundle.ErrCorrupt, len(f.Runs), pos, e.Size)
	}
	first, last := &f.Runs[0], &f.Runs[len(f.Runs)-1]
	if f.Topics[first.Topic].ID != p.topic || first.Partition != p.index || first.Base != e.Base || last.Next != e.Next {
		return fmt.Errorf("%w: it holds offsets %d to %d of %s/%d, its extent says %d to %d of %s",
			bundle.ErrCorrupt, first.Base, last.Next, f.Topics[first.Topic].ID, first.Partition, e.Base, e.Next, p)
	}
	return nil
}

func (l *look) partName(p part) string {
	if t, ok := l.topics[p.topic]; ok {
		return fmt.Sprintf("%s-%d", t.Name, p.index)
	}
	return p.String()
}

// fault is something wrong with a layout.
type fault struct {
	class Class
	what  string
}

// faults checks that extents reach from log_start to tiered without gap and overlap, and are counted right. Those below
// log_start wait for their unlink.
func (y *layout) faults() (all []fault) {
	bad := func(c Class, format string, args ...any) { all = append(all, fault{c, fmt.Sprintf(format, args...)}) }
	if y.item == nil {
		if len(y.extents) > 0 {
			bad(ExtentBounds, "%d extents, and no item says so", len(y.extents))
		}
		return all
	}
	at, bytes := y.item.LogStart, int64(0)
	for i, e := range y.extents {
		bytes += e.Bytes
		if e.Next <= y.item.LogStart {
			continue
		}
		switch {
		case i > 0 && e.Base < y.extents[i-1].Next:
			bad(ExtentOverlap, "extent %d begins before %d, where the one before ends", e.Base, y.extents[i-1].Next)
		case e.Base > at:
			bad(ExtentGap, "offsets %d to %d lie in no extent", at, e.Base)
		}
		at = max(at, e.Next)
	}
	if at != y.item.Tiered {
		bad(ExtentBounds, "extents end at %d, the item says %d", at, y.item.Tiered)
	}
	if n := int64(len(y.extents)); n != y.item.Extents || bytes != y.item.Bytes {
		bad(ExtentBounds, "%d extents of %d bytes, the item says %d of %d", n, bytes, y.item.Extents, y.item.Bytes)
	}
	return all
}
