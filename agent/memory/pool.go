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

// The pools keep buffers of 2^minClass to 2^maxClass bytes, with one step between two powers, and above that, for packs and segments
// being written, those of up to bigSteps steps of bigStep more. Even larger ones are left to the garbage collector. To take pages
// from the system and have them cleared costs up to 3 CPU-s/GiB, more than all else that is done to a byte. Pages behind
// the content of a large buffer are never touched, so they take no memory.
const (
	minClass = 12
	maxClass = 25
	bigStep  = 16 << 20
	bigSteps = 16 // up to 288 MiB
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

// Pool hands out buffers by size class. The zero Pool is ready for use.
type Pool struct {
	classes [2*(maxClass-minClass) + 1 + bigSteps]sync.Pool
	out     atomic.Int64
}

// Outstanding returns the capacity of all buffers that are not released, in bytes.
func (p *Pool) Outstanding() int64 { return p.out.Load() }

// Get returns a buffer of n bytes of undefined content, with one reference.
func (p *Pool) Get(n int) *Buf {
	class, size := classOf(n)
	if class < 0 {
		p.out.Add(int64(n))
		return newBuf(p, make([]byte, n), -1)
	}
	p.out.Add(int64(size))
	if b, ok := p.classes[class].Get().(*Buf); ok {
		b.b, b.sound = b.b[:n], false
		b.refs.Store(1)
		return b
	}
	return newBuf(p, make([]byte, n, size), class)
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

// classOf returns the smallest class that holds n bytes: classes are 2^k and 1.5 * 2^k, then multiples of bigStep.
func classOf(n int) (class, size int) {
	if n <= 1<<minClass {
		return 0, 1 << minClass
	}
	k := bits.Len(uint(n - 1)) // n <= 2^k
	if k > maxClass {
		return bigClass(n)
	}
	if half := 3 << (k - 2); n <= half {
		return 2*(k-1-minClass) + 1, half
	}
	return 2 * (k - minClass), 1 << k
}

// bigClass is classOf for more than 2^maxClass bytes.
func bigClass(n int) (class, size int) {
	steps := (n - 1<<maxClass + bigStep - 1) / bigStep
	if steps > bigSteps {
		return -1, n
	}
	return 2*(maxClass-minClass) + steps, 1<<maxClass + steps*bigStep
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
	b.pool.out.Add(-int64(cap(b.b)))
	if b.class >= 0 {
		b.pool.classes[b.class].Put(b)
	}
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
