package fetch

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// settled waits until n GETs are done and what they brought is in the cache.
func (w *world) settled(r *Reader, n int32) {
	w.t.Helper()
	for end := time.Now().Add(20 * time.Second); (w.store.gets.Load() < n || r.Stats().Bytes < int64(n)*int64(memory.Capacity(int(w.index[0].Object.Size))+256)) && time.Now().Before(end); {
		runtime.Gosched()
	}
	if got := w.store.gets.Load(); got != n {
		w.t.Fatalf("%d GETs, want %d", got, n)
	}
}

// history returns the reader of a stream that has read the first of 40 segments and has 4 blocks loaded ahead of it, its index, and what
// it asked for.
func (w *world) history() (*Reader, *extents, Request) {
	w.t.Helper()
	for range 40 {
		w.object(0, 1000)
		w.as(bundle.SEG, uuid.Nil, 0)
	}
	x := &extents{index: w.index}
	r := w.reader(Config{CacheBytes: 1 << 30, Loads: 256, Extents: x})
	q := Request{Log: &tail{}, MaxBytes: 1, AtLeastOne: true, Mode: Load}
	got, err := w.read(r, q)
	w.want(got, err, 0, 1)
	w.settled(r, 1+4)
	return r, x, q
}

// Who goes through history finds the next blocks loaded, twice as many each time.
func TestReadAheadDoubles(t *testing.T) {
	w := newWorld(t)
	for range 40 {
		w.object(0, 1000)
	}
	r := w.reader(Config{CacheBytes: 1 << 30, Loads: 256})
	defer r.Close()
	got, err := w.read(r, Request{MaxBytes: 1, AtLeastOne: true, Mode: Load})
	w.want(got, err, 0, 1)
	w.settled(r, 1+4)
	// What is there is read without waiting, and more is loaded meanwhile.
	got, err = w.read(r, Request{From: 2, MaxBytes: 4 * len(w.batches[0]), Mode: Cached})
	w.want(got, err, 1, 5)
	w.settled(r, 5+8)
	got, err = w.read(r, Request{From: 10, MaxBytes: 8 * len(w.batches[0]), Mode: Cached})
	w.want(got, err, 5, 13)
	w.settled(r, 13+16)
}

// A stream outlives a look that finds nothing in memory, whether it is blocks that are missing or the index.
func TestStreamOutlivesAMiss(t *testing.T) {
	w := newWorld(t)
	r, x, q := w.history()
	defer r.Close()
	x.cold = true
	q.From, q.Mode = 2, Cached
	if _, err := w.read(r, q); !errors.Is(err, ErrMiss) {
		t.Fatal(err)
	}
	q.Mode = Load
	got, err := w.read(r, q)
	w.want(got, err, 1, 2)
	w.settled(r, 2+8)
}

// To warm a stream is to load what it reads next, and more; the stream is there for its next read, also while the index is looked up.
func TestWarm(t *testing.T) {
	w := newWorld(t)
	r, x, q := w.history()
	defer r.Close()
	looked := false
	x.cold, x.loads = true, func() { looked = r.streams.n.Load() == 1 }
	q.From, q.Before = 2, w.next
	r.Warm(t.Context(), q)
	w.settled(r, 1+9)
	if n := r.streams.n.Load(); n != 1 || !looked {
		t.Fatalf("%d streams; while the index was looked up there was one: %v", n, looked)
	}
	q.MaxBytes, q.Mode = 9*len(w.batches[0]), Cached
	got, err := w.read(r, q)
	w.want(got, err, 1, 10)
}

// Who jumps is nobody to load ahead for beyond the first few blocks; who reads the tail from memory causes no load.
func TestReadAheadIsForStreams(t *testing.T) {
	w := newWorld(t)
	for range 40 {
		w.object(0, 1000)
	}
	r := w.reader(Config{CacheBytes: 1 << 30, Loads: 256})
	defer r.Close()
	for i, at := range []int64{60, 40, 20, 0} {
		got, err := w.read(r, Request{From: at, MaxBytes: 1, AtLeastOne: true, Mode: Load})
		w.want(got, err, int(at/2), int(at/2)+1)
		w.settled(r, int32(i+1)*5)
	}
}

// A stream goes on inside of a large run where it stopped, also if the blocks before it have left the cache.
func TestStreamInsideOfARun(t *testing.T) {
	w := newWorld(t)
	sizes := make([]int, 40)
	for i := range sizes {
		sizes[i] = BlockLen / 256 * 25
	}
	w.object(0, sizes...)
	r := w.reader(Config{CacheBytes: 9 * BlockLen / 2})
	defer r.Close()
	size, from := len(w.batches[0]), 0
	for from < 40 {
		to := min(from+3, 40)
		got, err := w.read(r, Request{From: int64(2 * from), MaxBytes: 3 * size, Mode: Load})
		w.want(got, err, from, to)
		from = to
	}
	for len(r.ahead) > 0 {
		runtime.Gosched()
	}
	if n := w.store.gets.Load(); n > 4 {
		t.Fatalf("%d GETs for 4 blocks read once", n)
	}
}

// So it does when it stopped for want of a block, and not at its limit.
func TestStreamInsideOfARunAfterAMiss(t *testing.T) {
	w := newWorld(t)
	sizes := make([]int, 40)
	for i := range sizes {
		sizes[i] = BlockLen / 256 * 25
	}
	w.object(0, sizes...)
	r := w.reader(Config{CacheBytes: 2 * BlockLen}) // history has room for one block, and none is loaded ahead
	defer r.Close()
	for from, misses := 0, 0; from < 40; misses++ {
		got, err := w.read(r, Request{From: int64(2 * from), MaxBytes: 1 << 30, Mode: Await})
		if n := len(got) / len(w.batches[0]); n == 0 || err != nil && !errors.Is(err, ErrMiss) || misses > 8 {
			t.Fatalf("%d batches from %d on: %v", n, from, err)
		} else {
			w.want(got, nil, from, from+n)
			from += n
		}
	}
	if n := w.store.gets.Load(); n > 6 { // the first block finds no room at first
		t.Fatalf("%d GETs for 4 blocks", n)
	}
}

