package segment

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// countingStore counts requests and keeps no segments, which nobody reads here.
type countingStore struct {
	objstore.Store
	keys       objstore.Keys
	puts, gets atomic.Int64
}

func (s *countingStore) Put(ctx context.Context, key string, body []byte) error {
	s.puts.Add(1)
	if p, err := s.keys.Parse(key); err != nil || p.Kind == objstore.KindSegment {
		return err
	}
	return s.Store.Put(ctx, key, body)
}

func (s *countingStore) Get(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
	s.gets.Add(1)
	return s.Store.Get(ctx, key, r)
}

// again queues a batch as produce does, the last one of that size once more: its offset is no part of its CRC.
func (r *rig) again(n Name, size int) {
	if r.last == nil {
		r.produce(n, size)
		r.last = r.waiting[len(r.waiting)-1].batch
		return
	}
	var space []byte
	if n := len(r.spare) - 1; n >= 0 && r.brief {
		space, r.spare = r.spare[n], r.spare[:n]
	}
	b := recordbatch.Batch(append(space[:0], r.last...))
	b.SetBaseOffset(r.logs[n].appended)
	r.logs[n].appended = b.NextOffset()
	r.waiting = append(r.waiting, queued{n, b})
}

// dropPacked deletes the bundles that no tail names, and the packs that the queue names.
func (r *rig) dropPacked(from *uint64) {
	low := r.seq + 1
	for _, l := range r.logs {
		for _, run := range l.runs {
			if run.Object.Kind == bundle.WAL {
				low = min(low, run.Object.Seq)
			}
		}
	}
	for ; *from < low; *from++ {
		if err := r.inner.Delete(context.Background(), r.keys.WAL(r.session, *from)); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := r.collector(r.inner).Sweep(context.Background(), r.now.Add(time.Hour)); err != nil {
		r.t.Fatal(err)
	}
}

// What a GiB costs in requests to the object store, as an agent with default settings writes it at 84 MB/s: full bundles of 8 MiB, 16
// partitions, none of it found in memory. WAL, packs and segments are at most 155 PUT; reading for packs and segments, at most 405 GET.
// The first case is that at a quarter of all sizes; the second, of one partition, is cut from the WAL, by sizes that do not scale.
func TestRequestsPerGiB(t *testing.T) {
	for _, c := range []struct {
		partitions, flushes, scale int
		cfg                        Config
	}{
		{16, 128, 4, Config{RewriteBytes: 1 << 30 / 7 / 4, PackBytes: 1 << 30 / 4, SegmentBytes: 64 << 20 / 4, SegmentMax: 256 << 20 / 4}},
		{1, 16, 1, Config{}},
	} {
		bundle, size := 8<<20/c.scale, 128<<10/c.scale
		r := newRig(t)
		r.brief = true
		r.cfg = c.cfg
		names := r.topic("a", c.partitions)
		store := &countingStore{Store: r.inner, keys: r.keys}
		r.objects = store
		r.open()
		first := uint64(1)
		for i := range c.flushes {
			for k := range bundle / size {
				r.again(names[k%len(names)], size)
			}
			r.flush()
			r.now = r.now.Add(95 * time.Millisecond)
			if i%10 == 9 {
				r.round(0)
				r.seq-- // it commits by itself
				r.dropPacked(&first)
			}
		}
		r.round(time.Minute)
		r.round(6 * time.Hour)
		r.round(time.Minute)
		for n, l := range r.logs {
			if len(l.runs) > 0 {
				t.Fatal(n, "has runs left:", len(l.runs))
			}
		}
		gib := float64(c.flushes) / 128
		put, get := float64(int64(c.flushes)+store.puts.Load())/gib, float64(store.gets.Load())/gib
		t.Logf("%d partitions, per GiB: %.1f PUT, 128 of them WAL; %.1f GET", c.partitions, put, get)
		if put > 155 || get > 405 {
			t.Errorf("want at most 155 and 405")
		}
	}
}
