package simtest

import (
	"cmp"
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// committed is the log of a partition as the sessions' items and bundles say it is.
type committed struct {
	start, end int64
	batches    []stored
}

// stored is a batch, as far as it tells one from another.
type stored struct {
	base, next int64
	epoch      int32
	crc        uint32
}

// tier is what the table says of a partition.
type tier struct {
	item    records.Partition // V is 0: there is none
	extents []records.Extent
}

// absorb reads a bundle that was committed.
func (b *books) absorb(session uuid.UUID, seq int64) {
	o, err := b.objects.Get(context.Background(), b.keys.WAL(session, uint64(seq)), objstore.Range{})
	if err != nil {
		b.bad("I1: bundle %d of %s is committed: %v", seq, session, err)
		return
	}
	r, err := bundle.Verify(o.Body)
	if err != nil {
		b.bad("I1: bundle %d of %s is committed: %v", seq, session, err)
		return
	}
	f := r.Footer
	for _, op := range f.Ops { // first: what they say was true before the records beside them were committed
		if op.Kind == bundle.OpLogStart {
			t := b.log(logID{f.Topics[op.Topic].ID, op.Partition})
			if op.Offset > t.end {
				b.bad("I7: the log of %s-%d shall start at %d, it ends at %d", f.Topics[op.Topic].Name, op.Partition, op.Offset, t.end)
			}
			t.start = max(t.start, op.Offset)
		}
	}
	for i := range f.Runs {
		run := &f.Runs[i]
		topic := f.Topics[run.Topic]
		t := b.log(logID{topic.ID, run.Partition})
		if run.Base != t.end && b.active(topic.ID) {
			b.bad("V1: %s-%d: bundle %d of %s goes on at %d, the log ends at %d", topic.Name, run.Partition, seq, session, run.Base, t.end)
		}
		t.batches = b.batchesOf(t.batches, o.Body[run.Pos:run.Pos+uint64(run.Len)])
		t.end = run.Next
	}
}

func (b *books) log(id logID) *committed {
	if b.logs[id] == nil {
		b.logs[id] = &committed{}
	}
	return b.logs[id]
}

// batchesOf appends the batches in body to dst, each with its CRC checked (I10).
func (b *books) batchesOf(dst []stored, body []byte) []stored {
	for len(body) > 0 {
		batch, rest, err := recordbatch.Next(body)
		if err == nil {
			err = batch.Check()
		}
		if err != nil {
			b.bad("I10: %v", err)
			return dst
		}
		dst = append(dst, stored{batch.BaseOffset(), batch.NextOffset(), batch.LeaderEpoch(), batch.CRC()})
		body = rest
	}
	return dst
}

// readTier reads what the table says of a partition.
func (b *books) readTier(id logID) *tier {
	t := &tier{}
	decoded(b, b.cluster.PartitionKey(id.topic, id.partition), records.DecodePartition, func(p records.Partition) { t.item = p })
	page, err := b.Query(context.Background(), metastore.Query{PK: b.cluster.PartitionPK(id.topic, id.partition), Prefix: records.ExtentPrefix, Consistency: metastore.Consistent})
	if err != nil || page.Next != "" {
		b.bad("extents of %v: %v", id, err)
	}
	for _, row := range page.Rows {
		e, err := records.DecodeExtent(row.Item)
		if err != nil {
			b.bad("extent of %v: %v", id, err)
		}
		t.extents = append(t.extents, e)
	}
	return t
}

// moved is I8: extents change only together with the partition's item, which never goes back; they are contiguous from the log start to
// tiered, hold what was committed and nothing else, and go when the log start has passed them.
func (b *books) moved(id logID, was, now *tier) {
	if was == nil {
		was = &tier{}
	}
	added, gone := different(now.extents, was.extents), different(was.extents, now.extents)
	b.count.linked, b.count.unlinked = b.count.linked+len(added), b.count.unlinked+len(gone)
	if !b.active(id.topic) {
		if len(added) > 0 {
			b.bad("R29: %+v is linked, and its topic is gone", added)
		}
		return
	}
	if len(added)+len(gone) > 0 && now.item.V == was.item.V {
		b.bad("I8: %v: extents change without the partition's item: %+v, then %+v", id, was, now)
	}
	if now.item.Tiered < was.item.Tiered || now.item.LogStart < was.item.LogStart {
		b.bad("I8: %v goes back: %+v after %+v", id, now.item, was.item)
	}
	log := b.log(id)
	added, gone = b.merged(id, log, was, now, added, gone)
	for i := range added {
		e := &added[i]
		if was.item.V > 0 && e.Base != was.item.Tiered || e.Next != now.item.Tiered {
			b.bad("I8: %v: extent %+v is linked at %d", id, *e, was.item.Tiered)
		}
		b.holds(id, log, e)
	}
	for i := range gone {
		if e := &gone[i]; e.Next > log.start {
			b.bad("I8: %v: extent %+v is unlinked, the log starts at %d", id, *e, log.start)
		} else if key := b.keys.Segment(id.topic, id.partition, e.Base, e.Segment); !b.isQueued(key) {
			b.bad("I9: %s is unlinked and not queued", key)
		}
	}
	b.contiguous(id, log, now)
}

func (b *books) isQueued(key string) bool {
	for _, g := range b.queue {
		if slices.Contains(g.Keys, key) {
			return true
		}
	}
	return false
}

func different(all, from []records.Extent) (rest []records.Extent) {
	for _, e := range all {
		if !slices.Contains(from, e) {
			rest = append(rest, e)
		}
	}
	return rest
}

// contiguous checks extents from the log start on, and the sums of the item.
func (b *books) contiguous(id logID, log *committed, t *tier) {
	var bytes int64
	at := int64(-1)
	for i := range t.extents {
		e := &t.extents[i]
		bytes += e.Bytes
		if e.Next <= log.start {
			continue
		}
		if at >= 0 && e.Base != at || at < 0 && e.Base > log.start {
			b.bad("I8: %v: extent %+v, wanted one at %d (log start %d)", id, *e, at, log.start)
		}
		at = e.Next
	}
	if at != t.item.Tiered && t.item.Tiered > log.start || t.item.Tiered > log.end || t.item.LogStart > log.start {
		b.bad("I8: %v: extents end at %d, item %+v, log [%d,%d)", id, at, t.item, log.start, log.end)
	}
	if bytes != t.item.Bytes || int64(len(t.extents)) != t.item.Extents {
		b.bad("I8: %v: %d extents of %d bytes, item %+v", id, len(t.extents), bytes, t.item)
	}
}

// holds checks that a segment that was linked holds the batches that were committed, every one, as they were.
func (b *books) holds(id logID, log *committed, e *records.Extent) {
	key := b.keys.Segment(id.topic, id.partition, e.Base, e.Segment)
	if b.isQueued(key) {
		b.bad("I9: %s is linked and queued", key)
	}
	o, err := b.objects.Get(context.Background(), key, objstore.Range{})
	if err != nil {
		b.bad("I9: %s is linked: %v", key, err)
		return
	}
	if _, err := bundle.Verify(o.Body); err != nil || uint64(len(o.Body)) != e.Size+uint64(e.FooterLen) {
		b.bad("I10: %s, %d bytes, extent %+v: %v", key, len(o.Body), *e, err)
		return
	}
	got := b.batchesOf(nil, o.Body[bundle.HeaderLen:e.Size])
	i, found := slices.BinarySearchFunc(log.batches, e.Base, func(x stored, base int64) int { return cmp.Compare(x.base, base) })
	if !found || e.Next > log.end || i+len(got) > len(log.batches) || !slices.Equal(got, log.batches[i:i+len(got)]) || len(got) == 0 || got[len(got)-1].next != e.Next {
		b.bad("I10: %s of [%d,%d) holds %d batches that are not those which were committed; the log is [%d,%d)", key, e.Base, e.Next, len(got), log.start, log.end)
	}
}
