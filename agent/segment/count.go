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
		it, err = metastore.Find(ctx, r.d.Facts, r.d.Cluster.PackKey(id))
		return err
	})
	if err != nil || it == nil {
		return records.Pack{}, false, err
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
		if err != nil && !errors.Is(err, records.ErrBadItem) {
			return nil, err
		}
		n, key := packs[id], r.d.Cluster.PackKey(id)
		switch {
		case err != nil:
			r.d.Log.Error("a pack's item is damaged; its object stays: see varve meta check", "pack", id, "runs", n, "err", err)
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
	gone := r.ledger.leave(r.d.Partitions.Leads, func(topic uuid.UUID) bool {
		_, _, ok := r.d.Topics.Rolls(topic)
		return ok
	})
	errs := []error{r.bury(ctx, gone, now), r.passAll(ctx, now)}
	due := r.ledger.due(r.d.Snapshots.Snapped(), r.d.Partitions.Leads)
	for _, id := range slices.SortedFunc(maps.Keys(due), compareIDs) {
		if err := r.debit(ctx, id, due[id], now); err != nil {
			r.ledger.takeOff(id, due[id])
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// bury takes the runs of deleted topics off their packs: those that no link took off, which the partition's item tells, because nothing
// is linked any more; and only if the slot is led here after the deletion was seen, for then no later leader knows of them. What can't
// be told stays counted.
func (r *Room) bury(ctx context.Context, gone []Name, now time.Time) error {
	sure := make([]bool, len(gone))
	err := atOnce(ctx, readsAtOnce, len(gone), func(ctx context.Context, i int) (err error) {
		e := r.ledger.parts[gone[i]]
		item, ok, err := r.readPartition(ctx, gone[i])
		if errors.Is(err, records.ErrBadItem) {
			return nil
		}
		if err == nil && ok {
			e.reached(item.Tiered, item.Top)
		}
		if err == nil && (ok || now.UnixMilli()-e.seen < r.cfg.Grace.Milliseconds()/2) { // later the collector may have removed it
			sure[i], err = r.leads(ctx, e)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("partitions of deleted topics: %w", err) // the next round comes back to them
	}
	for i, n := range gone {
		if sure[i] {
			r.ledger.bury(n)
		} else {
			delete(r.ledger.parts, n)
		}
	}
	return nil
}

// leads reports whether the table says that a partition is led under the epoch that the ledger has it under.
func (r *Room) leads(ctx context.Context, e *entry) (bool, error) {
	it, err := metastore.Find(ctx, r.d.Facts, r.d.Cluster.SlotKey(e.slot))
	if err != nil || it == nil {
		return false, err
	}
	s, err := records.DecodeSlot(it)
	return err == nil && s.Epoch == e.epoch, err
}

// passAll moves tiered over what the log start has passed, where that lay in packs. Partitions without packs need no write.
func (r *Room) passAll(ctx context.Context, now time.Time) error {
	var steps []step
	for name, e := range r.ledger.parts {
		if len(e.forgotten) == 0 || e.stays && !e.known {
			continue
		}
		s, err := r.passing(ctx, name, e)
		if err = r.excuse(&name, e, err, now); err != nil {
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
		Name: name, topic: e.name, slot: e.slot, epoch: e.epoch, from: e.tiered, absent: !e.exists,
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
		e.reached(p.Tiered, p.Top)
	default:
		e.known = true
	}
	return nil
}

// debit takes runs off one pack. The nonce tells whether a try of unknown outcome was applied; if nothing tells, the debit is given
// up: a pack that stays for ever is better than one that goes too early. An error: it was not applied, and may be done again.
func (r *Room) debit(ctx context.Context, id uuid.UUID, runs int64, now time.Time) error {
	nonce, sure := uuid.New(), true
	var was uuid.UUID // unless sure: what the tries of unknown outcome were made on
	var err error
	for range tries {
		var p records.Pack
		var ok bool
		if p, ok, err = r.readPack(ctx, id); err == nil {
			if !ok || p.Nonce == nonce {
				return nil
			}
			if !sure && p.Nonce != was {
				break // another debit hides whether that was ours
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
			if errors.Is(err, metastore.ErrUnknown) {
				sure, was = false, p.Nonce
			}
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
