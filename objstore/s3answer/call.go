package s3answer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/varvelog/varve/objstore"
)

// perMiB is the time a request gets for each MiB it moves, beside its own time-out.
const perMiB = time.Second

// Moving returns the time that n bytes get.
func Moving(n int64) time.Duration { return time.Duration(n>>20) * perMiB }

// errTimeout is why a call's context ended if it was for the time-out.
var errTimeout = errors.New("timed out")

// Call is one request with its time-out, which can be set anew.
type Call struct {
	Ctx    context.Context // of the request
	parent context.Context // the caller's
	cancel context.CancelCauseFunc
	timer  *time.Timer
	limit  time.Duration
}

// Begin starts a call that is given up after limit. End must be called. values is what the request's context is made of: the
// caller's, perhaps with values.
func Begin(caller, values context.Context, limit time.Duration) *Call {
	c := &Call{parent: caller, limit: limit}
	c.Ctx, c.cancel = context.WithCancelCause(values)
	c.timer = time.AfterFunc(limit, func() { c.cancel(errTimeout) })
	return c
}

// Extend gives the call its time-out anew from now on, and what n bytes get.
func (c *Call) Extend(n int64) {
	if limit := c.limit + Moving(n); c.timer.Reset(limit) {
		c.limit = limit
	}
}

// Stop ends the call's context for a reason.
func (c *Call) Stop(why error) { c.cancel(why) }

// End lets go of what the call holds.
func (c *Call) End() {
	c.timer.Stop()
	c.cancel(nil)
}

// Over returns the error of a call that failed because the caller's context or its time is over; nil if neither is. The caller's
// context may also end while an answer is on its way: what counts is that it has ended.
func (c *Call) Over(what, endpoint string) error {
	switch {
	case c.parent.Err() != nil:
		return fmt.Errorf("%s: %w", what, objstore.Ended(c.parent))
	case errors.Is(context.Cause(c.Ctx), errTimeout):
		return fmt.Errorf("%w: %s: no answer from %s within %s", objstore.ErrUnknown, what, endpoint, c.limit)
	}
	return nil
}

// What is how messages name an operation on a key, which may be empty.
func What(op, key string) string {
	if key == "" {
		return op
	}
	return fmt.Sprintf("%s %q", op, key)
}
