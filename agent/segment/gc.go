package segment

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
)

// Collector deletes what the garbage queue names, once its time has come. Who looks after a shard is advice: two collectors of one
// shard do no harm.
type Collector struct {
	d        CollectorDeps
	interval time.Duration
	metrics  *Metrics
}

// CollectorDeps is what a Collector works on.
type CollectorDeps struct {
	Objects objstore.Store
	Facts   metastore.Store
	Keys    objstore.Keys
	Cluster records.Cluster
	Mine    func(shard int) bool // whether this agent looks after a shard
	Log     *slog.Logger
}

// Bounds of a sweep. What is beyond is left to the next one.
const (
	queuePage  = 200 // items asked for at once
	queuePages = 50  // of a shard
)

// NewCollector returns a Collector of queues whose objects stay for grace; it looks some times in that while. It counts in m.
func NewCollector(grace time.Duration, d CollectorDeps, m *Metrics) *Collector {
	if grace == 0 {
		grace = defaultGrace
	}
	return &Collector{d: d, interval: min(max(grace/5, 100*time.Millisecond), 3*time.Minute), metrics: m}
}

// Run sweeps until ctx ends.
func (c *Collector) Run(ctx context.Context) {
	tick := time.NewTicker(c.interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := c.Sweep(ctx, time.Now()); err != nil && ctx.Err() == nil {
				c.metrics.failed.Inc()
				c.d.Log.Warn("deleting from the garbage queue failed; it is tried again", "err", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// Sweep goes through the shards that are looked after here, once.
func (c *Collector) Sweep(ctx context.Context, now time.Time) error {
	ctx = metastore.WithPurpose(objstore.WithPurpose(ctx, objstore.PurposeGC), PurposeLink)
	var errs []error
	var left backlog
	for shard := range records.GarbageShards {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if c.d.Mine(shard) {
			if err := c.sweepShard(ctx, shard, now.UnixMilli(), &left); err != nil {
				errs = append(errs, fmt.Errorf("shard %d: %w", shard, err))
			}
		}
	}
	c.metrics.queued(left)
	return errors.Join(errs...)
}

// sweepShard deletes what is due of a shard, and counts in left what is still there then. Items that say what cannot be, or name such items,
// stay: the error tells of the first one.
func (c *Collector) sweepShard(ctx context.Context, shard int, now int64, left *backlog) error {
	pk, after := c.d.Cluster.GarbagePK(shard), ""
	b := batch{c: c, kept: map[int]bool{}}
	defer func() {
		for i := range b.items { // what a flush did not come to, or the store refused
			left.add(&b.items[i].garbage, now)
		}
	}()
	var bad error
	stays := func(sk string, err error) {
		if bad == nil {
			bad = fmt.Errorf("item %s of the garbage queue stays, look at it with varve meta check: %w", sk, err)
		}
	}
	for range queuePages {
		page, err := c.d.Facts.Query(ctx, metastore.Query{PK: pk, After: after, Limit: queuePage})
		if err != nil {
			return errors.Join(bad, fmt.Errorf("read garbage queue: %w", err))
		}
		for _, row := range page.Rows {
			g, err := records.DecodeGarbage(row.Item)
			if err != nil {
				stays(row.SK, err)
				continue
			}
			if row.SK >= records.GarbageDue(now) {
				left.add(&g, now)
				continue
			}
			err = b.add(ctx, metastore.Key{PK: pk, SK: row.SK}, &g)
			if err == nil {
				continue
			}
			left.add(&g, now)
			if !errors.Is(err, records.ErrBadItem) {
				return errors.Join(bad, err)
			}
			stays(row.SK, err)
		}
		if after = page.Next; after == "" {
			break
		}
	}
	err := b.flush(ctx)
	return errors.Join(bad, b.refused, err)
}

// add counts an item that stays.
func (b *backlog) add(g *records.Garbage, now int64) {
	b.objects += int64(len(g.Keys)) + g.End - g.From
	b.bytes += g.Bytes
	b.late = max(b.late, now-g.NotBefore)
}

// batch gathers keys of several items for one request.
type batch struct {
	c       *Collector
	keys    []string
	owners  []int // of each key: the number of its item
	number  int   // of the item that is being added
	items   []due // all of whose keys are deleted with the next flush, at the latest; first those that were kept
	kept    map[int]bool
	vain    int   // flushes in a row of which the store refused every key
	stuck   int   // items with what is found only now, a topic's or a session's, of which the store refused some
	refused error // the first refusal
}

// due is an item that may go.
type due struct {
	key     metastore.Key
	garbage records.Garbage
	number  int
}

// maxRefused is how many requests in a row, of which the store refuses every key, end a shard. A key that is refused by itself, because its object
// is locked, keeps its item and no other.
const maxRefused = 3

// maxStuck bounds the requests of a sweep for such items: behind so many, the others are left to the next one.
const maxStuck = 100

// add deletes, sooner or later, what an item names.
func (b *batch) add(ctx context.Context, item metastore.Key, g *records.Garbage) error {
	b.number++
	for _, key := range g.Keys {
		if _, err := b.c.d.Keys.Parse(key); err != nil {
			b.c.d.Log.Error("the garbage queue names what is no object of this cluster; it stays", "item", item, "key", key)
			return nil
		}
		if err := b.key(ctx, key); err != nil {
			return err
		}
	}
	for seq := g.From; seq < g.End; seq++ {
		if err := b.key(ctx, b.c.d.Keys.WAL(g.Session, uint64(seq))); err != nil {
			return err
		}
	}
	if g.Partitions > 0 {
		if err := b.drop(func() error { return b.c.dropTopic(ctx, g.ID, g.Partitions) }); err != nil {
			return err
		}
	}
	if g.Snapshots {
		if err := b.drop(func() error { return b.c.dropSnapshots(ctx, g.Session) }); err != nil {
			return err
		}
	}
	b.items = append(b.items, due{item, *g, b.number})
	return nil
}

// drop deletes what is found only now of the item that is being added. What the store refuses keeps this item, and no other.
func (b *batch) drop(do func() error) error {
	if b.stuck >= maxStuck {
		b.kept[b.number] = true
		return nil
	}
	err := do()
	if !errors.Is(err, objstore.ErrRefused) {
		return err
	}
	if b.refused == nil {
		b.refused = err
	}
	b.kept[b.number] = true
	b.stuck++
	return nil
}

// key adds one key.
func (b *batch) key(ctx context.Context, key string) error {
	if len(b.keys) == objstore.MaxDelete {
		if err := b.flush(ctx); err != nil {
			return err
		}
	}
	b.keys, b.owners = append(b.keys, key), append(b.owners, b.number)
	return nil
}

// flush deletes the keys, and then the items that named them: only once the store has confirmed every one.
func (b *batch) flush(ctx context.Context) error {
	if len(b.keys) > 0 {
		if err := b.keep(b.c.deleteKeys(ctx, b.keys)); err != nil {
			return err
		}
	}
	b.keys, b.owners = b.keys[:0], b.owners[:0]
	var kept []due
	for len(b.items) > 0 {
		if it := b.items[0]; b.kept[it.number] {
			kept = append(kept, it)
		} else if err := b.c.remove(ctx, it.key); err != nil {
			b.items = append(kept, b.items...)
			return fmt.Errorf("remove from garbage queue: %w", err)
		}
		b.items = b.items[1:]
	}
	b.items = kept
	return nil
}

// keep notes whose keys the store refused to delete. It returns nil if what comes behind may go: b.refused tells then.
func (b *batch) keep(err error) error {
	if err == nil {
		b.vain = 0
		return nil
	}
	if !errors.Is(err, objstore.ErrRefused) {
		return err
	}
	refused := b.keys
	var some *objstore.DeleteError
	if errors.As(err, &some) {
		refused = some.Keys
	}
	if b.vain++; len(refused) < len(b.keys) {
		b.vain = 0
	}
	if b.refused == nil {
		b.refused = err
	}
	if b.vain == maxRefused {
		return err
	}
	bad := map[string]bool{}
	for _, key := range refused {
		bad[key] = true
	}
	for i, key := range b.keys {
		if bad[key] {
			b.kept[b.owners[i]] = true
		}
	}
	return nil
}

// deleteKeys deletes until all are confirmed.
func (c *Collector) deleteKeys(ctx context.Context, keys []string) error {
	err := patiently(ctx, func(ctx context.Context) error {
		n := len(keys)
		err := c.d.Objects.Delete(ctx, keys...)
		var some *objstore.DeleteError
		switch {
		case err == nil:
			c.metrics.deleted.Add(float64(n))
		case errors.As(err, &some):
			keys = some.Keys
			c.metrics.deleted.Add(float64(n - len(keys)))
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("delete objects: %w", err)
	}
	return nil
}

// dropSnapshots deletes all snapshots of a session that is drained.
func (c *Collector) dropSnapshots(ctx context.Context, session uuid.UUID) error {
	for {
		found, err := c.d.Objects.List(ctx, c.d.Keys.SnapshotPrefix(session), "", objstore.MaxDelete)
		if err != nil {
			return fmt.Errorf("list snapshots: %w", err)
		}
		if len(found) == 0 {
			return nil
		}
		keys := make([]string, len(found))
		for i := range found {
			keys[i] = found[i].Key
		}
		if err := c.deleteKeys(ctx, keys); err != nil {
			return err
		}
		if len(found) < objstore.MaxDelete {
			return nil
		}
	}
}
