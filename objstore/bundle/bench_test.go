package bundle

import "testing"

// tenThousand is a footer of 10,000 runs of one batch each, in 100 topics.
func tenThousand() (*Footer, int64) {
	f, pos := &Footer{}, uint64(HeaderLen)
	for i := range 100 {
		f.Topics = append(f.Topics, Topic{ID: [16]byte{byte(i)}, Name: "a-topic-of-usual-length"})
	}
	f.Slots = []Slot{{Runs: 10_000}}
	for i := range uint32(10_000) {
		f.Runs = append(f.Runs, Run{Topic: i / 100, Partition: int32(i % 100), Next: 10, Pos: pos, Len: 1000, Batches: 1, FirstBatch: i})
		f.Batches = append(f.Batches, Batch{Len: 1000, LastOffsetDelta: 9, ProducerID: -1})
		pos += 1000
	}
	return f, int64(pos)
}

func BenchmarkAppendFooter10000(b *testing.B) {
	f, _ := tenThousand()
	buf := make([]byte, 0, FooterSize(f))
	b.SetBytes(int64(cap(buf)))
	b.ReportAllocs()
	for b.Loop() {
		AppendFooter(buf, WAL, f)
	}
}

func BenchmarkCheck10000(b *testing.B) {
	f, pos := tenThousand()
	b.ReportAllocs()
	for b.Loop() {
		if err := f.Check(WAL, pos); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseTail10000(b *testing.B) {
	f, pos := tenThousand()
	foot := AppendFooter(nil, WAL, f)
	le.PutUint64(foot[len(foot)-TrailerLen:], uint64(pos))
	resum(b, foot)
	b.SetBytes(int64(len(foot)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := ParseTail(foot, pos+int64(len(foot))); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDigest(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		NewDigest([16]byte{1}, 2, 3, 4).Add(5)
	}
}
