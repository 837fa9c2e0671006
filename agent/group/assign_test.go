package group

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
)

// topicID is the id of topic n; the ids are in the order of the numbers.
func topicID(n int) uuid.UUID { return uuid.UUID{14: byte(n >> 8), 15: byte(n)} }

// specOf makes a spec of topics 0, 1, ... with these numbers of partitions, and members that all read all.
func specOf(members int, partitions ...int32) Spec {
	var s Spec
	var all []uuid.UUID
	for i, n := range partitions {
		s.Topics = append(s.Topics, SpecTopic{topicID(i), n})
		all = append(all, topicID(i))
	}
	for i := range members {
		s.Members = append(s.Members, SpecMember{ID: fmt.Sprintf("m%04d", i), Topics: all})
	}
	return s
}

// again has the members keep what they got.
func again(s Spec, got []Parts) Spec {
	s.Members = slices.Clone(s.Members)
	for i := range s.Members {
		s.Members[i].Had = got[i]
	}
	return s
}

// moved counts the partitions that a member of s has and did not have.
func moved(s Spec, got []Parts) int {
	n := 0
	for i, m := range s.Members {
		for id, ps := range got[i] {
			for _, p := range ps {
				if !m.Had.has(id, p) {
					n++
				}
			}
		}
	}
	return n
}

// whole checks that each partition that has readers has one owner, a reader, and returns the loads.
func whole(t *testing.T, s Spec, got []Parts) []int {
	t.Helper()
	loads := make([]int, len(got))
	owners := map[uuid.UUID]map[int32]int{}
	read := map[uuid.UUID]bool{}
	for i, m := range s.Members {
		for _, id := range m.Topics {
			read[id] = true
		}
		for id, ps := range got[i] {
			if !slices.Contains(m.Topics, id) {
				t.Errorf("%s got %v, which it does not read", m.ID, id)
			}
			if !slices.IsSorted(ps) || len(ps) == 0 {
				t.Errorf("%s got %v of a topic", m.ID, ps)
			}
			for _, p := range ps {
				if owners[id] == nil {
					owners[id] = map[int32]int{}
				}
				owners[id][p]++
				loads[i]++
			}
		}
	}
	for _, topic := range s.Topics {
		want := int(topic.Partitions)
		if !read[topic.ID] {
			want = 0
		}
		if len(owners[topic.ID]) != want {
			t.Errorf("%d partitions of %v have an owner, not %d", len(owners[topic.ID]), topic.ID, want)
		}
		for p, n := range owners[topic.ID] {
			if n != 1 || p < 0 || p >= topic.Partitions {
				t.Errorf("partition %d of %v has %d owners", p, topic.ID, n)
			}
		}
	}
	return loads
}

func spreadOf(loads []int) int { return slices.Max(loads) - slices.Min(loads) }

func TestUniformIsEvenAndContiguous(t *testing.T) {
	s := specOf(3, 7, 4)
	got := Assign(Uniform, s)
	if loads := whole(t, s, got); spreadOf(loads) > 1 {
		t.Errorf("loads are %v", loads)
	}
	want := []Parts{
		{topicID(0): {0, 1, 2, 3}},
		{topicID(0): {4, 5, 6}, topicID(1): {0}},
		{topicID(1): {1, 2, 3}},
	}
	for i := range want {
		if fmt.Sprint(got[i]) != fmt.Sprint(want[i]) {
			t.Errorf("member %d got %v, not %v", i, got[i], want[i])
		}
	}
}

// TestUniformMovesTheLeast: when a member comes it gets its share and nothing else moves; when one goes only its partitions do.
func TestUniformMovesTheLeast(t *testing.T) {
	s := specOf(10, 64, 36)
	s = again(s, Assign(Uniform, s))
	more := s
	more.Members = append(slices.Clone(s.Members), SpecMember{ID: "z", Topics: s.Members[0].Topics})
	got := Assign(Uniform, more)
	if loads := whole(t, more, got); spreadOf(loads) > 1 {
		t.Errorf("loads are %v", loads)
	}
	if n := moved(more, got); n != 9 {
		t.Errorf("%d partitions moved when one came, not 9", n)
	}
	less := again(more, got)
	less.Members = slices.Delete(slices.Clone(less.Members), 3, 4)
	gone := got[3].Len()
	got = Assign(Uniform, less)
	whole(t, less, got)
	if n := moved(less, got); n != gone {
		t.Errorf("%d partitions moved when one went that had %d", n, gone)
	}
	if n := moved(again(less, got), Assign(Uniform, again(less, got))); n != 0 {
		t.Errorf("%d partitions moved for nothing", n)
	}
}

