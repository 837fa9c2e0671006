package fault

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/storetest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var key = metastore.Key{PK: "pk", SK: "sk"}

// next sets n to v if it is v-1.
func next(v int64) metastore.Op {
	return metastore.Op{
		Kind: metastore.OpUpdate, Key: key, Set: metastore.Item{"n": metastore.N(v)},
		If: []metastore.Cond{{Attr: "n", Cmp: metastore.Eq, Value: metastore.N(v - 1)}},
	}
}

func put(v int64) metastore.Op {
	return metastore.Op{Kind: metastore.OpPut, Key: key, Set: metastore.Item{"n": metastore.N(v)}}
}

// world is a store with n = 0 and a fault store that takes the actions of the script, one for each call, then passes.
type world struct {
	*testing.T
	inner *mem.Store
	s     *Store
}

func newWorld(t *testing.T, script ...Action) *world {
	w := &world{T: t, inner: mem.New()}
	if _, err := w.inner.Write(t.Context(), put(0)); err != nil {
		t.Fatal(err)
	}
	w.s = New(w.inner, Plan{Hook: func(Call) Action {
		if len(script) == 0 {
			return Action{Do: Pass}
		}
		act := script[0]
		script = script[1:]
		return act
	}})
	return w
}

// is checks n below the faults.
func (w *world) is(want int64) {
	w.Helper()
	it, err := w.inner.Get(w.Context(), key, metastore.Consistent)
	if n, _ := it["n"].Num(); err != nil || n != want {
		w.Errorf("n is %v (%v), want %d", it, err, want)
	}
}

func (w *world) want(err, target error) {
	w.Helper()
	if !errors.Is(err, target) {
		w.Errorf("got %v, want %v", err, target)
	}
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) metastore.Store { return New(mem.New(), Plan{}) })
}

// Faults that the contract allows to any store leave its rules alone: slow calls, short pages, old versions where they may be.
func TestConformanceOfAnAwkwardStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) metastore.Store {
		rates := Rates{Jitter: 200 * time.Microsecond, Short: 0.5, Stale: 0.5}
		return New(mem.New(), Plan{Seed: storetest.Seed(t), Rates: All(rates)})
	})
}

func TestWrites(t *testing.T) {
	for name, c := range map[string]struct {
		act   Action
		err   error // of the call, nil: none
		now   int64 // n after the call
		later int64 // n in the end
	}{
		"pass":       {Action{Do: Pass}, nil, 1, 1},
		"draw":       {Action{}, nil, 1, 1},
		"fail":       {Action{Do: Fail}, metastore.ErrUnknown, 0, 0},
		"throttle":   {Action{Do: Fail, Err: metastore.ErrThrottled}, metastore.ErrThrottled, 0, 0},
		"conflict":   {Action{Do: Fail, Err: metastore.ErrConflict}, metastore.ErrConflict, 0, 0},
		"lose":       {Action{Do: Lose}, metastore.ErrUnknown, 1, 1},
		"retry":      {Action{Do: Retry}, metastore.ErrCondition, 1, 1},
		"late":       {Action{Do: Late, After: time.Minute}, metastore.ErrUnknown, 0, 1},
		"twice":      {Action{Do: Twice, After: time.Minute}, nil, 1, 1},
		"stale":      {Action{Do: Stale}, nil, 1, 1},
		"short":      {Action{Do: Short}, nil, 1, 1},
		"draw late":  {Action{Delay: time.Hour}, nil, 1, 1},
		"delay":      {Action{Do: Pass, Delay: time.Hour}, nil, 1, 1},
		"crash":      {Action{Do: CrashFirst}, ErrCrashed, 0, 0},
		"crash then": {Action{Do: CrashAfter}, ErrCrashed, 1, 1},
	} {
		for _, transact := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/transact=%v", name, transact), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w, start := newWorld(t, c.act), time.Now()
					var err error
					if transact {
						err = w.s.Transact(t.Context(), []metastore.Op{next(1)})
					} else {
						_, err = w.s.Write(t.Context(), next(1))
					}
					w.want(err, c.err)
					if took := time.Since(start); took != c.act.Delay {
						t.Errorf("took %v", took)
					}
					w.is(c.now)
					w.s.Wait()
					w.is(c.later)
					if n := w.s.Pending(); n != 0 {
						t.Errorf("%d pending", n)
					}
				})
			})
		}
	}
}

// The second effect of Twice is a write of its own, with what was asked then, also if the caller gave up and reuses its maps.
func TestLateEffectIsACopy(t *testing.T) {
	for _, do := range []What{Late, Twice} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Action{Do: do, After: time.Minute})
			ctx, cancel := context.WithCancel(t.Context())
			op := put(5)
			w.s.Write(ctx, op)
			cancel()
			op.Set["n"] = metastore.N(6)
			if _, err := w.s.Write(t.Context(), put(7)); err != nil {
				t.Error(err)
			}
			w.is(7)
			w.s.Wait()
			w.is(5)
		})
	}
}

