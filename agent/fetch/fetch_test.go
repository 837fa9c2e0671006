package fetch

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/mem"
	"github.com/varvelog/varve/objstore/recordbatch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// index is a Log over a list.
type index []bundle.Location

func (x index) Locate(dst []bundle.Location, offset int64, n int) []bundle.Location {
	for _, loc := range x {
		if loc.Next > offset && n > 0 {
			dst = append(dst, loc)
			n--
		}
	}
	return dst
}

func (x index) LocateTime(ts int64) (bundle.Location, bool) {
	for _, loc := range x {
		if loc.MaxTimestamp >= ts {
			return loc, true
		}
	}
	return bundle.Location{}, false
}

func (x index) LocateMaxTime() (bundle.Location, bool) {
	var top bundle.Location
	for i, loc := range x {
		if i == 0 || loc.MaxTimestamp > top.MaxTimestamp {
			top = loc
		}
	}
	return top, len(x) > 0
}

func (x index) Tiered(int64) {}

type counted struct {
	objstore.Store
	gets atomic.Int32
}

func (c *counted) Get(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
	c.gets.Add(1)
	return c.Store.Get(ctx, key, r)
}

// world is objects in a store, with an index of one partition's runs in them.
type world struct {
	t       *testing.T
	store   *counted
	keys    objstore.Keys
	session uuid.UUID
	index   index
	batches [][]byte
	bodies  [][]byte
	next    int64
}

func newWorld(t *testing.T) *world {
	return &world{t: t, store: &counted{Store: mem.New()}, keys: objstore.Keys{Cluster: "c"}, session: uuid.New()}
}

// object writes an object that holds filler bytes and then a run of batches with values of the given sizes.
func (w *world) object(filler int, sizes ...int) bundle.Object {
	w.t.Helper()
	body := bundle.AppendHeader(nil, bundle.Header{Kind: bundle.WAL})
	body = append(body, make([]byte, filler)...)
	o := bundle.Object{Kind: bundle.WAL, Session: w.session, Seq: uint64(len(w.bodies) + 1)}
	loc := bundle.Location{Pos: uint64(len(body)), Base: w.next}
	for _, n := range sizes {
		value := bytes.Repeat([]byte{byte(w.next)}, n)
		b, err := (&recordbatch.Builder{BaseOffset: w.next}).Append(nil, []recordbatch.Record{{Value: value}, {Value: value[:0]}})
		if err != nil {
			w.t.Fatal(err)
		}
		body = append(body, b...)
		w.batches = append(w.batches, b)
		w.next += 2
	}
	loc.Next, loc.Len = w.next, uint32(len(body)-int(loc.Pos))
	o.Size = uint64(len(body))
	loc.Object = o
	w.index = append(w.index, loc)
	w.bodies = append(w.bodies, body)
	if err := w.store.Put(w.t.Context(), w.keys.WAL(o.Session, o.Seq), append(body, "footer"...)); err != nil {
		w.t.Fatal(err)
	}
	return o
}

func (w *world) reader(cfg Config) *Reader {
	return New(w.store, w.keys, &memory.Pool{}, cfg)
}

// read reads and returns the bytes of all slices.
func (w *world) read(r *Reader, q Request) ([]byte, error) {
	w.t.Helper()
	if q.Log == nil {
		q.Log = w.index
	}
	if q.Before == 0 {
		q.Before = w.next
	}
	slices, n, err := r.Read(context.Background(), q, nil)
	var got []byte
	for _, s := range slices {
		got = append(got, s.Bytes...)
		s.Release()
	}
	if len(got) != n {
		w.t.Fatalf("%d bytes, said to be %d", len(got), n)
	}
	return got, err
}

func (w *world) want(got []byte, err error, from, to int) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	if !bytes.Equal(got, bytes.Join(w.batches[from:to], nil)) {
		w.t.Fatalf("got %d bytes, want batches %d to %d", len(got), from, to)
	}
}

