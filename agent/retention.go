package agent

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/partition"
	"github.com/varvelog/varve/agent/segment"
	"github.com/varvelog/varve/agent/wal"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/bundle"
)

// newRetainer makes what removes the records that topics do not keep.
func (s *session) newRetainer() *segment.Retainer {
	return segment.NewRetainer(segment.RetainConfig{Interval: s.settings.Millis("log.retention.check.interval.ms"), Grace: s.cfg.Grace}, segment.RetainDeps{
		Facts: s.stores.Facts, Keys: s.keys, Cluster: s.cluster, Index: s.index,
		Partitions: tails{s}, Keeps: keeps{s}, Starts: starts{s}, Metrics: s.segments.Metrics(), Log: s.log,
	})
}

// keeps is topics as retention sees them.
type keeps struct{ s *session }

// Limits is what a topic keeps: everything, if it is compacted only.
func (k keeps) Limits(id uuid.UUID) (segment.Limits, bool) {
	t := k.s.topics.LookupID(id)
	switch {
	case t == nil:
		return segment.Limits{}, false
	case !t.Config.Deleted:
		return segment.Limits{Time: -1, Bytes: -1}, true
	}
	return segment.Limits{Time: t.Config.RetentionMS, Bytes: t.Config.RetentionBytes}, true
}

// starts is log starts as retention moves them.
type starts struct{ s *session }

// MoveStarts queues all records before it waits for the first, so that they share a bundle.
func (m starts) MoveStarts(ctx context.Context, all []segment.Start) []error {
	done, errs := make([]chan error, len(all)), make([]error, len(all))
	for i := range all {
		done[i] = make(chan error, 1)
		t := &all[i].Tail
		p, err := m.s.parts.Get(partition.ID{Topic: t.Topic, Index: t.Index}, t.TopicName, t.Slot)
		if err == nil {
			err = m.s.queueLogStart(p, all[i].Offset, done[i])
		}
		if err != nil {
			done[i] <- err
		}
	}
	for i := range all {
		select {
		case err := <-done[i]:
			errs[i] = notLed(err)
		case <-ctx.Done():
			errs[i] = ctx.Err()
		}
	}
	return errs
}

// notLed says of the errors of a slot that is lost, being handed over or just opened that they are no fault.
func notLed(err error) error {
	for _, e := range []error{partition.ErrNotLeader, partition.ErrDraining, partition.ErrLoading, records.ErrFenced} {
		if errors.Is(err, e) {
			return segment.ErrNotLed
		}
	}
	return err
}

// moveLogStart commits that a partition's log begins at offset from now on, and returns once readers see it. A slot that is being
// handed over takes no such record: its end is fixed.
func (s *session) moveLogStart(ctx context.Context, p *partition.Partition, offset int64) error {
	done := make(chan error, 1)
	if err := s.queueLogStart(p, offset, done); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// queueLogStart queues the record. Without an error done gets its outcome.
func (s *session) queueLogStart(p *partition.Partition, offset int64, done chan<- error) error {
	id, name, slot, epoch := p.Place()
	ops := []wal.Control{{
		Op:    bundle.Op{Kind: bundle.OpLogStart, Slot: slot, Epoch: epoch, Partition: id.Index, Offset: offset},
		Topic: bundle.Topic{ID: id.Topic, Name: name},
	}}
	return p.Queue(func() { s.wal.Queue(ops, func(err error) { done <- err }) })
}
