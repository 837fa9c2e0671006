package segment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/bundle"
)

// maxGroup is how many segments are cut together at most.
const maxGroup = 64

// cutAll cuts and links segments of all partitions that have enough for one, or that have waited for too long.
func (r *Room) cutAll(ctx context.Context, tails []Tail, now time.Time) error {
	var errs []error
	for ctx.Err() == nil {
		parts, err := r.cuts(ctx, tails, now)
		if err != nil {
			return err
		}
		if len(parts) == 0 {
			break
		}
		for _, group := range share(parts, r.rules.out, min(r.rules.runs, maxGroup*maxPacks)) {
			if err := r.cut(ctx, group, now); err != nil {
				errs = append(errs, err)
			}
		}
		if len(errs) > 0 {
			break
		}
		tails = r.tails(now)
	}
	return errors.Join(append(errs, ctx.Err())...)
}

// cuts returns what partitions that are due put into their next segments: of all of them, unless those are more runs than one plan has.
func (r *Room) cuts(ctx context.Context, tails []Tail, now time.Time) ([]part, error) {
	var parts []part
	var buf []bundle.Location
	for i, runs := 0, 0; i < len(tails) && runs < r.rules.runs; i++ {
		t := &tails[i]
		e, l := r.ledger.of(t), r.limits(t)
		want := r.wishes.want(t)
		heavy, ripe := want || r.rules.heavy(t, l), want || r.rules.ripe(l, time.Duration(e.age(t, now.UnixMilli()))*time.Millisecond)
		if e.stays || t.packBytes() < r.rules.enough(l) && !heavy && (!ripe || t.packRuns() == 0) {
			continue
		}
		ok, err := r.begin(ctx, t, e, now)
		if err = r.excuse(&t.Name, e, err, now); err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		buf = t.Log.Runs(buf[:0], max(e.tiered, t.Base), runsPerPart)
		p := part{tail: *t, from: max(e.tiered, t.Base), runs: buf}
		if !heavy {
			p.dropWAL()
		}
		n, bytes, _ := pickSegment(p.runs, t.Stable, r.rules.enough(l), r.rules.segmentMax)
		if n == 0 || bytes < r.rules.enough(l) && !ripe || p.runs[0].Base > p.from {
			continue // not enough, or the tail has moved on since the look at it
		}
		p.runs = slices.Clone(p.runs[:n])
		parts, runs = append(parts, p), runs+n
	}
	return parts, nil
}

// excuse returns err, unless that is about what the table says of one partition: then this one rests, and the others go on.
func (r *Room) excuse(n *Name, e *entry, err error, now time.Time) error {
	if !errors.Is(err, records.ErrBadItem) {
		return err
	}
	e.rest(now)
	r.metrics.damaged.Inc()
	r.d.Log.Error("THE TABLE SAYS WHAT CAN'T BE of a partition: its records are not rewritten; it is tried again in an hour, see varve meta check",
		"topic", e.name, "id", n.Topic, "partition", n.Index, "err", err)
	return nil
}

// dropWAL leaves only the runs that lie in packs.
func (p *part) dropWAL() {
	for i := range p.runs {
		if p.runs[i].Object.Kind != bundle.PACK {
			p.runs = p.runs[:i]
			return
		}
	}
}

// begin makes sure that the table's tiered is where the tail begins, or inside its first run. False: not now.
func (r *Room) begin(ctx context.Context, t *Tail, e *entry, now time.Time) (bool, error) {
	if passed, err := r.passing(ctx, t.Name, e); err != nil {
		return false, err
	} else if passed.next > 0 { // or else the move below would forget to take that off its packs
		if err := r.linkAll(ctx, []step{passed}, now); err != nil {
			return false, err
		}
	}
	if e.exists && e.tiered < t.Base && t.LogStart < t.Base { // a reader or retention may have seen a link, and told the tail, before we did
		e.known = false
		if err := r.know(ctx, t.Name, e); err != nil {
			return false, err
		}
	}
	switch {
	case !e.exists || e.tiered == t.Base:
		return true, nil
	case e.tiered > t.Base: // another leader linked that
		t.Log.Tiered(e.tiered)
		return true, nil
	case t.LogStart < t.Base:
		e.rest(now)
		r.d.Log.Error("PART OF A LOG IS NOWHERE: the table's extents end below the tail of the leader; look at the partition's item and extents",
			"topic", t.TopicName, "partition", t.Index, "tiered", e.tiered, "tail", t.Base, "start", t.LogStart)
		return false, nil
	}
	err := r.linkAll(ctx, []step{{Name: t.Name, topic: t.TopicName, slot: t.Slot, epoch: t.Epoch, log: t.Log, from: e.tiered, next: t.Base}}, now)
	return err == nil && e.tiered >= t.Base, err
}

