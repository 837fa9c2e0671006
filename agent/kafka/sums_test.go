package kafka

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/objstore/recordbatch"
)

// anyProduce is a request with batches of all sizes, some of them null, cut or followed by another.
func anyProduce(t *testing.T, rng *rand.Rand, version int16) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks = version, -1
	for range 1 + rng.IntN(3) {
		rt := kmsg.NewProduceRequestTopic()
		rt.Topic, rt.TopicID = string(bytes.Repeat([]byte{'t'}, 1+rng.IntN(20))), uuid.New()
		for i := range rng.IntN(4) {
			p := kmsg.NewProduceRequestTopicPartition()
			p.Partition = int32(i)
			switch n := rng.IntN(8); n {
			case 0: // null
			case 1:
				p.Records = batch(t, 20, 1000)[:15_000]
			case 2:
				p.Records = append(batch(t, 20, 1000), batch(t, 1, 10)...)
			default:
				p.Records = batch(t, 1+rng.IntN(60), 1000)
			}
			rt.Partitions = append(rt.Partitions, p)
		}
		req.Topics = append(req.Topics, rt)
	}
	return req
}

// summed lets a frame come in pieces, decodes it and returns how many batches were looked at, how many of them are large, and how many
// CRCs were known. Each of those must be right.
func summed(t *testing.T, rng *rand.Rand, frame []byte, version int16) (all, large, known int) {
	t.Helper()
	var s sums
	s.begin(version, version >= 9)
	for got := 0; got < len(frame); {
		got = min(len(frame), got+1+rng.IntN(20_000))
		s.advance(frame[:got])
	}
	cur, _, err := body(frame, version >= 9)
	var p produceRequest
	if err != nil || p.decode(cur, version) != nil {
		return 0, 0, 0
	}
	for _, part := range p.parts {
		b, _, err := recordbatch.Next(part.records)
		if err != nil || b == nil {
			continue
		}
		all++
		if len(b) >= sumBatch {
			large++
		}
		sum, ok := s.of(len(frame)-part.after-len(part.records), len(b))
		if !ok {
			continue
		}
		known++
		if want := recordbatch.AddSum(0, b[recordbatch.SumStart:]); sum != want {
			t.Fatalf("version %d: CRC %08x, want %08x", version, sum, want)
		}
		if full, quick := b.Check(), b.CheckSummed(sum); (full == nil) != (quick == nil) {
			t.Fatalf("%v and %v", full, quick)
		}
	}
	return all, large, known
}

// TestSumsAreThoseOfTheBatches: however a frame is cut, the CRC of every large batch is known when it is decoded, and is right.
func TestSumsAreThoseOfTheBatches(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 1))
	total := 0
	for range 300 {
		version := int16(3 + rng.IntN(11))
		all, large, known := summed(t, rng, encode(anyProduce(t, rng, version), 1)[sizeLen:], version)
		if large != known {
			t.Fatalf("version %d: %d of %d large ones are known, of %d", version, known, large, all)
		}
		total += known
	}
	if total < 300 {
		t.Errorf("%d CRCs", total)
	}
}

// TestSumsOfHostileFrames: whatever a frame holds, what is known is right.
func TestSumsOfHostileFrames(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 2))
	known := 0
	for range 1500 {
		version := int16(3 + rng.IntN(11))
		frame := encode(anyProduce(t, rng, version), 1)[sizeLen:]
		for range 1 + rng.IntN(4) {
			at := rng.IntN(len(frame))
			if rng.IntN(2) == 0 {
				at = rng.IntN(min(len(frame), 120))
			}
			frame[at] = byte(rng.Uint32())
		}
		_, _, n := summed(t, rng, frame[:len(frame)-rng.IntN(2)*rng.IntN(len(frame))], version)
		known += n
	}
	if known == 0 {
		t.Error("no frame was understood")
	}
}

// TestDamagedBatchInALargeFrame: a CRC that was computed on the way finds damage, and only where it is.
func TestDamagedBatchInALargeFrame(t *testing.T) {
	w := newWorld(t, option{auto: true, budget: 1 << 30})
	w.topic("t", 3, "max.message.bytes", "20000000")
	req := producing(9, "t", batch(t, 400, 1000), batch(t, 400, 1000), batch(t, 400, 1000))
	req.Topics[0].Partitions[1].Records[300_000] ^= 1
	for i, p := range call[*kmsg.ProduceResponse](w.dial(), req).Topics[0].Partitions {
		if want := map[bool]int16{true: codeCorruptMessage}[i == 1]; p.ErrorCode != want {
			t.Errorf("partition %d: %d, want %d", i, p.ErrorCode, want)
		}
	}
}
