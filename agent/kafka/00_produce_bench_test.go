package kafka

import (
	"net"
	"testing"

	"github.com/varvelog/varve/agent/partition"
)

// produceAllocations returns how many allocations a Produce request costs, from its frame to its answer, beside those of the
// WAL, which is a fake here with room for everything.
func produceAllocations(t *testing.T, w *world, frame []byte, entries int) float64 {
	t.Helper()
	near, far := net.Pipe()
	defer func() { _ = near.Close(); _ = far.Close() }()
	c := newConn(t.Context(), w.s, near)
	queue := make([]partition.Entry, 0, entries)
	return testing.AllocsPerRun(50, func() {
		w.wal.entries = queue[:0]
		sl := c.ring.take()
		sl.hdr, sl.api = preamble{key: 0, version: 9, size: int64(len(frame))}, w.s.byKey[0]
		buf := w.pool.Get(len(frame))
		copy(buf.Bytes(), frame)
		must(t, c.dispatch(sl, buf))
		taken := w.wal.take()
		for _, e := range taken {
			e.Owner.Release()
			e.Done.Appended(e.Tag, nil)
		}
		if _, n := c.ring.next(); n != 1 || len(taken) != entries {
			t.Fatalf("%d batches of %d appended, %d answers", len(taken), entries, n)
		}
		sl.release()
		c.ring.wrote()
	})
}

// TestProduceAllocationsAreCounted: a request costs one allocation, whether it has one batch of 1 MiB or 1,000
// small ones.
func TestProduceAllocationsAreCounted(t *testing.T) {
	for _, c := range []struct {
		name    string
		batches int
		records int
		most    float64
	}{
		{"one batch of 1 MiB", 1, 1000, 1},
		{"1,000 batches of one record", 1000, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, option{budget: 1 << 30})
			w.topic("t", int32(c.batches), "max.message.bytes", "2000000")
			b := batch(t, c.records, 1000)
			var all [][]byte
			for range c.batches {
				all = append(all, b)
			}
			frame := encode(producing(9, "t", all...), 1)[sizeLen:]
			if got := produceAllocations(t, w, frame, c.batches); got > c.most && raceFactor == 1 { // under the race detector pools lose some of what they are given
				t.Errorf("%v allocations, want at most %v", got, c.most)
			}
		})
	}
}
