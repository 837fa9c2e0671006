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
	lastEntry time.Time // when something came last
	flying    int       // PUTs under way
	next      uint64    // sequence number of the next flush
	committed uint64
	pressure  bool          // the agent's memory budget runs low
	spare     bool          // there is an allowance for a flush before its time
	idle      time.Duration // until intervals in which nothing was flushed have left one over
	objects   float64       // flushes that full objects have left over; below 0: that are owed
	hurry     bool          // somebody waits for all of it to be committed: a barrier, or Close
}

// decide says whether to flush now, and if not, when to look again (0: when something happens). A batch that comes when
// nothing was flushed for an interval is flushed at once: a lone producer does not pay for the timer. So are some that follow, as many as
// there were such intervals. And when nothing has come for a moment, everybody waits for answers: that is the time to flush, if it costs a little
// more than full objects do at most.
func (p policy) decide(b buffered, now time.Time) (flush bool, again time.Duration) {
	switch {
	case b.entries == 0 || b.flying >= p.inFlight || b.next > b.committed+p.ahead:
		return false, 0
	case b.hurry || b.bytes >= p.bytes || b.pressure && b.bytes >= p.bytes/8 || b.spare && p.early > 0 && b.bytes >= p.early:
		return true, 0
	}
	wait := min(p.interval-now.Sub(b.lastFlush), b.idle)
	if p.left(b.objects, b.bytes) >= 0 {
		wait = min(wait, p.pause()-now.Sub(b.lastEntry))
	}
	return wait <= 0, max(wait, 0)
}

// perObject is how many flushes a full object pays for: those at pauses have four fifths of one on average, so that a GB costs a quarter more
// at most, with --flush-bytes of 8 MiB $0.0010 and with 4 MiB $0.0019, hedges and segments included.
const perObject = 1.25

// objectsMost is how many of them can be left over, or owed.
const objectsMost = 4

// left returns what is left over of what objects have paid for, after a flush of so many bytes.
func (p policy) left(objects float64, bytes int64) float64 {
	return min(max(objects+perObject*float64(bytes)/float64(p.bytes)-1, -objectsMost), objectsMost)
}

// ripe returns how many bytes a flush at a pause has at least.
func (p policy) ripe(objects float64) int64 {
	return int64((1-objects)/perObject*float64(p.bytes)) + 1
}

// pause is how long nothing comes before it counts as a pause: a client whose requests are all under way sends nothing until one is answered,
// and one that may send does so sooner.
func (p policy) pause() time.Duration { return min(p.interval/2, 10*time.Millisecond) }

// passes reports whether bytes that came to was have made the buffer as large as a flush wants it, or one at a pause.
func (p policy) passes(was, now int64, objects float64) bool {
	passes := func(n int64) bool { return was < n && now >= n }
	return passes(p.bytes) || passes(p.early) || passes(p.ripe(objects))
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
	return time.Duration(min((1-a.left)/a.perSecond*float64(time.Second), math.MaxInt64/2)) + 1
}

func (a *allowance) spend() { a.left = max(a.left-1, -a.most) }
