// Pure.

package kafka

import (
	"math"

	"github.com/google/uuid"
)

// Fetch sessions (KIP-227): a client names its partitions once and then only what changes; the answers leave out what
// did not change. A session belongs to its connection, which drops it when it ends: a client that comes back is told 70
// and sends everything again, which it must be able to do at any time. So nothing here needs to be evicted but what the
// same connection made before.

// maxSessions is how many a connection may have: one, and one more for a client that lost the answer to its first.
const maxSessions = 2

// The session epochs with a meaning.
const (
	epochInitial = 0  // a full request, which may open a session
	epochFinal   = -1 // a full request without one, which closes the one it names
)

// sessions are the fetch sessions of a connection, in order of use, the latest last.
type sessions struct {
	list []*session
}

// session is one fetch session.
type session struct {
	id    int32
	epoch int32 // that the next request must have
	byID  bool  // it names topics by their ids
	parts map[partKey]*sessionPart
	order []*sessionPart // in which they are served: those that got records go to the end
	spare []*sessionPart // room for rotate
}

// partKey names a partition as the request does.
type partKey struct {
	topic string
	id    uuid.UUID // of the topic, from version 13 on; then topic is empty
	index int32
}

// sameTopic reports whether two partitions are of one topic.
func (k *partKey) sameTopic(other *partKey) bool { return k.topic == other.topic && k.id == other.id }

// fetchWant is what a client asks of a partition.
type fetchWant struct {
	offset    int64
	maxBytes  int32
	epoch     int32 // leader epoch that the client knows, -1: none
	lastEpoch int32 // of the last record it has, -1: not told
}

// sessionPart is a partition of a session and what was last told of it.
type sessionPart struct {
	key       partKey
	want      fetchWant
	hw, start int64 // -1: to be told
	gone      bool
	served    bool // the answer being made holds records of it
}

// find does what the id and epoch of a request say (FS1). A nil session with code 0 means: the request is full, and may open
// a session if fresh is set. Else it is incremental, and the session's epoch has moved on. freed is how many partitions were
// dropped with sessions.
func (ss *sessions) find(id, epoch int32, byID bool) (s *session, fresh bool, freed int, code int16) {
	if epoch == epochInitial || epoch == epochFinal {
		return nil, epoch == epochInitial, ss.drop(id), codeNone
	}
	i := ss.index(id)
	if i < 0 {
		return nil, false, 0, codeFetchSessionIDNotFound
	}
	s = ss.list[i]
	if s.byID != byID {
		return nil, false, 0, codeFetchSessionTopicID
	}
	if s.epoch != epoch {
		return nil, false, 0, codeInvalidFetchSessionEpoch
	}
	s.epoch = nextEpoch(epoch)
	ss.list = append(append(ss.list[:i], ss.list[i+1:]...), s)
	return s, false, 0, codeNone
}

// nextEpoch counts from 1, and after the largest begins at 1 again.
func nextEpoch(epoch int32) int32 {
	if epoch == math.MaxInt32 {
		return 1
	}
	return epoch + 1
}

func (ss *sessions) index(id int32) int {
	for i, s := range ss.list {
		if s.id == id {
			return i
		}
	}
	return -1
}

// open makes a session with a random id that is neither 0 nor in use. freed is as in find.
func (ss *sessions) open(id int32, byID bool) (s *session, freed int) {
	if len(ss.list) == maxSessions {
		freed = ss.drop(ss.list[0].id)
	}
	s = &session{id: id, epoch: 1, byID: byID, parts: map[partKey]*sessionPart{}}
	ss.list = append(ss.list, s)
	return s, freed
}

// drop ends a session, if there is one of that id, and returns how many partitions it had.
func (ss *sessions) drop(id int32) int {
	i := ss.index(id)
	if i < 0 {
		return 0
	}
	n := len(ss.list[i].parts)
	ss.list = append(ss.list[:i], ss.list[i+1:]...)
	return n
}

// has reports whether s is still open and has seen no later request than the one after which its epoch was epoch (FS3).
func (ss *sessions) has(s *session, epoch int32) bool {
	i := ss.index(s.id)
	return i >= 0 && ss.list[i] == s && s.epoch == epoch
}

// put adds a partition or changes what is asked of it.
func (s *session) put(key partKey, want fetchWant) {
	p, ok := s.parts[key]
	if !ok {
		p = &sessionPart{key: key, hw: -1, start: -1}
		s.parts[key] = p
		s.order = append(s.order, p)
	}
	p.want = want
}

// remove takes a partition out. prune must follow before order is used.
func (s *session) remove(key partKey) {
	if p, ok := s.parts[key]; ok {
		p.gone = true
		delete(s.parts, key)
	}
}

// prune takes removed partitions out of the order.
func (s *session) prune() {
	if len(s.order) == len(s.parts) {
		return
	}
	kept := s.order[:0]
	for _, p := range s.order {
		if !p.gone {
			kept = append(kept, p)
		}
	}
	clear(s.order[len(kept):])
	s.order = kept
}

// told is what a response would say of a partition.
type told struct {
	code      int16
	hw, start int64
	records   bool
	diverging bool
}

// tells reports whether an incremental response must hold the partition (FS4), and notes that it does. After an error
// the next response holds it whatever it says.
func (p *sessionPart) tells(t told) bool {
	must := t.records || t.diverging || t.code != codeNone || t.hw != p.hw || t.start != p.start
	p.hw, p.start = t.hw, t.start
	if t.code != codeNone {
		p.hw = -1
	}
	return must
}

// rotate moves the partitions that were served to the end, so that each gets its turn (FE12).
func (s *session) rotate() {
	kept, last := s.order[:0], s.spare[:0]
	for _, p := range s.order {
		if p.served {
			p.served = false
			last = append(last, p)
		} else {
			kept = append(kept, p)
		}
	}
	s.order = append(kept, last...)
	clear(last)
	s.spare = last
}
