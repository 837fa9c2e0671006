package meta

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// ErrNotEmpty: the table has items of the cluster. A rebuild writes into an empty one only.
var ErrNotEmpty = errors.New("the table is not empty")

// ErrEmptyBucket: the bucket has nothing of which a table could be made.
var ErrEmptyBucket = errors.New("the bucket has no snapshot of this cluster")

// RebuildConfig is what a rebuild is told.
type RebuildConfig struct {
	Slots int // of the cluster; 0: as many as snapshots show
	// Uncommitted: bundles after a session's newest snapshot belong to the log too. Whether they were committed only the lost table
	// knew: most were, and what was acked last is in them; a bundle of a session that was fenced may be in there that never was.
	Uncommitted bool
	Dry         bool // say what there is, and write nothing
}

// Rebuilt is what a rebuild found, and wrote unless it was dry.
type Rebuilt struct {
	Cluster                                      uuid.UUID
	Slots, Sessions, Topics, Parts, Packs, Empty int       // Empty: partitions of topics that nothing was written to
	Extents                                      int64     // 0 if it was dry, as Packs: nobody has looked at the segments
	Unknown                                      []Stretch // bundles of which nobody knows whether they were committed
	Kept                                         bool      // they are part of the log
	Notes                                        []string  // what is lost, in words
}

// Stretch is bundles [From, To] of a session.
type Stretch struct {
	Session  uuid.UUID
	From, To int64
}

// alwaysLost is what only the table knew.
var alwaysLost = []string{
	"consumer groups and their offsets", "node ids: agents get new ones", "topic configs: all topics have the defaults",
	"topics to which nothing was ever written", "ACLs and other settings of the cluster",
}

// Rebuild makes the cluster's items anew, in a table that has none, from what lies in the bucket: names of topics, numbers of
// partitions, extents, log ends, epochs and the state of producers. All sessions are ended. Each slot is as its last leader's newest
// snapshot says: of two sessions that served it the one of the higher epoch counts, from what it opened the slot with. Errors besides
// those of the stores: ErrNotEmpty, ErrEmptyBucket.
func (t *Tool) Rebuild(ctx context.Context, cfg RebuildConfig) (Rebuilt, error) {
	if err := t.refuseItems(ctx); err != nil {
		return Rebuilt{}, err
	}
	b := &rebuild{look: t.look(false), cfg: cfg, writers: map[uuid.UUID]*writer{}, won: map[uint16]claim{}, logs: map[part]*logState{}}
	b.done.Notes = slices.Clone(alwaysLost)
	for _, step := range []func(context.Context) error{b.listWriters, b.readClaims, b.takeState, b.settleSessions} {
		if err := step(ctx); err != nil {
			return Rebuilt{}, err
		}
	}
	b.done.Sessions = len(b.writers)
	if !cfg.Dry {
		if err := b.write(ctx); err != nil {
			return b.done, fmt.Errorf("%w; the table is incomplete now: delete what was written, or rebuild into another one", err)
		}
	}
	return b.done, nil
}

