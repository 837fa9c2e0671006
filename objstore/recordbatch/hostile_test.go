package recordbatch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/pierrec/lz4/v4"
)

// vs encodes varints.
func vs(vals ...int64) (out []byte) {
	for _, v := range vals {
		out = binary.AppendVarint(out, v)
	}
	return out
}

func TestHostileRecords(t *testing.T) {
	body := func(fields ...int64) []byte { // length, attributes, then varints
		f := append([]byte{0}, vs(fields...)...)
		return append(vs(int64(len(f))), f...)
	}
	fine := body(0, 0, -1, -1, 0)
	for name, c := range map[string]struct {
		count   int32
		payload []byte
	}{
		"nothing":                  {1, nil},
		"count above":              {2, fine},
		"count below":              {1, append(fine[:7:7], fine...)},
		"count least":              {math.MinInt32, fine},
		"length 0":                 {1, vs(0)},
		"length negative":          {1, vs(-7)},
		"length of 5":              {1, append(vs(5), 0, 0, 0, 1, 1)},
		"length far above":         {1, append(vs(1<<19), fine...)},
		"length beyond 32 bits":    {1, append(vs(1<<40), fine...)},
		"length without end":       {1, bytes.Repeat([]byte{0x80}, 20)},
		"length all ones":          {1, bytes.Repeat([]byte{0xff}, 20)},
		"one byte short":           {1, fine[:6]},
		"delta negative":           {1, body(0, -1, -1, -1, 0)},
		"delta above last":         {1, body(0, 1, -1, -1, 0)},
		"delta beyond 32 bits":     {1, body(0, 1<<40, -1, -1, 0)},
		"key length -2":            {1, body(0, 0, -2, -1, 0)},
		"key beyond":               {1, body(0, 0, 1<<30, -1, 0)},
		"value length least":       {1, body(0, 0, -1, math.MinInt32, 0)},
		"value beyond":             {1, body(0, 0, -1, 3, 0)},
		"headers negative":         {1, body(0, 0, -1, -1, -1)},
		"headers far above":        {1, body(0, 0, -1, -1, math.MaxInt32)},
		"headers one above":        {1, body(0, 0, -1, -1, 2, 0, 0)},
		"header key null":          {1, body(0, 0, -1, -1, 1, -1, 0)},
		"header value beyond":      {1, body(0, 0, -1, -1, 1, 0, 9)},
		"byte after fields":        {1, body(0, 0, -1, -1, 0, 0)},
		"timestamp without end":    {1, append(append(vs(21), 0), bytes.Repeat([]byte{0xff}, 20)...)},
		"fields end in the middle": {1, append(vs(6), 0, 0, 0, 1, 1, 0x80)},
		"no value":                 {1, append(vs(7), 0, 0, 0, 6, 'k', 'e', 'y')},
		"no header count":          {1, append(vs(8), 0, 0, 0, 6, 'k', 'e', 'y', 1)},
		"key length without end":   {1, append(append(vs(24), 0, 0, 0), bytes.Repeat([]byte{0xff}, 21)...)},
		"delta of six bytes":       {1, append(vs(11), 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 1, 1, 0)},
		"value length 2^32":        {1, body(0, 0, -1, 1<<32, 0)},
		"value length -2^32":       {1, body(0, 0, -1, -1<<32, 0)},
		"count -1, nothing there":  {-1, nil},
	} {
		for _, b := range []Batch{batchOf(None, c.count, c.payload), compressed(t, c.count, c.payload)} {
			if _, err := all(b, 1<<20); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s, %v: %v", name, b.Codec(), err)
			}
		}
	}
	if got, err := all(batchOf(None, 1, fine), 7); err != nil || len(got) != 1 {
		t.Fatal("the fine one:", err)
	}
	if _, err := all(batchOf(None, 1, fine), 6); !errors.Is(err, ErrTooLarge) {
		t.Fatal("above the limit:", err)
	}
}

func compressed(t *testing.T, count int32, payload []byte) Batch {
	z, err := deflate(nil, payload, Zstd)
	if err != nil {
		t.Fatal(err)
	}
	return batchOf(Zstd, count, z)
}

