package meta

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
)

// Report is what Check found.
type Report struct {
	Findings []Finding // by class and place
	More     int       // findings beyond maxFindings
	Live     bool      // an agent may be running: what was wrong only once is left out
	Sessions int
	Topics   int
	Parts    int // partitions
	Requests int64
}

// Check walks the whole bucket and the whole table of the cluster. deep also reads every object that is needed. What is wrong in a
// cluster that may be running is looked at once more after Config.Settle: only what is wrong both times is reported.
func (t *Tool) Check(ctx context.Context, deep bool) (Report, error) {
	l, err := t.once(ctx, deep)
	if err != nil {
		return Report{}, err
	}
	found, more := l.sorted(), l.more
	if l.live && len(found) > 0 && t.cfg.Settle > 0 {
		t.say("waits %v, for what changes meanwhile", t.cfg.Settle)
		if err := sleep(ctx, t.cfg.Settle); err != nil {
			return Report{}, err
		}
		if l, err = t.once(ctx, deep); err != nil {
			return Report{}, err
		}
		found, more = both(found, l.sorted()), l.more
	}
	return Report{found, more, l.live, len(l.sessions), len(l.topics), len(l.parts), t.requests.Load()}, nil
}

// once looks at everything once.
func (t *Tool) once(ctx context.Context, deep bool) (*look, error) {
	l := t.look(deep)
	for _, step := range []func(context.Context) error{
		l.read, l.checkPartitions, l.reread, l.readTails, l.readNamed, l.checkPacks, l.checkBundles, l.checkSnapshots, l.checkProbes, l.checkRest, l.checkIdle,
	} {
		if err := errors.Join(step(ctx), l.readDeep(ctx)); err != nil {
			return nil, err
		}
	}
	l.checkSlots()
	l.checkSessions()
	return l, nil
}

// reread reads sessions and slots again after the partitions, which may have taken long: what was linked by then is in the newest
// snapshots no more.
func (l *look) reread(ctx context.Context) error {
	if !l.live {
		return nil
	}
	clear(l.slots)
	if err := l.readSlots(ctx); err != nil {
		return err
	}
	return l.readSessions(ctx)
}

// checkSlots judges leaders and from[]. What agents put right by themselves is a finding only while one may be running.
func (l *look) checkSlots() {
	for n := range l.config.Slots {
		if _, ok := l.slots[uint16(n)]; !ok {
			l.noLeader(uint16(n))
		}
	}
	for n, s := range l.slots {
		where := strconv.Itoa(int(n))
		leader := l.sessions[s.Leader]
		switch {
		case int(n) >= l.config.Slots:
			l.repair(SlotOutside, where, "slot %d, the cluster has %d", n, l.config.Slots)
			continue
		case leader.ended() && l.live:
			l.repair(SlotLeader, where, "its leader %s has ended (session %s, %s)", s.Agent, s.Leader, leader.item.State)
		}
		for _, f := range s.From {
			if o := l.sessions[f.Session]; l.live && l.owesNothing(o, n, s) {
				l.repair(FromNeedless, where, "from[] names session %s (%s), which keeps nothing for it", f.Session, o.item.State)
			}
		}
	}
}

// noLeader judges a slot without an item: it was never led, or its item is lost.
func (l *look) noLeader(n uint16) {
	for _, id := range slices.SortedFunc(maps.Keys(l.tails), compareIDs) {
		y := l.tails[id]
		_, held := y.slots[n]
		if held || slices.ContainsFunc(y.opened, func(o opening) bool { return o.slot == n }) {
			l.repair(SlotLeader, strconv.Itoa(int(n)), "it has no item, and session %s served it", id)
			return
		}
	}
	if l.live && len(l.slots) > 0 {
		l.repair(SlotLeader, strconv.Itoa(int(n)), "it has no leader")
	}
}

// owesNothing reports whether a session that a slot's from[] names keeps nothing for it, which stays so.
func (l *look) owesNothing(o *session, n uint16, s records.Slot) bool {
	if !o.ended() || l.opens[n].epoch != s.Epoch || l.opens[n].session != s.Leader {
		return false // not opened yet
	}
	if o.item.State == records.Drained {
		return true
	}
	_, pending := o.item.Pending[n]
	return !pending
}

// checkSessions looks for sessions that have ended and that nothing needs.
func (l *look) checkSessions() {
	for _, id := range slices.SortedFunc(maps.Keys(l.sessions), compareIDs) {
		s := l.sessions[id]
		switch {
		case s.item == nil:
		case s.item.State == records.Fenced:
			l.repair(SessionOpenEnd, id.String(), "it is fenced, and nobody has written its end")
		case s.ended() && s.item.State != records.Drained && l.needless(s) && (l.live || len(s.item.Pending) == 0):
			l.repair(SessionNeedless, id.String(), "it is %s, and no slot needs it any more", s.item.State)
		}
	}
}

// needless reports whether no slot needs an ended session: each that it owes was opened by a leader of a higher epoch, whose newest
// snapshot names nothing in its WAL.
func (l *look) needless(s *session) bool {
	for n, epoch := range s.item.Pending {
		if !l.free(s.id, n, epoch) {
			return false
		}
	}
	for n, slot := range l.slots {
		if _, pending := s.item.Pending[n]; slot.Leader == s.id || !pending && l.lies(n, s.id) {
			return false
		}
	}
	return true
}

// free reports whether slot n, which session id led under epoch, does not need it any more.
func (l *look) free(id uuid.UUID, n uint16, epoch int32) bool {
	s, ok := l.slots[n]
	o := l.opens[n]
	return ok && s.Epoch > epoch && o.epoch == s.Epoch && o.session == s.Leader && !l.lies(n, id)
}

// lies reports whether data of a slot lies in a session's WAL, as far as is known.
func (l *look) lies(n uint16, id uuid.UUID) bool {
	if l.opens[n].unknown || l.blind {
		return true
	}
	_, lies := l.needed[n][id]
	return lies
}
