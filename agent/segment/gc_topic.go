package segment

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
)

// partitionsAtOnce is how many partitions of a deleted topic are cleared at once.
const partitionsAtOnce = 8

// dropTopic deletes what a deleted topic has in segments: per partition the objects, then the extents that name them, then the item. No
// link can come any more, because each checks the topic.
func (c *Collector) dropTopic(ctx context.Context, topic uuid.UUID, partitions int32) error {
	return atOnce(ctx, partitionsAtOnce, int(partitions), func(ctx context.Context, i int) error {
		if err := c.dropPartition(ctx, topic, int32(i)); err != nil {
			return fmt.Errorf("partition %d of deleted topic %s: %w", i, topic, err)
		}
		return nil
	})
}

// dropPartition repeats nothing: each page that was done is gone.
func (c *Collector) dropPartition(ctx context.Context, topic uuid.UUID, index int32) error {
	pk := c.d.Cluster.PartitionPK(topic, index)
	for {
		var page metastore.Page
		err := patiently(ctx, func(ctx context.Context) (err error) {
			page, err = c.d.Facts.Query(ctx, metastore.Query{PK: pk, Prefix: records.ExtentPrefix, Limit: objstore.MaxDelete, Consistency: metastore.Consistent})
			return err
		})
		if err != nil {
			return fmt.Errorf("read extents: %w", err)
		}
		if err := c.dropExtents(ctx, topic, index, page.Rows); err != nil {
			return err
		}
		if len(page.Rows) == 0 && page.Next == "" {
			return c.remove(ctx, c.d.Cluster.PartitionKey(topic, index))
		}
	}
}

// dropExtents deletes the objects of extents, and then the extents.
func (c *Collector) dropExtents(ctx context.Context, topic uuid.UUID, index int32, rows []metastore.Row) error {
	if len(rows) == 0 {
		return nil
	}
	keys := make([]string, len(rows))
	for i, row := range rows {
		e, err := records.DecodeExtent(row.Item)
		if err != nil {
			return err
		}
		keys[i] = c.d.Keys.Segment(topic, index, e.Base, e.Segment)
	}
	if err := c.deleteKeys(ctx, keys); err != nil {
		return err
	}
	for _, row := range rows {
		if err := c.remove(ctx, metastore.Key{PK: c.d.Cluster.PartitionPK(topic, index), SK: row.SK}); err != nil {
			return err
		}
	}
	return nil
}

// remove deletes an item.
func (c *Collector) remove(ctx context.Context, key metastore.Key) error {
	return patiently(ctx, func(ctx context.Context) error {
		_, err := c.d.Facts.Write(ctx, metastore.Op{Kind: metastore.OpDelete, Key: key})
		return err
	})
}
