package recordbatch

import (
	"errors"
	"math/rand/v2"
	"testing"
)

// aRun is batches of all codecs, gaps between some, and where each begins.
func aRun(t testing.TB, rng *rand.Rand, batches int) (run []byte, starts []int, all []Batch) {
	base := int64(100)
	for range batches {
		base += rng.Int64N(3) / 2 * 10
		n := 1 + rng.IntN(8)
		b := build(t, Builder{BaseOffset: base, Codec: codecs[rng.IntN(len(codecs))]}, someRecords(rng, n))
		base += int64(n)
		starts, all = append(starts, len(run)), append(all, b)
		run = append(run, b...)
	}
	return run, starts, all
}

func TestFindOffset(t *testing.T) {
	run, starts, batches := aRun(t, rand.New(rand.NewPCG(15, 16)), 40)
	for offset := int64(90); offset < batches[39].NextOffset()+3; offset++ {
		pos, b, err := FindOffset(run, offset)
		if err != nil {
			t.Fatal(offset, err)
		}
		want := 0
		for want < len(batches) && batches[want].LastOffset() < offset {
			want++
		}
		if want == len(batches) {
			if b != nil || pos != len(run) {
				t.Fatalf("offset %d: found at %d", offset, pos)
			}
			continue
		}
		if pos != starts[want] || string(b) != string(batches[want]) {
			t.Fatalf("offset %d: at %d, not %d", offset, pos, starts[want])
		}
	}
	pos, b, err := FindOffset(run[:len(run)-1], batches[39].LastOffset())
	if !errors.Is(err, ErrTruncated) || b != nil || pos != starts[39] {
		t.Fatal(pos, b, err)
	}
	if _, b, err := FindOffset(run[:len(run)-1], 0); err != nil || b == nil {
		t.Fatal("the cut lies after what was asked for:", err)
	}
}

func TestFindTimestamp(t *testing.T) {
	rng := rand.New(rand.NewPCG(17, 18))
	_, _, batches := aRun(t, rng, 60)
	for _, b := range batches {
		if rng.IntN(4) == 0 {
			b.SetLogAppendTime(1_700_000_000_000)
		}
		rs, err := all(b, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			ts := 1_700_000_000_000 + rng.Int64N(1200) - 600
			offset, at, ok, err := FindTimestamp(b, ts, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, r := range rs {
				if found = r.Timestamp >= ts; found {
					if !ok || offset != r.Offset || at != r.Timestamp {
						t.Fatal(ts, offset, at, ok, r)
					}
					break
				}
			}
			if !found && ok {
				t.Fatal(ts, offset, at)
			}
		}
		most := rs[0]
		for _, r := range rs {
			if r.Timestamp > most.Timestamp {
				most = r
			}
		}
		if offset, at, ok, err := MaxTimestampRecord(b, 1<<20); !ok || err != nil || offset != most.Offset || at != most.Timestamp {
			t.Fatal(offset, at, ok, err, most)
		}
		if _, _, _, err := MaxTimestampRecord(b, 3); !errors.Is(err, ErrTooLarge) {
			t.Fatal(err)
		}
		if _, _, _, err := FindTimestamp(b, 0, 3); !errors.Is(err, ErrTooLarge) {
			t.Fatal(err)
		}
	}
}

func TestMaxTimestampBelowZero(t *testing.T) {
	b := build(t, Builder{BaseOffset: 5}, []Record{{Timestamp: -9}, {Timestamp: -1}, {Timestamp: -1}})
	if offset, at, ok, err := MaxTimestampRecord(b, 1000); offset != 6 || at != -1 || !ok || err != nil || b.MaxTimestamp() != -1 {
		t.Fatal(offset, at, ok, err)
	}
}

func TestFindTimestampSkipsByHeader(t *testing.T) {
	b := batchOf(Gzip, 1, []byte("not gzip"))
	if _, _, ok, err := FindTimestamp(b, 1, 1<<20); ok || err != nil {
		t.Fatal("opened:", err)
	}
	if _, _, _, err := FindTimestamp(b, 0, 1<<20); !errors.Is(err, ErrCodec) {
		t.Fatal(err)
	}
}

func TestParseControlRefuses(t *testing.T) {
	control := func(key, value []byte) Batch {
		return build(t, Builder{Control: true}, []Record{{Key: key, Value: value}})
	}
	for name, c := range map[string]struct {
		b    Batch
		ok   bool
		want error
	}{
		"no bytes":       {nil, false, ErrInvalid},
		"a client's":     {build(t, Builder{}, []Record{{}}), false, ErrInvalid},
		"null key":       {control(nil, make([]byte, 6)), false, ErrInvalid},
		"short key":      {control(make([]byte, 3), make([]byte, 6)), false, ErrInvalid},
		"null value":     {control(make([]byte, 4), nil), false, ErrInvalid},
		"short value":    {control(make([]byte, 4), make([]byte, 5)), false, ErrInvalid},
		"leader change":  {control([]byte{0, 0, 0, 2}, make([]byte, 6)), false, nil},
		"longer, later":  {control([]byte{0, 1, 0, 1, 9}, make([]byte, 9)), true, nil},
		"records lie":    {func() Batch { b := control(nil, nil); return b[:len(b)-1] }(), false, ErrInvalid},
		"no record left": {build(t, Builder{Control: true, KeepOffsets: true}, nil), false, ErrInvalid},
	} {
		_, ok, err := ParseControl(c.b)
		if ok != c.ok || !errors.Is(err, c.want) {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
}
