package group

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// What is set of single groups stands in items of its own, which any agent writes. A coordinator with groups of the newer protocol
// reads all of them every configsEvery: there are few.

const (
	configsEvery = 10 * time.Second
	configTries  = 5 // of a change that meets others
)

// Configs returns what is set of a group, by Kafka's names, as a consistent read says. It blocks.
func (c *Coordinator) Configs(ctx context.Context, group string) (map[string]string, error) {
	g, _, err := c.readConfig(ctx, group)
	return g.Configs, err
}

// Configured returns the names of the groups of which something is set, sorted. It blocks.
func (c *Coordinator) Configured(ctx context.Context) ([]string, error) {
	var names []string
	err := c.scanConfigs(ctx, metastore.Consistent, func(name string, _ map[string]string) { names = append(names, name) })
	return names, err
}

// AlterConfigs sets what f makes of what is set; f may be called again. It blocks. An error of f ends it; others: ErrGroupID,
// ErrUnavailable.
func (c *Coordinator) AlterConfigs(ctx context.Context, group string, f func(map[string]string) (map[string]string, error)) error {
	if group == "" || !validName(group) {
		return ErrGroupID
	}
	for range configTries {
		old, there, err := c.readConfig(ctx, group)
		if err != nil {
			return err
		}
		next, err := f(maps.Clone(old.Configs))
		if err != nil || maps.Equal(next, old.Configs) {
			return err
		}
		done, err := c.writeConfig(ctx, group, old, there, next)
		if err != nil {
			return err
		}
		if done {
			c.noteConfig(group, next)
			return nil
		}
	}
	return fmt.Errorf("%w: the configs of group %.100q change all the time", ErrUnavailable, group)
}

// readConfig returns the item of a group's configs; Configs is never nil.
func (c *Coordinator) readConfig(ctx context.Context, group string) (g records.GroupConfig, there bool, err error) {
	var it metastore.Item
	err = retry(ctx, func(ctx context.Context) (err error) {
		it, err = c.facts.Get(ctx, c.cfg.Cluster.GroupConfigKey(group), metastore.Consistent)
		return err
	})
	switch {
	case errors.Is(err, metastore.ErrNotFound):
		return records.GroupConfig{Configs: map[string]string{}}, false, nil
	case err != nil:
		return g, false, failed("read the configs of the group", err)
	}
	if g, err = records.DecodeGroupConfig(it); err != nil {
		return g, false, fmt.Errorf("%w: %w", ErrBad, err)
	}
	return g, true, nil
}

// writeConfig reports false if somebody else changed the item meanwhile.
func (c *Coordinator) writeConfig(ctx context.Context, group string, old records.GroupConfig, there bool, next map[string]string) (bool, error) {
	g := records.GroupConfig{Configs: next, V: old.V + 1, Nonce: uuid.New()}
	op := metastore.Op{Kind: metastore.OpPut, Key: c.cfg.Cluster.GroupConfigKey(group), Set: g.Item()}
	op.If = []metastore.Cond{{Cmp: metastore.ItemAbsent}}
	if there {
		op.If = []metastore.Cond{{Attr: records.AttrV, Cmp: metastore.Eq, Value: metastore.N(old.V)}}
	}
	if len(next) == 0 {
		op.Kind, op.Set = metastore.OpDelete, nil
	}
	err := retry(ctx, func(ctx context.Context) error { _, err := c.facts.Write(ctx, op); return err })
	if now, cond := condition(err); cond {
		if now == nil {
			return len(next) == 0, nil // it has gone, as it shall; or somebody took it away
		}
		return now[records.AttrNonce].Equal(records.IDValue(g.Nonce)), nil
	}
	if err != nil {
		return false, failed("write the configs of the group", err)
	}
	return true, nil
}

// noteConfig has this agent know of a change at once.
func (c *Coordinator) noteConfig(group string, configs map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[string]map[string]string{}
	if known := c.configs.Load(); known != nil {
		all = maps.Clone(*known)
	}
	if all[group] = configs; len(configs) == 0 {
		delete(all, group)
	}
	c.configs.Store(&all)
}

// scanConfigs calls yield for each group of which something is set, in order.
func (c *Coordinator) scanConfigs(ctx context.Context, how metastore.Consistency, yield func(string, map[string]string)) error {
	q := metastore.Query{PK: c.cfg.Cluster.GroupConfigsPK(), Consistency: how}
	for {
		var p metastore.Page
		err := retry(ctx, func(ctx context.Context) (err error) { p, err = c.facts.Query(ctx, q); return err })
		if err != nil {
			return failed("read the configs of groups", err)
		}
		for _, row := range p.Rows {
			name, err := records.ParseGroupSK(row.SK)
			if err != nil {
				return failed("read the configs of groups", err)
			}
			g, err := records.DecodeGroupConfig(row.Item)
			if err != nil {
				c.log.Error("the configs of a group cannot be read; somebody must look at the table", "group", name, "err", err)
				continue
			}
			yield(name, g.Configs)
		}
		if q.After = p.Next; q.After == "" {
			return nil
		}
	}
}

// loadConfigs reads what is set of all groups.
func (c *Coordinator) loadConfigs(ctx context.Context) error {
	c.configsAt.Store(time.Now().UnixNano())
	all := map[string]map[string]string{}
	if err := c.scanConfigs(ctx, metastore.Eventual, func(name string, configs map[string]string) { all[name] = configs }); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.configs.Store(&all)
	return nil
}

// keepConfigs has them read again in a goroutine of its own, if that was long enough ago.
func (c *Coordinator) keepConfigs(now time.Time) {
	at := c.configsAt.Load()
	if now.UnixNano()-at < int64(configsEvery) || !c.configsAt.CompareAndSwap(at, now.UnixNano()) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return
	}
	c.wg.Go(func() {
		if err := c.loadConfigs(c.life); err != nil && c.life.Err() == nil {
			c.log.Warn("what is set of groups was not read; what was known holds", "err", err)
		}
	})
}

// adjusted is what holds for the group: the agent's settings, and what is set of the group itself.
func (a *actor) adjusted() ConsumerBounds {
	if known := a.c.configs.Load(); known != nil {
		if own := (*known)[a.name]; len(own) > 0 {
			return a.c.cfg.Adjust(own, a.c.cfg.Consumer)
		}
	}
	return a.c.cfg.Consumer
}
