// Package cache is a bounded cache of large blocks: least recently used goes first, counted in bytes, and concurrent loads
// of one block become one load. Leaf above memory; the only goroutines are those of loads.
//
// Lock order: the cache's lock is taken last and never held over a load, a send or a release of bytes to a caller.
package cache

import (
	"container/list"
	"context"
	"errors"
	"sync"

	"github.com/varvelog/varve/agent/memory"
)

// ErrClosed: Get was called after Close.
var ErrClosed = errors.New("cache is closed")

// Cache maps keys to counted buffers of at most a number of bytes in all.
type Cache[K comparable] struct {
	running sync.WaitGroup // loads

	mu struct {
		sync.Mutex
		limit   int64
		closed  bool
		bytes   int64
		entries map[K]*list.Element // of *entry[K]
		recent  *list.List          // front: used last
		done    *list.List          // front: demoted last; these go before the others
		loads   map[K]*load
		stats   Stats
	}
}

type entry[K comparable] struct {
	key  K
	buf  *memory.Buf
	done bool // it is in the list of that name
}

// load is a load under way. buf and err are set before done is closed; the load holds one reference to buf until the
// last who waits took its own.
type load struct {
	done    chan struct{}
	waiters int // under the cache's lock; the load is cancelled when the last one left
	cancel  context.CancelFunc
	buf     *memory.Buf
	err     error
}

// Stats counts what happened since the start.
type Stats struct {
	Hits, Misses, Joined, Evicted int64 // Joined: found a load of the same block under way
	Bytes                         int64 // of memory held now, with a share for each entry
}

// overhead is what an entry costs besides its bytes: map, list element, buffer header. Without it a cache of tiny blocks
// would take many times its limit.
const overhead = 256

func cost(buf *memory.Buf) int64 { return int64(buf.Cap()) + overhead }

// New returns a cache of limit bytes. With limit 0 it holds nothing, and still joins concurrent loads.
func New[K comparable](limit int64) *Cache[K] {
	c := &Cache[K]{}
	c.mu.limit = limit
	c.mu.entries = map[K]*list.Element{}
	c.mu.loads = map[K]*load{}
	c.mu.recent, c.mu.done = list.New(), list.New()
	return c
}

// Stats returns the counters.
func (c *Cache[K]) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.mu.stats
	s.Bytes = c.mu.bytes
	return s
}

// Peek returns the block of key, with a reference for the caller, or nil.
func (c *Cache[K]) Peek(key K) *memory.Buf {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peek(key)
}

func (c *Cache[K]) peek(key K) *memory.Buf {
	e, ok := c.mu.entries[key]
	if !ok {
		return nil
	}
	c.mu.stats.Hits++
	en := e.Value.(*entry[K])
	if en.done {
		c.mu.done.Remove(e)
		en.done, c.mu.entries[key] = false, c.mu.recent.PushFront(en)
	} else {
		c.mu.recent.MoveToFront(e)
	}
	en.buf.Retain()
	return en.buf
}

// Has reports whether the block of key is there or being loaded, without counting as a use.
func (c *Cache[K]) Has(key K) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, there := c.mu.entries[key]
	_, loading := c.mu.loads[key]
	return there || loading
}

// Demote lets the block of key, if it is there, go before all that are not demoted: whoever read it is done with it. The first that
// was demoted goes first, since others may be about to read what one has just read; who reads a block takes it back.
func (c *Cache[K]) Demote(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.mu.entries[key]
	if !ok || e.Value.(*entry[K]).done {
		return
	}
	en := c.mu.recent.Remove(e).(*entry[K])
	en.done, c.mu.entries[key] = true, c.mu.done.PushFront(en)
}

// Prefetch starts to load the block of key, unless it is there or being loaded, and does not wait; it reports whether fetch is
// called. The load goes on to its end, or to Close, whatever becomes of ctx, from which it has its values.
func (c *Cache[K]) Prefetch(ctx context.Context, key K, fetch func(context.Context) (*memory.Buf, error)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.mu.entries[key]; ok || c.mu.closed {
		return false
	}
	if _, ok := c.mu.loads[key]; ok {
		return false
	}
	c.start(ctx, key, fetch)
	return true
}

// start begins a load, under the lock.
func (c *Cache[K]) start(ctx context.Context, key K, fetch func(context.Context) (*memory.Buf, error)) *load {
	c.mu.stats.Misses++
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := &load{done: make(chan struct{}), cancel: cancel}
	c.mu.loads[key] = l
	c.running.Go(func() { c.load(ctx, key, l, fetch) })
	return l
}

