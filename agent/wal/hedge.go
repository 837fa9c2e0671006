// Pure.

package wal

import (
	"slices"
	"time"
)

// hedger says when a second PUT of the same bytes under the same key is worth its price: commits go by prefix, so one slow PUT
// holds back all after it.
type hedger struct {
	window []time.Duration // the last PUTs, a ring
	next   int
	puts   int
	hedges int
}

const (
	hedgeWindow  = 128
	hedgeLeast   = 20 // PUTs seen before the first hedge
	hedgePercent = 5  // most hedges per 100 PUTs
)

// done notes how long a PUT took.
func (h *hedger) done(d time.Duration) {
	h.puts++
	if len(h.window) < hedgeWindow {
		h.window = append(h.window, d)
		return
	}
	h.window[h.next] = d
	h.next = (h.next + 1) % hedgeWindow
}

// after returns how long to wait for a PUT before a hedge: the 95th percentile of the last ones. ok is false while too
// little is known or too many were sent.
func (h *hedger) after() (d time.Duration, ok bool) {
	if len(h.window) < hedgeLeast || (h.hedges+1)*100 > (h.puts+1)*hedgePercent {
		return 0, false
	}
	s := slices.Sorted(slices.Values(h.window))
	return s[len(s)*95/100], true
}
