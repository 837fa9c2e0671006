package bench

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// durations draws over all magnitudes: most of the buckets would never be met by an even choice.
func durations(t *rapid.T, name string) []time.Duration {
	one := rapid.Custom(func(t *rapid.T) time.Duration {
		return time.Duration(rapid.Int64Range(0, math.MaxInt64>>rapid.IntRange(0, 62).Draw(t, "shift")).Draw(t, "ns"))
	})
	return rapid.SliceOfN(one, 1, 200).Draw(t, name)
}

// TestQuantiles compares with the sorted observations themselves.
func TestQuantiles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := durations(t, "all")
		var h Histogram
		for _, d := range all {
			h.Observe(d)
		}
		slices.Sort(all)
		q := rapid.Float64Range(0, 1).Draw(t, "q")
		want := all[max(1, int(math.Ceil(q*float64(len(all)))))-1]
		got := h.Quantile(q)
		if got < want || float64(got) > float64(want)*(1+1.0/halfBuckets) {
			t.Fatalf("quantile %v is %d, want %d or up to 1/128 more", q, got, want)
		}
		if h.Max() != all[len(all)-1] || h.Count() != uint64(len(all)) || h.Quantile(1) != h.Max() {
			t.Fatalf("max %d, count %d, quantile 1 %d of %v", h.Max(), h.Count(), h.Quantile(1), all)
		}
	})
}

// TestMerge: what two histograms have seen is what one would have.
func TestMerge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := durations(t, "a"), durations(t, "b")
		var left, right, both Histogram
		for _, d := range a {
			left.Observe(d)
			both.Observe(d)
		}
		for _, d := range b {
			right.Observe(d)
			both.Observe(d)
		}
		left.Merge(&right)
		if left.buckets != both.buckets || left.count != both.count || left.max != both.max || left.Mean() != both.Mean() && math.Abs(left.sum/both.sum-1) > 1e-9 {
			t.Fatalf("merged %v and %v", a, b)
		}
	})
}

// TestBuckets holds every border: each value lies in a bucket whose end it does not pass, and the next value after an end in
// the next bucket.
func TestBuckets(t *testing.T) {
	if got := bucketOf(math.MaxInt64); got != numBuckets-1 {
		t.Errorf("the largest value is in bucket %d of %d", got, numBuckets)
	}
	for i := range numBuckets {
		if end := highest(i); bucketOf(end) != i || i < numBuckets-1 && bucketOf(end+1) != i+1 {
			t.Fatalf("bucket %d ends at %d, which is in bucket %d; %d is in %d", i, end, bucketOf(end), end+1, bucketOf(end+1))
		}
	}
}

func TestEmptyHistogram(t *testing.T) {
	var h Histogram
	if h.Quantile(0.99) != 0 || h.Mean() != 0 || h.Max() != 0 {
		t.Errorf("%v %v %v", h.Quantile(0.99), h.Mean(), h.Max())
	}
	h.Observe(-time.Second)
	if h.Quantile(1) != 0 || h.Count() != 1 {
		t.Errorf("a negative duration: %v, %d", h.Quantile(1), h.Count())
	}
}
