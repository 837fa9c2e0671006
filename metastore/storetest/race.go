package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/varvelog/varve/metastore"
)

// race runs f n times at once.
func race(n int, f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() { <-start; f(i) })
	}
	close(start)
	wg.Wait()
}

// retry repeats f while the store is busy, at most about 30 s.
func retry(f func() error) error {
	for i := 0; ; i++ {
		err := f()
		if i > 600 || !errors.Is(err, metastore.ErrConflict) && !errors.Is(err, metastore.ErrThrottled) {
			return err
		}
		time.Sleep(rand.N(100 * time.Millisecond))
	}
}

// Of 64 who create one item, one does, and the others see the winner's item.
func raceOfCreators(t *table) {
	for round := range 3 {
		sk := fmt.Sprint("round", round)
		var won atomic.Int64
		olds := make([]item, 64)
		race(64, func(i int) {
			err := retry(func() error {
				_, err := t.store.Write(t.Context(), t.put(sk, item{"by": num(int64(i))}, itemAbsent))
				return err
			})
			var failed *metastore.ConditionError
			switch {
			case err == nil:
				won.Add(1)
			case errors.As(err, &failed):
				olds[i] = failed.Old
			default:
				t.Errorf("creator %d: %v", i, err)
			}
		})
		if won.Load() != 1 {
			t.Errorf("%d creators won", won.Load())
		}
		winner := t.get(sk)
		for i, old := range olds {
			if old != nil && !same(old, winner) {
				t.Errorf("creator %d saw %v, the winner is %v", i, old, winner)
			}
		}
	}
}

// 16 who count by compare and set, starting from the item that the failure brought, lose nothing.
func raceOfCounters(t *table) {
	const each, tries = 10, 4000
	t.must(t.put("n", item{"n": num(0)}))
	race(16, func(i int) {
		seen := num(0)
		for done, try := 0, 0; done < each; try++ {
			if try == tries {
				t.Errorf("counter %d: %d of %d after %d tries", i, done, each, try)
				return
			}
			n, _ := seen.Num()
			var it item
			err := retry(func() (err error) {
				it, err = t.store.Write(t.Context(), t.update("n", item{"n": num(n + 1)}, cond("n", metastore.Eq, seen)))
				return err
			})
			var failed *metastore.ConditionError
			switch {
			case err == nil:
				seen = it["n"]
				done++
			case errors.As(err, &failed):
				seen = failed.Old["n"]
			default:
				t.Errorf("counter %d: %v", i, err)
				return
			}
		}
	})
	t.is("n", item{"n": num(16 * each)})
}

// 16 who add take each number once.
func raceOfAdders(t *table) {
	const each = 10
	var taken sync.Map
	race(16, func(i int) {
		for range each {
			var it item
			err := retry(func() (err error) {
				it, err = t.store.Write(t.Context(), t.add("n", "n", 1))
				return err
			})
			n, _ := it["n"].Num()
			if _, twice := taken.LoadOrStore(n, i); err != nil || twice {
				t.Errorf("adder %d: number %d, twice %v, %v", i, n, twice, err)
				return
			}
		}
	})
	t.is("n", item{"n": num(16 * each)})
}

// 8 who move money between 4 accounts neither make nor destroy any, and no account falls below zero.
func raceOfTransfers(t *table) {
	const accounts, start = 4, 20
	for i := range accounts {
		t.must(t.put(fmt.Sprint("acc", i), item{"n": num(start)}))
	}
	race(8, func(i int) {
		for j := range 10 {
			from, to := fmt.Sprint("acc", (i+j)%accounts), fmt.Sprint("acc", (i+2*j+1)%accounts)
			if from == to {
				continue
			}
			give := t.add(from, "n", -7)
			give.If = []metastore.Cond{cond("n", metastore.Ge, num(7))}
			err := retry(func() error { return t.store.Transact(t.Context(), []metastore.Op{give, t.add(to, "n", 7)}) })
			if err != nil && !errors.Is(err, metastore.ErrCondition) {
				t.Errorf("transfer: %v", err)
			}
		}
	})
	sum := int64(0)
	for i := range accounts {
		n, _ := t.get(fmt.Sprint("acc", i))["n"].Num()
		if n < 0 {
			t.Errorf("account %d has %d", i, n)
		}
		sum += n
	}
	if sum != accounts*start {
		t.Errorf("the accounts hold %d, want %d", sum, accounts*start)
	}
}
