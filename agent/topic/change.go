package topic

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// change is what a transaction does to one topic item.
type change struct {
	name string
	op   func(v int64, nonce uuid.UUID) metastore.Op // the item's new version and nonce
	size int                                         // bytes that op writes, about

	// The outcome. Either v is the version of the set of topics that has the change, or failed is set: the condition of op
	// did not hold for old (nil: no such item).
	v      int64
	failed bool
	old    metastore.Item
}

// maxChanges is how many changes fit into a transaction beside the counter and the log entry.
const maxChanges = metastore.MaxTransact - 2

// commit makes all of changes whose conditions hold, in one transaction. There are at most maxChanges and maxBatch bytes
// of them, no name twice. Error: ErrUnavailable, after which some may be made or may yet be.
func (c *Catalog) commit(ctx context.Context, changes []*change) error {
	ctx = metastore.WithPurpose(ctx, metastore.PurposeTopic)
	if err := c.acquire(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer c.release()
	tx := transaction{c: c, pending: changes, nonce: uuid.New(), base: c.newest()}
	tx.counted = tx.base > 0
	var err error
	for try := 0; try < maxTries; {
		var again bool
		if again, err = tx.attempt(ctx); err == nil && !again {
			c.announce()
			return nil
		}
		if err == nil {
			continue // it made progress: one pending change fewer
		}
		if !again {
			break
		}
		try++
		if pause(ctx, try) != nil {
			break
		}
	}
	if tx.unsure {
		if mine, e := tx.mine(ctx); e == nil && mine {
			tx.settle()
			c.announce()
			return nil
		}
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// transaction is a commit under way.
type transaction struct {
	c       *Catalog
	pending []*change
	nonce   uuid.UUID
	base    int64 // the topic version the transaction is built on
	counted bool  // the counter exists
	// unsure: an attempt with this base and these changes may have been applied or may yet be. It is repeated unchanged
	// until something decides. Once a condition fails it cannot be applied any more: either the counter has moved, or a
	// topic's condition fails, which only a move of the counter can mend. Then the log entry tells whether it was; it is
	// read after every failed condition, since a client below the store may have repeated a write whose reply it lost.
	unsure bool
}

// attempt tries once. Without an error, again tells that changes were taken out and the rest is to be tried; with one,
// that it may be tried again.
func (tx *transaction) attempt(ctx context.Context) (again bool, err error) {
	err = tx.c.store.Transact(ctx, tx.ops())
	var cond *metastore.ConditionError
	switch {
	case err == nil:
		tx.settle()
		return false, nil
	case errors.As(err, &cond):
		return tx.refused(ctx, cond)
	case errors.Is(err, metastore.ErrUnknown):
		tx.unsure = true
		return true, err
	case errors.Is(err, metastore.ErrConflict), errors.Is(err, metastore.ErrThrottled):
		return true, err
	case ctx.Err() != nil: // whatever the driver calls it
		tx.unsure = true
	}
	return false, err
}

// refused deals with a failed condition.
func (tx *transaction) refused(ctx context.Context, cond *metastore.ConditionError) (again bool, err error) {
	mine, err := tx.mine(ctx)
	if err != nil {
		tx.unsure = true
		return true, err
	}
	if mine {
		tx.settle()
		return false, nil
	}
	tx.unsure = false
	if i := cond.Index; i < len(tx.pending) {
		ch := tx.pending[i]
		ch.failed, ch.old = true, cond.Old
		tx.pending = append(tx.pending[:i:i], tx.pending[i+1:]...)
		return len(tx.pending) > 0, nil
	}
	_, tx.counted = cond.Old[records.AttrTopic]
	v, e := records.DecodeVersion(cond.Old)
	if e != nil {
		return false, e
	}
	tx.base = v.Topic
	tx.c.heard(v.Topic)
	return true, cond
}

func (tx *transaction) ops() []metastore.Op {
	v := tx.base + 1
	ops := make([]metastore.Op, 0, len(tx.pending)+2)
	entry := records.TopicLog{Version: v, TTL: time.Now().Unix() + records.TopicLogTTL}
	for _, ch := range tx.pending {
		ops = append(ops, ch.op(v, tx.nonce))
		entry.Names = append(entry.Names, ch.name)
	}
	still := metastore.Cond{Attr: records.AttrTopic, Cmp: metastore.Absent}
	if tx.counted {
		still = metastore.Cond{Attr: records.AttrTopic, Cmp: metastore.Eq, Value: metastore.N(tx.base)}
	}
	item := entry.Item()
	item[records.AttrNonce] = records.IDValue(tx.nonce)
	return append(ops,
		metastore.Op{
			Kind: metastore.OpUpdate, Key: tx.c.o.Cluster.VersionKey(),
			Add: map[string]int64{records.AttrTopic: 1}, If: []metastore.Cond{still},
		},
		metastore.Op{Kind: metastore.OpPut, Key: tx.c.o.Cluster.TopicLogKey(v), Set: item},
	)
}

// mine reports whether the log entry that this transaction would write is there and is its own.
func (tx *transaction) mine(ctx context.Context) (bool, error) {
	it, err := metastore.Find(ctx, tx.c.store, tx.c.o.Cluster.TopicLogKey(tx.base+1))
	if err != nil || it == nil {
		return false, err
	}
	nonce, _ := it[records.AttrNonce].Bytes()
	return bytes.Equal(nonce, tx.nonce[:]), nil
}

// settle notes that the pending changes are made.
func (tx *transaction) settle() {
	for _, ch := range tx.pending {
		ch.v = tx.base + 1
	}
}

// newest returns the highest topic version heard of.
func (c *Catalog) newest() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.newest
}

func (c *Catalog) heard(v int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.newest = v
}

// settled notes that the tables have all that the transaction of batch changed.
func (c *Catalog) settled(batch []*change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ch := range batch {
		if ch.v == 0 {
			continue
		}
		c.mu.newest = max(c.mu.newest, ch.v)
		if c.mu.seen == ch.v-1 {
			c.mu.seen = ch.v
		}
		return
	}
}

// pause waits before try number try is repeated: 10 ms doubling to 640 ms, half of it by chance. Error: that of ctx.
func pause(ctx context.Context, try int) error {
	d := 10 * time.Millisecond << min(try-1, 6)
	return sleep(ctx, d/2+rand.N(d/2))
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// batches cuts changes into pieces that one transaction takes.
func batches(changes []*change) [][]*change {
	var out [][]*change
	for len(changes) > 0 {
		n, size := 0, 0
		for n < len(changes) && n < maxChanges && (n == 0 || size+changes[n].size <= maxBatch) {
			size += changes[n].size
			n++
		}
		out = append(out, changes[:n])
		changes = changes[n:]
	}
	return out
}
