package segment

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/objstore/bundle"
)

func TestRules(t *testing.T) {
	for _, c := range []struct {
		memory, out, segment int64
		get                  int
	}{
		{0, 27_813_816, 20_860_362, 2 << 20},
		{1 << 30 / 7, 128_155_574, 64 << 20, 9_023_040},
		{1 << 30, 985_439_646, 64 << 20, 16 << 20},
	} {
		cfg := Config{RewriteBytes: c.memory}
		if c.memory == 0 {
			cfg.RewriteBytes = 1 // less than there must be
		}
		cfg.defaults()
		r := newRules(cfg)
		if r.out != c.out || r.segment != c.segment || r.get != c.get || r.packBytes > r.out || r.segmentMax > r.out {
			t.Errorf("%d bytes: %+v", c.memory, r)
		}
		if held := bundle.HeaderLen + r.out + footerRoom(r.out, 0) + int64(getsAtOnce*r.get); held > max(c.memory, leastRewrite) {
			t.Errorf("%d bytes: holds %d", c.memory, held)
		}
	}
}

func TestWhenToPack(t *testing.T) {
	r := rules{interval: time.Minute, packBytes: 100}
	for _, c := range []struct {
		bytes int64
		since time.Duration
		want  bool
	}{{0, time.Hour, false}, {1, time.Minute, true}, {99, time.Second, false}, {100, 0, true}} {
		if got := r.packDue([]Tail{{WALBytes: c.bytes - c.bytes/2}, {WALBytes: c.bytes / 2}}, c.since); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestWhenToCut(t *testing.T) {
	r := rules{segment: 64 << 20, roll: 6 * time.Hour}
	for _, c := range []struct {
		l      limits
		enough int64
		age    time.Duration
		ripe   bool
	}{
		{limits{}, 64 << 20, 6 * time.Hour, true},
		{limits{}, 64 << 20, 6*time.Hour - 1, false},
		{limits{bytes: 1 << 30, after: 7 * 24 * time.Hour}, 64 << 20, 6 * time.Hour, true},
		{limits{bytes: 5 << 20, after: time.Minute}, 5 << 20, time.Minute, true},
		{limits{bytes: 14}, leastSegment, 0, false},
	} {
		if r.enough(c.l) != c.enough || r.ripe(c.l, c.age) != c.ripe {
			t.Errorf("%+v: %d, %v", c, r.enough(c.l), r.ripe(c.l, c.age))
		}
	}
	heavy := Tail{Runs: 20, WALRuns: 20, Bytes: 64 << 20, WALBytes: 64 << 20}
	light := Tail{Runs: 30, WALRuns: 30, Bytes: 64 << 20, WALBytes: 64 << 20}
	few := Tail{Runs: 2, WALRuns: 2, Bytes: 8 << 20, WALBytes: 8 << 20}
	if !r.heavy(&heavy, limits{}) || r.heavy(&light, limits{}) || r.heavy(&few, limits{}) || r.heavy(&Tail{}, limits{}) {
		t.Error("heavy")
	}
}

// The age of a record is that of its timestamp, unless that is a lie.
func TestAge(t *testing.T) {
	for _, c := range []struct{ stamp, since, cut, want int64 }{
		{900, 950, 0, 100},            // came late
		{2000, 950, 0, 50},            // dated in the future
		{5, 950, 800, 200},            // history that is copied: once each roll, not at once
		{-1, 950, 0, 1000},            // without one
		{math.MinInt64, 950, 0, 1000}, // nonsense
	} {
		e := entry{since: c.since, cut: c.cut}
		if got := e.age(&Tail{MaxTimestamp: c.stamp}, 1000); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

func wal(session byte, seq uint64) bundle.Object {
	return bundle.Object{Kind: bundle.WAL, Session: uuid.UUID{session}, Seq: seq}
}

func packed(id byte) bundle.Object { return bundle.Object{Kind: bundle.PACK, Session: uuid.UUID{id}} }

// Ended sessions first, then the oldest of the own; as much as fits, at least one.
func TestChoose(t *testing.T) {
	r := rules{packBytes: 100 + 4*runFooter, runs: 5}
	count := newTally(uuid.UUID{1})
	for _, run := range []bundle.Location{
		{Object: wal(1, 2), Len: 40}, {Object: wal(1, 1), Len: 40}, {Object: wal(7, 9), Len: 30}, {Object: wal(1, 1), Len: 10}, {Object: wal(7, 3), Len: 10},
	} {
		count.add(&run)
	}
	got := count.choose(r)
	for s, want := range map[source]bool{sourceOf(wal(7, 3)): true, sourceOf(wal(7, 9)): true, sourceOf(wal(1, 1)): true, sourceOf(wal(1, 2)): false} {
		if got[s] != want {
			t.Error(s, got[s])
		}
	}
	r.runs = 3
	if got := count.choose(r); len(got) != 2 {
		t.Error("too many runs:", got)
	}
	r.packBytes = 1
	if got := count.choose(r); len(got) != 1 || !got[sourceOf(wal(7, 3))] {
		t.Error("not the oldest alone:", got)
	}
}

// line makes contiguous runs of one offset each from objects and lengths.
func line(objects []bundle.Object, lens ...uint32) []bundle.Location {
	var runs []bundle.Location
	for i, o := range objects {
		runs = append(runs, bundle.Location{Object: o, Len: lens[i%len(lens)], Base: int64(i), Next: int64(i + 1)})
	}
	return runs
}

func packs(n int) (all []bundle.Object) {
	for i := range n {
		all = append(all, packed(byte(i)))
	}
	return all
}

func TestPickSegment(t *testing.T) {
	for name, c := range map[string]struct {
		runs                  []bundle.Location
		stable, enough, limit int64
		n                     int
		bytes                 int64
		short                 bool
	}{
		"nothing":                {nil, 9, 10, 20, 0, 0, false},
		"all there is":           {line(packs(3), 3), 9, 10, 20, 3, 9, false},
		"until enough":           {line(packs(9), 3), 9, 10, 20, 4, 12, false},
		"not above the limit":    {line(packs(9), 9), 9, 10, 12, 1, 9, false},
		"one that is too large":  {line(packs(9), 99), 9, 10, 12, 1, 99, false},
		"not beyond stable":      {line(packs(9), 3), 2, 10, 20, 2, 6, false},
		"sixteen packs":          {line(packs(20), 1), 99, 50, 99, 16, 16, true},
		"several runs of a pack": {line(slices.Repeat(packs(2), 20), 1), 99, 40, 99, 40, 40, false},
	} {
		n, b, short := pickSegment(c.runs, c.stable, c.enough, c.limit)
		if n != c.n || b != c.bytes || short != c.short {
			t.Errorf("%s: %d runs, %d bytes, %v", name, n, b, short)
		}
	}
}

func TestPickMerge(t *testing.T) {
	for name, c := range map[string]struct {
		runs  []bundle.Location
		limit int64
		i, j  int
	}{
		"equal ones":             {line(packs(17), 1), 99, 0, 17},
		"a large one in front":   {line(packs(18), append([]uint32{16}, slices.Repeat([]uint32{1}, 17)...)...), 99, 1, 18},
		"as much as fits":        {line(packs(17), 10), 99, 0, 9},
		"the WAL ends it":        {line(append(packs(5), wal(1, 1), packed(9)), 1), 99, 0, 5},
		"one alone is no merge":  {line(packs(1), 1), 99, 0, 0},
		"nor is one pack":        {line(slices.Repeat(packs(1), 4), 1), 99, 0, 0},
		"nothing fits":           {line(packs(3), 100), 99, 0, 0},
		"each larger than after": {line(packs(4), 64, 16, 4, 1), 99, 0, 0},
	} {
		if i, j := pickMerge(c.runs, c.limit); i != c.i || j != c.j {
			t.Errorf("%s: [%d, %d)", name, i, j)
		}
	}
}

func TestShare(t *testing.T) {
	of := func(n int, size uint32) part { return part{runs: line(packs(n), size)} }
	parts := []part{of(1, 50_000), of(2, 20_000), of(1, 20_000), of(1, 500_000), of(9, 1000), of(2, 1000)}
	var sizes []int
	for _, g := range share(parts, 100_000, 10) {
		sizes = append(sizes, len(g))
	}
	if !slices.Equal(sizes, []int{2, 1, 1, 1, 1}) {
		t.Error(sizes)
	}
}

// Whatever is wanted, GETs bring exactly that, none is longer than allowed, and neighbours share one.
func TestSpans(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	objects := map[source][]byte{}
	for i := range 3 {
		body := make([]byte, 4<<20)
		for k := range body {
			body[k] = byte(rng.Uint32())
		}
		objects[sourceOf(wal(byte(i), 1))] = body
	}
	for range 50 {
		var wants []want
		for range rng.IntN(40) {
			o := wal(byte(rng.IntN(3)), 1)
			n := 1 + rng.IntN(1<<(4+rng.IntN(17)))
			wants = append(wants, want{object: o, pos: uint64(rng.IntN(4<<20 - n)), dst: make([]byte, n)})
		}
		limit := 1 << (16 + rng.IntN(5))
		all := spans(slices.Clone(wants), limit)
		for i, s := range all {
			if s.end-s.pos > uint64(limit) || len(s.wants) == 0 {
				t.Fatal(s.end-s.pos, len(s.wants))
			}
			if i > 0 && sourceOf(all[i-1].object) == sourceOf(s.object) && s.pos < all[i-1].pos {
				t.Fatal("out of order")
			}
			dst := s.places(make([]byte, s.gap()))
			if n := len(slices.Concat(dst...)); n != int(s.end-s.pos) || s.gap() > maxGap {
				t.Fatal(n, "bytes, with gaps of", s.gap(), "want", s.end-s.pos)
			}
			body := objects[sourceOf(s.object)][s.pos:s.end]
			for _, d := range dst {
				body = body[copy(d, body):]
			}
		}
		for _, w := range wants {
			if !bytes.Equal(w.dst, objects[sourceOf(w.object)][w.pos:w.pos+uint64(len(w.dst))]) {
				t.Fatal("not what was wanted")
			}
		}
	}
	var side []want
	for _, w := range []want{{object: wal(1, 1), pos: 100}, {object: wal(1, 1), pos: 150}, {object: wal(1, 1), pos: 300 + maxGap}, {object: wal(1, 2), pos: 100}} {
		w.dst = make([]byte, 50)
		side = append(side, w)
	}
	if n := len(spans(side, 1<<20)); n != 3 {
		t.Error(n, "GETs")
	}
}
