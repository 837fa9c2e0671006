// Package memory holds what bounds and re-uses an agent's large byte slices: a budget of bytes, and counted buffers from
// pools by size. Leaf; no goroutines.
//
// Ownership: a Buf starts with one reference. Whoever keeps it beyond a call retains it, and releases it once; at the last
// release the bytes go back to their pool and nobody may look at them any more. Frames of Produce requests, bundles and
// cached blocks are all Bufs, so that a batch is copied once between the socket and the object store.
package memory

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Buffers of up to 2^maxClass bytes come from lists by size, four sizes to a doubling; larger ones are parts of the pool's own memory,
// in pages. To take pages from the system and have them cleared costs up to 3 CPU-s/GiB, more than all else that is done to a byte.
const (
	minClass = 12
	maxClass = 15
	quarters = 4
	classes  = quarters*(maxClass-minClass) + 1
	page     = 4 << 10
)

// What a buffer's memory is, instead of a class.
const (
	ofHeap  = -1 // of nobody: the garbage collector's
	ofArena = -2
)

// Buf is a counted buffer.
type Buf struct {
	b      []byte
	refs   atomic.Int32
	class  int   // of its list, or ofHeap, ofArena
	at     int64 // in the arena
	size   int64 // of its memory
	pool   *Pool
	parent *Buf // whose bytes these are a slice of
	sound  bool // see Sound
	budget *Budget
	charge int64
}

// Pool hands out buffers. Small ones that were released are kept for use again, last in, first out, until Trim finds that they were not
// needed. Large ones lie in memory of its own outside of the Go heap, which keeps the pages that were touched, lowest first: so it has as much
// of the system's memory as was used at once, until Trim. What does not fit there comes from the heap, as do all large buffers of the zero Pool.
type Pool struct {
	out atomic.Int64

	mu struct {
		sync.Mutex
		limit int64 // of small buffers handed out and kept together; 0: none
		out   int64 // bytes of small buffers that are handed out
		kept  int64 // bytes
		idle  [classes][]*Buf
		least [classes]int // of idle, since the last Trim
		arena *arena       // nil: none
		bytes []byte       // the arena's
		bufs  []*Buf       // without memory, for use again
	}
}

// mostBufs is how many buffers without memory are kept.
const mostBufs = 1 << 10

// NewPool returns a pool with n bytes of address space for large buffers, 4 GiB at most, which keeps small ones as long as those and others that are handed out
// have no more than n/4. That the sum of what is taken stays below n is up to who takes it, by its own bounds.
func NewPool(n int64) *Pool {
	if poison {
		return newPool(n, nil) // the race detector looks at the heap alone
	}
	return newPool(n, reserve(min(n/page*page, mostApart)))
}

// mostApart bounds the arena: to find a place, or to give one back, goes through a list of what is free, which has as many entries as a share of
// the parts. Of 4 GiB in parts of 36 to 64 KiB that come and go at random it has 16,000 and takes 8 us. Who needs more has the heap for it.
const mostApart = 4 << 30

// newPool returns a pool whose large buffers lie in bytes, or nowhere.
func newPool(n int64, bytes []byte) *Pool {
	p := &Pool{}
	p.mu.limit = n / 4
	if bytes != nil {
		p.mu.bytes, p.mu.arena = bytes, newArena(int64(len(bytes)))
	}
	return p
}

// Outstanding returns the capacity of all buffers that are not released, in bytes.
func (p *Pool) Outstanding() int64 { return p.out.Load() }

// Kept returns the bytes that wait for use and may take memory of the system.
func (p *Pool) Kept() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.arena == nil {
		return p.mu.kept
	}
	return p.mu.kept + p.mu.arena.kept()
}

// Apart returns how much memory of the system is not of the Go heap, at most.
func (p *Pool) Apart() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.arena == nil {
		return 0
	}
	return p.mu.arena.out + p.mu.arena.kept()
}

// Trim lets go of what was not used since the last call.
func (p *Pool) Trim() {
	for s := p.trim(); s.len() > 0; {
		s = p.giveSome(s)
	}
}

