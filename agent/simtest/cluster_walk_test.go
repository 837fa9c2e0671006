package simtest

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// walked is a committed run, and who wrote it.
type walked struct {
	session  uuid.UUID
	seq      int64
	slot     uint16
	epoch    int32
	base     int64
	next     int64
	topic    string
	position int // in its bundle
}

// walk reads the table and the whole bucket, without an agent, and checks what must hold at any moment when nothing is under way.
// It returns the runs by partition.
func (s *clusterSim) walk() map[tp][]walked {
	sessions, pins, slots := s.facts.snapshot()
	runs := map[tp][]walked{}
	opened := map[lead]walked{}
	first := map[lead]walked{}
	for id, session := range sessions {
		for seq := int64(1); seq <= session.Committed; seq++ {
			f, body := s.bundleAt(id, seq, session)
			if f == nil {
				continue
			}
			for _, op := range f.Ops {
				if op.Kind == bundle.OpSlotOpen {
					s.opens(opened, lead{op.Slot, op.Epoch}, walked{session: id, seq: seq}, op.Key)
				}
			}
			for i, r := range f.Runs {
				w := walked{id, seq, r.Slot, r.LeaderEpoch, r.Base, r.Next, f.Topics[r.Topic].ID.String(), i}
				at := tp{f.Topics[r.Topic].Name + " " + w.topic, r.Partition}
				runs[at] = append(runs[at], w)
				k := lead{r.Slot, r.LeaderEpoch}
				if x, ok := first[k]; !ok || x.session == id && seq < x.seq {
					first[k] = w
				} else if x.session != id {
					s.violation("I4: slot %d epoch %d: runs of %s and of %s are committed", r.Slot, r.LeaderEpoch, x.session, id)
				}
				s.checkRun(f, r, body, w)
			}
		}
	}
	for k, w := range first {
		if o, ok := opened[k]; !ok || o.session != w.session || o.seq > w.seq {
			if ok || sessions[w.session].Trim <= 1 { // else its bundle may have been trimmed
				s.violation("I5: slot %d epoch %d: a run in bundle %d of %s, slot-open is %+v", k.slot, k.epoch, w.seq, w.session, o)
			}
		}
	}
	for at, list := range runs {
		s.checkTiling(at, list)
	}
	s.checkNamed(sessions, pins, slots)
	return runs
}

func (s *clusterSim) opens(opened map[lead]walked, k lead, w walked, snapshot string) {
	if o, ok := opened[k]; ok && o.session != w.session {
		s.violation("I4: slot %d epoch %d: opened by %s and by %s", k.slot, k.epoch, o.session, w.session)
	}
	opened[k] = w
	if snapshot == "" {
		return
	}
	if _, err := s.objects.Get(context.Background(), snapshot, objstore.Suffix(1)); err != nil && s.facts.sessionState(w.session) == records.Active {
		s.note("slot-open of slot %d names snapshot %s: %v", k.slot, snapshot, err)
	}
}

// bundleAt reads a committed bundle. It must exist (I1, I9) unless its session is drained.
func (s *clusterSim) bundleAt(id uuid.UUID, seq int64, session records.Session) (*bundle.Footer, []byte) {
	key := objstore.Keys{Cluster: "varve"}.WAL(id, uint64(seq))
	o, err := s.objects.Get(context.Background(), key, objstore.Range{})
	if errors.Is(err, objstore.ErrNotFound) && (session.State == records.Drained || seq < session.Trim) {
		return nil, nil
	}
	if err != nil {
		s.violation("I9: bundle %d of %s (%s, trim %d, committed %d): %v", seq, id, session.State, session.Trim, session.Committed, err)
		return nil, nil
	}
	r, err := bundle.Verify(o.Body)
	if h := r.Header; err != nil || h.Session != id || h.Seq != uint64(seq) || h.Kind != bundle.WAL {
		s.violation("I6: bundle %d of %s, header %+v: %v", seq, id, h, err)
		return nil, nil
	}
	return r.Footer, o.Body
}

// checkRun is I10: every batch passes its CRC and stands where the run says.
func (s *clusterSim) checkRun(f *bundle.Footer, r bundle.Run, body []byte, w walked) {
	next := r.Base
	digest := bundle.NewDigest(f.Topics[r.Topic].ID, r.Partition, r.LeaderEpoch, r.Base)
	for b := body[r.Pos : r.Pos+uint64(r.Len)]; len(b) > 0; {
		batch, rest, err := recordbatch.Next(b)
		if err == nil {
			err = batch.Check()
		}
		if err != nil || batch.BaseOffset() != next || batch.LeaderEpoch() != r.LeaderEpoch {
			s.violation("I10: run %+v: a batch at offset %d: %v", w, next, err)
			return
		}
		digest = digest.Add(batch.CRC())
		next = batch.LastOffset() + 1
		b = rest
	}
	if next != r.Next || uint32(digest) != r.Digest {
		s.violation("I10: run %+v ends at %d, digest %x, want %x", w, next, digest, r.Digest)
	}
}

// checkTiling: the committed runs of a partition follow each other without gap or overlap, and their epochs never fall.
func (s *clusterSim) checkTiling(at tp, list []walked) {
	slices.SortFunc(list, func(a, b walked) int { return cmp.Compare(a.base, b.base) })
	for i := 1; i < len(list); i++ {
		if a, b := list[i-1], list[i]; a.next != b.base {
			s.violation("V1: %v: run %+v is followed by %+v", at, a, b)
		} else if a.epoch > b.epoch || a.epoch == b.epoch && a.session == b.session && a.seq > b.seq {
			s.violation("V7: %v: run %+v is followed by %+v", at, a, b)
		}
	}
}

// checkNamed: what the table names is there.
func (s *clusterSim) checkNamed(sessions map[uuid.UUID]records.Session, pins map[uuid.UUID]records.Pins, slots map[uint16]records.Slot) {
	for n, slot := range slots {
		leader, ok := sessions[slot.Leader]
		if !ok {
			s.violation("slot %d: its leader %s has no session item", n, slot.Leader)
		} else if leader.State != records.Active {
			s.violation("V17: slot %d is still led by %s of %s, which is %s", n, slot.Leader, slot.Agent, leader.State)
		}
		for _, e := range slot.From {
			from, ok := sessions[e.Session]
			if !ok {
				s.violation("slot %d: from[] names %s, which has no session item", n, e.Session)
			}
			if from.State == records.Active && e.Session != slot.Leader {
				if pin, ok := pins[e.Session].Slots[n]; ok && pin.Seq < from.Trim {
					s.violation("I9: slot %d is pinned at %d of %s, whose trim is %d", n, pin.Seq, e.Session, from.Trim)
				}
			}
		}
	}
	for id, session := range sessions {
		if session.Snap == 0 || session.State == records.Drained {
			continue
		}
		key := objstore.Keys{Cluster: "varve"}.Snapshot(id, uint64(session.Snap), session.SnapID)
		if _, err := s.objects.Get(context.Background(), key, objstore.Suffix(1)); err != nil {
			s.violation("I9: the snapshot of %s at %d: %v", id, session.Snap, err)
		}
	}
}

func (w *watcher) sessionState(id uuid.UUID) records.State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sessions[id].State
}
