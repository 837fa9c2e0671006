// Pure.

package wal

import (
	"math"
	"time"
)

// policy says when to cut the buffer.
type policy struct {
	interval time.Duration // between the starts of two flushes, at most, while something waits
	bytes    int64         // flush when so much waits
	early    int64         // or so much, while the allowance lasts; 0: never
	inFlight int           // most PUTs at once
	ahead    uint64        // no flush starts beyond committed + ahead
}

// buffered is what the policy looks at.
type buffered struct {
	entries   int
	bytes     int64
	lastFlush time.Time // start of the last flush
	flying    int       // PUTs under way
	next      uint64    // sequence number of the next flush
	committed uint64
	pressure  bool          // the agent's memory budget runs low
	spare     bool          // there is an allowance for a flush before its time
	idle      time.Duration // until intervals in which nothing was flushed have left one over
	hurry     bool          // somebody waits for all of it to be committed: a barrier, or Close
}

// decide says whether to flush now, and if not, when to look again (0: when something happens). A batch that comes when
// nothing was flushed for an interval is flushed at once: a lone producer does not pay for the timer. So are some that follow, as many as
// there were such intervals.
func (p policy) decide(b buffered, now time.Time) (flush bool, again time.Duration) {
	switch {
	case b.entries == 0 || b.flying >= p.inFlight || b.next > b.committed+p.ahead:
		return false, 0
	case b.hurry || b.bytes >= p.bytes || b.pressure && b.bytes >= p.bytes/8 || b.spare && p.early > 0 && b.bytes >= p.early:
		return true, 0
	}
	wait := min(p.interval-now.Sub(b.lastFlush), b.idle)
	return wait <= 0, max(wait, 0)
}

// passes reports whether bytes that came to was have made the buffer as large as a flush wants it.
func (p policy) passes(was, now int64) bool {
	return was < p.bytes && now >= p.bytes || was < p.early && now >= p.early
}

// earlyBytes is how much a flush before its time has at least. From 42 MB/s on that is there after 100 ms, and a GB costs $0.0012 of
// PUTs instead of $0.0006: for half of the wait.
const earlyBytes = 4 << 20

// allowanceSpan is for how long a budget of PUTs is saved up, or overdrawn, at most; idleMost how many intervals are.
const (
	allowanceSpan = 10 * time.Second
	idleMost      = 40
)

// allowance is how many flushes are still paid for, of those that time pays for. Each flush takes one, also those that had to be; what is
// left is for flushes before their time.
type allowance struct {
	perSecond float64 // 0: none
	most      float64 // that can be left, or owed
	left      float64
	at        time.Time
}

// wait returns how long it takes until one is left, 0 or less if there is one.
func (a *allowance) wait(now time.Time) time.Duration {
	if a.perSecond == 0 {
		return math.MaxInt64
	}
	if !a.at.IsZero() {
		a.left = min(a.left+a.perSecond*now.Sub(a.at).Seconds(), a.most)
	}
	a.at = now
	if a.left >= 1 {
		return 0
	}
	return time.Duration((1-a.left)/a.perSecond*float64(time.Second)) + 1
}

func (a *allowance) spend() { a.left = max(a.left-1, -a.most) }
