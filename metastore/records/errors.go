package records

import "errors"

var (
	// ErrFenced: the runs are not in this session's log, and the session will never write again. End the session; a client
	// is told to look for the new leader.
	ErrFenced = errors.New("session is fenced")

	// ErrBadItem: an item read from the metastore does not decode. The message names kind and attribute. Nothing may be
	// concluded from such an item; somebody must look at the table.
	ErrBadItem = errors.New("bad item")

	// ErrBadName: a cluster or agent name outside [a-zA-Z0-9._-]{1,64}.
	ErrBadName = errors.New("bad name")
)
