package kafka

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func key(i int) partKey { return partKey{topic: "t", index: int32(i)} }

func names(s *session) (list []int32) {
	for _, p := range s.order {
		list = append(list, p.key.index)
	}
	return list
}

// TestFS1: what the pairs of id and epoch mean.
func TestFS1(t *testing.T) {
	var ss sessions
	s, _ := ss.open(77, false)
	s.put(key(1), fetchWant{})
	for _, c := range []struct {
		id, epoch int32
		session   bool
		fresh     bool
		freed     int
		code      int16
		left      int
	}{
		{0, -1, false, false, 0, 0, 1},  // sessionless
		{0, 0, false, true, 0, 0, 1},    // full, may open one
		{77, 2, false, false, 0, 71, 1}, // wrong epoch
		{78, 1, false, false, 0, 70, 1}, // unknown
		{0, 1, false, false, 0, 70, 1},  // no id, no session
		{77, -2, false, false, 0, 71, 1},
		{77, 1, true, false, 0, 0, 1}, // incremental
		{77, 1, false, false, 0, 71, 1},
		{77, 2, true, false, 0, 0, 1},
		{78, 0, false, true, 0, 0, 1},   // seen on Kafka 4.1: an unknown id opens one
		{77, 0, false, true, 1, 0, 0},   // closes and opens
		{77, 3, false, false, 0, 70, 0}, // it is gone
		{77, -1, false, false, 0, 0, 0}, // an unknown id, served without one
	} {
		s, fresh, freed, code := ss.find(c.id, c.epoch, false)
		if (s != nil) != c.session || fresh != c.fresh || freed != c.freed || code != c.code || len(ss.list) != c.left {
			t.Errorf("(%d, %d): session %v, fresh %v, freed %d, code %d, %d left; want %+v", c.id, c.epoch, s != nil, fresh, freed, code, len(ss.list), c)
		}
	}
	s, _ = ss.open(5, false)
	s.put(key(1), fetchWant{})
	if _, fresh, freed, _ := ss.find(5, -1, false); fresh || freed != 1 {
		t.Errorf("(5, -1) frees %d", freed)
	}
}

func TestFS3Epochs(t *testing.T) {
	var ss sessions
	s, _ := ss.open(1, false)
	s.epoch = math.MaxInt32
	if got, _, _, code := ss.find(1, math.MaxInt32, false); got != s || code != 0 || s.epoch != 1 {
		t.Errorf("after the largest epoch comes %d", s.epoch)
	}
	if !ss.has(s, 1) || ss.has(s, 2) {
		t.Error("has the epoch of the request's answer, and no other")
	}
	ss.drop(1)
	other, _ := ss.open(1, false)
	if ss.has(s, 1) || !ss.has(other, 1) {
		t.Error("another session under the same id is another session")
	}
}

func TestFS4WhatAnIncrementalAnswerHolds(t *testing.T) {
	p := &sessionPart{hw: -1, start: -1}
	for i, c := range []struct {
		told
		want bool
	}{
		{told{hw: 5, start: 0}, true}, // never told
		{told{hw: 5, start: 0}, false},
		{told{hw: 5, start: 0, records: true}, true},
		{told{hw: 6, start: 0}, true},
		{told{hw: 6, start: 1}, true},
		{told{hw: 6, start: 1, diverging: true}, true},
		{told{hw: 6, start: 1}, false},
		{told{hw: 6, start: 1, code: 6}, true},
		{told{hw: 6, start: 1}, true}, // after an error, whatever it is
		{told{hw: 6, start: 1}, false},
	} {
		if got := p.tells(c.told); got != c.want {
			t.Errorf("step %d: held %v, want %v", i, got, c.want)
		}
	}
}

func TestFS5Forgotten(t *testing.T) {
	var ss sessions
	s, _ := ss.open(1, false)
	for i := range 5 {
		s.put(key(i), fetchWant{offset: int64(i)})
	}
	s.remove(key(1))
	s.remove(key(4))
	s.remove(key(9))
	s.prune()
	s.put(key(1), fetchWant{offset: 10})
	s.put(key(2), fetchWant{offset: 20})
	if got := fmt.Sprint(names(s)); got != "[0 2 3 1]" || s.parts[key(2)].want.offset != 20 || s.parts[key(1)].want.offset != 10 {
		t.Errorf("order %s", got)
	}
}

func TestFE12ServedGoToTheEnd(t *testing.T) {
	var ss sessions
	s, _ := ss.open(1, false)
	for i := range 5 {
		s.put(key(i), fetchWant{})
	}
	s.parts[key(0)].served, s.parts[key(2)].served = true, true
	s.rotate()
	if got := fmt.Sprint(names(s)); got != "[1 3 4 0 2]" {
		t.Errorf("order %s", got)
	}
	s.parts[key(3)].served = true
	s.rotate()
	if got := fmt.Sprint(names(s)); got != "[1 4 0 2 3]" {
		t.Errorf("order %s", got)
	}
}

