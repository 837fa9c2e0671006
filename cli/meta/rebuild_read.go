package meta

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// rebuild is a table in the making. Of its look it uses what is known of slots, topics, partitions and packs.
type rebuild struct {
	*look
	cfg       RebuildConfig
	done      Rebuilt
	writers   map[uuid.UUID]*writer
	won       map[uint16]claim
	logs      map[part]*logState
	producers int64  // blocks of producer ids taken
	merged    *merge // slots whose state no session's newest snapshot has; nil: none
}

// writer is a session, as far as the bucket shows it.
type writer struct {
	agent     string
	bundles   [][2]int64 // stretches [first, last] that are there, ascending
	snapshots []stored
	opened    []opening // by bundles after the newest snapshot, if these count
	objects   bool

	snap, committed, trim int64
	snapID                uuid.UUID
	pending               map[uint16]int32
	refs                  map[uint16][2]int64 // per slot that names bundles: the lowest and the highest
	unknown               bool                // there are bundles of which nobody knows whether they were committed
}

// stored is a snapshot in the bucket.
type stored struct {
	key     string
	seq     int64
	id      uuid.UUID
	written time.Time
}

// claim is what a slot's state can be taken from. Of two the one of the higher epoch is right; within an epoch, the later one.
type claim struct {
	session uuid.UUID
	epoch   int32
	key     string // of a snapshot; empty: the slot was opened empty
	seq     int64
	written time.Time
	inLog   bool // the session's log, from its newest snapshot on, says so: a replay of it finds the slot
}

// logState is a partition's log as a rebuild knows it.
type logState struct {
	start, end int64
	base       int64 // where its tail begins
	slot       uint16
	packs      []packed // runs of the tail
	gone       bool     // one of those packs is
	tiered     int64    // where its extents end; 0: there are none
}

// packed is a run that lies in a pack.
type packed struct {
	pack uuid.UUID
	next int64
}

// after returns the last bundle of the stretch that goes on without a hole after bundle seq; seq itself if there is none.
func (w *writer) after(seq int64) int64 {
	for _, b := range w.bundles {
		if b[0] <= seq+1 && b[1] > seq {
			return b[1]
		}
	}
	return seq
}

// from returns the first bundle of the stretch that ends at or after bundle seq; seq + 1 if that is not there.
func (w *writer) from(seq int64) int64 {
	for _, b := range w.bundles {
		if b[0] <= seq && b[1] >= seq {
			return b[0]
		}
	}
	return seq + 1
}

