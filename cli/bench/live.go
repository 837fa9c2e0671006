package bench

import (
	"fmt"
	"sync/atomic"
	"time"
)

// Live is how far a run is, for a line of progress. The zero value is ready. Line is for one goroutine; all else is not bound.
type Live struct {
	phase, trial      atomic.Pointer[string]
	sent, acked, read atomic.Int64 // records
	size              atomic.Int64 // bytes of each

	last struct { // by the call of Line before
		at          time.Time
		acked, read int64
	}
}

// say names what the run does now.
func (l *Live) say(phase string) { l.phase.Store(&phase) }

// search says which rate is tried; 0: as fast as records are answered.
func (l *Live) search(n int, rate float64) {
	text := fmt.Sprintf("trial %d, as fast as can be: ", n)
	if rate > 0 {
		text = fmt.Sprintf("trial %d, %.0f/s: ", n, rate)
	}
	l.trial.Store(&text)
}

// Line is the state in one line.
func (l *Live) Line() string {
	phase := l.phase.Load()
	if phase == nil {
		return "starting"
	}
	trial := ""
	if t := l.trial.Load(); t != nil {
		trial = *t
	}
	now, acked, read := time.Now(), l.acked.Load(), l.read.Load()
	line := trial + fmt.Sprintf("%s: %d sent, %d waiting, %d read", *phase, l.sent.Load(), l.sent.Load()-acked, read)
	if s := now.Sub(l.last.at).Seconds(); !l.last.at.IsZero() && s > 0 {
		mib := float64(l.size.Load()) / (1 << 20) / s
		line += fmt.Sprintf(", %.1f MiB/s in, %.1f out", float64(acked-l.last.acked)*mib, float64(read-l.last.read)*mib)
	}
	l.last.at, l.last.acked, l.last.read = now, acked, read
	return line
}
