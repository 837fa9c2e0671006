package simtest

import (
	"encoding/binary"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/objstore/bundle"
)

// pack puts runs of a partition in a pack, as the segment room does: where nobody holds them elsewhere, the WAL that had them may go. Packs
// themselves are never deleted here.
func (w *coreWorld) pack() {
	w.after(w.span(w.plan.packs/2, w.plan.packs), w.pack)
	part := w.rnd.IntN(w.plan.parts())
	it := w.oracle.slots[w.slotOf(part)]
	if it == nil {
		return
	}
	s := w.sessions[it.Leader]
	if s == nil || s.dead || s.n.frozen || s.stopping {
		return
	}
	s.pack(part, w.rnd.IntN(4) > 0)
}

// rewrite packs all that a session leads, and has a snapshot say so.
func (s *coreSession) rewrite(done func(error)) {
	if s.log.snap.running || s.log.over || s.w.plan.packs == 0 {
		s.after(time.Second, func() { done(metastore.ErrUnknown) })
		return
	}
	s.w.some("rewritten in a hurry")
	for part := range s.w.plan.parts() {
		s.pack(part, true)
	}
	s.log.snapshot(done)
}

// pack packs the runs of a partition that the session leads, or the first of them.
func (s *coreSession) pack(part int, all bool) {
	w := s.w
	p, err := w.partition(s, part)
	if err != nil {
		return
	}
	runs := p.Runs(nil, 0, 1<<20)
	if !all && len(runs) > 0 {
		runs = runs[:1+w.rnd.IntN(len(runs))]
	}
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:], w.rnd.Uint64())
	at := bundle.Object{Kind: bundle.PACK, Session: id, Size: 1 << 30}
	var packed []bundle.Location
	for _, r := range runs {
		if n := len(packed); n > 0 && packed[n-1].LeaderEpoch == r.LeaderEpoch {
			last := &packed[n-1]
			last.Len, last.Next, last.MaxTimestamp = last.Len+r.Len, r.Next, max(last.MaxTimestamp, r.MaxTimestamp)
			continue
		}
		r.Object, r.Pos = at, bundle.HeaderLen
		packed = append(packed, r)
	}
	if err := p.Replace(packed); err != nil {
		w.fail("%s packs partition %d: %v", s, part, err)
	} else if len(packed) > 0 {
		w.some("runs packed")
	}
}
