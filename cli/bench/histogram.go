// Pure.

package bench

import (
	"math"
	"math/bits"
	"time"
)

// Buckets double every halfBuckets: the value of an observation is known to one part in 128.
const (
	bucketBits  = 7
	halfBuckets = 1 << bucketBits
	numBuckets  = (63-bucketBits)*halfBuckets + halfBuckets
)

// Histogram counts durations from 0 to 292 years, each known to less than 0.8 %; count, mean and maximum are exact. The zero
// value is empty. It takes 57 KiB and is not for several goroutines at once.
type Histogram struct {
	buckets [numBuckets]uint64
	count   uint64
	sum     float64 // nanoseconds
	max     time.Duration
}

// bucketOf returns the bucket of a number of nanoseconds: the first 256 have one each, after that 128 to each power of two.
func bucketOf(v uint64) int {
	e := max(0, bits.Len64(v)-bucketBits-1)
	return e<<bucketBits + int(v>>e)
}

// highest returns the largest value in a bucket.
func highest(bucket int) uint64 {
	e := max(0, bucket>>bucketBits-1)
	m := uint64(bucket - e<<bucketBits)
	return m<<e + 1<<e - 1
}

// Observe adds a duration; a negative one, which a clock that was set back makes, counts as 0.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	h.buckets[bucketOf(uint64(d))]++
	h.count++
	h.sum += float64(d)
	h.max = max(h.max, d)
}

// Merge adds what another histogram has observed.
func (h *Histogram) Merge(other *Histogram) {
	for i, n := range other.buckets {
		h.buckets[i] += n
	}
	h.count += other.count
	h.sum += other.sum
	h.max = max(h.max, other.max)
}

// Count returns how many durations were observed.
func (h *Histogram) Count() uint64 { return h.count }

// Max returns the longest duration, 0 if there is none.
func (h *Histogram) Max() time.Duration { return h.max }

// Mean returns the mean, 0 if nothing was observed.
func (h *Histogram) Mean() time.Duration {
	if h.count == 0 {
		return 0
	}
	return time.Duration(h.sum / float64(h.count))
}

// Quantile returns a duration that a share q of all, from 0 to 1, does not exceed: the least such one, or up to 0.8 % more,
// never more than Max. 0 if nothing was observed.
func (h *Histogram) Quantile(q float64) time.Duration {
	want := max(1, uint64(math.Ceil(q*float64(h.count))))
	var seen uint64
	for i, n := range h.buckets {
		if seen += n; seen >= want {
			return min(time.Duration(highest(i)), h.max)
		}
	}
	return h.max
}
