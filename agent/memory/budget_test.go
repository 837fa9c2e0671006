package memory

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
)

// grow starts a Grow and waits until it is in the queue of which it makes the length want.
func grow(t *testing.T, b *Budget, held, n int64, want int) chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- b.Grow(context.Background(), held, n, nil) }()
	waitFor(t, func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.mu.waiters) == want || len(done) > 0 })
	return done
}

func queued(b *Budget) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.mu.waiters)
}

// TestGrowersComeFirst: who holds a part of what it needs goes before who holds nothing, the largest part foremost.
func TestGrowersComeFirst(t *testing.T) {
	b := NewBudget(100)
	b.Take(100) // 60 of somebody, 30 and 10 of the two that grow
	fresh := grow(t, b, 0, 1, 1)
	small := grow(t, b, 10, 40, 2)
	large := grow(t, b, 30, 40, 3)
	b.Release(40)
	if err := <-large; err != nil {
		t.Fatal(err)
	}
	if queued(b) != 2 || len(fresh)+len(small) > 0 {
		t.Fatal("somebody overtook the one that holds most")
	}
	b.Release(70) // it is done
	if <-small != nil || <-fresh != nil {
		t.Fatal("not served")
	}
}

// TestGrowersNeverWaitForEachOther: all that is taken belongs to three that need more. The one that holds most is let past the
// limit, and while it is at work nobody else is.
func TestGrowersNeverWaitForEachOther(t *testing.T) {
	b := NewBudget(100)
	b.Take(100)
	one := grow(t, b, 30, 90, 1)
	two := grow(t, b, 30, 90, 2)
	fresh := grow(t, b, 0, 10, 3)
	if queued(b) != 3 {
		t.Fatal("let past the limit while somebody may still release")
	}
	three := grow(t, b, 40, 80, 3)
	if err := <-three; err != nil {
		t.Fatal(err)
	}
	if got := b.Used(); got != 180 || queued(b) != 3 {
		t.Fatalf("%d taken, %d wait", got, queued(b))
	}
	b.Release(40) // it has moved to what is larger
	if queued(b) != 3 {
		t.Fatal("a second one passes the limit")
	}
	b.Release(80) // and is done
	if err := <-one; err != nil {
		t.Fatal(err)
	}
	if got := b.Used(); got != 150 {
		t.Fatalf("%d taken", got)
	}
	b.Release(120)
	if <-two != nil {
		t.Fatal("not served")
	}
	b.Release(120)
	if <-fresh != nil || b.Used() != 10 {
		t.Fatalf("%d taken", b.Used())
	}
}

// TestGrowAsksWhetherItIsOfUse: a waiter that has left makes room for those behind it, and takes nothing.
func TestGrowAsksWhetherItIsOfUse(t *testing.T) {
	b := NewBudget(100)
	b.Take(90)
	var here atomic.Bool
	here.Store(true)
	done := make(chan error, 1)
	go func() { done <- b.Grow(context.Background(), 0, 50, here.Load) }()
	waitFor(t, func() bool { return queued(b) == 1 })
	behind := grow(t, b, 0, 5, 2)
	here.Store(false)
	if err := <-done; !errors.Is(err, ErrGone) {
		t.Fatal(err)
	}
	if err := <-behind; err != nil || b.Used() != 95 {
		t.Fatalf("%v, %d taken", err, b.Used())
	}
}

func TestSpareLeavesHalf(t *testing.T) {
	b := NewBudget(100)
	if !b.Spare(50) || b.Spare(1) || b.Used() != 50 {
		t.Fatalf("%d taken", b.Used())
	}
	b.Release(50)
	b.Take(100)
	waits := grow(t, b, 0, 1, 1)
	if !b.Contended() {
		t.Fatal("nobody is said to wait")
	}
	b.Take(-60) // not by Release, which would serve the waiter
	if b.Spare(1) {
		t.Fatal("overtook a waiter")
	}
	b.Release(0)
	if <-waits != nil || b.Contended() {
		t.Fatal("still contended")
	}
}
