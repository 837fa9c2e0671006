package txn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/fault"
	"github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/records"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func next(t *testing.T, i *IDs) int64 {
	t.Helper()
	id, err := i.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// writes counts what reaches the table.
func writes(of *int) fault.Plan {
	var mu sync.Mutex
	return fault.Plan{Hook: func(c fault.Call) fault.Action {
		mu.Lock()
		defer mu.Unlock()
		*of++
		return fault.Action{Do: fault.Pass, Delay: time.Millisecond}
	}}
}

func TestBlocksOfAThousand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n int
		table := mem.New()
		store := fault.New(table, writes(&n))
		a, b := NewIDs(store, "c"), NewIDs(store, "c")
		for want := range int64(1000) {
			if id := next(t, a); id != want {
				t.Fatalf("id %d, want %d", id, want)
			}
		}
		if n != 1 {
			t.Fatalf("%d writes for 1,000 ids", n)
		}
		if id := next(t, b); id != 1000 {
			t.Fatalf("the second agent begins at %d", id)
		}
		if id := next(t, a); id != 2000 || n != 3 {
			t.Fatalf("the first goes on at %d after %d writes", id, n)
		}
		it, err := table.Get(t.Context(), records.Cluster("c").IDsKey(), metastore.Consistent)
		if got, e := records.DecodeIDs(it); err != nil || e != nil || got != (records.IDs{Producer: 3}) {
			t.Fatalf("the counters are %+v, %v, %v", got, err, e)
		}
		if id := next(t, NewIDs(store, "other")); id != 0 {
			t.Fatalf("another cluster begins at %d", id)
		}
	})
}

// Callers who find no id share one write.
func TestOneWriteForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n int
		i := NewIDs(fault.New(mem.New(), writes(&n)), "c")
		var mu sync.Mutex
		var got []int64
		var wg sync.WaitGroup
		for range 2500 {
			wg.Go(func() {
				id, err := i.Next(t.Context())
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				got = append(got, id)
			})
		}
		wg.Wait()
		slices.Sort(got)
		for want, id := range got {
			if id != int64(want) {
				t.Fatalf("id %d, want %d", id, want)
			}
		}
		if n != 3 {
			t.Fatalf("%d writes for 2,500 ids", n)
		}
	})
}

// Whatever becomes of a write, no id is given twice, and a block of unknown outcome is not used.
func TestFaults(t *testing.T) {
	for what, act := range map[string]fault.Action{
		"lost reply":      {Do: fault.Lose},
		"late":            {Do: fault.Late, After: 20 * time.Millisecond},
		"twice":           {Do: fault.Twice, After: 20 * time.Millisecond},
		"repeated below":  {Do: fault.Retry},
		"failed, unknown": {Do: fault.Fail},
		"throttled":       {Do: fault.Fail, Err: metastore.ErrThrottled},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				table := mem.New()
				seen := 0
				store := fault.New(table, fault.Plan{Hook: func(fault.Call) fault.Action {
					if seen++; seen%2 == 1 {
						return act
					}
					return fault.Action{Do: fault.Pass}
				}})
				a, b := NewIDs(store, "c"), NewIDs(table, "c")
				given := map[int64]bool{}
				for n := range 5000 {
					i := a
					if n%2 == 1 {
						i = b
					}
					id := next(t, i)
					if given[id] {
						t.Fatalf("id %d is given twice", id)
					}
					given[id] = true
				}
				store.Wait()
				if id := next(t, NewIDs(table, "c")); given[id] || given[id+999] {
					t.Fatalf("id %d is given twice", id)
				}
			})
		})
	}
}

func TestUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n int
		store := fault.New(mem.New(), fault.Plan{Hook: func(fault.Call) fault.Action {
			n++
			return fault.Action{Do: fault.Fail, Err: fmt.Errorf("%w: no such table", metastore.ErrRefused)}
		}})
		i := NewIDs(store, "c")
		if _, err := i.Next(t.Context()); !errors.Is(err, ErrUnavailable) || !errors.Is(err, metastore.ErrRefused) || n != 1 {
			t.Fatalf("refused: %v after %d tries", err, n)
		}
		store.SetPlan(fault.Plan{Rates: fault.All(fault.Rates{Error: 1})})
		if _, err := i.Next(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Fatalf("unknown: %v", err)
		}
		// One who gives up spoils nothing for the others.
		store.SetPlan(fault.Plan{Rates: fault.All(fault.Rates{Delay: time.Second})})
		var wg sync.WaitGroup
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			if _, err := i.Next(ctx); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("gave up: %v", err)
			}
		})
		wg.Go(func() {
			time.Sleep(500 * time.Microsecond)
			if id := next(t, i); id != 0 {
				t.Errorf("id %d", id)
			}
		})
		wg.Wait()
	})
}

// A table that answers nonsense is not taken for a block.
func TestBadCounter(t *testing.T) {
	for _, n := range []int64{-5, -1} {
		table := mem.New()
		set := metastore.Item{records.AttrProducer: metastore.N(n)}
		if _, err := table.Write(t.Context(), metastore.Op{Kind: metastore.OpPut, Key: records.Cluster("c").IDsKey(), Set: set}); err != nil {
			t.Fatal(err)
		}
		if id, err := NewIDs(table, "c").Next(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Fatalf("id %d, %v", id, err)
		}
	}
}
