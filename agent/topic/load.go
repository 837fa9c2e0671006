package topic

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// Load reads all topics. After it, and after CatchUp, a topic id that is not in the catalogue is that of no topic, or of one
// that is DELETING; its data may go. Errors: ErrUnavailable; also records.ErrBadItem if an item does not decode, with all
// others read.
func (c *Catalog) Load(ctx context.Context) error {
	if err := c.load(metastore.WithPurpose(ctx, metastore.PurposeTopic)); err != nil {
		return fmt.Errorf("load topics: %w", err)
	}
	return c.whole()
}

func (c *Catalog) load(ctx context.Context) error {
	asked := c.now()
	v, err := c.version(ctx, metastore.Consistent) // before the items: changes after it are looked for again
	if err != nil {
		return err
	}
	found := map[string]struct{}{}
	q := metastore.Query{PK: c.o.Cluster.TopicsPK(), Consistency: metastore.Consistent}
	err = c.pages(ctx, q, func(row metastore.Row) {
		found[row.SK] = struct{}{}
		r, err := records.DecodeTopic(row.Item)
		if err != nil {
			c.unreadable(row.SK, err)
			return
		}
		c.learn(r)
	})
	if err != nil {
		return err
	}
	c.names.all(func(e *entry) {
		if _, ok := found[e.topic.Name]; !ok {
			c.forget(e.topic.Name, asked)
		}
	})
	c.saw(v, nil, found)
	return nil
}

// CatchUp makes the catalogue at least as new as the moment of the call, by consistent reads. Errors: as Load.
func (c *Catalog) CatchUp(ctx context.Context) error {
	if err := c.follow(metastore.WithPurpose(ctx, metastore.PurposeTopic), metastore.Consistent); err != nil {
		return fmt.Errorf("catch up with topics: %w", err)
	}
	return c.whole()
}

// toldPolls is how many polls go by without a look, where Poke tells of changes and nothing is left to finish.
const toldPolls = 20

// Run follows changes of other agents and finishes deletions that nobody else finishes, until ctx ends.
func (c *Catalog) Run(ctx context.Context) {
	ctx = metastore.WithPurpose(ctx, metastore.PurposePoll)
	tick := time.NewTicker(c.o.Poll)
	defer tick.Stop()
	var failing bool
	var deleting map[string]uuid.UUID // of the last round: who began them had the time since
	for polls := 1; ; polls++ {
		how := metastore.Eventual
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if c.o.Told && polls%toldPolls != 0 && !failing && c.undisturbed() {
				continue
			}
		case <-c.poke:
			how = metastore.Consistent // an eventual read may not have what was told yet
		}
		err := c.follow(ctx, how)
		if err == nil {
			err = c.confirm(ctx)
		}
		if err == nil {
			deleting, err = c.finishAll(ctx, deleting)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			c.log.Warn("changes of topics are not seen for the moment", "err", err)
		} else if err == nil && failing {
			c.log.Info("changes of topics are seen again")
		}
		failing = err != nil
	}
}

// undisturbed reports whether no deletion is under way.
func (c *Catalog) undisturbed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.mu.deleting) == 0 && len(c.mu.left) == 0
}

// finishAll finishes those deletions of old that are still open, and returns those open now.
func (c *Catalog) finishAll(ctx context.Context, old map[string]uuid.UUID) (map[string]uuid.UUID, error) {
	c.mu.Lock()
	open := maps.Clone(c.mu.deleting)
	c.mu.Unlock()
	late := maps.Clone(open)
	maps.DeleteFunc(late, func(name string, id uuid.UUID) bool { return old[name] != id })
	late, err := c.free(ctx, late)
	if err == nil {
		err = c.finish(ctx, late)
	}
	if err != nil {
		return open, fmt.Errorf("finish deletion of %d topics: %w", len(late), err)
	}
	maps.DeleteFunc(open, func(name string, id uuid.UUID) bool { return late[name] == id })
	return open, nil
}

