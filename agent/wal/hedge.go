// Pure.

package wal

import (
	"slices"
	"time"
)

// hedger says when a second PUT of the same bytes under the same key is worth its price: commits go by prefix, so one slow PUT
// holds back all after it. PUTs earn the right to hedges, a little faster than one of twenty needs it, and what can be saved up is
// small: when all of them become slow at once the store is busy, and more requests are the last thing that it needs.
type hedger struct {
	window []time.Duration // the last PUTs, a ring
	next   int
	saved  int       // thousandths of a hedge
	until  time.Time // no hedges before; see throttled
}

const (
	hedgeWindow = 128
	hedgeLeast  = 20     // PUTs seen before the first hedge
	hedgeEarned = 55     // thousandths of a hedge, by each PUT
	hedgePrice  = 1000   // what one hedge takes of them
	hedgeMost   = 20_000 // of them that can be saved up
	hedgeCalm   = 10 * time.Second
)

// done notes how long a PUT took.
func (h *hedger) done(d time.Duration) {
	h.saved = min(h.saved+hedgeEarned, hedgeMost)
	if len(h.window) < hedgeWindow {
		h.window = append(h.window, d)
		return
	}
	h.window[h.next] = d
	h.next = (h.next + 1) % hedgeWindow
}

// throttled notes that the store asked to slow down: there are no hedges for a while.
func (h *hedger) throttled(now time.Time) { h.until = now.Add(hedgeCalm) }

// after returns how long to wait for a PUT before a hedge: the 95th percentile of the last ones. ok is false while too
// little is known or too many were sent.
func (h *hedger) after(now time.Time) (d time.Duration, ok bool) {
	if len(h.window) < hedgeLeast || !h.may(now) {
		return 0, false
	}
	s := slices.Sorted(slices.Values(h.window))
	return s[len(s)*95/100], true
}

func (h *hedger) may(now time.Time) bool { return h.saved >= hedgePrice && !now.Before(h.until) }

// spend takes one hedge, if there is one to take still.
func (h *hedger) spend(now time.Time) bool {
	if !h.may(now) {
		return false
	}
	h.saved -= hedgePrice
	return true
}
