package wal

import (
	"context"
	"math"
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
			r := newRig(t, func(c *Config) { c.FlushBytes, c.EarlyBytes, c.PutBudget = 40*size, 20*size, perSecond })
			defer r.end(context.Canceled)
			var ring [256]recordbatch.Batch // far more than wait for a flush
			for i := range ring {
				ring[i] = batch(t, 0, 1000)
			}
			for next := range seconds * 200 {
				b := ring[next%len(ring)]
				b.SetBaseOffset(int64(next))
				r.log.Append(Entry{Topic: testTopic, TopicName: "t", Slot: 1, Epoch: 1, Batch: b})
				time.Sleep(5 * time.Millisecond) // no pause
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
		{0, 5 * seconds, 5*seconds + 2},      // 40 batches each
		{1, 5 * seconds, 5*seconds + 2},      // less than what must be
		{7, 7*seconds - 8, 7*seconds + 2},    // the budget, which begins empty
		{99, 10*seconds - 2, 10*seconds + 2}, // 20 each
	} {
		if n := flushes(c.perSecond); n < c.least || n > c.most {
			t.Errorf("%v PUTs a second: %d in %d s, want %d to %d", c.perSecond, n, seconds, c.least, c.most)
		}
	}
}

// TestAllowance: it is saved up, and overdrawn, for ten seconds at most.
func TestAllowance(t *testing.T) {
	a := allowance{perSecond: 2, most: 20}
	now := time.Unix(1, 0)
	if a.wait(now) <= 0 {
		t.Error("it begins with something")
	}
	now = now.Add(time.Hour)
	for n := 0; a.wait(now) <= 0; n++ {
		if a.spend(); n >= 20 {
			t.Fatal("an hour was saved up")
		}
	}
	for range 1000 {
		a.spend()
	}
	if wait := a.wait(now.Add(9 * time.Second)); wait.Round(time.Millisecond) != 1500*time.Millisecond {
		t.Error("a debt of 20 is paid in 10.5 s, not", wait+9*time.Second)
	}
	if a.wait(now.Add(10501*time.Millisecond)) > 0 {
		t.Error("a debt lasts for ever")
	}
}

// TestIdleIntervalsAreSaved: after a while without any, records are flushed at once, though they come sooner than an interval after each other;
// but never more of them than there were intervals.
func TestIdleIntervalsAreSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.end(context.Canceled)
		began := time.Now()
		time.Sleep(10 * time.Second)
		for i := range 30 {
			r.append(i, 0, 10)
			time.Sleep(30 * time.Millisecond)
			if n := len(r.sink.seqs()); n != i+1 {
				t.Fatalf("%d flushes of %d records", n, i+1)
			}
		}
		const n = 3000
		for i := range n {
			r.append(30+i, 0, 10)
			time.Sleep(30 * time.Millisecond)
		}
		if got, most := len(r.sink.seqs()), int(time.Since(began)/r.cfg.Interval); got > most || got < most-5 {
			t.Errorf("%d flushes in %d intervals", got, most)
		}
	})
}

// TestPausesAreUsed: when producers pause, what they sent is flushed; objects are four fifths full on average, then. Without a
// pause they are full.
func TestPausesAreUsed(t *testing.T) {
	size := int64(len(batch(t, 0, 1000)))
	flushes := func(bursts, burst int, gap, pause time.Duration) (n, soon int) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.FlushBytes = 40 * size })
			defer r.end(context.Canceled)
			for i := range bursts {
				for j := range burst {
					r.append(i*burst+j, 0, 1000)
					time.Sleep(gap)
				}
				time.Sleep(pause / 4)
				if got := len(r.sink.seqs()); got > n {
					n, soon = got, soon+1
				}
				time.Sleep(pause * 3 / 4)
			}
			n = len(r.sink.seqs())
		})
		return n, soon
	}
	// 36 of 40 each: more than four fifths.
	if n, soon := flushes(50, 36, time.Millisecond, 60*time.Millisecond); n > 51 || soon < 49 {
		t.Errorf("%d flushes of 50 bursts, %d of them at the pauses", n, soon)
	}
	// Half of an object each.
	if n, _ := flushes(200, 20, time.Millisecond, 40*time.Millisecond); n < 120 || n > 130 {
		t.Errorf("%d flushes of 200 bursts of half an object, want 125", n)
	}
	if n, _ := flushes(1, 2000, 5*time.Millisecond, 0); n > 51 {
		t.Errorf("%d flushes of 50 objects without a pause", n)
	}
}

// TestAllowanceOfNextToNothing: a budget that pays for a flush in centuries pays for none now.
func TestAllowanceOfNextToNothing(t *testing.T) {
	for _, perSecond := range []float64{1e-9, 1e-11, 1e-300, math.SmallestNonzeroFloat64} {
		a := allowance{perSecond: perSecond, most: 10 * perSecond}
		if wait := a.wait(time.Unix(1, 0)); wait <= 0 {
			t.Errorf("%v flushes a second: the next one after %v", perSecond, wait)
		}
	}
}
