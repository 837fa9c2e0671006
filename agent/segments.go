package agent

import (
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/segment"
)

// buildSegments makes the rooms of packs and segments.
func (s *session) buildSegments() {
	s.segments = segment.New(segment.Config{
		PackInterval: s.cfg.PackInterval, PackBytes: s.cfg.PackBytes, RewriteBytes: s.cfg.MemoryLimit / rewriteShare,
		SegmentBytes: s.cfg.SegmentBytes, SegmentMax: s.cfg.SegmentMax, Roll: s.cfg.SegmentRoll, Grace: s.cfg.Grace,
	}, segment.Deps{
		Objects: s.stores.Objects, Facts: s.stores.Facts, Keys: s.keys, Cluster: s.cluster,
		ClusterID: s.member.Cluster().Cluster, Session: s.member.Session(),
		Partitions: tails{s}, Topics: rolls{s}, Keeps: keeps{s}, Index: s.index, Blocks: s.reader, Snapshots: s.wal,
		Pool: s.pool, Busy: s.budget.Pressure, Log: s.log,
	})
	s.garbage = segment.NewCollector(s.cfg.Grace, segment.CollectorDeps{
		Objects: s.stores.Objects, Facts: s.stores.Facts, Keys: s.keys, Cluster: s.cluster, Mine: s.ownsShard, Log: s.log,
	}, s.segments.Metrics())
	s.sweeper = segment.NewSweeper(segment.SweepConfig{Interval: s.cfg.Sweep, Grace: s.cfg.Grace}, segment.SweepDeps{
		Objects: s.stores.Objects, Facts: s.stores.Facts, Keys: s.keys, Cluster: s.cluster, ClusterID: s.member.Cluster().Cluster,
		Mine: func() bool { return s.ownsShard(0) }, Session: s.member.Session(), Own: s.segments, Log: s.log,
	})
}

// ownsShard reports whether this session looks after a shard of the garbage queue: it serves the slot of that number.
func (s *session) ownsShard(shard int) bool {
	slot := uint16(shard % s.member.Cluster().Slots)
	_, open := s.parts.Slots()
	return open[slot]
}

// tails is partitions as the segment room sees them.
type tails struct{ s *session }

func (p tails) Tails(yield func(segment.Tail) bool) {
	for t := range p.s.parts.Tails {
		ok := yield(segment.Tail{
			Name: segment.Name{Topic: t.ID.Topic, Index: t.ID.Index}, TopicName: t.Topic, Slot: t.Slot, Epoch: t.Epoch,
			LogStart: t.LogStart, Stable: t.Stable, Base: t.Base, MaxTimestamp: t.Oldest,
			Runs: t.Runs, Bytes: t.Bytes, WALRuns: t.WALRuns, WALBytes: t.WALBytes, Log: t.Partition,
		})
		if !ok {
			return
		}
	}
}

// Leads is false for a slot that is being handed over: its next leader may have read the recorded snapshot already.
func (p tails) Leads(slot uint16, epoch int32) bool {
	return p.s.parts.Leads(slot, epoch) && p.s.parts.Serves(slot) == nil
}

// rolls is topics as the segment room sees them.
type rolls struct{ s *session }

func (r rolls) Rolls(id uuid.UUID) (int64, time.Duration, bool) {
	t := r.s.topics.LookupID(id)
	if t == nil {
		return 0, 0, false
	}
	after := time.Duration(min(t.Config.SegmentMS, int64(time.Duration(1<<62)/time.Millisecond))) * time.Millisecond
	return t.Config.SegmentBytes, after, true
}
