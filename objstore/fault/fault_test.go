package fault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/fault"
	"github.com/varvelog/varve/objstore/mem"
	"github.com/varvelog/varve/objstore/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) objstore.Store { return fault.New(mem.New(), fault.Plan{}) })
}

// script returns a hook that gives the nth call of op (from 1) the nth action; later calls pass.
func script(op fault.Op, acts ...fault.Action) func(fault.Op, string) fault.Action {
	var steps []fault.Step
	for i, act := range acts {
		steps = append(steps, fault.Step{Op: op, N: i + 1, Action: act})
	}
	return fault.Script(steps...)
}

// has reports whether s holds exactly body under key.
func has(s objstore.Store, key, body string) bool {
	o, err := s.Get(context.Background(), key, objstore.Range{})
	return err == nil && string(o.Body) == body
}

// absent reports whether s holds nothing under key.
func absent(s objstore.Store, key string) bool {
	_, err := s.Get(context.Background(), key, objstore.Range{})
	return errors.Is(err, objstore.ErrNotFound)
}

func want(t *testing.T, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s: %v, want %v", what, err, target)
	}
}

// TestScript checks that steps count the calls that they fit, and no others.
func TestScript(t *testing.T) {
	fail := fault.Action{Do: fault.Fail}
	s := fault.New(mem.New(), fault.Plan{Hook: fault.Script(
		fault.Step{Op: fault.Put, Part: "/w/", N: 2, Action: fail},
		fault.Step{Op: fault.Put, Part: "/w/3", N: 1, Action: fault.Action{Do: fault.Fail, Err: objstore.ErrThrottled}},
		fault.Step{Op: fault.Get, Part: "bad", Action: fail},
	)})
	for _, c := range []struct {
		key  string
		want error
	}{
		{"c/w/1", nil}, {"c/s/1", nil}, {"c/w/3", objstore.ErrUnknown}, {"c/w/3", nil}, {"c/w/4", nil}, {"bad", nil},
	} {
		want(t, "put "+c.key, s.Put(t.Context(), c.key, nil), c.want)
	}
	for range 3 {
		_, err := s.Get(t.Context(), "bad", objstore.Range{})
		want(t, "get", err, objstore.ErrUnknown)
	}
}

func TestScriptedPuts(t *testing.T) {
	inner := mem.New()
	s := fault.New(inner, fault.Plan{Hook: script(fault.Put,
		fault.Action{Do: fault.Fail},
		fault.Action{Do: fault.Fail, Err: objstore.ErrThrottled},
		fault.Action{Do: fault.Lose},
		fault.Action{Do: fault.Pass},
	)})
	ctx := t.Context()
	want(t, "failed put", s.Put(ctx, "1", []byte("x")), objstore.ErrUnknown)
	want(t, "throttled put", s.Put(ctx, "2", []byte("x")), objstore.ErrThrottled)
	want(t, "lost put", s.Put(ctx, "3", []byte("x")), objstore.ErrUnknown)
	want(t, "put", s.Put(ctx, "4", []byte("x")), nil)
	for key, stored := range map[string]bool{"1": false, "2": false, "3": true, "4": true} {
		if has(inner, key, "x") != stored || absent(inner, key) == stored {
			t.Errorf("key %s: stored is not %v", key, stored)
		}
	}
}

// TestLate checks that a late put lands after its time, with the bytes of its call, also when the context has ended.
func TestLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := mem.New()
		s := fault.New(inner, fault.Plan{Hook: script(fault.Put, fault.Action{Do: fault.Late, After: time.Minute})})
		ctx, cancel := context.WithCancel(t.Context())
		body := []byte("old")
		want(t, "put", s.Put(ctx, "k", body), objstore.ErrUnknown)
		copy(body, "bad")
		cancel()
		want(t, "later put", s.Put(t.Context(), "k", []byte("new")), nil)
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if !has(inner, "k", "new") || s.Pending() != 1 {
			t.Error("the late put came early")
		}
		s.Wait()
		if !has(inner, "k", "old") || s.Pending() != 0 {
			t.Error("the late put did not come, or changed")
		}
	})
}

func TestTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := mem.New()
		s := fault.New(inner, fault.Plan{Hook: script(fault.Put, fault.Action{Do: fault.Twice, After: time.Minute})})
		want(t, "put", s.Put(t.Context(), "k", []byte("x")), nil)
		if !has(inner, "k", "x") {
			t.Error("the first put did not come")
		}
		want(t, "delete", s.Delete(t.Context(), "k"), nil)
		s.Wait()
		if !has(inner, "k", "x") {
			t.Error("the second put did not come")
		}
	})
}

func TestLateDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := mem.New()
		s := fault.New(inner, fault.Plan{Hook: script(fault.Delete, fault.Action{Do: fault.Late, After: time.Minute})})
		want(t, "put", s.Put(t.Context(), "k", []byte("x")), nil)
		want(t, "delete", s.Delete(t.Context(), "k"), objstore.ErrUnknown)
		if !has(inner, "k", "x") {
			t.Error("the late delete came early")
		}
		s.Wait()
		if !absent(inner, "k") {
			t.Error("the late delete did not come")
		}
	})
}

func TestPartialDelete(t *testing.T) {
	inner := mem.New()
	s := fault.New(inner, fault.Plan{Hook: script(fault.Delete,
		fault.Action{Do: fault.Partial, Keys: 2}, fault.Action{Do: fault.Partial}, fault.Action{Do: fault.Partial, Keys: 9})})
	keys := []string{"a", "b", "c", "d"}
	for round := range 3 {
		for _, k := range keys {
			want(t, "put", inner.Put(t.Context(), k, nil), nil)
		}
		err := s.Delete(t.Context(), keys...)
		var de *objstore.DeleteError
		if !errors.As(err, &de) || !errors.Is(err, objstore.ErrUnknown) || len(de.Keys) == 0 {
			t.Fatalf("round %d: %v, want a DeleteError", round, err)
		}
		for _, k := range keys {
			if absent(inner, k) == slices.Contains(de.Keys, k) {
				t.Errorf("round %d: %s is not as %v says", round, k, err)
			}
		}
		if round == 0 && !slices.Equal(de.Keys, []string{"c", "d"}) {
			t.Errorf("round 0: %q", de.Keys)
		}
	}
}

func TestFlip(t *testing.T) {
	inner := mem.New()
	s := fault.New(inner, fault.Plan{Rates: fault.All(fault.Rates{Flip: 1})})
	body := []byte("some bytes of an object")
	want(t, "put", s.Put(t.Context(), "k", body), nil)
	o, err := s.Get(t.Context(), "k", objstore.Range{})
	want(t, "get", err, nil)
	flipped := 0
	for i := range body {
		flipped += bits.OnesCount8(o.Body[i] ^ body[i])
	}
	if flipped != 1 {
		t.Errorf("%d bits flipped, want 1", flipped)
	}
	for range 10 {
		into, told := make([]byte, len(body)), int64(0)
		err := objstore.GetWatched(t.Context(), s, "k", 0, func(n int64) { told = n }, into[:3], into[3:])
		if want(t, "get into", err, nil); told != 0 {
			t.Error("who watches believes in bytes that are damaged")
		}
		for i := range body {
			flipped += bits.OnesCount8(into[i] ^ body[i])
		}
	}
	if flipped != 11 {
		t.Errorf("%d bits flipped, want 11", flipped)
	}
	if !has(inner, "k", string(body)) {
		t.Error("the object itself was damaged")
	}
}

// TestDelay checks that sleeps are as long as said, and end with the context.
func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := mem.New()
		s := fault.New(inner, fault.Plan{Seed: 3, Rates: fault.All(fault.Rates{Delay: time.Second, Jitter: 2 * time.Second})})
		var took []time.Duration
		for range 50 {
			start := time.Now()
			want(t, "put", s.Put(t.Context(), "k", nil), nil)
			took = append(took, time.Since(start))
		}
		if lo, hi := slices.Min(took), slices.Max(took); lo < time.Second || hi > 3*time.Second || hi-lo < time.Second {
			t.Errorf("delays from %s to %s, want all of 1 s to 3 s", lo, hi)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		start := time.Now()
		err := s.Put(ctx, "cut", nil)
		want(t, "cut put", err, objstore.ErrUnknown)
		want(t, "cut put", err, context.DeadlineExceeded)
		if d := time.Since(start); d != 500*time.Millisecond || !absent(inner, "cut") {
			t.Errorf("a cut put took %s, absent: %v", d, absent(inner, "cut"))
		}
	})
}

