// Pure.

package wal

import "time"

// policy says when to cut the buffer.
type policy struct {
	interval time.Duration // between the starts of two flushes, at most, while something waits
	bytes    int64         // flush when so much waits
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
	pressure  bool // the agent's memory budget runs low
	hurry     bool // somebody waits for all of it to be committed: a barrier, or Close
}

// decide says whether to flush now, and if not, when to look again (0: when something happens). A batch that comes when
// nothing was flushed for an interval is flushed at once: a lone producer does not pay for the timer.
func (p policy) decide(b buffered, now time.Time) (flush bool, again time.Duration) {
	switch {
	case b.entries == 0 || b.flying >= p.inFlight || b.next > b.committed+p.ahead:
		return false, 0
	case b.hurry || b.bytes >= p.bytes || b.pressure && b.bytes >= p.bytes/8:
		return true, 0
	}
	wait := p.interval - now.Sub(b.lastFlush)
	if wait <= 0 {
		return true, 0
	}
	return false, wait
}
