package recordbatch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/snappy"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// codecs are all there are.
var codecs = []Codec{None, Gzip, Snappy, LZ4, Zstd}

// someRecords makes n records with nulls, empty values, headers and timestamps in no order.
func someRecords(rng *rand.Rand, n int) []Record {
	rs := make([]Record, n)
	for i := range rs {
		r := &rs[i]
		r.Timestamp = 1_700_000_000_000 + rng.Int64N(1000) - 500
		switch rng.IntN(4) {
		case 0:
		case 1:
			r.Key = []byte{}
		default:
			r.Key = fmt.Appendf(nil, "key-%d", rng.IntN(100))
		}
		if rng.IntN(5) > 0 {
			r.Value = []byte(strings.Repeat("value ", rng.IntN(60)))
		}
		for range rng.IntN(4) / 2 * rng.IntN(4) {
			h := Header{Key: fmt.Sprintf("h%d", rng.IntN(9))}
			if rng.IntN(3) > 0 {
				h.Value = []byte("header value")
			}
			r.Headers = append(r.Headers, h)
		}
	}
	return rs
}

// build builds a batch that must be fine.
func build(t testing.TB, bl Builder, records []Record) Batch {
	t.Helper()
	raw, err := bl.Append(nil, records)
	if err != nil {
		t.Fatal(err)
	}
	return Batch(raw)
}

// all collects the records of b.
func all(b Batch, limit int) (rs []Record, err error) {
	for r, err := range b.Iterate(limit) {
		if err != nil {
			return rs, err
		}
		rs = append(rs, r)
	}
	return rs, nil
}

// batchOf makes a batch with a right header and CRC around any payload.
func batchOf(c Codec, count int32, payload []byte) Batch {
	b := Batch(append(make([]byte, HeaderLen), payload...))
	be.PutUint32(b[8:], uint32(len(b)-lengthEnd))
	b[16] = 2
	be.PutUint16(b[21:], uint16(c))
	be.PutUint32(b[23:], uint32(count-1))
	be.PutUint64(b[43:], ^uint64(0))
	be.PutUint16(b[51:], ^uint16(0))
	be.PutUint32(b[53:], ^uint32(0))
	be.PutUint32(b[57:], uint32(count))
	b.setCRC()
	return b
}

// xerial frames src as Java clients do.
func xerial(src []byte, block int) []byte {
	out := []byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01")
	for c := range slices.Chunk(src, block) {
		z := snappy.Encode(nil, c)
		out = binary.BigEndian.AppendUint32(out, uint32(len(z)))
		out = append(out, z...)
	}
	return out
}

// sameRecord compares what counts, null and empty apart.
func sameRecord(a, b Record) bool {
	same := func(x, y []byte) bool { return bytes.Equal(x, y) && (x == nil) == (y == nil) }
	return a.Offset == b.Offset && a.Timestamp == b.Timestamp && same(a.Key, b.Key) && same(a.Value, b.Value) &&
		slices.EqualFunc(a.Headers, b.Headers, func(x, y Header) bool { return x.Key == y.Key && same(x.Value, y.Value) })
}
