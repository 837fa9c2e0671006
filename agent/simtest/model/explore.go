package main

import (
	"fmt"
	"hash/maphash"
	"io"
	"math/rand"
	"slices"
	"time"
	"unsafe"
)

// machine is what a search explores: a state without padding and pointers, its successors, and what must hold in each. The last three
// are for the search of states without a way out.
type machine[S any] interface {
	Init() S
	Steps(s *S, yield func(*S, Act))
	check(s *S) string
	served(s *S) bool
	drained(s *S) bool
	hope(s *S) bool
}

// Result of a search.
type Result struct {
	Bad           string
	Trace         []Act
	States        int
	Steps         int
	Depth, Widest int
	Complete      bool
	Seeds         int
	Took          time.Duration
	Stuck         [2]int // states without a path to served, to drained; only with graph
	Truncated     int
}

var seed = maphash.MakeSeed()

func hash[S any](s *S) uint64 {
	h := maphash.Bytes(seed, unsafe.Slice((*byte)(unsafe.Pointer(s)), int(unsafe.Sizeof(*s))))
	if h == 0 {
		h = 1
	}
	return h
}

// set is an open-addressing set of fingerprints, each with the number of its state.
type set struct {
	key []uint64
	num []uint32
	n   int
}

func (t *set) put(h uint64, num uint32) (uint32, bool) {
	if t.n*4 >= len(t.key)*3 {
		old := *t
		size := max(1<<16, 2*len(old.key))
		t.key, t.num = make([]uint64, size), make([]uint32, size)
		for i, k := range old.key {
			if k != 0 {
				j := k & uint64(size-1)
				for t.key[j] != 0 {
					j = (j + 1) & uint64(size-1)
				}
				t.key[j], t.num[j] = k, old.num[i]
			}
		}
	}
	mask := uint64(len(t.key) - 1)
	for j := h & mask; ; j = (j + 1) & mask {
		if t.key[j] == h {
			return t.num[j], false
		}
		if t.key[j] == 0 {
			t.key[j], t.num[j] = h, num
			t.n++
			return num, true
		}
	}
}

// queue is one level of the search, in pieces that are let go as soon as they are done.
type queue[S any] struct {
	piece [][]S
	n     int
}

const pieceLen = 1024

func (q *queue[S]) push(s *S) {
	if q.n%pieceLen == 0 {
		q.piece = append(q.piece, make([]S, 0, pieceLen))
	}
	last := &q.piece[len(q.piece)-1]
	*last = append(*last, *s)
	q.n++
}

func (q *queue[S]) at(i int) *S {
	if i > 0 && i%pieceLen == 0 {
		q.piece[i/pieceLen-1] = nil
	}
	return &q.piece[i/pieceLen][i%pieceLen]
}

// BFS is bfs of the model.
func (m *Model) BFS(limit int, budget time.Duration, graph bool) Result {
	m.Truncated = 0
	r := bfs[State](m, limit, budget, graph)
	r.Truncated = m.Truncated
	return r
}

// bfs visits every state breadth first, so that the first violation has a shortest trace. With graph it keeps the
// edges, and asks at the end from which states no served (or no drained) state can be reached any more.
func bfs[S any](m machine[S], limit int, budget time.Duration, graph bool) Result {
	b := &search[S]{machine: m, graph: graph, begin: time.Now(), limit: limit, budget: budget}
	start := m.Init()
	b.add(&start, 0, Act{})
	for b.advance(); b.level.n > 0 && b.r.Bad == ""; b.advance() {
		b.r.Widest = max(b.r.Widest, b.level.n)
		if !b.expand() {
			break
		}
		b.base += uint32(b.level.n)
		b.r.Depth++
	}
	b.r.Complete = b.level.n == 0 && b.r.Bad == ""
	if b.r.Complete && graph {
		b.progress()
	}
	b.r.States, b.r.Took = len(b.links), time.Since(b.begin)
	return b.r
}

// search is a breadth-first search under way.
type search[S any] struct {
	machine[S]
	graph       bool
	begin       time.Time
	limit       int
	budget      time.Duration
	seen        set
	links       []link
	edges       [][]uint32
	good        [2][]bool // served, drained; only with graph
	hopes       []bool
	level, next queue[S]
	base        uint32 // number of the first state of level
	r           Result
}

// link is how a state was reached first.
type link struct {
	parent uint32
	act    Act
}

func (b *search[S]) advance() { b.level, b.next = b.next, queue[S]{} }

// add notes a state, and returns its number.
func (b *search[S]) add(s *S, parent uint32, a Act) uint32 {
	num, fresh := b.seen.put(hash(s), uint32(len(b.links)))
	if !fresh {
		return num
	}
	b.links = append(b.links, link{parent, a})
	b.next.push(s)
	if b.graph {
		b.good[0], b.good[1] = append(b.good[0], b.served(s)), append(b.good[1], b.drained(s))
		b.hopes = append(b.hopes, b.hope(s))
	}
	if b.r.Bad == "" {
		if b.r.Bad = b.check(s); b.r.Bad != "" {
			b.r.Trace = b.trace(num)
		}
	}
	return num
}

func (b *search[S]) trace(num uint32) (trace []Act) {
	for n := num; n != 0; n = b.links[n].parent {
		trace = append(trace, b.links[n].act)
	}
	slices.Reverse(trace)
	return trace
}

