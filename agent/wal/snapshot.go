package wal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// snapshots is what the committer remembers of them.
type snapshots struct {
	last    time.Time // when the last one was begun
	flushes int       // committed since
	running atomic.Bool
	failed  atomic.Bool // the last one was not recorded
	kept    []string    // keys of the recorded ones that are not deleted; guarded by running
}

// snapshotIfDue begins a snapshot of what is committed. An idle session writes none.
func (c *committer) snapshotIfDue(ctx context.Context) {
	due := time.Since(c.snap.last) >= c.cfg.SnapshotInterval || c.cfg.SnapshotFlushes > 0 && c.snap.flushes >= c.cfg.SnapshotFlushes
	if c.snap.flushes == 0 && !c.snap.failed.Load() || !due || !c.snap.running.CompareAndSwap(false, true) {
		return
	}
	c.snap.last, c.snap.flushes = time.Now(), 0
	seq, footer := c.prefix.committed, c.sink.Capture()
	c.wg.Go(func() {
		defer c.snap.running.Store(false)
		key, err := c.recordSnapshot(ctx, seq, footer())
		c.snap.failed.Store(err != nil)
		if err == nil {
			c.forgetOld(ctx, key)
		} else if ctx.Err() == nil {
			c.logger.Warn("a snapshot was not written; the next one will cover it", "seq", seq, "err", err)
		}
	})
}

// snapshotNow writes a last snapshot, so that a restart replays nothing. Without it a restart takes longer, no more: it leaves
// half of the time to what comes after, the closing of the session.
func (c *committer) snapshotNow(ctx context.Context) {
	c.mu.Lock()
	stopAt := c.mu.stopAt
	c.mu.Unlock()
	if !stopAt.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(stopAt)/2)
		defer cancel()
	}
	for c.snap.running.Load() {
		if !sleep(ctx, time.Millisecond) {
			return
		}
	}
	if c.snap.flushes == 0 && !c.snap.failed.Load() {
		return
	}
	if _, err := c.recordSnapshot(ctx, c.prefix.committed, c.sink.Capture()()); err != nil {
		c.logger.Warn("the last snapshot was not written; the next start replays more", "err", err)
	}
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
	dctx, cancel := context.WithTimeout(objstore.WithPurpose(ctx, objstore.PurposeGC), c.cfg.Timeout)
	defer cancel()
	if err := c.store.Delete(dctx, old); err != nil && ctx.Err() == nil {
		c.logger.Warn("an old snapshot was not deleted", "key", old, "err", err)
	}
}

// recordSnapshot makes a snapshot durable and names it in the session item. It returns its key.
func (l *Log) recordSnapshot(ctx context.Context, seq uint64, f *bundle.Footer) (string, error) {
	id, key, err := l.WriteSnapshot(ctx, seq, f)
	if err != nil {
		return "", err
	}
	refused := false
	err = retry(ctx, func() error {
		wctx, cancel := context.WithTimeout(metastore.WithPurpose(ctx, metastore.PurposeSlot), l.cfg.Timeout)
		defer cancel()
		_, err := l.facts.Write(wctx, snapOp(l.key, seq, id))
		var cond *metastore.ConditionError
		if errors.As(err, &cond) { // our own earlier try, or the session is over
			now, derr := records.DecodeSession(cond.Old)
			refused = derr != nil || now.SnapID != id
			return nil
		}
		return err
	})
	if err == nil && refused {
		err = errors.New("the session item did not take the snapshot: the session is over, or a newer one is there")
	}
	return key, err
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

// snapshotTries bounds how often a snapshot is tried: there will be another.
const snapshotTries = 10

func retry(ctx context.Context, do func() error) error {
	pause := 50 * time.Millisecond
	for try := 1; ; try++ {
		err := do()
		if err == nil || try == snapshotTries {
			return err
		}
		if !sleep(ctx, pause/2+time.Duration(rand.Int64N(int64(pause)))) {
			return errors.Join(err, ctx.Err())
		}
		pause = min(2*pause, 2*time.Second)
	}
}
