package group

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// List tells of all groups of the slots that this agent leads, sorted by slot and name. It reads the store in a goroutine of its own.
func (c *Coordinator) List(done func([]Listed, error)) {
	c.mu.Lock()
	if c.mu.closed {
		c.mu.Unlock()
		done(nil, ErrNotCoordinator)
		return
	}
	slots := maps.Clone(c.mu.slots)
	c.wg.Go(func() { done(c.list(slots)) })
	c.mu.Unlock()
}

func (c *Coordinator) list(slots map[uint16]int32) ([]Listed, error) {
	var all []Listed
	for _, slot := range slices.Sorted(maps.Keys(slots)) {
		err := c.scan(c.life, slot, func(name string, g records.Group) {
			if g.State != records.GroupRemoved {
				all = append(all, c.listed(name, g))
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// listed is what is known of a group: its state in memory, if it is there, else as it is stored.
func (c *Coordinator) listed(name string, g records.Group) Listed {
	l := Listed{Group: name, Type: g.Type, Kind: g.ProtocolType, State: Empty.String()}
	switch g.State {
	case records.GroupStable:
		l.State = Stable.String()
	case records.GroupJoined:
		l.State = Completing.String()
	}
	c.mu.Lock()
	a := c.mu.groups[name]
	c.mu.Unlock()
	if a != nil {
		if s := a.state.Load(); s != nil {
			l.State = *s
		}
	}
	return l
}

// scan calls yield for each group item of a slot.
func (c *Coordinator) scan(ctx context.Context, slot uint16, yield func(string, records.Group)) error {
	q := metastore.Query{PK: c.cfg.Cluster.GroupsPK(slot), Consistency: metastore.Consistent}
	for {
		var p metastore.Page
		err := retry(ctx, func(ctx context.Context) (err error) { p, err = c.facts.Query(ctx, q); return err })
		if err != nil {
			return failed("list groups", err)
		}
		for _, row := range p.Rows {
			name, err := records.ParseGroupSK(row.SK)
			if err != nil {
				return failed("list groups", err)
			}
			g, err := records.DecodeGroup(row.Item)
			if err != nil {
				c.log.Error("a group cannot be read; somebody must look at the table", "group", name, "err", err)
				continue
			}
			yield(name, g)
		}
		if q.After = p.Next; q.After == "" {
			return nil
		}
	}
}

// wake loads the groups of newly led slots that have members, so that sessions end of members that never come back.
func (c *Coordinator) wake(slot uint16) {
	err := c.scan(c.life, slot, func(name string, g records.Group) {
		if g.State == records.GroupStable || g.State == records.GroupJoined {
			c.send(name, message{serve: func(*actor, time.Time) {}, fail: func(error) {}, gone: func() {}})
		}
	})
	if err != nil && c.life.Err() == nil {
		c.log.Warn("groups with members were not looked for; each is loaded when somebody asks for it", "slot", slot, "err", err)
	}
}
