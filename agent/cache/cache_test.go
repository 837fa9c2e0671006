package cache

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/varvelog/varve/agent/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func block(n int) *memory.Buf { return memory.Wrap(make([]byte, n)) }

func TestEvictsLeastRecentlyUsedByBytes(t *testing.T) {
	c := New[int](100 + 2*overhead)
	for i := range 3 {
		c.Put(i, block(40))
		c.Peek(0)
	}
	if c.Peek(1) != nil {
		t.Fatal("the least recently used block stayed")
	}
	if c.Peek(0) == nil || c.Peek(2) == nil {
		t.Fatal("a block that fits went")
	}
	if s := c.Stats(); s.Bytes != 80+2*overhead || s.Evicted != 1 {
		t.Fatalf("stats %+v", s)
	}
}

// What its reader is done with goes first.
func TestDemoted(t *testing.T) {
	c := New[int](80 + 2*overhead)
	c.Put(0, block(40))
	c.Put(1, block(40))
	c.Demote(1)
	c.Demote(7)
	c.Put(2, block(40))
	if c.Has(1) || !c.Has(0) || !c.Has(2) {
		t.Fatal("it is not the demoted block that went")
	}
}

// Of what is demoted the first goes first, and what is read again does not.
func TestDemotedInOrder(t *testing.T) {
	c := New[int](4 * (40 + overhead))
	for i := range 4 {
		c.Put(i, block(40))
	}
	for _, i := range []int{2, 1, 3, 3} {
		c.Demote(i)
	}
	c.Peek(2).Release()
	for i, gone := range []int{1, 3, 0, 2} {
		c.Put(10+i, block(40))
		if c.Has(gone) {
			t.Fatalf("%d is still there", gone)
		}
	}
	if s := c.Stats(); s.Evicted != 4 || s.Bytes != 4*(40+overhead) {
		t.Fatalf("%+v", s)
	}
}

func TestResize(t *testing.T) {
	var pool memory.Pool
	c := New[int](1 << 20)
	for i := range 4 {
		b := pool.Get(4096)
		c.Put(i, b)
		b.Release()
	}
	c.Resize(2 * (4096 + overhead))
	if c.Has(0) || c.Has(1) || !c.Has(2) || !c.Has(3) || pool.Outstanding() != 2*4096 {
		t.Fatal("not the oldest blocks went, or their memory did not:", pool.Outstanding())
	}
	c.Resize(1 << 20)
	c.Put(0, block(40))
	if !c.Has(0) || !c.Has(2) {
		t.Fatal("a larger limit holds no more")
	}
	c.Close()
}

func TestZeroLimitHoldsNothing(t *testing.T) {
	c := New[int](0)
	c.Put(1, block(1))
	if c.Peek(1) != nil || c.Stats().Bytes != 0 {
		t.Fatal("a cache of no bytes held a block")
	}
}

func TestConcurrentLoadsAreOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New[string](10_000)
		var pool memory.Pool
		var loads atomic.Int32
		fetch := func(context.Context) (*memory.Buf, error) {
			loads.Add(1)
			time.Sleep(time.Second)
			return pool.Get(10), nil
		}
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				buf, err := c.Get(t.Context(), "k", fetch)
				if err != nil {
					t.Error(err)
					return
				}
				buf.Release()
			})
		}
		wg.Wait()
		if loads.Load() != 1 {
			t.Fatalf("%d loads", loads.Load())
		}
		buf := c.Peek("k")
		buf.Release()
		c.Put("other", block(9_000)) // evicts k, whose last reference was the cache's
		if pool.Outstanding() != 0 {
			t.Fatalf("%d bytes leaked", pool.Outstanding())
		}
	})
}

func TestErrorsAreNotRemembered(t *testing.T) {
	c := New[string](10 + overhead)
	bad := errors.New("bad")
	if _, err := c.Get(t.Context(), "k", func(context.Context) (*memory.Buf, error) { return nil, bad }); !errors.Is(err, bad) {
		t.Fatal(err)
	}
	buf, err := c.Get(t.Context(), "k", func(context.Context) (*memory.Buf, error) { return block(1), nil })
	if err != nil || buf.Len() != 1 {
		t.Fatal(err)
	}
}

func TestLoadGoesOnWhileOneWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New[string](10 + overhead)
		fetch := func(ctx context.Context) (*memory.Buf, error) {
			select {
			case <-time.After(time.Second):
				return block(1), nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		first, cancel := context.WithCancel(t.Context())
		go func() { time.Sleep(time.Millisecond); cancel() }()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := c.Get(first, "k", fetch); !errors.Is(err, context.Canceled) {
				t.Errorf("first: %v", err)
			}
		})
		wg.Go(func() {
			time.Sleep(time.Microsecond)
			if _, err := c.Get(t.Context(), "k", fetch); err != nil {
				t.Errorf("second: %v", err)
			}
		})
		wg.Wait()
	})
}

func TestAbandonedLoadIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New[string](10 + overhead)
		ended := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Get(ctx, "k", func(ctx context.Context) (*memory.Buf, error) {
			<-ctx.Done()
			ended <- ctx.Err()
			return nil, ctx.Err()
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	})
}

// Close ends loads that nobody waits for, and gives all memory back.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New[string](10_000_000)
		var pool memory.Pool
		kept := pool.Get(10)
		c.Put("kept", kept)
		kept.Release()
		ended := false
		stalled := func(ctx context.Context) (*memory.Buf, error) {
			<-ctx.Done()
			time.Sleep(time.Second)
			ended = true
			return nil, ctx.Err()
		}
		c.Prefetch(t.Context(), "ahead", stalled)
		synctest.Wait()
		c.Close()
		if !ended || pool.Outstanding() != 0 || c.Stats().Bytes != 0 {
			t.Fatalf("load ended: %v; %d bytes are left", ended, pool.Outstanding())
		}
		late := pool.Get(10)
		c.Put("late", late)
		late.Release()
		c.Prefetch(t.Context(), "late", stalled)
		if _, err := c.Get(t.Context(), "late", stalled); !errors.Is(err, ErrClosed) || pool.Outstanding() != 0 {
			t.Fatalf("after Close: %v; %d bytes are left", err, pool.Outstanding())
		}
	})
}
