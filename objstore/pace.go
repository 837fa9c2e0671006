// Pure.

package objstore

import (
	"slices"
	"time"
)

// Pace says when a second request for the same bytes, a hedge, is worth its price. Requests earn the right to hedges, a little faster than
// one of twenty needs it, and what can be saved up is small: when all of them become slow at once the store is busy, and more requests are
// the last thing that it needs. The zero Pace knows nothing yet. Not for use by several goroutines at once.
type Pace struct {
	window []time.Duration // the last answers, a ring
	next   int
	saved  int       // thousandths of a hedge
	until  time.Time // no hedges before; see Throttled
}

const (
	paceWindow = 128
	paceLeast  = 20     // answers seen before the first hedge
	paceEarned = 55     // thousandths of a hedge, by each request
	pacePrice  = 1000   // what one hedge takes of them
	paceMost   = 20_000 // of them that can be saved up
	paceCalm   = 10 * time.Second
)

// Answered notes how long a first request took, or, if its hedge was faster, for how long it had been waited for by then. What hedges take is not
// noted: a window without the slowest would have too many requests hedged, and nothing saved up for the slowest of those to come.
func (p *Pace) Answered(d time.Duration) {
	p.saved = min(p.saved+paceEarned, paceMost)
	if len(p.window) < paceWindow {
		p.window = append(p.window, d)
		return
	}
	p.window[p.next] = d
	p.next = (p.next + 1) % paceWindow
}

// Throttled notes that the store asked to slow down: there are no hedges for 10 s.
func (p *Pace) Throttled(now time.Time) { p.until = now.Add(paceCalm) }

// After returns how long to wait for an answer before a hedge: the 95th percentile of the last 128 first requests. ok is false while fewer than 20 are
// known, or there is to be no hedge.
func (p *Pace) After(now time.Time) (d time.Duration, ok bool) {
	if len(p.window) < paceLeast || !p.may(now) {
		return 0, false
	}
	s := slices.Sorted(slices.Values(p.window))
	return s[len(s)*95/100], true
}

func (p *Pace) may(now time.Time) bool { return p.saved >= pacePrice && !now.Before(p.until) }

// Spend takes one hedge from what was saved up, if there is one still: at most 20.
func (p *Pace) Spend(now time.Time) bool {
	if !p.may(now) {
		return false
	}
	p.saved -= pacePrice
	return true
}
