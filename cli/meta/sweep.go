package meta

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
)

// Swept is what Sweep did, or would have done.
type Swept struct {
	Items   int   // of the garbage queue, whose time has come
	Early   int   // of the garbage queue, whose time has not come
	Refused int   // of the garbage queue, whose session still needs what they name: somebody must look
	Objects int64 // deleted, or asked to be: a queue item may name some that went before
	Orphans int   // of Objects, those that nothing named
	Queued  int   // packs of which no run is needed: they go when their time has come
}

// Sweep deletes what waits in the garbage queue and may go by now, as agents do, and then what Check calls orphans. dry: it only counts.
// A queue item goes once the store has confirmed its objects; what the store refuses stays for another time. Agents may run meanwhile:
// to delete twice does no harm.
func (t *Tool) Sweep(ctx context.Context, dry bool) (Swept, error) {
	s := sweep{look: t.look(false), dry: dry}
	var failed []error
	for shard := range records.GarbageShards {
		t.say("empties the garbage queue, shard %d of %d", shard+1, records.GarbageShards)
		if err := s.shard(ctx, t.cfg.Cluster.GarbagePK(shard)); err != nil {
			failed = append(failed, err)
		}
	}
	r, err := t.Check(ctx, false)
	if err != nil {
		return s.done, errors.Join(append(failed, err)...)
	}
	for _, f := range r.Findings {
		if err := s.unneeded(ctx, f); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", f.Where, err))
		}
	}
	return s.done, errors.Join(append(failed, s.flush(ctx))...)
}

// unneeded deletes an orphan, and queues a pack of which no run is needed: its readers may be at it still.
func (s *sweep) unneeded(ctx context.Context, f Finding) error {
	switch {
	case f.Class == Orphan:
		s.done.Orphans++
		return s.remove(ctx, f.Where)
	case f.Class == PackCounter && f.Fix[0] == sweeps[0]:
		id, err := uuid.Parse(f.Where)
		s.done.Queued++
		if err == nil && !s.dry {
			_, err = s.repairPack(ctx, id) // this look knows of no run that is needed, as the check
		}
		return err
	}
	return nil
}

// sweep is one Sweep.
type sweep struct {
	*look
	dry  bool
	done Swept
	keys []string // to be deleted together
}

// shard goes through the items of a shard, in the order of their time.
func (s *sweep) shard(ctx context.Context, pk string) error {
	var failed []error
	err := s.query(ctx, pk, "", func(row metastore.Row) error {
		g, err := records.DecodeGarbage(row.Item)
		switch {
		case err != nil:
			failed = append(failed, err) // the check says where
			return nil
		case g.NotBefore > s.now:
			s.done.Early++
			return nil
		}
		if err := s.collect(ctx, metastore.Key{PK: pk, SK: row.SK}, g); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", row.SK, err))
		}
		return nil
	})
	return errors.Join(append(failed, err)...)
}

// collect deletes what an item names, then the item.
func (s *sweep) collect(ctx context.Context, key metastore.Key, g records.Garbage) error {
	free, err := s.free(ctx, g)
	if err != nil {
		return err
	}
	if !free {
		s.done.Refused++
		return nil
	}
	s.done.Items++
	for i := range g.Partitions {
		if err := s.dropPartition(ctx, part{g.ID, i}); err != nil {
			return err
		}
	}
	for _, k := range g.Keys {
		if err := s.remove(ctx, k); err != nil {
			return err
		}
	}
	for seq := max(1, g.From); seq < g.End; seq++ {
		if err := s.remove(ctx, s.cfg.Keys.WAL(g.Session, uint64(seq))); err != nil {
			return err
		}
	}
	if g.Snapshots { // all that the session has left, bundles of flushes that were never committed too
		for _, prefix := range []string{s.cfg.Keys.SnapshotPrefix(g.Session), s.cfg.Keys.WALPrefix(g.Session)} {
			if err := s.list(ctx, prefix, func(o objstore.Info) error { return s.remove(ctx, o.Key) }); err != nil {
				return err
			}
		}
	}
	if err := s.flush(ctx); err != nil || s.dry {
		return err
	}
	return s.transact(ctx, metastore.Op{Kind: metastore.OpDelete, Key: key})
}

// dropPartition deletes what a deleted topic has in segments: the objects, then the extents that name them, then the item.
func (s *sweep) dropPartition(ctx context.Context, p part) error {
	y, err := s.readLayout(ctx, p, func(key metastore.Key, _ error) {})
	if err != nil {
		return err
	}
	if y.bad {
		return fmt.Errorf("partition %s: %w: see varve meta check", p, records.ErrBadItem)
	}
	for _, e := range y.extents {
		if err := s.remove(ctx, s.cfg.Keys.Segment(p.topic, p.index, e.Base, e.Segment)); err != nil {
			return err
		}
	}
	if err := s.flush(ctx); err != nil || s.dry {
		return err
	}
	ops := []metastore.Op{{Kind: metastore.OpDelete, Key: s.cfg.Cluster.PartitionKey(p.topic, p.index)}}
	for _, e := range y.extents {
		ops = append(ops, metastore.Op{Kind: metastore.OpDelete, Key: s.cfg.Cluster.ExtentKey(p.topic, p.index, e.Base)})
	}
	for len(ops) > 0 { // the item last
		n := min(len(ops), opsAtOnce)
		if err := s.transact(ctx, ops[len(ops)-n:]...); err != nil {
			return err
		}
		ops = ops[:len(ops)-n]
	}
	return nil
}

// free reports whether a session's item agrees that what a Garbage item names of its WAL is not needed. Keys speak for themselves: they
// were queued by who unlinked them.
func (s *sweep) free(ctx context.Context, g records.Garbage) (bool, error) {
	if g.Partitions > 0 {
		return s.gone(ctx, g.ID)
	}
	if g.Session == uuid.Nil {
		return true, nil
	}
	it, err := s.item(ctx, s.cfg.Cluster.SessionKey(g.Session))
	if err != nil || it == nil {
		return false, err
	}
	o, err := records.DecodeSession(it)
	return err == nil && (o.State == records.Drained || !g.Snapshots && o.Trim >= g.End), err
}

// gone reports whether a topic is deleted, or on its way: a link that comes later fails, because each checks the topic.
func (s *sweep) gone(ctx context.Context, topic uuid.UUID) (bool, error) {
	gone := true
	err := s.query(ctx, s.cfg.Cluster.TopicsPK(), "", func(row metastore.Row) error {
		t, err := records.DecodeTopic(row.Item)
		gone = gone && err == nil && (t.ID != topic || t.State == records.TopicDeleting)
		return nil
	})
	return gone, err
}

// remove deletes an object, with others.
func (s *sweep) remove(ctx context.Context, key string) error {
	s.done.Objects++
	s.keys = append(s.keys, key)
	if len(s.keys) < objstore.MaxDelete {
		return nil
	}
	return s.flush(ctx)
}

func (s *sweep) flush(ctx context.Context) error {
	keys := s.keys
	s.keys = nil
	if len(keys) == 0 || s.dry {
		return nil
	}
	err := s.ask(objstore.WithPurpose(ctx, objstore.PurposeGC), func(ctx context.Context) error { return s.cfg.Objects.Delete(ctx, keys...) })
	if err != nil {
		return fmt.Errorf("delete objects: %w", err)
	}
	return nil
}
