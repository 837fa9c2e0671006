package kafka

import (
	"context"

	"github.com/varvelog/varve/objstore/recordbatch"
)

// opening waits for a turn to decompress a batch, which may take twice openLimit of memory: no more are opened at once than
// there are processors to do it. done ends the turn; it is called once. What is not compressed needs none. The error is that
// of ctx.
func (s *Server) opening(ctx context.Context, b recordbatch.Batch) (done func(), err error) {
	if b.Codec() == recordbatch.None {
		return func() {}, ctx.Err()
	}
	select {
	case s.turns <- struct{}{}:
		return func() { <-s.turns }, ctx.Err()
	case <-ctx.Done():
		return func() {}, ctx.Err()
	}
}