// cut writes the segments of parts, which are neighbours, and links them.
func (r *Room) cut(ctx context.Context, parts []part, now time.Time) error {
	drafts, wants, free := r.draftAll(parts)
	defer free()
	if err := r.fill(ctx, parts, wants); err != nil {
		return r.cure(ctx, parts, err)
	}
	steps := make([]step, 0, len(parts))
	var written []*draft
	for i, d := range drafts {
		if err := d.finish(); err != nil {
			if err := r.cure(ctx, parts[i:i+1], err); err != nil {
				return err
			}
			continue
		}
		written = append(written, d)
	}
	err := atOnce(ctx, putsAtOnce, len(written), func(ctx context.Context, i int) error {
		return r.put(ctx, r.segmentKey(written[i]), written[i].body)
	})
	if err != nil {
		return err // what was written has no name, and stays
	}
	for _, d := range written {
		p, x := &d.parts[0], d.extent()
		r.metrics.wrote(bundle.SEG, len(d.body))
		e := r.ledger.of(&p.tail)
		x.Top = after(e.top, &x, p.tail.LogStart)
		steps = append(steps, step{
			Name: p.tail.Name, topic: p.tail.TopicName, slot: p.tail.Slot, epoch: p.tail.Epoch, log: p.tail.Log,
			from: p.from, absent: !e.exists, next: p.next(), extent: &x, key: r.segmentKey(d), packs: packsOf(p.runs),
		})
	}
	if err := r.linkAll(ctx, steps, now); err != nil {
		return err
	}
	r.d.Log.Debug("cut", "segments", len(steps))
	return nil
}

// draftAll lays out a segment for each part. Call free when their bytes are not needed any more.
func (r *Room) draftAll(parts []part) (drafts []*draft, wants []want, free func()) {
	var bufs []*memory.Buf
	for i := range parts {
		buf := r.d.Pool.Get(int(draftSize(parts[i : i+1])))
		bufs = append(bufs, buf)
		d, w := newDraft(bundle.SEG, uuid.New(), bundle.Header{Kind: bundle.SEG, Cluster: r.d.ClusterID, Session: r.d.Session}, parts[i:i+1:i+1], buf.Bytes())
		drafts, wants = append(drafts, d), append(wants, w...)
	}
	return drafts, wants, func() {
		for _, buf := range bufs {
			buf.Release()
		}
	}
}

func (r *Room) segmentKey(d *draft) string {
	p := &d.parts[0]
	return r.d.Keys.Segment(p.tail.Topic, p.tail.Index, p.from, d.id)
}

// cure looks whether an error is about some partitions alone: then it sees to it that the others can go on without them, and returns nil.
func (r *Room) cure(ctx context.Context, parts []part, err error) error {
	var bad *damage
	var gone *lost
	switch {
	case errors.As(err, &bad):
		r.alarm(&parts[bad.part], err)
		return nil
	case errors.As(err, &gone):
		for i := range parts {
			if run := parts[i].in(gone.object); run != nil {
				if err := r.missing(ctx, &parts[i], run, gone.err); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return err
}

// in returns the first run of p that lies in an object.
func (p *part) in(s source) *bundle.Location {
	for i := range p.runs {
		if sourceOf(p.runs[i].Object) == s {
			return &p.runs[i]
		}
	}
	return nil
}

// missing finds out why an object that holds a run is gone: extents cover it, or the log start has passed it, or it is an alarm.
func (r *Room) missing(ctx context.Context, p *part, run *bundle.Location, why error) error {
	item, ok, err := r.readPartition(ctx, p.tail.Name)
	if err != nil {
		return fmt.Errorf("after %w: %w", why, err)
	}
	e := r.ledger.of(&p.tail)
	if ok && item.Tiered >= run.Next {
		e.reached(item.Tiered, item.Top)
		p.tail.Log.Tiered(item.Tiered)
		return nil
	}
	if now := p.tail.Log.Runs(nil, run.Base, 1); len(now) == 0 || now[0].Object != run.Object {
		return nil // it has moved meanwhile
	}
	r.alarm(p, why)
	return nil
}

// alarm leaves a partition's log where it is, for an hour: then it is looked at again.
func (r *Room) alarm(p *part, err error) {
	if e := r.ledger.of(&p.tail); e != nil {
		e.rest(r.worked)
	}
	r.metrics.damaged.Inc()
	r.d.Log.Error("STORED RECORDS ARE DAMAGED OR GONE: they can't be rewritten and stay where they are; it is tried again in an hour, see varve meta check --deep",
		"topic", p.tail.TopicName, "partition", p.tail.Index, "from", p.from, "to", p.next(), "err", err)
}
