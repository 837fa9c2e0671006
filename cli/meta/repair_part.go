package meta

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// mending is a partition's items on their way from what they are to what they should be.
type mending struct {
	*look
	p      part
	was    layout
	bad    []metastore.Key  // items that do not decode
	spare  []records.Extent // segments that no extent names, by base: what they could be linked as
	extent []records.Extent // as they should be
	ops    []metastore.Op
	lost   int64    // offsets that are filled with nothing
	keys   []string // objects that are not needed any more
}

// repairPartition puts the extents of a partition in order: what they overlap is dropped, where a segment is missing or broken
// another one is linked that holds the same offsets, and if there is none, one that holds nothing: readers skip its offsets.
func (l *look) repairPartition(ctx context.Context, p part, broken string) (string, error) {
	m := &mending{look: l, p: p}
	var err error
	if m.was, err = l.readLayout(ctx, p, func(key metastore.Key, _ error) { m.bad = append(m.bad, key) }); err != nil {
		return "", err
	}
	if _, alive := l.topics[p.topic]; !alive {
		if l.blind {
			return "", fmt.Errorf("%w: the topic is unknown, and so is something else: mend that first", ErrBeyondRepair)
		}
		return m.unlinkAll(ctx)
	}
	if err := m.findSpare(ctx); err != nil {
		return "", err
	}
	start, end := m.bounds()
	at := start
	for _, e := range m.was.extents {
		key := l.cfg.Keys.Segment(p.topic, p.index, e.Base, e.Segment)
		sound, err := m.sound(ctx, e, key, broken)
		switch {
		case err != nil:
			return "", err
		case !sound, e.Next > start && e.Next <= at: // the one before holds these offsets
			if e.Next > start && e.Base < at && e.Next > at {
				return "", m.straddles(e, at)
			}
			m.remove(e, key)
			continue
		case e.Next > start && e.Base < at && e.Base > start:
			return "", m.straddles(e, at)
		}
		if err := m.fill(ctx, at, e.Base); err != nil {
			return "", err
		}
		m.extent = append(m.extent, e)
		at = max(at, e.Next)
	}
	if err := m.fill(ctx, at, end); err != nil {
		return "", err
	}
	return m.write(ctx, start, max(at, end))
}

func (m *mending) straddles(e records.Extent, at int64) error {
	return fmt.Errorf("%w: extent %d to %d begins within another one, which ends at %d: restore the table to a moment before, or rebuild it", ErrBeyondRepair, e.Base, e.Next, at)
}

// bounds returns from where to where extents should reach: as the item says, but not less than they do, and as far as the tail.
func (m *mending) bounds() (start, end int64) {
	n := len(m.was.extents)
	if n > 0 {
		start, end = m.was.extents[0].Base, m.was.extents[n-1].Next
	}
	if m.was.item != nil {
		start, end = m.was.item.LogStart, max(end, m.was.item.LogStart)
	}
	for _, e := range m.spare {
		if n == 0 && m.was.item == nil {
			start = e.Base
			break
		}
	}
	r := m.parts[m.p]
	if r != nil && r.base >= 0 {
		return start, max(end, r.base)
	}
	if m.was.item != nil {
		end = max(end, m.was.item.Tiered)
	}
	return start, end
}

// sound reports whether an extent's object is there, of the right size, and not the one that is known to be broken.
func (m *mending) sound(ctx context.Context, e records.Extent, key, broken string) (bool, error) {
	if key == broken {
		return false, nil
	}
	o, err := m.get(ctx, key, objstore.Suffix(1))
	if errors.Is(err, objstore.ErrNotFound) {
		return false, nil
	}
	return err == nil && o.Size == int64(e.Size)+int64(e.FooterLen), err
}

// findSpare looks for segments of the partition that no extent names.
func (m *mending) findSpare(ctx context.Context) error {
	named := map[uuid.UUID]bool{}
	for _, e := range m.was.extents {
		named[e.Segment] = true
	}
	return m.list(ctx, m.cfg.Keys.SegmentPrefix(m.p.topic, m.p.index), func(o objstore.Info) error {
		k, err := m.cfg.Keys.Parse(o.Key)
		if err != nil || named[k.ID] {
			return nil
		}
		e, err := m.extentOf(ctx, m.p, o.Key, k)
		if broken(err) || errors.Is(err, objstore.ErrNotFound) {
			return nil
		}
		if err == nil {
			m.spare = append(m.spare, e)
		}
		return err
	})
}

