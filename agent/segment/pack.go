package segment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/bundle"
)

// packAll packs what lies in WAL bundles, in as many packs as it takes; if it is not time for that, only as many as get full. What is
// committed meanwhile is left to the next time.
func (r *Room) packAll(ctx context.Context, tails []Tail, all bool, now time.Time) error {
	var wait int64
	for i := range tails {
		wait += tails[i].WALBytes
	}
	for ctx.Err() == nil && wait > 0 && (all || wait >= r.rules.packBytes) {
		parts := r.packable(tails)
		if len(parts) == 0 {
			return nil
		}
		n, err := r.pack(ctx, parts, now)
		if err != nil {
			return err
		}
		wait -= n
		tails = r.tails(now)
	}
	return ctx.Err()
}

// packable returns the runs of the oldest bundles, as many as one pack holds.
func (r *Room) packable(tails []Tail) []part {
	count := newTally(r.d.Session)
	r.walRuns(tails, func(_ *Tail, runs []bundle.Location) {
		for i := range runs {
			count.add(&runs[i])
		}
	})
	if len(count.bundles) == 0 {
		return nil
	}
	chosen := count.choose(r.rules)
	var parts []part
	r.walRuns(tails, func(t *Tail, runs []bundle.Location) {
		n := 0
		for n < len(runs) && chosen[sourceOf(runs[n].Object)] {
			n++
		}
		if n > 0 {
			parts = append(parts, part{tail: *t, from: runs[0].Base, runs: slices.Clone(runs[:n])})
		}
	})
	return parts
}

// walRuns calls yield with the first runs of each tail that lie in WAL bundles of one session, in order; with nothing of those that
// are cut from the WAL. The runs are the callee's until it returns.
func (r *Room) walRuns(tails []Tail, yield func(t *Tail, runs []bundle.Location)) {
	var buf []bundle.Location
	for i := range tails {
		t := &tails[i]
		if t.WALRuns == 0 || r.ledger.of(t).stays || r.rules.heavy(t, r.limits(t)) || r.wishes.want(t) {
			continue
		}
		buf = t.Log.Runs(buf[:0], t.Base, t.packRuns()+min(t.WALRuns, runsPerPart))
		runs := buf
		for len(runs) > 0 && runs[0].Object.Kind != bundle.WAL {
			runs = runs[1:]
		}
		n := 0
		for n < len(runs) && runs[n].Object.Kind == bundle.WAL && runs[n].Object.Session == runs[0].Object.Session {
			n++
		}
		if n > 0 {
			yield(t, runs[:n])
		}
	}
}

// limits returns what a tail's topic asks for.
func (r *Room) limits(t *Tail) limits {
	bytes, after, _ := r.d.Topics.Rolls(t.Topic)
	return limits{bytes, after}
}

// pack writes one pack of parts, and puts it in the place of their runs. It returns how many bytes it packed.
func (r *Room) pack(ctx context.Context, parts []part, now time.Time) (int64, error) {
	id := uuid.New()
	named := false
	d, err := r.write(ctx, bundle.PACK, r.d.Keys.Pack(id), id, parts, func(d *draft) error {
		err := r.namePack(ctx, d, now)
		named = named || err == nil || errors.Is(err, metastore.ErrUnknown)
		return err
	})
	if err != nil {
		if named {
			// The object may be there, or come late. Nobody refers to it.
			r.ledger.takeOff(id, wholePack)
			r.written.add(id, r.d.Snapshots.Committed(), time.Now())
		}
		return 0, r.cure(ctx, parts, err)
	}
	var bytes int64
	for i := range parts {
		bytes += parts[i].bytes()
		r.place(id, &parts[i], d.placed[i])
	}
	r.written.add(id, r.d.Snapshots.Committed(), time.Now())
	r.d.Log.Debug("packed", "pack", id, "partitions", len(parts), "runs", d.rows(), "bytes", d.size)
	return bytes, nil
}

// namePack writes the pack's item, so that its object has a name before it is there.
func (r *Room) namePack(ctx context.Context, d *draft, now time.Time) error {
	p := records.Pack{ID: d.id, Session: r.d.Session, Live: d.rows(), Runs: d.rows(), Bytes: int64(len(d.body)), Created: now.UnixMilli()}
	op := metastore.Op{Kind: metastore.OpPut, Key: r.d.Cluster.PackKey(d.id), Set: p.Item(), If: []metastore.Cond{{Cmp: metastore.ItemAbsent}}}
	err := patiently(ctx, func(ctx context.Context) error {
		_, err := r.d.Facts.Write(ctx, op)
		if errors.Is(err, metastore.ErrCondition) {
			return nil // the UUID is new: it was this write
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("write pack item: %w", err)
	}
	return nil
}

// place puts the runs of a part that lie in a pack now into its tail. What the tail does not take is taken off the pack again.
func (r *Room) place(id uuid.UUID, p *part, placed []bundle.Location) {
	if err := p.tail.Log.Replace(placed); err != nil {
		r.d.Log.Debug("a partition moved on while it was packed", "topic", p.tail.TopicName, "partition", p.tail.Index, "err", err)
		r.ledger.takeOff(id, int64(len(placed)))
		return
	}
	r.ledger.replaced(&p.tail, p.runs, placed, r.d.Snapshots.Committed())
}

// mergeAll merges packs of partitions that lie in too many, neighbours together.
func (r *Room) mergeAll(ctx context.Context, tails []Tail, now time.Time) error {
	var due []*Tail
	for i := range tails {
		t := &tails[i]
		if t.packRuns() <= maxPacks || r.wishes.want(t) || len(r.ledger.of(t).doubt) > 0 || r.ledger.of(t).stays || t.packBytes() >= r.rules.enough(r.limits(t)) && r.cuttable(t) {
			continue
		}
		due = append(due, t)
	}
	// What a leader before us linked is taken off its packs already.
	err := atOnce(ctx, readsAtOnce, len(due), func(ctx context.Context, i int) error {
		e := r.ledger.of(due[i])
		return r.excuse(&due[i].Name, e, r.know(ctx, due[i].Name, e), now)
	})
	if err != nil {
		return err
	}
	due = slices.DeleteFunc(due, func(t *Tail) bool { return r.ledger.of(t).stays })
	var parts []part
	for _, t := range due {
		from := t.Base
		if e := r.ledger.of(t); e.tiered > from {
			from = e.tiered
			t.Log.Tiered(from)
		}
		runs := t.Log.Runs(nil, from, min(t.packRuns(), runsPerPart))
		if len(packsOf(runs)) <= maxPacks {
			continue // of several leader epochs
		}
		if from, to := pickMerge(runs, r.rules.out); to > 0 {
			parts = append(parts, part{tail: *t, from: runs[from].Base, runs: runs[from:to]})
		}
	}
	var errs []error
	for _, group := range share(parts, r.rules.out, r.rules.runs) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if _, err := r.pack(ctx, group, now); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// cuttable reports whether a segment can be cut from a tail without merging packs first.
func (r *Room) cuttable(t *Tail) bool {
	enough := r.rules.enough(r.limits(t))
	_, bytes, _ := pickSegment(t.Log.Runs(nil, t.Base, min(t.packRuns(), runsPerPart)), t.Stable, enough, r.rules.segmentMax)
	return bytes >= enough
}
