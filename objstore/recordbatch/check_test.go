package recordbatch

import (
	"errors"
	"math"
	"testing"
)

func TestCheckRefuses(t *testing.T) {
	set32 := func(at int, v int32) func(Batch) Batch {
		return func(b Batch) Batch { be.PutUint32(b[at:], uint32(v)); b.setCRC(); return b }
	}
	for name, c := range map[string]struct {
		change func(Batch) Batch
		want   error
	}{
		"empty":              {func(b Batch) Batch { return nil }, ErrTruncated},
		"header cut":         {func(b Batch) Batch { return b[:60] }, ErrTruncated},
		"last byte cut":      {func(b Batch) Batch { return b[:len(b)-1] }, ErrTruncated},
		"byte after":         {func(b Batch) Batch { return append(b, 0) }, ErrInvalid},
		"length 48":          {set32(8, 48), ErrCorrupt},
		"length negative":    {set32(8, -1), ErrCorrupt},
		"length least":       {set32(8, math.MinInt32), ErrCorrupt},
		"magic 1":            {func(b Batch) Batch { b[16] = 1; return b }, ErrMagic},
		"magic 3":            {func(b Batch) Batch { b[16] = 3; return b }, ErrMagic},
		"crc":                {func(b Batch) Batch { b[17] ^= 1; return b }, ErrCRC},
		"codec 5":            {func(b Batch) Batch { b[22] = 5; b.setCRC(); return b }, ErrCodec},
		"codec 7":            {func(b Batch) Batch { b[22] = 7; b.setCRC(); return b }, ErrCodec},
		"count 0":            {func(b Batch) Batch { set32(23, -1)(b); return set32(57, 0)(b) }, ErrInvalid},
		"count negative":     {func(b Batch) Batch { set32(23, -2)(b); return set32(57, -1)(b) }, ErrInvalid},
		"count least":        {func(b Batch) Batch { set32(23, math.MaxInt32)(b); return set32(57, math.MinInt32)(b) }, ErrInvalid},
		"count lies":         {set32(57, 3), ErrInvalid},
		"delta lies":         {set32(23, 2), ErrInvalid},
		"delta negative":     {set32(23, -1), ErrInvalid},
		"count above bytes":  {func(b Batch) Batch { set32(23, 9)(b); return set32(57, 10)(b) }, ErrInvalid},
		"count far above":    {func(b Batch) Batch { set32(23, math.MaxInt32-1)(b); return set32(57, math.MaxInt32)(b) }, ErrInvalid},
		"pid without epoch":  {func(b Batch) Batch { be.PutUint16(b[51:], ^uint16(0)); b.setCRC(); return b }, ErrInvalid},
		"pid without number": {set32(53, -1), ErrInvalid},
	} {
		b := build(t, Builder{Producer: &Producer{1, 0, 0}}, []Record{{Value: []byte("a")}, {Value: []byte("b")}})
		if err := b.Check(); err != nil {
			t.Fatal(err)
		}
		if err := c.change(b).Check(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, not %v", name, err, c.want)
		}
	}
}

func TestCheckCountUnderCompression(t *testing.T) {
	for _, c := range codecs[1:] {
		// the densest honest batch: many empty records
		b := build(t, Builder{Codec: c}, make([]Record, 200_000))
		if err := b.Check(); err != nil {
			t.Errorf("%v: %d records in %d bytes: %v", c, b.NumRecords(), len(b), err)
		}
		lie := batchOf(c, math.MaxInt32, b.Payload()[:40])
		if err := lie.Check(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%v: 2^31 records in 40 bytes: %v", c, err)
		}
	}
}

func TestControlAndTransactionalPassCheck(t *testing.T) {
	b := Batch(AppendControl(nil, Marker{ProducerID: 4, ProducerEpoch: 1, Commit: true}))
	if err := b.Check(); err != nil {
		t.Fatal(err)
	}
	b = build(t, Builder{Transactional: true}, []Record{{}})
	if err := b.Check(); err != nil {
		t.Fatal(err)
	}
}

func TestEveryByteFlipped(t *testing.T) {
	b := build(t, Builder{Producer: &Producer{1, 2, 3}}, []Record{{Key: []byte("key"), Value: []byte("value")}})
	for i := range b {
		for _, bit := range []byte{1, 0x80} {
			b[i] ^= bit
			err := b.Check()
			if outside := i < 8 || i >= 12 && i < 16; outside != (err == nil) {
				t.Errorf("byte %d: %v", i, err)
			}
			b[i] ^= bit
		}
	}
}

func TestNextCutAtEveryByte(t *testing.T) {
	one := build(t, Builder{}, []Record{{Value: []byte("one")}})
	run := append(append([]byte{}, one...), build(t, Builder{Codec: Gzip}, []Record{{Value: []byte("two")}})...)
	for cut := range run {
		n, rest := 0, run[:cut]
		var b Batch
		var err error
		for {
			if b, rest, err = Next(rest); b == nil {
				break
			}
			n++
		}
		whole := cut == 0 || cut == len(one)
		if whole != (err == nil) || !whole && !errors.Is(err, ErrTruncated) || (n == 1) != (cut >= len(one)) {
			t.Fatalf("cut at %d: %d batches, %v", cut, n, err)
		}
	}
}

func TestHeaderAlone(t *testing.T) {
	empty := build(t, Builder{KeepOffsets: true}, nil)
	b, rest, err := Next(append(empty[:61:61], empty...))
	if err != nil || len(b) != HeaderLen || len(rest) != HeaderLen || b.CheckCRC() != nil {
		t.Fatal(len(b), len(rest), err)
	}
	if b, rest, err = Next(rest); err != nil || len(b) != HeaderLen || len(rest) != 0 {
		t.Fatal(len(b), len(rest), err)
	}
}

func TestNextRefuses(t *testing.T) {
	old := func(magic byte, n int) []byte { // message sets: offset, size, crc, magic
		b := make([]byte, n)
		be.PutUint32(b[8:], uint32(n-12))
		b[16] = magic
		return b
	}
	bad := build(t, Builder{}, []Record{{}})
	bad[8] = 0x80
	zero := old(2, 80)
	be.PutUint32(zero[8:], 0)
	for name, c := range map[string]struct {
		run  []byte
		want error
	}{
		"v0, short":       {old(0, 26), ErrMagic},
		"v1, short":       {old(1, 34), ErrMagic},
		"v1":              {old(1, 200), ErrMagic},
		"one byte":        {[]byte{0}, ErrTruncated},
		"length negative": {bad, ErrCorrupt},
		"negative, short": {bad[:17], ErrCorrupt},
		"no magic yet":    {bad[:16], ErrTruncated},
		"length 48":       {old(2, 60), ErrCorrupt},
		"length 0":        {zero, ErrCorrupt},
	} {
		b, rest, err := Next(c.run)
		if !errors.Is(err, c.want) || b != nil || rest != nil {
			t.Errorf("%s: %v, not %v", name, err, c.want)
		}
	}
}