// refuseItems returns ErrNotEmpty if the table has something of the cluster.
func (t *Tool) refuseItems(ctx context.Context) error {
	c := t.cfg.Cluster
	for _, key := range []metastore.Key{c.ConfigKey(), c.IDsKey(), c.VersionKey()} {
		it, err := t.item(ctx, key)
		if err != nil {
			return err
		}
		if it != nil {
			return fmt.Errorf("%w: it has %s", ErrNotEmpty, key)
		}
	}
	pks := []string{c.LivePK(), c.AgentsPK(), c.SlotsPK(), c.TopicsPK(), c.TopicLogPK(), c.GroupConfigsPK()}
	for shard := range records.GarbageShards {
		pks = append(pks, c.GarbagePK(shard))
	}
	for _, pk := range pks {
		err := t.query(ctx, pk, "", func(row metastore.Row) error {
			return fmt.Errorf("%w: it has %s", ErrNotEmpty, metastore.Key{PK: pk, SK: row.SK})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// write makes the items. The config comes first, with a format that no agent starts on, and gets its own when all is there.
func (b *rebuild) write(ctx context.Context) error {
	c := b.cfgOf()
	unfinished := c
	unfinished.Format = 0
	key := b.Tool.cfg.Cluster.ConfigKey()
	if err := b.transact(ctx, metastore.Op{Kind: metastore.OpPut, Key: key, Set: unfinished.Item(), If: absent()}); err != nil {
		return fmt.Errorf("write the config: %w", err)
	}
	for _, step := range []func(context.Context) error{b.writeSnapshot, b.writeSessions, b.writeTopics, b.writeSlots, b.writeExtents, b.writePacks} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	ids := records.IDs{Start: b.starts, Producer: b.producers}
	if err := b.puts(ctx, put{b.Tool.cfg.Cluster.IDsKey(), ids.Item()}); err != nil {
		return err
	}
	return b.transact(ctx, metastore.Op{Kind: metastore.OpPut, Key: key, Set: c.Item(), If: []metastore.Cond{eq(records.AttrFormat, metastore.N(0))}})
}

func (b *rebuild) cfgOf() records.Config {
	return records.Config{Format: records.Format, Cluster: b.config.Cluster, Slots: b.config.Slots, Created: time.Now().UnixMilli()}
}

// put is an item to be made.
type put struct {
	key  metastore.Key
	item metastore.Item
}

// puts makes items that are not there, several in a transaction.
func (b *rebuild) puts(ctx context.Context, all ...put) error {
	for len(all) > 0 {
		n := min(len(all), 25) // far from the most bytes of a transaction
		ops := make([]metastore.Op, n)
		for i, p := range all[:n] {
			ops[i] = metastore.Op{Kind: metastore.OpPut, Key: p.key, Set: p.item, If: absent()}
		}
		if err := b.transact(ctx, ops...); err != nil {
			return fmt.Errorf("write %s: %w", all[0].key, err)
		}
		all = all[n:]
	}
	return nil
}

func (b *rebuild) writeSessions(ctx context.Context) error {
	var all []put
	for id, w := range b.writers {
		s := records.Session{ // without a node id: so agents delete nothing of it that the table does not name
			Agent: w.agent, State: records.Sealed, HB: 1, Committed: w.committed, Trim: w.trim, Snap: w.snap, SnapID: w.snapID, End: w.committed + 1, Pending: w.pending,
		}
		if len(w.pending) == 0 && !w.unknown {
			s.State = records.Drained
			if w.objects {
				g := records.Garbage{Session: id, From: max(1, w.trim), End: s.End, Snapshots: true, NotBefore: time.Now().Add(grace).UnixMilli()}
				all = append(all, put{b.Tool.cfg.Cluster.GarbageKey(g), g.Item()})
			}
		}
		all = append(all, put{b.Tool.cfg.Cluster.SessionKey(id), s.Item()})
	}
	return b.puts(ctx, all...)
}

func (b *rebuild) writeTopics(ctx context.Context) error {
	all := []put{{b.Tool.cfg.Cluster.VersionKey(), records.Version{Map: 1, Topic: int64(len(b.topics))}.Item()}}
	for _, t := range b.topics {
		all = append(all, put{b.Tool.cfg.Cluster.TopicKey(t.Name), t.Item()})
	}
	return b.puts(ctx, all...)
}

func (b *rebuild) writeSlots(ctx context.Context) error {
	var all []put
	for n, s := range b.slots {
		all = append(all, put{b.Tool.cfg.Cluster.SlotKey(n), s.Item()})
	}
	return b.puts(ctx, all...)
}

// writePacks makes the items of the packs that have runs which no extent holds.
func (b *rebuild) writePacks(ctx context.Context) error {
	for _, l := range b.logs {
		for _, run := range l.packs {
			if run.next > l.tiered {
				b.packs[run.pack]++
			}
		}
	}
	var all []put
	for id, n := range b.packs {
		p, err := b.packOf(ctx, id, n)
		if err != nil {
			b.note("pack %s, of which %d runs are needed, cannot be read: %v; see varve meta check", id, n, err)
			continue
		}
		all = append(all, put{b.Tool.cfg.Cluster.PackKey(id), p.Item()})
	}
	b.done.Packs = len(all)
	return b.puts(ctx, all...)
}

func (b *rebuild) note(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done.Notes = append(b.done.Notes, fmt.Sprintf(format, args...))
}
