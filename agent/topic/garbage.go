package topic

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// queueData puts into the garbage queue what DELETING topics have in segments. It comes before their items go: those are the last that
// know of it. Nobody links a segment any more, because a link checks that its topic is ACTIVE.
func (c *Catalog) queueData(ctx context.Context, topics map[string]uuid.UUID) error {
	g, gctx := errgroup.WithContext(metastore.WithPurpose(ctx, metastore.PurposeTopic))
	g.SetLimit(parallelGets)
	for name, id := range topics {
		g.Go(func() error { return c.queueTopic(gctx, name, id) })
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("%w: queue the data of deleted topics: %w", ErrUnavailable, err)
	}
	return nil
}

// queueTopic does it for one, unless its item is gone: then somebody has.
func (c *Catalog) queueTopic(ctx context.Context, name string, id uuid.UUID) error {
	it, err := retry(ctx, func() (metastore.Item, error) {
		return metastore.Find(ctx, c.store, c.o.Cluster.TopicKey(name))
	})
	if err != nil || it == nil {
		return err
	}
	t, err := records.DecodeTopic(it)
	if err != nil || t.ID != id || t.State != records.TopicDeleting || len(t.Slots) == 0 {
		return err
	}
	garbage := records.Garbage{ID: id, Partitions: int32(len(t.Slots)), NotBefore: time.Now().Add(c.o.Grace).UnixMilli()}
	_, err = retry(ctx, func() (metastore.Item, error) {
		return c.store.Write(ctx, metastore.Op{Kind: metastore.OpPut, Key: c.o.Cluster.GarbageKey(garbage), Set: garbage.Item()})
	})
	return err
}
