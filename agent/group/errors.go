package group

import "errors"

// The errors of requests, each with the caller's next move.
var (
	// ErrNotCoordinator: another agent coordinates the group, or will: look for it again.
	ErrNotCoordinator = errors.New("this agent does not coordinate the group")
	// ErrLoading: the slot or the group is being opened, or too much waits: the same again, here, a moment later.
	ErrLoading = errors.New("the group is being loaded")
	// ErrUnavailable: the metastore does not answer; what was asked for may have happened. Try again.
	ErrUnavailable = errors.New("the store of groups is not available")
	// ErrUnknownMember: join anew, without a member id.
	ErrUnknownMember = errors.New("the group has no such member")
	// ErrGeneration: the member missed a rebalance: join again.
	ErrGeneration = errors.New("the generation is not the group's")
	// ErrRebalance: join again to take part in the rebalance.
	ErrRebalance = errors.New("the group is rebalancing")
	// ErrFenced: another member has taken the instance id: stop.
	ErrFenced = errors.New("another member has the instance id")
	// ErrProtocol: no assignor that all members know, or another type of members: configure them alike.
	ErrProtocol = errors.New("the member's protocols do not fit the group's")
	// ErrMemberIDRequired: join again with the id that comes with this error (KIP-394).
	ErrMemberIDRequired = errors.New("join again with the member id")
	// ErrSessionTimeout: the session time-out is out of the agent's bounds: change it.
	ErrSessionTimeout = errors.New("session time-out out of bounds")
	// ErrFull: the group has as many members, or as many bytes of what they say, as it may.
	ErrFull = errors.New("the group is full")
	// ErrGroupID: the name cannot be a group's.
	ErrGroupID = errors.New("invalid group id")
	// ErrUnknownGroup: there is no such group.
	ErrUnknownGroup = errors.New("there is no such group")
	// ErrNotEmpty: the group has members: stop them first.
	ErrNotEmpty = errors.New("the group has members")
	// ErrSubscribed: a member reads the topic: its offsets stay.
	ErrSubscribed = errors.New("the group is subscribed to the topic")
	// ErrMetadataTooLarge: what stands beside the offset is longer than offset.metadata.max.bytes.
	ErrMetadataTooLarge = errors.New("metadata of the offset is too large")
	// ErrOtherType: the group speaks another protocol.
	ErrOtherType = errors.New("the group has another type")
	// ErrBad: what the group's items say cannot be understood; somebody must look at the table.
	ErrBad = errors.New("the group cannot be read")
)
