package topic

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// finishPauses are the waits of a deletion for the leaders' word before it is left to Run: 1.5 s in all.
var finishPauses = [...]time.Duration{0, 20 * time.Millisecond, 40 * time.Millisecond, 80 * time.Millisecond,
	160 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond}

// Poke makes Run look for changes now: another agent said that there are some.
func (c *Catalog) Poke() {
	select {
	case c.poke <- struct{}{}:
	default:
	}
}

func (c *Catalog) announce() {
	if c.o.Announce != nil {
		c.o.Announce()
	}
}

// confirm says of every DELETING topic that this session has dropped it, once.
func (c *Catalog) confirm(ctx context.Context) error {
	if c.o.Session == uuid.Nil {
		return nil
	}
	c.mu.Lock()
	var todo []uuid.UUID
	for id, said := range c.mu.left {
		if !said {
			todo = append(todo, id)
		}
	}
	c.mu.Unlock()
	g, gctx := errgroup.WithContext(metastore.WithPurpose(ctx, metastore.PurposeTopic))
	g.SetLimit(parallelGets)
	for _, id := range todo {
		g.Go(func() error {
			d := records.Dropped{Session: c.o.Session, TTL: time.Now().Unix() + records.DroppedTTL}
			_, err := retry(gctx, func() (metastore.Item, error) {
				return c.store.Write(gctx, metastore.Op{Kind: metastore.OpPut, Key: c.o.Cluster.DroppedKey(id, c.o.Session), Set: d.Item()})
			})
			if err == nil {
				c.said(id)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("confirm that deleted topics were dropped: %w", err)
	}
	return nil
}

func (c *Catalog) said(id uuid.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, open := c.mu.left[id]; open {
		c.mu.left[id] = true
	}
}

// dropIn tells the agent of a deletion and, once the agent has dropped the topic, notes that this may be said.
func (c *Catalog) dropIn(id uuid.UUID, pending bool) {
	c.dropped(id)
	if !pending {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, open := range c.mu.deleting {
		if open == id {
			c.mu.left[id] = false
			return
		}
	}
}

// free returns those of topics that no leader will append to any more. Whoever becomes a leader later reads the topics
// first. Errors: ErrUnavailable.
func (c *Catalog) free(ctx context.Context, topics map[string]uuid.UUID) (map[string]uuid.UUID, error) {
	if len(topics) == 0 {
		return topics, nil
	}
	leaders, err := c.leaders(ctx)
	if err != nil {
		return nil, err
	}
	free := maps.Clone(topics)
	if len(leaders) == 1 && leaders[0] == c.o.Session { // the usual small cluster: no more reads
		c.mu.Lock()
		defer c.mu.Unlock()
		maps.DeleteFunc(free, func(_ string, id uuid.UUID) bool { _, left := c.mu.left[id]; return !left })
		return free, nil
	}
	if err := c.confirm(ctx); err != nil {
		return nil, err
	}
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelGets)
	for name, id := range topics {
		g.Go(func() error {
			said, err := c.confirmed(gctx, id)
			waiting := slices.ContainsFunc(leaders, func(s uuid.UUID) bool { return !said[s] })
			if err == nil && waiting {
				mu.Lock()
				delete(free, name)
				mu.Unlock()
			}
			return err
		})
	}
	return free, g.Wait()
}

// leaders returns the sessions that lead slots, as a consistent read of the slot map says.
func (c *Catalog) leaders(ctx context.Context) (leaders []uuid.UUID, err error) {
	var flaw error
	err = c.pages(ctx, metastore.Query{PK: c.o.Cluster.SlotsPK(), Consistency: metastore.Consistent}, func(row metastore.Row) {
		s, err := records.DecodeSlot(row.Item)
		if err != nil {
			flaw = fmt.Errorf("slot item %s: %w", row.SK, err)
		} else if !slices.Contains(leaders, s.Leader) {
			leaders = append(leaders, s.Leader)
		}
	})
	if err == nil {
		err = flaw
	}
	return leaders, err
}

// confirmed returns the sessions that have dropped a topic.
func (c *Catalog) confirmed(ctx context.Context, id uuid.UUID) (map[uuid.UUID]bool, error) {
	said := map[uuid.UUID]bool{}
	err := c.pages(ctx, metastore.Query{PK: c.o.Cluster.DroppedPK(id), Consistency: metastore.Consistent}, func(row metastore.Row) {
		if d, err := records.DecodeDropped(row.Item); err == nil {
			said[d.Session] = true
		}
	})
	return said, err
}
