package wal

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/varvelog/varve/objstore/recordbatch"
)

// TestPutBudget: what the interval and the size leave of a budget is spent on earlier flushes, and no more.
func TestPutBudget(t *testing.T) {
	const seconds = 60
	size := int64(len(batch(t, 0, 1000)))
	flushes := func(perSecond float64) (n int) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.FlushBytes, c.EarlyBytes, c.PutBudget = 8*size, 4*size, perSecond })
			defer r.end(context.Canceled)
			var ring [64]recordbatch.Batch // far more than wait for a flush
			for i := range ring {
				ring[i] = batch(t, 0, 1000)
			}
			for next := range seconds * 40 {
				b := ring[next%len(ring)]
				b.SetBaseOffset(int64(next))
				r.log.Append(Entry{Topic: testTopic, TopicName: "t", Slot: 1, Epoch: 1, Batch: b})
				time.Sleep(25 * time.Millisecond)
			}
			time.Sleep(time.Second)
			n = len(r.sink.seqs())
		})
		return n
	}
	for _, c := range []struct {
		perSecond   float64
		least, most int
	}{
		{0, 5 * seconds, 5*seconds + 2},      // 8 batches each
		{1, 5 * seconds, 5*seconds + 2},      // less than what must be
		{7, 7*seconds - 8, 7*seconds + 2},    // the budget, which begins empty
		{99, 10*seconds - 2, 10*seconds + 2}, // 4 each
	} {
		if n := flushes(c.perSecond); n < c.least || n > c.most {
			t.Errorf("%v PUTs a second: %d in %d s, want %d to %d", c.perSecond, n, seconds, c.least, c.most)
		}
	}
}

// TestAllowance: it is saved up, and overdrawn, for ten seconds at most.
func TestAllowance(t *testing.T) {
	a := allowance{perSecond: 2}
	now := time.Unix(1, 0)
	if a.spare(now) {
		t.Error("it begins with something")
	}
	now = now.Add(time.Hour)
	for n := 0; a.spare(now); n++ {
		if a.spend(); n >= 20 {
			t.Fatal("an hour was saved up")
		}
	}
	for range 1000 {
		a.spend()
	}
	if now = now.Add(9 * time.Second); a.spare(now) {
		t.Error("a debt was forgotten")
	}
	if now = now.Add(3 * time.Second); !a.spare(now) {
		t.Error("a debt lasts for ever")
	}
}