// Partitions that lie in the same objects are read side by side for the GETs of one, also when the cache is full of what was read.
func TestStreamsShareBlocks(t *testing.T) {
	const objects, streams = 60, 8
	w := newWorld(t)
	for range objects {
		w.object(0, 400<<10)
	}
	r := w.reader(Config{CacheBytes: 16 << 20}) // history has room for 20 objects, and none is loaded ahead
	defer r.Close()
	var at [streams]int
	for slices.Min(at[:]) < objects {
		for i := range at {
			if at[i] == objects {
				continue
			}
			got, err := w.read(r, Request{Index: int32(i), From: int64(2 * at[i]), MaxBytes: 1 << 30, Mode: Await})
			n := len(got) / len(w.batches[0])
			if n == 0 || err != nil && !errors.Is(err, ErrMiss) {
				t.Fatalf("stream %d, object %d: %v", i, at[i], err)
			}
			at[i] += n
		}
	}
	if n := w.store.gets.Load(); n != objects {
		t.Fatalf("%d GETs for %d objects that %d partitions share", n, objects, streams)
	}
}

// When history gets more of the cache and gives it back at once, the halves are together what there is.
func TestSharesAddUp(t *testing.T) {
	const all = 16 << 20
	r := newWorld(t).reader(Config{CacheBytes: all})
	defer r.Close()
	block, n := wrapped(make([]byte, all/64)), uint64(0)
	for range 1000 {
		var wg sync.WaitGroup
		wg.Go(func() {
			for range 8 {
				r.narrow()
			}
		})
		for range 8 {
			r.widen()
		}
		wg.Wait()
		for range 64 {
			r.tail.Put(blockKey{seq: n}, block)
			r.history.Put(blockKey{seq: n}, block)
			n++
		}
		if got := r.Stats().Bytes; got > all || got < all/16*15 {
			t.Fatalf("%d bytes, of %d", got, all)
		}
	}
}

// A bundle that was committed here stays in memory while others read history.
func TestHistoryDoesNotPushOutTheTail(t *testing.T) {
	w := newWorld(t)
	for range 10 {
		w.object(0, 1<<20)
	}
	o := w.object(0, 1<<20)
	r := w.reader(Config{CacheBytes: 4 << 20})
	defer r.Close()
	r.Committed(o, wrapped(w.bodies[10]))
	for range 3 {
		got, err := w.read(r, Request{MaxBytes: 1 << 30, Before: 20, Mode: Load})
		w.want(got, err, 0, 10)
	}
	got, err := w.read(r, Request{From: 20, MaxBytes: 1 << 30, Mode: Cached})
	w.want(got, err, 10, 11)
}

// held is a store whose GETs of packs wait until it is let go.
type held struct {
	objstore.Store
	waiting atomic.Int32
	letGo   chan struct{}
}

func (h *held) Get(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
	if strings.Contains(key, "/k/") {
		h.waiting.Add(1)
		select {
		case <-h.letGo:
		case <-ctx.Done():
		}
	}
	return h.Store.Get(ctx, key, r)
}

// However many read packs from a store that is stuck, a bundle of the near past is read meanwhile.
func TestHistoryHasItsOwnPool(t *testing.T) {
	w := newWorld(t)
	for range 8 {
		w.object(0, 100)
		w.as(bundle.PACK, uuid.Nil, 0)
	}
	w.object(0, 100)
	store := &held{Store: w.store, letGo: make(chan struct{})}
	r := New(store, w.keys, &memory.Pool{}, Config{CacheBytes: 1 << 20, Loads: 8})
	defer r.Close()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			got, err := w.read(r, Request{From: int64(2 * i), Before: int64(2*i + 2), MaxBytes: 1 << 20, Mode: Load})
			w.want(got, err, i, i+1)
		})
	}
	for store.waiting.Load() < 2 {
		runtime.Gosched()
	}
	got, err := w.read(r, Request{From: 16, MaxBytes: 1 << 20, Mode: Load})
	w.want(got, err, 8, 9)
	close(store.letGo)
	wg.Wait()
}

// A block whose load ahead of a reader has no turn, since the store does not give others, is loaded by who needs it.
func TestLoadAheadWithoutATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for range 5 {
			w.object(0, 100)
		}
		r := w.reader(Config{CacheBytes: 64 << 20, Loads: 8})
		defer r.Close()
		for range cap(r.ahead) {
			r.ahead <- struct{}{}
		}
		got, err := w.read(r, Request{MaxBytes: 1, AtLeastOne: true, Mode: Load})
		w.want(got, err, 0, 1)
		synctest.Wait()
		if len(r.queue) != 4 {
			t.Fatalf("%d loads ahead wait", len(r.queue))
		}
		begun := time.Now()
		stuck := time.AfterFunc(time.Minute, func() {
			for range cap(r.ahead) {
				<-r.ahead
			}
		})
		got, err = w.read(r, Request{From: 2, MaxBytes: 1 << 20, Mode: Load})
		w.want(got, err, 1, 5)
		if took := time.Since(begun); took > aheadTurn {
			t.Errorf("it waited for %v", took)
		}
		if !stuck.Stop() {
			t.Fatal("it waited until others ended")
		}
		synctest.Wait()
		if len(r.queue) != 0 {
			t.Errorf("%d loads ahead do not end", len(r.queue))
		}
	})
}
