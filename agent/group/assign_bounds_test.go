package group

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
)

// coarsely is Assign as for more subscriptions than can be looked at.
func coarsely(s Spec) []Parts {
	b := newBoard(s)
	b.pairs()
	b.coarse()
	return b.result()
}

// TestCoarseRandom: whatever members read and had, each partition that somebody reads has one owner, who reads it.
func TestCoarseRandom(t *testing.T) {
	for seed := range uint64(2000) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		var counts []int32
		for range 1 + rnd.IntN(6) {
			counts = append(counts, rnd.Int32N(12))
		}
		s := specOf(1+rnd.IntN(8), counts...)
		for i := range s.Members {
			s.Members[i].Topics = slices.DeleteFunc(slices.Clone(s.Members[i].Topics), func(uuid.UUID) bool { return rnd.IntN(3) == 0 })
			if i > 0 && rnd.IntN(2) == 0 {
				s.Members[i].Topics = s.Members[i-1].Topics
			}
			had := Parts{}
			for n := range 7 {
				for range rnd.IntN(6) {
					had[topicID(n)] = append(had[topicID(n)], rnd.Int32N(14))
				}
			}
			s.Members[i].Had = had.normal()
		}
		got := coarsely(s)
		whole(t, s, got)
		if fmt.Sprint(got) != fmt.Sprint(coarsely(s)) {
			t.Error("it assigns in two ways")
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// TestCoarseShares: with subscriptions that have much in common everybody has an equal share, a new member gets one, and nothing else moves.
func TestCoarseShares(t *testing.T) {
	s := specOf(10, slices.Repeat([]int32{10}, 40)...)
	for i := range s.Members {
		s.Members[i].Topics = slices.Concat(s.Members[i].Topics[:i], s.Members[i].Topics[i+1:])
	}
	got := coarsely(s)
	if loads := whole(t, s, got); spreadOf(loads) > 0 {
		t.Errorf("loads are %v", loads)
	}
	s = again(s, got)
	if n := moved(s, coarsely(s)); n != 0 {
		t.Errorf("%d partitions moved for nothing", n)
	}
	s.Members = append(s.Members, SpecMember{ID: "z", Topics: s.Members[0].Topics})
	got = coarsely(s)
	loads := whole(t, s, got)
	if n := moved(s, got); loads[10] < 30 || n > 40 {
		t.Errorf("the new one has %d, %d partitions moved", loads[10], n)
	}
}

// TestTooManyRegexes: a group takes so many different expressions, and members that share one of them.
func TestTooManyRegexes(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	g := NewConsumer(ConsumerBounds{Session: time.Minute, Heartbeat: time.Second, MaxMembers: 1000, MaxBytes: 1 << 20}, NewCatalogue(1, nil))
	join := func(n int, expr string) error {
		out := g.Step(ConsumerBeat{Member: fmt.Sprint(n), Regex: &expr, Owned: Parts{}, Rebalance: time.Minute}, now)
		return out.Replies[0].Msg.(ConsumerTold).Err
	}
	for n := range maxRegexes {
		if err := join(n, fmt.Sprintf("t-%d", n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := join(1001, "other"); !errors.Is(err, ErrFull) {
		t.Errorf("one more expression: %v", err)
	}
	if err := join(1002, "t-7"); err != nil {
		t.Errorf("one more member: %v", err)
	}
}

// hostile are 10,000 members and 10,000 topics. Of kind "all" everybody reads all of them, of kind "most" each of 100 kinds all but one;
// of kind "pairs" so many that it is just not too many.
func hostile(kind string) Spec {
	const n = 10_000
	s := specOf(n, slices.Repeat([]int32{4}, n)...)
	all := s.Members[0].Topics
	rnd := rand.New(rand.NewPCG(4, 4))
	var kinds [][]uuid.UUID
	for i := range 100 {
		switch kind {
		case "most":
			kinds = append(kinds, slices.Concat(all[:i], all[i+1:]))
		case "pairs":
			some := slices.DeleteFunc(slices.Clone(all), func(uuid.UUID) bool { return rnd.IntN(n) >= maxPairs/n-4 })
			kinds = append(kinds, some)
		}
	}
	for i := range s.Members {
		if kind != "all" {
			s.Members[i].Topics = kinds[i%len(kinds)]
		}
	}
	return s
}

// BenchmarkAssignHostile is what the largest groups that are taken can cost.
func BenchmarkAssignHostile(b *testing.B) {
	for _, name := range Assignors() {
		for _, kind := range []string{"all", "most", "pairs"} {
			s := hostile(kind)
			s = again(s, Assign(name, s))
			s.Members = s.Members[:len(s.Members)-1]
			b.Run(name+"/"+kind, func(b *testing.B) {
				b.ReportAllocs()
				began := cpuTime()
				for b.Loop() {
					Assign(name, s)
				}
				b.ReportMetric(float64((cpuTime()-began).Microseconds())/1000/float64(b.N), "cpu-ms/op")
			})
		}
	}
}
