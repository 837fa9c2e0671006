package group

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
)

// ask has the core take an event. taken, if there is one, is called just before. refuse makes of an error the message that done gets.
func (c *Coordinator) ask(group string, e Event, taken func(), done func(any), refuse func(error) any, create bool) {
	m := message{
		serve: func(a *actor, now time.Time) {
			if taken != nil {
				taken()
			}
			a.step(e, now)
		},
		fail: func(err error) { done(refuse(err)) },
		gone: func() { done(refuse(ErrUnknownMember)) },
	}
	if create {
		m.gone = nil
	}
	if group == "" {
		m.fail(ErrGroupID)
		return
	}
	c.send(group, m)
}

// Join asks to be a member; j.To is not to be set. A group that is not there is made, for a new member.
func (c *Coordinator) Join(group string, j Join, done func(Joined)) {
	if err := c.cfg.Bounds.admit(j); err != nil && group != "" {
		done(refusal(err, j.Member))
		return
	}
	to := func(msg any) { done(msg.(Joined)) }
	taken := j.Taken
	j.To, j.Taken = to, nil
	c.ask(group, j, taken, to, func(err error) any { return refusal(err, j.Member) }, j.Member == "")
}

// Sync asks for an assignment; s.To is not to be set.
func (c *Coordinator) Sync(group string, s Sync, done func(Synced)) {
	to := func(msg any) { done(msg.(Synced)) }
	s.To = to
	c.ask(group, s, nil, to, func(err error) any { return Synced{Err: err} }, false)
}

// Heartbeat is a member's sign of life; h.To is not to be set.
func (c *Coordinator) Heartbeat(group string, h Heartbeat, done func(error)) {
	to := func(msg any) { done(msg.(Beaten).Err) }
	h.To = to
	c.ask(group, h, nil, to, func(err error) any { return Beaten{err} }, false)
}

// Leave takes members out; l.To is not to be set.
func (c *Coordinator) Leave(group string, l Leave, done func(Left)) {
	to := func(msg any) { done(msg.(Left)) }
	l.To = to
	c.ask(group, l, nil, to, func(err error) any { return Left{Err: err} }, false)
}

// ConsumerHeartbeat is a ConsumerGroupHeartbeat; e.To is not to be set. A group that is not there is made, for a member that joins.
func (c *Coordinator) ConsumerHeartbeat(group string, e ConsumerBeat, done func(ConsumerTold)) {
	refuse := func(err error) any {
		if errors.Is(err, ErrUnknownMember) {
			err = e.unknown()
		}
		return ConsumerTold{Err: err, Member: e.Member}
	}
	to := func(msg any) { done(msg.(ConsumerTold)) }
	if group == "" {
		to(refuse(fmt.Errorf("%w: the group id is empty", ErrRequest)))
		return
	}
	if err := e.check(); err != nil {
		to(refuse(err))
		return
	}
	e.To = to
	c.ask(group, e, nil, to, refuse, e.Epoch == joining)
}

// Commit stores offsets. done gets what was refused of single partitions, and one error or nil for all others; after ErrUnavailable they
// may be stored or not.
func (c *Coordinator) Commit(group string, r Commit, done func(refused map[Partition]error, err error)) {
	m := message{
		fail: func(err error) { done(nil, err) },
		gone: func() {
			if r.Epochs {
				done(nil, ErrUnknownGroup)
			} else {
				done(nil, ErrGeneration)
			}
		},
		serve: func(a *actor, now time.Time) {
			refused, err := a.checkCommit(&r, now)
			if err != nil {
				done(nil, err)
				return
			}
			a.stage(r.Offsets, func(err error) { done(refused, err) })
		},
	}
	if r.Generation < 0 {
		m.gone = nil // consumers without a group protocol commit, too
	}
	c.send(group, m)
}

// checkCommit says whether a member may commit, and takes out of r what it may not.
func (a *actor) checkCommit(r *Commit, now time.Time) (refused map[Partition]error, err error) {
	switch g := a.core.(type) {
	case *Classic:
		return nil, g.CheckCommit(r.Member, r.Instance, r.Generation, now)
	case *Consumer:
		may, err := g.CheckCommit(r.Member, r.Generation)
		switch {
		case g.Modern(r.Member) && !r.Epochs:
			return nil, ErrVersion
		case err != nil:
			return nil, err
		}
		for p := range r.Offsets {
			if err := may(p.Topic, p.Index); err != nil {
				if refused == nil {
					refused = map[Partition]error{}
				}
				refused[p] = err
				delete(r.Offsets, p)
			}
		}
	}
	return refused, nil
}

// Asker is who asks for committed offsets: a member at its epoch, or nobody.
type Asker struct {
	Member string
	Epoch  int32 // below 0, and no member: nobody
}

