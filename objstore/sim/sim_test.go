package sim

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/mem"
	"github.com/varvelog/varve/objstore/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	quick := Latency{P50: 5 * time.Microsecond, P99: 50 * time.Microsecond, Rate: 10e9}
	for name, m := range map[string]Model{
		"zero":  {},
		"delay": {Put: quick, Get: quick, List: quick, Delete: quick, Writes: 1e6, Reads: 1e6},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(*testing.T) objstore.Store { return New(mem.New(), m, 1) })
		})
	}
}

// TestDistribution holds p50 and p99 of 100,000 draws against the table that the models were made from.
func TestDistribution(t *testing.T) {
	std, xpress := S3Standard(), S3Express()
	for _, c := range []struct {
		name     string
		lat      Latency
		kib      int
		p50, p99 float64 // milliseconds
	}{
		{"standard put", std.Put, 0, 45, 300},
		{"standard put", std.Put, 64, 46, 301},
		{"standard put", std.Put, 1024, 56, 315},
		{"standard put", std.Put, 4096, 89, 349},
		{"standard put", std.Put, 8192, 133, 396},
		{"standard get", std.Get, 0, 15, 80},
		{"standard get", std.Get, 64, 16, 81},
		{"standard get", std.Get, 1024, 27, 93},
		{"standard get", std.Get, 4096, 64, 132},
		{"standard get", std.Get, 8192, 112, 190},
		{"express put", xpress.Put, 0, 5, 15},
		{"express put", xpress.Put, 512, 8, 18},
		{"express put", xpress.Put, 1024, 11, 21},
		{"express put", xpress.Put, 4096, 29, 45},
		{"express get", xpress.Get, 0, 4, 10},
	} {
		p50, p99, worst := percentiles(c.lat, c.kib<<10)
		t.Logf("%-14s %5d KiB: p50 %6.1f (%v), p99 %6.1f (%v), worst %.0f ms", c.name, c.kib, p50, c.p50, p99, c.p99, worst)
		if off(p50, c.p50) > 0.05 || off(p99, c.p99) > 0.05 {
			t.Errorf("%s of %d KiB: p50 %.1f, p99 %.1f, want %v and %v within 5%%", c.name, c.kib, p50, p99, c.p50, c.p99)
		}
	}
}

// percentiles draws and returns milliseconds.
func percentiles(lat Latency, size int) (p50, p99, worst float64) {
	rng := rand.New(rand.NewPCG(1, 2))
	all := make([]float64, 100_000)
	for i := range all {
		base, perByte := lat.Draw(rng)
		all[i] = float64(base)/1e6 + perByte*float64(size)/1e6
	}
	slices.Sort(all)
	return all[len(all)/2], all[len(all)*99/100], all[len(all)-1]
}

func off(got, want float64) float64 { return math.Abs(got-want) / want }

// TestStragglers counts them: without other delay they are all that is seen.
func TestStragglers(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	lat := Latency{Straggler: 0.01, StragglerMin: time.Second, StragglerMax: 2 * time.Second}
	n := 0
	for range 100_000 {
		if d, _ := lat.Draw(rng); d > 0 {
			n++
			if d < time.Second || d > 2*time.Second {
				t.Fatalf("a straggler of %s", d)
			}
		}
	}
	if n < 900 || n > 1100 {
		t.Errorf("%d stragglers of 100,000, want about 1,000", n)
	}
}

// TestVirtualTime checks that calls take what was drawn, all of it in virtual time, and the same for a seed.
func TestVirtualTime(t *testing.T) {
	run := func(seed uint64) (times []time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			s := New(mem.New(), S3Standard(), seed)
			for i := range 50 {
				key := fmt.Sprint("k", i)
				start := time.Now()
				if err := s.Put(t.Context(), key, make([]byte, 1<<20)); err != nil {
					t.Fatal(err)
				}
				put := time.Since(start)
				if o, err := s.Get(t.Context(), key, objstore.Range{}); err != nil || len(o.Body) != 1<<20 {
					t.Fatal(err)
				}
				times = append(times, put, time.Since(start)-put)
			}
		})
		return times
	}
	first, again, other := run(1), run(1), run(2)
	if !slices.Equal(first, again) || slices.Equal(first, other) {
		t.Errorf("seed 1: %v, again %v, seed 2: %v", first[:4], again[:4], other[:4])
	}
	rng := rand.New(rand.NewPCG(1, 0x73696d))
	base, perByte := S3Standard().Put.Draw(rng)
	if want := base + time.Duration(perByte*(1<<20)); first[0] != want {
		t.Errorf("the first put took %s, want %s", first[0], want)
	}
}

// TestCeilings checks that above the rate of a prefix the store throttles, below it does not, and prefixes do not share.
func TestCeilings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(mem.New(), Model{Name: "m", Writes: 3500, Reads: 5500}, 1)
		count := func(n int, call func() error) (throttled int) {
			for range n {
				if err := call(); errors.Is(err, objstore.ErrThrottled) {
					throttled++
				} else if err != nil {
					t.Fatal(err)
				}
			}
			return throttled
		}
		put := func(key string) func() error {
			return func() error { return s.Put(t.Context(), key, nil) }
		}
		get := func() error { _, err := s.Get(t.Context(), "a/k", objstore.Range{}); return err }
		list := func() error { _, err := s.List(t.Context(), "a/", "", 0); return err }
		del := func() error { return s.Delete(t.Context(), "a/x", "a/y") }
		for _, c := range []struct {
			name string
			got  int
			want int
		}{
			{"puts", count(4000, put("a/k")), 500},
			{"puts of another prefix", count(3500, put("b/k")), 0},
			{"gets", count(3000, get), 0},
			{"lists", count(3000, list), 500},
		} {
			if c.got != c.want {
				t.Errorf("%s: %d throttled, want %d", c.name, c.got, c.want)
			}
		}
		time.Sleep(100 * time.Millisecond)
		if got := count(200, del); got != 25 {
			t.Errorf("200 deletes of two keys after 100 ms: %d throttled, want 25", got)
		}
	})
}

// TestForgetsPrefixes checks that the limiter stays small.
func TestForgetsPrefixes(t *testing.T) {
	l := limiter{rate: 10}
	now := time.Now()
	for i := range 5 * maxPrefixes {
		l.take(fmt.Sprint(i), 1, now)
		if len(l.buckets) > maxPrefixes {
			t.Fatalf("%d prefixes", len(l.buckets))
		}
	}
}

// TestCallerEnds checks that a context ends a delay, and that nothing was written.
func TestCallerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := mem.New()
		s := New(inner, Model{Put: Latency{P50: time.Hour}}, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := s.Put(ctx, "k", nil); !errors.Is(err, objstore.ErrUnknown) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("put: %v", err)
			}
		})
		wg.Wait()
		if took := time.Since(start); took != time.Second {
			t.Errorf("it took %s", took)
		}
		if _, err := inner.Get(t.Context(), "k", objstore.Range{}); !errors.Is(err, objstore.ErrNotFound) {
			t.Errorf("it was written: %v", err)
		}
	})
}

func TestNamed(t *testing.T) {
	for name, want := range map[string]string{"": "s3-standard", "s3-standard": "s3-standard", "s3-express": "s3-express", "s4": ""} {
		if m, err := Named(name); m.Name != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", name, m.Name, err)
		}
	}
}
