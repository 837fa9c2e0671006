package simtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	factfault "github.com/varvelog/varve/metastore/fault"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// books is both stores of a cluster, as they are behind the network and the faults, and keeps the accounts of what becomes of committed
// records: it checks each write to the table and each deletion as it takes effect (I2, I8, I9, I10). What is committed it learns from the
// sessions' items and their bundles, not from agents.
type books struct {
	metastore.Store // the table
	objects         objstore.Store
	bad             func(format string, args ...any)
	cluster         records.Cluster
	keys            objstore.Keys

	mu       sync.Mutex // held over calls to the stores, which are in memory
	sessions map[uuid.UUID]records.Session
	slots    map[uint16]records.Slot
	topics   map[string]records.Topic
	logs     map[logID]*committed
	tiers    map[logID]*tier
	packs    map[uuid.UUID]records.Pack
	queue    map[metastore.Key]records.Garbage
	deleted  map[string]bool           // keys
	buried   map[uuid.UUID]bool        // packs whose item went: a late write of it may land again, and names nothing
	footers  map[string]*bundle.Footer // of objects, which never change
	count    counts
}

// counts is what happened.
type counts struct{ linked, refused, unlinked, merged, packed, counted, deleted int }

// logID is a partition.
type logID struct {
	topic     uuid.UUID
	partition int32
}

// keepBooks puts books between the cluster and its stores.
func (s *clusterSim) keepBooks() *books {
	b := &books{
		Store: s.facts.Store, objects: s.objects, bad: s.violation, cluster: s.facts.cluster, keys: objstore.Keys{Cluster: "varve"},
		sessions: map[uuid.UUID]records.Session{}, slots: map[uint16]records.Slot{}, topics: map[string]records.Topic{},
		logs: map[logID]*committed{}, tiers: map[logID]*tier{}, packs: map[uuid.UUID]records.Pack{},
		queue: map[metastore.Key]records.Garbage{}, deleted: map[string]bool{}, buried: map[uuid.UUID]bool{}, footers: map[string]*bundle.Footer{},
	}
	s.facts.Store, s.objects = b, &audited{s.objects, b}
	return b
}

func (b *books) Write(ctx context.Context, op metastore.Op) (metastore.Item, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	it, err := b.Store.Write(ctx, op)
	if err == nil {
		b.wrote([]metastore.Op{op})
	}
	return it, err
}

func (b *books) Transact(ctx context.Context, ops []metastore.Op) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.Store.Transact(ctx, ops)
	switch {
	case err == nil:
		b.wrote(ops)
	case isLink(factfault.Call{Op: factfault.Transact, Ops: ops}):
		b.count.refused++
	}
	return err
}

// wrote takes in one write, whole, and then checks what it changed.
func (b *books) wrote(ops []metastore.Op) {
	tiers, packs, queue, heads := map[logID]bool{}, map[uuid.UUID]bool{}, map[metastore.Key]bool{}, false
	for _, op := range ops {
		if op.Kind == metastore.OpCheck {
			continue
		}
		kind, rest, _ := strings.Cut(strings.TrimPrefix(op.Key.PK, string(b.cluster)+"/"), "#")
		switch kind {
		case "S":
			if op.Key.SK == "-" {
				heads = b.session(op.Key, rest) || heads
			}
		case "M":
			decoded(b, op.Key, records.DecodeSlot, func(s records.Slot) { b.slots[s.Slot] = s })
		case "T":
			delete(b.topics, op.Key.SK)
			decoded(b, op.Key, records.DecodeTopic, func(t records.Topic) { b.topics[t.Name] = t })
		case "P":
			topic, index, _ := strings.Cut(rest, "#")
			id := logID{topic: uuid.MustParse(topic)}
			if _, err := fmt.Sscanf(index, "%x", &id.partition); err != nil {
				b.bad("item %s: %v", op.Key, err)
			}
			tiers[id] = true
		case "O":
			packs[uuid.MustParse(rest)] = true
		case "G":
			queue[op.Key] = true
		}
	}
	b.check(tiers, packs, queue)
	if heads || len(packs)+len(tiers) > 0 {
		b.heirs("after a write")
	}
}