func TestLimitIsExact(t *testing.T) {
	rs := someRecords(rand.New(rand.NewPCG(21, 22)), 500)
	plain := build(t, Builder{}, rs).Payload()
	batches := []Batch{batchOf(Snappy, 500, xerial(plain, 1000))}
	for _, c := range codecs {
		batches = append(batches, build(t, Builder{Codec: c}, rs))
	}
	for _, b := range batches {
		if got, err := all(b, len(plain)); err != nil || len(got) != 500 {
			t.Errorf("%v: at the limit: %d records, %v", b.Codec(), len(got), err)
		}
		for _, limit := range []int{len(plain) - 1, 20_000, 1, 0, -1} {
			if _, err := all(b, limit); !errors.Is(err, ErrTooLarge) {
				t.Errorf("%v: %d bytes allowed: %v", b.Codec(), limit, err)
			}
		}
	}
	one := []Record{{Value: bytes.Repeat([]byte("one"), 30_000)}}
	for _, c := range codecs {
		if _, err := all(build(t, Builder{Codec: c}, one), len(build(t, Builder{}, one).Payload())); err != nil {
			t.Errorf("%v: one record at the limit: %v", c, err)
		}
	}
}

func TestOddPayloads(t *testing.T) {
	var legacy bytes.Buffer
	w := lz4.NewWriter(&legacy)
	if err := errors.Join(w.Apply(lz4.LegacyOption(true)), second(w.Write(vs(6, 0, 0, 0, -1, -1, 0))), w.Close()); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		b    Batch
		want error
	}{
		"header cut":         {make(Batch, HeaderLen-1), ErrTruncated},
		"codec 6":            {batchOf(6, 1, nil), ErrCodec},
		"lz4, legacy":        {batchOf(LZ4, 1, legacy.Bytes()), ErrCodec},
		"lz4, skippable":     {batchOf(LZ4, 0, []byte("\x50\x2a\x4d\x18\x00\x00\x00\x00")), ErrCodec},
		"xerial, no blocks":  {batchOf(Snappy, 0, xerial(nil, 1)), nil},
		"xerial, header cut": {batchOf(Snappy, 0, xerial(nil, 1)[:15]), ErrCodec},
		"snappy, nothing":    {batchOf(Snappy, 0, nil), ErrCodec},
		"gzip, nothing":      {batchOf(Gzip, 0, nil), ErrCodec},
		"nothing":            {batchOf(None, 0, nil), nil},
	} {
		if _, err := all(c.b, 1<<20); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	far := build(t, Builder{KeepOffsets: true, LastOffset: 1 << 30}, []Record{{Offset: 1 << 30}})
	if got, err := all(far, 100); err != nil || got[0].Offset != 1<<30 {
		t.Error("a delta of five bytes:", got, err)
	}
}

func second(_ int, err error) error { return err }

// TestSnappyAllocatesNoLie wants no room for bytes that cannot come or may not.
func TestSnappyAllocatesNoLie(t *testing.T) {
	real := snappy.Encode(nil, make([]byte, 8*mib))
	for name, c := range map[string]struct {
		payload []byte
		limit   int
	}{
		"lie below the limit":  {append(binary.AppendUvarint(nil, 16*mib), make([]byte, 1000)...), 32 * mib},
		"truth above it":       {real, mib},
		"xerial, truth above":  {xerial(make([]byte, 8*mib), mib), 2 * mib},
		"xerial, a lie within": {append(xerial(nil, 1), append([]byte{0, 0, 0, 9}, append(binary.AppendUvarint(nil, 16*mib), 0, 0, 0, 0, 0)...)...), 32 * mib},
	} {
		b := batchOf(Snappy, 1, c.payload)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := all(b, c.limit)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; err == nil || used > mib/2 {
			t.Errorf("%s: %d KiB allocated, %v", name, used>>10, err)
		}
	}
}

func TestManyHeaders(t *testing.T) {
	r := Record{Headers: make([]Header, 100_000)}
	b := build(t, Builder{}, []Record{r})
	if _, err := all(b, 1<<20); !errors.Is(err, ErrInvalid) {
		t.Fatal("4 MB of headers from 200 KB:", err)
	}
	if got, err := all(b, 4<<20); err != nil || len(got[0].Headers) != 100_000 {
		t.Fatal(err)
	}
}

