package segment

import (
	"math/rand/v2"
	"sort"
	"testing"
)

// asked plays a table of extents, given by their bases and the end, and returns how many questions a hunt took.
func asked(t *testing.T, bases []int64, end, offset, span int64) (questions int, verdict verdict) {
	t.Helper()
	next := func(i int) int64 {
		if i+1 < len(bases) {
			return bases[i+1]
		}
		return end
	}
	for h := newHunt(offset, span); ; {
		questions++
		from := sort.Search(len(bases), func(i int) bool { return bases[i] > h.after })
		to := min(from+pageExtents, len(bases))
		base, last, until := int64(0), int64(0), int64(0)
		if from < to {
			base, last, until = bases[from], bases[to-1], next(to-1)
		}
		switch v := h.learn(to-from, base, until, last, to < len(bases)); v {
		case huntOn:
			if questions > 100 {
				t.Fatalf("offset %d: no end", offset)
			}
		default:
			return questions, v
		}
	}
}

// A partition with a million segments costs about as many questions as one with ten, wherever one looks and however wrong the
// first guess is.
func TestHuntTakesFewQuestions(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	even := make([]int64, 1_000_000)
	for i := range even {
		even[i] = 1_000_000 + int64(i)*5000
	}
	steep := []int64{0} // extents of ever fewer offsets
	for n := int64(1 << 40); len(steep) < 200_000; n = max(n-n/4096, 1) {
		steep = append(steep, steep[len(steep)-1]+n)
	}
	wild := []int64{7}
	for len(wild) < 300_000 {
		n := int64(1) << rng.IntN(30)
		for range 1 + rng.IntN(2000) {
			wild = append(wild, wild[len(wild)-1]+n)
		}
	}
	cliffs := []int64{3}
	for i := range 300_000 {
		n := int64(1)
		if i%100_000 == 50_000 {
			n = 1 << 50
		}
		cliffs = append(cliffs, cliffs[len(cliffs)-1]+n)
	}
	for name, c := range map[string]struct {
		bases []int64
		most  int
	}{"even": {even, 2}, "steep": {steep, 40}, "wild": {wild, 45}, "cliffs": {cliffs, 60}, "ten": {even[:10], 1}} {
		end := c.bases[len(c.bases)-1] + 100
		each := (end - c.bases[0]) / int64(len(c.bases))
		worst := 0
		for range 2000 {
			at := c.bases[0] + rng.Int64N(end-c.bases[0])
			if rng.IntN(2) == 0 {
				at = c.bases[rng.IntN(len(c.bases))]
			}
			n, v := asked(t, c.bases, end, at, each*pageExtents/4)
			if v != huntHit {
				t.Fatalf("%s: offset %d was not found", name, at)
			}
			worst = max(worst, n)
			if n, v = asked(t, c.bases, end, at, 1+rng.Int64N(1<<rng.IntN(60))); v != huntHit || n > 70 {
				t.Fatalf("%s: offset %d after a wild guess: %d questions, %v", name, at, n, v)
			}
		}
		if worst > c.most {
			t.Errorf("%s: %d questions, want at most %d", name, worst, c.most)
		}
		for _, at := range []int64{0, c.bases[0] - 1, end, end + 1<<40} {
			if at < 0 || at >= c.bases[0] && at < end {
				continue
			}
			if n, v := asked(t, c.bases, end, at, each*pageExtents/4); v != huntOut || n > 70 {
				t.Errorf("%s: offset %d: %v after %d questions", name, at, v, n)
			}
		}
	}
	if _, v := asked(t, nil, 0, 5, 10); v != huntOut {
		t.Error("found in an empty table")
	}
}
