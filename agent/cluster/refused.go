package cluster

import (
	"errors"
	"syscall"
)

// connectionRefused tells a host that answers that nobody listens from one that does not answer.
func connectionRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
