package kafka

import (
	"net"
	"testing"
	"time"
)

// held makes the answer of a slot one that holds bytes of the connection's share.
func held(c *conn, n int64) *slot {
	sl := c.ring.take()
	sl.api = c.s.byKey[keyFetch]
	sl.api.m.inFlight.Inc()
	sl.held = c.hold(n)
	r := c.s.newReply()
	r.b = append(r.b, 0, 0, 0, 0, 0)
	r.frags = append(r.frags, r.b)
	sl.reply = r
	return sl
}

// TestRingLetsGoOfEveryAnswer: written, done but not written, or not even done when the connection ends.
func TestRingLetsGoOfEveryAnswer(t *testing.T) {
	s := New(Config{}, Deps{})
	near, far := net.Pipe()
	defer func() { _ = near.Close(); _ = far.Close() }()
	c := newConn(t.Context(), s, near)
	var slots []*slot
	for range 5 {
		slots = append(slots, held(c, 100))
	}
	c.ring.finish(slots[2]) // out of order: waits for those before it
	c.ring.finish(slots[0])
	if first, n := c.ring.next(); first != 0 || n != 1 {
		t.Fatalf("next: %d from %d", n, first)
	}
	c.ring.finish(slots[1])
	c.kill()
	if got := s.held.Load(); got != 300 { // 1 and 2 are let go of; 0 is with the writer, 3 and 4 are not done
		t.Errorf("%d bytes held after the end", got)
	}
	slots[0].release() // by the writer
	c.ring.wrote()
	c.ring.finish(slots[4])
	c.ring.finish(slots[3])
	if got, flying := s.held.Load(), counterValue(s.byKey[keyFetch].m.inFlight); got != 0 || flying != 0 || c.held.Load() != 0 {
		t.Errorf("%d bytes held, %v requests in flight", got, flying)
	}
	if c.ring.take() != nil {
		t.Error("admits after the end")
	}
}

func TestShareOfAConnection(t *testing.T) {
	s := New(Config{ConnBytes: 100, ResponseBytes: 150}, Deps{})
	a, b := newConn(t.Context(), s, nil), newConn(t.Context(), s, nil)
	for i, c := range []struct {
		c          *conn
		want, held int64
	}{{a, 60, 60}, {a, 60, 40}, {b, 60, 50}, {b, 60, 0}, {a, 0, 0}} {
		if got := c.c.hold(c.want); got != c.held {
			t.Errorf("step %d: %d bytes, want %d", i, got, c.held)
		}
	}
	a.unhold(100)
	b.unhold(50)
	if s.held.Load() != 0 {
		t.Errorf("%d bytes left", s.held.Load())
	}
}

// TestUnreadBytesStopAdmission: large answers that a client does not read are as good as a full ring.
func TestUnreadBytesStopAdmission(t *testing.T) {
	s := New(Config{ConnBytes: 100}, Deps{})
	c := newConn(t.Context(), s, nil)
	for range 2 {
		sl := held(c, 0)
		sl.size = 60
		c.ring.finish(sl)
	}
	taken := make(chan *slot)
	go func() { taken <- c.ring.take() }()
	select {
	case <-taken:
		t.Fatal("admitted with 120 bytes unread")
	case <-time.After(20 * time.Millisecond):
	}
	first, n := c.ring.next()
	for i := first; i < first+n; i++ {
		c.ring.slots[i].release()
	}
	c.ring.wrote()
	if sl := <-taken; sl == nil || c.ring.unread != 0 {
		t.Errorf("after the write: %v, %d bytes unread", sl, c.ring.unread)
	}
}
