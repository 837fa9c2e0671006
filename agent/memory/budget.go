package memory

import (
	"context"
	"sync"
)

// Budget bounds the bytes that an agent holds for clients: request bodies until their batches are in a bundle, bundles
// until they are committed. Who is about to take bytes from a client acquires them first and waits while there are none;
// waiters are served in order, so that a large request is not starved by small ones.
type Budget struct {
	limit int64

	mu struct {
		sync.Mutex
		used    int64
		waiters []*waiter // in order of arrival
	}
}

type waiter struct {
	n     int64
	ready chan struct{} // closed when n was taken for it
}

// NewBudget returns a budget of limit bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// Limit returns the bytes there are in all.
func (b *Budget) Limit() int64 { return b.limit }

// Used returns the bytes taken now. It may pass Limit, see Take.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.used
}

// Pressure reports whether more than three quarters are taken: time to flush what waits.
func (b *Budget) Pressure() bool { return b.Used() > b.limit/4*3 }

// Acquire takes n bytes, waiting until they are free or ctx ends. More than the limit is granted when nothing else is
// taken, so that a request larger than a small budget passes alone instead of never.
func (b *Budget) Acquire(ctx context.Context, n int64) error {
	b.mu.Lock()
	if len(b.mu.waiters) == 0 && b.fits(n) {
		b.mu.used += n
		b.mu.Unlock()
		return nil
	}
	w := &waiter{n: n, ready: make(chan struct{})}
	b.mu.waiters = append(b.mu.waiters, w)
	b.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		b.abandon(w)
		return ctx.Err()
	}
}

// Take takes n bytes at once, even past the limit: for bytes that replace others which are about to be released, where
// waiting could not end.
func (b *Budget) Take(n int64) {
	b.mu.Lock()
	b.mu.used += n
	b.mu.Unlock()
}

// Release gives n bytes back.
func (b *Budget) Release(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.used -= n
	if b.mu.used < 0 {
		panic("memory: more bytes released than taken")
	}
	b.serve()
}

func (b *Budget) fits(n int64) bool { return b.mu.used == 0 || b.mu.used+n <= b.limit }

func (b *Budget) serve() {
	for len(b.mu.waiters) > 0 && b.fits(b.mu.waiters[0].n) {
		w := b.mu.waiters[0]
		b.mu.waiters = b.mu.waiters[1:]
		b.mu.used += w.n
		close(w.ready)
	}
}

// abandon takes a waiter whose context ended out of the queue, or gives back what it was granted meanwhile.
func (b *Budget) abandon(w *waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, x := range b.mu.waiters {
		if x == w {
			b.mu.waiters = append(b.mu.waiters[:i], b.mu.waiters[i+1:]...)
			b.serve()
			return
		}
	}
	b.mu.used -= w.n
	b.serve()
}
