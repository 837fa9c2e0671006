package simtest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// history is what clients did and saw, and the play: what was done to the cluster and what agents said.
type history struct {
	s *clusterSim

	mu    sync.Mutex
	sends []*send
	reads map[string]map[tp]*readState // by reader
	final map[tp][]seenRecord          // the whole log, read at the end
	looks []look
	lines []string
}

// tp is a partition of a topic.
type tp struct {
	topic     string
	partition int32
}

// send is one record: its value is unique.
type send struct {
	tp
	producer string
	n        int // of this producer and partition, from 0
	value    string
	called   time.Duration // since the begin of the run
	acked    time.Duration // 0: no answer yet, so perhaps written
	offset   int64
	failed   error // what the client gave up with: perhaps written
}

// readState is how far a reader got, and what it saw.
type readState struct {
	next  int64
	epoch int32
	hw    int64
	got   []seenRecord
}

type seenRecord struct {
	offset int64
	epoch  int32
	value  string
}

func newHistory(s *clusterSim) *history {
	return &history{s: s, reads: map[string]map[tp]*readState{}, final: map[tp][]seenRecord{}}
}

func (h *history) note(line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.lines) < 20_000 {
		h.lines = append(h.lines, line)
	}
}

func (h *history) play() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.lines, "\n")
}

func (h *history) begin(p tp, producer string, n int) *send {
	x := &send{tp: p, producer: producer, n: n, value: fmt.Sprintf("%s/%s-%d/%d", producer, p.topic, p.partition, n), called: time.Since(h.s.begun), offset: -1}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sends = append(h.sends, x)
	return x
}

func (h *history) end(x *send, offset int64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		x.failed = err
		return
	}
	x.acked, x.offset = time.Since(h.s.begun), offset
}

// read takes in a record that a reader got. Offsets of a reader follow each other without a gap (V6); leader epochs along
// the log never fall (V7); nothing is at or beyond the high watermark that came with it (I7).
func (h *history) read(reader string, p tp, r seenRecord, hw int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	st := h.state(reader, p)
	if r.offset != st.next {
		h.s.violation("V6: %s of %v expects offset %d and got %d (%s)", reader, p, st.next, r.offset, r.value)
	}
	if r.epoch < st.epoch {
		h.s.violation("V7: %s of %v: leader epoch %d after %d at offset %d", reader, p, r.epoch, st.epoch, r.offset)
	}
	if r.offset >= hw {
		h.s.violation("I7: %s of %v got offset %d, the high watermark is %d", reader, p, r.offset, hw)
	}
	st.next, st.epoch = r.offset+1, r.epoch
	st.hw = max(st.hw, hw)
	st.got = append(st.got, r)
}

// watermark takes in a high watermark that came without records.
func (h *history) watermark(reader string, p tp, hw int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	st := h.state(reader, p)
	st.hw = max(st.hw, hw)
}

func (h *history) state(reader string, p tp) *readState {
	all := h.reads[reader]
	if all == nil {
		all = map[tp]*readState{}
		h.reads[reader] = all
	}
	if all[p] == nil {
		all[p] = &readState{}
	}
	return all[p]
}

// look takes in when something was seen.
func (h *history) look(l look) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.looks) < 10_000 {
		h.looks = append(h.looks, l)
	}
}

// open returns how many sends have no answer.
func (h *history) open() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, x := range h.sends {
		if x.acked == 0 && x.failed == nil {
			n++
		}
	}
	return n
}

// check compares everything with the log as it was read at the end.
func (h *history) check() {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := map[string]int64{} // where a value is
	for p, log := range h.final {
		for _, r := range log {
			if before, twice := at[r.value]; twice {
				h.s.violation("V3: %v: %s is at %d and at %d", p, r.value, before, r.offset)
			}
			at[r.value] = r.offset
		}
	}
	for _, x := range h.sends {
		got, there := at[x.value]
		switch {
		case x.acked == 0:
		case !there:
			h.s.violation("V1: %v: %s, acked at offset %d after %v, is lost", x.tp, x.value, x.offset, x.acked)
		case got != x.offset:
			h.s.violation("V4: %v: %s was acked at offset %d and is at %d", x.tp, x.value, x.offset, got)
		}
	}
	h.checkReads()
	h.checkOrder(at)
	h.checkTime()
	h.checkLinear()
}

// checkReads: what anybody ever read is in the log (V2, V8, V13), and no high watermark was beyond its end.
func (h *history) checkReads() {
	for reader, all := range h.reads {
		for p, st := range all {
			log := h.final[p]
			if log == nil {
				continue // a topic that is gone
			}
			for _, r := range st.got {
				if r.offset >= int64(len(log)) || log[r.offset] != r {
					h.s.violation("V2: %s of %v read %+v, which is not in the log at the end", reader, p, r)
				}
			}
			if st.hw > int64(len(log)) {
				h.s.violation("I7: %s of %v was told a high watermark of %d, the log ends at %d", reader, p, st.hw, len(log))
			}
		}
	}
}

// checkOrder: a producer's records stand in the order in which it sent them (V5).
func (h *history) checkOrder(at map[string]int64) {
	last := map[string]*send{}
	for _, x := range h.sends { // in the order of n for one producer and partition
		offset, there := at[x.value]
		if !there {
			continue
		}
		key := fmt.Sprint(x.producer, x.tp)
		if before := last[key]; before != nil && at[before.value] >= offset {
			h.s.violation("V5: %v: %s at %d stands behind %s at %d", x.tp, before.value, at[before.value], x.value, offset)
		}
		last[key] = x
	}
}

// checkTime: a record that was acked before another one was sent stands before it, whoever sent them.
func (h *history) checkTime() {
	by := map[tp][]*send{}
	for _, x := range h.sends {
		if x.acked > 0 {
			by[x.tp] = append(by[x.tp], x)
		}
	}
	for p, sends := range by {
		slices.SortFunc(sends, func(a, b *send) int { return cmp.Compare(a.offset, b.offset) })
		var late *send // sent last among those before
		for _, x := range sends {
			if late != nil && x.acked < late.called {
				h.s.violation("V5: %v: %s at %d was acked at %v, before %s at %d was sent at %v", p, x.value, x.offset, x.acked, late.value, late.offset, late.called)
			}
			if late == nil || x.called > late.called {
				late = x
			}
		}
	}
}
