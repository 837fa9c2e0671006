package kafka

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/varvelog/varve/agent/partition"
)

// While a slot moves it takes nothing for some hundred milliseconds: its old leader hands it over, its new one opens it. A client
// that is told so at once looks for the leader, finds the old one, and sleeps; that costs it seconds. So a request for such a slot
// waits a little: until the slot is open here, or until another leader is known, whose address the answer brings (KIP-951).

// The bounds of such waits.
const (
	slotTime = time.Second          // of one request, for all its slots
	slotLook = 5 * time.Millisecond // how often the slots that are waited for are looked at
)

// slotWaits are the requests that wait for slots. One goroutine looks for all of them, and ends when there are none.
type slotWaits struct {
	mu      sync.Mutex
	slots   map[uint16]*slotWait
	looking bool
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

// awaitSlot waits while a slot moves, until ctx ends at the latest.
func (s *Server) awaitSlot(ctx context.Context, slot uint16) {
	w := s.joinWait(slot)
	select {
	case <-w.over:
	case <-ctx.Done():
	}
	s.waits.mu.Lock()
	defer s.waits.mu.Unlock()
	if w.n--; w.n == 0 && s.waits.slots[slot] == w {
		delete(s.waits.slots, slot)
	}
}

func (s *Server) joinWait(slot uint16) *slotWait {
	s.waits.mu.Lock()
	defer s.waits.mu.Unlock()
	w := s.waits.slots[slot]
	if w == nil {
		w = &slotWait{over: make(chan struct{})}
		s.waits.slots[slot] = w
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
		for slot, w := range s.waits.slots {
			if err := s.deps.Partitions.Serves(slot); err == nil || !s.moving(slot, err) {
				close(w.over)
				delete(s.waits.slots, slot)
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
		d := slotTime
		if w.req.acks != 0 {
			d = min(d, max(0, time.Duration(w.req.timeout)*time.Millisecond))
		}
		w.patience, w.calm = context.WithTimeout(c.intake, d)
	}
	if w.patience.Err() != nil {
		return false
	}
	c.s.awaitSlot(w.patience, slot)
	if w.patience.Err() != nil {
		c.rushed = time.Now().Add(slotTime)
	}
	return true
}
