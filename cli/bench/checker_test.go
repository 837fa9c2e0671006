package bench

import (
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// valueOf is a record of run 7.
func valueOf(producer uint32, number uint64) []byte {
	v := filling(rand.New(rand.NewPCG(1, 2)), 64)
	stamp{run: 7, producer: producer, number: number, intended: 5, sent: 6}.write(v)
	return v
}

func TestStamp(t *testing.T) {
	v := valueOf(3, 1<<40)
	if s := readStamp(v); !intact(v) || s != (stamp{7, 3, 1 << 40, 5, 6}) {
		t.Errorf("%+v, intact %v", s, intact(v))
	}
	for i := range v {
		v[i] ^= 1
		if intact(v) {
			t.Errorf("byte %d was changed and nothing is said", i)
		}
		v[i] ^= 1
	}
	if intact(v[:MinRecord-1]) || intact(nil) {
		t.Error("a piece is taken for a whole")
	}
}

// TestChecker plants each fault.
func TestChecker(t *testing.T) {
	for _, c := range []struct {
		name   string
		see    []uint64
		sent   uint64
		failed []uint64
		want   Verified
	}{
		{"all there", []uint64{0, 1, 2}, 3, nil, Verified{Records: 3}},
		{"nothing there", nil, 2, nil, Verified{Lost: 2}},
		{"one in the middle", []uint64{0, 2}, 3, nil, Verified{Records: 2, Lost: 1}},
		{"the last", []uint64{0, 1}, 3, nil, Verified{Records: 2, Lost: 1}},
		{"twice", []uint64{0, 1, 1, 0, 2}, 3, nil, Verified{Records: 3, Doubled: 2}},
		{"late", []uint64{0, 2, 1}, 3, nil, Verified{Records: 3, Reordered: 1}},
		{"late and twice", []uint64{1, 0, 0}, 2, nil, Verified{Records: 2, Reordered: 1, Doubled: 1}},
		{"failed and not there", []uint64{0, 2}, 4, []uint64{1, 3}, Verified{Records: 2, Failed: 2}},
		{"failed and there", []uint64{0, 1, 2}, 3, []uint64{1}, Verified{Records: 3, Failed: 1}},
		{"failed, and another is lost", []uint64{0}, 3, []uint64{1}, Verified{Records: 1, Failed: 1, Lost: 1}},
	} {
		ck := newChecker(7)
		for _, n := range c.see {
			ck.see(4, valueOf(1, n))
		}
		w := written{sent: c.sent, failed: map[uint64]struct{}{}}
		for _, n := range c.failed {
			w.failed[n] = struct{}{}
		}
		if got := ck.finish(map[stream]written{{1, 4}: w}); got != c.want || got.Good() != (c.want == Verified{Records: c.want.Records}) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestCheckerTellsStreamsApart(t *testing.T) {
	ck := newChecker(7)
	ck.see(0, valueOf(1, 0))
	ck.see(0, valueOf(2, 0))
	ck.see(1, valueOf(1, 0))
	damaged := valueOf(1, 1)
	damaged[50]++
	ck.see(0, damaged)
	foreign := valueOf(1, 1)
	stamp{run: 8}.write(foreign)
	ck.see(0, foreign)
	want := Verified{Records: 3, Damaged: 1, Foreign: 1}
	if got := ck.finish(map[stream]written{{1, 0}: {sent: 1}, {2, 0}: {sent: 1}, {1, 1}: {sent: 1}}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestCheckerLosesCount: whatever comes in whatever order, what is there and what is lost add up to what was sent.
func TestCheckerLosesCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sent := rapid.Uint64Range(1, 40).Draw(t, "sent")
		seen := rapid.SliceOf(rapid.Uint64Range(0, sent-1)).Draw(t, "seen")
		ck := newChecker(7)
		distinct := map[uint64]bool{}
		for _, n := range seen {
			ck.see(0, valueOf(1, n))
			distinct[n] = true
		}
		v := ck.finish(map[stream]written{{1, 0}: {sent: sent}})
		if v.Records != int64(len(distinct)) || v.Lost != int64(sent)-int64(len(distinct)) || v.Doubled != int64(len(seen)-len(distinct)) {
			t.Fatalf("%d sent, %v seen: %+v", sent, seen, v)
		}
	})
}

// TestCheckerIsBounded: a gap of a billion takes neither memory nor long, and is counted.
func TestCheckerIsBounded(t *testing.T) {
	ck := newChecker(7)
	ck.see(0, valueOf(1, 1e9))
	if n := len(ck.streams[stream{1, 0}].missing); n != maxMissing {
		t.Errorf("%d numbers are remembered", n)
	}
	if v := ck.finish(map[stream]written{{1, 0}: {sent: 1e9 + 1}}); v.Lost != 1e9 {
		t.Errorf("%+v", v)
	}
}