func TestReads(t *testing.T) {
	lose, fail := Action{Do: Lose}, Action{Do: Fail}
	w := newWorld(t, lose, fail, lose, fail)
	for range 2 {
		it, err := w.s.Get(t.Context(), key, metastore.Consistent)
		w.want(err, metastore.ErrUnknown)
		if it != nil {
			t.Error(it)
		}
	}
	for range 2 {
		page, err := w.s.Query(t.Context(), metastore.Query{PK: "pk"})
		w.want(err, metastore.ErrUnknown)
		if page.Rows != nil {
			t.Error(page)
		}
	}
}

func TestStale(t *testing.T) {
	w := newWorld(t)
	w.s.SetPlan(Plan{Hook: func(Call) Action { return Action{Do: Stale} }})
	q := metastore.Query{PK: "pk"}
	read := func(c metastore.Consistency) (seen [2]int64) {
		it, err := w.s.Get(t.Context(), key, c)
		w.want(err, nil)
		seen[0], _ = it["n"].Num()
		q.Consistency = c
		page, err := w.s.Query(t.Context(), q)
		w.want(err, nil)
		seen[1], _ = page.Rows[0].Item["n"].Num()
		it["n"], page.Rows[0].Item["n"] = metastore.N(99), metastore.N(99) // ours, not the history's
		return seen
	}
	if got := read(metastore.Eventual); got != [2]int64{0, 0} {
		t.Errorf("first read: %v", got)
	}
	// Another writer changes the item behind the wrapper's back.
	if _, err := w.inner.Write(t.Context(), put(1)); err != nil {
		t.Fatal(err)
	}
	if got := read(metastore.Eventual); got != [2]int64{0, 0} {
		t.Errorf("eventual: %v, want the old version", got)
	}
	if got := read(metastore.Consistent); got != [2]int64{1, 1} {
		t.Errorf("consistent: %v", got)
	}
	both := map[[2]int64]bool{}
	for range 100 {
		both[read(metastore.Eventual)] = true
	}
	if len(both) != 4 {
		t.Errorf("eventual reads saw %v, want each version of each", both)
	}
	absent := metastore.Key{PK: "pk", SK: "new"}
	_, err := w.s.Get(t.Context(), absent, metastore.Eventual)
	w.want(err, metastore.ErrNotFound)
	w.inner.Write(t.Context(), metastore.Op{Kind: metastore.OpPut, Key: absent})
	_, err = w.s.Get(t.Context(), absent, metastore.Eventual)
	w.want(err, metastore.ErrNotFound)
}

func TestHistoryIsBounded(t *testing.T) {
	s := New(mem.New(), Plan{})
	for i := range 3 * maxKeys {
		for range 2 * maxVersions {
			s.saw(metastore.Key{PK: fmt.Sprint(i), SK: "-"}, metastore.Item{})
		}
	}
	if n := len(s.mu.seen); n > maxKeys {
		t.Errorf("%d keys", n)
	}
	for _, v := range s.mu.seen {
		if len(v) > maxVersions {
			t.Errorf("%d versions", len(v))
		}
	}
}

func TestShort(t *testing.T) {
	w := newWorld(t, Action{Do: Short})
	w.inner.Write(t.Context(), metastore.Op{Kind: metastore.OpPut, Key: metastore.Key{PK: "pk", SK: "z"}})
	page, err := w.s.Query(t.Context(), metastore.Query{PK: "pk"})
	if err != nil || len(page.Rows) != 1 || page.Next != "sk" {
		t.Errorf("%v, %v", page, err)
	}
}

func TestCrash(t *testing.T) {
	for _, keep := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Action{Do: Late, After: time.Minute}, Action{Do: Pass, Delay: time.Hour})
			w.s.Write(t.Context(), next(1))
			go func() {
				time.Sleep(time.Second)
				w.s.Crash(keep)
				w.s.Crash(!keep)
			}()
			start := time.Now()
			_, err := w.s.Write(t.Context(), put(9))
			w.want(err, ErrCrashed)
			w.want(err, metastore.ErrUnknown)
			if took := time.Since(start); took != time.Second {
				t.Errorf("a sleeping call ended after %v", took)
			}
			<-w.s.Crashed()
			_, err = w.s.Get(t.Context(), key, metastore.Consistent)
			w.want(err, ErrCrashed)
			w.s.Wait()
			if keep {
				w.is(1)
			} else {
				w.is(0)
			}
		})
	}
}

func TestContextEndsSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, start := newWorld(t, Action{Do: Pass, Delay: time.Hour}), time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := w.s.Write(ctx, put(9))
		w.want(err, metastore.ErrUnknown)
		w.want(err, context.DeadlineExceeded)
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v", took)
		}
		w.is(0)
	})
}

func TestHookIsTold(t *testing.T) {
	var got []Call
	s := New(mem.New(), Plan{Hook: func(c Call) Action { got = append(got, c); return Action{} }})
	ctx := metastore.WithPurpose(t.Context(), metastore.PurposeCommit)
	op, q := put(1), metastore.Query{PK: "pk", Prefix: "s", Consistency: metastore.Consistent}
	s.Write(ctx, op)
	s.Transact(ctx, []metastore.Op{op})
	s.Get(ctx, key, metastore.Consistent)
	s.Query(t.Context(), q)
	want := []Call{
		{Op: Write, Key: key, Ops: []metastore.Op{op}, Purpose: metastore.PurposeCommit},
		{Op: Transact, Key: key, Ops: []metastore.Op{op}, Purpose: metastore.PurposeCommit},
		{Op: Get, Key: key, Consistency: metastore.Consistent, Purpose: metastore.PurposeCommit},
		{Op: Query, Key: metastore.Key{PK: "pk"}, Query: q, Consistency: metastore.Consistent, Purpose: metastore.PurposeOther},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

// outcomes runs 2000 writes under a plan and counts the kinds of answers.
func outcomes(t *testing.T, plan Plan) (list []string, count map[string]int) {
	count = map[string]int{}
	synctest.Test(t, func(t *testing.T) {
		s := New(mem.New(), plan)
		for i := range 2000 {
			start := time.Now()
			_, err := s.Write(t.Context(), put(int64(i)))
			out := fmt.Sprintf("%v after %v", err, time.Since(start))
			list = append(list, out)
			count[fmt.Sprint(err)]++
		}
		s.Wait()
	})
	return list, count
}

func TestRatesAreSeeded(t *testing.T) {
	rates := All(Rates{
		Delay: time.Millisecond, Jitter: time.Millisecond, Throttle: .1, Conflict: .1, Refuse: .1, Error: .1, Lost: .1, Late: .1, Twice: .1, LateFor: time.Second,
	})
	a, count := outcomes(t, Plan{Seed: 1, Rates: rates})
	b, _ := outcomes(t, Plan{Seed: 1, Rates: rates})
	c, _ := outcomes(t, Plan{Seed: 2, Rates: rates})
	if !reflect.DeepEqual(a, b) || reflect.DeepEqual(a, c) {
		t.Error("the seed does not decide")
	}
	for _, err := range []error{errThrottled, errConflict, errRefused} {
		if n := count[err.Error()]; n < 100 || n > 300 {
			t.Errorf("%v: %d of 2000", err, n)
		}
	}
	if n := count["<nil>"]; n < 800 || n > 1200 {
		t.Errorf("passed: %d of 2000, want about 0.9^7 and Twice", n)
	}
}

func TestBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(mem.New(), Plan{Seed: 1, Rates: All(Rates{Throttle: 1}), Burst: time.Minute})
		_, err := s.Write(t.Context(), put(1))
		if !errors.Is(err, metastore.ErrThrottled) {
			t.Error(err)
		}
		s.mu.plan.Rates = All(Rates{})
		time.Sleep(59 * time.Second)
		if _, err := s.Get(t.Context(), key, metastore.Consistent); !errors.Is(err, metastore.ErrThrottled) {
			t.Error(err)
		}
		time.Sleep(2 * time.Second)
		if _, err := s.Write(t.Context(), put(1)); err != nil {
			t.Error(err)
		}
	})
}

func TestParsePlan(t *testing.T) {
	v, _ := url.ParseQuery("seed=7&delay=4ms&jitter=6ms&lost=0.01&write.lost=0.5&query.short=1&burst=10s&write.conflict=0.1&stale=0.2")
	p, err := ParsePlan(v)
	base := Rates{Delay: 4 * time.Millisecond, Jitter: 6 * time.Millisecond, StallFor: 10 * time.Second, LateFor: 10 * time.Second, Lost: .01, Stale: .2}
	want := Plan{Seed: 7, Burst: 10 * time.Second, Rates: All(base)}
	want.Rates[Write].Lost, want.Rates[Write].Conflict, want.Rates[Query].Short = .5, .1, 1
	if err != nil || !reflect.DeepEqual(p, want) {
		t.Errorf("got %+v, %v", p, err)
	}
	for _, bad := range []string{"lost=2", "lost=x", "lost=NaN", "delay=-1s", "delay=4", "nothing=1", "scan.lost=1", "seed=-1", "write.seed=1"} {
		v, _ := url.ParseQuery(bad)
		if _, err := ParsePlan(v); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}
