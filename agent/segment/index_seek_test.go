package segment

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// long is a table that has one partition with many extents, each of ten offsets and no bytes, which it makes as they are asked for.
type long struct {
	metastore.Store
	item    records.Partition
	stamps  func(i int64) int64
	top     func(i int64) records.Top
	n       int64
	queries int
	gets    int
}

func (l *long) Get(context.Context, metastore.Key, metastore.Consistency) (metastore.Item, error) {
	l.gets++
	return l.item.Item(), nil
}

func (l *long) Query(_ context.Context, q metastore.Query) (page metastore.Page, err error) {
	l.queries++
	i := int64(0)
	if q.After != "" {
		var base int64
		if _, err := fmt.Sscanf(q.After, "X%016x", &base); err != nil {
			return page, err
		}
		i = base/10 + 1
	}
	for ; i < l.n && len(page.Rows) < q.Limit; i++ {
		ts := l.stamps(i)
		e := records.Extent{Base: i * 10, Next: i*10 + 10, Size: 64 + 100, MinTimestamp: ts, MaxTimestamp: ts, Bytes: 100, Records: 10, Top: l.top(i)}
		page.Rows = append(page.Rows, metastore.Row{SK: records.ExtentSK(e.Base), Item: e.Item()})
	}
	if i < l.n {
		page.Next = records.ExtentSK(i*10 - 10)
	}
	return page, nil
}

// newLong makes a table of n extents, of which those from the first on say what comes before them. stamps rise but for the extents in odd.
func newLong(n, first int64, odd map[int64]int64) *long {
	l := &long{n: n}
	rising := func(i int64) int64 { return 1_000_000 + i*100 }
	l.stamps = func(i int64) int64 {
		if ts, ok := odd[i]; ok {
			return ts
		}
		return rising(i)
	}
	l.top = func(i int64) records.Top {
		if i < first {
			return records.Top{}
		}
		top := records.Top{TS: l.stamps(i), At: i * 10, From: first * 10}
		for _, k := range []int64{i - 1, i - 2, i - 3} {
			if k >= first && l.stamps(k) > top.TS {
				top.TS, top.At = l.stamps(k), k*10
			}
		}
		for k, ts := range odd {
			if k >= first && k <= i && (ts > top.TS || ts == top.TS && k*10 < top.At) {
				top.TS, top.At = ts, k*10
			}
		}
		return top
	}
	l.item = records.Partition{Tiered: n * 10, Bytes: n * 100, Extents: n, V: 1, Nonce: uuid.New(), Top: l.top(n - 1)}
	return l
}

func (l *long) index(t *testing.T) *Index {
	x := NewIndex(l, nil, IndexConfig{Cluster: "c", Bytes: leastLimit})
	t.Cleanup(x.Close)
	return x
}

// look asks an index that knows nothing by time, and returns the base of what it found, -1 if that is nothing, and how often it asked the table.
func (l *long) look(t *testing.T, from, ts int64) (base int64, asked int) {
	t.Helper()
	l.gets, l.queries = 0, 0
	x := l.index(t)
	loc, ok, err := x.LocateTime(t.Context(), uuid.Nil, 0, from, ts)
	if err != nil {
		t.Fatal(err)
	}
	if n := x.Bytes(); n > leastLimit {
		t.Fatalf("%d bytes of memory", n)
	}
	if !ok {
		return -1, l.gets + l.queries
	}
	return loc.Base, l.gets + l.queries
}

// want is the base of the first extent from offset from on with a timestamp of ts or later, -1 if there is none.
func (l *long) want(from, ts int64) int64 {
	for i := from / 10; i < l.n; i++ {
		if l.stamps(i) >= ts {
			return i * 10
		}
	}
	return -1
}

// A search by time in a partition with a million segments is exact, and asks about as often as in one with ten.
func TestTimesOfAMillionExtents(t *testing.T) {
	const n = 1_000_000
	last := int64(1_000_000 + (n-1)*100)
	for name, c := range map[string]struct {
		first int64
		odd   map[int64]int64
		most  int // questions
	}{
		"time rises":             {0, nil, 40},
		"one leaps ahead":        {0, map[int64]int64{500_000: last - 5000}, 70},
		"one is from the future": {0, map[int64]int64{600_000: last + 1_000_000}, 70},
		"some fall behind":       {0, map[int64]int64{10: 5, 999_000: 7, 500_001: 9}, 40},
	} {
		l := newLong(n, c.first, c.odd)
		rng := rand.New(rand.NewPCG(1, 2))
		worst := 0
		for i := range 30 {
			from, ts := int64(0), 1_000_000+rng.Int64N(n*100)
			switch i {
			case 0:
				ts = last
			case 1:
				ts = last + 1
			case 2:
				ts = 0
			default:
				if i%3 == 0 {
					from = rng.Int64N(n * 5)
				}
			}
			got, asked := l.look(t, from, ts)
			if want := l.want(from, ts); got != want {
				t.Fatalf("%s: from %d, time %d: %d, want %d", name, from, ts, got, want)
			}
			worst = max(worst, asked)
		}
		t.Logf("%s: at most %d questions", name, worst)
		if worst > c.most {
			t.Errorf("%s: %d questions, want at most %d", name, worst, c.most)
		}
	}
}

// What was linked by earlier versions says nothing, and what retention has taken away may have said too much: then a search goes through the
// extents one by one, and finds the same.
func TestTimesWithoutHelp(t *testing.T) {
	for name, l := range map[string]*long{
		"earlier versions": newLong(3000, 2990, nil), "half of them": newLong(3000, 1500, nil), "none says anything": newLong(3000, 3000, nil),
		"a future that is gone": newLong(3000, 0, map[int64]int64{3: 1 << 50}),
	} {
		rng := rand.New(rand.NewPCG(3, 4))
		for range 30 {
			from, ts := 40+rng.Int64N(l.n*10-40), 1_000_000+rng.Int64N(l.n*110)
			got, asked := l.look(t, from, ts)
			if want := l.want(from, ts); got != want || asked > 120 {
				t.Fatalf("%s: from %d, time %d: %d after %d questions, want %d", name, from, ts, got, asked, want)
			}
		}
	}
}

// The largest timestamp is one question, if the last link knew it.
func TestMaxTimeOfAMillionExtents(t *testing.T) {
	for _, c := range []struct {
		l        *long
		from, at int64
		most     int
	}{
		{newLong(1_000_000, 0, nil), 0, 9_999_990, 1},
		{newLong(1_000_000, 0, map[int64]int64{77: 1 << 50}), 770, 770, 1},
		{newLong(3000, 0, map[int64]int64{77: 1 << 50}), 780, 29_990, 80}, // retention has passed it
		{newLong(3000, 2000, nil), 0, 29_990, 60},
		{newLong(3000, 2000, map[int64]int64{77: 1 << 50}), 0, 770, 60},
	} {
		ts, at, ok, err := c.l.index(t).LocateMaxTime(t.Context(), uuid.Nil, 0, c.from)
		if err != nil || !ok || at != c.at || ts != c.l.stamps(c.at/10) || c.l.gets+c.l.queries > c.most {
			t.Errorf("from %d: time %d at %d, %v, %v, after %d questions, want %d", c.from, ts, at, ok, err, c.l.gets+c.l.queries, c.at)
		}
	}
}
