package wal

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/bundle"
)

// committer is the state of the goroutine of that name.
type committer struct {
	*Log
	prefix    *prefix
	landed    map[uint64]*flush // durable, not committed
	lastWrite time.Time         // of the session item, confirmed
	snap      snapshots
}

// runCommitter commits what lands and keeps the session alive, until ctx ends, the session is over or the log is closed.
func (l *Log) runCommitter(ctx context.Context) error {
	c := &committer{Log: l, prefix: newPrefix(), landed: map[uint64]*flush{}, lastWrite: time.Now()}
	c.snap.last, c.snap.done = time.Now(), make(chan snapshotEnd, 1)
	defer c.abandon()
	closing := l.closing
	beat := time.NewTimer(l.cfg.Heartbeat)
	defer beat.Stop()
	for {
		select {
		case f := <-l.durable:
			c.land(f)
		case <-beat.C:
		case <-closing:
			closing = nil
		case who := <-l.wanted:
			c.snap.wanted = append(c.snap.wanted, who)
		case end := <-c.snap.done:
			c.snapshotDone(ctx, end)
		case err := <-l.fatal:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := c.write(ctx); err != nil {
			return err
		}
		c.snapshotIfDue(ctx)
		if closing == nil && c.finished() {
			c.snapshotLast(ctx)
			close(l.closed)
			return nil
		}
		beat.Reset(max(0, l.cfg.Heartbeat-time.Since(c.lastWrite)))
	}
}

func (c *committer) land(f *flush) {
	c.landed[f.seq] = f
	c.prefix.landed(f.seq)
}

// drain takes all that landed meanwhile, so that one commit covers it.
func (c *committer) drain() {
	for {
		select {
		case f := <-c.durable:
			c.land(f)
		default:
			return
		}
	}
}

// finished reports whether nothing is buffered, under way or uncommitted.
func (c *committer) finished() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.mu.buffer) == 0 && len(c.mu.ops) == 0 && c.mu.flying == 0 && c.prefix.committed+1 == c.mu.next
}

// write commits the durable prefix, or beats, if either is due; again until the outcome is known, however long it takes:
// a metastore that does not answer says nothing about the session.
func (c *committer) write(ctx context.Context) error {
	pause := 20 * time.Millisecond
	for try := 1; ; try++ {
		c.drain()
		target, purpose, op := c.prefix.durable, metastore.PurposeCommit, metastore.Op{}
		switch {
		case target > c.prefix.committed:
			op = commitOp(c.key, target)
		case time.Since(c.lastWrite) >= c.cfg.Heartbeat:
			target, purpose, op = 0, metastore.PurposeHeartbeat, heartbeatOp(c.key)
		default:
			return nil
		}
		start := time.Now()
		wctx, cancel := context.WithTimeout(metastore.WithPurpose(ctx, purpose), c.cfg.Timeout)
		_, err := c.facts.Write(wctx, op)
		cancel()
		v, committed := c.prefix.judge(err, target)
		if v != unknown {
			c.metrics.committed(committed-c.prefix.committed, time.Since(start))
			return c.settle(ctx, v, committed)
		}
		if try == 3 || try%50 == 0 {
			c.logger.Warn("the metastore does not confirm a commit yet; it is tried again", "upto", target, "try", try, "err", err)
		}
		if !sleep(ctx, pause/2+time.Duration(rand.Int64N(int64(pause)))) {
			return ctx.Err()
		}
		pause = min(2*pause, time.Second)
	}
}

// settle acts on a known outcome: everything up to committed is log.
func (c *committer) settle(ctx context.Context, v verdict, committed uint64) error {
	if v == success {
		c.lastWrite = time.Now()
		if c.cfg.Beaten != nil {
			c.cfg.Beaten()
		}
	}
	if err := c.advance(committed); err != nil {
		c.logger.Error("the session ends: the log does not fit together", "err", err)
		return err
	}
	if v == fenced {
		c.logger.Warn("this session was fenced: another agent took over its slots", "session", c.cfg.Session, "committed", committed)
		return records.ErrFenced
	}
	c.wake() // the flusher may have waited for the commit
	return nil
}

// advance tells the Sink, then all who wait, of each bundle up to committed, in order.
func (c *committer) advance(committed uint64) error {
	c.mu.Lock()
	c.mu.committed = max(c.mu.committed, committed)
	c.mu.Unlock()
	for c.prefix.committed < committed {
		seq := c.prefix.committed + 1
		f := c.landed[seq]
		if f == nil {
			return fmt.Errorf("bundle %d is committed and was not seen to land", seq)
		}
		o := bundle.Object{Kind: bundle.WAL, Session: c.cfg.Session, Seq: seq, Size: uint64(f.bodyEnd)}
		if err := c.sink.Committed(o, f.footer, f.body); err != nil {
			return err
		}
		c.prefix.committed = seq
		c.snap.flushes++
		delete(c.landed, seq)
		c.metrics.done(f)
		f.settle(c.Log, nil)
		c.passed(seq)
	}
	return nil
}

// abandon hands over what landed and was not committed.
func (c *committer) abandon() {
	tell(&c.snap.wanted, records.ErrFenced)
	tell(&c.snap.serving, records.ErrFenced)
	for _, f := range c.landed {
		c.fail(f)
	}
}
