package segment

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/objstore"
)

// weighed is a store that notes how much memory rewriting holds at once: what its pool has given out, and what GETs bring besides.
type weighed struct {
	objstore.Store
	pool  *memory.Pool
	mu    sync.Mutex
	most  int64
	grown int
}

func (s *weighed) Get(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
	o, err := s.Store.Get(ctx, key, r)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most = max(s.most, s.pool.Outstanding()+int64(len(o.Body)))
	return o, err
}

func (s *weighed) Put(ctx context.Context, key string, body []byte) error {
	s.mu.Lock()
	s.most = max(s.most, s.pool.Outstanding())
	if memory.Capacity(cap(body)) != cap(body) && cap(body) < 32<<20 {
		s.grown++ // it did not stay in its buffer
	}
	s.mu.Unlock()
	return s.Store.Put(ctx, key, body)
}

// What rewriting holds in memory stays within its share, also with 10,000 partitions in one pack.
func TestRewriteStaysInItsShare(t *testing.T) {
	r := newRig(t)
	r.brief = true
	r.cfg = Config{RewriteBytes: leastRewrite, PackBytes: 1 << 30}
	names := r.topic("a", 10_000)
	store := &weighed{Store: r.inner}
	r.objects = store
	r.open()
	store.pool = r.room.d.Pool
	for range 6 {
		for _, n := range names {
			r.again(n, 700)
		}
		r.flush()
	}
	r.round(time.Minute)
	if n := r.walRuns(); n != 0 {
		t.Fatal(n, "runs are not packed")
	}
	r.round(6 * time.Hour)
	for n, l := range r.logs {
		if len(l.runs) != 0 {
			t.Fatal(n, "has runs left:", len(l.runs))
		}
	}
	t.Logf("at most %d bytes of %d", store.most, int64(leastRewrite))
	if store.most > leastRewrite || store.grown > 0 {
		t.Errorf("at most %d bytes, want %d; %d objects outgrew their buffers", store.most, int64(leastRewrite), store.grown)
	}
	if n := store.pool.Outstanding(); n != 0 {
		t.Errorf("%d bytes are not given back", n)
	}
}
