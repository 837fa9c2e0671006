package kafka

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// lineEvery is how often a line is logged of what any client can cause with a request of a few bytes.
const lineEvery = 100 * time.Millisecond

// lines holds back log lines: a flood of requests is not a flood of lines.
type lines struct {
	next atomic.Int64 // when the next one may be written, ns since 1970
	held atomic.Int64 // since the last one
}

// may reports whether a line may be written now, and how many were held back before it.
func (l *lines) may() (held int64, ok bool) {
	now, next := time.Now(), l.next.Load()
	left := time.Duration(next - now.UnixNano()) // more than lineEvery: the clock was set back
	if left > 0 && left <= lineEvery || !l.next.CompareAndSwap(next, now.Add(lineEvery).UnixNano()) {
		l.held.Add(1)
		return 0, false
	}
	return l.held.Swap(0), true
}

// note logs what a client has caused, if there is room for a line.
func (s *Server) note(level slog.Level, msg string, args ...any) {
	held, ok := s.lines.may()
	if !ok {
		return
	}
	if held > 0 {
		args = append(args, "held_back", held)
	}
	s.log.Log(context.Background(), level, msg, args...)
}
