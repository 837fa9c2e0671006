package meta

import (
	"errors"
	"testing"

	"github.com/varvelog/varve/objstore/recordbatch"
)

// TestEmptyBatchOfAnySize: whatever a run's size was, a batch takes its place that clients skip, and that ends where the run ended.
func TestEmptyBatchOfAnySize(t *testing.T) {
	for size := uint32(recordbatch.HeaderLen); size < 1<<21+200; size++ {
		if size == 400 || size == 8400 || size == 16600 { // in between and beyond nothing changes
			size = map[uint32]uint32{400: 8200, 8400: 16400, 16600: 1<<20 + 190}[size]
		}
		if size == 1<<20+200 {
			break
		}
		offsets := int64(size%7) + 1
		out, err := emptyBatch(size, 5, 100, 100+offsets)
		if size > recordbatch.HeaderLen && size < minPadded {
			if !errors.Is(err, ErrBeyondRepair) {
				t.Fatalf("%d bytes: %v", size, err)
			}
			continue
		}
		if err != nil || len(out) != int(size) {
			t.Fatalf("%d bytes: %d, %v", size, len(out), err)
		}
		b := recordbatch.Batch(out)
		if err := b.CheckCRC(); err != nil || b.BaseOffset() != 100 || b.NextOffset() != 100+offsets || b.LeaderEpoch() != 5 || size >= minPadded && !b.IsControl() {
			t.Fatalf("%d bytes: %v, %d to %d", size, err, b.BaseOffset(), b.NextOffset())
		}
		n := 0
		for r, err := range b.Iterate(1 << 21) {
			if err != nil || r.Offset != 99+offsets {
				t.Fatalf("%d bytes: record of offset %d, %v", size, r.Offset, err)
			}
			n++
		}
		if n > 1 {
			t.Fatalf("%d bytes: %d records", size, n)
		}
	}
	if _, err := emptyBatch(1<<20, 0, 0, 1<<31-1); err != nil {
		t.Error(err)
	}
	if _, err := emptyBatch(80, 0, 0, 1<<31+1); !errors.Is(err, ErrBeyondRepair) {
		t.Error(err)
	}
}
