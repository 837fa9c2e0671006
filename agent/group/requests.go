package group

import (
	"time"

	"github.com/varvelog/varve/metastore/records"
)

// ask has the core take an event. refuse makes of an error the message that done gets.
func (c *Coordinator) ask(group string, e Event, done func(any), refuse func(error) any, create bool) {
	m := message{
		serve: func(a *actor, now time.Time) { a.step(e, now) },
		fail:  func(err error) { done(refuse(err)) },
		gone:  func() { done(refuse(ErrUnknownMember)) },
	}
	if create {
		m.gone = nil
	}
	c.send(group, m)
}

// Join asks to be a member; j.To is not to be set. A group that is not there is made, for a new member.
func (c *Coordinator) Join(group string, j Join, done func(Joined)) {
	if group == "" {
		done(refusal(ErrGroupID, j.Member))
		return
	}
	to := func(msg any) { done(msg.(Joined)) }
	j.To = to
	c.ask(group, j, to, func(err error) any { return refusal(err, j.Member) }, j.Member == "")
}

// Sync asks for an assignment; s.To is not to be set.
func (c *Coordinator) Sync(group string, s Sync, done func(Synced)) {
	to := func(msg any) { done(msg.(Synced)) }
	s.To = to
	c.ask(group, s, to, func(err error) any { return Synced{Err: err} }, false)
}

// Heartbeat is a member's sign of life; h.To is not to be set.
func (c *Coordinator) Heartbeat(group string, h Heartbeat, done func(error)) {
	to := func(msg any) { done(msg.(Beaten).Err) }
	h.To = to
	c.ask(group, h, to, func(err error) any { return Beaten{err} }, false)
}

// Leave takes members out; l.To is not to be set.
func (c *Coordinator) Leave(group string, l Leave, done func(Left)) {
	to := func(msg any) { done(msg.(Left)) }
	l.To = to
	c.ask(group, l, to, func(err error) any { return Left{Err: err} }, false)
}

// Commit stores offsets. done gets one error or nil for all of them; after ErrUnavailable they may be stored or not.
func (c *Coordinator) Commit(group string, r Commit, done func(error)) {
	m := message{
		fail: done,
		gone: func() { done(ErrGeneration) },
		serve: func(a *actor, now time.Time) {
			if err := a.core.CheckCommit(r.Member, r.Instance, r.Generation, now); err != nil {
				done(err)
				return
			}
			a.stage(r.Offsets, done)
		},
	}
	if r.Generation < 0 {
		m.gone = nil // consumers without a group protocol commit, too
	}
	c.send(group, m)
}

// Fetch tells the stored offsets; none if there is no such group.
func (c *Coordinator) Fetch(group string, done func(Offsets, error)) {
	c.send(group, message{
		needs: confirmed,
		fail:  func(err error) { done(Offsets{}, err) },
		gone:  func() { done(Offsets{}, nil) },
		serve: func(a *actor, _ time.Time) { done(Offsets{a.pages}, nil) },
	})
}

// Describe tells of a group; ErrUnknownGroup if there is none.
func (c *Coordinator) Describe(group string, done func(Description, error)) {
	c.send(group, message{
		needs: confirmed,
		fail:  func(err error) { done(Description{}, err) },
		gone:  func() { done(Description{}, ErrUnknownGroup) },
		serve: func(a *actor, _ time.Time) { done(a.core.Describe(), nil) },
	})
}

// Delete removes a group without members, with its offsets. Errors besides: ErrUnknownGroup, ErrNotEmpty.
func (c *Coordinator) Delete(group string, done func(error)) {
	c.send(group, message{
		fail: done,
		gone: func() { done(ErrUnknownGroup) },
		serve: func(a *actor, _ time.Time) {
			if a.core.state != Empty {
				done(ErrNotEmpty)
				return
			}
			done(a.delete())
		},
	})
}

// delete removes the group from the metastore; after it the actor has none.
func (a *actor) delete() error {
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
	if a.core != nil && len(a.core.pending) > 0 {
		a.core.pending = map[string]time.Time{}
	}
}

// DeleteOffsets forgets committed offsets. subscribed says of a topic whether a member of a group of the given type reads it; then it is told
// ErrSubscribed by each partition. Errors of the whole: ErrUnknownGroup, ErrNotEmpty.
func (c *Coordinator) DeleteOffsets(group string, parts []Partition, topics map[Partition]string, done func(map[Partition]error, error)) {
	c.send(group, message{
		fail: func(err error) { done(nil, err) },
		gone: func() { done(nil, ErrUnknownGroup) },
		serve: func(a *actor, _ time.Time) {
			read, err := a.core.subscriptions()
			if err != nil {
				done(nil, err)
				return
			}
			each := map[Partition]error{}
			var free []Partition
			for _, p := range parts {
				if read[topics[p]] {
					each[p] = ErrSubscribed
				} else {
					free = append(free, p)
				}
			}
			a.unstage(free, func(err error) { done(each, err) })
		},
	})
}

// Listed is a group in a list.
type Listed struct {
	Group string
	Type  records.GroupType
	Kind  string // protocol type
	State string
}
