// Package txn hands out producer ids. The transaction coordinator will live here too.
//
// Goroutines: a Next that finds no id starts one that takes a block for all who wait, and that ends after fetchTimeout at
// most. Locks: IDs.mu, never held over a store call.
package txn

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// ErrUnavailable: the metastore gave no block of ids in time. Ask again.
var ErrUnavailable = errors.New("no producer ids: metastore is unavailable")

const (
	blockSize    = 1000 // ids taken with one write, as in Kafka
	fetchTries   = 6
	fetchTimeout = 5 * time.Second
)

// IDs hands out producer ids that no other agent hands out and that were never handed out before. It may be used by many
// goroutines.
type IDs struct {
	store   metastore.Store
	cluster records.Cluster
	fetches singleflight.Group

	mu struct {
		sync.Mutex
		next, end int64 // what is left of the block
	}
}

// NewIDs returns a source of ids. It takes its first block when the first id is asked for.
func NewIDs(store metastore.Store, cluster records.Cluster) *IDs {
	return &IDs{store: store, cluster: cluster}
}

// Next returns an id. Errors: ErrUnavailable.
func (i *IDs) Next(ctx context.Context) (int64, error) {
	for {
		if id, ok := i.take(); ok {
			return id, nil
		}
		// The write outlives the caller who started it: others wait for the block too.
		fetched := i.fetches.DoChan("", func() (any, error) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
			defer cancel()
			return nil, i.fetch(ctx)
		})
		select {
		case r := <-fetched:
			if r.Err != nil {
				return 0, r.Err
			}
		case <-ctx.Done():
			return 0, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
		}
	}
}

func (i *IDs) take() (int64, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.mu.next == i.mu.end {
		return 0, false
	}
	i.mu.next++
	return i.mu.next - 1, true
}

// fetch takes a block. One whose write has an unknown outcome is never used, whatever became of it: the next try takes
// another.
func (i *IDs) fetch(ctx context.Context) error {
	i.mu.Lock()
	left := i.mu.end - i.mu.next
	i.mu.Unlock()
	if left > 0 {
		return nil // a block came between the caller's look and this flight
	}
	ctx = metastore.WithPurpose(ctx, metastore.PurposeOther)
	op := metastore.Op{Kind: metastore.OpUpdate, Key: i.cluster.IDsKey(), Add: map[string]int64{records.AttrProducer: 1}}
	for try := 1; ; try++ {
		it, err := i.store.Write(ctx, op)
		if err == nil {
			return i.begin(it)
		}
		if try == fetchTries || errors.Is(err, metastore.ErrRefused) || pause(ctx, try) != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
}

// begin starts on the block whose number is in it, the counters as they are after the write.
func (i *IDs) begin(it metastore.Item) error {
	ids, err := records.DecodeIDs(it)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if ids.Producer < 1 {
		return fmt.Errorf("%w: the counter stands at %d after a block was taken", ErrUnavailable, ids.Producer)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.mu.next, i.mu.end = (ids.Producer-1)*blockSize, ids.Producer*blockSize
	return nil
}

// pause waits before try number try is repeated: 10 ms doubling to 320 ms, half of it by chance. Error: that of ctx.
func pause(ctx context.Context, try int) error {
	d := 10 * time.Millisecond << min(try-1, 5)
	t := time.NewTimer(d/2 + rand.N(d/2))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
