// Pure.

package group

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Member epochs with a meaning of their own.
const (
	joining       = 0
	leaving       = -1
	leftForAWhile = -2 // a static member that keeps its place until its session ends
)

// ConsumerBeat is a ConsumerGroupHeartbeat. A field that is nil, or a Rebalance below 0, is as it was told before.
type ConsumerBeat struct {
	To        any
	Member    string // chosen by the client; of version 0, which may not have chosen, the agent has
	Epoch     int32  // the last one told; 0 joins, -1 leaves, -2 leaves for a while (static members)
	Instance  *string
	Rack      *string
	Rebalance time.Duration
	Names     []string // topics
	Regex     *string  // topics by name; empty: none
	Assignor  *string  // server-side; empty: any
	Owned     Parts
	Client    string
	Host      string
}

func (ConsumerBeat) event() {}

// full reports that the member tells all of itself, because it does not know what arrived.
func (e *ConsumerBeat) full() bool {
	return e.Epoch == joining || e.Rebalance >= 0 && (e.Names != nil || e.Regex != nil) && e.Owned != nil
}

// ConsumerTold answers a ConsumerBeat.
type ConsumerTold struct {
	Err      error
	Member   string
	Epoch    int32
	Interval time.Duration // until the next heartbeat
	Assigned Parts         // all that the member shall have; nil: as told before
}

// unknown is what somebody is told who is no member. franz-go 1.22 leaves for a while without its instance id, which Kafka refuses, and must
// wait for the end of its own session then: a static member may do that.
func (e *ConsumerBeat) unknown() error {
	if e.Epoch == leftForAWhile && e.Instance == nil {
		return fmt.Errorf("%w: member epoch -2 is for members with an instance id", ErrRequest)
	}
	return ErrUnknownMember
}

// beat takes a heartbeat. Whatever it refuses leaves the group as it was.
func (g *Consumer) beat(e ConsumerBeat, now time.Time) {
	told := ConsumerTold{Member: e.Member}
	err := e.check()
	switch {
	case err != nil:
	case e.Epoch < 0:
		told.Epoch, err = e.Epoch, g.leave(e, now)
	default:
		told, err = g.converse(e, now)
	}
	if err != nil {
		told = ConsumerTold{Err: err, Member: e.Member}
	}
	g.reply(e.To, told)
}

// check refuses what no group would take.
func (e *ConsumerBeat) check() error {
	empty := func(s *string) bool { return s != nil && *s == "" }
	bad := func(why string) error { return fmt.Errorf("%w: %s", ErrRequest, why) }
	switch {
	case e.Member == "":
		return bad("the member id is empty")
	case empty(e.Instance):
		return bad("the instance id is empty")
	case empty(e.Rack):
		return bad("the rack is empty")
	case e.Epoch < leftForAWhile:
		return bad("the member epoch is below -2")
	case e.Epoch == joining && e.Rebalance < 0:
		return bad("the rebalance time-out is missing in the first heartbeat")
	case e.Epoch == joining && e.Names == nil && e.Regex == nil:
		return bad("the topics are missing in the first heartbeat")
	case e.Epoch == joining && (e.Owned == nil || len(e.Owned) > 0):
		return bad("the partitions must be an empty list in the first heartbeat")
	case e.Assignor != nil && *e.Assignor != "" && !slices.Contains(Assignors(), *e.Assignor):
		return fmt.Errorf("%w: %.100q; there are: %s", ErrAssignor, *e.Assignor, strings.Join(Assignors(), ", "))
	}
	return nil
}

// converse is a heartbeat of a member that joins or stays.
func (g *Consumer) converse(e ConsumerBeat, now time.Time) (ConsumerTold, error) {
	e.Owned = ordered(e.Owned)
	m, old, err := g.identify(&e)
	if err != nil {
		return ConsumerTold{}, err
	}
	wants, err := g.wanted(&e, cmp.Or(m, old))
	if err != nil {
		return ConsumerTold{}, err
	}
	if err := g.room(&e, m, old, wants); err != nil {
		return ConsumerTold{}, err
	}
	if m == nil {
		m = g.enter(&e, old)
	}
	if m.epoch == leftForAWhile {
		g.out.Save, g.settled = true, false // it is back, under the id that it had
	}
	m.deadline = now.Add(g.bounds.Session)
	changed := g.describe(m, &e, wants) || old == nil && m.epoch == joining
	if g.refresh() || changed {
		g.bump(now)
	}
	g.retarget(now)
	tell := g.reconcile(m, &e, now)
	g.settle()
	told := ConsumerTold{Member: m.id, Epoch: m.epoch, Interval: g.bounds.Heartbeat}
	if tell || e.full() {
		told.Assigned = m.assigned.parts()
		m.untold = false
	}
	return told, nil
}

func ordered(p Parts) Parts {
	if p == nil {
		return nil
	}
	return p.normal()
}

