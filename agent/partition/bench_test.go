package partition

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/google/uuid"

	"github.com/varvelog/varve/objstore/bundle"
)

const (
	manyPartitions = 100_000
	manySlots      = 256
)

// idleSnapshot is a snapshot of n partitions in 256 slots and 1,000 topics, each with so many runs of one idempotent producer, in
// two sessions.
func idleSnapshot(tb testing.TB, n, runs int) []byte {
	tb.Helper()
	other := uuid.MustParse("bbbbbbbb-bbbb-4ccc-8ddd-eeeeeeeeeeee")
	s := NewSet(nil)
	f := s.NewFold()
	for i := range n {
		slot := uint16(i % manySlots)
		id := ID{topicID, int32(i / 1000)}
		id.Topic[0], id.Topic[1] = byte(i%1000), byte(i%1000>>8)
		f.names[id.Topic] = fmt.Sprintf("topic-%d", i%1000)
		l := f.log(slot, id)
		for j := range runs {
			o := bundle.Object{Kind: bundle.WAL, Session: session, Seq: uint64(1 + i%5000), Size: 1 << 20}
			if j > 0 {
				o.Session = other
			}
			seq := int32(10 * j)
			l.apply(&bundle.Run{LeaderEpoch: 1, Base: int64(seq), Next: int64(seq) + 10, Pos: 64, Len: 1000, MaxTimestamp: int64(j)},
				[]bundle.Batch{{LastOffsetDelta: 9, ProducerID: int64(i), BaseSequence: seq}}, f.objects.add(o), now)
		}
	}
	epochs := map[uint16]int32{}
	for slot := range uint16(manySlots) {
		epochs[slot] = 1
	}
	s.Begin(f, epochs)
	return bundle.AppendFooter(bundle.AppendHeader(nil, bundle.Header{Kind: bundle.SNAP}), bundle.SNAP, s.CaptureOpening(epochs).Footer())
}

// openAll is what opening the slots of an encoded snapshot does in this package.
func openAll(tb testing.TB, object []byte) *Set {
	tb.Helper()
	s := NewSet(nil)
	f := s.NewFold()
	ft, _, err := bundle.ParseTail(object, int64(len(object)))
	if err != nil {
		tb.Fatal(err)
	}
	if err := f.Snapshot(ft, all); err != nil {
		tb.Fatal(err)
	}
	epochs, open := map[uint16]int32{}, &bundle.Footer{}
	for slot := range uint16(manySlots) {
		epochs[slot] = 2
		open.Ops = append(open.Ops, bundle.Op{Kind: bundle.OpSlotOpen, Slot: slot, Epoch: 2})
	}
	s.Begin(f, epochs)
	if err := s.Committed(bundle.Object{Kind: bundle.WAL, Session: uuid.New(), Seq: 1}, open); err != nil {
		tb.Fatal(err)
	}
	return s
}

// BenchmarkOpenIdle opens 100,000 idle partitions from a snapshot: decode, Fold.Snapshot, Begin, the slot-opens. heap-B/partition is
// what stays.
func BenchmarkOpenIdle(b *testing.B) {
	for _, runs := range []int{1, 4} {
		b.Run(fmt.Sprintf("runs=%d", runs), func(b *testing.B) {
			object := idleSnapshot(b, manyPartitions, runs)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			b.ResetTimer()
			var s *Set
			for range b.N {
				s = openAll(b, object)
			}
			b.StopTimer()
			runtime.GC()
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric((float64(after.HeapAlloc)-float64(before.HeapAlloc))/manyPartitions, "heap-B/partition")
			runtime.KeepAlive(s)
			runtime.KeepAlive(object)
		})
	}
}

// BenchmarkCapture holds up commits; BenchmarkSnapshotFooter does not.
func BenchmarkCapture(b *testing.B) {
	s := openAll(b, idleSnapshot(b, manyPartitions, 1))
	b.ReportAllocs()
	for b.Loop() {
		s.Capture()
	}
}

func BenchmarkSnapshotFooter(b *testing.B) {
	s := openAll(b, idleSnapshot(b, manyPartitions, 1))
	b.ReportAllocs()
	for b.Loop() {
		s.Capture().Footer()
	}
}

func BenchmarkSources(b *testing.B) {
	s := openAll(b, idleSnapshot(b, manyPartitions, 4))
	b.ReportAllocs()
	for b.Loop() {
		for slot := range uint16(manySlots) {
			s.Sources(slot)
		}
	}
}

// BenchmarkLocateTime searches a tail of a million runs.
func BenchmarkLocateTime(b *testing.B) {
	t := tail{}
	for i := range 1_000_000 {
		t.add(tailRun{base: int64(i), maxTS: int64(i), span: 1}, 0)
	}
	for b.Loop() {
		t.findTime(999_990)
	}
}

// TestManyIdlePartitions holds what the benchmarks promise, with room: bytes that stay per idle partition.
func TestManyIdlePartitions(t *testing.T) {
	const n = 10_000
	object := idleSnapshot(t, n, 1)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := openAll(t, object)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if per := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / n; per > 800 {
		t.Errorf("%d bytes of heap per idle partition, want at most 800", per)
	}
	runtime.KeepAlive(s)
	runtime.KeepAlive(object)
}

// BenchmarkAskEmpty asks for 100,000 partitions that hold nothing.
func BenchmarkAskEmpty(b *testing.B) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var s *Set
	for range b.N {
		s = openAll(b, idleSnapshot(b, 0, 0))
		for i := range manyPartitions {
			if _, err := s.Get(ID{topicID, int32(i)}, "t", uint16(i%manySlots)); err != nil {
				b.Fatal(err)
			}
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric((float64(after.HeapAlloc)-float64(before.HeapAlloc))/manyPartitions, "heap-B/partition")
	runtime.KeepAlive(s)
}
