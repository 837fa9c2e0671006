package segment

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// cpu returns the CPU time of this process, in user mode and in the system.
func cpu(tb testing.TB) (user, system time.Duration) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano()), time.Duration(u.Stime.Nano())
}

// makeshift is a store that keeps of packs where they have which batch, and makes the bytes when they are read: they are all alike but for
// their offsets. Of segments it keeps nothing. So all that it does is to copy bytes to where they are wanted, which is what an agent does
// that reads them from a socket; to keep what a PUT brings is work of other machines. The WAL lies in the store behind it.
type makeshift struct {
	objstore.Store
	batch     func() []byte
	mu        sync.Mutex
	packs     map[string][]uint64 // base offsets, in their order
	sent, got int64
}

func (s *makeshift) Put(_ context.Context, key string, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent += int64(len(body))
	if strings.Contains(key, "/"+objstore.KindPack+"/") {
		batch, offsets := s.batch(), []uint64(nil)
		for rest := body[bundle.HeaderLen:]; len(rest) >= len(batch) && bytes.Equal(rest[8:recordbatch.HeaderLen], batch[8:recordbatch.HeaderLen]); rest = rest[len(batch):] {
			offsets = append(offsets, binary.BigEndian.Uint64(rest))
		}
		s.packs[key] = offsets
	}
	return nil
}

func (s *makeshift) Get(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
	s.mu.Lock()
	offsets, made := s.packs[key]
	s.mu.Unlock()
	if !made {
		o, err := s.Store.Get(ctx, key, r)
		s.count(o.Len())
		return o, err
	}
	off, n, err := r.Resolve(1 << 40)
	if err != nil {
		return objstore.Object{}, err
	}
	s.count(int(n))
	return r.Read(&maker{s.batch(), offsets, off - bundle.HeaderLen}, n, 1<<40)
}

func (s *makeshift) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got += int64(n)
}

// maker reads the batches of a pack from pos on.
type maker struct {
	batch   []byte
	offsets []uint64
	pos     int64
}

func (m *maker) Read(p []byte) (n int, err error) {
	for size := int64(len(m.batch)); n < len(p); {
		k, at := m.pos/size, m.pos%size
		c := copy(p[n:], m.batch[at:])
		var base [8]byte
		binary.BigEndian.PutUint64(base[:], m.offsets[k])
		if at < 8 {
			copy(p[n:n+c], base[at:])
		}
		n, m.pos = n+c, m.pos+int64(c)
	}
	return n, nil
}

// rewriteCost is what was written, and what it took to rewrite that.
type rewriteCost struct {
	written, sent, got int64 // bytes: by producers; of packs and segments; read for them
	user, system       time.Duration
	fresh              uint64 // bytes taken from the heap
}

// BenchmarkRewrite is what packs and segments cost an agent in CPU, for each GiB that producers wrote, in full bundles none of which is found
// in memory: all that the process uses while it packs and cuts, on a store that has no work of its own. 16 partitions go
// through packs, one does not.
func BenchmarkRewrite(b *testing.B) {
	for _, partitions := range []int{16, 1} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			var c rewriteCost
			pool := memory.NewPool(1 << 30)
			for b.Loop() {
				rewriteTwice(b, pool, partitions, &c)
			}
			gib := float64(c.written) / (1 << 30)
			b.ReportMetric((c.user+c.system).Seconds()/gib, "cpu-s/GiB")
			b.ReportMetric(c.system.Seconds()/gib, "sys-s/GiB")
			b.ReportMetric(float64(c.got)/float64(c.written), "read/B")
			b.ReportMetric(float64(c.sent)/float64(c.written), "written/B")
			b.ReportMetric(float64(c.fresh)/(1<<20)/gib, "new-MiB/GiB")
		})
	}
}

// fullFlushes is how many full bundles are a GiB: of 16 partitions each gets a segment of them.
const fullFlushes = 128

// rewriteTwice writes a GiB and has it rewritten, twice: the first one pays for the memory that the second one uses again, and is not counted.
func rewriteTwice(tb testing.TB, pool *memory.Pool, partitions int, c *rewriteCost) {
	r := newRig(tb)
	r.brief, r.cfg = true, Config{Roll: 1000 * time.Hour}
	names := r.topic("a", partitions)
	store := &makeshift{Store: r.inner, batch: func() []byte { return r.last }, packs: map[string][]uint64{}}
	r.objects = store
	r.open().d.Pool = pool
	first := uint64(1)
	var sum rewriteCost
	round := func(d time.Duration) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		user, system := cpu(tb)
		r.round(d)
		u, s := cpu(tb)
		runtime.ReadMemStats(&after)
		sum.user, sum.system, sum.fresh = sum.user+u-user, sum.system+s-system, sum.fresh+after.TotalAlloc-before.TotalAlloc
		r.seq-- // it commits by itself
		r.dropPacked(&first)
	}
	for range 2 {
		sum, store.sent, store.got = rewriteCost{}, 0, 0
		for i := range fullFlushes {
			for k := range 64 {
				r.again(names[k%len(names)], 128<<10)
			}
			r.flush()
			sum.written += int64(len(r.body))
			if i%12 == 11 {
				round(time.Second)
			}
		}
		round(time.Minute)
		for n, l := range r.logs {
			if len(l.runs) > 0 {
				tb.Fatal(n, "is not all in segments")
			}
		}
	}
	c.written, c.sent, c.got = c.written+sum.written, c.sent+store.sent, c.got+store.got
	c.user, c.system, c.fresh = c.user+sum.user, c.system+sum.system, c.fresh+sum.fresh
}
