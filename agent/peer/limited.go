package peer

import (
	"log/slog"
	"sync"
	"time"
)

// limited writes warnings that others can cause as often as they like: one line in a while, which says how many were left out.
type limited struct {
	log   *slog.Logger
	every time.Duration

	mu struct {
		sync.Mutex
		last time.Time
		left int
	}
}

func (l *limited) warn(msg string, args ...any) {
	l.mu.Lock()
	now := time.Now()
	if !l.mu.last.IsZero() && now.Sub(l.mu.last) < l.every {
		l.mu.left++
		l.mu.Unlock()
		return
	}
	left := l.mu.left
	l.mu.last, l.mu.left = now, 0
	l.mu.Unlock()
	if left > 0 {
		args = append(args, "lines_left_out", left)
	}
	l.log.Warn(msg, args...)
}
