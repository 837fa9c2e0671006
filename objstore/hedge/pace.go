// Pure.

package hedge

import (
	"slices"
	"time"
)

// pace says when a second request for the same bytes is worth its price. Requests earn the right to hedges, a little faster than one of
// twenty needs it, and what can be saved up is small: when all of them become slow at once the store is busy, and more requests are the
// last thing that it needs.
type pace struct {
	window []time.Duration // the last answers, a ring
	next   int
	saved  int       // thousandths of a hedge
	until  time.Time // no hedges before; see throttled
}

const (
	window = 128
	least  = 20     // answers seen before the first hedge
	earned = 55     // thousandths of a hedge, by each request
	hedged = 1000   // what one hedge takes of them
	most   = 20_000 // of them that can be saved up
	calm   = 10 * time.Second
)

// answered notes how long a request took.
func (p *pace) answered(d time.Duration) {
	p.saved = min(p.saved+earned, most)
	if len(p.window) < window {
		p.window = append(p.window, d)
		return
	}
	p.window[p.next] = d
	p.next = (p.next + 1) % window
}

// throttled notes that the store asked to slow down.
func (p *pace) throttled(now time.Time) { p.until = now.Add(calm) }

// after returns how long to wait for an answer before a hedge: the 95th percentile of the last ones. ok is false while there is to be none.
func (p *pace) after(now time.Time) (d time.Duration, ok bool) {
	if len(p.window) < least || p.saved < hedged || now.Before(p.until) {
		return 0, false
	}
	s := slices.Sorted(slices.Values(p.window))
	return s[len(s)*95/100], true
}

// spend takes a hedge from what was saved up, if there is one still.
func (p *pace) spend(now time.Time) bool {
	if p.saved < hedged || now.Before(p.until) {
		return false
	}
	p.saved -= hedged
	return true
}