// check reads what a write changed, and says what must not be. Everything is read before anything is said.
func (b *books) check(tiers map[logID]bool, packs map[uuid.UUID]bool, queue map[metastore.Key]bool) {
	wasQueued, wasTier, wasPack := map[metastore.Key]records.Garbage{}, map[logID]*tier{}, map[uuid.UUID]records.Pack{}
	for key := range queue {
		wasQueued[key] = b.queue[key]
		delete(b.queue, key)
		decoded(b, key, records.DecodeGarbage, func(g records.Garbage) { b.queue[key] = g })
	}
	for id := range tiers {
		wasTier[id] = b.tiers[id]
		b.tiers[id] = b.readTier(id)
	}
	for id := range packs {
		wasPack[id] = b.packs[id]
		delete(b.packs, id)
		decoded(b, b.cluster.PackKey(id), records.DecodePack, func(p records.Pack) { b.packs[id] = p })
	}
	for id, was := range wasTier {
		b.moved(id, was, b.tiers[id])
	}
	for id, was := range wasPack {
		b.counted(id, was)
	}
	for key, was := range wasQueued {
		if g, ok := b.queue[key]; ok {
			b.queued(&g)
		} else if was.NotBefore > 0 {
			b.unqueued(&was)
		}
	}
}

// decoded reads an item that was written; nothing if it is gone.
func decoded[T any](b *books, key metastore.Key, decode func(metastore.Item) (T, error), use func(T)) {
	it, err := b.Get(context.Background(), key, metastore.Consistent)
	if errors.Is(err, metastore.ErrNotFound) {
		return
	}
	if err == nil {
		var v T
		if v, err = decode(it); err == nil {
			use(v)
			return
		}
	}
	b.bad("item %s: %v", key, err)
}

// active reports whether a topic may have records.
func (b *books) active(id uuid.UUID) bool {
	for _, t := range b.topics {
		if t.ID == id {
			return t.State == records.TopicActive
		}
	}
	return false
}

// session takes in what a session committed since, and reports whether an heir would begin elsewhere now.
func (b *books) session(key metastore.Key, name string) (heads bool) {
	id := uuid.MustParse(name)
	decoded(b, key, records.DecodeSession, func(now records.Session) {
		old := b.sessions[id]
		b.sessions[id] = now
		for seq := old.Committed + 1; seq <= now.Committed; seq++ {
			b.absorb(id, seq)
		}
		if now.Trim > now.Snap+1 && now.State != records.Drained {
			b.bad("I2: session %s: trim %d, and the snapshot covers %d", id, now.Trim, now.Snap)
		}
		if now.Snap > old.Snap && !b.there(b.keys.Snapshot(id, uint64(now.Snap), now.SnapID)) {
			b.bad("I5: session %s names a snapshot at %d that is not there", id, now.Snap)
		}
		heads = now.Snap != old.Snap || now.Trim != old.Trim || now.State != old.State
	})
	return heads
}

// queued checks that nothing names what is garbage from now on.
func (b *books) queued(g *records.Garbage) {
	for _, key := range g.Keys {
		if who := b.named(key); who != "" {
			b.bad("I9: %s is queued and named by %s", key, who)
		}
	}
	if s, ok := b.sessions[g.Session]; g.Session != uuid.Nil && (!ok || s.State != records.Drained && g.End > s.Trim) {
		b.bad("I9: bundles [%d,%d) of %s are queued, its trim is %d, it is %s", g.From, g.End, g.Session, s.Trim, s.State)
	}
	if g.Partitions > 0 && b.active(g.ID) {
		b.bad("I9: topic %s is queued, and ACTIVE", g.ID)
	}
}

// named says which item names an object; empty: none.
func (b *books) named(key string) string {
	p, err := b.keys.Parse(key)
	if err != nil {
		return err.Error()
	}
	switch p.Kind {
	case objstore.KindWAL:
		x := b.sessions[p.Session]
		if seq := int64(p.Seq); x.State != records.Drained && seq >= x.Trim && (x.State == records.Active || seq <= x.Committed) {
			return fmt.Sprintf("%+v", x)
		}
	case objstore.KindSnapshot:
		if x := b.sessions[p.Session]; x.State != records.Drained {
			return fmt.Sprintf("%+v", x)
		}
	case objstore.KindPack:
		if pack, ok := b.packs[p.ID]; ok && !b.buried[p.ID] {
			return fmt.Sprintf("%+v", pack)
		}
	case objstore.KindSegment:
		id := logID{p.Topic, p.Partition}
		if t := b.tiers[id]; t != nil && b.active(p.Topic) {
			for i := range t.extents {
				if e := &t.extents[i]; e.Base == p.Base && e.Segment == p.ID {
					return fmt.Sprintf("%+v", *e)
				}
			}
		}
	}
	return ""
}

