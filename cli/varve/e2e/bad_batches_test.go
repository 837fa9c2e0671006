//go:build e2e

package e2e

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// Where the fields of a batch of format v2 lie.
const (
	atLength     = 8
	atMagic      = 16
	atCRC        = 17
	atAttributes = 21
	atLastDelta  = 23
	atProducer   = 43
	atSequence   = 53
	atCount      = 57
	atRecords    = 61
)

// batch encodes values as one uncompressed batch of format v2, from no idempotent producer. Its encoder is kmsg's, not
// Varve's.
func batch(values ...string) []byte {
	now := time.Now().UnixMilli()
	b := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, LastOffsetDelta: int32(len(values) - 1), FirstTimestamp: now, MaxTimestamp: now,
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: int32(len(values)),
	}
	for i, v := range values {
		r := kmsg.Record{OffsetDelta: int32(i), Key: []byte("k"), Value: []byte(v)}
		size := len(r.AppendTo(nil)) - 1 // a length of 0 takes one byte
		r.Length = int32(size)
		b.Records = r.AppendTo(b.Records)
	}
	b.Length = int32(atRecords - atLength - 4 + len(b.Records))
	return sealed(b.AppendTo(nil))
}

// sealed sets the CRC right.
func sealed(b []byte) []byte {
	binary.BigEndian.PutUint32(b[atCRC:], crc32.Checksum(b[atAttributes:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// with returns the batch with one field changed, and the CRC to fit.
func with(b []byte, at int, field ...byte) []byte {
	b = append([]byte(nil), b...)
	copy(b[at:], field)
	return sealed(b)
}

func u32(n int32) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

// produceRequest asks for acks=all.
func produceRequest(topic string, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 30_000
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{{Records: records}}}}
	return req
}

// produceRaw sends one batch as it is and returns the answer for it.
func produceRaw(t *testing.T, cl *kgo.Client, req *kmsg.ProduceRequest) kmsg.ProduceResponseTopicPartition {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hang)
	defer cancel()
	resp, err := cl.SeedBrokers()[0].Request(ctx, req)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	return resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
}

// byName keeps franz-go to the last version of Produce that names topics by name: requests made by hand have no ids.
func byName() kgo.Opt {
	v := kversion.Stable()
	v.SetMaxKeyVersion(0, 12)
	return kgo.MaxVersions(v)
}

// produceAcks sends a good batch over a connection of its own: franz-go sets acks by itself.
func produceAcks(t *testing.T, addr string, acks int16) kmsg.ProduceResponseTopicPartition {
	t.Helper()
	req := produceRequest("batches", batch("x"))
	req.Acks = acks
	c := dialRaw(t, addr)
	c.send(frame(req, 8))
	resp := kmsg.NewPtrProduceResponse()
	resp.Version = 8
	if err := resp.ReadFrom(c.answer()); err != nil {
		t.Fatal(err)
	}
	return resp.Topics[0].Partitions[0]
}

// badBatch is what a producer should not have sent, and what Kafka answers.
type badBatch struct {
	name  string
	bytes []byte
	want  *kerr.Error
}

func badBatches() []badBatch {
	good := batch("one", "two", "three")
	flipped, crc := append([]byte(nil), good...), append([]byte(nil), good...)
	flipped[len(flipped)-2] ^= 1
	crc[atCRC] ^= 0x80
	length := func(n int32) []byte { return with(good, atLength, u32(n)...) }
	count := func(n int32) []byte { return with(good, atCount, u32(n)...) }
	whole := int32(len(good) - atLength - 4)
	both := with(count(1000), atLastDelta, u32(999)...)
	pid := with(good, atProducer, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0)
	corrupt, invalid := kerr.CorruptMessage, kerr.InvalidRecord
	return []badBatch{
		{"a bit of a record flipped", flipped, corrupt},
		{"a bit of the CRC flipped", crc, corrupt},
		{"length one too long", length(whole + 1), corrupt},
		{"length one too short", length(whole - 1), corrupt},
		{"length 0", length(0), corrupt},
		{"length negative", length(-1), corrupt},
		{"length huge", length(1<<31 - 1), corrupt},
		{"cut in the header", good[:40], corrupt},
		{"cut in the records", good[:len(good)-3], corrupt},
		{"bytes after it", append(append([]byte(nil), good...), "rest"...), corrupt},
		{"one record more than it has", count(4), invalid},
		{"one record less", count(2), invalid},
		{"no records", count(0), invalid},
		{"minus one records", count(-1), invalid},
		{"two thousand million records", count(1<<31 - 1), invalid},
		{"more records than its bytes could hold", both, invalid},
		{"nothing but a header", sealed(with(good[:atRecords], atLength, u32(atRecords-atLength-4)...)), invalid},
		{"two batches", append(append([]byte(nil), good...), good...), invalid},
		{"format v1", with(good, atMagic, 1), invalid},
		{"format v3", with(good, atMagic, 3), invalid},
		{"a control batch", with(good, atAttributes, 0, 0x20), invalid},
		{"an unknown codec", with(good, atAttributes, 0, 7), invalid},
		{"a producer id without a sequence", pid, invalid},
		{"a transactional batch", with(good, atAttributes, 0, 0x10), kerr.TransactionalIDAuthorizationFailed},
		{"no bytes", []byte{}, invalid},
		{"null", nil, invalid},
	}
}

// TestBadBatches: each is refused with Kafka's code, the connection goes on, and nothing of it is in the log.
func TestBadBatches(t *testing.T) {
	t.Parallel()
	a := newAgent(t, nil, "dev", "--data", t.TempDir())
	a.start(t)
	createTopic(t, a.addr, "batches", 1)
	cl := dial(t, a.addr, byName())
	for _, b := range badBatches() {
		got := produceRaw(t, cl, produceRequest("batches", b.bytes))
		if err := kerr.ErrorForCode(got.ErrorCode); err != b.want || got.BaseOffset != -1 {
			t.Errorf("%s: %v at offset %d, want %v", b.name, err, got.BaseOffset, b.want)
		}
	}
	for _, acks := range []int16{2, -2} {
		if got := produceAcks(t, a.addr, acks); got.ErrorCode != kerr.InvalidRequiredAcks.Code {
			t.Errorf("acks=%d: code %d, want %v", acks, got.ErrorCode, kerr.InvalidRequiredAcks)
		}
	}
	large := produceRequest("batches", batch(strings.Repeat("x", 2<<20)))
	if got := produceRaw(t, cl, large); got.ErrorCode != kerr.MessageTooLarge.Code {
		t.Errorf("a batch of 2 MiB: code %d, want %v", got.ErrorCode, kerr.MessageTooLarge)
	}
	// A lie that only the records themselves give away is looked for where records are looked at.
	lie := with(with(batch("one", "two", "three"), atCount, u32(4)...), atLastDelta, u32(3)...)
	compacted(t, a.addr, "compacted")
	if got := produceRaw(t, cl, produceRequest("compacted", lie)); kerr.ErrorForCode(got.ErrorCode) != kerr.InvalidRecord && kerr.ErrorForCode(got.ErrorCode) != kerr.CorruptMessage {
		t.Errorf("four records that are three: code %d, want %v", got.ErrorCode, kerr.InvalidRecord)
	}
	if got := produceRaw(t, cl, produceRequest("batches", batch("one", "two", "three"))); got.ErrorCode != 0 || got.BaseOffset != 0 {
		t.Errorf("a good batch: code %d at offset %d, want offset 0", got.ErrorCode, got.BaseOffset)
	}
	if t.Failed() {
		return // what came in may be nothing a client can read
	}
	a.kill(t)
	a.start(t)
	compare(t, kgoClient{}.consume(t, a.addr, "batches"), []record{
		{key: []byte("k"), value: []byte("one")}, {key: []byte("k"), value: []byte("two")}, {key: []byte("k"), value: []byte("three")},
	})
	a.checkCalm(t)
}

// compacted makes a topic with cleanup.policy=compact.
func compacted(t *testing.T, addr, topic string) {
	t.Helper()
	cl := dial(t, addr)
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: topic, NumPartitions: 1, ReplicationFactor: 1,
		Configs: []kmsg.CreateTopicsRequestTopicConfig{{Name: "cleanup.policy", Value: kmsg.StringPtr("compact")}}}}
	resp, err := req.RequestWith(t.Context(), cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.Topics[0].ErrorCode)
	}
	if err != nil {
		t.Fatalf("create topic %s: %v", topic, err)
	}
}

