package kafka

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/varvelog/varve/agent/fetch"
	"github.com/varvelog/varve/agent/memory"
)

// slot is the place of one request in the order of a connection's answers. Between take and finish it belongs to whoever
// completes the request.
type slot struct {
	c     *conn
	api   *api
	start time.Time
	hdr   preamble
	body  *memory.Buf // of a large request that kmsg decoded; nil when what it was decoded to no longer counts

	reply  *reply          // nil: no answer is sent, as for acks=0
	shared *metadataAnswer // that it is part of; nil: none
	held   int64           // bytes of its records, taken from the server's and the connection's share
	size   int64           // bytes of it
	fatal  bool            // close the connection instead of an answer, after those before it
	done   bool            // under ring.mu
}

// reply is what an answer is made of. It is pooled, with the room that its lists have: a slot has none of its own, since a connection has
// many slots and few answers at a time.
type reply struct {
	b     []byte        // what is encoded
	frags [][]byte      // what to write, in order: parts of b, and records
	recs  []fetch.Slice // held until written
}

// letGo gives back what a request was charged for.
func (sl *slot) letGo() {
	if sl.body != nil {
		sl.body.Release()
		sl.body = nil
	}
}

// guard is letGo for a handler that panics.
func (sl *slot) guard() {
	if v := recover(); v != nil {
		sl.letGo()
		panic(v)
	}
}

// release lets go of what the answer holds: the request is no longer in flight. The slot may be used again.
func (sl *slot) release() {
	sl.api.m.inFlight.Dec()
	sl.c.unhold(sl.held)
	sl.held = 0
	sl.unshare()
	if sl.reply != nil {
		sl.c.s.recycleReply(sl.reply)
		sl.reply = nil
	}
}

// ring is the requests in flight of a connection, oldest first.
type ring struct {
	mu      sync.Mutex
	ready   sync.Cond // the oldest is done, or nothing more will come
	room    sync.Cond // a slot is free, or bytes were read
	limit   int64     // of unread
	all     *atomic.Int64
	most    int64 // of all
	slots   [inFlight]slot
	head    uint64 // requests admitted
	tail    uint64 // answers written
	unread  int64  // bytes of answers that are done and not written
	writing uint64 // slots from tail on that the writer holds
	ended   bool   // no more is admitted
	over    bool   // no more is written: what is done is let go of
}

func (r *ring) init(c *conn) {
	r.ready.L, r.room.L = &r.mu, &r.mu
	r.limit = c.s.cfg.ConnBytes
	r.all, r.most = &c.s.unread, c.s.cfg.ResponseBytes
	for i := range r.slots {
		r.slots[i].c = c
	}
}

// take admits a request, waiting while the ring is full or too many bytes of answers wait for the client to read them; nil
// when the connection is over.
func (r *ring) take() *slot {
	r.mu.Lock()
	defer r.mu.Unlock()
	for (r.head-r.tail == inFlight || r.full()) && !r.over {
		r.room.Wait()
	}
	if r.over {
		return nil
	}
	sl := &r.slots[r.head%inFlight]
	r.head++
	sl.done, sl.fatal, sl.size = false, false, 0
	return sl
}

// full reports whether too much waits for the client to read it. Whoever has read all it was sent may always ask for more, so
// that what is left when it stops reading is one answer.
func (r *ring) full() bool {
	return r.unread >= r.limit || r.unread > 0 && r.all.Load() >= r.most
}

// finish says that the answer of sl is complete.
func (r *ring) finish(sl *slot) {
	sl.letGo()
	r.mu.Lock()
	over := r.over
	sl.done = true
	if !over {
		r.unread += sl.size
		r.all.Add(sl.size)
	}
	if !over && sl == &r.slots[r.tail%inFlight] {
		r.ready.Signal()
	}
	r.mu.Unlock()
	if over {
		sl.release()
	}
}

// next waits for the oldest answer and returns how many are ready from it on. They are the writer's until wrote. It
// returns 0 when nothing more will come.
func (r *ring) next() (first, n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		if r.over {
			return 0, 0
		}
		for r.tail+n < r.head && r.slots[(r.tail+n)%inFlight].done {
			n++
		}
		if n > 0 {
			r.writing = n
			return r.tail, n
		}
		if r.ended && r.tail == r.head {
			return 0, 0
		}
		r.ready.Wait()
	}
}

// wrote gives the slots that next returned back.
func (r *ring) wrote() {
	r.mu.Lock()
	n := int64(0)
	for i := r.tail; i < r.tail+r.writing; i++ {
		n += r.slots[i%inFlight].size
	}
	r.unread -= n
	r.all.Add(-n)
	r.tail += r.writing
	r.writing = 0
	r.room.Signal()
	r.mu.Unlock()
}

// end stops admission; what is in flight is still written.
func (r *ring) end() {
	r.mu.Lock()
	r.ended = true
	r.ready.Signal()
	r.mu.Unlock()
}

// kill stops everything: answers that are done are let go of, later ones as they come.
func (r *ring) kill() {
	r.mu.Lock()
	if r.over {
		r.mu.Unlock()
		return
	}
	r.over = true
	var drop []*slot
	for i := r.tail + r.writing; i < r.head; i++ {
		if sl := &r.slots[i%inFlight]; sl.done {
			drop = append(drop, sl)
			r.unread -= sl.size
			r.all.Add(-sl.size)
		}
	}
	r.ready.Broadcast()
	r.room.Broadcast()
	r.mu.Unlock()
	for _, sl := range drop {
		sl.release()
	}
}

// idle reports whether nothing is in flight.
func (r *ring) idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.head == r.tail
}
