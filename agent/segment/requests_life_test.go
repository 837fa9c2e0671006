package segment

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/varvelog/varve/objstore"
)

// tallyStore counts requests to a bucket.
type tallyStore struct {
	objstore.Store
	puts, gets, deletes atomic.Int64
}

func (s *tallyStore) Put(ctx context.Context, key string, body []byte) error {
	s.puts.Add(1)
	return s.Store.Put(ctx, key, body)
}

func (s *tallyStore) Get(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
	s.gets.Add(1)
	return s.Store.Get(ctx, key, r)
}

func (s *tallyStore) Delete(ctx context.Context, keys ...string) error {
	s.deletes.Add(1)
	return s.Store.Delete(ctx, keys...)
}

// rigStarts moves log starts at once: a bundle that is flushed anyway says so.
type rigStarts struct{ r *rig }

func (s rigStarts) MoveStarts(_ context.Context, starts []Start) []error {
	for _, start := range starts {
		s.r.logs[start.Name].moveStart(start.Offset)
	}
	return make([]error, len(starts))
}

// life is what a leader does for a while.
type life struct {
	*rig
	names     []Name // all of them
	active    int
	store     *tallyStore
	facts     *tallyFacts
	retain    *Retainer
	collector *Collector
	wal       int // requests of flushes and commits
	trimmed   uint64
}

// newLife is a leader of so many partitions, some of which are written to, of a topic that keeps its records for so long; for ever if that is negative.
func newLife(t testing.TB, all, active int, keep, pack time.Duration) *life {
	l := &life{rig: newRig(t), active: active, trimmed: 1}
	l.brief = true
	l.cfg.RewriteBytes, l.cfg.PackInterval = leastRewrite, pack
	l.names = l.topic("a", all)
	l.store, l.facts = &tallyStore{Store: l.inner}, &tallyFacts{Store: l.table}
	l.objects, l.rig.facts = l.store, l.facts
	room := l.open()
	limits := limitsOf{}
	if keep >= 0 {
		limits[l.names[0].Topic] = Limits{Time: keep.Milliseconds(), Bytes: -1}
	} else {
		limits[l.names[0].Topic] = Limits{Time: -1, Bytes: -1}
	}
	index := NewIndex(l.facts, l.store, IndexConfig{Cluster: l.cluster, Keys: l.keys, Bytes: 64 << 20})
	t.Cleanup(index.Close)
	room.d.Keeps, room.d.Index = limits, index
	l.retain = NewRetainer(RetainConfig{Grace: l.cfg.Grace}, RetainDeps{
		Facts: l.facts, Keys: l.keys, Cluster: l.cluster, Index: index, Partitions: l, Keeps: limits, Starts: rigStarts{l.rig}, Metrics: room.metrics,
		Log: slog.New(slog.DiscardHandler),
	})
	l.collector = l.rig.collector(l.store)
	return l
}

// pass lets an interval of packs pass. Of its flushes, one each 250 ms, one has the bytes of all; what they are packed from is in memory.
func (l *life) pass() {
	l.t.Helper()
	for k := range l.active {
		l.produce(l.names[k*(len(l.names)/l.active)], 20_000/l.active)
	}
	l.flush()
	before := l.store.gets.Load()
	l.round(l.cfg.PackInterval)
	l.seq-- // it commits by itself
	if l.store.gets.Load() > before {
		l.store.gets.Add(-1)
	}
	l.wal += 2 * int(l.cfg.PackInterval/(250*time.Millisecond)) // a PUT and a commit
	if err := l.retain.Sweep(l.t.Context(), l.now); err != nil {
		l.t.Fatal(err)
	}
	if err := l.collector.Sweep(l.t.Context(), l.now); err != nil {
		l.t.Fatal(err)
	}
	for ; l.trimmed <= l.seq; l.trimmed++ {
		if err := l.inner.Delete(l.t.Context(), l.keys.WAL(l.session, l.trimmed)); err != nil {
			l.t.Fatal(err)
		}
	}
}

// requests is how many there were.
func (l *life) requests() int {
	s, f := l.store, l.facts
	l.t.Logf("%d of %d partitions: %d for the WAL; %d PUT, %d GET, %d deletions; %d reads and %d writes of the table, of %d items; %d segments were merged",
		l.active, len(l.names), l.wal, s.puts.Load(), s.gets.Load(), s.deletes.Load(), f.reads.Load(), f.writes.Load(), f.items.Load(), int(merged(l.room)))
	return l.wal + int(s.puts.Load()+s.gets.Load()+s.deletes.Load()+f.reads.Load()+f.writes.Load())
}

// merged is how many segments a room has merged.
func merged(r *Room) float64 {
	var m dto.Metric
	_ = r.metrics.merged.Write(&m)
	return m.GetCounter().GetValue()
}

// A load costs about the same, whether 10 partitions share it or 1,000 do, over three roll times: packs and their merges, cuts, retention and
// deletion included.
func TestRequestsOfALife(t *testing.T) {
	var requests []int
	for _, active := range []int{10, 1000} {
		l := newLife(t, 2*active, active, 6*time.Hour, 12*time.Minute)
		for range 18 * 5 {
			l.pass()
		}
		if p, extents := l.extents(l.names[0]); p.LogStart == 0 || len(extents) == 0 {
			t.Errorf("nothing was cut, or nothing removed: %+v", p)
		}
		requests = append(requests, l.requests())
	}
	if requests[1] > requests[0]*11/10 {
		t.Errorf("%d requests of 1,000 partitions, %d of 10", requests[1], requests[0])
	}
}

// BenchmarkRequestsOfALife is the same over four days, with packs each minute and a topic that keeps everything, so that segments are merged too.
func BenchmarkRequestsOfALife(b *testing.B) {
	for b.Loop() {
		var requests []float64
		for _, active := range []int{10, 1000} {
			l := newLife(b, active, active, -1, time.Minute)
			for range 96 * 60 {
				l.pass()
			}
			requests = append(requests, float64(l.requests()))
		}
		b.ReportMetric(requests[1]/requests[0], "of10")
	}
}
