package memory

import (
	"math/rand/v2"
	"testing"
)

// TestPoolStaysWithinItsLimit: whatever is taken and given back, what waits for use is never more than the limit leaves.
func TestPoolStaysWithinItsLimit(t *testing.T) {
	const limit = 1 << 20
	rng := rand.New(rand.NewPCG(1, 2))
	var p Pool
	p.SetLimit(limit)
	var held []*Buf
	most := int64(0)
	for range 4000 {
		if i := rng.IntN(40); i < len(held) {
			held[i].Release()
			held[i] = held[len(held)-1]
			held = held[:len(held)-1]
		} else {
			held = append(held, p.Get(1+rng.IntN(48<<10)))
		}
		want := int64(0)
		for _, b := range held {
			want += int64(b.Cap())
		}
		kept := p.Kept()
		if p.Outstanding() != want || kept > max(0, limit-want) {
			t.Fatalf("%d bytes are handed out, said to be %d; %d wait for use", want, p.Outstanding(), kept)
		}
		most = max(most, kept)
	}
	if most < limit/4 {
		t.Fatalf("never more than %d bytes waited for use", most)
	}
	p.SetLimit(1)
	if p.Kept() != 0 {
		t.Fatalf("%d bytes wait for use beyond a smaller limit", p.Kept())
	}
}

// TestPoolSparesTheSizeInDemand: a size that comes back finds its buffers, and others go for it.
func TestPoolSparesTheSizeInDemand(t *testing.T) {
	var p Pool
	p.SetLimit(5 << 20)
	small, large := p.Get(1<<20), p.Get(4<<20)
	large.Release()
	small.Release()
	other := p.Get(2 << 20)
	if again := p.Get(1 << 20); again != small || p.Kept() != 0 {
		t.Fatalf("not the one that is there, or %d bytes are kept beside it", p.Kept())
	}
	other.Release()
}

// TestPoolLends: for a short while a larger buffer will do, of twice the size at most, and goes back to where it came from.
func TestPoolLends(t *testing.T) {
	var p Pool
	large := p.Get(2 << 20)
	large.Release()
	if b := p.Fit(1<<20 + 1); b == large {
		t.Fatal("lent for long")
	}
	if b := p.Get(3 << 18); b == large {
		t.Fatal("lent for less than half of it")
	}
	b := p.Get(1 << 20)
	if b != large || b.Len() != 1<<20 || b.Cap() != 2<<20 || p.Kept() != 0 {
		t.Fatalf("not lent: %d bytes wait for use", p.Kept())
	}
	b.Release()
	if p.Kept() != 2<<20 || p.Fit(2<<20) != large {
		t.Fatal("it did not go back to those of its size")
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
	var p Pool
	use := func(n int) {
		var held []*Buf
		for range n {
			held = append(held, p.Get(1<<20))
		}
		for _, b := range held {
			b.Release()
		}
	}
	use(5)
	p.Trim()
	if p.Kept() != 5<<20 {
		t.Fatalf("%d bytes are left of what was just used", p.Kept())
	}
	use(3)
	use(2)
	p.Trim()
	if p.Kept() != 3<<20 {
		t.Fatalf("%d bytes are left of five buffers, three of them used", p.Kept())
	}
	p.Trim()
	if p.Kept() != 0 {
		t.Fatalf("%d bytes are left of what nobody used", p.Kept())
	}
}

// TestPoolAllocatesNothing for a buffer that is there.
func TestPoolAllocatesNothing(t *testing.T) {
	var p Pool
	p.Get(1 << 16).Release()
	if n := testing.AllocsPerRun(100, func() { p.Get(1 << 16).Release() }); n != 0 {
		t.Fatalf("%v allocations", n)
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
