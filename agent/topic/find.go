package topic

import (
	"context"
	"maps"
	"time"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// Find is Lookup, and if that knows nothing one consistent read, shared by all who ask for the name meanwhile. That a
// name is unknown is remembered for a second. Errors: ErrUnknown, ErrName, ErrUnavailable.
func (c *Catalog) Find(ctx context.Context, name string) (*Topic, error) {
	if t := c.Lookup(name); t != nil {
		return t, nil
	}
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if c.knownUnknown(name) {
		return nil, unknown(name)
	}
	if err := ctx.Err(); err != nil {
		return nil, storeError(err)
	}
	// The read outlives the caller who started it: others wait for it too.
	found := c.finds.DoChan(name, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
		defer cancel()
		t, err := c.refresh(ctx, name)
		if t == nil && err == nil {
			c.noteUnknown(name)
		}
		return t, err
	})
	select {
	case r := <-found:
		if r.Err != nil {
			return nil, r.Err
		}
		if t := r.Val.(*Topic); t != nil {
			return t, nil
		}
		return nil, unknown(name)
	case <-ctx.Done():
		return nil, storeError(ctx.Err())
	}
}

// refresh reads the item of name consistently into the tables. It returns nil if there is none, or one that is DELETING.
// Error: ErrUnavailable.
func (c *Catalog) refresh(ctx context.Context, name string) (*Topic, error) {
	asked := c.now()
	r, err := c.read(ctx, name)
	switch {
	case err != nil:
		return nil, err
	case r == nil:
		c.forget(name, asked)
		return nil, nil
	}
	c.learn(*r)
	if r.State != records.TopicActive {
		return nil, nil
	}
	return fromRecord(*r, c.o.Settings), nil
}

// read returns the item of name, nil if there is none or cannot be one. Error: ErrUnavailable.
func (c *Catalog) read(ctx context.Context, name string) (*records.Topic, error) {
	if CheckName(name) != nil {
		return nil, nil
	}
	ctx = metastore.WithPurpose(ctx, metastore.PurposeTopic)
	it, err := retry(ctx, func() (metastore.Item, error) {
		return metastore.Find(ctx, c.store, c.o.Cluster.TopicKey(name))
	})
	if err != nil || it == nil {
		return nil, err
	}
	r, err := records.DecodeTopic(it)
	if err != nil {
		c.unreadable(name, err)
		return nil, storeError(err)
	}
	return &r, nil
}

// retry repeats a read that the store was too busy for. Error: ErrUnavailable.
func retry[T any](ctx context.Context, f func() (T, error)) (T, error) {
	for try := 1; ; try++ {
		v, err := f()
		if err == nil {
			return v, nil
		}
		if !metastore.Transient(err) || try == maxReads || pause(ctx, try) != nil {
			return v, storeError(err)
		}
	}
}

// knownUnknown reports whether a read has just shown that there is no topic of name.
func (c *Catalog) knownUnknown(name string) bool {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	until, there := c.mu.unknown[name]
	if there && now.After(until) {
		delete(c.mu.unknown, name)
		there = false
	}
	return there
}

// noteUnknown remembers that there is no topic of name.
func (c *Catalog) noteUnknown(name string) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.mu.swept) > negativeTime {
		c.mu.swept = now
		maps.DeleteFunc(c.mu.unknown, func(_ string, until time.Time) bool { return now.After(until) })
	}
	if len(c.mu.unknown) < maxNegatives {
		c.mu.unknown[name] = now.Add(negativeTime)
	}
}
