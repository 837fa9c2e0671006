package fetch

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

func wrapped(b []byte) *memory.Buf { return memory.Wrap(bytes.Clone(b)) }

// tail is a Log over the end of an index.
type tail struct {
	index
	tiered int64
}

func (x *tail) Tiered(next int64) {
	x.tiered = next
	for len(x.index) > 0 && x.index[0].Next <= next {
		x.index = x.index[1:]
	}
}

// extents is what lies in segments: a list of pieces.
type extents struct {
	index
	cold   bool   // not in memory
	loads  func() // while it is read
	item   records.Partition
	forgot func(x *extents)
	looked func() // after LocateTime and LocateMaxTime
	asked  int    // for the item
}

func (x *extents) Locate(_ context.Context, dst []bundle.Location, _ uuid.UUID, _ int32, offset int64, n int, load bool) ([]bundle.Location, bool, error) {
	if x.cold && !load {
		return dst, false, nil
	}
	if x.cold && x.loads != nil {
		x.loads()
	}
	x.cold = false
	if len(x.index) == 0 || offset < x.index[0].Base {
		return dst, true, nil
	}
	return x.index.Locate(dst, offset, n), true, nil
}

func (x *extents) LocateTime(_ context.Context, _ uuid.UUID, _ int32, from, ts int64) (bundle.Location, bool, error) {
	defer x.done()
	for _, loc := range x.index {
		if loc.Next > from && loc.MaxTimestamp >= ts {
			return loc, true, nil
		}
	}
	return bundle.Location{}, false, nil
}

func (x *extents) LocateMaxTime(_ context.Context, _ uuid.UUID, _ int32, from int64) (ts, at int64, ok bool, err error) {
	defer x.done()
	loc, ok := x.index.LocateMaxTime()
	return loc.MaxTimestamp, loc.Base, ok, nil
}

func (x *extents) done() {
	if x.looked != nil {
		x.looked()
	}
}

func (x *extents) Partition(context.Context, uuid.UUID, int32) (records.Partition, bool, error) {
	x.asked++
	return x.item, x.item.Tiered > 0, nil
}

func (x *extents) Forget(uuid.UUID, int32, int64) {
	if x.forgot != nil {
		x.forgot(x)
	}
}

// as moves the newest object to a kind of object, under the key that it has then.
func (w *world) as(kind bundle.Kind, topic uuid.UUID, partition int32) {
	w.t.Helper()
	loc := &w.index[len(w.index)-1]
	old := w.keys.WAL(loc.Object.Session, loc.Object.Seq)
	id := uuid.New()
	o := bundle.Object{Kind: kind, Session: id, Size: loc.Object.Size}
	k := w.keys.Pack(id)
	if kind == bundle.SEG {
		o.Seq = uint64(loc.Base)
		k = w.keys.Segment(topic, partition, loc.Base, id)
	}
	if err := w.store.Put(w.t.Context(), k, w.bodies[len(w.bodies)-1]); err != nil {
		w.t.Fatal(err)
	}
	if err := w.store.Delete(w.t.Context(), old); err != nil {
		w.t.Fatal(err)
	}
	loc.Object = o
}

func TestKeysByKind(t *testing.T) {
	topic := uuid.New()
	w := newWorld(t)
	w.object(0, 100)
	w.object(0, 100)
	w.as(bundle.PACK, topic, 7)
	w.object(0, 100)
	w.as(bundle.SEG, topic, 7)
	got, err := w.read(w.reader(Config{}), Request{Topic: topic, Index: 7, MaxBytes: 1 << 20, Mode: Load})
	w.want(got, err, 0, 3)
}

