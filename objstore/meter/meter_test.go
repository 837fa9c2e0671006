package meter_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/mem"
	"github.com/varvelog/varve/objstore/meter"
	"github.com/varvelog/varve/objstore/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) objstore.Store { return meter.New(mem.New(), meter.Prices{}) })
}

// faulty is a mem store whose Put asks put first.
type faulty struct {
	*mem.Store
	put func(key string) error
}

func (f faulty) Put(ctx context.Context, key string, body []byte) error {
	if err := f.put(key); err != nil {
		return err
	}
	return f.Store.Put(ctx, key, body)
}

// results returns a store in which each put fails as its key says.
func results() objstore.Store {
	errs := map[string]error{
		"slow": objstore.ErrThrottled, "no": objstore.ErrRefused, "bad": objstore.ErrCorrupt, "who knows": objstore.ErrUnknown,
		"odd": errors.New("no sentinel"),
	}
	return faulty{mem.New(), func(key string) error { return errs[key] }}
}

// dropping is a store that accepts and drops.
type dropping struct{ *mem.Store }

func (dropping) Put(context.Context, string, []byte) error { return nil }

// exercise makes calls of every kind and result.
func exercise(s *meter.Store) {
	ctx := context.Background()
	wal := objstore.WithPurpose(ctx, objstore.PurposeWAL)
	tail := objstore.WithPurpose(ctx, objstore.PurposeTail)
	for _, key := range []string{"k", "k", "slow", "no", "bad", "who knows", "odd"} {
		_ = s.Put(wal, key, make([]byte, 1000))
	}
	_, _ = s.Get(tail, "k", objstore.Exact(10, 100))
	_, _ = s.Get(tail, "k", objstore.Suffix(5000))
	_, _ = s.Get(tail, "absent", objstore.Range{})
	_, _ = s.Get(ctx, "k", objstore.Exact(5000, 1))
	_, _ = s.List(objstore.WithPurpose(ctx, objstore.PurposeGC), "", "", 0)
	_ = s.Delete(objstore.WithPurpose(ctx, objstore.PurposeGC), "k", "l", "m")
	// These send nothing.
	ended, cancel := context.WithCancel(wal)
	cancel()
	_ = s.Put(ended, "k", nil)
	_ = s.Put(wal, "../k", nil)
	_ = s.Delete(wal)
}

const exercised = `put wal ok 2 2000
put wal throttled 1 1000
put wal refused 1 1000
put wal corrupt 1 1000
put wal unknown 1 1000
put wal other 1 1000
get other range 1 0
get tail ok 2 1100
get tail not_found 1 0
list gc ok 1 0
delete gc ok 1 0
`

func TestCounts(t *testing.T) {
	s := meter.New(results(), meter.Prices{})
	exercise(s)
	first := s.Snapshot()
	if first.String() != exercised {
		t.Errorf("got:\n%swant:\n%s", first, exercised)
	}
	exercise(s)
	both := s.Snapshot()
	// What is there the second time has been deleted and put again: the same counts.
	if d := both.Sub(first); d.String() != exercised || !near(d.Dollars(), first.Dollars()) {
		t.Errorf("the second time:\n%s$%g, want $%g", d, d.Dollars(), first.Dollars())
	}
	if d := both.Sub(both); len(d.Lines) > 0 {
		t.Errorf("nothing since: %v", d)
	}
	if p, w, b := both.Requests(meter.Put), both.RequestsFor(meter.Get, objstore.PurposeTail), both.Bytes(meter.Get); p != 14 || w != 6 || b != 2200 {
		t.Errorf("%d puts, %d gets for tail, %d bytes got", p, w, b)
	}
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-12 }

func TestDollars(t *testing.T) {
	for _, c := range []struct {
		prices meter.Prices
		want   float64
	}{
		// 6 puts that are billed, 1 list, 4 gets, deletes free.
		{meter.S3Standard, 6*5e-6 + 5e-6 + 4*0.4e-6},
		{meter.Prices{}, 6*5e-6 + 5e-6 + 4*0.4e-6},
		{meter.S3Express, 7*1.13e-6 + 4*0.03e-6 + 6000*0.0032e-9 + 1100*0.0006e-9},
		{meter.Prices{Delete: 1}, 1},
	} {
		s := meter.New(results(), c.prices)
		exercise(s)
		if got := s.Snapshot().Dollars(); !near(got, c.want) {
			t.Errorf("%s: $%g, want $%g", c.prices.Name, got, c.want)
		}
	}
}

