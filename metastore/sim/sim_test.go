package sim

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	quick := Latency{P50: 5 * time.Microsecond, P99: 50 * time.Microsecond}
	for name, m := range map[string]Model{
		"zero":  {},
		"delay": {Get: quick, Query: quick, Write: quick, Transact: quick, KeyUnits: 1e9, TableUnits: 1e9},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(*testing.T) metastore.Store { return New(mem.New(), m, 1) })
		})
	}
}

// TestDistribution holds p50 and p99 of 100,000 draws against the table that the model was made from.
func TestDistribution(t *testing.T) {
	for name, c := range map[string]struct {
		lat      Latency
		p50, p99 float64 // milliseconds
	}{
		"write":       {DynamoDB().Write, 4, 11},
		"get":         {DynamoDB().Get, 4, 11},
		"transaction": {DynamoDB().Transact, 12, 33},
	} {
		rng := rand.New(rand.NewPCG(1, 2))
		all := make([]float64, 100_000)
		for i := range all {
			all[i] = float64(c.lat.Draw(rng)) / 1e6
		}
		slices.Sort(all)
		p50, p99 := all[len(all)/2], all[len(all)*99/100]
		t.Logf("%s: p50 %.2f, p99 %.2f, worst %.0f ms", name, p50, p99, all[len(all)-1])
		if math.Abs(p50-c.p50) > 0.05*c.p50 || math.Abs(p99-c.p99) > 0.05*c.p99 {
			t.Errorf("%s: p50 %.2f, p99 %.2f, want %v and %v within 5%%", name, p50, p99, c.p50, c.p99)
		}
		if all[len(all)-1] < 50 {
			t.Errorf("%s: no straggler among 100,000", name)
		}
	}
}

func write(pk string, size int) metastore.Op {
	return metastore.Op{Kind: metastore.OpPut, Key: metastore.Key{PK: pk, SK: "-"}, Set: metastore.Item{"a": metastore.S(string(make([]byte, size)))}}
}

// TestVirtualTime checks that calls take what was drawn, all of it in virtual time, and the same for a seed.
func TestVirtualTime(t *testing.T) {
	run := func(seed uint64) (times []time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			s := New(mem.New(), DynamoDB(), seed)
			for i := range 50 {
				op := write(fmt.Sprint("p", i), 1)
				_, err1 := took(&times, func() error { _, err := s.Write(t.Context(), op); return err })
				_, err2 := took(&times, func() error { _, err := s.Get(t.Context(), op.Key, metastore.Consistent); return err })
				_, err3 := took(&times, func() error { _, err := s.Query(t.Context(), metastore.Query{PK: "p"}); return err })
				_, err4 := took(&times, func() error { return s.Transact(t.Context(), []metastore.Op{op}) })
				if err := errors.Join(err1, err2, err3, err4); err != nil {
					t.Fatal(err)
				}
			}
		})
		return times
	}
	first, again, other := run(1), run(1), run(2)
	if !slices.Equal(first, again) || slices.Equal(first, other) {
		t.Errorf("seed 1: %v, again %v, seed 2: %v", first[:4], again[:4], other[:4])
	}
	rng := rand.New(rand.NewPCG(1, 0x73696d))
	m := DynamoDB()
	for i, lat := range []Latency{m.Write, m.Get, m.Query, m.Transact} {
		if want := lat.Draw(rng); first[i] != want {
			t.Errorf("call %d took %s, want %s", i, first[i], want)
		}
	}
}

func took(times *[]time.Duration, call func() error) (time.Duration, error) {
	start := time.Now()
	err := call()
	*times = append(*times, time.Since(start))
	return time.Since(start), err
}

// TestCeilings checks what a partition key and the table take in a second.
func TestCeilings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(mem.New(), Model{Name: "m", KeyUnits: 1000, TableUnits: 4000}, 1)
		count := func(n int, call func(i int) error) (throttled int) {
			for i := range n {
				if err := call(i); errors.Is(err, metastore.ErrThrottled) {
					throttled++
				} else if err != nil {
					t.Fatal(err)
				}
			}
			return throttled
		}
		put := func(pk string, size int) func(int) error {
			return func(int) error { _, err := s.Write(t.Context(), write(pk, size)); return err }
		}
		for _, c := range []struct {
			name      string
			got, want int
		}{
			{"small items of one key", count(1200, put("a", 1)), 200},
			{"items of 4 KiB, of which each is 5 units", count(300, put("b", 4096)), 100},
			{"a transaction costs twice", count(600, func(int) error { return s.Transact(t.Context(), []metastore.Op{write("c", 1)}) }), 100},
			{"the table, by many keys", count(2000, func(i int) error { _, err := s.Write(t.Context(), write(fmt.Sprint(i), 1)); return err }), 1000},
		} {
			if c.got != c.want {
				t.Errorf("%s: %d throttled, want %d", c.name, c.got, c.want)
			}
		}
		time.Sleep(time.Second)
		// An update of a small attribute costs the whole item: 1 unit before, 4 more after, so 5 each.
		update := metastore.Op{Kind: metastore.OpUpdate, Key: metastore.Key{PK: "b", SK: "-"}, Set: metastore.Item{"n": metastore.N(1)}}
		if got := count(300, func(int) error { _, err := s.Write(t.Context(), update); return err }); got != 100 {
			t.Errorf("updates of an item of 4 KiB: %d throttled, want 100", got)
		}
	})
}

// TestForgetsKeys checks that the limiter stays small.
func TestForgetsKeys(t *testing.T) {
	l := limiter{perKey: 10}
	for i := range 5 * maxKeys {
		l.take(map[string]float64{fmt.Sprint(i): 1}, time.Now())
		if len(l.keys) > maxKeys {
			t.Fatalf("%d keys", len(l.keys))
		}
	}
}

// TestCallerEnds checks that a context ends a delay, and that nothing was written.
func TestCallerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := mem.New()
		s := New(inner, Model{Write: Latency{P50: time.Hour}}, 1)
		cause := errors.New("why")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, cause)
		defer cancel()
		var times []time.Duration
		op := write("p", 1)
		d, err := took(&times, func() error { _, err := s.Write(ctx, op); return err })
		if !errors.Is(err, metastore.ErrUnknown) || !errors.Is(err, cause) || d != time.Second {
			t.Errorf("write: %v after %s", err, d)
		}
		if _, err := inner.Get(t.Context(), op.Key, metastore.Consistent); !errors.Is(err, metastore.ErrNotFound) {
			t.Errorf("it was written: %v", err)
		}
	})
}

func TestNamed(t *testing.T) {
	for name, want := range map[string]string{"": "dynamodb", "dynamodb": "dynamodb", "s3-standard": ""} {
		if m, err := Named(name); m.Name != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", name, m.Name, err)
		}
	}
}