// The tail begins where the extents end: a read goes from one to the other without a gap, and from memory alone says if it can't.
func TestExtentsThenTail(t *testing.T) {
	topic := uuid.New()
	w := newWorld(t)
	for range 3 {
		w.object(0, 100, 100)
		w.as(bundle.SEG, topic, 1)
	}
	w.object(0, 100, 100)
	w.object(0, 100)
	x := &extents{index: w.index[:3], cold: true}
	log := &tail{index: w.index[3:]}
	r := w.reader(Config{CacheBytes: 1 << 20, Extents: x})
	defer r.Close()
	q := Request{Log: log, Topic: topic, Index: 1, MaxBytes: 1 << 20}
	if _, err := w.read(r, q); !errors.Is(err, ErrMiss) {
		t.Fatal(err)
	}
	q.Mode = Load
	got, err := w.read(r, q)
	w.want(got, err, 0, 9)
	q.Mode = Cached
	got, err = w.read(r, q)
	w.want(got, err, 0, 9)
	q.From = 5
	got, err = w.read(r, q)
	w.want(got, err, 2, 9)
}

// An offset that neither has is an error, never an empty success.
func TestHoleIsAnError(t *testing.T) {
	w := newWorld(t)
	w.object(0, 100)
	w.object(0, 100)
	for _, x := range []Extents{nil, &extents{}} {
		r := w.reader(Config{Extents: x})
		if _, err := w.read(r, Request{Log: &tail{index: w.index[1:]}, MaxBytes: 1 << 20, Mode: Load}); !errors.Is(err, ErrGone) {
			t.Fatal(err)
		}
	}
}

// R18: a reader holds an index entry of a deleted object: the index is read again, once.
func TestMissingSegmentIsLookedForOnce(t *testing.T) {
	topic := uuid.New()
	w := newWorld(t)
	w.object(0, 100, 100)
	w.as(bundle.SEG, topic, 1)
	old := index{w.index[0]}
	old[0].Object.Session = uuid.New()
	x := &extents{index: old, forgot: func(x *extents) { x.index = w.index }}
	r := w.reader(Config{Extents: x})
	got, err := w.read(r, Request{Log: &tail{}, Topic: topic, Index: 1, MaxBytes: 1 << 20, Mode: Load})
	w.want(got, err, 0, 2)
	times := 0
	x = &extents{index: old, forgot: func(*extents) { times++ }}
	if _, err := w.read(w.reader(Config{Extents: x}), Request{Log: &tail{}, Topic: topic, Index: 1, MaxBytes: 1 << 20, Mode: Load}); !errors.Is(err, objstore.ErrNotFound) || times != 1 {
		t.Fatal(times, err)
	}
	x = &extents{index: old, forgot: func(x *extents) { x.index = nil }}
	if _, err := w.read(w.reader(Config{Extents: x}), Request{Log: &tail{}, Topic: topic, Index: 1, MaxBytes: 1 << 20, Mode: Load}); !errors.Is(err, ErrGone) {
		t.Fatal(err)
	}
}

// A tail that names a bundle which is gone: it is in a pack now, or in an extent, or below the log start; else it is an alarm.
func TestMissingTailObject(t *testing.T) {
	topic := uuid.New()
	w := newWorld(t)
	w.object(0, 100, 100)
	w.as(bundle.SEG, topic, 1)
	w.object(0, 100)
	gone := w.index[0]
	gone.Object = bundle.Object{Kind: bundle.WAL, Session: uuid.New(), Seq: 1, Size: gone.Object.Size}
	stale := index{gone, w.index[1]}
	read := func(log Log, x *extents) ([]byte, error) {
		return w.read(w.reader(Config{Extents: x}), Request{Log: log, Topic: topic, Index: 1, MaxBytes: 1 << 20, Mode: Load})
	}

	log := &tail{index: stale}
	got, err := read(log, &extents{index: w.index[:1], item: records.Partition{Tiered: 4}})
	w.want(got, err, 0, 3)
	if log.tiered != 4 {
		t.Fatalf("the tail was told %d", log.tiered)
	}
	if _, err := read(&tail{index: stale}, &extents{item: records.Partition{LogStart: 2, Tiered: 2}}); !errors.Is(err, ErrGone) && !errors.Is(err, objstore.ErrNotFound) {
		t.Fatal(err)
	}
	x := &extents{}
	if _, err := read(&tail{index: stale}, x); !errors.Is(err, objstore.ErrNotFound) || x.asked != 1 {
		t.Fatal(x.asked, err)
	}
	moved := &shifting{now: stale, then: w.index}
	x = &extents{}
	got, err = read(moved, x)
	w.want(got, err, 0, 3)
	if x.asked != 0 {
		t.Fatal("the table was asked for a run that the tail knows to lie elsewhere")
	}
}

