package kafka

import (
	"math/rand/v2"
	"slices"
	"unsafe"

	"github.com/google/uuid"
)

// What a Fetch does with sessions; what sessions do is in session.go.

// resolve finds the session and the partitions that the request is about.
func (op *fetchOp) resolve(q *fetchRequest) int16 {
	c := op.c
	if op.sl.hdr.version < 7 {
		op.addAll(q)
		op.find()
		return codeNone
	}
	c.mu.Lock()
	s, fresh, freed, code := c.mu.sessions.find(q.sessionID, q.sessionEpoch, op.sl.hdr.version >= 13)
	if code == codeNone && s == nil {
		op.addAll(q)
		if fresh {
			freed += op.open()
		}
	} else if code == codeNone {
		freed, code = op.update(s, q)
	}
	c.mu.Unlock()
	c.s.sessions.Add(-int64(freed))
	if code == codeNone {
		op.find()
	}
	return code
}

func (op *fetchOp) addAll(q *fetchRequest) {
	op.parts = slices.Grow(op.parts, q.parts)
	for w := q.topics; w.topic(); {
		name, id := op.named(&w)
		for w.partition() {
			op.parts = append(op.parts, fetchPart{key: partKey{name, id, w.index}, want: w.want})
		}
	}
}

// named returns what stays of the name of the topic at hand when the frame is gone: of one that is known here no copy is made.
func (op *fetchOp) named(w *fetchWalk) (string, uuid.UUID) {
	if w.version >= 13 {
		return "", w.id
	}
	// The string aliases the frame: Lookup keeps no key, and nothing else sees it.
	if top := op.c.s.deps.Topics.Lookup(unsafe.String(unsafe.SliceData(w.name), len(w.name))); top != nil {
		return top.Name, uuid.UUID{}
	}
	return string(w.name), uuid.UUID{}
}

// open begins a session if the request has enough partitions for it to pay, and there is room; under the connection's lock.
// It returns how many partitions older sessions gave up.
func (op *fetchOp) open() (freed int) {
	srv, n := op.c.s, len(op.parts)
	if n < srv.cfg.SessionMin || !srv.sessionRoom(n, n) {
		return 0
	}
	for i := range op.parts {
		if len(op.parts[i].key.topic) > longestName {
			return 0
		}
	}
	id := rand.Int32N(1<<31-1) + 1
	if op.c.mu.sessions.index(id) >= 0 {
		return 0
	}
	s, freed := op.c.mu.sessions.open(id, op.sl.hdr.version >= 13)
	for i := range op.parts {
		s.put(op.parts[i].key, op.parts[i].want)
	}
	srv.sessions.Add(int64(len(s.parts)))
	op.session, op.epoch = s, s.epoch
	return freed
}

// Bounds of one session: a request of a few bytes asks for all that it holds, and it keeps names that no topic has. Those may have 32 KiB in
// a request, but more than longestName bytes only if no topic ever has them (topic.CheckName).
const (
	maxSessionParts = 10_000
	longestName     = 249
)

// sessionRoom reports whether a session may have n partitions, more of them new.
func (s *Server) sessionRoom(n, more int) bool {
	return n <= maxSessionParts && s.sessions.Load()+int64(more) <= int64(s.cfg.SessionMax)
}

// update applies an incremental request to its session, and asks for all that it holds; under the connection's lock. A
// session that grows too large ends: the client is told that it is not there and asks in full.
func (op *fetchOp) update(s *session, q *fetchRequest) (freed int, code int16) {
	before := len(s.parts)
	for w := q.forgotten; w.topic(); {
		name, id := op.named(&w)
		for w.partition() {
			s.remove(partKey{name, id, w.index})
		}
	}
	s.prune()
	for w := q.topics; w.topic(); {
		if len(w.name) > longestName {
			op.c.mu.sessions.drop(s.id)
			return before, codeFetchSessionIDNotFound
		}
		name, id := op.named(&w)
		for w.partition() {
			s.put(partKey{name, id, w.index}, w.want)
		}
	}
	if n := len(s.parts); !op.c.s.sessionRoom(n, n-before) {
		op.c.mu.sessions.drop(s.id)
		return before, codeFetchSessionIDNotFound
	}
	op.parts = slices.Grow(op.parts, len(s.order))
	for _, p := range s.order {
		op.parts = append(op.parts, fetchPart{key: p.key, want: p.want})
	}
	op.session, op.epoch = s, s.epoch
	return before - len(s.parts), codeNone
}

// choose leaves what an incremental answer must hold, and gives the other partitions their turn next time.
func (op *fetchOp) choose(s *session) {
	served := false
	kept := op.parts[:0]
	for _, part := range op.parts {
		r := &part.look
		p := s.parts[part.key]
		if p == nil {
			continue
		}
		p.served = r.size > 0
		served = served || p.served
		if p.tells(told{r.code, r.hw, r.start, r.size > 0, r.divergent.epoch >= 0}) {
			kept = append(kept, part)
		}
	}
	clear(op.parts[len(kept):])
	op.parts = kept
	if served {
		s.rotate()
	}
}
