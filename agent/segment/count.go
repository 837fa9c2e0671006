package segment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

func compareIDs(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }

// readPack reads a pack's item; false if there is none.
func (r *Room) readPack(ctx context.Context, id uuid.UUID) (records.Pack, bool, error) {
	var it metastore.Item
	err := patiently(ctx, func(ctx context.Context) (err error) {
		it, err = r.d.Facts.Get(ctx, r.d.Cluster.PackKey(id), metastore.Consistent)
		return err
	})
	if errors.Is(err, metastore.ErrNotFound) {
		return records.Pack{}, false, nil
	}
	if err != nil {
		return records.Pack{}, false, fmt.Errorf("read pack item: %w", err)
	}
	p, err := records.DecodePack(it)
	return p, err == nil, err
}

// countDown adds to ops what takes runs off packs, and queues the packs that have none left.
func (r *Room) countDown(ctx context.Context, ops []metastore.Op, packs map[uuid.UUID]int64, now time.Time) ([]metastore.Op, error) {
	var keys []string
	var size int64
	for _, id := range slices.SortedFunc(maps.Keys(packs), compareIDs) {
		p, ok, err := r.readPack(ctx, id)
		if err != nil {
			return nil, err
		}
		n, key := packs[id], r.d.Cluster.PackKey(id)
		switch {
		case !ok || p.Live < n:
			r.d.Log.Error("a pack is counted down too far; its object stays", "pack", id, "live", p.Live, "runs", n)
		case p.Live == n:
			ops = append(ops, metastore.Op{Kind: metastore.OpDelete, Key: key, If: []metastore.Cond{{Attr: records.AttrLive, Cmp: metastore.Eq, Value: metastore.N(n)}}})
			keys, size = append(keys, r.d.Keys.Pack(id)), size+p.Bytes
		default:
			ops = append(ops, metastore.Op{
				Kind: metastore.OpUpdate, Key: key, Add: map[string]int64{records.AttrLive: -n},
				If: []metastore.Cond{{Attr: records.AttrLive, Cmp: metastore.Gt, Value: metastore.N(n)}},
			})
		}
	}
	if len(keys) > 0 {
		ops = append(ops, r.garbage(keys, size, now))
	}
	return ops, nil
}

// settle takes runs off packs that no link takes off: those that the log start has passed, and those that moved to another pack.
func (r *Room) settle(ctx context.Context, now time.Time) error {
	r.ledger.leave(r.d.Partitions.Leads, func(topic uuid.UUID) bool {
		_, _, ok := r.d.Topics.Rolls(topic)
		return ok
	})
	errs := []error{r.passAll(ctx, now)}
	due := r.ledger.due(r.d.Snapshots.Snapped(), r.d.Partitions.Leads)
	for _, id := range slices.SortedFunc(maps.Keys(due), compareIDs) {
		if err := r.debit(ctx, id, due[id], now); err != nil {
			r.ledger.takeOff(id, due[id])
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// passAll moves tiered over what the log start has passed, where that lay in packs. Partitions without packs need no write.
func (r *Room) passAll(ctx context.Context, now time.Time) error {
	var steps []step
	for name, e := range r.ledger.parts {
		if len(e.forgotten) == 0 {
			continue
		}
		s, err := r.passing(ctx, name, e)
		if err != nil {
			return err
		}
		if s.next > 0 {
			steps = append(steps, s)
		}
	}
	slices.SortFunc(steps, func(a, b step) int { return compareNames(0, a.Name, 0, b.Name) })
	return r.linkAll(ctx, steps, now)
}

// passing returns the step over what the log start has passed; an empty one if the table is that far.
func (r *Room) passing(ctx context.Context, name Name, e *entry) (step, error) {
	if err := r.know(ctx, name, e); err != nil || len(e.forgotten) == 0 {
		return step{}, err
	}
	s := step{
		Name: name, topic: e.name, from: e.tiered, absent: !e.exists,
		next: e.forgotten[len(e.forgotten)-1].next, packs: map[uuid.UUID]int64{},
	}
	for _, run := range e.forgotten {
		s.packs[run.pack]++
	}
	return s, nil
}

// know reads how far the table says that a partition's extents reach, once.
func (r *Room) know(ctx context.Context, name Name, e *entry) error {
	if e.known {
		return nil
	}
	var p records.Partition
	var ok bool
	err := patiently(ctx, func(ctx context.Context) (err error) {
		p, ok, err = r.readPartition(ctx, name)
		return err
	})
	switch {
	case err != nil:
		return err
	case ok:
		e.reached(p.Tiered)
	default:
		e.known = true
	}
	return nil
}

// debit takes runs off one pack. The nonce tells whether a try of unknown outcome was applied; if nothing tells, the debit is given
// up: a pack that stays for ever is better than one that goes too early. An error: it was not applied, and may be done again.
func (r *Room) debit(ctx context.Context, id uuid.UUID, runs int64, now time.Time) error {
	nonce, sure := uuid.New(), true
	var err error
	for range tries {
		var p records.Pack
		var ok bool
		if p, ok, err = r.readPack(ctx, id); err == nil {
			if !ok || p.Nonce == nonce {
				return nil
			}
			n := runs
			if n == wholePack {
				n = p.Live
			}
			if n > p.Live {
				r.d.Log.Error("a pack is counted down too far; its object stays", "pack", id, "live", p.Live, "runs", n)
				return nil
			}
			if err = r.d.Facts.Transact(ctx, r.debitOps(&p, n, nonce, now)); err == nil {
				return nil
			}
			sure = sure && !errors.Is(err, metastore.ErrUnknown)
		}
		if !errors.Is(err, metastore.ErrCondition) && !again(err) || !sleep(ctx, 50*time.Millisecond) {
			break
		}
	}
	if !sure {
		r.d.Log.Warn("a pack was perhaps not counted down; its object may stay for ever", "pack", id, "runs", runs, "err", err)
		return nil
	}
	return fmt.Errorf("count down pack %s: %w", id, err)
}

func (r *Room) debitOps(p *records.Pack, n int64, nonce uuid.UUID, now time.Time) []metastore.Op {
	op := metastore.Op{Kind: metastore.OpUpdate, Key: r.d.Cluster.PackKey(p.ID), If: []metastore.Cond{
		{Attr: records.AttrLive, Cmp: metastore.Eq, Value: metastore.N(p.Live)},
		{Attr: records.AttrNonce, Cmp: metastore.Eq, Value: records.IDValue(p.Nonce)},
	}}
	if n == p.Live {
		op.Kind = metastore.OpDelete
		return []metastore.Op{op, r.garbage([]string{r.d.Keys.Pack(p.ID)}, p.Bytes, now)}
	}
	op.Set = metastore.Item{records.AttrLive: metastore.N(p.Live - n), records.AttrNonce: records.IDValue(nonce)}
	return []metastore.Op{op}
}
