package bundle

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// randomUUID makes a UUID from rng.
func randomUUID(rng *rand.Rand) (u uuid.UUID) {
	for i := range u {
		u[i] = byte(rng.Uint32())
	}
	return u
}

// extreme returns a number that is often at an edge.
func extreme(rng *rand.Rand) int64 {
	edges := []int64{0, 1, -1, math.MaxInt64, math.MinInt64, math.MaxInt32, math.MinInt32}
	if rng.IntN(3) == 0 {
		return edges[rng.IntN(len(edges))]
	}
	return rng.Int64()
}

func randomName(rng *rand.Rand, most int) string {
	alphabet := []string{"a", "B", "7", ".", "_", "-", "é", "\x00"}
	var b strings.Builder
	for n := 1 + rng.IntN(most-1); b.Len() < n; {
		b.WriteString(alphabet[rng.IntN(len(alphabet))])
	}
	return b.String()
}

// randomFooter makes a footer that passes Check, and where its body ends. All sections come and go.
func randomFooter(rng *rand.Rand, kind Kind) (f *Footer, pos int64) {
	switch kind {
	case PACK:
		return randomPack(rng)
	case SEG:
		return randomSegment(rng)
	}
	f, end := &Footer{}, uint64(HeaderLen)
	for range rng.IntN(5) {
		f.Topics = append(f.Topics, Topic{ID: randomUUID(rng), Name: randomName(rng, 248), Partitions: rng.Uint32()})
	}
	refs := kind == SNAP || rng.IntN(4) == 0
	if refs {
		for range 1 + rng.IntN(3) {
			f.Objects = append(f.Objects, Object{Kind: 1 + Kind(rng.IntN(5)), Session: randomUUID(rng), Seq: rng.Uint64(),
				Size: 1 << 32 << rng.IntN(31)})
		}
	}
	slots, index := rng.IntN(4), rng.IntN(2) == 0
	for s := range max(slots, 1) {
		runs := 0
		if len(f.Topics) > 0 {
			runs = rng.IntN(9)
		}
		if slots > 0 {
			f.Slots = append(f.Slots, Slot{Slot: uint16(s * 100), Epoch: int32(extreme(rng)), FirstRun: uint32(len(f.Runs)), Runs: uint32(runs)})
		}
		next := rng.Int64N(1 << 40)
		for range runs {
			object := Here
			if kind == SNAP || refs && rng.IntN(2) == 0 {
				object = uint32(rng.IntN(len(f.Objects)))
			}
			r := randomRun(rng, f, index)
			r.Slot, r.Pos = uint16(s*100), end
			r.Base, r.Next = next, next+r.Next
			next = r.Next
			if refs {
				f.Refs = append(f.Refs, Ref{object})
			}
			if object == Here {
				end += uint64(r.Len) + uint64(rng.IntN(2)*rng.IntN(9))
			}
			f.Runs = append(f.Runs, r)
		}
	}
	randomOps(rng, f)
	if kind == SNAP {
		randomPartitions(rng, f)
	}
	return f, int64(end)
}

// randomPack makes the footer of a pack.
func randomPack(rng *rand.Rand) (f *Footer, pos int64) {
	f, pos = &Footer{}, HeaderLen
	for range 1 + rng.IntN(4) {
		f.Topics = append(f.Topics, Topic{ID: randomUUID(rng), Name: randomName(rng, 248)})
	}
	for s := range 1 + rng.IntN(3) {
		first, next := uint32(len(f.Runs)), rng.Int64N(1<<40)
		for range 1 + rng.IntN(5) {
			r := randomRun(rng, f, true)
			r.Slot, r.Pos, r.Base, r.Next = uint16(s), uint64(pos), next, next+r.Next
			next, pos = r.Next+rng.Int64N(2), pos+int64(r.Len)
			f.Runs = append(f.Runs, r)
		}
		if len(f.Slots) == s && rng.IntN(8) > 0 {
			f.Slots = append(f.Slots, Slot{Slot: uint16(s), Epoch: int32(extreme(rng)), FirstRun: first, Runs: uint32(len(f.Runs)) - first})
		}
	}
	if len(f.Slots) > 0 && f.Slots[len(f.Slots)-1].FirstRun+f.Slots[len(f.Slots)-1].Runs != uint32(len(f.Runs)) {
		f.Slots = nil
	}
	return f, pos
}

