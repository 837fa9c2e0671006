package segment

import (
	"math"
	"math/rand/v2"
	"testing"
)

// units makes units of 10 offsets and 100 bytes from their timestamps.
func units(stamps ...int64) (all []unit) {
	for i, ts := range stamps {
		all = append(all, unit{int64(i) * 10, int64(i)*10 + 10, 100, ts})
	}
	return all
}

// cut plays a cutoff over units.
func cut(l Limits, now, stable int64, all []unit, u undated) (int64, undated) {
	total := int64(0)
	for _, x := range all {
		total += x.bytes
	}
	c := newCutoff(l, now, 0, stable, total, u)
	for _, x := range all {
		if !c.take(x) {
			break
		}
	}
	return c.start()
}

func TestCutoff(t *testing.T) {
	const end = math.MaxInt64
	for _, c := range []struct {
		name   string
		limits Limits
		stable int64
		stamps []int64
		want   int64
	}{
		{"no limits", Limits{-1, -1}, end, []int64{1, 2, 3}, 0},
		{"by time", Limits{100, -1}, end, []int64{10, 899, 900, 901}, 20},
		{"not past a younger one", Limits{100, -1}, end, []int64{10, 950, 10}, 10},
		{"all of it", Limits{100, -1}, end, []int64{10, 20, 30}, 30},
		{"time 0", Limits{0, -1}, end, []int64{10, 999, 1000}, 20},
		{"not past what is stable", Limits{100, -1}, 25, []int64{10, 20, 30}, 20},
		{"by bytes", Limits{-1, 250}, end, []int64{1, 1, 1, 1, 1}, 20},
		{"bytes to the unit", Limits{-1, 300}, end, []int64{1, 1, 1, 1, 1}, 20},
		{"bytes 0", Limits{-1, 0}, end, []int64{1, 1}, 20},
		{"fewer bytes", Limits{-1, 1000}, end, []int64{1, 1}, 0},
		{"both, time first", Limits{100, 250}, end, []int64{1, 1, 1, 990, 990}, 30},
		{"both, bytes first", Limits{100, 150}, end, []int64{1, 990, 990, 990, 990}, 30},
		{"a future date does not hold up what follows", Limits{100, -1}, end, []int64{1, 5000, 2, 950}, 30},
		{"nor does no date", Limits{100, -1}, end, []int64{-1, -1, 2, 950}, 30},
		{"it is as old as the one after it", Limits{100, -1}, end, []int64{1, 5000, 950, 2}, 10},
		{"the last one is not old yet", Limits{100, -1}, end, []int64{1, 5000}, 10},
		{"it counts its bytes", Limits{-1, 100}, end, []int64{5000, 5000, 5000}, 20},
	} {
		if got, _ := cut(c.limits, 1000, c.stable, units(c.stamps...), undated{}); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// A log that ends with records dated in the future goes too: counted from when its leader first saw that nothing else is left.
func TestCutoffUndated(t *testing.T) {
	all := units(10, 1<<60, 1<<60)
	got, u := cut(Limits{100, -1}, 1000, 1000, all, undated{})
	if got != 10 || u != (undated{30, 1000}) {
		t.Fatal(got, u)
	}
	all = append(all[1:], unit{30, 40, 100, 1 << 60}) // written since
	if got, u = cut(Limits{100, -1}, 1100, 1000, all, u); got != 0 || u != (undated{30, 1000}) {
		t.Fatal(got, u)
	}
	if got, u = cut(Limits{100, -1}, 1101, 1000, all, u); got != 30 || u != (undated{}) {
		t.Fatal(got, u)
	}
	all = append(units()[:0], unit{30, 40, 100, 1 << 60}, unit{40, 50, 100, 1101})
	if got, u = cut(Limits{100, -1}, 1101, 1000, all, undated{30, 900}); got != 0 || u != (undated{}) {
		t.Fatal(got, u)
	}
}

// The rules once more, in the words of Kafka: LogSegments go from the start while they are too old, or while those after them have
// enough bytes.
func TestCutoffAgainstModel(t *testing.T) {
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 1))
		all, base, total := []unit(nil), int64(0), int64(0)
		for range rng.IntN(12) {
			u := unit{base, base + 1 + rng.Int64N(5), 1 + rng.Int64N(100), 800 + rng.Int64N(201)}
			all, base, total = append(all, u), u.next, total+u.bytes
		}
		l := Limits{rng.Int64N(250) - 20, rng.Int64N(600) - 60}
		want, left := int64(0), total
		for _, u := range all {
			if l.Time < 0 || 1000-u.maxTS <= l.Time {
				break
			}
			want = u.next
		}
		for _, u := range all {
			if l.Bytes < 0 || left-u.bytes < l.Bytes {
				break
			}
			left, want = left-u.bytes, max(want, u.next)
		}
		if got, _ := cut(l, 1000, base, all, undated{}); got != want {
			t.Fatalf("seed %d: %+v %+v: %d, want %d", seed, l, all, got, want)
		}
		if len(all) > 0 && want > 0 && !l.due(all[0], total, 1000) {
			t.Fatalf("seed %d: not due, and yet it moves to %d", seed, want)
		}
	}
}
