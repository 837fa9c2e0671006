package segment

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	objfault "github.com/varvelog/varve/objstore/fault"
)

// collector returns one that looks after all shards, over the store given.
func (r *rig) collector(objects objstore.Store) *Collector {
	return NewCollector(r.cfg.Grace, CollectorDeps{
		Objects: objects, Facts: r.facts, Keys: r.keys, Cluster: r.cluster, Mine: func(int) bool { return true }, Log: slog.New(slog.DiscardHandler),
	}, newMetrics())
}

func (r *rig) enqueue(g records.Garbage) {
	r.t.Helper()
	if _, err := r.table.Write(context.Background(), metastore.Op{Kind: metastore.OpPut, Key: r.cluster.GarbageKey(g), Set: g.Item()}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) store(key string) string {
	r.t.Helper()
	if err := r.inner.Put(context.Background(), key, []byte("x")); err != nil {
		r.t.Fatal(err)
	}
	return key
}

// Only what is due is deleted: keys, a stretch of a WAL, and the snapshots of a session only if they are meant.
func TestCollect(t *testing.T) {
	r := newRig(t)
	a, b := uuid.New(), uuid.New()
	for seq := range uint64(2500) {
		r.store(r.keys.WAL(a, seq))
	}
	for seq := range uint64(5) {
		r.store(r.keys.WAL(b, seq))
		r.store(r.keys.Snapshot(a, seq, uuid.New()))
		r.store(r.keys.Snapshot(b, seq, uuid.New()))
	}
	now := r.now.UnixMilli()
	r.enqueue(records.Garbage{Session: a, From: 1, End: 2400, NotBefore: now})
	r.enqueue(records.Garbage{Session: b, From: 0, End: 5, NotBefore: now - 1, Snapshots: true})
	r.enqueue(records.Garbage{ID: uuid.New(), Keys: []string{r.store(r.keys.Pack(uuid.New())), r.keys.Pack(uuid.New())}, NotBefore: now})
	r.enqueue(records.Garbage{ID: uuid.New(), Keys: []string{r.store(r.keys.Pack(uuid.New()))}, NotBefore: now + 1, Bytes: 70})
	c := r.collector(r.inner)
	if err := c.Sweep(t.Context(), r.now); err != nil {
		t.Fatal(err)
	}
	if got := r.kinds(); got["w"] != 101 || got["s"] != 5 || got["k"] != 1 || len(r.queue()) != 1 {
		t.Fatal(got, r.queue())
	}
	if q := c.metrics.mu.queue; q.objects != 1 || q.bytes != 70 || q.late != 0 {
		t.Fatal(q)
	}
	if err := c.Sweep(t.Context(), r.now.Add(time.Second)); err != nil || len(r.queue()) != 0 || r.kinds()["k"] != 0 {
		t.Fatal(err, r.queue())
	}
}

// An item goes only when the store has confirmed each of its keys, however often that takes.
func TestCollectFromAStoreThatDeletesInPart(t *testing.T) { synctest.Test(t, testPartialDeletes) }

func testPartialDeletes(t *testing.T) {
	r := newRig(t)
	var keys []string
	for i := range 200 {
		keys = append(keys, r.store(r.keys.Pack(uuid.New())))
		if i%50 == 49 {
			r.enqueue(records.Garbage{ID: uuid.New(), Keys: keys[i-49 : i+1 : i+1]})
		}
	}
	plan := objfault.Plan{Seed: 1}
	plan.Rates[objfault.Delete] = objfault.Rates{Partial: 0.5, Error: 0.3, Lost: 0.2}
	c := r.collector(objfault.New(r.inner, plan))
	for range 50 {
		_ = c.Sweep(t.Context(), r.now)
		for _, g := range r.queue() {
			if len(g.Keys) != 50 {
				t.Fatal(len(g.Keys))
			}
		}
		if r.kinds()["k"] > 0 && len(r.queue()) == 0 {
			t.Fatal("the queue forgot an object")
		}
		if len(r.queue()) == 0 {
			return
		}
	}
	t.Fatal(r.kinds(), len(r.queue()))
}

// A store that refuses keeps the item; what is no key of ours is left alone; a shard of others too.
func TestCollectRefused(t *testing.T) {
	r := newRig(t)
	key := r.store(r.keys.Pack(uuid.New()))
	other := r.store("other/thing")
	r.enqueue(records.Garbage{ID: uuid.UUID{1}, Keys: []string{key}})
	r.enqueue(records.Garbage{ID: uuid.UUID{2}, Keys: []string{other}})
	c := r.collector(&refusing{r.inner})
	if err := c.Sweep(t.Context(), r.now); !errors.Is(err, objstore.ErrRefused) || len(r.queue()) != 2 {
		t.Fatal(err, r.queue())
	}
	r.now = r.now.Add(time.Hour)
	if _ = c.Sweep(t.Context(), r.now); c.metrics.mu.queue.late < time.Hour.Milliseconds() {
		t.Fatal("no lag", c.metrics.mu.queue)
	}
	c = r.collector(r.inner)
	c.d.Mine = func(shard int) bool { return shard != 1 }
	if err := c.Sweep(t.Context(), r.now); err != nil || len(r.queue()) != 2 {
		t.Fatal(err, r.queue())
	}
	c.d.Mine = func(int) bool { return true }
	if err := c.Sweep(t.Context(), r.now); err != nil || len(r.queue()) != 1 {
		t.Fatal(err, r.queue())
	}
	if _, err := r.inner.Get(t.Context(), other, objstore.Range{}); err != nil {
		t.Fatal("what is not ours is gone:", err)
	}
}

type refusing struct{ objstore.Store }

func (refusing) Delete(context.Context, ...string) error {
	return fmt.Errorf("%w: no", objstore.ErrRefused)
}

// A deleted topic goes whole: segments, extents, items; its neighbour stays. Done twice it does no harm.
func TestCollectTopic(t *testing.T) {
	r := newRig(t)
	r.cfg.SegmentBytes = 1 << 20
	gone, stays := r.topic("a", 3), r.topic("b", 1)
	r.open()
	for range 3 {
		r.write(slices.Concat(gone[:2], stays), 700<<10, 2)
		r.round(time.Minute)
	}
	r.round(6 * time.Hour)
	_, kept := r.extents(stays[0])
	if _, extents := r.extents(gone[0]); len(extents) < 2 || len(kept) < 2 {
		t.Fatal(extents, kept)
	}
	for range 2 {
		r.enqueue(records.Garbage{ID: gone[0].Topic, Partitions: 3})
		delete(r.topics, gone[0].Topic)
		if err := r.collector(r.inner).Sweep(t.Context(), r.now.Add(24*time.Hour)); err != nil {
			t.Fatal(err)
		}
		for _, n := range gone {
			if p, extents := r.extents(n); p.V != 0 || len(extents) != 0 {
				t.Fatal(p, extents)
			}
		}
		if got := r.kinds(); got["t"] != len(kept) || len(r.queue()) != 0 {
			t.Fatal(got, r.queue())
		}
		r.check()
	}
}

// An item that does not decode, or a deleted topic with an extent that does not, stays and is told of; what comes behind it goes all the same.
func TestCollectBehindWhatIsBroken(t *testing.T) {
	r := newRig(t)
	broken := metastore.Key{PK: r.cluster.GarbagePK(1), SK: "0000000000001#x"}
	topic := uuid.UUID{1, 2}
	extent := r.cluster.ExtentKey(topic, 0, 0)
	for _, key := range []metastore.Key{broken, extent} {
		if _, err := r.table.Write(t.Context(), metastore.Op{Kind: metastore.OpPut, Key: key, Set: metastore.Item{"x": metastore.N(1)}}); err != nil {
			t.Fatal(err)
		}
	}
	r.enqueue(records.Garbage{ID: uuid.UUID{1, 1}, NotBefore: 0, Keys: []string{r.store(r.keys.Pack(uuid.New()))}})
	r.enqueue(records.Garbage{ID: topic, NotBefore: 2, Partitions: 1})
	r.enqueue(records.Garbage{ID: uuid.UUID{1, 3}, NotBefore: 3, Keys: []string{r.store(r.keys.Pack(uuid.New()))}})
	c := r.collector(r.inner)
	for range 2 {
		if err := c.Sweep(t.Context(), r.now); !errors.Is(err, records.ErrBadItem) {
			t.Fatal(err)
		}
		if n := r.kinds()["k"]; n != 0 {
			t.Fatalf("%d packs wait behind what is broken", n)
		}
	}
	for _, key := range []metastore.Key{broken, extent, r.cluster.GarbageKey(records.Garbage{ID: topic, NotBefore: 2, Partitions: 1})} {
		if _, err := r.table.Get(t.Context(), key, metastore.Consistent); err != nil {
			t.Error(key, err)
		}
	}
}

// locking refuses to delete some keys, and deletes the others.
type locking struct {
	objstore.Store
	locked map[string]bool
	asked  int
}

func (s *locking) Delete(ctx context.Context, keys ...string) error {
	s.asked += len(keys)
	var some objstore.DeleteError
	for _, key := range keys {
		if s.locked[key] {
			some.Keys, some.Reason = append(some.Keys, key), fmt.Errorf("%w: locked", objstore.ErrRefused)
		} else if err := s.Store.Delete(ctx, key); err != nil {
			return err
		}
	}
	if len(some.Keys) > 0 {
		return &some
	}
	return nil
}

// An object that the store refuses to delete, because it is locked, keeps its item in the queue, and nothing else.
func TestCollectBehindALockedObject(t *testing.T) {
	r := newRig(t)
	store := &locking{Store: r.inner, locked: map[string]bool{}}
	item := func(due int64, keys int) (some []string) {
		for range keys {
			some = append(some, r.store(r.keys.Pack(uuid.New())))
		}
		id := uuid.New()
		id[0] = 1
		r.enqueue(records.Garbage{ID: id, NotBefore: due, Keys: some})
		return some
	}
	store.locked[item(1, 3)[1]] = true
	for i := range int64(8) {
		item(2+i, records.MaxGarbageKeys) // several requests
	}
	item(20, 1)
	want := 2 + 8*records.MaxGarbageKeys + 1 // and then two again: that they are gone is confirmed each time
	for range 2 {
		store.asked = 0
		c := r.collector(store)
		if err := c.Sweep(t.Context(), r.now); !errors.Is(err, objstore.ErrRefused) {
			t.Fatal(err)
		}
		if got := count(t, c.metrics.deleted); got != float64(want) {
			t.Errorf("%v objects are counted as deleted, not %d", got, want)
		}
		want = 2
		if got := r.kinds()["k"]; got != 1 || len(r.queue()) != 1 || len(r.queue()[0].Keys) != 3 {
			t.Fatal(got, len(r.queue()))
		}
	}
	if store.asked != 3 {
		t.Errorf("the second look asked for %d deletions", store.asked)
	}
	clear(store.locked)
	if err := r.collector(store).Sweep(t.Context(), r.now); err != nil || r.kinds()["k"] != 0 || len(r.queue()) != 0 {
		t.Fatal(err, r.kinds())
	}
}

// What waits in the queue is told in objects, bytes and seconds, and is nothing once the store has deleted it.
func TestLagIsTold(t *testing.T) {
	r := newRig(t)
	session := uuid.New()
	var keys []string
	for range 3 {
		keys = append(keys, r.store(r.keys.Pack(uuid.New())))
	}
	r.enqueue(records.Garbage{ID: uuid.New(), Keys: keys, Bytes: 1000, NotBefore: r.now.Add(-90 * time.Second).UnixMilli()})
	r.enqueue(records.Garbage{Session: session, From: 4, End: 9, Bytes: 77, NotBefore: r.now.Add(-30 * time.Second).UnixMilli()})
	r.enqueue(records.Garbage{Session: session, From: 9, End: 11, Bytes: 5, NotBefore: r.now.Add(time.Minute).UnixMilli()})
	c := r.collector(&refusing{r.inner})
	told := func() map[string]float64 {
		registry := prometheus.NewPedanticRegistry()
		if err := registry.Register(c.metrics); err != nil {
			t.Fatal(err)
		}
		all, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		lag := map[string]float64{}
		for _, f := range all {
			if name, ok := strings.CutPrefix(f.GetName(), "varve_gc_lag_"); ok {
				lag[name] = f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		return lag
	}
	if err := c.Sweep(t.Context(), r.now); !errors.Is(err, objstore.ErrRefused) {
		t.Fatal(err)
	}
	if got, want := told(), (map[string]float64{"objects": 10, "bytes": 1082, "seconds": 90}); !maps.Equal(got, want) {
		t.Errorf("while the store refuses: %v, want %v", got, want)
	}
	c.d.Objects = r.inner
	if err := c.Sweep(t.Context(), r.now); err != nil {
		t.Fatal(err)
	}
	if got, want := told(), (map[string]float64{"objects": 2, "bytes": 5, "seconds": 0}); !maps.Equal(got, want) {
		t.Errorf("when it does not: %v, want %v", got, want)
	}
}

// So does one of a topic that was deleted, and a snapshot: those are found only when their items' time has come.
func TestCollectBehindALockedTopicAndSnapshot(t *testing.T) {
	r := newRig(t)
	topic, session := uuid.New(), uuid.New()
	topic[0], session[0] = 1, 1
	x := records.Extent{Base: 0, Next: 5, Segment: uuid.New(), Size: 1}
	segment, snapshot := r.store(r.keys.Segment(topic, 0, 0, x.Segment)), r.store(r.keys.Snapshot(session, 1, uuid.New()))
	if _, err := r.table.Write(t.Context(), metastore.Op{Kind: metastore.OpPut, Key: r.cluster.ExtentKey(topic, 0, 0), Set: x.Item()}); err != nil {
		t.Fatal(err)
	}
	r.enqueue(records.Garbage{ID: uuid.UUID{1, 1}, NotBefore: 1, Keys: []string{r.store(r.keys.Pack(uuid.New()))}})
	r.enqueue(records.Garbage{ID: topic, NotBefore: 2, Partitions: 1})
	r.enqueue(records.Garbage{Session: session, NotBefore: 3, Snapshots: true})
	r.enqueue(records.Garbage{ID: uuid.UUID{1, 2}, NotBefore: 4, Keys: []string{r.store(r.keys.Pack(uuid.New()))}})
	store := &locking{Store: r.inner, locked: map[string]bool{segment: true, snapshot: true}}
	if err := r.collector(store).Sweep(t.Context(), r.now); !errors.Is(err, objstore.ErrRefused) {
		t.Fatal(err)
	}
	if got := r.kinds(); got["k"] != 0 || got["s"] != 1 || len(r.queue()) != 2 {
		t.Fatal(got, r.queue())
	}
	clear(store.locked)
	if err := r.collector(store).Sweep(t.Context(), r.now); err != nil || r.kinds()["s"] != 0 || len(r.queue()) != 0 {
		t.Fatal(err, r.kinds(), r.queue())
	}
}
