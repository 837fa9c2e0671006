package agent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
)

// How far a start looks for signs that the table is older than the bucket.
const (
	startsAhead  = 8
	bundlesAhead = 64 // no flush starts further than this beyond what is committed
)

// errTimeTravel refuses a start on a table that was set back, or on a bucket that belongs to another table: sequence numbers
// and keys would be given out twice.
var errTimeTravel = errors.New("the table is older than the bucket, or belongs to another one; restore both to the same moment, or use another --cluster")

// markStart leaves a sign in the bucket that the table gave out start number n, and refuses if a later one is there that the
// table knows nothing of. latest reads which number the table gave out last.
func markStart(ctx context.Context, store objstore.Store, keys objstore.Keys, n int64, session uuid.UUID, latest func(context.Context) (int64, error)) error {
	for later := n + 1; later <= n+startsAhead; later++ {
		err := patiently(ctx, func() error {
			_, err := store.Get(ctx, keys.Start(later), objstore.Range{})
			return err
		})
		if errors.Is(err, objstore.ErrNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("look for later starts: %w", err)
		}
		if last, err := latest(ctx); err != nil || last < later {
			return errors.Join(fmt.Errorf("start %d: object %s exists: %w", n, keys.Start(later), errTimeTravel), err)
		}
	}
	err := patiently(ctx, func() error { return store.Put(ctx, keys.Start(n), []byte(session.String()+"\n")) })
	if err != nil {
		return fmt.Errorf("mark start %d: %w", n, err)
	}
	return nil
}

// checkAhead refuses if a session that has ended has bundles in the bucket that it can't have written.
func checkAhead(ctx context.Context, store objstore.Store, keys objstore.Keys, from records.From) error {
	after := keys.WAL(from.Session, uint64(from.End-1+bundlesAhead))
	var found []objstore.Info
	err := patiently(ctx, func() (err error) {
		found, err = store.List(ctx, keys.WALPrefix(from.Session), after, 1)
		return err
	})
	if err != nil {
		return fmt.Errorf("look for later bundles: %w", err)
	}
	if len(found) > 0 {
		return fmt.Errorf("object %s lies beyond the end of its session at %d: %w", found[0].Key, from.End, errTimeTravel)
	}
	return nil
}

// patiently repeats a request to the object store while the store is slow or unsure, until ctx ends.
func patiently(ctx context.Context, do func() error) error {
	pause := 50 * time.Millisecond
	for {
		err := do()
		if !errors.Is(err, objstore.ErrThrottled) && !errors.Is(err, objstore.ErrUnknown) {
			return err
		}
		select {
		case <-time.After(pause/2 + time.Duration(rand.Int64N(int64(pause)))):
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
		pause = min(2*pause, 5*time.Second)
	}
}
