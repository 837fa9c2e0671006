package memory

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// mapped is NewPool under the race detector too.
func mapped(n int64) *Pool { return newPool(n, reserve(n/page*page)) }

// TestPoolKeepsWithinItsLimit: whatever is taken and given back, what waits for use of small buffers is never more than the limit leaves, and
// of large ones never more than was in use at once.
func TestPoolKeepsWithinItsLimit(t *testing.T) {
	const size = 8 << 20
	rng := rand.New(rand.NewPCG(1, 2))
	p := mapped(size)
	var held []*Buf
	mostSmall, mostLarge, peak := int64(0), int64(0), int64(0)
	for step := range 8000 {
		if i := rng.IntN(100); i < len(held) {
			held[i].Release()
			held[i] = held[len(held)-1]
			held = held[:len(held)-1]
		} else {
			n := 1 + rng.IntN(1<<maxClass)
			if step%2 == 1 {
				n *= 8
			}
			held = append(held, p.Get(n))
		}
		small, large, heap := int64(0), int64(0), int64(0)
		for _, b := range held {
			switch {
			case b.class == ofHeap:
				heap += int64(b.Cap())
			case b.class == ofArena:
				large += int64(b.Cap())
			default:
				small += int64(b.Cap())
			}
		}
		if p.Outstanding() != small+large+heap || p.mu.kept > max(0, size/4-small) || p.Apart() < large || p.Apart() > size {
			t.Fatalf("%d small, %d large, %d of the heap: said to be %d, %d of them apart; %d small ones wait", small, large, heap, p.Outstanding(), p.Apart(), p.mu.kept)
		}
		mostSmall, mostLarge, peak = max(mostSmall, p.mu.kept), max(mostLarge, p.mu.arena.kept()), max(peak, large)
	}
	if mostSmall < size/16 || mostLarge < size/16 || mostLarge > peak {
		t.Fatalf("never more than %d bytes waited for use, %d of large ones, of which %d were used", mostSmall, mostLarge, peak)
	}
}

// TestPoolSparesTheSizeInDemand: a size that comes back finds its buffers, and others go for it.
func TestPoolSparesTheSizeInDemand(t *testing.T) {
	p := mapped(4 * 56 << 10)
	small, large := p.Get(8<<10), p.Get(32<<10)
	large.Release()
	small.Release()
	other := p.Get(24 << 10)
	if again := p.Get(8 << 10); again != small || p.Kept() != 0 {
		t.Fatalf("not the one that is there, or %d bytes are kept beside it", p.Kept())
	}
	other.Release()
}

// TestArenaHasABound, however much memory there is: its list of what is free would be as long as that.
func TestArenaHasABound(t *testing.T) {
	if p := NewPool(64 << 30); len(p.mu.bytes) > mostApart || !poison && len(p.mu.bytes) == 0 && NewPool(1<<20).mu.bytes != nil {
		t.Fatalf("%d bytes of address space", len(p.mu.bytes))
	}
}

// TestPoolFallsBackToTheHeap for what its memory has no room for, and takes such a buffer back like any other.
func TestPoolFallsBackToTheHeap(t *testing.T) {
	for _, p := range []*Pool{mapped(1 << 20), {}} {
		a, b := p.Get(768<<10), p.Get(768<<10)
		copy(a.Bytes(), "one")
		copy(b.Bytes(), "two")
		if string(a.Bytes()[:3]) != "one" || b.class != ofHeap || p.Outstanding() != 2*768<<10 || p.Apart() > 768<<10 {
			t.Fatalf("%d handed out, %d apart from the heap", p.Outstanding(), p.Apart())
		}
		a.Release()
		b.Release()
		if p.Outstanding() != 0 {
			t.Fatalf("%d still handed out", p.Outstanding())
		}
	}
}

// TestOutgrownGivesItsPartBack: a content that leaves its buffer's memory leaves it to others.
func TestOutgrownGivesItsPartBack(t *testing.T) {
	p := mapped(1 << 20)
	b := p.Get(1 << 20)
	b.SetBytes(append(b.Bytes(), 1))
	if again := p.Get(1 << 20); again.class != ofArena {
		t.Fatal("the part is lost")
	}
	b.Release()
	if p.Outstanding() != 1<<20 {
		t.Fatalf("%d handed out", p.Outstanding())
	}
}