// TestCollector holds the names and labels of the series.
func TestCollector(t *testing.T) {
	s := meter.New(results(), meter.Prices{}).In("z1")
	exercise(s)
	reg := prometheus.NewPedanticRegistry()
	if err := reg.Register(s); err != nil {
		t.Fatal(err)
	}
	// What metastore/meter registers beside it.
	other := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "varve_cost_dollars_total",
		Help: "Cost of requests at list prices.", ConstLabels: prometheus.Labels{"service": "dynamodb"}}, []string{"purpose"})
	if err := reg.Register(other); err != nil {
		t.Error(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, f := range families {
		for _, m := range f.Metric {
			fmt.Fprint(&got, f.GetName())
			for _, l := range m.Label {
				fmt.Fprintf(&got, " %s=%s", l.GetName(), l.GetValue())
			}
			if h := m.Histogram; h != nil {
				fmt.Fprintf(&got, " count %d\n", h.GetSampleCount())
			} else {
				fmt.Fprintf(&got, " %g\n", m.GetCounter().GetValue()+m.GetGauge().GetValue())
			}
		}
	}
	const want = `varve_cost_dollars_total purpose=gc service=s3 5e-06
varve_cost_dollars_total purpose=other service=s3 4e-07
varve_cost_dollars_total purpose=tail service=s3 1.2e-06
varve_cost_dollars_total purpose=wal service=s3 3e-05
varve_price_list_info date=2026-11 list=S3 Standard, us-east-1 service=s3 1
varve_s3_bytes_total class=standard op=delete purpose=gc result=ok zone=z1 0
varve_s3_bytes_total class=standard op=get purpose=other result=range zone=z1 0
varve_s3_bytes_total class=standard op=get purpose=tail result=not_found zone=z1 0
varve_s3_bytes_total class=standard op=get purpose=tail result=ok zone=z1 1100
varve_s3_bytes_total class=standard op=list purpose=gc result=ok zone=z1 0
varve_s3_bytes_total class=standard op=put purpose=wal result=corrupt zone=z1 1000
varve_s3_bytes_total class=standard op=put purpose=wal result=ok zone=z1 2000
varve_s3_bytes_total class=standard op=put purpose=wal result=other zone=z1 1000
varve_s3_bytes_total class=standard op=put purpose=wal result=refused zone=z1 1000
varve_s3_bytes_total class=standard op=put purpose=wal result=throttled zone=z1 1000
varve_s3_bytes_total class=standard op=put purpose=wal result=unknown zone=z1 1000
varve_s3_request_seconds op=delete purpose=gc count 1
varve_s3_request_seconds op=get purpose=other count 1
varve_s3_request_seconds op=get purpose=tail count 3
varve_s3_request_seconds op=list purpose=gc count 1
varve_s3_request_seconds op=put purpose=wal count 7
varve_s3_requests_total class=standard op=delete purpose=gc result=ok zone=z1 1
varve_s3_requests_total class=standard op=get purpose=other result=range zone=z1 1
varve_s3_requests_total class=standard op=get purpose=tail result=not_found zone=z1 1
varve_s3_requests_total class=standard op=get purpose=tail result=ok zone=z1 2
varve_s3_requests_total class=standard op=list purpose=gc result=ok zone=z1 1
varve_s3_requests_total class=standard op=put purpose=wal result=corrupt zone=z1 1
varve_s3_requests_total class=standard op=put purpose=wal result=ok zone=z1 2
varve_s3_requests_total class=standard op=put purpose=wal result=other zone=z1 1
varve_s3_requests_total class=standard op=put purpose=wal result=refused zone=z1 1
varve_s3_requests_total class=standard op=put purpose=wal result=throttled zone=z1 1
varve_s3_requests_total class=standard op=put purpose=wal result=unknown zone=z1 1
`
	if got.String() != want {
		t.Errorf("got:\n%s", got.String())
	}
}

// TestLatency checks in which buckets latencies fall.
func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		delays := []time.Duration{0, time.Millisecond, 40 * time.Millisecond, 2 * time.Minute}
		n := -1
		s := meter.New(faulty{mem.New(), func(string) error {
			n++
			time.Sleep(delays[n])
			return nil
		}}, meter.Prices{})
		for range delays {
			if err := s.Put(t.Context(), "k", nil); err != nil {
				t.Fatal(err)
			}
		}
		reg := prometheus.NewPedanticRegistry()
		reg.MustRegister(s)
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() != "varve_s3_request_seconds" {
				continue
			}
			h := f.Metric[0].Histogram
			if h.GetSampleCount() != 4 || !near(h.GetSampleSum(), 120.041) {
				t.Errorf("count %d, sum %g", h.GetSampleCount(), h.GetSampleSum())
			}
			for _, b := range h.Bucket {
				want := uint64(1)
				if b.GetUpperBound() >= 0.001 {
					want = 2
				}
				if b.GetUpperBound() >= 0.040 {
					want = 3
				}
				if b.GetCumulativeCount() != want {
					t.Errorf("up to %g s: %d, want %d", b.GetUpperBound(), b.GetCumulativeCount(), want)
				}
			}
		}
	})
}

// TestPurposes checks that no flood of purposes fills memory, and that nothing is lost.
func TestPurposes(t *testing.T) {
	s := meter.New(dropping{}, meter.Prices{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 1000 {
				ctx := objstore.WithPurpose(t.Context(), objstore.Purpose(fmt.Sprint("p", i)))
				_ = s.Put(ctx, fmt.Sprint("k", w), nil)
			}
		})
	}
	wg.Wait()
	if got := s.Snapshot(); len(got.Lines) > 32 || got.Requests(meter.Put) != 4000 {
		t.Errorf("%d lines, %d puts", len(got.Lines), got.Requests(meter.Put))
	}
}

func TestAllocations(t *testing.T) {
	s := meter.New(dropping{}, meter.Prices{})
	ctx := objstore.WithPurpose(t.Context(), objstore.PurposeWAL)
	if n := testing.AllocsPerRun(1000, func() { _ = s.Put(ctx, "a/key", nil) }); n > 0 {
		t.Errorf("%v allocations a put", n)
	}
}

func BenchmarkPut(b *testing.B) {
	s := meter.New(dropping{}, meter.Prices{})
	ctx := objstore.WithPurpose(b.Context(), objstore.PurposeWAL)
	b.ReportAllocs()
	for b.Loop() {
		_ = s.Put(ctx, "c/w/abcd/session/0000000000000000", nil)
	}
}
