// Pure.

package group

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// ConsumerBounds are the settings of a group whose members speak ConsumerGroupHeartbeat. All must be set but AssignInterval.
type ConsumerBounds struct {
	Session    time.Duration // how long a member may be silent (consumer.session.timeout.ms)
	Heartbeat  time.Duration // how often a member shall speak (consumer.heartbeat.interval.ms)
	MaxMembers int           // group.consumer.max.size
	MaxBytes   int           // of what all members say of themselves
	// AssignInterval is the least time between two assignments of a group of more than assignAtOnce partitions and members, so that a
	// thousand members that come together are not assigned a thousand times. 0: none.
	AssignInterval time.Duration
}

// assignAtOnce is how many partitions and members together are assigned at each change, however often: a few milliseconds' work.
const assignAtOnce = 2000

// Consumer is the state of a group whose members speak ConsumerGroupHeartbeat (KIP-848). It belongs to one goroutine. Read
// consumer_beat.go, consumer_target.go, consumer_reconcile.go, then consumer_stored.go.
//
// The group epoch rises when members, subscriptions or topics change; then a target is computed, which says who shall have which
// partitions. Each member is led there by itself, heartbeat by heartbeat: first it gives up what others shall have, then its epoch
// becomes that of the target, then it is given what nobody holds any more.
type Consumer struct {
	bounds ConsumerBounds
	cat    *Catalogue

	epoch       int32 // of the group
	targetEpoch int32 // of the group when the target was computed
	assignor    string
	members     map[string]*consumer
	order       []string             // ids of members, sorted
	static      map[string]string    // instance id -> member id
	interests   map[string]*interest // by key
	held        ledger
	bytes       int             // what the members say of themselves
	given       map[string]bool // member ids that members were told to join with (KIP-394)

	seen       int64     // version of the catalogue that interests are of
	sum        uint64    // of the topics that the group reads, and their partitions
	assignedAt time.Time // zero: not yet by this coordinator
	emptied    time.Time
	restoredAt int32 // epoch of the target that was stored; see Restore
	settled    bool  // that everybody is where the target wants it is stored, or never was so

	out *Effects // of the step that is being taken
}

// progress says what a member is waiting for.
type progress uint8

const (
	reached   progress = iota // nothing: it is where its target was when it last moved
	unrevoked                 // it shall confirm that it gave partitions up
	missing                   // others hold partitions that it shall have
)

// consumer is one member.
type consumer struct {
	id        string
	instance  *string
	client    string
	host      string
	rack      string
	rebalance time.Duration // how long it may take to give up partitions
	assignor  string        // what it prefers, empty: anything
	wants     *interest

	epoch    int32 // leftForAWhile: a static member that will come back
	previous int32 // epoch before, which is taken once more, as the answer that told the new one may be lost
	progress progress
	target   Parts
	assigned grants // what it was told to have
	revoking grants // what it was told to give up, and did not confirm
	untold   bool   // it was not told of revoking yet

	// Of a member that was read from the store: what it may have been given since (see RestoreConsumer).
	maybe    grants
	restored bool // it has not spoken since

	legacy *legacy // of a member that speaks JoinGroup

	deadline time.Time // of the session
	revokeBy time.Time // until when it must give up, or, speaking JoinGroup, take its next step; zero: nothing
}

// interest is what members subscribe to; members that want the same share one.
type interest struct {
	key    string
	names  []string // sorted
	regex  string
	topics []uuid.UUID // those that there are, in order
	users  int
}

// NewConsumer returns an empty group that nobody ever joined.
func NewConsumer(b ConsumerBounds, cat *Catalogue) *Consumer {
	return &Consumer{
		bounds: b, cat: cat, seen: cat.version, assignor: Uniform, settled: true,
		members: map[string]*consumer{}, static: map[string]string{}, interests: map[string]*interest{}, held: ledger{},
	}
}

// Topics tells of a new version of the topics. The group looks at it when a member speaks next.
type Topics struct{ Catalogue *Catalogue }

func (Topics) event() {}

// Adjust tells of new settings. They hold from each member's next heartbeat on.
type Adjust struct{ Bounds ConsumerBounds }

func (Adjust) event() {}

// Step takes an event: ConsumerBeat, Topics, Adjust, Tick; of members that speak the classic protocol Join, Sync, Heartbeat, Leave. The event's
// slices and maps become the group's.
func (g *Consumer) Step(e Event, now time.Time) Effects {
	var out Effects
	g.out = &out
	switch e := e.(type) {
	case ConsumerBeat:
		g.beat(e, now)
	case Topics:
		g.cat = e.Catalogue
	case Adjust:
		g.bounds = e.Bounds
	case Join:
		g.joinClassic(e, now)
	case Sync:
		g.syncClassic(e, now)
	case Heartbeat:
		g.heartbeatClassic(e, now)
	case Leave:
		g.leaveClassic(e, now)
	case Tick:
		g.tick(now)
	}
	g.out = nil
	return out
}

func (g *Consumer) reply(to, msg any) { g.out.Replies = append(g.out.Replies, Reply{to, msg}) }

// Next returns when a Tick will do something; zero: never by itself.
func (g *Consumer) Next() time.Time {
	var next time.Time
	for _, m := range g.members {
		next = earlier(next, earlier(m.deadline, m.revokeBy))
	}
	if len(g.members) > 0 && g.epoch != g.targetEpoch {
		next = earlier(next, g.assignedAt.Add(g.bounds.AssignInterval))
	}
	return next
}

// Idle reports that nothing is in memory that is not stored, nor has a time-out.
func (g *Consumer) Idle() bool { return len(g.members) == 0 }

// Epoch is the group epoch.
func (g *Consumer) Epoch() int32 { return g.epoch }

// tick removes members that were silent, or kept what they should have given up, for too long.
func (g *Consumer) tick(now time.Time) {
	gone := false
	for _, id := range slices.Clone(g.order) {
		m := g.members[id]
		if !now.Before(m.deadline) || !m.revokeBy.IsZero() && !now.Before(m.revokeBy) {
			g.remove(m)
			gone = true
		}
	}
	if gone {
		g.bump(now)
	}
	g.retarget(now)
	g.settle()
}

// insert adds a member.
func (g *Consumer) insert(m *consumer) {
	g.members[m.id] = m
	i, _ := slices.BinarySearch(g.order, m.id)
	g.order = slices.Insert(g.order, i, m.id)
	if m.instance != nil {
		g.static[*m.instance] = m.id
	}
	g.bytes += m.size()
}

// remove takes a member out. What it held is free.
func (g *Consumer) remove(m *consumer) {
	g.held.add(m.assigned, -1)
	g.held.add(m.revoking, -1)
	g.held.add(m.maybe, -1)
	g.forget(m)
}

// forget takes a member out of all lists.
func (g *Consumer) forget(m *consumer) {
	g.bytes -= m.size()
	g.release(m.wants)
	delete(g.members, m.id)
	if i, ok := slices.BinarySearch(g.order, m.id); ok {
		g.order = slices.Delete(g.order, i, i+1)
	}
	if m.instance != nil && g.static[*m.instance] == m.id {
		delete(g.static, *m.instance)
	}
}

// size is about how many bytes a member takes in the store, its partitions left out.
func (m *consumer) size() int {
	n := perMember + len(m.id) + len(m.client) + len(m.host) + len(m.rack)
	if m.instance != nil {
		n += len(*m.instance)
	}
	if m.wants != nil {
		n += len(m.wants.key)
	}
	if m.legacy != nil {
		n += sizeOf(m.legacy.protocols)
	}
	return n
}