// strays returns the objects of sessions that are drained, and of topics that are gone, which nothing names any more and no item of the
// queue.
func (b *books) strays() (keys []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	found, err := b.objects.List(context.Background(), b.keys.Root(), "", 0)
	if err != nil {
		b.bad("list: %v", err)
	}
	for _, o := range found {
		p, err := b.keys.Parse(o.Key)
		if err != nil || p.Kind == objstore.KindStart || p.Kind == objstore.KindProbe || b.named(o.Key) != "" || b.due(p, o.Key, math.MaxInt64) {
			continue
		}
		writer := p.Session
		if p.Kind == objstore.KindPack || p.Kind == objstore.KindSegment {
			if got, err := b.objects.Get(context.Background(), o.Key, objstore.Exact(0, bundle.HeaderLen)); err == nil {
				h, _ := bundle.ParseHeader(got.Body)
				writer = h.Session
			}
		}
		if b.sessions[writer].State == records.Drained {
			keys = append(keys, o.Key)
		}
	}
	return keys
}

// unqueued checks that the queue forgets only what the store has confirmed.
func (b *books) unqueued(g *records.Garbage) {
	keys := slices.Clone(g.Keys)
	for seq := g.From; seq < g.End; seq++ {
		keys = append(keys, b.keys.WAL(g.Session, uint64(seq)))
	}
	for _, key := range keys {
		if !b.deleted[key] && b.there(key) {
			b.bad("I9: the queue forgets %s, which is there", key)
		}
	}
	for i := range g.Partitions {
		if t := b.tiers[logID{g.ID, i}]; t != nil && len(t.extents) > 0 {
			b.bad("I9: the queue forgets topic %s, whose partition %d has extents", g.ID, i)
		}
	}
}

// due reports whether the queue says that an object may go by now, ms.
func (b *books) due(p objstore.Parsed, key string, now int64) bool {
	for _, g := range b.queue {
		switch {
		case g.NotBefore > now:
		case slices.Contains(g.Keys, key):
			return true
		case p.Kind == objstore.KindWAL && p.Session == g.Session && int64(p.Seq) >= g.From && int64(p.Seq) < g.End:
			return true
		case p.Kind == objstore.KindSnapshot && p.Session == g.Session && g.Snapshots:
			return true
		case p.Kind == objstore.KindSegment && p.Topic == g.ID && g.Partitions > 0:
			return true
		}
	}
	return false
}

// there reports whether an object exists.
func (b *books) there(key string) bool {
	_, err := b.objects.Get(context.Background(), key, objstore.Suffix(1))
	return err == nil
}

// audited is the bucket.
type audited struct {
	objstore.Store
	b *books
}

// Delete checks I9: a durable mark says so, the grace has passed, and nobody needs it. A session's own older snapshots need no mark.
func (a *audited) Delete(ctx context.Context, keys ...string) error {
	b := a.b
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range keys {
		p, err := b.keys.Parse(key)
		switch {
		case err != nil:
			b.bad("I9: %s is deleted: %v", key, err)
		case p.Kind == objstore.KindProbe || b.deleted[key]:
		case p.Kind == objstore.KindSnapshot && p.ID != b.sessions[p.Session].SnapID:
		case !b.due(p, key, time.Now().UnixMilli()):
			b.bad("I9: %s is deleted, and no item of the queue says that it may go now", key)
		case b.named(key) != "":
			b.bad("I9: %s is deleted and named by %s", key, b.named(key))
		}
	}
	err := a.Store.Delete(ctx, keys...)
	if err == nil {
		for _, key := range keys {
			b.deleted[key] = true
			b.count.deleted++
		}
		b.heirs("after a deletion")
	}
	return err
}