// TestTopicNames: Kafka's rules, by every way a name comes in.
func TestTopicNames(t *testing.T) {
	a := newAgent(t, nil, "dev", "--data", t.TempDir())
	a.start(t)
	cl := dial(t, a.addr, byName())
	for _, name := range []string{"a/b", "/", "../../etc/passwd", strings.Repeat("x", 250), strings.Repeat("x", 30_000), "", ".", "..", "a b", "näme", "a\x00b", "a\nb"} {
		create := kmsg.NewPtrCreateTopicsRequest()
		create.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: name, NumPartitions: 1, ReplicationFactor: 1}}
		created, err := create.RequestWith(t.Context(), cl)
		if err != nil {
			t.Fatalf("create %.20q: %v", name, err)
		}
		if got := created.Topics[0]; got.ErrorCode != kerr.InvalidTopicException.Code || got.ErrorMessage == nil || *got.ErrorMessage == "" {
			t.Errorf("create %.20q: code %d, want %v with a message", name, got.ErrorCode, kerr.InvalidTopicException)
		}
		ask := kmsg.NewPtrMetadataRequest()
		ask.AllowAutoTopicCreation = true
		ask.Topics = []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr(name)}}
		asked, err := ask.RequestWith(t.Context(), cl)
		if err != nil {
			t.Fatalf("metadata of %.20q: %v", name, err)
		}
		if got := asked.Topics[0].ErrorCode; got != kerr.InvalidTopicException.Code {
			t.Errorf("metadata of %.20q: code %d, want %v", name, got, kerr.InvalidTopicException)
		}
		got := produceRaw(t, cl, produceRequest(name, batch("x"))).ErrorCode
		if got != kerr.UnknownTopicOrPartition.Code && got != kerr.InvalidTopicException.Code {
			t.Errorf("produce to %.20q: code %d, want %v", name, got, kerr.UnknownTopicOrPartition)
		}
	}
	longest := strings.Repeat("x", 249)
	createTopic(t, a.addr, longest, 1)
	want := []record{{value: []byte("in a topic with the longest name")}}
	kgoClient{}.produce(t, a.addr, longest, "none", want)
	a.kill(t)
	a.start(t)
	compare(t, kgoClient{}.consume(t, a.addr, longest), want)
	a.checkCalm(t)
}