// expand takes every step from the states of a level; false if a violation or a limit ended it.
func (b *search[S]) expand() bool {
	for i := 0; i < b.level.n; i++ {
		from := b.base + uint32(i)
		var out []uint32
		b.Steps(b.level.at(i), func(t *S, a Act) {
			b.r.Steps++
			if b.r.Bad != "" {
				return
			}
			if n := b.add(t, from, a); b.graph && n != from {
				out = append(out, n)
			}
		})
		if b.graph {
			b.edges = append(b.edges, out)
		}
		if b.r.Bad != "" || len(b.links) > b.limit || b.budget > 0 && i%1024 == 0 && time.Since(b.begin) > b.budget {
			return false
		}
	}
	return true
}

// progress looks for states from which no good state can be reached, though the bounds leave hope.
func (b *search[S]) progress() {
	back := make([][]uint32, len(b.edges))
	for a, out := range b.edges {
		for _, to := range out {
			back[to] = append(back[to], uint32(a))
		}
	}
	for g, what := range [...]string{"progress: a slot stays without a leader for ever", "leak: a session can never be drained"} {
		ok := b.good[g]
		var todo []uint32
		for n, v := range ok {
			if v {
				todo = append(todo, uint32(n))
			}
		}
		for len(todo) > 0 {
			n := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			for _, from := range back[n] {
				if !ok[from] {
					ok[from] = true
					todo = append(todo, from)
				}
			}
		}
		for n, v := range ok {
			if v || !b.hopes[n] {
				continue
			}
			if b.r.Stuck[g] == 0 && b.r.Bad == "" {
				b.r.Bad, b.r.Trace = what, b.trace(uint32(n))
			}
			b.r.Stuck[g]++
		}
	}
}

// Walk takes seeded random walks of the given depth. Each seed draws weights, so that some walks crash much and some not
// at all.
func (m *Model) Walk(first int64, seeds, depth int, budget time.Duration) (r Result) {
	begin := time.Now()
	for n := 0; n < seeds; n++ {
		rnd := rand.New(rand.NewSource(first + int64(n)))
		var weight [len(actName)]float64
		for i := range weight {
			weight[i] = []float64{0.05, 0.5, 1, 2, 4}[rnd.Intn(5)]
		}
		for _, x := range []struct {
			kind int
			w    float64
		}{{aCrash, 0.02}, {aFence, 0.03}, {aEnd, 0.1}, {aClose, 0.1}, {aLateSend, 0.2}, {aAppend, 0.5}, {aStart, 4}, {aFlush, 3}, {aLand, 3},
			{aCommit, 3}, {aLearn, 3}, {aOpen, 4}} {
			weight[x.kind] *= x.w
		}
		s := m.Init()
		var trace []Act
		for d := 0; d < depth; d++ {
			var pick State
			var act Act
			sum := 0.0
			m.Steps(&s, func(t *State, a Act) {
				w := weight[a.Kind]
				sum += w
				if rnd.Float64()*sum < w {
					pick, act = *t, a
				}
			})
			if sum == 0 {
				break
			}
			s = pick
			trace = append(trace, act)
			r.Steps++
			r.Depth = max(r.Depth, d+1)
			if r.Bad = m.check(&s); r.Bad != "" {
				r.Trace = m.shrink(trace, r.Bad)
				r.Seeds, r.Took = n+1, time.Since(begin)
				return
			}
		}
		r.Seeds = n + 1
		if budget > 0 && time.Since(begin) > budget {
			break
		}
	}
	r.Took = time.Since(begin)
	return
}

// replay runs the steps that are possible, in order, and returns those done up to the first violation.
func (m *Model) replay(trace []Act) (done []Act, bad string) {
	s := m.Init()
	for _, want := range trace {
		var t State
		ok := false
		m.Steps(&s, func(x *State, a Act) {
			if a == want && !ok {
				t, ok = *x, true
			}
		})
		if ok {
			s = t
			done = append(done, want)
			if bad = m.check(&s); bad != "" {
				return
			}
		}
	}
	return
}

// shrink drops steps as long as some violation remains.
func (m *Model) shrink(trace []Act, bad string) []Act {
	for size := len(trace) / 2; size >= 1; {
		smaller := false
		for i := 0; i+size <= len(trace); i++ {
			try := append(append([]Act{}, trace[:i]...), trace[i+size:]...)
			if done, b := m.replay(try); b == bad && len(done) < len(trace) {
				trace, smaller = done, true
			}
		}
		if !smaller || size > 1 {
			size /= 2
		}
	}
	return trace
}

// follow replays a trace, writes its steps with their names, and returns the last state.
func follow[S any](w io.Writer, m machine[S], r Result, names []string) S {
	fmt.Fprintf(w, "VIOLATION %s\n", r.Bad)
	s := m.Init()
	for i, want := range r.Trace {
		fmt.Fprintf(w, "  %2d. %s %d %d %d\n", i+1, names[want.Kind], want.A, want.B, want.C)
		var t S
		ok := false
		m.Steps(&s, func(x *S, a Act) {
			if a == want && !ok {
				t, ok = *x, true
			}
		})
		s = t
	}
	return s
}

// Print writes a trace and, with verbose, the last state.
func (m *Model) Print(w io.Writer, r Result, verbose bool) {
	s := follow[State](w, m, r, actName[:])
	if verbose {
		for i := range s.S {
			fmt.Fprintf(w, "  S%d %+v\n", i, s.S[i])
		}
		fmt.Fprintf(w, "  M %+v\n  P %+v\n  snaps %+v\n  segs %+v\n", s.M, s.P, s.Snap, s.Seg)
	}
}
