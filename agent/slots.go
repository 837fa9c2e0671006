package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/cluster"
	"github.com/varvelog/varve/agent/partition"
	"github.com/varvelog/varve/agent/wal"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// slots is partitions and WAL as the cluster room sees them: cluster.Slots.
type slots struct{ s *session }

// Open replays the logs of slots that this session leads from now on, and serves them once their slot-open records are committed.
func (p slots) Open(ctx context.Context, taken []cluster.Taken) (uint64, error) {
	s, begun, led := p.s, time.Now(), map[uint16]int32{}
	for _, t := range taken {
		led[t.Slot] = t.Epoch
	}
	taken = s.unopened(taken)
	fold, stats, err := s.replay(ctx, taken)
	if err != nil {
		return 0, fmt.Errorf("replay: %w", err)
	}
	// Topics are read after the slots were assigned: what a fallen leader saw of them, this read sees too.
	if err := s.catchUp(ctx); err != nil {
		return 0, fmt.Errorf("read topics: %w", err)
	}
	for id, name := range fold.Topics() {
		if s.topics.LookupID(id) == nil {
			s.log.Info("a topic with data in the log is deleted: its data is left behind", "topic", name, "id", id)
			fold.Drop(id)
		}
	}
	if err := fold.Check(); err != nil {
		return 0, err
	}
	epochs := map[uint16]int32{}
	for _, t := range taken {
		epochs[t.Slot] = t.Epoch
	}
	if err := s.parts.Begin(fold, epochs); err != nil {
		return 0, err
	}
	if err := s.declareOpen(ctx, epochs); err != nil {
		return 0, fmt.Errorf("open slots: %w", err)
	}
	s.groups.Lead(led) // what an earlier try opened, too: nobody else does that
	s.log.Info("opened slots", "slots", len(taken), "sessions", stats.Sessions, "snapshots", stats.Snapshots,
		"footers", stats.Footers, "in", time.Since(begun).Round(time.Millisecond))
	return s.wal.Committed(), nil
}

// unopened leaves out the slots that are served: an earlier try, whose outcome was unknown, opened them.
func (s *session) unopened(taken []cluster.Taken) []cluster.Taken {
	epochs, open := s.parts.Slots()
	return slices.DeleteFunc(slices.Clone(taken), func(t cluster.Taken) bool { return open[t.Slot] && epochs[t.Slot] == t.Epoch })
}

// catchUp reads what changed of the topics, all of them the first time, however long the metastore takes until ctx ends.
func (s *session) catchUp(ctx context.Context) error {
	return s.patiently(ctx, func() error { return s.readTopics(ctx) })
}

func (s *session) readTopics(ctx context.Context) error {
	select {
	case s.topicsOnce <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.topicsOnce }()
	if s.topicsRead {
		return s.topics.CatchUp(ctx)
	}
	err := s.topics.Load(ctx)
	s.topicsRead = err == nil
	return err
}

func (s *session) replay(ctx context.Context, taken []cluster.Taken) (*partition.Fold, wal.Stats, error) {
	fold := s.parts.NewFold()
	all := make([]wal.Takeover, 0, len(taken))
	checked := map[uuid.UUID]bool{}
	for _, t := range taken {
		all = append(all, wal.Takeover(t))
		if s.serving.Load() || len(t.From) == 0 {
			continue // who serves has looked when it started
		}
		if from := t.From[len(t.From)-1]; !checked[from.Session] {
			checked[from.Session] = true
			if err := s.checkAhead(ctx, from.Session); err != nil {
				return nil, wal.Stats{}, err
			}
		}
	}
	r := wal.Replayer{
		Store: s.stores.Objects, Facts: s.stores.Facts, Keys: s.keys, Cluster: s.cluster, ClusterID: s.member.Cluster().Cluster, Logger: s.log,
	}
	stats, err := r.Replay(ctx, all, fold)
	s.wal.Metrics().Replayed(stats)
	if errors.Is(err, objstore.ErrNotFound) {
		err = fmt.Errorf("%w: the table names an object that the bucket does not have: restore the bucket, or use another --cluster", err)
	}
	return fold, stats, err
}