// TestBandwidth checks that puts share the pipe, and that a cancelled one leaves it.
func TestBandwidth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate = 50 << 20
		s := fault.New(mem.New(), fault.Plan{Bandwidth: rate})
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() { want(t, "put", s.Put(t.Context(), fmt.Sprint(i), make([]byte, rate/4)), nil) })
		}
		wg.Wait()
		if d := time.Since(start); d != 2*time.Second {
			t.Errorf("100 MiB at 50 MiB/s took %s", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		want(t, "cut put", s.Put(ctx, "cut", make([]byte, 10*rate)), objstore.ErrUnknown)
		start = time.Now()
		want(t, "put", s.Put(t.Context(), "after", make([]byte, rate)), nil)
		if d := time.Since(start); d != time.Second {
			t.Errorf("a put after a cut one took %s, want 1s", d)
		}
	})
}

// TestBurst checks that a throttled call throttles what follows for a while, and nothing after it.
func TestBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plan := fault.Plan{Burst: 10 * time.Second}
		plan.Rates[fault.Put].Throttle = 1
		s := fault.New(mem.New(), plan)
		_, err := s.List(t.Context(), "", "", 0)
		want(t, "list before", err, nil)
		want(t, "put", s.Put(t.Context(), "k", nil), objstore.ErrThrottled)
		_, err = s.List(t.Context(), "", "", 0)
		want(t, "list in the burst", err, objstore.ErrThrottled)
		time.Sleep(11 * time.Second)
		_, err = s.List(t.Context(), "", "", 0)
		want(t, "list after", err, nil)
	})
}

// TestCrash checks that a crash ends sleeping calls and all later ones, and drops or keeps what is to come.
func TestCrash(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprint("keep ", keep), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := mem.New()
				s := fault.New(inner, fault.Plan{Hook: script(fault.Put,
					fault.Action{Do: fault.Late, After: time.Minute},
					fault.Action{Do: fault.Pass, Delay: time.Hour})})
				want(t, "late put", s.Put(t.Context(), "late", []byte("x")), objstore.ErrUnknown)
				start := time.Now()
				time.AfterFunc(time.Second, func() { s.Crash(keep); s.Crash(!keep) })
				err := s.Put(t.Context(), "slow", []byte("x"))
				want(t, "slow put", err, fault.ErrCrashed)
				want(t, "slow put", err, objstore.ErrUnknown)
				if d := time.Since(start); d != time.Second {
					t.Errorf("a crash after 1s ended the call after %s", d)
				}
				_, get := s.Get(t.Context(), "k", objstore.Range{})
				_, list := s.List(t.Context(), "", "", 0)
				for _, err := range []error{get, list, s.Put(t.Context(), "k", nil), s.Delete(t.Context(), "k")} {
					want(t, "call after the crash", err, fault.ErrCrashed)
				}
				s.Wait()
				if has(inner, "late", "x") != keep || !absent(inner, "slow") || !absent(inner, "k") {
					t.Error("the store is not as the crash should leave it")
				}
			})
		})
	}
}

// TestSeed checks that the same seed and calls give the same faults, and that rates are kept.
func TestSeed(t *testing.T) {
	run := func(seed uint64) (outcome []byte) {
		rates := fault.Rates{Throttle: 0.1, Refuse: 0.1, Error: 0.1, Lost: 0.1}
		s := fault.New(mem.New(), fault.Plan{Seed: seed, Rates: fault.All(rates)})
		for i := range 1000 {
			key := fmt.Sprint(i)
			err := s.Put(t.Context(), key, nil)
			switch {
			case err == nil:
				outcome = append(outcome, '.')
			case errors.Is(err, objstore.ErrThrottled):
				outcome = append(outcome, 't')
			case errors.Is(err, objstore.ErrRefused):
				outcome = append(outcome, 'r')
			case errors.Is(err, objstore.ErrUnknown):
				outcome = append(outcome, 'u')
			default:
				t.Errorf("stray error: %v", err)
			}
		}
		return outcome
	}
	a, b, c := run(1), run(1), run(2)
	if !bytes.Equal(a, b) || bytes.Equal(a, c) {
		t.Errorf("the seed does not decide:\n%s\n%s\n%s", a, b, c)
	}
	// 1,000 throws; six standard deviations of a tenth are 57.
	for class, share := range map[string]int{".": 656, "t": 100, "r": 90, "u": 154} {
		if n := bytes.Count(a, []byte(class)); n < share-90 || n > share+90 {
			t.Errorf("%s: %d of 1000, want about %d", class, n, share)
		}
	}
}

func TestSetPlanHeals(t *testing.T) {
	s := fault.New(mem.New(), fault.Plan{Rates: fault.All(fault.Rates{Error: 1})})
	want(t, "put", s.Put(t.Context(), "k", nil), objstore.ErrUnknown)
	s.SetPlan(fault.Plan{})
	want(t, "healed put", s.Put(t.Context(), "k", nil), nil)
}
