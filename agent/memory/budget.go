package memory

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrGone is what Grow returns when who waits was found to have no use for the bytes any more.
var ErrGone = errors.New("nobody waits for the bytes any more")

// Budget bounds the bytes that an agent holds for clients: request bodies until their batches are in a bundle, bundles
// until they are committed. Who is about to take bytes from a client acquires them first and waits while there are none;
// waiters are served in order, so that a large request is not starved by small ones.
//
// Who has taken a part and can give nothing back before it has more (Grow) comes first, the largest part foremost: what has
// begun ends. When all that is taken belongs to those, none of them would ever go on; then the foremost is let past the
// limit. It stays the foremost until it needs no more, so the limit is passed by what one of them lacks and no further.
type Budget struct {
	limit int64

	mu struct {
		sync.Mutex
		used    int64
		stuck   int64     // bytes held by waiters
		waiters []*waiter // by bytes held, then in order of arrival
	}
}

type waiter struct {
	held  int64 // taken before, not to be given back before n is there
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

// Contended reports whether somebody waits for bytes.
func (b *Budget) Contended() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.mu.waiters) > 0
}

// Spare takes n bytes if nobody waits and at least half of all is left afterwards: for who asks for more than it can show
// a need for yet. It reports whether it did.
func (b *Budget) Spare(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.mu.waiters) > 0 || b.mu.used+n > b.limit/2 {
		return false
	}
	b.mu.used += n
	return true
}

// Acquire takes n bytes, waiting until they are free or ctx ends. More than the limit is granted when nothing else is
// taken, so that a request larger than a small budget passes alone instead of never.
func (b *Budget) Acquire(ctx context.Context, n int64) error { return b.Grow(ctx, 0, n, nil) }

// askEvery is how often a waiter is asked whether it is still of use.
const askEvery = time.Second

// Grow is Acquire for who holds held bytes of the budget already and releases none before it has n more. While it waits,
// still is asked every second, unless it is nil; ErrGone when it says no. On an error nothing was taken.
func (b *Budget) Grow(ctx context.Context, held, n int64, still func() bool) error {
	b.mu.Lock()
	if len(b.mu.waiters) == 0 && b.fits(held, n) {
		b.mu.used += n
		b.mu.Unlock()
		return nil
	}
	w := &waiter{held: held, n: n, ready: make(chan struct{})}
	b.enqueue(w)
	b.serve() // nobody may be left who releases
	b.mu.Unlock()
	return b.await(ctx, w, still)
}

func (b *Budget) await(ctx context.Context, w *waiter, still func() bool) error {
	var ask <-chan time.Time
	if still != nil {
		t := time.NewTicker(askEvery)
		defer t.Stop()
		ask = t.C
	}
	for {
		select {
		case <-w.ready:
			return nil
		case <-ctx.Done():
			b.abandon(w)
			return ctx.Err()
		case <-ask:
			if !still() {
				b.abandon(w)
				return ErrGone
			}
		}
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

// fits reports whether somebody who holds held may have n more. stuck must count held.
func (b *Budget) fits(held, n int64) bool {
	return b.mu.used+n <= b.limit || b.mu.used == max(b.mu.stuck, held)
}

// enqueue puts w behind all who hold as much as it does.
func (b *Budget) enqueue(w *waiter) {
	at := len(b.mu.waiters)
	for at > 0 && b.mu.waiters[at-1].held < w.held {
		at--
	}
	b.mu.waiters = append(b.mu.waiters, nil)
	copy(b.mu.waiters[at+1:], b.mu.waiters[at:])
	b.mu.waiters[at] = w
	b.mu.stuck += w.held
}

func (b *Budget) serve() {
	for len(b.mu.waiters) > 0 {
		w := b.mu.waiters[0]
		if !b.fits(w.held, w.n) {
			return
		}
		b.mu.waiters[0] = nil
		b.mu.waiters = b.mu.waiters[1:]
		b.mu.stuck -= w.held
		b.mu.used += w.n
		close(w.ready)
	}
}

// abandon takes a waiter that has enough of waiting out of the queue, or gives back what it was granted meanwhile.
func (b *Budget) abandon(w *waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, x := range b.mu.waiters {
		if x == w {
			b.mu.waiters = append(b.mu.waiters[:i], b.mu.waiters[i+1:]...)
			b.mu.stuck -= w.held
			b.serve()
			return
		}
	}
	b.mu.used -= w.n
	b.serve()
}
