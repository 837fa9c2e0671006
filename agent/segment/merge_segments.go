package segment

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// joins is what the room remembers of a partition's small segments, as long as it is led under one epoch.
type joins struct {
	small  int     // segments that are not full, cut since the last look
	need   int     // with so many it is time for the next one
	looked bool    // there was one
	from   int64   // where the next one begins: nothing below will be merged with what comes
	doubt  *joined // a merge whose outcome nobody knows
	stays  bool    // nothing is merged any more: a segment is damaged or gone, or the topic is, or somebody else leads
}

// joined is several extents of a partition, and the one that takes their place.
type joined struct {
	Name
	topic string
	slot  uint16
	epoch int32
	old   []records.Extent
	x     records.Extent
	v     int64     // of the partition's item when it was read last
	nonce uuid.UUID // of the transaction
}

// cutSmall notes a segment that was linked.
func (j *joins) cutSmall(bytes, enough int64) {
	if !(joiner{enough: enough}).full(bytes) {
		j.small++
	}
}

// due reports whether it is worth a look: so partitions that nobody writes to cost nothing.
func (j *joins) due() bool { return j.doubt != nil || !j.stays && j.small > 0 && j.small >= j.need }

// joinAll merges small neighbouring segments of partitions that have got some: a few at a time, after all that is more urgent. A round begins behind
// the partition that the one before looked at last, so that each has its turn.
func (r *Room) joinAll(ctx context.Context, tails []Tail, now time.Time) error {
	var errs []error
	looks, merges, bytes := 0, 0, int64(0)
	first, _ := slices.BinarySearchFunc(tails, r.joinAt, func(t Tail, at turn) int { return compareNames(t.Slot, t.Name, at.slot, at.name) })
	for k := range tails {
		t := &tails[(first+k)%len(tails)]
		e := r.ledger.of(t)
		for looked := false; e != nil && !e.stays && e.joins.due() && r.d.Partitions.Leads(t.Slot, t.Epoch); looked = true {
			if looks++; ctx.Err() != nil || looks > looksAtAll || merges >= joinsAtAll || bytes >= joinRound {
				if looked {
					k++
				}
				next := &tails[(first+k)%len(tails)]
				r.joinAt = turn{next.Slot, next.Name}
				return errors.Join(append(errs, ctx.Err())...)
			}
			n, err := r.joinSome(ctx, t, e, now)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s-%d: %w", t.TopicName, t.Index, err))
				break
			}
			if n > 0 {
				merges, bytes = merges+1, bytes+n
			}
		}
	}
	return errors.Join(errs...)
}

// turn is where among the tails, as they are sorted, a round begins.
type turn struct {
	slot uint16
	name Name
}

// joinSome looks at a page of a partition's extents, and merges the first of them that should be. It returns how many bytes it merged.
func (r *Room) joinSome(ctx context.Context, t *Tail, e *entry, now time.Time) (int64, error) {
	if d := e.joins.doubt; d != nil { // it may be linked yet, and until that is known nobody plans
		return 0, r.commitJoin(ctx, d, e, now)
	}
	p, ok, err := r.readPartition(ctx, t.Name)
	if err != nil || !ok {
		return 0, err
	}
	if !e.joins.looked {
		e.joins.looked, e.joins.from = true, firstLook(&p)
	}
	extents, more, err := r.readExtents(ctx, t.Name, max(e.joins.from, p.LogStart, t.LogStart), joinPage)
	if err != nil {
		return 0, err
	}
	rule := joiner{enough: min(r.rules.enough(r.limits(t)), r.rules.out), keep: r.keeps(t.Topic), now: now.UnixMilli()}
	from, to, settled := rule.pick(extents)
	if to > 0 {
		return r.join(ctx, t, e, &p, extents[from:to], now)
	}
	if len(extents) > 0 {
		e.joins.from = extents[len(extents)-1].Next
		if settled < len(extents) {
			e.joins.from = extents[settled].Base
		}
	}
	if !more || len(extents) == 0 {
		e.joins.small, e.joins.need = 0, rule.wait(extents)
	}
	return 0, nil
}

// keeps is what a topic keeps; everything, if nobody says.
func (r *Room) keeps(topic uuid.UUID) Limits {
	if r.d.Keeps != nil {
		if l, ok := r.d.Keeps.Limits(topic); ok {
			return Limits{clampMillis(l.Time), l.Bytes}
		}
	}
	return Limits{Time: -1, Bytes: -1}
}