// TestPoolReusesWhatWasReleasedLast, so that the fewest pages are in use.
func TestPoolReusesWhatWasReleasedLast(t *testing.T) {
	var p Pool
	a, b := p.Get(5000), p.Get(5000)
	a.Release()
	b.Release()
	if p.Get(4500) != b || p.Get(5000) != a || p.Kept() != 0 {
		t.Fatal("not the ones that were there, the last first")
	}
}

// TestTrimLeavesWhatIsUsed: between two calls three buffers were in use at most, so the other two go.
func TestTrimLeavesWhatIsUsed(t *testing.T) {
	for _, size := range []int{1 << maxClass, 1 << 20} {
		trimLeavesWhatIsUsed(t, size)
	}
}

func trimLeavesWhatIsUsed(t *testing.T, size int) {
	p := mapped(32 << 20)
	use := func(n int) {
		var held []*Buf
		for range n {
			held = append(held, p.Get(size))
		}
		for _, b := range held {
			b.Release()
		}
	}
	use(5)
	p.Trim()
	if p.Kept() != int64(5*size) {
		t.Fatalf("%d bytes are left of what was just used", p.Kept())
	}
	use(3)
	use(2)
	p.Trim()
	if p.Kept() != int64(3*size) {
		t.Fatalf("%d bytes are left of five buffers, three of them used", p.Kept())
	}
	p.Trim()
	if p.Kept() != 0 {
		t.Fatalf("%d bytes are left of what nobody used", p.Kept())
	}
}

// TestTrimStepsAside: whoever takes a buffer while memory goes back to the system has it for himself, and the rest goes.
func TestTrimStepsAside(t *testing.T) {
	const size, peak = 64 << 20, 48 << 20
	p := mapped(size)
	used := p.Get(peak)
	fill(used, 1)
	used.Release()
	if s := p.trim(); s.len() > 0 {
		t.Fatalf("%v is said to be idle, and was just used", s)
	}
	s := p.trim()
	if rest := p.giveSome(s); s.len() != size || rest != (span{giveStep, size}) {
		t.Fatalf("%v of %v is left after a step", rest, s)
	} else {
		s = rest
	}
	var taken []*Buf // on either side, further than the first step went
	for i, n := range []int{size / topShare, size / topShare, size / topShare, 2 * giveStep} {
		taken = append(taken, p.Get(n))
		fill(taken[i], byte(i+2))
	}
	for s.len() > 0 {
		s = p.giveSome(s)
	}
	for i, b := range taken {
		if !filled(b, byte(i+2)) {
			t.Fatalf("buffer %d, taken meanwhile, has lost its bytes", i)
		}
	}
	if left := bytes.Count(p.mu.bytes, []byte{1}); left > 0 {
		t.Fatalf("%d bytes of the peak did not go back", left)
	}
}

func fill(b *Buf, with byte) {
	for i := range b.Bytes() {
		b.Bytes()[i] = with
	}
}

func filled(b *Buf, with byte) bool {
	return bytes.Count(b.Bytes(), []byte{with}) == b.Len()
}

// TestClearLeavesNothing but what is handed out.
func TestClearLeavesNothing(t *testing.T) {
	p := mapped(1 << 20)
	held := p.Get(100 << 10)
	for _, n := range []int{1, 200 << 10, 500 << 10} {
		p.Get(n).Release()
	}
	copy(held.Bytes(), "held")
	if p.Clear(); p.Kept() != 0 || p.Apart() != held.size || string(held.Bytes()[:4]) != "held" {
		t.Fatalf("%d bytes are kept, %d apart from the heap; %q", p.Kept(), p.Apart(), held.Bytes()[:4])
	}
}

// TestPoolAllocatesNothing for a buffer that is there.
func TestPoolAllocatesNothing(t *testing.T) {
	p := mapped(1 << 20)
	for _, size := range []int{1 << maxClass, 1 << 16} {
		p.Get(size).Release()
		if n := testing.AllocsPerRun(100, func() { p.Get(size).Release() }); n != 0 {
			t.Fatalf("%v allocations for %d bytes", n, size)
		}
	}
}

// BenchmarkTrim of small buffers, as many as a budget of 400 MB has when the store has stood still, and the least that was used of them.
func BenchmarkTrim(b *testing.B) {
	const n = 100_000
	var p Pool
	held := make([]*Buf, n)
	for b.Loop() {
		b.StopTimer()
		for i := range held {
			held[i] = p.Get(1)
		}
		for _, buf := range held {
			buf.Release()
		}
		p.Trim()
		b.StartTimer()
		p.Trim()
		if p.Kept() != 0 {
			b.Fatalf("%d bytes are kept", p.Kept())
		}
	}
}