// declareOpen writes the snapshot of what was replayed, then commits the slot-open records that name it (I5).
func (s *session) declareOpen(ctx context.Context, epochs map[uint16]int32) error {
	key, snap := "", s.parts.CaptureOpening(epochs)
	if err := snap.Holds(epochs); err != nil {
		return err
	}
	if f := s.withTopics(snap.Footer()); len(f.Partitions) > 0 {
		var err error
		if _, key, err = s.wal.WriteSnapshot(ctx, 0, f); err != nil {
			return err
		}
	}
	ops := make([]wal.Control, 0, len(epochs))
	for slot, epoch := range epochs {
		ops = append(ops, wal.Control{Op: bundle.Op{Kind: bundle.OpSlotOpen, Slot: slot, Epoch: epoch, Key: key}})
	}
	return s.wal.Control(ctx, ops)
}

// Drain stops accepting for a slot.
func (p slots) Drain(slot uint16, epoch int32) {
	if err := p.s.parts.Drain(slot, epoch); err != nil {
		p.s.log.Error("a slot to be handed over is not led here", "slot", slot, "epoch", epoch, "err", err)
	}
}

// Resume accepts again.
func (p slots) Resume(slot uint16, epoch int32) { p.s.parts.Resume(slot, epoch) }

// Leave gives up a slot that another session leads now.
func (p slots) Leave(slot uint16, epoch int32) {
	p.s.parts.Leave(slot, epoch)
	p.s.groups.Lose(slot, epoch)
}

// Forget drops what is left of it.
func (p slots) Forget(slot uint16, epoch int32) { p.s.parts.Forget(slot, epoch) }

// Barrier waits until everything appended is committed.
func (p slots) Barrier(ctx context.Context) (uint64, error) {
	if err := p.s.wal.Barrier(ctx); err != nil {
		return 0, err
	}
	return p.s.wal.Committed(), nil
}

// Sources says which WAL is needed for a slot.
func (p slots) Sources(slot uint16) []cluster.Source {
	snapped := p.s.wal.Snapped() // first: what is recorded after it names more
	var all []cluster.Source
	for _, s := range p.s.parts.Sources(slot) {
		all = append(all, cluster.Source(s))
	}
	if p.s.wal.Committed() > snapped {
		all = cluster.Replayed(all, p.s.member.Session(), snapped+1)
	}
	return all
}

// Loads says what the led slots cost.
func (p slots) Loads() []cluster.Load {
	var all []cluster.Load
	for _, l := range p.s.parts.Loads() {
		all = append(all, cluster.Load(l))
	}
	return all
}

// Rewrite packs all that lies in WALs, and waits for a snapshot that says so.
func (p slots) Rewrite(ctx context.Context) error {
	if err := p.s.segments.Pack(ctx); err != nil {
		return err
	}
	p.s.refresh()
	if err := p.s.wal.Barrier(ctx); err != nil {
		return err
	}
	return p.s.wal.Snapshot(ctx)
}

// Trimmable returns the lowest sequence that no recorded snapshot covers, or that a log or such a snapshot names: trim may rise to it,
// if no pin is lower.
func (p slots) Trimmable() uint64 {
	p.s.refresh()
	low := p.s.wal.Snapped() + 1 // first: what is committed and captured after it is not covered by it
	if needed, ok := p.s.parts.Needed(p.s.member.Session()); ok {
		low = min(low, needed)
	}
	return low
}

// refresh makes a snapshot due if what was packed or linked since the last one is kept for it, and nobody writes: an idle session takes no
// snapshot of its own accord. A record that changes nothing does it.
func (s *session) refresh() {
	p := s.parts.Rewritten()
	if p == nil || s.wal.Committed() > s.wal.Snapped() {
		return // nothing to do, or a snapshot is coming
	}
	st, err := p.State()
	if err != nil {
		return
	}
	id, name, slot, epoch := p.Place()
	ops := []wal.Control{{
		Op:    bundle.Op{Kind: bundle.OpLogStart, Slot: slot, Epoch: epoch, Partition: id.Index, Offset: st.LogStart},
		Topic: bundle.Topic{ID: id.Topic, Name: name},
	}}
	_ = p.Queue(func() { s.wal.Queue(ops, func(error) {}) }) // a slot that is handed over does without
}

// Trim writes it.
func (p slots) Trim(ctx context.Context, seq uint64, pins int64) error {
	return p.s.wal.Trim(ctx, seq, pins)
}

// checkAhead refuses if a session that has ended has bundles in the bucket that it can't have written. One that lives may.
func (s *session) checkAhead(ctx context.Context, id uuid.UUID) error {
	past, err := s.member.ReadSession(ctx, id)
	if err != nil {
		return err
	}
	if past.State != records.Sealed && past.State != records.Closed {
		return nil
	}
	return s.checkBeyond(ctx, id, past.End)
}
