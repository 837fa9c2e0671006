package topic

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// Target is a topic to delete.
type Target struct {
	Name string    // empty: by ID
	ID   uuid.UUID // never a topic that was created under the name later; uuid.Nil: whatever has the name
}

// Deleted is what became of a Target.
type Deleted struct {
	Name string    // empty if it is not known
	ID   uuid.UUID // of the topic that was removed
	Err  error     // ErrUnknown, ErrUnavailable
}

// Delete removes a topic. Errors: ErrUnknown, ErrUnavailable.
func (c *Catalog) Delete(ctx context.Context, name string) error {
	return c.DeleteAll(ctx, []Target{{Name: name}})[0].Err
}

// DeleteAll removes topics, as many as possible with one transaction, and returns for each what became of it. A topic named
// twice is removed once, and unknown the second time.
func (c *Catalog) DeleteAll(ctx context.Context, targets []Target) []Deleted {
	out := make([]Deleted, len(targets))
	todo := make([]int, 0, len(targets))
	taken := map[string]struct{}{}
	caughtUp := false
	for i, target := range targets {
		if target.Name == "" && !caughtUp && c.LookupID(target.ID) == nil {
			if err := c.CatchUp(ctx); err != nil {
				out[i].Err = err
				continue
			}
			caughtUp = true
		}
		out[i] = c.target(target)
		if out[i].Err != nil {
			continue
		}
		if _, twice := taken[out[i].Name]; twice {
			out[i].Err = unknown(out[i].Name)
			continue
		}
		taken[out[i].Name] = struct{}{}
		todo = append(todo, i)
	}
	for round := 0; len(todo) > 0 && round < 3; round++ { // again only for topics that were created anew meanwhile
		c.resolve(ctx, targets, out, todo)
		todo = c.deleteRound(ctx, out, todo)
	}
	for _, i := range todo {
		out[i].Err = fmt.Errorf("%w: topic %q changes all the time", ErrUnavailable, out[i].Name)
	}
	return out
}

// target finds out the name of target.
func (c *Catalog) target(target Target) Deleted {
	if target.Name != "" {
		return Deleted{Name: target.Name}
	}
	if t := c.LookupID(target.ID); t != nil {
		return Deleted{Name: t.Name}
	}
	return Deleted{Err: fmt.Errorf("%w: id %v", ErrUnknown, target.ID)}
}

// resolve reads the ids that the names of todo have now.
func (c *Catalog) resolve(ctx context.Context, targets []Target, out []Deleted, todo []int) {
	var g errgroup.Group
	g.SetLimit(parallelGets)
	for _, i := range todo {
		g.Go(func() error {
			t, err := c.refresh(ctx, out[i].Name)
			switch want := targets[i].ID; {
			case err != nil:
				out[i].Err = err
			case t == nil || want != uuid.Nil && t.ID != want:
				out[i].Err = unknown(out[i].Name)
			default:
				out[i].ID = t.ID
			}
			return nil
		})
	}
	_ = g.Wait()
}

// deleteRound marks the topics of todo that have no error DELETING and removes them. It returns those to look at again.
func (c *Catalog) deleteRound(ctx context.Context, out []Deleted, todo []int) (again []int) {
	var changes []*change
	var of []int // the index in out of each change
	for _, i := range todo {
		if out[i].Err == nil {
			changes, of = append(changes, c.marking(out[i].Name, out[i].ID)), append(of, i)
		}
	}
	for _, batch := range batches(changes) {
		err := c.commit(ctx, batch)
		marked := map[string]uuid.UUID{}
		for n, ch := range batch {
			switch d := &out[of[n]]; {
			case ch.v > 0:
				marked[d.Name] = d.ID
			case ch.failed:
				again = append(again, of[n])
			default:
				d.Err = err
			}
		}
		of = of[len(batch):]
		for name, id := range marked {
			c.gone(name, id, true)
		}
		c.settled(batch)
		c.finishSoon(ctx, marked)
	}
	return again
}

// finishSoon removes the items of topics once the leaders have dropped them. What takes longer is left to Run.
func (c *Catalog) finishSoon(ctx context.Context, topics map[string]uuid.UUID) {
	for _, pause := range finishPauses {
		if sleep(ctx, pause) != nil {
			return
		}
		free, err := c.free(ctx, topics)
		if err == nil {
			err = c.finish(ctx, free)
		}
		if err != nil {
			c.log.Warn("topics are deleted, their items are not removed yet", "topics", len(topics), "err", err) // Run does it
			return
		}
		if maps.DeleteFunc(topics, func(name string, _ uuid.UUID) bool { _, done := free[name]; return done }); len(topics) == 0 {
			return
		}
	}
	c.log.Info("topics are deleted; their names are free once every leader has heard of it", "topics", len(topics))
}

// finish removes the items of topics that are DELETING, as many as one transaction takes. It may be repeated, by any agent.
// Errors: ErrUnavailable.
func (c *Catalog) finish(ctx context.Context, topics map[string]uuid.UUID) error {
	if err := c.queueData(ctx, topics); err != nil {
		return err
	}
	changes := make([]*change, 0, len(topics))
	for name, id := range topics {
		changes = append(changes, &change{name: name, op: func(int64, uuid.UUID) metastore.Op {
			return metastore.Op{
				Kind: metastore.OpDelete, Key: c.o.Cluster.TopicKey(name),
				If: c.isTopic(id, records.TopicDeleting),
			}
		}})
	}
	for _, batch := range batches(changes) {
		if err := c.commit(ctx, batch); err != nil {
			return err
		}
		for _, ch := range batch {
			c.gone(ch.name, topics[ch.name], false) // a failed condition: somebody else removed it
		}
		c.settled(batch)
	}
	return nil
}

// marking is the change that makes a topic DELETING.
func (c *Catalog) marking(name string, id uuid.UUID) *change {
	return &change{name: name, op: func(v int64, nonce uuid.UUID) metastore.Op {
		return metastore.Op{
			Kind: metastore.OpUpdate, Key: c.o.Cluster.TopicKey(name),
			Set: metastore.Item{
				records.AttrState: records.TopicDeleting.Value(),
				records.AttrV:     metastore.N(v),
				records.AttrNonce: records.IDValue(nonce),
			},
			If: c.isTopic(id, records.TopicActive),
		}
	}}
}

func (c *Catalog) isTopic(id uuid.UUID, state records.TopicState) []metastore.Cond {
	return []metastore.Cond{
		{Attr: records.AttrID, Cmp: metastore.Eq, Value: records.IDValue(id)},
		{Attr: records.AttrState, Cmp: metastore.Eq, Value: state.Value()},
	}
}

func unknown(name string) error { return fmt.Errorf("%w: %.260q", ErrUnknown, name) }

// storeError is err of a read as a caller sees it.
func storeError(err error) error {
	if errors.Is(err, ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
