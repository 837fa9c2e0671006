package kafka

import (
	"encoding/binary"
	"io"
	"testing"
)

// fetchAllocations returns how many allocations a Fetch request costs whose records lie in the cache, over a connection. The
// client here allocates nothing.
func fetchAllocations(t *testing.T, partitions int32, batches int) float64 {
	t.Helper()
	var each []int
	for range batches {
		each = append(each, 10)
	}
	w, c := loaded(t, option{budget: 256 << 20}, partitions, each...)
	defer w.check()
	req := fetching(12, "t", make([]int64, partitions)...)
	req.MaxBytes = 20 << 20
	for i := range req.Topics[0].Partitions {
		req.Topics[0].Partitions[i].PartitionMaxBytes = 1 << 20
	}
	frame, buf := encode(req, 1), make([]byte, 1<<20)
	size := 0
	got := testing.AllocsPerRun(50, func() {
		if _, err := c.nc.Write(frame); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c.nc, buf[:sizeLen]); err != nil {
			t.Fatal(err)
		}
		size = int(binary.BigEndian.Uint32(buf))
		if _, err := io.ReadFull(c.nc, buf[:size]); err != nil {
			t.Fatal(err)
		}
	})
	if want := int(partitions) * batches * len(batch(t, 10, 100)); size < want {
		t.Fatalf("an answer of %d bytes, %d are there", size, want)
	}
	return got
}

// TestFetchAllocationsAreCounted: what a Fetch from memory costs does not grow with the records that it returns, and with partitions
// by one allocation for each. (Lists that grow double, which is the rest.)
func TestFetchAllocationsAreCounted(t *testing.T) {
	for _, c := range []struct {
		partitions int32
		batches    int
		most       float64
	}{{1, 1, 8}, {1, 20, 10}, {50, 1, 62}} {
		if got := fetchAllocations(t, c.partitions, c.batches); got > c.most && raceFactor == 1 {
			t.Errorf("%d partitions, %d batches of each: %v allocations, want at most %v", c.partitions, c.batches, got, c.most)
		}
	}
}