// fill adds extents for [from, to): segments that are there, and what holds nothing in between.
func (m *mending) fill(ctx context.Context, from, to int64) error {
	some, _ := cover(m.spare, from, to, to)
	for _, e := range some {
		if err := m.leave(ctx, from, e.Base); err != nil {
			return err
		}
		e, err := m.unqueued(ctx, e)
		if err != nil {
			return err
		}
		m.add(e)
		from = e.Next
	}
	return m.leave(ctx, from, to)
}

// unqueued returns e, or the extent of a copy if its object waits for deletion, as what was merged does: whoever deletes it may be at it, and
// would not see that it has a name again.
func (m *mending) unqueued(ctx context.Context, e records.Extent) (records.Extent, error) {
	key := m.cfg.Keys.Segment(m.p.topic, m.p.index, e.Base, e.Segment)
	if _, queued := m.queued[key]; !queued {
		return e, nil
	}
	o, err := m.get(ctx, key, objstore.Range{})
	if err != nil {
		return e, err
	}
	e.Segment = uuid.New()
	return e, m.put(ctx, m.cfg.Keys.Segment(m.p.topic, m.p.index, e.Base, e.Segment), o.Body)
}

// leave adds extents for [from, to) that hold nothing.
func (m *mending) leave(ctx context.Context, from, to int64) error {
	for from < to {
		next := min(to, from+math.MaxInt32)
		e, err := m.empty(ctx, from, next)
		if err != nil {
			return err
		}
		m.lost += next - from
		m.add(e)
		from = next
	}
	return nil
}

func (m *mending) add(e records.Extent) {
	m.extent = append(m.extent, e)
	m.ops = append(m.ops, metastore.Op{Kind: metastore.OpPut, Key: m.cfg.Cluster.ExtentKey(m.p.topic, m.p.index, e.Base), Set: e.Item()})
}

// remove takes an extent out, and queues its object, which may be a reader's.
func (m *mending) remove(e records.Extent, key string) {
	m.ops = append(m.ops, metastore.Op{Kind: metastore.OpDelete, Key: m.cfg.Cluster.ExtentKey(m.p.topic, m.p.index, e.Base)})
	m.keys = append(m.keys, key)
}

// empty writes a segment that holds the offsets [base, next) and no record.
func (m *mending) empty(ctx context.Context, base, next int64) (records.Extent, error) {
	t := m.topics[m.p.topic]
	if int(m.p.index) >= len(t.Slots) {
		return records.Extent{}, fmt.Errorf("%w: topic %s has no partition %d", ErrBeyondRepair, t.Name, m.p.index)
	}
	epoch := int32(0)
	if n := len(m.extent); n > 0 {
		before := m.extent[n-1]
		if f, _, _, err := m.readFooter(ctx, m.cfg.Keys.Segment(m.p.topic, m.p.index, before.Base, before.Segment)); err == nil {
			epoch = f.Runs[len(f.Runs)-1].LeaderEpoch
		}
	}
	id := uuid.New()
	h := bundle.Header{Cluster: m.config.Cluster, Session: m.slots[t.Slots[m.p.index]].Leader}
	object, e, err := emptySegment(h, m.p, t, epoch, base, next)
	if err != nil {
		return e, err
	}
	e.Segment = id
	key := m.cfg.Keys.Segment(m.p.topic, m.p.index, base, id)
	return e, m.put(ctx, key, object)
}

func (t *Tool) put(ctx context.Context, key string, object []byte) error {
	err := t.ask(ctx, func(ctx context.Context) error { return t.cfg.Objects.Put(ctx, key, object) })
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return nil
}

// opsAtOnce is how many extents one transaction changes, besides the partition's item and the queue.
const opsAtOnce = 90