// follow reads the version, and if it is new what has changed since.
func (c *Catalog) follow(ctx context.Context, how metastore.Consistency) error {
	v, err := c.version(ctx, how)
	if err != nil {
		return err
	}
	c.mu.Lock()
	seen := c.mu.seen
	c.mu.Unlock()
	if v <= seen {
		return nil
	}
	names, last, err := c.changed(ctx, seen)
	if err != nil {
		return err
	}
	if last < v || len(names) > reloadAbove {
		return c.load(ctx)
	}
	missing, err := c.refreshAll(ctx, names)
	if err != nil {
		return err
	}
	c.saw(last, missing, nil)
	return nil
}

// refreshAll reads the items of names, and returns the names that no topic has.
func (c *Catalog) refreshAll(ctx context.Context, names map[string]struct{}) (missing []string, err error) {
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelGets)
	for name := range names {
		g.Go(func() error {
			t, err := c.refresh(gctx, name)
			if errors.Is(err, records.ErrBadItem) { // noted; the other topics are served all the same
				return nil
			}
			if err == nil && t == nil {
				mu.Lock()
				missing = append(missing, name)
				mu.Unlock()
			}
			return err
		})
	}
	return missing, g.Wait()
}

// changed returns the names in the log entries after seen, and the version up to which the log has no gap.
func (c *Catalog) changed(ctx context.Context, seen int64) (names map[string]struct{}, last int64, err error) {
	names, last = map[string]struct{}{}, seen
	now := time.Now().Unix()
	q := metastore.Query{
		PK: c.o.Cluster.TopicLogPK(), After: c.o.Cluster.TopicLogKey(seen).SK, Consistency: metastore.Consistent,
	}
	err = c.pages(ctx, q, func(row metastore.Row) {
		l, err := records.DecodeTopicLog(row.Item)
		if err != nil || l.Version != last+1 || l.Expired(now) {
			return // a gap: what follows does not continue it
		}
		last = l.Version
		for _, n := range l.Names {
			names[n] = struct{}{}
		}
	})
	return names, last, err
}

// pages calls f with every row of q. Error: ErrUnavailable.
func (c *Catalog) pages(ctx context.Context, q metastore.Query, f func(metastore.Row)) error {
	for {
		page, err := retry(ctx, func() (metastore.Page, error) { return c.store.Query(ctx, q) })
		if err != nil {
			return err
		}
		for _, row := range page.Rows {
			f(row)
		}
		if page.Next == "" {
			return nil
		}
		q.After = page.Next
	}
}

// version returns the topic version, 0 before the first change. Error: ErrUnavailable.
func (c *Catalog) version(ctx context.Context, how metastore.Consistency) (int64, error) {
	return retry(ctx, func() (int64, error) {
		it, err := c.store.Get(ctx, c.o.Cluster.VersionKey(), how)
		if errors.Is(err, metastore.ErrNotFound) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		v, err := records.DecodeVersion(it)
		return v.Topic, err
	})
}

// saw notes that the tables have every change up to version v, and that reads after it found no topics of the names missing, or of any
// but found: what an older answer showed of others meanwhile goes.
func (c *Catalog) saw(v int64, missing []string, found map[string]struct{}) {
	var stale []uuid.UUID
	c.mu.Lock()
	if found != nil {
		c.names.all(func(e *entry) {
			if _, ok := found[e.topic.Name]; !ok {
				missing = append(missing, e.topic.Name)
			}
		})
	}
	for _, name := range missing {
		if e := c.names.get(name); e != nil && e.topic.V <= v {
			c.removeLocked(e.topic)
			stale = append(stale, e.topic.ID)
		}
	}
	c.mu.seen, c.mu.newest = max(c.mu.seen, v), max(c.mu.newest, v)
	c.mu.Unlock()
	for _, id := range stale {
		c.dropped(id)
	}
}