// FE1 to FE3: whole batches from the one that holds the offset, within the limits; the first one always, if asked.
func TestRead(t *testing.T) {
	w := newWorld(t)
	w.object(0, 100, 100, 100)
	w.object(500, 100, 100)
	size := len(w.batches[0])
	r := w.reader(Config{CacheBytes: 1 << 20})
	big := 1 << 20
	for _, c := range []struct {
		name     string
		q        Request
		from, to int
	}{
		{"all", Request{MaxBytes: big}, 0, 5},
		{"from the middle of a batch", Request{From: 3, MaxBytes: big}, 1, 5},
		{"last batch", Request{From: 9, MaxBytes: big}, 4, 5},
		{"below a bound", Request{Before: 6, MaxBytes: big}, 0, 3},
		{"exactly two", Request{MaxBytes: 2 * size}, 0, 2},
		{"one byte less than two", Request{MaxBytes: 2*size - 1}, 0, 1},
		{"too small", Request{MaxBytes: size - 1}, 0, 0},
		{"too small, at least one", Request{MaxBytes: 1, AtLeastOne: true}, 0, 1},
		{"over a border of objects", Request{From: 4, MaxBytes: 2 * size}, 2, 4},
		{"at the end", Request{From: 10, MaxBytes: big}, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.q.Mode = Load
			got, err := w.read(r, c.q)
			w.want(got, err, c.from, c.to)
		})
	}
}

// What was committed a moment ago is read without a request.
func TestTailIsReadFromMemory(t *testing.T) {
	w := newWorld(t)
	r := w.reader(Config{CacheBytes: 64 << 20})
	for _, sizes := range [][]int{{100}, {5 << 20, 5 << 20}} { // the second object has several blocks
		o := w.object(0, sizes...)
		r.Committed(o, memory.Wrap(append(w.bodies[len(w.bodies)-1], "footer"...)))
	}
	got, err := w.read(r, Request{MaxBytes: 1 << 30, Mode: Cached})
	w.want(got, err, 0, 3)
	if n := r.pool.Outstanding(); n != 0 {
		t.Fatalf("%d bytes were copied", n)
	}
	if n := w.store.gets.Load(); n != 0 {
		t.Fatalf("%d GETs for a tail that is in memory", n)
	}
}