// Fetch tells the stored offsets; none if there is no such group. Errors besides, of members of a group of the newer protocol:
// ErrUnknownMember, ErrStaleEpoch.
func (c *Coordinator) Fetch(group string, who Asker, done func(Offsets, error)) {
	c.send(group, message{
		needs: confirmed,
		fail:  func(err error) { done(Offsets{}, err) },
		gone:  func() { done(Offsets{}, nil) },
		serve: func(a *actor, _ time.Time) {
			if g, ok := a.core.(*Consumer); ok {
				if err := g.CheckFetch(who.Member, who.Epoch); err != nil {
					done(Offsets{}, err)
					return
				}
			}
			done(Offsets{a.pages}, nil)
		},
	})
}

// Describe tells of a classic group; ErrUnknownGroup if there is none.
func (c *Coordinator) Describe(group string, done func(Description, error)) {
	c.send(group, message{
		needs: confirmed,
		fail:  func(err error) { done(Description{}, err) },
		gone:  func() { done(Description{}, ErrUnknownGroup) },
		serve: func(a *actor, _ time.Time) {
			if g, ok := a.core.(*Classic); ok {
				done(g.Describe(), nil)
			} else {
				done(Description{}, fmt.Errorf("%w that is classic", ErrUnknownGroup))
			}
		},
	})
}

// DescribeConsumer tells of a group of the newer protocol; ErrUnknownGroup if there is none.
func (c *Coordinator) DescribeConsumer(group string, done func(ConsumerDescription, error)) {
	if group == "" {
		done(ConsumerDescription{}, ErrGroupID)
		return
	}
	c.send(group, message{
		needs: confirmed,
		fail:  func(err error) { done(ConsumerDescription{}, err) },
		gone:  func() { done(ConsumerDescription{}, ErrUnknownGroup) },
		serve: func(a *actor, _ time.Time) {
			if g, ok := a.core.(*Consumer); ok {
				done(g.Describe(), nil)
			} else {
				done(ConsumerDescription{}, fmt.Errorf("%w of the consumer protocol", ErrUnknownGroup))
			}
		},
	})
}

// Delete removes a group without members, with its offsets. Errors besides: ErrUnknownGroup, ErrNotEmpty.
func (c *Coordinator) Delete(group string, done func(error)) {
	c.send(group, message{
		fail: done,
		gone: func() { done(ErrUnknownGroup) },
		serve: func(a *actor, _ time.Time) {
			if vacant, _ := a.core.vacant(); !vacant {
				done(ErrNotEmpty)
				return
			}
			done(a.delete())
		},
	})
}

// delete removes the group from the metastore; after it the actor has none.
func (a *actor) delete() error {
	a.persist(time.Now(), true)
	a.settleAll()
	err := a.failure
	if err == nil {
		err = a.store.remove(a.ctx)
	}
	if err != nil {
		a.failure = err
		return err
	}
	a.loaded, a.core, a.pages = false, nil, nil
	a.state.Store(nil)
	return nil
}

// settleAll waits until no offsets are to be written any more.
func (a *actor) settleAll() {
	for a.failure == nil && (a.writers > 0 || len(a.dirty) > 0 || len(a.ready) > 0) {
		a.flushed = time.Time{}
		a.flush(time.Now())
		a.beside.Wait()
		var rest []message
		for _, m := range a.take() {
			if m.wrote != nil {
				a.wrote(m.wrote, m.err)
			} else {
				rest = append(rest, m)
			}
		}
		a.mu.Lock()
		a.mu.queue = append(rest, a.mu.queue...)
		a.mu.Unlock()
	}
	if g, ok := a.core.(*Classic); ok && len(g.pending) > 0 {
		g.pending = map[string]time.Time{}
	}
}

// DeleteOffsets forgets committed offsets. subscribed says of a topic whether a member of a group of the given type reads it; then it is told
// ErrSubscribed by each partition. Errors of the whole: ErrUnknownGroup, ErrNotEmpty.
func (c *Coordinator) DeleteOffsets(group string, parts []Partition, topics map[Partition]string, done func(map[Partition]error, error)) {
	if group == "" {
		done(nil, ErrGroupID)
		return
	}
	c.send(group, message{
		fail: func(err error) { done(nil, err) },
		gone: func() { done(nil, ErrUnknownGroup) },
		serve: func(a *actor, _ time.Time) {
			reads, err := a.readers()
			if err != nil {
				done(nil, err)
				return
			}
			each := map[Partition]error{}
			var free []Partition
			for _, p := range parts {
				if reads(p.Topic, topics[p]) {
					each[p] = ErrSubscribed
				} else {
					free = append(free, p)
				}
			}
			a.unstage(free, func(err error) { done(each, err) })
		},
	})
}

// readers says which topics members subscribe to. Error: ErrNotEmpty.
func (a *actor) readers() (reads func(topic uuid.UUID, name string) bool, err error) {
	switch g := a.core.(type) {
	case *Classic:
		read, err := g.subscriptions()
		return func(_ uuid.UUID, name string) bool { return read[name] }, err
	case *Consumer:
		return func(topic uuid.UUID, _ string) bool { return g.Reads(topic) }, nil
	}
	return nil, ErrNotEmpty
}

// Listed is a group in a list.
type Listed struct {
	Group string
	Type  records.GroupType
	Kind  string // protocol type
	State string
}
