//go:build !race

package wal

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// TestFlushAllocations: a flush of many batches costs as many allocations as one of few, but for those that grow with the logarithm.
func TestFlushAllocations(t *testing.T) {
	flushes := func(batches int) (each float64) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			defer r.end(context.Canceled)
			all := make([]Entry, batches)
			for i := range all {
				all[i] = Entry{Topic: testTopic, TopicName: "t", Partition: int32(i % 8), Slot: uint16(i % 8), Epoch: 1, Batch: batch(t, 0, 10)}
			}
			const n = 50
			next := int64(0)
			var before, after runtime.MemStats
			for round := range n + 10 {
				if round == 10 { // pools are filled
					runtime.ReadMemStats(&before)
				}
				for i := range all {
					all[i].Batch.SetBaseOffset(next)
					next++
					r.log.Append(all[i])
				}
				time.Sleep(time.Second)
				synctest.Wait()
			}
			runtime.ReadMemStats(&after)
			each = float64(after.Mallocs-before.Mallocs) / n
		})
		return each
	}
	// The least of several: a scratch buffer that another processor's pool holds is made anew, and adds up to 30.
	least := func(batches int) (each float64) {
		each = flushes(batches)
		for range 7 {
			each = min(each, flushes(batches))
		}
		return each
	}
	few, many := least(8), least(800)
	if few > 70 || many > few+25 {
		t.Errorf("%.1f allocations for a flush of 8 batches, %.1f for one of 800", few, many)
	}
}
