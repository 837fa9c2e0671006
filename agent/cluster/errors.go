package cluster

import (
	"errors"
	"fmt"
	"time"
)

// ErrSlots: the cluster was made with another number of slots; it can't change.
var ErrSlots = errors.New("number of slots differs from the cluster's")

// NameInUseError: another process runs under the agent's name. Stop that one, or take another name.
type NameInUseError struct {
	Name, Address string
	Since         time.Time
}

func (e *NameInUseError) Error() string {
	return fmt.Sprintf("agent %s runs at %s since %s: stop it, or give this one another --name", e.Name, e.Address, e.Since.UTC().Format(time.RFC3339))
}
