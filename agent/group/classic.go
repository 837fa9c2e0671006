// Pure.

package group

import (
	"time"
)

// State is a state of a classic group.
type State uint8

// The states: Empty -> Preparing (joins are gathered) -> Completing (the assignment is awaited) -> Stable -> Preparing ...
const (
	Empty State = iota
	Preparing
	Completing
	Stable
)

// String is the name that Kafka's tools show.
func (s State) String() string {
	return [...]string{"Empty", "PreparingRebalance", "CompletingRebalance", "Stable"}[s]
}

// Bounds of a group. All must be set.
type Bounds struct {
	InitialDelay time.Duration // how long the first join waits for more (group.initial.rebalance.delay.ms)
	MinSession   time.Duration
	MaxSession   time.Duration
	MaxMembers   int // group.max.size
	MaxBytes     int // of what all members say of themselves, assignments included
}

// Classic is the state of a group whose members speak JoinGroup and SyncGroup. It belongs to one goroutine. Read join.go,
// rebalance.go, sync.go, leave.go, then stored.go.
type Classic struct {
	bounds Bounds

	state      State
	generation int32
	kind       string // protocol type
	assignor   string // chosen by vote
	leader     string // member that assigns
	members    map[string]*member
	order      []string             // of members, as they came
	static     map[string]string    // instance id -> member id
	pending    map[string]time.Time // ids given out (KIP-394), until when

	deadline  time.Time // of Preparing, or for the Syncs of the generation; zero: none
	initial   bool      // the first members of an empty group are gathered
	remaining time.Duration
	grew      bool // a member came since the delay began
	emptied   time.Time

	out *Effects // of the step that is being taken
}

// member is one member. join and sync are parked requests.
type member struct {
	id         string
	instance   *string
	client     string
	host       string
	session    time.Duration
	rebalance  time.Duration
	protocols  []Protocol
	assignment []byte

	join     any // who waits for the end of Preparing
	sync     any // who waits for the assignment
	synced   bool
	deadline time.Time // of the session; does not count while a request is parked
}

// Protocol is a way to assign that a member knows, and what it says of itself in it, which is opaque.
type Protocol struct {
	Name     string
	Metadata []byte
}

// Event is Join, Sync, Heartbeat, Leave or Tick.
type Event interface{ event() }

// Reply answers a request, which To names as its event did.
type Reply struct {
	To  any
	Msg any // Joined, Synced, Beaten, Left
}

// Effects are what a step comes to. With Save the state must be stored before anybody is answered; if that fails it must be dropped.
type Effects struct {
	Replies []Reply
	Save    bool
}

// NewClassic returns an empty group that nobody ever joined.
func NewClassic(b Bounds) *Classic {
	return &Classic{bounds: b, members: map[string]*member{}, static: map[string]string{}, pending: map[string]time.Time{}}
}

// Tick lets time pass.
type Tick struct{}

func (Tick) event() {}

// Step takes an event. The event's slices become the group's.
func (g *Classic) Step(e Event, now time.Time) Effects {
	var out Effects
	g.out = &out
	switch e := e.(type) {
	case Join:
		g.joinGroup(e, now)
	case Sync:
		g.syncGroup(e, now)
	case Heartbeat:
		g.heartbeat(e, now)
	case Leave:
		g.leaveGroup(e, now)
	case Tick:
		g.tick(now)
	}
	g.out = nil
	return out
}

// reply answers a request.
func (g *Classic) reply(to, msg any) { g.out.Replies = append(g.out.Replies, Reply{to, msg}) }

// Next returns when a Tick will do something; zero: never by itself.
func (g *Classic) Next() time.Time {
	next := g.deadline
	for _, m := range g.members {
		if m.join == nil && m.sync == nil {
			next = earlier(next, m.deadline)
		}
	}
	for _, t := range g.pending {
		next = earlier(next, t)
	}
	return next
}

// Idle reports that nothing is in memory that is not stored, and nothing will happen by itself.
func (g *Classic) Idle() bool { return len(g.members) == 0 && len(g.pending) == 0 && g.state == Empty }

// tick does what is due: sessions that ended first, so that a rebalance does not wait for their members.
func (g *Classic) tick(now time.Time) {
	for id, t := range g.pending {
		if !now.Before(t) {
			delete(g.pending, id)
		}
	}
	gone := false
	for _, id := range append([]string(nil), g.order...) {
		m := g.members[id]
		if m.join == nil && m.sync == nil && !now.Before(m.deadline) {
			g.remove(m, nil)
			gone = true
		}
	}
	if gone {
		g.disturb(now)
	}
	if g.state == Preparing {
		g.tryComplete(now)
	} else if !g.deadline.IsZero() && !now.Before(g.deadline) {
		g.endSync(now)
	}
}

// check finds the member of a request: by its instance id if it has one (KIP-345), else by its id.
func (g *Classic) check(id string, instance *string) (*member, error) {
	if instance != nil {
		owner, ok := g.static[*instance]
		switch {
		case !ok:
			return nil, ErrUnknownMember
		case owner != id:
			return nil, ErrFenced
		}
	}
	m := g.members[id]
	if m == nil {
		return nil, ErrUnknownMember
	}
	return m, nil
}

// Heartbeat is a sign of life.
type Heartbeat struct {
	To         any
	Member     string
	Instance   *string
	Generation int32
}

func (Heartbeat) event() {}

// Beaten answers a Heartbeat.
type Beaten struct{ Err error }

func (g *Classic) heartbeat(e Heartbeat, now time.Time) {
	m, err := g.check(e.Member, e.Instance)
	switch {
	case err != nil:
	case e.Generation != g.generation:
		err = ErrGeneration
	default:
		m.deadline = now.Add(m.session)
		if g.state == Preparing {
			err = ErrRebalance
		}
	}
	g.reply(e.To, Beaten{err})
}

// CheckCommit says whether offsets may be committed by whoever says to be this member, and takes it for a sign of life. A
// commit by nobody (generation -1, no member) is for groups without members.
func (g *Classic) CheckCommit(id string, instance *string, generation int32, now time.Time) error {
	if generation < 0 && id == "" && instance == nil {
		if g.state != Empty {
			return ErrUnknownMember
		}
		return nil
	}
	if generation < 0 && g.state == Empty {
		return nil
	}
	m, err := g.check(id, instance)
	switch {
	case err != nil:
		return err
	case generation != g.generation:
		return ErrGeneration
	}
	m.deadline = now.Add(m.session)
	if g.state == Completing {
		return ErrRebalance
	}
	return nil
}