// shifting is a Log that changes after the first look.
type shifting struct {
	index
	now, then index
	looks     int
}

func (x *shifting) Locate(dst []bundle.Location, offset int64, n int) []bundle.Location {
	if x.looks++; x.looks <= 1 {
		return x.now.Locate(dst, offset, n)
	}
	return x.then.Locate(dst, offset, n)
}

// By time: extents before the tail, the first of two that say the same; from an offset on.
func TestTimes(t *testing.T) {
	all := index{
		{Base: 0, Next: 10, MaxTimestamp: 50}, {Base: 10, Next: 20, MaxTimestamp: 90}, // extents
		{Base: 20, Next: 30, MaxTimestamp: 40}, {Base: 30, Next: 40, MaxTimestamp: 90}, {Base: 40, Next: 50, MaxTimestamp: 60},
	}
	r := (&world{t: t}).reader(Config{Extents: &extents{index: all[:2]}})
	log := &tail{index: all[2:]}
	for _, c := range []struct {
		from, ts, base int64
	}{{0, 10, 0}, {0, 51, 10}, {20, 41, 30}, {20, 10, 20}, {40, 10, 40}, {40, 61, -1}, {0, 91, -1}, {10, 60, 10}, {50, 1, -1}} {
		loc, ok, err := r.FirstTime(t.Context(), log, uuid.Nil, 0, c.from, c.ts)
		if err != nil || ok != (c.base >= 0) || ok && loc.Base != c.base {
			t.Errorf("from %d, time %d: %v %v %v, want base %d", c.from, c.ts, loc.Base, ok, err, c.base)
		}
	}
	if loc, ok, err := r.MaxTime(t.Context(), log, uuid.Nil, 0, 0); err != nil || !ok || loc.Base != 10 {
		t.Fatal(loc, ok, err)
	}
	if loc, ok, err := r.MaxTime(t.Context(), log, uuid.Nil, 0, 20); err != nil || !ok || loc.Base != 30 {
		t.Fatal(loc, ok, err)
	}
	alone := (&world{t: t}).reader(Config{})
	if loc, ok, err := alone.MaxTime(t.Context(), log, uuid.Nil, 0, 20); err != nil || !ok || loc.Base != 30 {
		t.Fatal(loc, ok, err)
	}
	if _, ok, err := alone.FirstTime(t.Context(), &tail{}, uuid.Nil, 0, 0, 1); err != nil || ok {
		t.Fatal(ok, err)
	}
}

// A run that is linked between the look at the extents and that at the tail is found all the same.
func TestTimesWhileRunsMove(t *testing.T) {
	all := index{
		{Base: 0, Next: 10, MaxTimestamp: 50}, {Base: 10, Next: 20, MaxTimestamp: 95}, {Base: 20, Next: 30, MaxTimestamp: 90},
	}
	x := &extents{index: all[:1]}
	log := &tail{index: all[1:]}
	r := (&world{t: t}).reader(Config{Extents: x})
	for _, ask := range []func() (bundle.Location, bool, error){
		func() (bundle.Location, bool, error) { return r.FirstTime(t.Context(), log, uuid.Nil, 0, 0, 60) },
		func() (bundle.Location, bool, error) { return r.MaxTime(t.Context(), log, uuid.Nil, 0, 0) },
	} {
		x.index, log.index = all[:1], all[1:]
		x.looked = func() { x.index, log.index, x.looked = all[:2], all[2:], nil }
		if loc, ok, err := ask(); err != nil || !ok || loc.Base != 10 {
			t.Error(loc, ok, err)
		}
	}
}