func TestUniformWithDifferentSubscriptions(t *testing.T) {
	s := specOf(3, 6, 6)
	s.Members[0].Topics = []uuid.UUID{topicID(0)}
	s.Members[1].Topics = []uuid.UUID{topicID(1)}
	got := Assign(Uniform, s)
	movable(t, s, got, whole(t, s, got))
	// The member that reads both had all of topic 0: it gives up what makes it even, no more.
	s.Members[2].Had = Parts{topicID(0): {0, 1, 2, 3, 4, 5}}
	got = Assign(Uniform, s)
	movable(t, s, got, whole(t, s, got))
	if n := len(got[2][topicID(0)]); n < 3 {
		t.Errorf("member 2 keeps %d partitions of topic 0", n)
	}
	s.Members[0].Topics = nil
	if got = Assign(Uniform, s); len(got[0]) != 0 {
		t.Errorf("member 0 reads nothing and got %v", got[0])
	}
	whole(t, s, got)
}

// TestRangeJoins: topics with as many partitions go to members alike, whatever was before, so that they can be joined.
func TestRangeJoins(t *testing.T) {
	s := specOf(3, 8, 8, 5)
	s.Members[1].Had = Parts{topicID(0): {0, 1, 6}, topicID(1): {3}}
	s.Members[2].Had = Parts{topicID(0): {2}, topicID(2): {0, 1, 2, 3, 4}}
	got := Assign(Range, s)
	whole(t, s, got)
	for i, p := range got {
		if !slices.Equal(p[topicID(0)], p[topicID(1)]) {
			t.Errorf("member %d has %v and %v", i, p[topicID(0)], p[topicID(1)])
		}
		if n := len(p[topicID(0)]); n < 2 || n > 3 {
			t.Errorf("member %d has %d of 8", i, n)
		}
		if n := len(p[topicID(2)]); n < 1 || n > 2 {
			t.Errorf("member %d has %d of 5", i, n)
		}
	}
	if !slices.Equal(got[1][topicID(0)], []int32{0, 1, 6}) {
		t.Errorf("member 1 had 0, 1 and 6, and has %v", got[1][topicID(0)])
	}
	if n := moved(again(s, got), Assign(Range, again(s, got))); n != 0 {
		t.Errorf("%d partitions moved for nothing", n)
	}
	// A new topic follows those that are assigned.
	grown := again(s, got)
	grown.Topics = append(slices.Clone(grown.Topics), SpecTopic{topicID(3), 8})
	all := append(slices.Clone(s.Members[0].Topics), topicID(3))
	for i := range grown.Members {
		grown.Members[i].Topics = all
	}
	for i, p := range Assign(Range, grown) {
		if !slices.Equal(p[topicID(3)], got[i][topicID(0)]) || !slices.Equal(p[topicID(0)], got[i][topicID(0)]) {
			t.Errorf("member %d has %v and %v", i, p[topicID(3)], p[topicID(0)])
		}
	}
}

// TestRangeFollows: what was assigned stays, though a new topic comes before it.
func TestRangeFollows(t *testing.T) {
	s := specOf(2, 4, 4)
	s.Members[0].Had, s.Members[1].Had = Parts{topicID(1): {1, 3}}, Parts{topicID(1): {0, 2}}
	for i, p := range Assign(Range, s) {
		if !slices.Equal(p[topicID(1)], s.Members[i].Had[topicID(1)]) || !slices.Equal(p[topicID(0)], p[topicID(1)]) {
			t.Errorf("member %d has %v", i, p)
		}
	}
}

