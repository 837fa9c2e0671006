package recordbatch

import (
	"errors"
	"math/rand/v2"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range codecs {
		for _, n := range []int{1, 2, 50, 3000} {
			want := someRecords(rng, n)
			b := build(t, Builder{Codec: c, BaseOffset: 1 << 40, LeaderEpoch: 9, Producer: &Producer{5, 6, 7}, Transactional: true}, want)
			if err := b.Check(); err != nil {
				t.Fatal(c, n, err)
			}
			if b.BaseOffset() != 1<<40 || b.LeaderEpoch() != 9 || b.ProducerID() != 5 || b.ProducerEpoch() != 6 ||
				b.BaseSequence() != 7 || !b.IsTransactional() || b.IsControl() || b.IsLogAppend() || b.HasDeleteHorizon() ||
				b.Codec() != c || b.Magic() != 2 || int(b.NumRecords()) != n || b.NextOffset() != 1<<40+int64(n) {
				t.Fatalf("%v: header %x", c, []byte(b[:HeaderLen]))
			}
			got, err := all(b, 1<<24)
			if err != nil || len(got) != n {
				t.Fatal(c, n, len(got), err)
			}
			for i := range got {
				want[i].Offset = 1<<40 + int64(i)
				if !sameRecord(got[i], want[i]) {
					t.Fatalf("%v: record %d is %+v, not %+v", c, i, got[i], want[i])
				}
			}
		}
	}
}

func TestDecoderServesMany(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var d Decoder
	for i := range 60 {
		c := codecs[i%len(codecs)]
		want := someRecords(rng, 1+rng.IntN(2000))
		b := build(t, Builder{Codec: c}, want)
		limit := 1 << 20 << (i / 30 * 4) // a larger window later on
		stop, n := len(want), 0
		if i%7 == 3 { // leave early: the next batch must not see what was left
			stop = 1
		}
		for r, err := range d.Iterate(b, limit) {
			if err != nil {
				t.Fatal(c, err)
			}
			want[n].Offset = int64(n)
			if !sameRecord(r, want[n]) {
				t.Fatalf("%v: record %d", c, n)
			}
			inner := 0
			if n == 0 { // a loop inside the loop gets a decoder of its own
				for _, err := range d.Iterate(b, limit) {
					if err != nil {
						t.Fatal(c, err)
					}
					inner++
				}
				if inner != len(want) {
					t.Fatal(c, inner)
				}
			}
			if n++; n == stop {
				break
			}
		}
		if n != stop {
			t.Fatal(c, n, stop)
		}
	}
}

func TestKeepOffsets(t *testing.T) {
	rs := []Record{{Offset: 12, Timestamp: 5}, {Offset: 17, Timestamp: 4}}
	b := build(t, Builder{BaseOffset: 10, LastOffset: 19, KeepOffsets: true, Codec: Zstd}, rs)
	got, err := all(b, 1000)
	if err != nil || len(got) != 2 || got[0].Offset != 12 || got[1].Offset != 17 || b.LastOffset() != 19 || b.NumRecords() != 2 {
		t.Fatal(got, err, b.LastOffset())
	}
	if err := b.CheckCRC(); err != nil {
		t.Fatal(err)
	}
	if err := b.Check(); !errors.Is(err, ErrInvalid) {
		t.Fatal("a producer may not send it:", err)
	}
	for _, c := range codecs {
		empty := build(t, Builder{BaseOffset: 10, LastOffset: 10, KeepOffsets: true, Codec: c}, nil)
		if got, err := all(empty, 1000); err != nil || len(got) != 0 {
			t.Fatal(c, got, err)
		}
		if _, _, ok, err := MaxTimestampRecord(empty, 1000); ok || err != nil {
			t.Fatal(c, ok, err)
		}
	}
}

