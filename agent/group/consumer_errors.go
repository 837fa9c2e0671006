package group

import "errors"

// The errors of members that speak ConsumerGroupHeartbeat, beside those in errors.go, each with the member's next move.
var (
	// ErrRequest: the request contradicts itself: a mistake in the client.
	ErrRequest = errors.New("invalid request")
	// ErrFencedEpoch: give up all partitions and join anew, with epoch 0.
	ErrFencedEpoch = errors.New("the member's epoch is not the one it was given")
	// ErrStaleEpoch: the next heartbeat tells a newer epoch: try again with that.
	ErrStaleEpoch = errors.New("the member's epoch is stale")
	// ErrUnreleased: another member has the instance id and has not left: stop that one, or wait for the end of its session.
	ErrUnreleased = errors.New("another member still has the instance id")
	// ErrAssignor: ask for an assignor that the agent has.
	ErrAssignor = errors.New("there is no such assignor")
	// ErrVersion: a member of the newer protocol commits by a request that knows no epochs: use a newer version.
	ErrVersion = errors.New("the version of the request knows no member epochs")
	// ErrRegex: change the regular expression.
	ErrRegex = errors.New("invalid regular expression")
)
