package wal

import (
	"context"
	"slices"

	"github.com/varvelog/varve/metastore/records"
)

// barrier is somebody who waits until all that was appended before is committed.
type barrier struct {
	entries uint64     // how many entries came before it
	cut     bool       // all that came before is in bundles,
	seq     uint64     // the last of which is this one
	done    chan error // room for one
}

// Barrier returns nil once everything that was appended or queued before the call is committed and the Sink saw it. What waits is
// flushed at once; if nothing does, no bundle is written. Errors: records.ErrFenced if some of it is not in the log and never
// will be, or that of ctx, and then nothing is known.
func (l *Log) Barrier(ctx context.Context) error {
	b := &barrier{done: make(chan error, 1)}
	l.mu.Lock()
	b.entries = l.mu.queued
	if l.mu.taken == b.entries && len(l.mu.ops) == 0 {
		b.cut, b.seq = true, l.mu.next-1
	}
	switch {
	case b.cut && l.mu.applied >= b.seq:
		l.mu.Unlock()
		return nil
	case l.mu.over:
		l.mu.Unlock()
		return records.ErrFenced
	}
	l.mu.barriers = append(l.mu.barriers, b)
	l.mu.Unlock()
	l.wake()
	select {
	case err := <-b.done:
		return err
	case <-ctx.Done():
		l.mu.Lock()
		l.mu.barriers = slices.DeleteFunc(l.mu.barriers, func(o *barrier) bool { return o == b })
		l.mu.Unlock()
		return ctx.Err()
	}
}

// inHurry reports whether a barrier waits for something that is not cut yet. l.mu is held.
func (l *Log) inHurry() bool {
	return slices.ContainsFunc(l.mu.barriers, func(b *barrier) bool { return !b.cut })
}

// seal notes for the barriers whose entries are all cut now that bundle seq is the last one they wait for. A bundle takes
// all operations that wait. l.mu is held.
func (l *Log) seal(seq uint64) {
	for _, b := range l.mu.barriers {
		if !b.cut && b.entries <= l.mu.taken {
			b.cut, b.seq = true, seq
		}
	}
}

// passed tells the barriers that wait for no more than bundle seq, which everybody else was told of.
func (l *Log) passed(seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.applied = seq
	l.mu.barriers = slices.DeleteFunc(l.mu.barriers, func(b *barrier) bool {
		if !b.cut || b.seq > seq {
			return false
		}
		b.done <- nil
		return true
	})
}
