package wal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// snapshots is what the committer knows of them. One is written at a time, by a goroutine of its own.
type snapshots struct {
	last    time.Time // when the last one was begun
	flushes int       // committed since
	failed  bool      // the last one was not recorded
	running bool
	done    chan snapshotEnd // has room for the one that runs
	kept    []string         // keys of the recorded ones that are not deleted
	wanted  []chan error     // who waits for one that is not begun yet
	serving []chan error     // who waits for the one that runs
}

type snapshotEnd struct {
	key string
	err error
}

// Snapshot returns nil once a snapshot of everything that was committed at the time of the call is durable and named by the
// session item. If one is there already nothing is written. Errors: records.ErrFenced, or that of ctx, and then the
// snapshot may still come; else it was not written or not recorded, and the next one will cover it.
func (l *Log) Snapshot(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case l.wanted <- done:
	case <-l.ended:
		return records.ErrFenced
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Snapped returns the sequence number up to which the session item is known to name a snapshot.
func (l *Log) Snapped() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.snap
}

// snapshotIfDue begins a snapshot of what is committed, if somebody wants one or it is time. An idle session writes none.
func (c *committer) snapshotIfDue(ctx context.Context) {
	if c.snap.running {
		return
	}
	if c.prefix.committed == c.Snapped() {
		tell(&c.snap.wanted, nil)
	}
	due := time.Since(c.snap.last) >= c.cfg.SnapshotInterval || c.cfg.SnapshotFlushes > 0 && c.snap.flushes >= c.cfg.SnapshotFlushes
	if len(c.snap.wanted) == 0 && (c.snap.flushes == 0 && !c.snap.failed || !due) {
		return
	}
	c.snap.last, c.snap.flushes, c.snap.running = time.Now(), 0, true
	c.snap.serving, c.snap.wanted = c.snap.wanted, nil
	seq, state := c.prefix.committed, c.sink.Capture()
	c.wg.Go(func() {
		key, err := c.recordSnapshot(ctx, seq, state)
		if err != nil && ctx.Err() == nil {
			c.logger.Warn("a snapshot was not written; the next one will cover it", "seq", seq, "err", err)
		}
		c.snap.done <- snapshotEnd{key, err}
	})
}

// snapshotDone notes how the snapshot that ran came out.
func (c *committer) snapshotDone(ctx context.Context, end snapshotEnd) {
	c.snap.running, c.snap.failed = false, end.err != nil
	tell(&c.snap.serving, end.err)
	if end.err == nil {
		c.forgetOld(ctx, end.key)
	}
}

// tell answers all who wait.
func tell(who *[]chan error, err error) {
	for _, done := range *who {
		done <- err
	}
	*who = nil
}

// snapshotLast writes a last snapshot, so that a restart replays nothing. Without it a restart takes longer, no more: it leaves
// half of the time to what comes after, the closing of the session.
func (c *committer) snapshotLast(ctx context.Context) {
	c.mu.Lock()
	stopAt := c.mu.stopAt
	c.mu.Unlock()
	if !stopAt.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(stopAt)/2)
		defer cancel()
	}
	if c.snap.running {
		select {
		case end := <-c.snap.done:
			c.snapshotDone(ctx, end)
		case <-ctx.Done():
			return
		}
	}
	if c.prefix.committed > c.Snapped() {
		if _, err := c.recordSnapshot(ctx, c.prefix.committed, c.sink.Capture()); err != nil {
			c.logger.Warn("the last snapshot was not written; the next start replays more", "err", err)
			return
		}
	}
	tell(&c.snap.wanted, nil)
}

// snapshotsKept is how many recorded snapshots of a session stay: the one that the item names, and the one before, for
// whoever read the item a moment ago.
const snapshotsKept = 2

// forgetOld deletes the snapshot that two newer ones of this session have replaced. Each snapshot repeats the whole tail index, so
// keeping all would cost the square of the log. One that cannot be deleted is left to the sweep.
func (c *committer) forgetOld(ctx context.Context, key string) {
	c.snap.kept = append(c.snap.kept, key)
	if len(c.snap.kept) <= snapshotsKept {
		return
	}
	old := c.snap.kept[0]
	c.snap.kept = c.snap.kept[1:]
	c.wg.Go(func() {
		dctx, cancel := context.WithTimeout(objstore.WithPurpose(ctx, objstore.PurposeGC), c.cfg.Timeout)
		defer cancel()
		if err := c.store.Delete(dctx, old); err != nil && ctx.Err() == nil {
			c.logger.Warn("an old snapshot was not deleted", "key", old, "err", err)
		}
	})
}