// TestCompressedCutAndFlipped wants an error or the right number of records, never a panic.
func TestCompressedCutAndFlipped(t *testing.T) {
	rs := someRecords(rand.New(rand.NewPCG(7, 8)), 12)
	batches := []Batch{batchOf(Snappy, 12, xerial(build(t, Builder{}, rs).Payload(), 100))}
	for _, c := range codecs {
		batches = append(batches, build(t, Builder{Codec: c}, rs))
	}
	for _, b := range batches {
		for i := range b.Payload() {
			if _, err := all(b[:HeaderLen+i], 1<<20); err == nil && !(b.Codec() == LZ4 && i >= len(b.Payload())-8) {
				t.Errorf("%v: cut at %d of %d passes", b.Codec(), i, len(b.Payload()))
			}
			b[HeaderLen+i] ^= 0xff
			if got, err := all(b, 1<<20); err == nil && len(got) != 12 {
				t.Errorf("%v: byte %d: %d records", b.Codec(), i, len(got))
			}
			b[HeaderLen+i] ^= 0xff
		}
	}
}

const mib = 1 << 20

// bombs are batches of 1 GiB when decompressed, as 1,024 records of 1 MiB, or as a single one.
func bombs(t *testing.T) map[string]Batch {
	many := build(t, Builder{}, []Record{{Value: make([]byte, mib-20)}}).Payload()
	single := append(vs(1<<30), make([]byte, mib)...)
	nearly := append(vs(30<<20), make([]byte, mib)...)
	out := map[string]Batch{}
	for name, piece := range map[string][]byte{"many": many, "single": single, "nearly": nearly, "zeros": make([]byte, mib)} {
		if name == "zeros" {
			piece[0] = 0
		}
		first, later := piece, piece
		if name != "many" {
			later = make([]byte, mib)
		}
		out["gzip "+name] = batchOf(Gzip, 1024, repeat(gzipped(t, first), gzipped(t, later)))
		out["lz4 "+name] = batchOf(LZ4, 1024, append(repeat(lz4Blocks(t, first), lz4Blocks(t, later)[lz4Header:]), 0, 0, 0, 0))
		out["zstd "+name] = batchOf(Zstd, 1024, repeat(zstded(t, first), zstded(t, later)))
		raw := xerial(first, mib)
		out["xerial "+name] = batchOf(Snappy, 1024, repeat(raw, xerial(later, mib)[xerialHeader:])[:min(60, 1024)*len(raw)])
	}
	out["zstd rle"] = batchOf(Zstd, 1024, rle(1<<30))
	out["zstd window"] = batchOf(Zstd, 1, []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf8, 1, 0, 0}) // a window of 2 TiB
	out["snappy lie"] = batchOf(Snappy, 1, append(binary.AppendUvarint(nil, 1<<30), make([]byte, 100)...))
	out["snappy huge lie"] = batchOf(Snappy, 1, append(binary.AppendUvarint(nil, 1<<32-1), make([]byte, 100)...))
	return out
}

func repeat(first, later []byte) []byte { return append(first, bytes.Repeat(later, 1023)...) }

func gzipped(t *testing.T, b []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

const lz4Header = 7

// lz4Blocks is an LZ4 frame without its end mark: header, then blocks of up to 4 MiB, the worst.
func lz4Blocks(t *testing.T, b []byte) []byte {
	var buf bytes.Buffer
	w := lz4.NewWriter(&buf)
	if err := errors.Join(w.Apply(lz4.ChecksumOption(false)), second(w.Write(b)), w.Close()); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()[:buf.Len()-4]
}

func zstded(t *testing.T, b []byte) []byte {
	z, err := deflate(nil, b, Zstd)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// rle is a zstd frame of n zero bytes: window 8 MiB, blocks of 128 KiB that repeat one byte (RFC 8878, 3.1.1.2).
func rle(n int) []byte {
	out := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 13 << 3}
	for size := 128 << 10; n > 0; n -= size {
		last := 0
		if n <= size {
			last = 1
		}
		h := size<<3 | 1<<1 | last
		out = append(out, byte(h), byte(h>>8), byte(h>>16), 1)
	}
	return out
}

func TestBombs(t *testing.T) {
	const limit = 32 * mib
	for name, b := range bombs(t) {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		n := 0
		var err error
		for _, e := range b.Iterate(limit) {
			if n++; e != nil {
				err = e
			}
		}
		runtime.ReadMemStats(&after)
		// all that was ever allocated: more than the peak
		if used := after.TotalAlloc - before.TotalAlloc; used > 2*limit {
			t.Errorf("%s: %d MiB allocated", name, used/mib)
		}
		if err == nil || !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrCodec) {
			t.Errorf("%s: %v after %d records", name, err, n)
		}
		t.Logf("%-18s %7d bytes, %3d MiB allocated, %d records: %v", name, len(b), (after.TotalAlloc-before.TotalAlloc)/mib, n, err)
	}
}