// Blocks that are loaded lie in buffers of the pool, the last of an object too. It gets them back, also from a load that fails.
func TestLoadedBlocksAreOfThePool(t *testing.T) {
	w := newWorld(t)
	o := w.object(0, 5<<20, 5<<20)
	r := w.reader(Config{CacheBytes: 64 << 20})
	got, err := w.read(r, Request{MaxBytes: 1 << 30, Mode: Load})
	w.want(got, err, 0, 2)
	if n := r.pool.Outstanding(); n != 2*BlockLen+int64(memory.Capacity(int(o.Size)-2*BlockLen)) {
		t.Errorf("%d bytes of the pool are in use, want those of three blocks of %d bytes", n, o.Size)
	}
	w.object(0, 5<<20)
	if err := w.store.Put(t.Context(), w.keys.WAL(w.session, 2), make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.read(r, Request{From: 4, MaxBytes: 1 << 30, Mode: Load}); !errors.Is(err, objstore.ErrRange) {
		t.Error(err)
	}
	r.Close()
	if n := r.pool.Outstanding(); n != 0 {
		t.Errorf("%d bytes of the pool are in use after Close", n)
	}
}

func TestCachedNeverAsksTheStore(t *testing.T) {
	w := newWorld(t)
	w.object(0, 100)
	if _, err := w.read(w.reader(Config{CacheBytes: 1 << 20}), Request{MaxBytes: 100, Mode: Cached}); !errors.Is(err, ErrMiss) {
		t.Fatal(err)
	}
	if n := w.store.gets.Load(); n != 0 {
		t.Fatalf("%d GETs", n)
	}
}

// Many readers of one block cause one GET, and the next ones none.
func TestReadersOfABlockShareOneGet(t *testing.T) {
	w := newWorld(t)
	w.object(0, 100, 100)
	r := w.reader(Config{CacheBytes: 1 << 20})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			got, err := w.read(r, Request{MaxBytes: 1 << 20, Mode: Load})
			if err != nil || len(got) == 0 {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := w.store.gets.Load(); n != 1 {
		t.Fatalf("%d GETs of one block", n)
	}
}

// Damage in the cache is read again from the store; damage in the store is an error, never records.
func TestDamage(t *testing.T) {
	w := newWorld(t)
	o := w.object(0, 100, 100)
	r := w.reader(Config{CacheBytes: 1 << 20})
	bad := bytes.Clone(w.bodies[0])
	bad[len(bad)-5] ^= 1
	r.Committed(o, memory.Wrap(bad))
	got, err := w.read(r, Request{MaxBytes: 1 << 20, Mode: Load})
	w.want(got, err, 0, 2)

	if err := w.store.Put(t.Context(), w.keys.WAL(o.Session, o.Seq), bad); err != nil {
		t.Fatal(err)
	}
	if got, err := w.read(w.reader(Config{}), Request{MaxBytes: 1 << 20, Mode: Load}); !errors.Is(err, ErrCorrupt) || !bytes.Equal(got, w.batches[0]) {
		t.Fatalf("%d bytes, %v", len(got), err) // what lies before the damage is whole
	}
}

// Foreign bytes: a valid batch at the wrong place is not served (reliability: ownership).
func TestWrongPlace(t *testing.T) {
	w := newWorld(t)
	w.object(0, 100, 100)
	w.index[0].Base, w.index[0].Next = 10, 14
	w.next = 14
	if _, err := w.read(w.reader(Config{}), Request{From: 10, MaxBytes: 1 << 20, Mode: Load}); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
}

func TestMissingObject(t *testing.T) {
	w := newWorld(t)
	o := w.object(0, 100)
	if err := w.store.Delete(t.Context(), w.keys.WAL(o.Session, o.Seq)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.read(w.reader(Config{}), Request{MaxBytes: 1 << 20, Mode: Load}); !errors.Is(err, objstore.ErrNotFound) {
		t.Fatal(err)
	}
}

// Copy gives what is in memory, over the borders of blocks, and never asks the store.
func TestCopy(t *testing.T) {
	w := newWorld(t)
	o := w.object(0, 3<<20, 3<<20, 100)
	r := w.reader(Config{CacheBytes: 64 << 20})
	dst := make([]byte, w.index[0].Len)
	if r.Copy(w.index[0], dst) {
		t.Fatal("copied what is not there")
	}
	r.Committed(o, memory.Wrap(w.bodies[0]))
	if !r.Copy(w.index[0], dst) || !bytes.Equal(dst, bytes.Join(w.batches, nil)) || w.store.gets.Load() > 0 {
		t.Fatal("not what was committed")
	}
}

// Await waits for the first MiB only: what comes after it is read when it is there.
func TestAwait(t *testing.T) {
	w := newWorld(t)
	for range 40 {
		w.object(0, 300<<10)
	}
	r := w.reader(Config{CacheBytes: 64 << 20})
	q := Request{MaxBytes: 1 << 30, Mode: Await}
	got, err := w.read(r, q)
	if n := len(got) / len(w.batches[0]); n < 4 || err != nil && !errors.Is(err, ErrMiss) {
		t.Fatalf("%d of %d objects: %v", n, len(w.batches), err)
	}
	r.Close()
	stuck := &held{Store: w.store, letGo: make(chan struct{})}
	r = New(stuck, w.keys, &memory.Pool{}, Config{CacheBytes: 64 << 20})
	defer r.Close()
	for i := range 4 { // the first ones are there, the others never come
		r.Committed(w.index[i].Object, wrapped(w.bodies[i]))
	}
	for i := 4; i < len(w.index); i++ {
		w.index[i].Object.Kind = bundle.PACK
	}
	got, err = w.read(r, q)
	if !errors.Is(err, ErrMiss) || len(got) != 4*len(w.batches[0]) {
		t.Fatal(len(got), err)
	}
	close(stuck.letGo)
}
