package wal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// put uploads f until it is durable or ctx ends. The key and the bytes of a sequence number never change, so tries may
// repeat, overlap and land late without harm.
func (l *Log) put(ctx context.Context, f *flush) {
	ctx = objstore.WithPurpose(ctx, objstore.PurposeWAL)
	key := l.cfg.Keys.WAL(l.cfg.Session, f.seq)
	err := f.flaw
	if err != nil {
		l.giveUp(fmt.Errorf("bundle %s can't be written: %w", key, err))
	} else {
		err = l.persist(ctx, key, f)
	}
	l.mu.Lock()
	l.mu.flying--
	l.mu.Unlock()
	if err != nil {
		l.fail(f)
		return
	}
	f.landed = time.Now()
	l.durable <- f
	l.wake()
}

// persist repeats the PUT with a growing pause: throttled, refused, unknown, whatever the store says, what was accepted
// is kept until it lands or the session ends.
func (l *Log) persist(ctx context.Context, key string, f *flush) error {
	pause := 20 * time.Millisecond
	for try := 1; ; try++ {
		err := l.hedged(ctx, key, f)
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		l.metrics.retried(err)
		if errors.Is(err, objstore.ErrCorrupt) {
			if err := f.recheck(); err != nil {
				l.giveUp(fmt.Errorf("bundle %s was damaged in memory: %w", key, err))
				return err
			}
		}
		if try == 3 || try%50 == 0 {
			l.logger.Warn("the object store does not take a bundle yet; it is kept and tried again", "key", key, "bytes", f.body.Len(), "try", try, "err", err)
		}
		limit := 2 * time.Second
		if errors.Is(err, objstore.ErrRefused) {
			limit = 10 * time.Second
		}
		if !sleep(ctx, time.Duration(rand.Int64N(int64(pause)))+pause/2) {
			return ctx.Err()
		}
		pause = min(2*pause, limit)
	}
}

// recheck checks the CRC of every batch: the store said that the bytes it got are not those that were sent.
func (f *flush) recheck() error {
	for i := range f.footer.Runs {
		r := &f.footer.Runs[i]
		run := f.body.Bytes()[r.Pos : r.Pos+uint64(r.Len)]
		for len(run) > 0 {
			b, rest, err := recordbatch.Next(run)
			if err == nil {
				err = b.CheckCRC()
			}
			if err != nil {
				return err
			}
			run = rest
		}
	}
	return nil
}

// giveUp ends the session for a reason that no retry mends.
func (l *Log) giveUp(err error) {
	select {
	case l.fatal <- err:
	default:
	}
}

// hedged is one PUT, and a second one on another connection if the first is slow.
func (l *Log) hedged(ctx context.Context, key string, f *flush) error {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.PutTimeout)
	defer cancel()
	type result struct {
		err   error
		hedge bool
	}
	results := make(chan result, 2)
	start := time.Now()
	send := func(hedge bool) {
		f.body.Retain()
		l.wg.Go(func() {
			defer f.body.Release()
			results <- result{l.store.Put(ctx, key, f.body.Bytes()), hedge}
		})
	}
	send(false)
	flying, sent, won := 1, false, false
	defer func() {
		if sent {
			l.metrics.hedged(won)
		}
	}()
	l.mu.Lock()
	after, ok := l.mu.pace.After(time.Now())
	l.mu.Unlock()
	var hedge <-chan time.Time
	if ok {
		t := time.NewTimer(after)
		defer t.Stop()
		hedge = t.C
	}
	for {
		select {
		case r := <-results:
			flying--
			l.took(start, r.err, !r.hedge || flying > 0)
			if r.err == nil || flying == 0 {
				won = r.err == nil && r.hedge
				return r.err
			}
		case <-hedge:
			l.mu.Lock()
			ok := l.mu.pace.Spend(time.Now())
			l.mu.Unlock()
			if ok {
				send(true)
				flying, sent = flying+1, true
			}
		}
	}
}

// took notes how a PUT went that began at start: first, or a hedge that was faster than it.
func (l *Log) took(start time.Time, err error, first bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil && first:
		l.mu.pace.Answered(now.Sub(start))
	case errors.Is(err, objstore.ErrThrottled):
		l.mu.pace.Throttled(now)
	}
}

// sleep waits for d, or returns false when ctx ends.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
