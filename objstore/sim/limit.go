// Pure.

package sim

import (
	"strings"
	"time"
)

// maxPrefixes bounds how many prefixes a limiter remembers. Those that have rested for a second are forgotten first, which
// changes nothing; if all are busy, all are.
const maxPrefixes = 4096

// limiter is a token bucket for each prefix, which holds a second's worth.
type limiter struct {
	rate    float64 // a second; 0: no limit
	buckets map[string]bucket
}

type bucket struct {
	left float64
	at   time.Time // when left was true
}

// take reports whether n requests to a prefix are within the rate, and if so counts them.
func (l *limiter) take(prefix string, n int, now time.Time) bool {
	if l.rate <= 0 {
		return true
	}
	b, known := l.buckets[prefix]
	if !known {
		l.makeRoom(now)
		b.left = l.rate
	} else {
		b.left = min(l.rate, b.left+max(0, now.Sub(b.at).Seconds())*l.rate)
	}
	b.at = now
	// More at once than a second's worth passes when the bucket is full, or it would never pass.
	ok := b.left >= min(float64(n), l.rate)
	if ok {
		b.left -= float64(n)
	}
	l.buckets[prefix] = b
	return ok
}

func (l *limiter) makeRoom(now time.Time) {
	if l.buckets == nil {
		l.buckets = map[string]bucket{}
	}
	if len(l.buckets) < maxPrefixes {
		return
	}
	for prefix, b := range l.buckets {
		if now.Sub(b.at) >= time.Second && b.left >= 0 {
			delete(l.buckets, prefix)
		}
	}
	if len(l.buckets) >= maxPrefixes {
		clear(l.buckets)
	}
}

// prefixOf returns a key up to its last slash.
func prefixOf(key string) string { return key[:strings.LastIndexByte(key, '/')+1] }