// recordSnapshot makes a snapshot durable and names it in the session item. It returns the key of the one that the item names
// then.
func (l *Log) recordSnapshot(ctx context.Context, seq uint64, state Captured) (string, error) {
	id, _, err := l.WriteSnapshot(ctx, seq, state.Footer())
	if err != nil {
		return "", err
	}
	ours := id
	err = retry(ctx, func() error {
		wctx, cancel := context.WithTimeout(metastore.WithPurpose(ctx, metastore.PurposeSlot), l.cfg.Timeout)
		defer cancel()
		_, err := l.facts.Write(wctx, snapOp(l.key, seq, id))
		err = judgeSnap(err, id)
		var other *otherSnapshot
		if errors.As(err, &other) {
			seq, id, err = other.seq, other.id, nil
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("record snapshot: %w", err)
	}
	if id == ours {
		state.Recorded()
	} // else the item names an earlier one, which goes on counting as one of unknown outcome
	l.mu.Lock()
	l.mu.snap = max(l.mu.snap, seq)
	l.mu.Unlock()
	return l.cfg.Keys.Snapshot(l.cfg.Session, seq, id), nil
}

// WriteSnapshot PUTs a snapshot of the state after bundle seq and returns its id and key.
func (l *Log) WriteSnapshot(ctx context.Context, seq uint64, f *bundle.Footer) (uuid.UUID, string, error) {
	if err := f.Check(bundle.SNAP, bundle.HeaderLen); err != nil {
		return uuid.Nil, "", fmt.Errorf("write snapshot: %w", err)
	}
	id := uuid.New()
	key := l.cfg.Keys.Snapshot(l.cfg.Session, seq, id)
	body := l.pool.Get(bundle.HeaderLen + bundle.FooterSize(f))
	defer body.Release()
	encodeSnapshot(body, bundle.Header{Kind: bundle.SNAP, Cluster: l.cfg.ClusterID, Session: l.cfg.Session, Seq: seq}, f)
	err := retry(ctx, func() error {
		pctx, cancel := context.WithTimeout(objstore.WithPurpose(ctx, objstore.PurposeSnapshot), l.cfg.PutTimeout)
		defer cancel()
		return l.store.Put(pctx, key, body.Bytes())
	})
	if err != nil {
		return uuid.Nil, "", fmt.Errorf("write snapshot: %w", err)
	}
	l.metrics.snapshot(body.Len())
	return id, key, nil
}

func encodeSnapshot(body *memory.Buf, h bundle.Header, f *bundle.Footer) {
	out := bundle.AppendHeader(body.Bytes()[:0], h)
	body.SetBytes(bundle.AppendFooter(out, bundle.SNAP, f))
}

// Trim says in the session item that nobody needs bundles of this session below seq, which only the caller can know: no higher
// than a recorded snapshot + 1, any pin, and what logs and recorded snapshots name. Those that were needed until now are queued for
// deletion after Config.Grace, each once. To say less than before does nothing. pins is the version of the session's pins that the caller
// looked at; 0: there were none. One call at a time. Errors: records.ErrFenced; ErrTrimTooFar, if no recorded snapshot covers seq - 1;
// ErrPinned, if the pins have another version; else the outcome is unknown: try again.
func (l *Log) Trim(ctx context.Context, seq uint64, pins int64) error {
	err := retry(ctx, func() error {
		ops := l.trim.ops(seq, pins, time.Now())
		if len(ops) == 0 {
			return nil
		}
		wctx, cancel := context.WithTimeout(metastore.WithPurpose(ctx, metastore.PurposeSlot), l.cfg.Timeout)
		defer cancel()
		return l.trim.judge(l.facts.Transact(wctx, ops), seq)
	})
	if err != nil {
		return fmt.Errorf("trim to %d: %w", seq, err)
	}
	return nil
}

// snapshotTries bounds how often a snapshot is tried: there will be another.
const snapshotTries = 10

// retry repeats do while the outcome is unknown or the store refuses for now.
func retry(ctx context.Context, do func() error) error {
	pause := 50 * time.Millisecond
	for try := 1; ; try++ {
		err := do()
		if err == nil || try == snapshotTries || errors.Is(err, records.ErrFenced) || errors.Is(err, ErrTrimTooFar) || errors.Is(err, ErrPinned) {
			return err
		}
		if !sleep(ctx, pause/2+time.Duration(rand.Int64N(int64(pause)))) {
			return errors.Join(err, ctx.Err())
		}
		pause = min(2*pause, 2*time.Second)
	}
}