// readExtents reads n neighbouring extents from the first one with a base of at least from on, and says whether there are more behind them.
func (r *Room) readExtents(ctx context.Context, at Name, from int64, n int) (extents []records.Extent, more bool, err error) {
	q := metastore.Query{PK: r.d.Cluster.PartitionPK(at.Topic, at.Index), Prefix: records.ExtentPrefix, Consistency: metastore.Consistent}
	if from > 0 {
		q.After = records.ExtentSK(from - 1)
	}
	for {
		var page metastore.Page
		q.Limit = n - len(extents)
		err := patiently(ctx, func(ctx context.Context) (err error) {
			page, err = r.d.Facts.Query(ctx, q)
			return err
		})
		if err != nil {
			return nil, false, fmt.Errorf("read extents: %w", err)
		}
		for _, row := range page.Rows {
			e, err := records.DecodeExtent(row.Item)
			if err != nil {
				return nil, false, fmt.Errorf("read extent %s: %w", row.SK, err)
			}
			extents = append(extents, e)
		}
		if q.After = page.Next; q.After == "" || len(extents) >= n {
			return extents, q.After != "", nil
		}
	}
}

// join writes one segment of some, and links it in their place.
func (r *Room) join(ctx context.Context, t *Tail, e *entry, p *records.Partition, some []records.Extent, now time.Time) (int64, error) {
	last := &some[len(some)-1]
	if some[0].Base < p.LogStart || last.Next > p.Tiered {
		return 0, nil // unlinked meanwhile; the next look begins above
	}
	d, err := r.writeJoin(ctx, t, some)
	if err != nil {
		return 0, r.cureJoin(ctx, t, e, some, err)
	}
	x := d.extent()
	x.Top = last.Top
	j := &joined{
		Name: t.Name, topic: t.TopicName, slot: t.Slot, epoch: t.Epoch, old: slices.Clone(some), x: x, v: p.V, nonce: uuid.New(),
	}
	return x.Bytes, r.commitJoin(ctx, j, e, now)
}

// writeJoin reads segments, checks their batches and writes them as one.
func (r *Room) writeJoin(ctx context.Context, t *Tail, some []records.Extent) (*draft, error) {
	p := part{tail: *t, from: some[0].Base, runs: make([]bundle.Location, len(some))}
	keys := map[source]string{}
	for i := range some {
		x := &some[i]
		if x.Size != uint64(bundle.HeaderLen)+uint64(x.Bytes) || x.Bytes > math.MaxUint32 {
			return nil, &damage{0, fmt.Errorf("%w: extent at %d of %d bytes says that its object's body ends at %d", errDamaged, x.Base, x.Bytes, x.Size)}
		}
		p.runs[i] = bundle.Location{Object: object(x), Pos: bundle.HeaderLen, Len: uint32(x.Bytes), Base: x.Base, Next: x.Next, MaxTimestamp: x.MaxTimestamp}
		keys[sourceOf(p.runs[i].Object)] = r.d.Keys.Segment(t.Topic, t.Index, x.Base, x.Segment)
	}
	parts := []part{p}
	buf := r.d.Pool.Get(int(draftSize(parts)))
	defer buf.Release()
	id := objstore.MergedID(uuid.New())
	d, wants := newDraft(bundle.SEG, id, bundle.Header{Kind: bundle.SEG, Cluster: r.d.ClusterID, Session: r.d.Session}, parts, buf.Bytes())
	all := spans(wants, r.rules.get)
	err := atOnce(ctx, getsAtOnce, len(all), func(ctx context.Context, i int) error {
		return r.get(ctx, keys[sourceOf(all[i].object)], &all[i])
	})
	if err != nil {
		return nil, err
	}
	if err := d.finish(); err != nil {
		return nil, err
	}
	if err := r.put(ctx, r.d.Keys.Segment(t.Topic, t.Index, p.from, id), d.body); err != nil {
		return nil, err // what was written has no name, and stays until the session has ended
	}
	r.metrics.wrote(bundle.SEG, len(d.body))
	d.drop()
	return d, nil
}

// cureJoin looks whether an error is about what is stored, not about the stores: then the partition's segments are left as they are.
func (r *Room) cureJoin(ctx context.Context, t *Tail, e *entry, some []records.Extent, err error) error {
	var bad *damage
	var gone *lost
	switch {
	case errors.As(err, &gone):
		now, _, rerr := r.readExtents(ctx, t.Name, some[0].Base, len(some))
		if rerr != nil {
			return errors.Join(err, rerr)
		}
		if !slices.Equal(now, some) {
			return nil // they were unlinked, or merged by a leader after this one: look again
		}
	case !errors.As(err, &bad):
		return err
	}
	e.joins.stays = true
	r.metrics.damaged.Inc()
	r.d.Log.Error("STORED RECORDS ARE DAMAGED OR GONE: small segments of a partition can't be merged and stay as they are",
		"topic", t.TopicName, "partition", t.Index, "from", some[0].Base, "to", some[len(some)-1].Next, "err", err)
	return nil
}
