package bench

import (
	"syscall"
	"time"
)

// nap sleeps for less than a millisecond as long as it is told: time.Sleep rounds up to one where nothing else is due, since the Go
// runtime waits for timers in epoll_wait(2), which counts in ms. It holds a thread.
func nap(d time.Duration) {
	if d <= 0 {
		return
	}
	left := syscall.NsecToTimespec(int64(d))
	for syscall.Nanosleep(&left, &left) == syscall.EINTR {
	}
}