// trim lets go of small buffers, and returns what of the arena may go back to the system.
func (p *Pool) trim() span {
	p.mu.Lock()
	defer p.mu.Unlock()
	for class := range p.mu.idle {
		for range p.mu.least[class] {
			p.forget(class)
		}
		p.mu.least[class] = len(p.mu.idle[class])
	}
	if p.mu.arena == nil {
		return span{}
	}
	return p.mu.arena.idle()
}

// giveStep is how much goes back to the system under one lock: in pages of 4 KiB a GiB takes 0.1 s, and everybody waits for the lock.
const giveStep = 8 << 20

// giveSome gives the first bytes of s, which trim returned, back to the system, but for those that were taken since; it returns the rest.
func (p *Pool) giveSome(s span) (rest span) {
	p.mu.Lock()
	defer p.mu.Unlock()
	some := span{s.at, min(s.at+giveStep, s.end)}
	if still := some.and(p.mu.arena.cold); still.len() > 0 {
		giveBack(p.mu.bytes[still.at:still.end])
	}
	return span{some.end, s.end}
}

// Clear lets go of all that waits for use.
func (p *Pool) Clear() {
	p.Trim()
	p.Trim()
}

// Get returns a buffer of n bytes of undefined content, with one reference.
func (p *Pool) Get(n int) *Buf {
	class, size := classOf(n)
	p.out.Add(int64(size))
	p.mu.Lock()
	var b *Buf
	if class >= 0 {
		b = p.reuse(class, int64(size))
	} else {
		b = p.part(int64(size))
	}
	p.mu.Unlock()
	if b == nil {
		b = &Buf{b: make([]byte, size), class: class, size: int64(size), pool: p}
		if class < 0 {
			b.class = ofHeap
		}
	}
	b.b, b.sound = b.b[:n], false
	b.refs.Store(1)
	return b
}

// reuse takes the small buffer of a class that was released last, or makes room for a new one of size bytes.
func (p *Pool) reuse(class int, size int64) *Buf {
	p.mu.out += size
	idle := p.mu.idle[class]
	if len(idle) == 0 {
		p.shrink(class)
		return nil
	}
	b := idle[len(idle)-1]
	idle[len(idle)-1] = nil
	p.mu.idle[class] = idle[:len(idle)-1]
	p.mu.least[class] = min(p.mu.least[class], len(idle)-1)
	p.mu.kept -= size
	return b
}

// part takes size bytes of the arena, or returns nil.
func (p *Pool) part(size int64) *Buf {
	if p.mu.arena == nil {
		return nil
	}
	at, ok := p.mu.arena.take(size)
	if !ok {
		return nil
	}
	var b *Buf
	if n := len(p.mu.bufs); n > 0 {
		b = p.mu.bufs[n-1]
		p.mu.bufs[n-1] = nil
		p.mu.bufs = p.mu.bufs[:n-1]
	} else {
		b = &Buf{class: ofArena, pool: p}
	}
	b.b, b.at, b.size = p.mu.bytes[at:at+size:at+size], at, size
	return b
}

