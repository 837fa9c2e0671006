package simtest

import (
	"context"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/cluster"
	"github.com/varvelog/varve/agent/partition"
	"github.com/varvelog/varve/agent/wal"
	"github.com/varvelog/varve/objstore/bundle"
)

// coreOpening is Open of cluster.Slots under way: replay, snapshot, slot-open.
type coreOpening struct {
	s      *coreSession
	e      cluster.Open
	slots  []cluster.Taken // without those that an earlier try opened
	epochs map[uint16]int32
	replay *coreRoutine
	over   bool
}

// open begins one.
func (s *coreSession) open(e cluster.Open) {
	o := &coreOpening{s: s, e: e, epochs: map[uint16]int32{}}
	s.opens[e.Job] = o
	led, open := s.set.Slots()
	fold := s.set.NewFold()
	var all []wal.Takeover
	for _, t := range e.Slots {
		if open[t.Slot] && led[t.Slot] == t.Epoch {
			s.w.some("opened by an earlier try")
			continue
		}
		o.slots = append(o.slots, t)
		all = append(all, wal.Takeover(t))
		o.epochs[t.Slot] = t.Epoch
	}
	var err error
	o.replay = s.n.routine(s.back(), func(r *coreRoutine) {
		rep := wal.Replayer{
			Store: coreObjects{nil, r}, Facts: &coreFacts{r}, Keys: s.w.keys, Cluster: "c", ClusterID: s.member.Cluster().Cluster,
			Logger: quietLog, Parallel: 1,
		}
		_, err = rep.Replay(r.ctx, all, fold)
	}, func() {
		if err == nil {
			err = fold.Check()
		}
		o.replayed(fold, err)
	})
}

// replayed takes the logs over, and writes the snapshot of them that their slot-open records name.
func (o *coreOpening) replayed(fold *partition.Fold, err error) {
	s := o.s
	if s.log.over {
		return
	}
	if err != nil {
		s.w.oracle.replayFailed(s, o.slots, err)
		o.answer(err)
		return
	}
	if err := s.set.Begin(fold, o.epochs); err != nil {
		o.answer(err)
		return
	}
	snap := s.set.CaptureOpening(o.epochs)
	if err := snap.Holds(o.epochs); err != nil {
		o.answer(err)
		return
	}
	f := snap.Footer()
	s.w.oracle.replayed(s, o.slots, f)
	if len(f.Partitions) == 0 {
		o.declare("")
		return
	}
	s.log.writeSnapshot(0, f, 1, func(_ uuid.UUID, key string, err error) {
		switch {
		case o.over:
		case err != nil:
			s.w.some("an opening failed and was tried again")
			o.answer(err)
		default:
			o.declare(key)
		}
	})
}

// declare commits the slot-open records.
func (o *coreOpening) declare(key string) {
	var ops []wal.Control
	for _, t := range o.slots {
		ops = append(ops, wal.Control{Op: bundle.Op{Kind: bundle.OpSlotOpen, Slot: t.Slot, Epoch: t.Epoch, Key: key}})
	}
	if len(ops) == 0 {
		o.answer(nil)
		return
	}
	o.s.log.queue(ops, func(err error) {
		if err == nil {
			o.answer(nil)
		}
	})
}

// answer tells the core what came of it, once.
func (o *coreOpening) answer(err error) {
	if o.over {
		return
	}
	o.over = true
	s := o.s
	s.after(0, func() {
		delete(s.opens, o.e.Job)
		a := cluster.Answer{Job: o.e.Job, Err: err, Committed: s.log.steps.Committed(), Sources: map[uint16][]cluster.Source{}}
		for _, t := range o.e.Slots {
			a.Sources[t.Slot] = s.sources(t.Slot)
		}
		s.step(a)
	})
}

// giveUp ends an opening that takes too long; what it queued may still be committed.
func (s *coreSession) giveUp(e cluster.GiveUp) {
	if o := s.opens[e.Job]; o != nil && !o.over {
		s.w.some("an opening was given up")
		s.after(0, func() {
			if o.replay != nil {
				o.replay.kill()
			}
			o.answer(context.Canceled)
		})
	}
}
