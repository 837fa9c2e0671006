package topic

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// Delete removes a topic. Errors: ErrUnknown, ErrUnavailable.
func (c *Catalog) Delete(ctx context.Context, name string) error {
	return c.remove(ctx, name, uuid.Nil)
}

// DeleteID removes the topic of an id, never one that was created under its name later, and returns the name it had.
// Errors: ErrUnknown, ErrUnavailable.
func (c *Catalog) DeleteID(ctx context.Context, id uuid.UUID) (string, error) {
	t := c.LookupID(id)
	if t == nil {
		if err := c.CatchUp(ctx); err != nil {
			return "", err
		}
		if t = c.LookupID(id); t == nil {
			return "", fmt.Errorf("%w: id %v", ErrUnknown, id)
		}
	}
	return t.Name, c.remove(ctx, t.Name, id)
}

// remove deletes the topic of name if its id is want; uuid.Nil: whatever it is.
func (c *Catalog) remove(ctx context.Context, name string, want uuid.UUID) error {
	for range 3 { // again only if the topic was created anew meanwhile
		t, err := c.refresh(ctx, name)
		if err != nil {
			return err
		}
		if t == nil || want != uuid.Nil && t.ID != want {
			return unknown(name)
		}
		ch := c.marking(name, t.ID)
		if err := c.commit(ctx, []*change{ch}); err != nil {
			return err
		}
		if ch.failed {
			continue
		}
		c.gone(name, t.ID, true)
		c.wrote(ch.v)
		if err := c.finish(ctx, name, t.ID); err != nil {
			c.log.Warn("topic is deleted, its item is not removed yet", "topic", name, "err", err) // Run does it
		}
		return nil
	}
	return fmt.Errorf("%w: topic %q changes all the time", ErrUnavailable, name)
}

// finish removes the item of a topic that is DELETING. It may be repeated, by any agent. Errors: ErrUnavailable.
func (c *Catalog) finish(ctx context.Context, name string, id uuid.UUID) error {
	ch := &change{name: name, op: func(int64, uuid.UUID) metastore.Op {
		return metastore.Op{
			Kind: metastore.OpDelete, Key: c.o.Cluster.TopicKey(name),
			If: c.isTopic(id, records.TopicDeleting),
		}
	}}
	if err := c.commit(ctx, []*change{ch}); err != nil {
		return err
	}
	c.gone(name, id, false) // a failed condition: somebody else removed it
	if !ch.failed {
		c.wrote(ch.v)
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