// listWriters lists marks of starts, bundles and snapshots.
func (b *rebuild) listWriters(ctx context.Context) error {
	b.say("lists the bucket")
	keys := b.Tool.cfg.Keys
	err := b.list(ctx, keys.Root()+objstore.KindStart+"/", func(o objstore.Info) error {
		k, err := keys.Parse(o.Key)
		if err != nil {
			return nil
		}
		b.starts = max(b.starts, int64(k.Seq))
		mark, err := b.get(ctx, o.Key, objstore.Range{})
		if err != nil {
			return err
		}
		if id, err := uuid.ParseBytes(bytes.TrimSpace(mark.Body)); err == nil {
			b.writer(id)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = b.list(ctx, keys.Root()+objstore.KindWAL+"/", func(o objstore.Info) error {
		if k, err := keys.Parse(o.Key); err == nil {
			w, seq := b.writer(k.Session), int64(k.Seq)
			w.objects = true
			if n := len(w.bundles); n > 0 && w.bundles[n-1][1] == seq-1 {
				w.bundles[n-1][1] = seq
			} else {
				w.bundles = append(w.bundles, [2]int64{seq, seq})
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return b.list(ctx, keys.Root()+objstore.KindSnapshot+"/", func(o objstore.Info) error {
		if k, err := keys.Parse(o.Key); err == nil {
			w := b.writer(k.Session)
			w.objects = true
			w.snapshots = append(w.snapshots, stored{key: o.Key, seq: int64(k.Seq), id: k.ID, written: o.Modified})
		}
		return nil
	})
}

func (b *rebuild) writer(id uuid.UUID) *writer {
	w := b.writers[id]
	if w == nil {
		w = &writer{agent: "rebuilt", pending: map[uint16]int32{}, refs: map[uint16][2]int64{}}
		b.writers[id] = w
	}
	return w
}

// readClaims reads which slots each snapshot holds, and decides from which one each slot is taken.
func (b *rebuild) readClaims(ctx context.Context) error {
	ids := slices.SortedFunc(maps.Keys(b.writers), compareIDs)
	for i, id := range ids {
		b.say("reads the snapshots of session %d of %d", i+1, len(ids))
		if err := b.readWriter(ctx, id, b.writers[id]); err != nil {
			return err
		}
	}
	if n := len(b.done.Unknown); len(b.won) == 0 && n > 0 {
		return fmt.Errorf("%w, and %d sessions have bundles of which nobody knows whether they were committed: to keep them, add --include-uncommitted", ErrEmptyBucket, n)
	}
	if len(b.won) == 0 {
		return ErrEmptyBucket
	}
	for n := range b.won {
		b.config.Slots = max(b.config.Slots, int(n)+1)
	}
	if b.cfg.Slots > 0 {
		if b.cfg.Slots < b.config.Slots {
			return fmt.Errorf("%d slots were asked for, and there is one of number %d", b.cfg.Slots, b.config.Slots-1)
		}
		b.config.Slots = b.cfg.Slots
	}
	b.done.Slots, b.done.Cluster = b.config.Slots, b.config.Cluster
	return nil
}

// readWriter takes a session's newest sound snapshot, those it opened slots with, and the bundles after it.
func (b *rebuild) readWriter(ctx context.Context, id uuid.UUID, w *writer) error {
	slices.SortFunc(w.snapshots, func(x, y stored) int { return cmp.Compare(y.seq, x.seq) })
	for _, s := range w.snapshots {
		if s.seq > 0 && w.snap > 0 {
			continue // the newest one says it all
		}
		h, f, _, err := b.readHeadAndFooter(ctx, s.key)
		if broken(err) || errors.Is(err, objstore.ErrNotFound) || errors.Is(err, objstore.ErrRange) {
			b.note("a snapshot is left out: %v", err)
			continue
		}
		if err != nil {
			return err
		}
		if err := b.sameCluster(s.key, h); err != nil {
			return err
		}
		if s.seq > 0 {
			w.snap, w.snapID = s.seq, s.id
		}
		for _, sl := range f.Slots {
			b.claim(sl.Slot, claim{session: id, epoch: sl.Epoch, key: s.key, seq: s.seq, written: s.written, inLog: s.seq > 0})
		}
	}
	w.committed = w.snap
	last := w.after(w.snap)
	if last == w.snap {
		return nil
	}
	b.done.Unknown = append(b.done.Unknown, Stretch{id, w.snap + 1, last})
	if !b.cfg.Uncommitted {
		w.unknown = true
		return nil
	}
	b.done.Kept = true
	return b.readBundles(ctx, id, w, last)
}

func (b *rebuild) sameCluster(key string, h bundle.Header) error {
	if b.config.Cluster == uuid.Nil {
		b.config.Cluster = h.Cluster
	}
	if h.Cluster != b.config.Cluster {
		return fmt.Errorf("%s is an object of cluster %s, others are of %s: move one of them elsewhere", key, h.Cluster, b.config.Cluster)
	}
	return nil
}

// claim takes c for a slot if it is better than what is known.
func (b *rebuild) claim(slot uint16, c claim) {
	was, ok := b.won[slot]
	if !ok || c.epoch > was.epoch || c.epoch == was.epoch && (c.seq > was.seq || c.seq == was.seq && c.inLog && !was.inLog) {
		b.won[slot] = c
	}
}

// readBundles takes bundles after the newest snapshot for committed.
func (b *rebuild) readBundles(ctx context.Context, id uuid.UUID, w *writer, last int64) error {
	for seq := w.snap + 1; seq <= last; seq++ {
		key := b.Tool.cfg.Keys.WAL(id, uint64(seq))
		h, f, _, err := b.readHeadAndFooter(ctx, key)
		if broken(err) {
			b.note("bundles %d to %d of session %s are left out: %v", seq, last, id, err)
			return nil
		}
		if err != nil {
			return err
		}
		if err := b.sameCluster(key, h); err != nil {
			return err
		}
		for _, op := range f.Ops {
			if op.Kind == bundle.OpSlotOpen {
				w.opened = append(w.opened, opening{op.Slot, op.Epoch, op.Key})
				b.claim(op.Slot, claim{session: id, epoch: op.Epoch, key: op.Key, inLog: true})
			}
		}
		w.committed = seq
	}
	return nil
}
