package meta

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

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
	bad    []metastore.Key    // items that do not decode
	there  []records.Extent   // segments of the log that are there, and what their extents are, or would be
	named  map[uuid.UUID]bool // of there, those that the table has
	torn   []records.Extent   // that the table has, and whose segments are not what they should be: some batches may be
	extent []records.Extent   // as they should be
	ops    []metastore.Op
	lost   int64    // offsets that are filled with nothing
	keys   []string // objects that are not needed any more
}

// repairPartition puts the extents of a partition in order: of the segments that are there, those are linked that hold most of the log together, which
// leaves out what overlaps. What lies in the others alone, or is sound in a broken one, is copied; and what is nowhere is filled with what
// holds nothing: readers skip its offsets.
func (l *look) repairPartition(ctx context.Context, p part, broken string) (string, error) {
	m := &mending{look: l, p: p, named: map[uuid.UUID]bool{}}
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
	if err := m.find(ctx); err != nil {
		return "", err
	}
	start, end := m.bounds()
	below, err := m.take(ctx, start, broken)
	if err != nil {
		return "", err
	}
	at, some, _ := m.cheapest(start, end, end)
	for _, e := range below {
		if e.Next > at {
			m.remove(e)
		} else {
			m.extent = append(m.extent, e)
		}
	}
	if err := m.fill(ctx, at, end, some); err != nil {
		return "", err
	}
	for _, e := range m.was.extents {
		if m.named[e.Segment] && !slices.Contains(some, e) {
			m.remove(e) // others hold these offsets
		}
	}
	return m.write(ctx, start, end)
}

// take looks at what the extents name: they may stay if their segments are sound. It returns those that lie below start, and wait for their unlink.
func (m *mending) take(ctx context.Context, start int64, broken string) (below []records.Extent, err error) {
	for _, e := range m.was.extents {
		sound, err := m.sound(ctx, e, broken)
		switch {
		case err != nil:
			return nil, err
		case !sound:
			m.remove(e)
			m.torn = append(m.torn, e)
		case e.Next <= start:
			below = append(below, e)
		default:
			m.there = append(m.there, e)
			m.named[e.Segment] = true
		}
	}
	return below, nil
}

func (m *mending) key(e records.Extent) string {
	return m.cfg.Keys.Segment(m.p.topic, m.p.index, e.Base, e.Segment)
}

// bounds returns from where to where extents should reach: as the item says, but not less than they do, and as far as the tail.
func (m *mending) bounds() (start, end int64) {
	n := len(m.was.extents)
	if n > 0 {
		start = m.was.extents[0].Base
	}
	for _, e := range m.was.extents { // which may overlap
		end = max(end, e.Next)
	}
	if m.was.item != nil {
		start, end = m.was.item.LogStart, max(end, m.was.item.LogStart)
	}
	if n == 0 && m.was.item == nil && len(m.there) > 0 {
		start = m.there[0].Base
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
func (m *mending) sound(ctx context.Context, e records.Extent, broken string) (bool, error) {
	if m.key(e) == broken {
		return false, nil
	}
	o, err := m.get(ctx, m.key(e), objstore.Suffix(1))
	if errors.Is(err, objstore.ErrNotFound) {
		return false, nil
	}
	return err == nil && o.Size == int64(e.Size)+int64(e.FooterLen), err
}

// find looks for segments of the partition's log that no extent names, by base.
func (m *mending) find(ctx context.Context) error {
	named := map[uuid.UUID]bool{}
	for _, e := range m.was.extents {
		named[e.Segment] = true
	}
	return m.list(ctx, m.cfg.Keys.SegmentPrefix(m.p.topic, m.p.index), func(o objstore.Info) error {
		k, err := m.cfg.Keys.Parse(o.Key)
		if err != nil || named[k.ID] {
			return nil
		}
		e, f, err := m.extentOf(ctx, m.p, o.Key, k)
		if broken(err) || errors.Is(err, objstore.ErrNotFound) {
			return nil
		}
		if line := m.lines[m.p]; err == nil && !slices.ContainsFunc(f.Runs, func(r bundle.Run) bool { return line.refutes(&r) }) {
			m.there = append(m.there, e)
		}
		return err
	})
}

// fill adds extents for [from, to): some segments that are there, and in between what can be had of others, or else nothing.
func (m *mending) fill(ctx context.Context, from, to int64, some []records.Extent) error {
	for _, e := range some {
		if err := m.patch(ctx, from, e.Base); err != nil {
			return err
		}
		from = e.Next
		if m.named[e.Segment] {
			m.extent = append(m.extent, e)
			continue
		}
		e, err := m.own(ctx, e)
		if err != nil {
			return err
		}
		m.add(e)
	}
	return m.patch(ctx, from, to)
}

// own returns e, or the extent of a copy if somebody might delete its object: it waits for that, as what was merged does, and whoever deletes it
// would not see that it has a name again; or an agent that lives may find that what it wrote cannot be linked any more.
func (m *mending) own(ctx context.Context, e records.Extent) (records.Extent, error) {
	key := m.key(e)
	_, queued := m.queued[key]
	if !queued && !m.live {
		return e, nil
	}
	o, err := m.get(ctx, key, objstore.Range{})
	if err != nil {
		return e, err
	}
	if !queued {
		m.keys = append(m.keys, key)
	}
	e.Segment = uuid.New()
	return e, m.put(ctx, m.key(e), o.Body)
}

func (m *mending) add(e records.Extent) {
	m.extent = append(m.extent, e)
	m.ops = append(m.ops, metastore.Op{Kind: metastore.OpPut, Key: m.cfg.Cluster.ExtentKey(m.p.topic, m.p.index, e.Base), Set: e.Item()})
}

// remove takes an extent out, and queues its object, which may be a reader's.
func (m *mending) remove(e records.Extent) {
	m.ops = append(m.ops, metastore.Op{Kind: metastore.OpDelete, Key: m.cfg.Cluster.ExtentKey(m.p.topic, m.p.index, e.Base)})
	m.keys = append(m.keys, m.key(e))
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
		m.remove(e)
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

// extentOf reads a segment's footer and returns what its extent says. An error that is broken: it is not this partition's segment.
func (t *Tool) extentOf(ctx context.Context, p part, key string, k objstore.Parsed) (records.Extent, *bundle.Footer, error) {
	f, kind, pos, err := t.readFooter(ctx, key)
	if err != nil {
		return records.Extent{}, nil, err
	}
	if kind != bundle.SEG || len(f.Runs) == 0 {
		return records.Extent{}, nil, fmt.Errorf("%s: %w: a %v of %d runs", key, bundle.ErrCorrupt, kind, len(f.Runs))
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
	return e, f, isSegmentOf(p, e, f, pos)
}