// identify finds the member that speaks: nil if it is new. old is a static member whose place a new one takes.
func (g *Consumer) identify(e *ConsumerBeat) (m, old *consumer, err error) {
	m = g.members[e.Member]
	if e.Instance != nil {
		owner, ok := g.static[*e.Instance]
		switch {
		case !ok && e.Epoch != joining:
			return nil, nil, ErrUnknownMember
		case ok && owner != e.Member && e.Epoch != joining:
			return nil, nil, ErrFenced
		case ok && owner != e.Member:
			old = g.members[owner]
			if old.epoch != leftForAWhile && old.legacy == nil {
				return nil, nil, fmt.Errorf("%w: instance id %.100q, member %.100q", ErrUnreleased, *e.Instance, owner)
			}
			if m != nil {
				return nil, nil, fmt.Errorf("%w: the member has another instance id", ErrRequest)
			}
			return nil, old, nil
		}
	}
	switch {
	case m == nil && e.Epoch != joining, m != nil && m.legacy != nil:
		return nil, nil, ErrUnknownMember
	case m == nil:
		return nil, nil, nil
	case e.Epoch == joining && !same(m.instance, e.Instance):
		return nil, nil, fmt.Errorf("%w: the member has another instance id", ErrRequest)
	}
	return m, nil, g.checkEpoch(m, e)
}

func same(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }

// checkEpoch checks the epoch that a known member says it is at. The one before the last is taken once more if all it has it was given:
// then the answer that told the last was lost.
func (g *Consumer) checkEpoch(m *consumer, e *ConsumerBeat) error {
	switch {
	case e.Epoch == joining, e.Epoch == m.epoch:
		return nil
	case m.restored && e.Epoch == g.restoredAt && e.Epoch > m.epoch:
		return nil
	case e.Epoch == m.previous && e.Epoch < m.epoch && e.Owned != nil && e.Owned.within(m.assigned):
		return nil
	}
	return fmt.Errorf("%w: %d, it is %d", ErrFencedEpoch, e.Epoch, m.epoch)
}

// room refuses members, or what they say, beyond the group's bounds.
func (g *Consumer) room(e *ConsumerBeat, m, old *consumer, wants *interest) error {
	if m == nil && old == nil && len(g.members) >= g.bounds.MaxMembers {
		return fmt.Errorf("%w: it has %d members", ErrFull, len(g.members))
	}
	more := len(e.Client) + len(e.Host) + len(wants.key)
	if m == nil {
		more += perMember + len(e.Member)
		if e.Instance != nil {
			more += len(*e.Instance)
		}
	} else {
		more -= len(m.wants.key) + len(m.client) + len(m.host)
	}
	if e.Rack != nil {
		more += len(*e.Rack)
	}
	if more > 0 && g.bytes+more > g.bounds.MaxBytes {
		return fmt.Errorf("%w: members may say %d bytes of themselves", ErrFull, g.bounds.MaxBytes)
	}
	return nil
}

// enter adds a member, in the place of old if there is one. It has old's partitions and begins at epoch 0.
func (g *Consumer) enter(e *ConsumerBeat, old *consumer) *consumer {
	m := &consumer{id: e.Member, instance: e.Instance}
	if old != nil {
		g.letGo(old) // whoever comes in its place has nothing
		m.target, m.assigned = old.target, old.assigned
		m.rebalance, m.assignor, m.rack, m.wants = old.rebalance, old.assignor, old.rack, old.wants
		m.wants.users++
		g.forget(old)
	}
	g.out.Save, g.settled = true, false
	g.insert(m)
	return m
}

// describe notes what a member says of itself, and returns whether it wants other topics than before.
func (g *Consumer) describe(m *consumer, e *ConsumerBeat, wants *interest) bool {
	g.bytes -= m.size()
	before, assignor, rack, rebalance := m.wants, m.assignor, m.rack, m.rebalance
	if e.Assignor != nil {
		m.assignor = *e.Assignor
	}
	if e.Rack != nil {
		m.rack = *e.Rack
	}
	if e.Rebalance >= 0 {
		m.rebalance = e.Rebalance
	}
	m.client, m.host = e.Client, e.Host
	m.wants = g.share(wants)
	g.release(before)
	g.bytes += m.size()
	if assignor != m.assignor || rack != m.rack || rebalance != m.rebalance {
		g.out.Save = true
	}
	return before != m.wants
}

// leave takes a member out, or, with epoch -2, keeps its place for its next run.
func (g *Consumer) leave(e ConsumerBeat, now time.Time) error {
	m := g.members[e.Member]
	if e.Instance != nil {
		owner, ok := g.static[*e.Instance]
		if ok && owner != e.Member {
			return ErrFenced
		}
	}
	switch {
	case e.Epoch == leftForAWhile && e.Instance == nil && (m == nil || m.instance == nil):
		return e.unknown()
	case m == nil || m.legacy != nil || e.Instance != nil && !same(m.instance, e.Instance):
		return ErrUnknownMember
	case e.Epoch == leftForAWhile:
		g.letGo(m)
		m.epoch, m.previous, m.progress = leftForAWhile, 0, reached
		g.out.Save, g.settled = true, false
		g.settle()
		return nil
	}
	g.remove(m)
	g.bump(now)
	g.retarget(now)
	g.settle()
	return nil
}