// TestRangeOrder: static members come first, by instance id, so that their next runs, with other member ids, get the same.
func TestRangeOrder(t *testing.T) {
	s := specOf(3, 6)
	s.Members[1].Instance, s.Members[2].Instance = "b", "a"
	got := Assign(Range, s)
	for i, want := range [][]int32{{4, 5}, {2, 3}, {0, 1}} {
		if !slices.Equal(got[i][topicID(0)], want) {
			t.Errorf("member %d got %v, not %v", i, got[i][topicID(0)], want)
		}
	}
	got = Assign(Range, specOf(4, 2))
	whole(t, specOf(4, 2), got)
	if got[0].Len() != 1 || got[3].Len() != 0 {
		t.Errorf("of 2 partitions 4 members got %v", got)
	}
}

// TestAssignRandom: whatever members read and had, each partition has one owner that reads it; no single move would make uniform more
// even; the same again moves nothing; the outcome does not depend on chance.
func TestAssignRandom(t *testing.T) {
	for seed := range uint64(3000) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		var counts []int32
		for range 1 + rnd.IntN(6) {
			counts = append(counts, rnd.Int32N(12))
		}
		s := specOf(1+rnd.IntN(8), counts...)
		mixed := rnd.IntN(3) > 0
		for i := range s.Members {
			if mixed {
				s.Members[i].Topics = slices.DeleteFunc(slices.Clone(s.Members[i].Topics), func(uuid.UUID) bool { return rnd.IntN(3) == 0 })
			}
			had := Parts{topicID(99): {1}}
			for n := range 7 {
				for range rnd.IntN(6) {
					had[topicID(n)] = append(had[topicID(n)], rnd.Int32N(14))
				}
			}
			s.Members[i].Had = had.normal()
		}
		for _, name := range Assignors() {
			got := Assign(name, s)
			loads := whole(t, s, got)
			if name == Uniform {
				movable(t, s, got, loads)
			}
			if fmt.Sprint(got) != fmt.Sprint(Assign(name, s)) {
				t.Errorf("%s assigns in two ways", name)
			}
			if n := moved(again(s, got), Assign(name, again(s, got))); n != 0 {
				t.Errorf("%s moved %d partitions for nothing", name, n)
			}
			if t.Failed() {
				t.Fatalf("seed %d, %s", seed, name)
			}
		}
	}
}

// movable looks for a partition that a member with two more could give to another.
func movable(t *testing.T, s Spec, got []Parts, loads []int) {
	t.Helper()
	for i := range got {
		for id := range got[i] {
			for k, m := range s.Members {
				if loads[i] > loads[k]+1 && slices.Contains(m.Topics, id) {
					t.Errorf("%v should move from member %d to %d: %v", id, i, k, loads)
				}
			}
		}
	}
}

// big are 1,000 members and 100,000 partitions in 100 topics; mixed ones read 20 kinds of subscriptions, all different ones each its own.
func big(kind string) Spec {
	s := specOf(1000, slices.Repeat([]int32{1000}, 100)...)
	rnd := rand.New(rand.NewPCG(1, 1))
	var kinds [][]uuid.UUID
	n := map[string]int{"same": 0, "mixed": 20, "different": 1000}[kind]
	for range n {
		kinds = append(kinds, slices.DeleteFunc(slices.Clone(s.Members[0].Topics), func(uuid.UUID) bool { return rnd.IntN(2) == 0 }))
	}
	for i := range s.Members {
		if n > 0 {
			s.Members[i].Topics = kinds[i%n]
		}
	}
	return s
}

// cpuTime is what this process has used: on a machine that others use, too, the time on the wall says little.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkAssign(b *testing.B) {
	for _, name := range Assignors() {
		for _, kind := range []string{"same", "mixed", "different"} {
			fresh := big(kind)
			settled := again(fresh, Assign(name, fresh))
			settled.Members = slices.Delete(slices.Clone(settled.Members), 500, 501)
			for _, c := range []struct {
				what string
				s    Spec
			}{{"fresh", fresh}, {"one-left", settled}} {
				b.Run(name+"/"+kind+"/"+c.what, func(b *testing.B) {
					b.ReportAllocs()
					began := cpuTime()
					for b.Loop() {
						Assign(name, c.s)
					}
					b.ReportMetric(float64((cpuTime()-began).Microseconds())/1000/float64(b.N), "cpu-ms/op")
				})
			}
		}
	}
}
