package kafka

import (
	"bytes"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/topic"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// keyed makes a batch of n records, of which those with a number in without have no key.
func keyed(t testing.TB, n int, c recordbatch.Codec, without ...int) []byte {
	t.Helper()
	recs := make([]recordbatch.Record, n)
	for i := range recs {
		recs[i] = recordbatch.Record{Key: []byte{}, Value: bytes.Repeat([]byte{byte(i)}, 100)} // an empty key is one
	}
	for _, i := range without {
		recs[i].Key = nil
	}
	b, err := (&recordbatch.Builder{Codec: c}).Append(nil, recs)
	must(t, err)
	return b
}

// PR4: the records without a key are named, in every codec, for compact and for compact,delete; of a batch that lies or bursts
// nothing is taken.
func TestPR4Keys(t *testing.T) {
	w := newWorld(t, option{auto: true})
	w.topic("compact", 1, "cleanup.policy", "compact")
	w.topic("both", 1, "cleanup.policy", "delete,compact")
	w.topic("delete", 1)
	c := w.dial()
	lie := keyed(t, 3, recordbatch.None)
	lie[60], lie[26] = 2, 1 // two records, in a payload of three
	recordbatch.Batch(lie).SetLogAppendTime(1)
	bomb, err := (&recordbatch.Builder{Codec: recordbatch.Zstd}).Append(nil, []recordbatch.Record{{Key: []byte("k"), Value: make([]byte, openLimit)}})
	must(t, err)
	for _, name := range []string{"compact", "both"} {
		for _, codec := range []recordbatch.Codec{recordbatch.None, recordbatch.Gzip, recordbatch.Snappy, recordbatch.LZ4, recordbatch.Zstd} {
			p := produced(call[*kmsg.ProduceResponse](c, producing(8, name, keyed(t, 9, codec, 2, 7))))
			if p.ErrorCode != codeInvalidRecord || len(p.ErrorRecords) != 2 || p.ErrorRecords[0].RelativeOffset != 2 || p.ErrorRecords[1].RelativeOffset != 7 || p.ErrorMessage == nil {
				t.Errorf("%s, codec %d: %+v", name, codec, p)
			}
			if p = produced(call[*kmsg.ProduceResponse](c, producing(7, name, keyed(t, 9, codec)))); p.ErrorCode != codeNone {
				t.Errorf("%s, codec %d, every key: %+v", name, codec, p)
			}
		}
		for what, code := range map[string]int16{"lie": codeInvalidRecord, "bomb": codeMessageTooLarge} {
			b := map[string][]byte{"lie": lie, "bomb": bomb}[what]
			if p := produced(call[*kmsg.ProduceResponse](c, producing(9, name, b))); p.ErrorCode != code {
				t.Errorf("%s, %s: %+v", name, what, p)
			}
		}
	}
	for _, b := range [][]byte{keyed(t, 9, recordbatch.Zstd, 2), lie, bomb} {
		if p := produced(call[*kmsg.ProduceResponse](c, producing(9, "delete", b))); p.ErrorCode != codeNone {
			t.Errorf("not compacted: %+v", p)
		}
	}
}

// However many connections send to compacted topics, so many batches are opened at once and no more; who sends to others
// does not wait.
func TestPR4OpensFewBatchesAtOnce(t *testing.T) {
	w := newWorld(t, option{auto: true})
	w.topic("compact", 1, "cleanup.policy", "compact")
	w.topic("delete", 1)
	for range cap(w.s.turns) {
		w.s.turns <- struct{}{}
	}
	waiting, other := w.dial(), w.dial()
	waiting.send(producing(9, "compact", keyed(t, 1, recordbatch.Zstd)))
	if p := produced(call[*kmsg.ProduceResponse](other, producing(9, "delete", keyed(t, 1, recordbatch.Zstd)))); p.ErrorCode != codeNone {
		t.Errorf("not compacted: %+v", p)
	}
	must(t, waiting.nc.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
	if _, err := waiting.nc.Read(make([]byte, 1)); err == nil {
		t.Error("opened without a turn")
	}
	must(t, waiting.nc.SetReadDeadline(time.Time{}))
	for range cap(w.s.turns) {
		<-w.s.turns
	}
	if _, err := waiting.frame(); err != nil {
		t.Errorf("with a turn: %v", err)
	}
}

// BenchmarkPR4 shows what the look at keys costs: nothing where there is none.
func BenchmarkPR4(b *testing.B) {
	raw := keyed(b, 1000, recordbatch.Zstd)
	for name, compacted := range map[string]bool{"delete": false, "compact": true} {
		b.Run(name, func(b *testing.B) {
			w := &appending{c: &conn{s: &Server{turns: make(chan struct{}, 1)}, ctx: b.Context()}, op: &produceOp{version: 9}}
			top := &topic.Topic{Config: topic.Config{MaxMessageBytes: 1 << 20, Compacted: compacted}}
			b.ReportAllocs()
			for b.Loop() {
				var r produceResult
				if _, err := w.batch(top, producePartition{records: raw}, &r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
