package memory

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestClassHoldsSize(t *testing.T) {
	for n := 1; n <= 1<<maxClass; n += 1 + n/7 {
		class, size := classOf(n)
		if size < n {
			t.Fatalf("class %d of %d bytes has %d", class, n, size)
		}
		if n > 1<<minClass && (size-n)*quarters >= n {
			t.Fatalf("%d bytes take %d", n, size)
		}
		if c2, s2 := classOf(size); c2 != class || s2 != size {
			t.Fatalf("class %d of size %d maps to %d of size %d", class, size, c2, s2)
		}
	}
	for n := 1<<maxClass + 1; n <= 1<<30; n += n / 3 {
		if size := Capacity(n); size < n || size-n >= page || Capacity(size) != size {
			t.Fatalf("%d bytes take %d, which take %d", n, size, Capacity(size))
		}
	}
}

func TestBufLastReleaseReturnsBudget(t *testing.T) {
	var p Pool
	budget := NewBudget(100)
	if err := budget.Acquire(context.Background(), 60); err != nil {
		t.Fatal(err)
	}
	b := p.Get(10)
	b.Charge(budget, 60)
	b.Retain()
	b.Release()
	if budget.Used() != 60 {
		t.Fatalf("used %d after the first release, want 60", budget.Used())
	}
	b.Release()
	if budget.Used() != 0 || p.Outstanding() != 0 {
		t.Fatalf("used %d, outstanding %d after the last release", budget.Used(), p.Outstanding())
	}
	defer func() {
		if recover() == nil {
			t.Fatal("a release too many went unnoticed")
		}
	}()
	b.Release()
}

func TestBufSetBytesOutgrown(t *testing.T) {
	var p Pool
	b := p.Get(10)
	b.SetBytes(append(b.Bytes()[:0], make([]byte, 1<<14)...))
	if b.Len() != 1<<14 || p.Outstanding() != 0 {
		t.Fatalf("len %d, outstanding %d", b.Len(), p.Outstanding())
	}
	b.Release()
}

func TestBudgetServesInOrder(t *testing.T) {
	b := NewBudget(100)
	ctx := context.Background()
	if err := b.Acquire(ctx, 80); err != nil {
		t.Fatal(err)
	}
	if !b.Pressure() {
		t.Fatal("no pressure at 80 of 100")
	}
	large, small := make(chan error, 1), make(chan error, 1)
	go func() { large <- b.Acquire(ctx, 70) }()
	waitFor(t, func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.mu.waiters) == 1 })
	go func() { small <- b.Acquire(ctx, 10) }()
	waitFor(t, func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.mu.waiters) == 2 })
	select {
	case <-small:
		t.Fatal("a small request overtook a large one")
	default:
	}
	b.Release(80)
	if err := <-large; err != nil {
		t.Fatal(err)
	}
	if err := <-small; err != nil {
		t.Fatal(err)
	}
	if b.Used() != 80 {
		t.Fatalf("used %d, want 80", b.Used())
	}
}

func TestBudgetAbandonedWaiterLetsOthersPass(t *testing.T) {
	b := NewBudget(100)
	b.Take(90)
	ctx, cancel := context.WithCancel(context.Background())
	large, small := make(chan error, 1), make(chan error, 1)
	go func() { large <- b.Acquire(ctx, 50) }()
	waitFor(t, func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.mu.waiters) == 1 })
	go func() { small <- b.Acquire(context.Background(), 10) }()
	waitFor(t, func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.mu.waiters) == 2 })
	cancel()
	if err := <-large; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := <-small; err != nil {
		t.Fatal(err)
	}
}

func TestBudgetLargerThanLimitPassesAlone(t *testing.T) {
	b := NewBudget(100)
	if err := b.Acquire(context.Background(), 1000); err != nil {
		t.Fatal(err)
	}
	b.Release(1000)
}

func waitFor(t *testing.T, cond func() bool) {
	t.Helper()
	for range 2000 {
		if cond() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("condition not met")
}