// write makes the table say what it should, in as few transactions as hold it; each has the version of the one before as its
// condition.
func (m *mending) write(ctx context.Context, start, end int64) (string, error) {
	next := records.Partition{Topic: m.p.topic, Index: m.p.index, LogStart: start, Tiered: end, Extents: int64(len(m.extent))}
	for _, e := range m.extent {
		next.Bytes += e.Bytes
	}
	ops := m.last()
	cond := absent()
	if m.was.item != nil {
		next.V, cond = m.was.item.V, []metastore.Cond{eq(records.AttrV, metastore.N(m.was.item.V))}
	}
	for _, key := range m.bad {
		if key.SK == "M" {
			cond = []metastore.Cond{{Cmp: metastore.ItemExists}}
			next.V = 1 << 32 // above any that readers may have seen
		}
	}
	for len(ops) > 0 || next.Nonce == uuid.Nil {
		n := min(len(ops), opsAtOnce)
		next.V, next.Nonce = next.V+1, uuid.New()
		item := metastore.Op{Kind: metastore.OpPut, Key: m.cfg.Cluster.PartitionKey(m.p.topic, m.p.index), Set: next.Item(), If: cond}
		if err := m.transact(ctx, append([]metastore.Op{item}, ops[:n]...)...); err != nil {
			return "", fmt.Errorf("write: %w", err)
		}
		ops, cond = ops[n:], []metastore.Cond{eq(records.AttrV, metastore.N(next.V))}
	}
	return fmt.Sprintf("extents reach from %d to %d now, %d of them; %d offsets are filled with nothing", start, end, len(m.extent), m.lost), nil
}

// last returns the ops, the broken items' deletion and the queue's among them. A key is never in two ops: a put replaces.
func (m *mending) last() []metastore.Op {
	puts := map[metastore.Key]bool{}
	for _, op := range m.ops {
		if op.Kind == metastore.OpPut {
			puts[op.Key] = true
		}
	}
	var ops []metastore.Op
	for _, op := range m.ops {
		if op.Kind == metastore.OpPut || !puts[op.Key] {
			ops = append(ops, op)
		}
	}
	for _, key := range m.bad {
		if key.SK != "M" && !puts[key] {
			ops = append(ops, metastore.Op{Kind: metastore.OpDelete, Key: key})
		}
	}
	for keys := m.keys; len(keys) > 0; {
		n := min(len(keys), records.MaxGarbageKeys)
		ops = append(ops, m.queue(records.Garbage{ID: uuid.New(), Keys: keys[:n]}))
		keys = keys[n:]
	}
	return ops
}

// unlinkAll takes out the items of a partition whose topic is gone, and queues its segments.
func (m *mending) unlinkAll(ctx context.Context) (string, error) {
	for _, e := range m.was.extents {
		m.remove(e, m.cfg.Keys.Segment(m.p.topic, m.p.index, e.Base, e.Segment))
	}
	ops := m.last()
	for len(ops) > 0 {
		n := min(len(ops), opsAtOnce)
		if err := m.transact(ctx, ops[:n]...); err != nil {
			return "", fmt.Errorf("write: %w", err)
		}
		ops = ops[n:]
	}
	did := fmt.Sprintf("unlinked %d extents of a topic that is gone", len(m.was.extents))
	return m.commit(ctx, did, metastore.Op{Kind: metastore.OpDelete, Key: m.cfg.Cluster.PartitionKey(m.p.topic, m.p.index)})
}

// extentOf reads a segment and returns what its extent says. An error that is broken: it is not this partition's segment.
func (t *Tool) extentOf(ctx context.Context, p part, key string, k objstore.Parsed) (records.Extent, error) {
	f, kind, pos, err := t.readFooter(ctx, key)
	if err != nil {
		return records.Extent{}, err
	}
	if kind != bundle.SEG || len(f.Runs) == 0 {
		return records.Extent{}, fmt.Errorf("%s: %w: a %v of %d runs", key, bundle.ErrCorrupt, kind, len(f.Runs))
	}
	e := records.Extent{
		Base: k.Base, Next: f.Runs[len(f.Runs)-1].Next, Segment: k.ID, Size: uint64(pos),
		FooterLen: uint32(bundle.FooterSize(f)), Bytes: pos - bundle.HeaderLen, MinTimestamp: math.MaxInt64, MaxTimestamp: math.MinInt64,
	}
	for i := range f.Runs {
		e.MaxTimestamp = max(e.MaxTimestamp, f.Runs[i].MaxTimestamp)
		e.MinTimestamp = min(e.MinTimestamp, f.Sparse[f.Runs[i].FirstBatch].MaxTimestamp) // the footer has no better
		e.Records += f.Runs[i].Next - f.Runs[i].Base
	}
	return e, isSegmentOf(p, e, f, pos)
}
