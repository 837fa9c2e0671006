package kafka

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/objstore/recordbatch"
)

// goodBatch is a batch of two records that never changes.
var goodBatch = mustBatch()

func mustBatch() []byte {
	b, err := (&recordbatch.Builder{}).Append(nil, []recordbatch.Record{
		{Timestamp: 1_700_000_000_000, Key: []byte("k"), Value: []byte("value")}, {Timestamp: 1_700_000_000_001, Key: []byte("k2")},
	})
	orPanic(err)
	return b
}

// seal makes the CRC and the length of a batch right.
func seal(b []byte) {
	if len(b) >= 61 {
		binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
		binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	}
}

// FuzzBatches: whatever batch comes in under a right CRC, the server takes it or says why not; what it took it gives back
// byte by byte, but for offset and epoch, and finds by time without harm.
func FuzzBatches(f *testing.F) {
	records := []recordbatch.Record{{Timestamp: 1_700_000_000_000, Key: []byte("k"), Value: bytes.Repeat([]byte("v"), 300), Headers: []recordbatch.Header{{Key: "h"}}}, {Timestamp: 1}}
	for codec := recordbatch.None; codec <= recordbatch.Zstd; codec++ {
		b, err := (&recordbatch.Builder{Codec: codec}).Append(nil, records)
		must(f, err)
		f.Add(byte(0), int16(13), b)
		f.Add(byte(1), int16(9), b)
		f.Add(byte(2), int16(3), append(b, b...))
		f.Add(byte(1), int16(7), b[:len(b)-3])
	}
	f.Fuzz(func(t *testing.T, topic byte, version int16, b []byte) {
		if len(b) > 8<<10 || version < 3 || version > 13 {
			return
		}
		seal(b)
		w := newWorld(t, option{auto: true, cache: 1 << 20, cfg: fuzzConfig})
		name := []string{"plain", "compacted", "stamped"}[topic%3]
		top := w.topic(name, 1, [][]string{nil, {"cleanup.policy", "compact"}, {"message.timestamp.type", "LogAppendTime"}}[topic%3]...)
		req := producing(version, name, b)
		req.Topics[0].TopicID = top.ID
		want := bytes.Clone(b)
		w.bounded(t, func() { w.takesOrRefuses(t, req, want, topic%3 == 2) })
	})
}

// takesOrRefuses sends a batch twice, and reads back what was taken.
func (w *world) takesOrRefuses(t *testing.T, req *kmsg.ProduceRequest, b []byte, stamped bool) {
	near, far := socketpair(t)
	defer func() { _ = far.Close() }()
	w.s.accept(t.Context(), near)
	c := &client{t: t, nc: far}
	first := produced(call[*kmsg.ProduceResponse](c, req))
	second := produced(call[*kmsg.ProduceResponse](c, req))
	if (first.ErrorCode == 0) != (first.BaseOffset == 0) {
		t.Fatalf("%+v", first)
	}
	name := req.Topics[0].Topic
	for _, ts := range []int64{tsMax, 0, 1_700_000_000_000, 1 << 62} {
		q := kmsg.NewPtrListOffsetsRequest()
		q.Version = 7
		rt, p := kmsg.NewListOffsetsRequestTopic(), kmsg.NewListOffsetsRequestTopicPartition()
		rt.Topic, p.Timestamp = name, ts
		rt.Partitions = append(rt.Partitions, p)
		q.Topics = append(q.Topics, rt)
		call[*kmsg.ListOffsetsResponse](c, q)
	}
	got := call[*kmsg.FetchResponse](c, fetching(11, name, 0)).Topics[0].Partitions[0]
	if first.ErrorCode != 0 {
		if second.ErrorCode == 0 || len(got.RecordBatches) > 0 || got.HighWatermark != 0 {
			t.Fatalf("refused with %d, then %d; %d bytes to read", first.ErrorCode, second.ErrorCode, len(got.RecordBatches))
		}
		return
	}
	if len(got.RecordBatches) < len(b) {
		t.Fatalf("%d bytes taken, %d given back", len(b), len(got.RecordBatches))
	}
	back := got.RecordBatches[:len(b)]
	if err := recordbatch.Batch(back).Check(); err != nil {
		t.Fatalf("given back: %v", err)
	}
	from := 16
	if stamped { // attributes, CRC and the largest timestamp are the server's
		from = 43
	}
	if !bytes.Equal(back[from:], b[from:]) {
		t.Fatalf("given back\n%x\ninstead of\n%x", back, b)
	}
}
