package kafka

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/group"
	"github.com/varvelog/varve/agent/partition"
)

// While a slot moves it takes nothing for some hundred milliseconds: its old leader hands it over, its new one opens it. A client
// that is told so at once looks for the leader, finds the old one, and sleeps; that costs it seconds. So a request for such a slot
// waits a little: until the slot is open here, or until another leader is known, whose address the answer brings (KIP-951). So does what a
// member of a group asks of its coordinator on the way.

// The reader of the connection waits, and what the client has sent behind waits with it: batches must be appended, and offsets committed, in the
// order in which they were sent. That costs the others little: answers go out in the order of requests anyway, so none of theirs could be
// sent before. Only what they would load meanwhile begins later, by slotTime at the most; and after a wait in vain nothing of the connection
// waits for rushTime.

// The bounds of such waits.
const (
	slotTime = 3 * time.Second      // of one request, for all its slots: an opening may take that long; less than a client sleeps
	rushTime = time.Second          // after a wait in vain the connection's next requests do not wait
	slotLook = 5 * time.Millisecond // how often the slots that are waited for are looked at
)

// slotWaits are the requests that wait for slots. One goroutine looks for all of them, and ends when there are none.
type slotWaits struct {
	longest time.Duration // slotTime, but for tests
	mu      sync.Mutex
	slots   map[seat]*slotWait
	looking bool
}

// seat is a slot, as the place of partitions or of groups: these are served a moment later, and until the slot has left.
type seat struct {
	slot   uint16
	groups bool
}

// slotWait is those who wait for one slot.
type slotWait struct {
	over chan struct{} // closed when the slot has come, or has gone for good
	n    int
}

// moving reports whether a slot that takes nothing now, because of err, is likely to come or to have another leader soon.
func (s *Server) moving(slot uint16, err error) bool {
	switch {
	case errors.Is(err, partition.ErrLoading), errors.Is(err, partition.ErrDraining):
		return true
	case !errors.Is(err, partition.ErrNotLeader):
		return false
	}
	v, me := s.deps.Cluster.View(), s.deps.Cluster.NodeID()
	if int(slot) >= len(v.Slots) {
		return false
	}
	if l := v.Slots[slot]; l.Node == me || l.Node < 0 {
		return true // it was handed over to this agent a moment ago, or its leader has just ended
	}
	n, known := v.Node(me)
	return known && v.Slots[slot].Want == n.Name
}

// comes reports whether something that is not served here now is likely to be served here or elsewhere soon.
func (s *Server) comes(a seat) bool {
	err := s.deps.Partitions.Serves(a.slot)
	switch {
	case !a.groups:
		return err != nil && s.moving(a.slot, err)
	case s.deps.Groups.Leads(a.slot):
		return false
	}
	return err == nil || !errors.Is(err, partition.ErrDraining) && s.moving(a.slot, err)
}

// awaitSlot waits while something moves, until ctx ends at the latest.
func (s *Server) awaitSlot(ctx context.Context, a seat) {
	w := s.joinWait(a)
	select {
	case <-w.over:
	case <-ctx.Done():
	}
	s.waits.mu.Lock()
	defer s.waits.mu.Unlock()
	if w.n--; w.n == 0 && s.waits.slots[a] == w {
		delete(s.waits.slots, a)
	}
}

func (s *Server) joinWait(a seat) *slotWait {
	s.waits.mu.Lock()
	defer s.waits.mu.Unlock()
	w := s.waits.slots[a]
	if w == nil {
		w = &slotWait{over: make(chan struct{})}
		s.waits.slots[a] = w
	}
	w.n++
	if !s.waits.looking {
		s.waits.looking = true
		s.wg.Go(s.lookAtSlots)
	}
	return w
}

// lookAtSlots ends waits, until nobody waits.
func (s *Server) lookAtSlots() {
	tick := time.NewTicker(slotLook)
	defer tick.Stop()
	for range tick.C {
		s.waits.mu.Lock()
		for a, w := range s.waits.slots {
			if !s.comes(a) {
				close(w.over)
				delete(s.waits.slots, a)
			}
		}
		s.waits.looking = len(s.waits.slots) > 0
		over := !s.waits.looking
		s.waits.mu.Unlock()
		if over {
			return
		}
	}
}

// awaits waits for a slot that moves, and reports whether it is worth trying again. The reader waits, so that the batches of the
// connection stay in order; others go on. Once a wait was in vain, the connection's next requests do not wait for as long.
func (w *appending) awaits(slot uint16, err error) bool {
	c := w.c
	if err == nil || !c.s.moving(slot, err) {
		return false
	}
	if w.patience == nil {
		if time.Now().Before(c.rushed) {
			return false
		}
		d := c.s.waits.longest
		if w.req.acks != 0 {
			d = min(d, max(0, time.Duration(w.req.timeout)*time.Millisecond))
		}
		w.patience, w.calm = context.WithTimeout(c.intake, d)
	}
	if w.patience.Err() != nil {
		return false
	}
	c.s.awaitSlot(w.patience, seat{slot: slot})
	if w.patience.Err() != nil {
		c.rushed = time.Now().Add(rushTime)
	}
	return true
}

// awaitCoordinator waits for the slot of the group that a member's request is for. The reader waits, as in awaits: what a member commits
// stays in order.
func (c *conn) awaitCoordinator(req kmsg.Request) {
	name, slots := memberOf(req), len(c.s.deps.Cluster.View().Slots)
	if name == "" || slots == 0 {
		return
	}
	a := seat{group.Slot(name, slots), true}
	if !c.s.comes(a) || time.Now().Before(c.rushed) {
		return
	}
	ctx, cancel := context.WithTimeout(c.intake, c.s.waits.longest)
	defer cancel()
	c.s.awaitSlot(ctx, a)
	if ctx.Err() != nil {
		c.rushed = time.Now().Add(rushTime)
	}
}

// memberOf is the group whose member sends a request; empty: it is no member's.
func memberOf(req kmsg.Request) string {
	switch r := req.(type) {
	case *kmsg.JoinGroupRequest:
		return r.Group
	case *kmsg.SyncGroupRequest:
		return r.Group
	case *kmsg.HeartbeatRequest:
		return r.Group
	case *kmsg.LeaveGroupRequest:
		return r.Group
	case *kmsg.ConsumerGroupHeartbeatRequest:
		return r.Group
	case *kmsg.OffsetCommitRequest:
		return r.Group
	case *kmsg.OffsetFetchRequest:
		if r.Version >= 8 && len(r.Groups) > 0 {
			return r.Groups[0].Group
		}
		return r.Group
	}
	return ""
}
