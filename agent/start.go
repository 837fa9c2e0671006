package agent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
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

// markStart leaves a sign in the bucket that the table gave out this start's number, and refuses if a later one is there that
// the table knows nothing of.
func (s *session) markStart(ctx context.Context) error {
	store, keys, n := s.stores.Objects, s.keys, s.member.StartNumber()
	for later := n; later <= n+startsAhead; later++ {
		var found objstore.Object
		err := s.patiently(ctx, func() error {
			var err error
			found, err = store.Get(ctx, keys.Start(later), objstore.Range{})
			return err
		})
		if errors.Is(err, objstore.ErrNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("look for later starts: %w", err)
		}
		if later == n && string(found.Body) == s.member.Session().String()+"\n" {
			continue // our own, from a session that joined twice
		}
		if last, err := s.member.Starts(ctx); err != nil || last < later || later == n {
			return errors.Join(fmt.Errorf("start %d: object %s exists: %w", n, keys.Start(later), errTimeTravel), err)
		}
	}
	var before, after time.Time
	err := s.patiently(ctx, func() error {
		before = time.Now()
		err := store.Put(ctx, keys.Start(n), []byte(s.member.Session().String()+"\n"))
		after = time.Now()
		return err
	})
	if err != nil {
		return fmt.Errorf("mark start %d: %w", n, err)
	}
	s.compareClocks(ctx, keys.Start(n), before, after)
	return nil
}

// clockTolerance is how far the own clock and the object store's may differ without a word: timestamps are not finer than that for
// anybody, and stores tell whole seconds.
const clockTolerance = time.Minute

// compareClocks warns if this host's clock and the object store's differ: before and after are when the object of key was
// written, by the own one. Nothing is decided by it; records get wrong timestamps, and are kept for too long or not long enough.
func (s *session) compareClocks(ctx context.Context, key string, before, after time.Time) {
	found, err := s.stores.Objects.List(ctx, key, "", 1)
	if err != nil || len(found) == 0 || found[0].Key != key || found[0].Modified.IsZero() {
		return // it is but a courtesy
	}
	theirs := found[0].Modified
	off := max(before.Sub(theirs), theirs.Sub(after))
	if off < clockTolerance {
		return
	}
	way := "ahead of"
	if before.Before(theirs) {
		way = "behind"
	}
	s.log.Warn("this host's clock is "+way+" the object store's: records get wrong timestamps here, and are deleted too early or too late; set the clock",
		"by", off.Round(time.Second), "here", after.UTC().Format(time.RFC3339), "store", theirs.UTC().Format(time.RFC3339))
}

// checkBeyond refuses if a session that ended before bundle end has some in the bucket that it can't have written.
func (s *session) checkBeyond(ctx context.Context, id uuid.UUID, end int64) error {
	after := s.keys.WAL(id, uint64(end-1+bundlesAhead))
	var found []objstore.Info
	err := s.patiently(ctx, func() (err error) {
		found, err = s.stores.Objects.List(ctx, s.keys.WALPrefix(id), after, 1)
		return err
	})
	if err != nil {
		return fmt.Errorf("look for later bundles: %w", err)
	}
	if len(found) > 0 {
		return fmt.Errorf("object %s lies beyond the end of its session at %d: %w", found[0].Key, end, errTimeTravel)
	}
	return nil
}

// patiently repeats what a start asks of a store while that is slow or unsure, until ctx ends. It says so when it takes long.
func (a *Agent) patiently(ctx context.Context, do func() error) error {
	pause := 50 * time.Millisecond
	for try := 1; ; try++ {
		err := do()
		if !objstore.Transient(err) && !metastore.Transient(err) {
			return err
		}
		if try == 4 || try%20 == 0 {
			a.log.Warn("a store does not do what it is asked; it is asked again", "try", try, "err", err)
		}
		select {
		case <-time.After(pause/2 + time.Duration(rand.Int64N(int64(pause)))):
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
		pause = min(2*pause, 5*time.Second)
	}
}

// abandon closes a session that led nothing and wrote nothing: nobody has to wait for its TTL.
func (s *session) abandon() {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.StopTime)
	defer cancel()
	if err := s.member.Leave(ctx, 0); err != nil {
		s.log.Warn("the session of a start that failed stays behind; the next start ends it", "session", s.member.Session(), "err", err)
	}
}
