package group

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// maxDropped is how many deleted topics are kept in mind until the next check; the offsets of more stay until they expire.
const maxDropped = 1000

// DropTopic forgets what groups committed for a deleted topic: those in memory at once, others at the next check. A group whose slot changes
// hands between the two may keep it until it expires; it is told to nobody, for the id is never used again. It does not block.
func (c *Coordinator) DropTopic(id uuid.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return
	}
	if len(c.mu.dropped) < maxDropped {
		c.mu.dropped[id] = true
	}
	for _, a := range c.mu.groups {
		a.put(forget([]uuid.UUID{id}, func() {}))
	}
}

// forget has an actor drop the offsets of topics. done is called in any case.
func forget(topics []uuid.UUID, done func()) message {
	return message{fail: func(error) { done() }, gone: done, serve: func(a *actor, _ time.Time) {
		var gone []Partition
		for key, p := range a.pages {
			if slices.Contains(topics, key.topic) {
				for index := range p.stored.Offsets {
					gone = append(gone, Partition{key.topic, index})
				}
			}
		}
		a.unstage(gone, func(error) { done() })
	}}
}

// forgetTopics has all groups of this agent forget the topics that were deleted since the last time. One look at each group's pages tells
// whether it must be loaded for that; those are, one after the other.
func (c *Coordinator) forgetTopics() {
	c.mu.Lock()
	topics := slices.Collect(maps.Keys(c.mu.dropped))
	clear(c.mu.dropped)
	slots := slices.Collect(maps.Keys(c.mu.slots))
	c.mu.Unlock()
	if len(topics) == 0 {
		return
	}
	var errs []error
	for _, slot := range slots {
		errs = append(errs, c.scan(c.life, slot, func(name string, _ records.Group) {
			has, err := c.committed(slot, name, topics)
			if errs = append(errs, err); !has {
				return
			}
			done := make(chan struct{})
			c.send(name, forget(topics, func() { close(done) }))
			<-done
		}))
	}
	if err := errors.Join(errs...); err != nil && c.life.Err() == nil {
		c.log.Warn("offsets of deleted topics were not all found; those that are left stay until they expire", "topics", len(topics), "err", err)
	}
}

// committed reports whether a group has offsets of one of topics in the store.
func (c *Coordinator) committed(slot uint16, group string, topics []uuid.UUID) (bool, error) {
	s := store{facts: c.facts, cluster: c.cfg.Cluster, slot: slot, group: group}
	prefix := records.GroupOffsetsPrefix
	if len(topics) == 1 {
		prefix += topics[0].String()
	}
	rows, err := s.rows(c.life, prefix, metastore.Eventual)
	for _, row := range rows {
		if id, _, err := records.ParseGroupOffsetsSK(row.SK); err == nil && slices.Contains(topics, id) {
			return true, nil
		}
	}
	return false, err
}
