package segment

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
)

// sulking is a store that refuses to delete for a while, and counts what it is asked.
type sulking struct {
	objstore.Store
	refuses           atomic.Bool
	deletes, refusals atomic.Int64
}

func (s *sulking) Delete(ctx context.Context, keys ...string) error {
	if s.refuses.Load() {
		s.refusals.Add(1)
		return objstore.ErrThrottled
	}
	s.deletes.Add(1)
	return s.Store.Delete(ctx, keys...)
}

// churn is a WAL of 100 MB/s in bundles of 8 MiB, which is trimmed once a minute.
const churn = 100_000_000 * 60 / (8 << 20) // bundles a minute

// lag is what the collector's metrics say.
func (c *Collector) lag() backlog {
	c.metrics.mu.Lock()
	defer c.metrics.mu.Unlock()
	return c.metrics.mu.queue
}

// The collector keeps up with 100 MB/s of WAL, at one request for each minute's bundles. A store that refuses for ten minutes fills a queue,
// is asked a few times, and the lag is gone with the next sweep that it lets through.
func TestCollectorKeepsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		store := &sulking{Store: r.inner}
		c := r.collector(store)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { c.Run(ctx); close(done) }()
		session := uuid.New()
		refused, last := 0, int64(0)
		const minutes = 50
		for minute := range int64(minutes) {
			for seq := minute * churn; seq < (minute+1)*churn; seq++ {
				r.store(r.keys.WAL(session, uint64(seq)))
			}
			r.enqueue(records.Garbage{
				Session: session, From: minute * churn, End: (minute + 1) * churn, NotBefore: time.Now().Add(r.cfg.Grace).UnixMilli(), Bytes: churn * 8 << 20,
			})
			store.refuses.Store(minute >= 20 && minute < 30)
			time.Sleep(time.Minute)
			if q := c.lag(); store.refuses.Load() {
				refused, last = refused+1, q.late
			} else if (minute < 20 || minute > 34) && (q.late > 0 || q.objects > 19*churn) {
				t.Fatalf("minute %d: %d objects, late by %d ms", minute, q.objects, q.late)
			}
		}
		if refused != 10 || last < 5*60_000 {
			t.Errorf("refused for %d minutes, late by %d ms", refused, last)
		}
		time.Sleep(r.cfg.Grace + 2*c.interval)
		cancel()
		<-done
		if q, left := c.lag(), r.kinds(); q != (backlog{}) || len(left) != 0 || len(r.queue()) != 0 {
			t.Errorf("left: %+v, %v", q, left)
		}
		if n := store.deletes.Load(); n > minutes {
			t.Errorf("%d requests for what %d minutes wrote", n, minutes)
		}
		if n := store.refusals.Load(); n > 10*tries {
			t.Errorf("%d requests while it refused", n)
		}
		t.Logf("%d bundles by %d requests, and %d that were refused", minutes*churn, store.deletes.Load(), store.refusals.Load())
	})
}

// BenchmarkCollect is what the garbage of a WAL of 100 MB/s costs in CPU, as a share of the time in which it is written: an hour of it, one
// item a minute, and a store that has nothing to do.
func BenchmarkCollect(b *testing.B) {
	const minutes = 60
	var spent time.Duration
	for b.Loop() {
		r := newRig(b)
		c := r.collector(&sulking{Store: r.inner})
		session := uuid.New()
		now := time.Now()
		for minute := range int64(minutes) {
			now = now.Add(time.Minute)
			r.enqueue(records.Garbage{
				Session: session, From: minute * churn, End: (minute + 1) * churn, NotBefore: now.Add(r.cfg.Grace).UnixMilli(), Bytes: churn * 8 << 20,
			})
			if minute%3 > 0 {
				continue
			}
			user, system := cpu(b)
			if err := c.Sweep(context.Background(), now); err != nil {
				b.Fatal(err)
			}
			u, s := cpu(b)
			spent += u - user + s - system
		}
	}
	b.ReportMetric(100*spent.Minutes()/(minutes*float64(b.N)), "%CPU")
}
