package bench

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

// server is a run of a load on a server that answers so many records a second, whose queue grows beyond that.
func server(perSecond float64, rates *[]float64) func(context.Context, Load) (*Report, error) {
	return func(_ context.Context, l Load) (*Report, error) {
		*rates = append(*rates, l.Rate)
		r := &Report{Seconds: l.Duration.Seconds(), Verified: Verified{Records: 1}}
		if l.Rate == 0 {
			r.measure("records_per_s", perSecond*1.1) // fuller batches
			return r, nil
		}
		r.measure("records_per_s", min(l.Rate, perSecond))
		var d drift
		for at := time.Duration(0); at < l.Duration; at += l.Duration / 300 {
			late := 5*time.Millisecond + time.Duration(float64(at)*max(0, 1-perSecond/l.Rate))
			d.observe(at, l.Duration, late)
		}
		growth, known := d.growth()
		r.maybe(measureGrowth, float64(growth)/float64(time.Millisecond), known)
		return r, nil
	}
}

// TestSearch: the rate that is found is what the server keeps up with, whole, and the run before it was half as long.
func TestSearch(t *testing.T) {
	for _, capacity := range []float64{3, 100, 20_000, 412_345} {
		var rates []float64
		l := DefaultLoad()
		l.Rate = 0
		r, err := Search(t.Context(), l, &Live{}, server(capacity, &rates))
		if err != nil {
			t.Fatal(err)
		}
		rate, _ := r.Get(measureStable)
		refused, ok := r.Get(measureRefuse)
		// 2 % of growth is allowed, and 4 % of a gap.
		if rate > capacity*1.022+1 || rate < capacity*0.95-1 || !ok || refused <= rate || refused > rate*1.05+1 {
			t.Errorf("capacity %v: %v is stable, %v is not; %v", capacity, rate, refused, rates)
		}
		if len(rates) > maxTrials || r.Seconds != l.Duration.Seconds() || r.Criterion == "" || len(r.Trials) != len(rates) || !r.Trials[len(rates)-1].Stable {
			t.Errorf("capacity %v: %+v", capacity, r)
		}
	}
}

// TestSearchWithinALimit: a search that would write more than it may gives up before that, and says so; one that need not is not held up.
func TestSearchWithinALimit(t *testing.T) {
	l := DefaultLoad()
	l.Rate, l.Size, l.Warmup = 0, 1000, l.Duration/4
	for _, limit := range []int64{1, 10 << 20, 500 << 20, 1 << 30, 2 << 30} {
		var rates []float64
		serve, wrote, l := server(10_000, &rates), 0.0, l
		l.Limit = limit
		r, err := Search(t.Context(), l, &Live{}, func(ctx context.Context, l Load) (*Report, error) {
			r, err := serve(ctx, l)
			got, _ := r.Get("records_per_s")
			n := writes(l, max(l.Rate, got))
			if l.Rate == 0 {
				n = min(n, float64(l.Limit)) // as a producer ends at it
			}
			wrote += n
			return r, err
		})
		if wrote > float64(limit) {
			t.Errorf("%.0f bytes written, limit %d", wrote, limit)
		}
		if enough := limit == 2<<30; enough != (err == nil) || enough != (r != nil) || err != nil && !strings.Contains(err.Error(), "would pass the limit") {
			t.Errorf("limit %d, %d trials: %v", limit, len(rates), err)
		}
		if limit == 500<<20 && len(rates) < 3 {
			t.Errorf("it gave up after %d trials", len(rates))
		}
	}
}

// TestSearchOfAServerThatLosesRecords: no rate is stable at which one is not in its place, or fails.
func TestSearchOfAServerThatLosesRecords(t *testing.T) {
	l := DefaultLoad()
	var rates []float64
	sound := server(math.Inf(1), &rates)
	for name, spoil := range map[string]func(*Report) error{
		"lost":   func(r *Report) error { r.Verified.Lost = 1; return nil },
		"failed": func(*Report) error { return &failedError{7, errors.New("no")} },
	} {
		r, err := Search(t.Context(), l, &Live{}, func(ctx context.Context, l Load) (*Report, error) {
			r, err := sound(ctx, l)
			if l.Rate == 0 {
				r = &Report{Seconds: 1}
				r.measure("records_per_s", 2000)
			} else if l.Rate > 1000 {
				if err = spoil(r); err != nil {
					r = nil
				}
			}
			return r, err
		})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if rate, _ := r.Get(measureStable); rate > 1000 || rate < 950 {
			t.Errorf("%s: %v records a second are stable", name, rate)
		}
	}
}

// TestSearchOfAServerThatTires: what keeps up with a third of a rate for the whole time has one that is stable.
func TestSearchOfAServerThatTires(t *testing.T) {
	l := DefaultLoad()
	var rates []float64
	fresh, tired := server(3000, &rates), server(1000, &rates)
	r, err := Search(t.Context(), l, &Live{}, func(ctx context.Context, now Load) (*Report, error) {
		if now.Duration == l.Duration {
			return tired(ctx, now)
		}
		return fresh(ctx, now)
	})
	if err != nil {
		t.Fatal(err, rates)
	}
	rate, _ := r.Get(measureStable)
	if refused, _ := r.Get(measureRefuse); rate > 1000 || rate < 300 || refused <= rate {
		t.Errorf("%v is stable, %v is not: %v", rate, refused, rates)
	}
}

// TestSearchInVain: when nothing is stable there is no report, and other errors end it.
func TestSearchInVain(t *testing.T) {
	var rates []float64
	_, err := Search(t.Context(), DefaultLoad(), &Live{}, server(0.01, &rates))
	if err == nil || !strings.Contains(err.Error(), "no rate was stable, down to 1 ") || !strings.Contains(err.Error(), "last third") {
		t.Errorf("%v", err)
	}
	gone := errors.New("server is gone")
	if _, err := Search(t.Context(), DefaultLoad(), &Live{}, func(context.Context, Load) (*Report, error) { return nil, gone }); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
}

// TestSearchReadsReports: the real runs have what a search reads.
func TestSearchReadsReports(t *testing.T) {
	target, l := fake(t), short()
	for name, run := range map[string]func() (*Report, error){
		"produce": func() (*Report, error) { return Produce(t.Context(), target, l, false, &Live{}) },
		"e2e":     func() (*Report, error) { return EndToEnd(t.Context(), target, l, &Live{}) },
	} {
		r, err := run()
		if err != nil {
			t.Fatal(err)
		}
		if _, known := r.Get(measureGrowth); !known {
			t.Errorf("%s does not say how the latency grew", name)
		}
		if got := trialOf(l.Rate, r); got.Got <= 0 || got.P99 <= 0 || got.Lost != 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
