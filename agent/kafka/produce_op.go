package kafka

import (
	"sync"
	"time"

	"github.com/varvelog/varve/agent/memory"
)

// produceOp is a Produce request between admission and answer: it counts the batches whose commit is awaited. It is pooled;
// it goes back when it is answered and no commit can call it any more.
type produceOp struct {
	s       *Server
	sl      *slot
	version int16
	timer   *time.Timer
	armed   bool  // the timer was started for this request
	charge  int64 // taken from the budget for results

	mu       sync.Mutex
	waiting  int  // calls of Appended to come, and one more while the request is being admitted
	answered bool // results are settled
	topics   []producedTopic
	results  []produceResult
}

// resultBytes is what a partition of a request takes until it is answered, its part of the answer included.
const resultBytes = 256

// manyResults takes room for the results of a request with so many partitions that they take more than its frame: most of them
// then hold nothing. It waits for it as for the frame.
func (c *conn) manyResults(parts, frame int) (charge int64, err error) {
	if parts <= keepPartitions {
		return 0, nil
	}
	charge = int64(parts) * resultBytes
	if c.s.deps.Budget.Grow(c.intake, int64(memory.Capacity(frame)), charge, nil) != nil {
		return 0, errOver
	}
	return charge, nil
}

func (s *Server) newProduce(sl *slot) *produceOp {
	op, ok := s.produces.Get().(*produceOp)
	if !ok {
		op = &produceOp{s: s}
	}
	op.sl, op.version, op.waiting, op.answered = sl, sl.hdr.version, 1, false
	return op
}

func (op *produceOp) expect() {
	op.mu.Lock()
	op.waiting++
	op.mu.Unlock()
}

func (op *produceOp) unexpect() {
	op.mu.Lock()
	op.waiting--
	op.mu.Unlock()
}

// settle notes the result of a partition, as admission left it. If the commit was faster, what it said stays.
func (op *produceOp) settle(tag int, r produceResult) {
	op.mu.Lock()
	defer op.mu.Unlock()
	if early := &op.results[tag]; early.pending { // Appended left its outcome here
		r.pending = false
		if r.code = early.code; r.code != codeNone {
			r.base, r.appendTime = -1, -1
		}
	}
	op.results[tag] = r
}

// admitted ends the admission: the request is answered now or when the last commit has come, or its time is over.
func (op *produceOp) admitted(acks int16, timeout time.Duration) {
	if acks == 0 {
		op.unanswered()
		return
	}
	op.mu.Lock()
	op.waiting--
	last := op.waiting == 0
	op.answered = last
	if !last {
		op.startTimer(max(timeout, 0))
	}
	op.mu.Unlock()
	if last {
		op.answer()
		op.recycle()
	}
}

// unanswered completes a request with acks=0: no answer, and on an error the connection closes, the only sign there is.
func (op *produceOp) unanswered() {
	for i := range op.results {
		op.sl.fatal = op.sl.fatal || op.results[i].code != codeNone
	}
	op.sl.c.ring.finish(op.sl)
	op.recycle()
}

func (op *produceOp) startTimer(d time.Duration) {
	op.armed = true
	if op.timer == nil {
		op.timer = time.AfterFunc(d, op.expire)
		return
	}
	op.timer.Reset(d)
}

// Appended is called by the WAL or the partition once for each batch that waits.
func (op *produceOp) Appended(tag int, err error) {
	op.mu.Lock()
	if r := &op.results[tag]; !op.answered {
		switch {
		case r.pending:
			r.pending = false
			r.code = codeOf(err, codeRequestTimedOut)
			if err != nil {
				r.base, r.appendTime = -1, -1
			}
		default: // before admission settled it: see settle
			r.pending, r.code = true, codeOf(err, codeRequestTimedOut)
		}
		if err != nil {
			op.s.byKey[keyProduce].m.fail(r.code)
		}
	}
	op.waiting--
	last := op.waiting == 0
	answer := last && !op.answered
	op.answered = op.answered || last
	op.mu.Unlock()
	if answer {
		op.answer()
	}
	if last {
		op.recycle()
	}
}

// expire answers when timeout.ms is over. What is pending stays appended; that it was not seen to commit is all that is
// known, and a retry is recognised by its sequence (PR14).
func (op *produceOp) expire() {
	op.mu.Lock()
	if op.answered || op.waiting == 0 {
		op.mu.Unlock()
		return
	}
	op.answered = true
	for i := range op.results {
		if r := &op.results[i]; r.pending {
			r.pending, r.code, r.base, r.appendTime = false, codeRequestTimedOut, -1, -1
			op.s.byKey[keyProduce].m.fail(r.code)
		}
	}
	op.mu.Unlock()
	op.answer()
}

// answer encodes the results, which nobody changes any more.
func (op *produceOp) answer() {
	for i := range op.results { // as late as can be: when a session ends, who leads next is known soon after
		if r := &op.results[i]; r.code == codeNotLeaderOrFollower && op.version >= 10 {
			r.leader, r.node = op.s.hint(r.slot)
		}
	}
	r := op.s.newReply()
	r.b = appendProduce(appendHeader(r.b, op.sl, op.version >= 9), op.version, op.topics, op.results)
	r.b = appendProduceEnd(r.b, op.version, op.results)
	op.sl.send(r)
}

// recycle puts op back, unless its timer may still be about to call it.
func (op *produceOp) recycle() {
	if op.charge > 0 {
		op.s.deps.Budget.Release(op.charge)
		op.charge = 0
	}
	if op.armed && !op.timer.Stop() || cap(op.results) > keepPartitions {
		return
	}
	op.armed = false
	clear(op.topics)
	clear(op.results)
	op.topics, op.results, op.sl = op.topics[:0], op.results[:0], nil
	op.s.produces.Put(op)
}
