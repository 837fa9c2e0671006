package segment

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/varvelog/varve/metastore/records"
)

// row makes extents of such sizes side by side, an hour each.
func row(sizes ...int64) (all []records.Extent) {
	for i, n := range sizes {
		all = append(all, records.Extent{
			Base: int64(i) * 10, Next: int64(i+1) * 10, Bytes: n, MinTimestamp: int64(i) * 3_600_000, MaxTimestamp: int64(i+1)*3_600_000 - 1,
		})
	}
	return all
}

// times is n of the same.
func times(n int, size int64) []int64 {
	all := make([]int64, n)
	for i := range all {
		all[i] = size
	}
	return all
}

func TestPickJoin(t *testing.T) {
	const mib = 1 << 20
	all := Limits{Time: -1, Bytes: -1}
	gap := row(times(16, 100)...)
	for i := range gap[5:] {
		gap[5+i].Base, gap[5+i].Next = gap[5+i].Base+3, gap[5+i].Next+3
	}
	day := Limits{Time: 24 * 3_600_000, Bytes: -1}
	for _, c := range []struct {
		what              string
		rows              []records.Extent
		keep              Limits
		now               int64
		from, to, settled int
	}{
		{"nothing", nil, all, 0, 0, 0, 0},
		{"one", row(100), all, 0, 0, 0, 0},
		{"too few", row(times(7, 100)...), all, 0, 0, 0, 0},
		{"eight", row(times(8, 100)...), all, 0, 0, 8, 0},
		{"as many as a transaction takes", row(times(100, 100)...), all, 0, 0, joinMost, 100},
		{"behind a larger one", row(append([]int64{900}, times(8, 100)...)...), all, 0, 1, 9, 0},
		{"with a larger one", row(append([]int64{800}, times(64, 100)...)...), all, 0, 0, joinMost, 65},
		{"between full ones", row(32*mib, 5, 6, 7, 40*mib, 8, 9), all, 0, 1, 4, 0},
		{"one and a larger one between full ones", row(32*mib, 5, 6, 40*mib, 8, 9), all, 0, 0, 0, 4},
		{"behind full ones", row(32*mib, 5, 6, 7), all, 0, 0, 0, 1},
		{"full ones", row(times(20, 32*mib)...), all, 0, 0, 0, 20},
		{"two that get full", row(25*mib, 25*mib), all, 0, 0, 2, 0},
		{"two that wait for a third", row(20*mib, 20*mib), all, 0, 0, 0, 0},
		{"two that wait for none", row(20*mib, 20*mib, 60*mib), all, 0, 0, 2, 0},
		{"one that is nearly full", row(31*mib, 2*mib), all, 0, 0, 0, 0},
		{"no more than enough", row(times(20, 7*mib)...), all, 0, 0, 9, 20},
		{"a gap", gap, all, 0, 5, 16, 5},
		{"of what is kept for a day, three hours", row(times(20, 100)...), day, 20 * 3_600_000, 0, 0, 17},
		{"three hours that get full", row(times(5, 20*mib)...), day, 5 * 3_600_000, 0, 3, 5},
		{"what is to go soon", row(times(5, 20*mib)...), day, 24 * 3_600_000, 5, 5, 5},
		{"an eighth of the bytes", row(times(9, 100)...), Limits{Time: -1, Bytes: 8 * 500}, 0, 0, 0, 4},
	} {
		j := joiner{enough: 64 * mib, keep: c.keep, now: c.now}
		from, to, settled := j.pick(c.rows)
		if c.from == c.to {
			c.from, c.to = 0, 0
		}
		if from != c.from || to != c.to || to == 0 && settled != c.settled {
			t.Errorf("%s: [%d, %d), settled %d; want [%d, %d), %d", c.what, from, to, settled, c.from, c.to, c.settled)
		}
	}
}

// Whatever comes, each byte is rewritten a few times at most, few segments are left, and one that was full is never touched.
func TestJoinRewritesLittle(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		size  func(r *rand.Rand) int64
		n     int64
		most  int // rewrites of a byte
		extra int // segments beyond twice those that a perfect merge would leave
	}{
		{func(*rand.Rand) int64 { return 1 << 10 }, 4000, 3, 20},
		{func(*rand.Rand) int64 { return 1 * mib }, 4000, 2, 20},
		{func(r *rand.Rand) int64 { return 1 + r.Int64N(64<<10) }, 4000, 4, 30},
		{func(r *rand.Rand) int64 { return 1 << r.IntN(26) }, 1000, 6, 500},
	} {
		t.Run(fmt.Sprint(c.extra), func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			j := joiner{enough: 64 * mib, keep: Limits{Time: -1, Bytes: -1}}
			var all []records.Extent
			rewrites := map[int64]int{} // by base: the most often rewritten byte
			var total int64
			for i := range c.n {
				n := c.size(r)
				total += n
				all = append(all, records.Extent{Base: i, Next: i + 1, Bytes: n})
				for from, to, _ := j.pick(all); to > 0; from, to, _ = j.pick(all) {
					x := records.Extent{Base: all[from].Base, Next: all[to-1].Next}
					for _, e := range all[from:to] {
						if j.full(e.Bytes) {
							t.Fatal("a full segment is merged")
						}
						x.Bytes += e.Bytes
						rewrites[x.Base] = max(rewrites[x.Base], rewrites[e.Base])
					}
					rewrites[x.Base]++
					if x.Bytes > j.enough || rewrites[x.Base] > c.most {
						t.Fatalf("%d bytes, rewritten %d times", x.Bytes, rewrites[x.Base])
					}
					all = append(append(append([]records.Extent{}, all[:from]...), x), all[to:]...)
				}
			}
			most := 0
			for _, n := range rewrites {
				most = max(most, n)
			}
			t.Logf("%d MiB: %d segments, rewritten %d times at most", total/mib, len(all), most)
			if least := int(total / j.enough); len(all) > 2*least+c.extra {
				t.Errorf("%d segments, %d would do", len(all), least)
			}
		})
	}
}

// A partition that fills segments by day and gets a small one each six hours of the night: of those of a night one is
// left, or more if the last are much larger or the first one is: that is not worth to write that one again.
func TestJoinOfADailyRhythm(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		day  []int64
		left int // of a day
	}{
		{[]int64{64 * mib, 70 * mib, 64 * mib, 5 * mib, 6 * mib, 7 * mib}, 4},
		{[]int64{64 * mib, 20 * mib, 1 * mib, 1 * mib}, 3},
		{[]int64{64 * mib, 1 * mib, 1 * mib, 10 * mib}, 4},
		{[]int64{64 * mib, 20 * mib, 20 * mib, 20 * mib}, 2},
	} {
		j := joiner{enough: 64 * mib, keep: Limits{Time: -1, Bytes: -1}}
		all := row(slices.Repeat(c.day, 100)...)
		written := int64(0)
		for from, to, _ := j.pick(all); to > 0; from, to, _ = j.pick(all) {
			x := records.Extent{Base: all[from].Base, Next: all[to-1].Next}
			for _, e := range all[from:to] {
				x.Bytes += e.Bytes
			}
			written += x.Bytes
			all = slices.Replace(all, from, to, x)
		}
		t.Logf("100 days of %d segments: %d are left, %d MiB were written again", len(c.day), len(all), written/mib)
		if most := 100*c.left + len(c.day); len(all) > most {
			t.Errorf("%d segments are left, want %d", len(all), most)
		}
	}
}
