package group

import (
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
)

// core is the state of a group, of either protocol: *Classic or *Consumer.
type core interface {
	Step(e Event, now time.Time) Effects
	// Next returns when a Tick will do something; zero: never by itself.
	Next() time.Time
	// Idle reports that nothing is in memory that is not stored, and nothing will happen by itself.
	Idle() bool
	// Record returns what is to be stored.
	Record() (records.Group, []records.GroupMember)
	// Abort answers everything that is parked. The core may not be used after it.
	Abort(err error) Effects
	// shown is the state as lists tell it.
	shown() string
	// vacant reports that the group has no members, and since when: zero if nobody ever joined.
	vacant() (bool, time.Time)
	// unread tells, of a group with members, of which topics no member needs offsets, as far as the topics are known; nil: of none.
	unread(topics *Catalogue) func(topic uuid.UUID) bool
}

func (g *Classic) shown() string { return g.state.String() }

func (g *Classic) vacant() (bool, time.Time) { return g.state == Empty, g.emptied }

func (g *Consumer) shown() string { return g.State() }

func (g *Consumer) vacant() (bool, time.Time) { return len(g.members) == 0, g.emptied }

// Abort answers nothing: no request of this protocol is parked.
func (g *Consumer) Abort(error) Effects { return Effects{} }

// soon returns when a Tick will do something for a member or for the whole, after a step of that member that changed nothing that is
// stored: all else is due when it was. zero: not sooner than before.
func (g *Consumer) soon(id string) time.Time {
	var at time.Time
	if m := g.members[id]; m != nil {
		at = earlier(m.deadline, m.revokeBy)
	}
	if g.epoch != g.targetEpoch && len(g.members) > 0 {
		at = earlier(at, g.assignedAt.Add(g.bounds.AssignInterval))
	}
	return at
}

// earlier returns the first of two times, of which zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
