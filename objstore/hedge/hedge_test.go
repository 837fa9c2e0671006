package hedge

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/mem"
	"github.com/varvelog/varve/objstore/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) objstore.Store {
		s := New(mem.New())
		t.Cleanup(s.Wait)
		return s
	})
}

// slow is a store whose Gets take as long as it is told.
type slow struct {
	objstore.Store
	gets  atomic.Int64
	delay func() (time.Duration, error)
}

func (s *slow) Get(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
	s.gets.Add(1)
	d, err := s.delay()
	select {
	case <-time.After(d):
	case <-ctx.Done():
		return objstore.Object{}, errors.Join(objstore.ErrUnknown, ctx.Err())
	}
	if err != nil {
		return objstore.Object{}, err
	}
	return s.Store.Get(ctx, key, r)
}

// rig is a store with one object behind hedges.
type rig struct {
	t    *testing.T
	s    *Store
	slow *slow
	body []byte
	mu   sync.Mutex
	next []time.Duration // of the Gets to come
	err  error
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, body: bytes.Repeat([]byte("0123456789abcdef"), 1<<10)}
	inner := mem.New()
	if err := inner.Put(t.Context(), "a/b", r.body); err != nil {
		t.Fatal(err)
	}
	took := 20 * time.Millisecond
	r.slow = &slow{Store: inner, delay: func() (time.Duration, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		took -= time.Microsecond // ever faster, so that none is hedged by chance
		d := took
		if len(r.next) > 0 {
			d, r.next = r.next[0], r.next[1:]
		}
		return d, r.err
	}}
	r.s = New(r.slow)
	t.Cleanup(r.s.Wait)
	return r
}

// get asks for all of it and says how long that took.
func (r *rig) get(purpose objstore.Purpose, times ...time.Duration) (time.Duration, error) {
	r.mu.Lock()
	r.next = times
	r.mu.Unlock()
	start := time.Now()
	o, err := r.s.Get(objstore.WithPurpose(r.t.Context(), purpose), "a/b", objstore.Exact(0, int64(len(r.body))))
	if err == nil && !bytes.Equal(o.Body, r.body) {
		r.t.Error("other bytes than asked for")
	}
	return time.Since(start), err
}

// counts are the hedges sent, won and wasted.
func (r *rig) counts() (n [3]float64) {
	for i, c := range []*prometheus.CounterVec{r.s.sent, r.s.won, r.s.wasted} {
		var m dto.Metric
		if err := c.WithLabelValues("get").Write(&m); err != nil {
			r.t.Fatal(err)
		}
		n[i] = m.GetCounter().GetValue()
	}
	return n
}

// TestHedgesAreCounted: as many as the store saw Gets beyond those asked for, and each either won or was wasted.
func TestHedgesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		asked := 0
		one := func(want time.Duration, times ...time.Duration) {
			t.Helper()
			asked++
			if took, err := r.get(objstore.PurposeCatchup, times...); err != nil || want != 0 && took.Round(10*time.Millisecond) != want {
				t.Fatal(took, err)
			}
		}
		for range 60 {
			one(0)
		}
		one(30*time.Millisecond, time.Hour, 10*time.Millisecond) // the hedge is done first
		one(50*time.Millisecond, 50*time.Millisecond, time.Hour) // the hedge was for nothing
		one(time.Second, time.Second, time.Hour, time.Hour)      // 60 requests earn three
		one(time.Minute, time.Minute)                            // and no more
		if got := r.counts(); got != [3]float64{3, 1, 2} || r.slow.gets.Load() != int64(asked)+3 {
			t.Fatalf("%v hedges sent, won and wasted; %d Gets for %d", got, r.slow.gets.Load(), asked)
		}
	})
}

// TestTheSlowestAreKnown: a first Get that its hedge has beaten counts as slow, and the hedge does not count as fast.
func TestTheSlowestAreKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for range 400 { // they earn all hedges that can be saved up
			_, _ = r.get(objstore.PurposeCatchup)
		}
		for range 7 {
			if took, err := r.get(objstore.PurposeCatchup, time.Hour, 10*time.Millisecond); err != nil || took.Round(time.Millisecond) != 30*time.Millisecond {
				t.Fatal(took, err)
			}
		}
		if after, ok := r.s.mu.paces[small].After(time.Now()); after.Round(time.Millisecond) != 30*time.Millisecond {
			t.Fatalf("7 of the last 128 took 30 ms, and hedges are sent after %v, %v", after, ok)
		}
	})
}

// late is a store that ends a Get that is given up only after a while, and has written to the caller's memory until then.
type late struct{ objstore.Store }

func (l late) Get(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
	o, err := l.Store.Get(ctx, key, r)
	if err != nil && r.Places() {
		time.Sleep(5 * time.Millisecond)
		r.Copy(bytes.Repeat([]byte("garbage"), 100), 0)
	}
	return o, err
}

