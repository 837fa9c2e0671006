// Pure.

package segment

import (
	"math"

	"github.com/varvelog/varve/metastore/records"
)

// Limits is what a topic keeps of each partition.
type Limits struct {
	Time  int64 // ms: retention.ms; below 0: for ever
	Bytes int64 // retention.bytes; below 0: without limit
}

// none reports whether nothing is ever removed.
func (l Limits) none() bool { return l.Time < 0 && l.Bytes < 0 }

// unit is what retention removes as a whole: an extent, or a run of the tail.
type unit struct {
	base, next int64
	bytes      int64
	maxTS      int64 // ms: the largest timestamp
}

// undated is what a partition's log begins with when nothing in it has a timestamp that says anything, and since when that is known.
type undated struct {
	next  int64 // of the last unit that was there then
	since int64 // ms; 0: not so
}

// cutoff finds the offset at which a log shall begin, unit by unit from its start on. As in Kafka a unit is as old as its largest
// timestamp, and goes when it is older than the limit and all before it go; and units go as long as those after them are as
// many bytes as the limit or more.
//
// A unit whose largest timestamp lies in the future, or that has none, is as old as the first one after it that has a usable one: what
// came later was written later. So such a record does not hold up for ever what lies behind it, as it does in Kafka (where
// message.timestamp.after.max.ms bounds how far ahead it may be, an hour if not set). If no unit after it has one it
// counts from when this leader first saw that.
type cutoff struct {
	limits Limits
	now    int64
	stable int64 // nothing goes from here on
	left   int64 // bytes of the units that stay
	undated

	byTime, byBytes   int64 // the log's begin that each limit asks for
	timeEnd, bytesEnd bool  // that limit asks for no more
	waiting           bool  // since byTime all units are undated
	last              int64 // next of the last unit
}

func newCutoff(l Limits, now, start, stable, bytes int64, u undated) *cutoff {
	return &cutoff{
		limits: l, now: now, stable: stable, left: bytes, undated: u, byTime: start, byBytes: start,
		timeEnd: l.Time < 0, bytesEnd: l.Bytes < 0,
	}
}

// take looks at the next unit, and reports whether it wants to see another one.
func (c *cutoff) take(u unit) bool {
	if u.next > c.stable {
		return false
	}
	c.last = u.next
	if !c.bytesEnd {
		if c.left-u.bytes >= c.limits.Bytes {
			c.left, c.byBytes = c.left-u.bytes, u.next
		} else {
			c.bytesEnd = true
		}
	}
	if !c.timeEnd {
		switch {
		case u.maxTS < 0 || u.maxTS > c.now:
			c.waiting = true
		case c.now-u.maxTS > c.limits.Time:
			c.byTime, c.waiting = u.next, false
		default:
			c.timeEnd, c.waiting = true, false
		}
	}
	return !c.timeEnd || !c.bytesEnd
}

// start returns where the log shall begin, which is no lower than it does, after the last unit that was wanted; and what to
// remember of undated units.
func (c *cutoff) start() (int64, undated) {
	u := undated{}
	if c.waiting {
		u = c.undated
		if u.since == 0 || u.next <= c.byTime {
			u = undated{next: c.last, since: c.now}
		} else if c.now-u.since > c.limits.Time {
			c.byTime, u = min(u.next, c.last), undated{}
		}
	}
	return max(c.byTime, c.byBytes), u
}

// due reports whether the first unit may go, so that a look at the log is worth it.
func (l Limits) due(head unit, total, now int64) bool {
	old := l.Time >= 0 && (head.maxTS < 0 || head.maxTS > now || now-head.maxTS > l.Time)
	return old || l.Bytes >= 0 && total-head.bytes >= l.Bytes
}

// below returns how many of extents lie below a log start, at most so many as a transaction takes, and their bytes.
func below(extents []records.Extent, logStart int64) (n int, sum int64) {
	for n < len(extents) && n < maxUnlinked && extents[n].Next <= logStart {
		sum += extents[n].Bytes
		n++
	}
	return n, sum
}

// maxUnlinked is how many extents go in one transaction, with the partition's item and the queue's.
const maxUnlinked = 96

// clampMillis returns a time in ms as one that can be subtracted from now.
func clampMillis(ms int64) int64 { return min(ms, math.MaxInt64/4) }
