package recordbatch

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// seeds are honest batches and what broke other decoders: counts far above the bytes that are left, negative counts under
// a valid CRC, lengths that overflow, compressed data that lies about its size.
func seeds(f *testing.F) {
	rng := rand.New(rand.NewPCG(19, 20))
	for _, c := range codecs {
		b := build(f, Builder{Codec: c, Producer: &Producer{1, 2, 3}}, someRecords(rng, 5))
		f.Add([]byte(b))
		f.Add([]byte(batchOf(c, math.MaxInt32, b.Payload())))
		f.Add([]byte(batchOf(c, -1, b.Payload())))
		f.Add([]byte(batchOf(c, math.MinInt32, b.Payload())))
		f.Add([]byte(b[:len(b)/2]))
		f.Add(append(append([]byte{}, b...), b...))
	}
	f.Add([]byte(AppendControl(nil, Marker{Commit: true})))
	f.Add([]byte(batchOf(None, 1, vs(1<<31-1, 0, 0, 0, 0, 0, 0))))
	f.Add([]byte(batchOf(None, 1, append(vs(9, 0, 0, 0, -1, -1), vs(1<<31-1)...))))
	f.Add([]byte(batchOf(Snappy, 1, append(binary.AppendUvarint(nil, 1<<32-1), 1, 2, 3))))
	f.Add([]byte(batchOf(Snappy, 1, xerial(make([]byte, 100), 30))))
	f.Add([]byte(batchOf(Snappy, 1, []byte(xerialMagic+"\x00\x00\x00\x01\x00\x00\x00\x01\x7f\xff\xff\xff"))))
	f.Add([]byte(batchOf(Zstd, 1, rle(1<<20))))
	f.Add([]byte(batchOf(LZ4, 1, []byte(lz4Magic+"\x6c\x40\xff\xff\xff\xff\xff\xff\xff\x7f\x00"))))
	golden, err := filepath.Glob("testdata/v2/*.bin")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range golden {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
}

func FuzzNext(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, run []byte) {
		left := len(run)
		for rest := run; ; {
			b, after, err := Next(rest)
			if b == nil {
				if err == nil && len(rest) > 0 {
					t.Fatal("stopped early")
				}
				break
			}
			if err != nil || len(b) < HeaderLen || len(b)+len(after) != left || cap(b) != len(b) {
				t.Fatal(len(b), len(after), left, err)
			}
			left, rest = len(after), after
		}
		_, _, _ = FindOffset(run, 7)
	})
}

func FuzzCheck(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		_ = Batch(raw).Check()
		b := fixed(raw)
		if b == nil {
			return
		}
		if err := b.Check(); err == nil && (b.NumRecords() <= 0 || b.LastOffset()-b.BaseOffset() != int64(b.NumRecords())-1) {
			t.Fatal("passes with", b.NumRecords(), "records")
		}
		b.SetLogAppendTime(1)
		if b.CheckCRC() != nil {
			t.Fatal("CRC after a change")
		}
	})
}

// fixed gives raw a right length, magic and CRC, so that the fuzzer gets past them.
func fixed(raw []byte) Batch {
	if len(raw) < HeaderLen {
		return nil
	}
	b := Batch(append([]byte(nil), raw...))
	be.PutUint32(b[8:], uint32(len(b)-lengthEnd))
	b[16] = 2
	b.setCRC()
	return b
}

func FuzzIterate(f *testing.F) {
	seeds(f)
	const limit = 1 << 20
	f.Fuzz(func(t *testing.T, raw []byte) {
		b := fixed(raw)
		if b == nil {
			return
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		bytes, n := 0, 0
		for r, err := range b.Iterate(limit) {
			if err != nil {
				break
			}
			n++
			bytes += len(r.Key) + len(r.Value)
			if r.Offset-b.BaseOffset() > int64(b.LastOffsetDelta()) {
				t.Fatal("offset", r.Offset)
			}
		}
		runtime.ReadMemStats(&after)
		if bytes > limit || n > max(0, int(b.NumRecords())) {
			t.Fatal(bytes, "bytes", n, "records")
		}
		// window, blocks of lz4, chunks, and 20 times the headers' bytes over all records
		if used := after.TotalAlloc - before.TotalAlloc; used > 64*limit {
			t.Fatal(used, "bytes allocated")
		}
		_, _, _ = ParseControl(b)
		_, _, _, _ = FindTimestamp(b, b.MaxTimestamp(), limit)
	})
}
