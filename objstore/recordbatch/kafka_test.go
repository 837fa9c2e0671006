package recordbatch

import (
	"bytes"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// kmsgRecords decodes an uncompressed payload with kmsg.
func kmsgRecords(t *testing.T, payload []byte, n int) (rs []kmsg.Record) {
	t.Helper()
	for range n {
		length, used := varint32(payload)
		var r kmsg.Record
		if err := r.ReadFrom(payload[:used+int(length)]); err != nil {
			t.Fatal(err)
		}
		rs = append(rs, r)
		payload = payload[used+int(length):]
	}
	if len(payload) > 0 {
		t.Fatal(len(payload), "bytes left")
	}
	return rs
}

func TestKmsgReadsOurs(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for _, c := range codecs {
		want := someRecords(rng, 200)
		b := build(t, Builder{BaseOffset: 3, LeaderEpoch: 4, Codec: c, Producer: &Producer{5, 6, 7}, Transactional: true}, want)
		var k kmsg.RecordBatch
		if err := k.ReadFrom(b); err != nil {
			t.Fatal(c, err)
		}
		if k.FirstOffset != 3 || k.Length != b.Length() || k.PartitionLeaderEpoch != 4 || k.Magic != 2 || uint32(k.CRC) != b.CRC() ||
			k.Attributes != b.Attributes() || k.LastOffsetDelta != 199 || k.FirstTimestamp != b.BaseTimestamp() ||
			k.MaxTimestamp != b.MaxTimestamp() || k.ProducerID != 5 || k.ProducerEpoch != 6 || k.FirstSequence != 7 || k.NumRecords != 200 {
			t.Fatalf("%v: %+v", c, k)
		}
		plain, err := kgo.DefaultDecompressor().Decompress(k.Records, kgo.CompressionCodecType(c))
		if err != nil {
			t.Fatal(c, err)
		}
		for i, r := range kmsgRecords(t, plain, 200) {
			got := Record{Offset: 3 + int64(r.OffsetDelta), Timestamp: k.FirstTimestamp + r.TimestampDelta64, Key: r.Key, Value: r.Value}
			for _, h := range r.Headers {
				got.Headers = append(got.Headers, Header{Key: h.Key, Value: h.Value})
			}
			want[i].Offset = 3 + int64(i)
			if !sameRecord(got, want[i]) {
				t.Fatalf("%v: record %d is %+v, not %+v", c, i, got, want[i])
			}
		}
	}
}

// theirs encodes records with kmsg and the compressor of kgo.
func theirs(t *testing.T, c Codec, rs []Record) Batch {
	t.Helper()
	var plain []byte
	for i, r := range rs {
		k := kmsg.Record{TimestampDelta64: r.Timestamp - rs[0].Timestamp, OffsetDelta: int32(i), Key: r.Key, Value: r.Value}
		k.TimestampDelta = int32(k.TimestampDelta64)
		for _, h := range r.Headers {
			k.Headers = append(k.Headers, kmsg.Header{Key: h.Key, Value: h.Value})
		}
		n := len(k.AppendTo(nil)) - 1 // a length of 0 takes one byte
		k.Length = int32(n)
		plain = k.AppendTo(plain)
	}
	records := plain
	if c != None {
		codec := []kgo.CompressionCodec{{}, kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}[c]
		comp, err := kgo.DefaultCompressor(codec)
		if err != nil {
			t.Fatal(err)
		}
		z, typ := comp.Compress(new(bytes.Buffer), plain)
		if typ != kgo.CompressionCodecType(c) {
			t.Fatal(c, typ)
		}
		records = append([]byte(nil), z...)
	}
	k := kmsg.RecordBatch{
		Length: int32(49 + len(records)), PartitionLeaderEpoch: -1, Magic: 2, Attributes: int16(c), LastOffsetDelta: int32(len(rs) - 1),
		FirstTimestamp: rs[0].Timestamp, MaxTimestamp: 1 << 50, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1,
		NumRecords: int32(len(rs)), Records: records,
	}
	b := k.AppendTo(nil)
	k.CRC = int32(crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return Batch(k.AppendTo(nil))
}

func TestWeReadKmsg(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for _, c := range codecs {
		for _, n := range []int{1, 10, 5000} {
			want := someRecords(rng, n)
			b := theirs(t, c, want)
			if err := b.Check(); err != nil {
				t.Fatal(c, err)
			}
			got, err := all(b, 1<<24)
			if err != nil || len(got) != n {
				t.Fatal(c, n, len(got), err)
			}
			for i := range got {
				want[i].Offset = int64(i)
				if !sameRecord(got[i], want[i]) {
					t.Fatalf("%v: record %d is %+v, not %+v", c, i, got[i], want[i])
				}
			}
			if ours := build(t, Builder{LeaderEpoch: -1}, want); c == None {
				ours.SetLogAppendTime(1)
				b.SetLogAppendTime(1)
				if !bytes.Equal(ours, b) {
					t.Fatal("the same records, other bytes")
				}
			}
		}
	}
}

func TestWeReadXerial(t *testing.T) {
	want := someRecords(rand.New(rand.NewPCG(13, 14)), 500)
	plain := build(t, Builder{}, want)
	for _, block := range []int{1, 100, 32 << 10, 1 << 20} {
		b := batchOf(Snappy, 500, xerial(plain.Payload(), block))
		be.PutUint64(b[27:], uint64(plain.BaseTimestamp()))
		got, err := all(b, 1<<20)
		if err != nil || len(got) != 500 {
			t.Fatal(block, len(got), err)
		}
		for i := range got {
			want[i].Offset = int64(i)
			if !sameRecord(got[i], want[i]) {
				t.Fatalf("blocks of %d: record %d", block, i)
			}
		}
	}
}

func TestControlIsKafkas(t *testing.T) {
	for _, commit := range []bool{false, true} {
		m := Marker{BaseOffset: 8, LeaderEpoch: 2, ProducerID: 1 << 40, ProducerEpoch: 3, CoordinatorEpoch: 77, Timestamp: 5, Commit: commit}
		b := Batch(AppendControl(nil, m))
		var k kmsg.RecordBatch
		if err := k.ReadFrom(b); err != nil {
			t.Fatal(err)
		}
		if k.Attributes != 0x30 || k.FirstSequence != -1 || k.NumRecords != 1 || k.ProducerID != 1<<40 || k.ProducerEpoch != 3 {
			t.Fatalf("%+v", k)
		}
		r := kmsgRecords(t, k.Records, 1)[0]
		key, value := kmsg.NewControlRecordKey(), kmsg.NewEndTxnMarker()
		if err := key.ReadFrom(r.Key); err != nil {
			t.Fatal(err)
		}
		if err := value.ReadFrom(r.Value); err != nil {
			t.Fatal(err)
		}
		want := kmsg.ControlRecordKeyTypeAbort
		if commit {
			want = kmsg.ControlRecordKeyTypeCommit
		}
		if key.Version != 0 || key.Type != want || value.Version != 0 || value.CoordinatorEpoch != 77 {
			t.Fatal(key, value)
		}
		if !bytes.Equal(key.AppendTo(nil), r.Key) || !bytes.Equal(value.AppendTo(nil), r.Value) {
			t.Fatal("kmsg writes other bytes")
		}
		if got, ok, err := ParseControl(b); got != m || !ok || err != nil {
			t.Fatalf("%+v %v %v", got, ok, err)
		}
	}
}
