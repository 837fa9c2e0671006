package memory

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// arenaRig keeps beside an arena what it must say, byte by byte.
type arenaRig struct {
	t     *testing.T
	a     *arena
	taken []bool
	paged []bool // has pages of the system
	since []bool // was taken at some time since the last idle
	held  []span
}

func newArenaRig(t *testing.T, size int64) *arenaRig {
	return &arenaRig{t: t, a: newArena(size), taken: make([]bool, size), paged: make([]bool, size), since: make([]bool, size)}
}

func (r *arenaRig) take(n int64) {
	at, ok := r.a.take(n)
	if !ok {
		longest, run := 0, 0
		for _, taken := range r.taken {
			if run++; taken {
				run = 0
			}
			longest = max(longest, run)
		}
		if int64(longest) >= n {
			r.t.Fatalf("no room for %d where %d are free", n, longest)
		}
		return
	}
	for i := at; i < at+n; i++ {
		if r.taken[i] {
			r.t.Fatalf("byte %d is taken twice", i)
		}
		r.taken[i], r.paged[i], r.since[i] = true, true, true
	}
	r.held = append(r.held, span{at, at + n})
}

func (r *arenaRig) give(i int) {
	s := r.held[i]
	r.held = slices.Delete(r.held, i, i+1)
	for i := s.at; i < s.end; i++ {
		r.taken[i] = false
	}
	r.a.give(s.at, s.len())
}

func (r *arenaRig) idle() {
	s := r.a.idle()
	for i := s.at; i < s.end; i++ {
		if r.taken[i] || r.since[i] {
			r.t.Fatalf("byte %d is idle and was used", i)
		}
		r.paged[i] = false
	}
	copy(r.since, r.taken)
}

func (r *arenaRig) check() {
	out, paged := int64(0), int64(0)
	for i := range r.taken {
		if r.taken[i] {
			out++
		}
		if r.paged[i] {
			paged++
		}
	}
	if r.a.out != out || r.a.kept() < paged-out || r.a.kept() > r.a.size-out {
		r.t.Fatalf("%d taken, %d with pages; said to be %d and %d", out, paged, r.a.out, r.a.out+r.a.kept())
	}
}

// TestArenaRandom: nothing is taken twice, what is free together is found, and only what nobody has used goes back to the system.
func TestArenaRandom(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		r := newArenaRig(t, 1024)
		for range 2000 {
			switch n := rng.IntN(60); {
			case n < len(r.held):
				r.give(n)
			case n == 59:
				r.idle()
			case n > 55:
				r.take(1 + rng.Int64N(400))
			default:
				r.take(1 + rng.Int64N(60))
			}
			r.check()
		}
		for len(r.held) > 0 {
			r.give(0)
		}
		r.idle()
		r.idle()
		if r.check(); r.a.kept() != 0 || len(r.a.free) != 1 || r.a.out != 0 {
			t.Fatalf("at the end %d bytes wait for use, %d of them idle, free in %v", r.a.kept(), r.a.cold.len(), r.a.free)
		}
	}
}

// TestArenaUsesTheEnds: small parts lie at one end and large ones at the other, so a peak in the middle goes back although its neighbours stay.
func TestArenaUsesTheEnds(t *testing.T) {
	r := newArenaRig(t, 1024)
	r.take(10)  // [0, 10)
	r.take(200) // [824, 1024)
	for range 10 {
		r.take(60) // up to 610
	}
	for range 10 {
		r.give(2)
	}
	if r.idle(); r.a.kept() != 600 {
		t.Fatalf("%d bytes are kept of a peak just now", r.a.kept())
	}
	r.take(30)
	r.give(2)
	if r.idle(); r.a.kept() != 30 {
		t.Fatalf("%d bytes are kept where 30 were used", r.a.kept())
	}
}

// TestArenaTakesTheOutermost place that fits, on either side.
func TestArenaTakesTheOutermost(t *testing.T) {
	r := newArenaRig(t, 1024)
	for range 8 {
		r.take(60)
	}
	for range 4 {
		r.give(1) // [60, 300)
	}
	if r.take(200); r.held[4].at != 824 {
		t.Fatalf("a large part lies at %d", r.held[4].at)
	}
	if r.take(60); r.held[5].at != 60 {
		t.Fatalf("a small part lies at %d", r.held[5].at)
	}
}

// BenchmarkArena with a thousand parts of mixed sizes that come and go.
func BenchmarkArena(b *testing.B) {
	a := newArena(256 << 20)
	rng := rand.New(rand.NewPCG(1, 2))
	var held [1000]span
	for b.Loop() {
		i := rng.IntN(len(held))
		if s := held[i]; s.len() > 0 {
			a.give(s.at, s.len())
		}
		n := page * (1 + rng.Int64N(80))
		if at, ok := a.take(n); ok {
			held[i] = span{at, at + n}
		} else {
			held[i] = span{}
		}
	}
}