// TestPlacesAreLeftAlone: whichever request is first, its bytes are where they are wanted, and nothing is written there any more.
func TestPlacesAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.s.Store = late{r.slow}
		for range 60 {
			if _, err := r.get(objstore.PurposeCatchup); err != nil {
				t.Fatal(err)
			}
		}
		ctx := objstore.WithPurpose(t.Context(), objstore.PurposeCatchup)
		for want, times := range map[time.Duration][]time.Duration{
			35 * time.Millisecond: {time.Hour, 10 * time.Millisecond}, // the hedge is done first, and waits for the other
			50 * time.Millisecond: {50 * time.Millisecond, time.Hour},
		} {
			r.next = times
			start, into := time.Now(), make([]byte, 100)
			err := objstore.GetInto(ctx, r.s, "a/b", 5, into[:30], into[30:])
			if took := time.Since(start); err != nil || took.Round(5*time.Millisecond) != want {
				t.Error(took, "instead of", want, err)
			}
			r.s.Wait()
			if !bytes.Equal(into, r.body[5:105]) {
				t.Errorf("%q", into)
			}
		}
		if got := r.counts(); got != [3]float64{2, 1, 1} {
			t.Fatalf("%v hedges sent, won and wasted", got)
		}
	})
}

// TestOnlyWhereSomebodyWaits: a rewrite has time.
func TestOnlyWhereSomebodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for range 60 {
			if _, err := r.get(objstore.PurposeCatchup); err != nil {
				t.Fatal(err)
			}
		}
		if took, err := r.get(objstore.PurposeOther, time.Minute); err != nil || took != time.Minute {
			t.Fatal(took, err)
		}
		if got := r.counts(); got[0] != 0 {
			t.Fatalf("%v hedges", got[0])
		}
	})
}

// TestNoHedgesWhileTheStoreIsBusy: after a 503 there are none for a while, and when all becomes slow hardly any.
func TestNoHedgesWhileTheStoreIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for range 1000 {
			if _, err := r.get(objstore.PurposeRecover); err != nil {
				t.Fatal(err)
			}
		}
		r.err = objstore.ErrThrottled
		if _, err := r.get(objstore.PurposeRecover); !errors.Is(err, objstore.ErrThrottled) {
			t.Fatal(err)
		}
		r.err = nil
		if _, err := r.get(objstore.PurposeRecover, time.Second); err != nil || r.counts()[0] != 0 {
			t.Fatal("hedged after the store asked to slow down", err)
		}
		time.Sleep(10 * time.Second)
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				_, _ = r.get(objstore.PurposeRecover, slices.Repeat([]time.Duration{time.Minute}, 100)...)
			})
		}
		all.Wait()
		if got := r.counts(); got[0] != 20 {
			t.Fatalf("%v hedges of a thousand quiet requests for fifty slow ones", got[0])
		}
	})
}

// TestAHedgeMayFail: the first answer that settles it counts, and an error only if there is nothing else.
func TestAHedgeMayFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for range 60 {
			_, _ = r.get(objstore.PurposeCatchup)
		}
		n := 0
		r.slow.delay = func() (time.Duration, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if n++; n == 2 {
				return time.Millisecond, objstore.ErrUnknown
			}
			return time.Second, nil
		}
		if took, err := r.get(objstore.PurposeCatchup); err != nil || took != time.Second {
			t.Fatal("the hedge failed, the first did not:", took, err)
		}
		if got := r.counts(); got != [3]float64{1, 0, 1} {
			t.Fatal(got)
		}
	})
}

// TestTailIsCut: of 5,000 log-normal reads one after the other, one of 20 is asked for twice at most, and the slowest 1 of 1,000 take
// three quarters of their time at most.
func TestTailIsCut(t *testing.T) {
	p999 := func(t *testing.T, hedges bool) (slowest time.Duration, extra float64) {
		synctest.Test(t, func(t *testing.T) {
			const reads = 5_000
			r := newRig(t)
			rng := rand.New(rand.NewPCG(7, 8))
			r.slow.delay = func() (time.Duration, error) {
				r.mu.Lock()
				defer r.mu.Unlock()
				return draw(rng), nil
			}
			purpose := objstore.PurposeOther
			if hedges {
				purpose = objstore.PurposeCatchup
			}
			var all []time.Duration
			for range reads {
				took, err := r.get(purpose)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, took)
			}
			slices.Sort(all)
			slowest, extra = all[reads*999/1000], float64(r.slow.gets.Load()-reads)/reads
		})
		return slowest, extra
	}
	plain, none := p999(t, false)
	cut, extra := p999(t, true)
	t.Logf("p99.9 %v, hedged %v; %.1f %% more requests", plain, cut, extra*100)
	if none != 0 || extra > 0.055 || cut > plain*3/4 {
		t.Fatalf("p99.9 %v, hedged %v; %.1f %% and %.1f %% more requests", plain, cut, none*100, extra*100)
	}
}

// draw is how long a Get of S3 Standard takes by the model: p50 15, p99 80 ms, and one of 2,000 0.3 to 1 s more.
func draw(rng *rand.Rand) time.Duration {
	d := time.Duration(15 * math.Exp(0.72*rng.NormFloat64()) * float64(time.Millisecond))
	if rng.IntN(2000) == 0 {
		d += 300*time.Millisecond + time.Duration(rng.Int64N(int64(700*time.Millisecond)))
	}
	return d
}

// TestHelp: the log's counters have the same names, and one name has one text.
func TestHelp(t *testing.T) {
	ch := make(chan *prometheus.Desc, 10)
	New(mem.New()).Describe(ch)
	close(ch)
	n := 0
	for d := range ch {
		if n++; !strings.Contains(d.String(), "Second requests") {
			t.Error(d)
		}
	}
	if n != 3 {
		t.Fatal(n)
	}
}
