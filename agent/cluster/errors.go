package cluster

import (
	"errors"
	"fmt"
	"time"
)

// NameInUseError: another process runs under the agent's name. Stop that one, or take another name.
type NameInUseError struct {
	Name, Address string
	Since         time.Time
}

func (e *NameInUseError) Error() string {
	return fmt.Sprintf("agent %s runs at %s since %s: stop it, or give this one another --name", e.Name, e.Address, e.Since.UTC().Format(time.RFC3339))
}

// AddressInUseError: another agent that lives tells clients the same address.
type AddressInUseError struct{ Address, Agent string }

func (e *AddressInUseError) Error() string {
	return fmt.Sprintf("agent %s advertises %s already: give this one another --advertise or --listen", e.Agent, e.Address)
}

// errAlive: a session that was to be fenced gave a sign of life.
var errAlive = errors.New("its heartbeat moved: an agent of this name is alive")