// Put adds a block, taking a reference of its own. A block that is there already stays: blocks never change.
func (c *Cache[K]) Put(key K, buf *memory.Buf) {
	c.mu.Lock()
	evicted := c.put(key, buf)
	c.mu.Unlock()
	for _, b := range evicted {
		b.Release()
	}
}

func (c *Cache[K]) put(key K, buf *memory.Buf) (evicted []*memory.Buf) {
	if _, ok := c.mu.entries[key]; ok || c.mu.closed {
		return nil
	}
	buf.Retain()
	c.mu.entries[key] = c.mu.recent.PushFront(&entry[K]{key: key, buf: buf})
	c.mu.bytes += cost(buf)
	return c.shrink()
}

// Resize changes the limit.
func (c *Cache[K]) Resize(limit int64) {
	c.mu.Lock()
	c.mu.limit = limit
	evicted := c.shrink()
	c.mu.Unlock()
	for _, b := range evicted {
		b.Release()
	}
}

// shrink takes out what is beyond the limit.
func (c *Cache[K]) shrink() (evicted []*memory.Buf) {
	for c.mu.bytes > c.mu.limit {
		from := c.mu.done
		if from.Len() == 0 {
			from = c.mu.recent
		}
		old := from.Remove(from.Back()).(*entry[K])
		delete(c.mu.entries, old.key)
		c.mu.bytes -= cost(old.buf)
		c.mu.stats.Evicted++
		evicted = append(evicted, old.buf)
	}
	return evicted
}

// Get returns the block of key, with a reference for the caller, loading it if it is not there. Whoever asks for a block
// that is being loaded waits for that load; a load goes on as long as one of them waits. Errors are those of ctx and of
// the load, which are not remembered, and ErrClosed.
func (c *Cache[K]) Get(ctx context.Context, key K, fetch func(context.Context) (*memory.Buf, error)) (*memory.Buf, error) {
	c.mu.Lock()
	if buf := c.peek(key); buf != nil {
		c.mu.Unlock()
		return buf, nil
	}
	if c.mu.closed {
		c.mu.Unlock()
		return nil, ErrClosed
	}
	l, ok := c.mu.loads[key]
	if ok {
		c.mu.stats.Joined++
	} else {
		l = c.start(ctx, key, fetch)
	}
	l.waiters++
	c.mu.Unlock()

	select {
	case <-l.done:
		return c.take(l)
	case <-ctx.Done():
		c.leave(key, l)
		return nil, ctx.Err()
	}
}

func (c *Cache[K]) load(ctx context.Context, key K, l *load, fetch func(context.Context) (*memory.Buf, error)) {
	defer l.cancel()
	l.buf, l.err = fetch(ctx)
	c.mu.Lock()
	var evicted []*memory.Buf
	if l.err == nil {
		evicted = c.put(key, l.buf)
	}
	if c.mu.loads[key] == l {
		delete(c.mu.loads, key)
	}
	unused := l.waiters == 0
	close(l.done)
	c.mu.Unlock()
	if unused && l.err == nil {
		l.buf.Release()
	}
	for _, b := range evicted {
		b.Release()
	}
}

// Close cancels all loads, waits for them and lets go of all blocks. The cache holds nothing from then on.
func (c *Cache[K]) Close() {
	c.mu.Lock()
	c.mu.closed = true
	for _, l := range c.mu.loads {
		l.cancel()
	}
	var held []*memory.Buf
	for _, e := range c.mu.entries {
		held = append(held, e.Value.(*entry[K]).buf)
	}
	clear(c.mu.entries)
	c.mu.recent.Init()
	c.mu.done.Init()
	c.mu.bytes = 0
	c.mu.Unlock()
	for _, b := range held {
		b.Release()
	}
	c.running.Wait()
}

// take is called once by each waiter after done: the last one takes over the load's own reference.
func (c *Cache[K]) take(l *load) (*memory.Buf, error) {
	if l.err != nil {
		return nil, l.err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.waiters--; l.waiters > 0 {
		l.buf.Retain()
	}
	return l.buf, nil
}

// leave is called by a waiter whose context ended.
func (c *Cache[K]) leave(key K, l *load) {
	c.mu.Lock()
	l.waiters--
	last, drop := l.waiters == 0, false
	if last {
		select {
		case <-l.done:
			drop = l.err == nil
		default:
			if c.mu.loads[key] == l {
				delete(c.mu.loads, key)
			}
		}
	}
	c.mu.Unlock()
	if last {
		l.cancel()
	}
	if drop {
		l.buf.Release()
	}
}
