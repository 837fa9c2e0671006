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

// The pools keep buffers of 2^minClass to 2^maxClass bytes, four sizes to a doubling, and above that, for packs and segments
// being written, those of up to bigSteps steps of bigStep more. Even larger ones are left to the garbage collector. To take pages
// from the system and have them cleared costs up to 3 CPU-s/GiB, more than all else that is done to a byte. Pages behind
// the content of a large buffer are never touched, so they take no memory.
const (
	minClass = 12
	maxClass = 25
	quarters = 4
	bigStep  = 16 << 20
	bigSteps = 16 // up to 288 MiB
	classes  = quarters*(maxClass-minClass) + 1 + bigSteps
)

// Buf is a counted buffer.
type Buf struct {
	b      []byte
	refs   atomic.Int32
	class  int // index of its pool; -1: none
	pool   *Pool
	parent *Buf // whose bytes these are a slice of
	sound  bool // see Sound
	budget *Budget
	charge int64
}

// Pool hands out buffers by size class. What is released is kept for use again, last in, first out, so that as few pages as can be
// are in use: until Trim finds that it was not needed, or other sizes are, see SetLimit. The zero Pool is ready for use and has no limit.
type Pool struct {
	out atomic.Int64

	mu struct {
		sync.Mutex
		limit int64 // of bytes handed out and kept together; 0: none
		kept  int64 // bytes
		idle  [classes][]*Buf
		least [classes]int // of idle, since the last Trim
	}
}

// Outstanding returns the capacity of all buffers that are not released, in bytes.
func (p *Pool) Outstanding() int64 { return p.out.Load() }

// Kept returns the bytes of buffers that wait for use.
func (p *Pool) Kept() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.kept
}

// SetLimit makes p keep no more than what is left of n bytes by buffers that are handed out. That these stay below it is up to who
// takes them, by its own bounds.
func (p *Pool) SetLimit(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.limit = n
	p.shrink(0)
}

// Trim lets go of buffers that were not used since the last call.
func (p *Pool) Trim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for class := range p.mu.idle {
		for range p.mu.least[class] {
			p.forget(class)
		}
		p.mu.least[class] = len(p.mu.idle[class])
	}
}

// Get returns a buffer of n bytes of undefined content, with one reference. It may be of a size that is up to lent classes larger, if
// such a one waits for use: for what is released soon.
func (p *Pool) Get(n int) *Buf { return p.get(n, lent) }

// Fit is Get for what is kept for long: a buffer of no more than Capacity(n).
func (p *Pool) Fit(n int) *Buf { return p.get(n, 0) }

// lent is how much larger a buffer may be than what it is used for, in classes: twice as large.
const lent = quarters

func (p *Pool) get(n, lent int) *Buf {
	class, size := classOf(n)
	if class < 0 {
		p.out.Add(int64(n))
		return newBuf(p, make([]byte, n), -1)
	}
	if b := p.reuse(class, min(class+lent, classes-1), int64(size)); b != nil {
		b.b, b.sound = b.b[:n], false
		b.refs.Store(1)
		return b
	}
	return newBuf(p, make([]byte, n, size), class)
}

// reuse takes the buffer that was released last of the first class up to most that has one, or makes room for a new one of size bytes.
func (p *Pool) reuse(class, most int, size int64) *Buf {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := class; c <= most; c++ {
		idle := p.mu.idle[c]
		if len(idle) == 0 {
			continue
		}
		b := idle[len(idle)-1]
		idle[len(idle)-1] = nil
		p.mu.idle[c] = idle[:len(idle)-1]
		p.mu.least[c] = min(p.mu.least[c], len(idle)-1)
		p.mu.kept -= int64(cap(b.b))
		p.out.Add(int64(cap(b.b)))
		return b
	}
	p.out.Add(size)
	p.shrink(class)
	return nil
}

// keep takes a buffer back.
func (p *Pool) keep(b *Buf) {
	p.mu.Lock()
	defer p.mu.Unlock()
	size := int64(cap(b.b))
	p.out.Add(-size)
	p.mu.kept += size
	p.mu.idle[b.class] = append(p.mu.idle[b.class], b)
	p.shrink(b.class)
}

// shrink lets go of what is beyond the limit: of other classes than one that is in demand if it can, the largest first.
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
	return p.mu.limit > 0 && p.mu.kept > 0 && p.mu.kept+p.out.Load() > p.mu.limit
}

// forget leaves the buffer of a class that was released first to the garbage collector. The others stay where they are: there may be
// hundreds of thousands, and everybody waits for the lock.
func (p *Pool) forget(class int) {
	idle := p.mu.idle[class]
	p.mu.kept -= int64(cap(idle[0].b))
	idle[0] = nil
	p.mu.idle[class] = idle[1:]
	p.mu.least[class] = min(p.mu.least[class], len(idle)-1)
}

func newBuf(p *Pool, b []byte, class int) *Buf {
	buf := &Buf{b: b, class: class, pool: p}
	buf.refs.Store(1)
	return buf
}

// Wrap returns a counted buffer over bytes that belong to no pool. The caller gives b away.
func Wrap(b []byte) *Buf { return newBuf(nil, b, -1) }

// Slice returns bytes [from, to) of b as a buffer of their own with one reference, which keeps b alive.
func Slice(b *Buf, from, to int) *Buf {
	b.Retain()
	s := Wrap(b.b[from:to:to])
	s.parent, s.sound = b, b.sound
	return s
}

// Capacity returns how many bytes Get(n) really takes.
func Capacity(n int) int {
	if class, size := classOf(n); class >= 0 {
		return size
	}
	return n
}

// classOf returns the smallest class that holds n bytes: classes are 2^k, 1.25, 1.5 and 1.75 times as much, then multiples of bigStep.
func classOf(n int) (class, size int) {
	if n <= 1<<minClass {
		return 0, 1 << minClass
	}
	k := bits.Len(uint(n-1)) - 1 // 2^k < n <= 2^(k+1)
	if k >= maxClass {
		return bigClass(n)
	}
	step := 1 << k / quarters
	steps := (n - 1<<k + step - 1) / step
	return quarters*(k-minClass) + steps, 1<<k + steps*step
}

// bigClass is classOf for more than 2^maxClass bytes.
func bigClass(n int) (class, size int) {
	steps := (n - 1<<maxClass + bigStep - 1) / bigStep
	if steps > bigSteps {
		return -1, n
	}
	return classes - 1 - bigSteps + steps, 1<<maxClass + steps*bigStep
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
	if cap(c) > 0 && cap(b.b) > 0 && &c[:1][0] != &b.b[:1][0] {
		b.drop()
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
	if b.class < 0 {
		b.pool.out.Add(-int64(cap(b.b)))
		return
	}
	b.pool.keep(b)
}

// drop forgets the pooled memory, because the content left it.
func (b *Buf) drop() {
	if b.pool != nil {
		b.pool.out.Add(-int64(cap(b.b)))
	}
	b.class, b.pool = -1, nil
}

func (b *Buf) poison() {
	c := b.b[:cap(b.b)]
	for i := range c {
		c[i] = 0xdb
	}
}