// randomSegment makes the footer of a segment.
func randomSegment(rng *rand.Rand) (f *Footer, pos int64) {
	f, pos = &Footer{Topics: []Topic{{ID: randomUUID(rng), Name: randomName(rng, 248)}}}, HeaderLen
	next, epoch := rng.Int64N(1<<40), rng.Int32N(9)
	for range rng.IntN(4) {
		r := Run{
			Partition: 7, Slot: 5, LeaderEpoch: epoch, Base: next, Pos: uint64(pos), MaxTimestamp: extreme(rng), FirstBatch: uint32(len(f.Sparse)),
			Digest: rng.Uint32(),
		}
		for offset := uint32(0); offset == 0 || rng.IntN(4) > 0; r.Next = next + int64(offset) {
			e := Sparse{OffsetDelta: offset, PosDelta: r.Len, MaxTimestamp: r.MaxTimestamp, Batches: 1 + uint32(rng.IntN(4))}
			r.Len += e.Batches*minBatch + uint32(rng.IntN(500))
			r.Batches += e.Batches
			offset += e.Batches + uint32(rng.IntN(9))
			f.Sparse = append(f.Sparse, e)
			if r.MaxTimestamp < 1<<62 {
				r.MaxTimestamp += rng.Int64N(3)
			}
		}
		f.Sparse[len(f.Sparse)-1].MaxTimestamp = r.MaxTimestamp
		next, pos, epoch = r.Next, pos+int64(r.Len), epoch+rng.Int32N(2)
		f.Runs = append(f.Runs, r)
	}
	return f, pos
}

// randomRun makes a run from offset 0 on, and its index entries.
func randomRun(rng *rand.Rand, f *Footer, index bool) Run {
	r := Run{Topic: uint32(len(f.Topics) - 1), Partition: math.MaxInt32, Flags: uint16(rng.Uint32()), LeaderEpoch: int32(extreme(rng)),
		MaxTimestamp: extreme(rng), FirstBatch: uint32(len(f.Batches)), Digest: rng.Uint32(), Batches: 1 + uint32(rng.IntN(6))}
	offset := uint32(0)
	for range r.Batches {
		b := Batch{PosDelta: r.Len, Len: minBatch + uint32(rng.IntN(500)), OffsetDelta: offset + uint32(rng.IntN(3)), LastOffsetDelta: uint32(rng.IntN(9)),
			MaxTimestamp: extreme(rng), ProducerID: extreme(rng), ProducerEpoch: int16(extreme(rng)), Attributes: uint16(rng.Uint32()),
			BaseSequence: int32(extreme(rng)), Records: rng.Uint32()}
		r.Len += b.Len
		offset = b.OffsetDelta + b.LastOffsetDelta + 1
		if index {
			f.Batches = append(f.Batches, b)
		}
	}
	r.Next = int64(offset) + int64(rng.IntN(3))
	return r
}

func randomOps(rng *rand.Rand, f *Footer) {
	for range rng.IntN(4) {
		o := Op{Kind: OpSlotOpen, Slot: uint16(rng.Uint32()), Epoch: int32(extreme(rng)), Topic: rng.Uint32(), Partition: int32(extreme(rng)), Offset: extreme(rng)}
		if rng.IntN(3) > 0 {
			o.Key = randomName(rng, 1023)
		}
		if len(f.Topics) > 0 && rng.IntN(2) == 0 {
			o.Kind, o.Topic = OpLogStart, uint32(rng.IntN(len(f.Topics)))
			o.Partition &= math.MaxInt32
			o.Offset &= math.MaxInt64
		}
		f.Ops = append(f.Ops, o)
	}
}

func randomPartitions(rng *rand.Rand, f *Footer) {
	for range min(len(f.Topics), 1) * rng.IntN(6) {
		p := Partition{Topic: uint32(rng.IntN(len(f.Topics))), Partition: rng.Int32(), Slot: uint16(rng.Uint32()), LogStart: rng.Int64N(1 << 40),
			Epochs: uint32(rng.IntN(4)), Producers: uint32(rng.IntN(4))}
		p.LogEnd = p.LogStart + rng.Int64N(1<<40)
		for range p.Epochs {
			f.Epochs = append(f.Epochs, Epoch{Epoch: int32(extreme(rng)), Start: extreme(rng)})
		}
		for range p.Producers {
			q := Producer{ID: extreme(rng), Epoch: int16(extreme(rng)), LastTimestamp: extreme(rng)}
			for range rng.IntN(maxAppended + 1) {
				q.Last = append(q.Last, Appended{FirstSeq: int32(extreme(rng)), LastSeq: int32(extreme(rng)), FirstOffset: extreme(rng),
					LastOffset: extreme(rng), Timestamp: extreme(rng)})
			}
			f.Producers = append(f.Producers, q)
		}
		f.Partitions = append(f.Partitions, p)
	}
}

// object builds a whole object around a footer; its body is zeros.
func object(h Header, f *Footer, pos int64) []byte {
	b := AppendHeader(make([]byte, 0, int(pos)+FooterSize(f)), h)
	return AppendFooter(b[:pos], h.Kind, f)
}

// resum rewrites the CRC of the object's footer, as somebody with bad intentions would.
func resum(t testing.TB, b []byte) []byte {
	t.Helper()
	trailer := b[len(b)-TrailerLen:]
	foot := b[int64(len(b))-TrailerLen-int64(le.Uint32(trailer[8:])):]
	le.PutUint32(trailer[12:], footerCRC(foot))
	return b
}
