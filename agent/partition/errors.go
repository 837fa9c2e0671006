package partition

import "errors"

// The errors of this package, each with the caller's next move.
var (
	// ErrNotLeader: this agent does not lead the slot, or not any more. The client looks for the leader.
	ErrNotLeader = errors.New("not the leader of the partition's slot")
	// ErrLoading: the slot is being opened. Ask again in a moment.
	ErrLoading = errors.New("slot is being opened")
	// ErrDraining: the slot is being handed over. Ask again in a moment, or ask the new leader: nothing was appended.
	ErrDraining = errors.New("slot is being handed over")
	// ErrOutOfOrder: the producer skipped or repeated a sequence that is not one of its last batches.
	ErrOutOfOrder = errors.New("out of order sequence number")
	// ErrEarly: the slot has a new leader, and the producer's first batch may still be on its way to it. Ask again in a moment.
	ErrEarly = errors.New("an earlier batch of the producer may be on its way from the last leader")
	// ErrProducerEpoch: a newer instance of the producer has written already.
	ErrProducerEpoch = errors.New("producer epoch is older than one seen before")
	// ErrMoved: the tail index is not any more as it was when the caller looked. Look again with Partition.Runs.
	ErrMoved = errors.New("the partition's tail has moved")
	// ErrTimestamp: the batch's largest timestamp is outside of what the topic allows.
	ErrTimestamp = errors.New("timestamp outside of the allowed range")
)