func TestBuilderRefuses(t *testing.T) {
	one := []Record{{Offset: 5}}
	two := []Record{{Offset: 5}, {Offset: 5}}
	for name, c := range map[string]struct {
		bl   Builder
		rs   []Record
		want error
	}{
		"no records":        {Builder{}, nil, ErrInvalid},
		"unknown codec":     {Builder{Codec: 5}, one, ErrCodec},
		"below base":        {Builder{KeepOffsets: true, BaseOffset: 6, LastOffset: 9}, one, ErrInvalid},
		"after last":        {Builder{KeepOffsets: true, BaseOffset: 0, LastOffset: 4}, one, ErrInvalid},
		"twice":             {Builder{KeepOffsets: true, BaseOffset: 0, LastOffset: 9}, two, ErrInvalid},
		"too wide":          {Builder{KeepOffsets: true, BaseOffset: 0, LastOffset: 1 << 31}, one, ErrInvalid},
		"base below 0":      {Builder{KeepOffsets: true, BaseOffset: -1, LastOffset: 9}, one, ErrInvalid},
		"empty, last below": {Builder{KeepOffsets: true, BaseOffset: 7, LastOffset: 6}, nil, ErrInvalid},
	} {
		dst, err := c.bl.Append([]byte("keep"), c.rs)
		if !errors.Is(err, c.want) || string(dst) != "keep" {
			t.Errorf("%s: %v, %q", name, err, dst)
		}
	}
}

func TestBuilderLogAppendTime(t *testing.T) {
	b := build(t, Builder{LogAppendTime: 77, KeepOffsets: true, LastOffset: 1<<31 - 1}, []Record{{Timestamp: 5}})
	if got, err := all(b, 100); err != nil || got[0].Timestamp != 77 || b.MaxTimestamp() != 77 || !b.IsLogAppend() || b.LastOffset() != 1<<31-1 {
		t.Fatal(got, err, b.MaxTimestamp())
	}
}

func TestSetters(t *testing.T) {
	b := build(t, Builder{Codec: LZ4}, []Record{{Timestamp: 1}, {Timestamp: 2}})
	b.SetBaseOffset(1 << 50)
	b.SetLeaderEpoch(77)
	if err := b.Check(); err != nil || b.BaseOffset() != 1<<50 || b.LeaderEpoch() != 77 || b.LastOffset() != 1<<50+1 {
		t.Fatal(err, b.BaseOffset(), b.LeaderEpoch())
	}
	b.SetLogAppendTime(99)
	if err := b.Check(); err != nil || !b.IsLogAppend() || b.MaxTimestamp() != 99 || b.Codec() != LZ4 {
		t.Fatal(err)
	}
	got, err := all(b, 1000)
	if err != nil || len(got) != 2 || got[0].Timestamp != 99 || got[1].Timestamp != 99 {
		t.Fatal(got, err)
	}
}

func TestNoAllocations(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var run []byte
	for range 20 {
		run = append(run, build(t, Builder{Producer: &Producer{1, 2, 3}}, someRecords(rng, 10))...)
	}
	var sum int64
	if n := testing.AllocsPerRun(100, func() {
		for rest := run; ; {
			b, r, err := Next(rest)
			if b == nil || err != nil || b.Check() != nil {
				return
			}
			b.SetBaseOffset(5)
			b.SetLogAppendTime(7)
			sum += b.NextOffset() + int64(b.Attributes()) + b.BaseTimestamp()
			rest = r
		}
	}); n != 0 {
		t.Fatal(n, "allocations")
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, b, err := FindOffset(run, 1<<40); b != nil || err != nil {
			t.Fatal(b, err)
		}
	}); n != 0 {
		t.Fatal(n, "allocations in FindOffset")
	}
}

func TestCodecNames(t *testing.T) {
	for _, c := range codecs {
		if got, err := ParseCodec(c.String()); err != nil || got != c {
			t.Error(c, got, err)
		}
	}
	if _, err := ParseCodec("codec(5)"); !errors.Is(err, ErrCodec) || Codec(5).String() != "codec(5)" {
		t.Error(err)
	}
}