func TestFS6Bounded(t *testing.T) {
	var ss sessions
	for i := range int32(10) {
		s, freed := ss.open(i+1, false)
		s.put(key(1), fetchWant{})
		s.put(key(2), fetchWant{})
		if want := 0; i < maxSessions && freed != want || i >= maxSessions && freed != 2 {
			t.Errorf("session %d freed %d", i, freed)
		}
	}
	if len(ss.list) != maxSessions {
		t.Errorf("%d sessions", len(ss.list))
	}
}

// modelSession is what a session should be: maps, without order or re-use.
type modelSession struct {
	epoch int32
	parts map[partKey]int64
}

// play drives sessions against a model by bytes that a test or a fuzzer chose.
type play struct {
	t      *testing.T
	steps  []byte
	ss     sessions
	models map[int32]*modelSession
	opened int32
	count  int // partitions, as freed and added say
}

// machine plays all of steps.
func machine(t *testing.T, steps []byte) {
	p := &play{t: t, steps: steps, models: map[int32]*modelSession{}}
	for len(p.steps) > 0 {
		id := int32(p.next() % 5)
		if s, m := p.find(id, int32(p.next()%6-2)); s != nil {
			p.change(s, m)
			p.compare(s, m)
		}
	}
}

func (p *play) next() int {
	if len(p.steps) == 0 {
		return 0
	}
	v := int(p.steps[0])
	p.steps = p.steps[1:]
	return v
}

// find makes a request and compares what becomes of it; it may open a session.
func (p *play) find(id, epoch int32) (*session, *modelSession) {
	m := p.models[id]
	s, fresh, freed, code := p.ss.find(id, epoch, false)
	p.count -= freed
	switch {
	case epoch == 0 || epoch == -1:
		if s != nil || fresh != (epoch == 0) || code != 0 || m != nil && freed != len(m.parts) || m == nil && freed != 0 {
			p.t.Fatalf("full (%d, %d): %v %v %d %d", id, epoch, s, fresh, freed, code)
		}
		delete(p.models, id)
	case m == nil:
		if s != nil || code != codeFetchSessionIDNotFound {
			p.t.Fatalf("unknown %d: %v, code %d", id, s, code)
		}
	case m.epoch != epoch:
		if s != nil || code != codeInvalidFetchSessionEpoch {
			p.t.Fatalf("epoch %d of %d: %v, code %d", epoch, id, s, code)
		}
	default:
		if s == nil || code != 0 {
			p.t.Fatalf("(%d, %d): code %d", id, epoch, code)
		}
		m.epoch++
	}
	if next := p.opened%4 + 1; fresh && p.next()%2 == 0 && p.models[next] == nil {
		p.opened++
		s, m = p.open(next)
	}
	return s, m
}

func (p *play) open(id int32) (*session, *modelSession) {
	s, freed := p.ss.open(id, false)
	p.count -= freed
	for other := range p.models { // the one used longest ago is gone
		if p.ss.index(other) < 0 {
			delete(p.models, other)
		}
	}
	m := &modelSession{epoch: 1, parts: map[partKey]int64{}}
	p.models[id] = m
	return s, m
}

func (p *play) change(s *session, m *modelSession) {
	before := len(s.parts)
	for range p.next() % 6 {
		k, at := key(p.next()%8), int64(p.next())
		if at%3 == 0 {
			s.remove(k)
			s.prune()
			delete(m.parts, k)
		} else {
			s.put(k, fetchWant{offset: at})
			m.parts[k] = at
		}
	}
	p.count += len(s.parts) - before
	for _, part := range s.order {
		part.served = p.next()%2 == 0
	}
	s.rotate()
}

func (p *play) compare(s *session, m *modelSession) {
	if len(s.order) != len(m.parts) || len(s.parts) != len(m.parts) {
		p.t.Fatalf("%d in order, %d parts, want %d", len(s.order), len(s.parts), len(m.parts))
	}
	for _, part := range s.order {
		if at, ok := m.parts[part.key]; !ok || at != part.want.offset || s.parts[part.key] != part {
			p.t.Fatalf("partition %v: offset %d, want %d", part.key, part.want.offset, at)
		}
	}
	total := 0
	for _, s := range p.ss.list {
		total += len(s.parts)
	}
	if total != p.count || len(p.ss.list) > maxSessions || len(p.models) != len(p.ss.list) {
		p.t.Fatalf("%d partitions counted, %d there, in %d sessions, want %d", p.count, total, len(p.ss.list), len(p.models))
	}
}

func TestSessionMachine(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		steps := make([]byte, 300)
		for i := range steps {
			steps[i] = byte(r.Uint32())
		}
		machine(t, steps)
	}
}

func FuzzSessions(f *testing.F) {
	f.Add([]byte{0, 2, 0, 5, 1, 2, 3, 4, 5, 6, 1, 3, 1, 3})
	f.Fuzz(machine)
}