// keep takes a buffer's memory back.
func (p *Pool) keep(b *Buf) {
	p.out.Add(-b.size)
	if b.class == ofHeap {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if b.class == ofArena {
		p.mu.arena.give(b.at, b.size)
		if b.b = nil; len(p.mu.bufs) < mostBufs {
			p.mu.bufs = append(p.mu.bufs, b)
		}
		return
	}
	p.mu.out -= b.size
	p.mu.kept += b.size
	p.mu.idle[b.class] = append(p.mu.idle[b.class], b)
	p.shrink(b.class)
}

// drop takes back what b had when its content has left it for memory of the heap.
func (p *Pool) drop(b *Buf) {
	p.out.Add(-b.size)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch b.class {
	case ofHeap:
	case ofArena:
		p.mu.arena.give(b.at, b.size)
	default:
		p.mu.out -= b.size
	}
}

// shrink lets go of small buffers beyond the limit: of other classes than one that is in demand if it can, the largest first.
func (p *Pool) shrink(spared int) {
	for class := classes - 1; class >= 0 && p.over(); class-- {
		for class != spared && len(p.mu.idle[class]) > 0 && p.over() {
			p.forget(class)
		}
	}
	for len(p.mu.idle[spared]) > 0 && p.over() {
		p.forget(spared)
	}
}

func (p *Pool) over() bool {
	return p.mu.limit > 0 && p.mu.kept > 0 && p.mu.kept+p.mu.out > p.mu.limit
}

// forget leaves the buffer of a class that was released first to the garbage collector. The others stay where they are: there may be
// hundreds of thousands, and everybody waits for the lock.
func (p *Pool) forget(class int) {
	idle := p.mu.idle[class]
	p.mu.kept -= idle[0].size
	idle[0] = nil
	p.mu.idle[class] = idle[1:]
	p.mu.least[class] = min(p.mu.least[class], len(idle)-1)
}

// Wrap returns a counted buffer over bytes that belong to no pool. The caller gives b away.
func Wrap(b []byte) *Buf {
	buf := &Buf{b: b, class: ofHeap}
	buf.refs.Store(1)
	return buf
}

// Slice returns bytes [from, to) of b as a buffer of their own with one reference, which keeps b alive.
func Slice(b *Buf, from, to int) *Buf {
	b.Retain()
	s := Wrap(b.b[from:to:to])
	s.parent, s.sound = b, b.sound
	return s
}

// Capacity returns how many bytes Get(n) really takes.
func Capacity(n int) int {
	_, size := classOf(n)
	return size
}

// classOf returns the smallest class that holds n bytes: classes are 2^k, 1.25, 1.5 and 1.75 times as much. For large buffers the
// class is negative.
func classOf(n int) (class, size int) {
	switch {
	case n <= 1<<minClass:
		return 0, 1 << minClass
	case n > 1<<maxClass:
		return ofArena, (n + page - 1) / page * page
	}
	k := bits.Len(uint(n-1)) - 1 // 2^k < n <= 2^(k+1)
	step := 1 << k / quarters
	steps := (n - 1<<k + step - 1) / step
	return quarters*(k-minClass) + steps, 1<<k + steps*step
}

// Bytes returns the content.
func (b *Buf) Bytes() []byte { return b.b }

// Len returns the length of the content.
func (b *Buf) Len() int { return len(b.b) }

// MarkSound notes that whoever filled b has checked its content, or made it. It must be called before b is shared, and holds
// until the last release.
func (b *Buf) MarkSound() { b.sound = true }

// Sound reports whether the content needs no check.
func (b *Buf) Sound() bool { return b.sound }

// Whole returns the buffer that b is a slice of, with a reference for the caller, or nil.
func (b *Buf) Whole() *Buf {
	if b.parent != nil {
		b.parent.Retain()
	}
	return b.parent
}

// Cap returns how many bytes of memory b keeps, which may be more than its content.
func (b *Buf) Cap() int {
	if b.parent != nil {
		return len(b.b)
	}
	return cap(b.b)
}

// SetBytes replaces the content by a slice of the same memory, after appending to it for example. A content that outgrew
// the memory takes its place and will not be pooled.
func (b *Buf) SetBytes(c []byte) {
	if cap(c) > 0 && cap(b.b) > 0 && &c[:1][0] != &b.b[:1][0] && b.pool != nil {
		b.pool.drop(b)
		b.class, b.pool = ofHeap, nil
	}
	b.b = c
}

// Charge makes the last release of b give n bytes back to budget. The caller has acquired them.
func (b *Buf) Charge(budget *Budget, n int64) { b.budget, b.charge = budget, n }

// Retain adds a reference.
func (b *Buf) Retain() {
	if b.refs.Add(1) <= 1 {
		panic("memory: retained after the last release")
	}
}

// Release drops a reference, and with the last one the bytes.
func (b *Buf) Release() {
	switch n := b.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		panic("memory: released too often")
	}
	if b.budget != nil {
		b.budget.Release(b.charge)
		b.budget, b.charge = nil, 0
	}
	if b.parent != nil {
		b.parent.Release()
	}
	if b.pool == nil {
		return
	}
	if poison {
		b.poison()
	}
	b.pool.keep(b)
}

func (b *Buf) poison() {
	c := b.b[:cap(b.b)]
	for i := range c {
		c[i] = 0xdb
	}
}
