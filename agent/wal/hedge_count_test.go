package wal

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// TestHedgesAreCounted: as many as the store saw PUTs beyond one for each bundle, and each either won or was wasted.
func TestHedgesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		var mu sync.Mutex
		took := 200 * time.Millisecond
		var next []time.Duration // of the PUTs to come
		r.objects.put = func(ctx context.Context, _ string) error {
			mu.Lock()
			took -= time.Millisecond // ever faster, so that none is hedged by chance
			d := took
			if len(next) > 0 {
				d, next = next[0], next[1:]
			}
			mu.Unlock()
			select {
			case <-time.After(d):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		bundles := 0
		one := func(times ...time.Duration) {
			mu.Lock()
			next = times
			mu.Unlock()
			r.append(bundles, 0, 10)
			bundles++
			time.Sleep(time.Second)
		}
		for range 60 {
			one()
		}
		one(30*time.Second, time.Millisecond)     // the hedge is done first
		one(300*time.Millisecond, 30*time.Second) // the hedge was for nothing
		r.end(context.Canceled)
		want := map[string]float64{"sent": float64(r.objects.count("w") - bundles), "won": 1, "wasted": 1}
		m := r.log.Metrics()
		for name, c := range map[string]*prometheus.CounterVec{"sent": m.hedges, "won": m.won, "wasted": m.wasted} {
			var got dto.Metric
			if err := c.WithLabelValues("put").Write(&got); err != nil {
				t.Fatal(err)
			}
			if v := got.GetCounter().GetValue(); v != want[name] || name == "sent" && v != 2 {
				t.Errorf("%v hedges %s, want %v", v, name, want[name])
			}
		}
	})
}
