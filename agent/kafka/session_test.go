package kafka

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func key(i int) partKey { return partKey{"t", int32(i)} }

func names(s *session) (list []int32) {
	for _, p := range s.order {
		list = append(list, p.key.index)
	}
	return list
}

// TestFS1: what the pairs of id and epoch mean.
func TestFS1(t *testing.T) {
	var ss sessions
	s, _ := ss.open(77)
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
		s, fresh, freed, code := ss.find(c.id, c.epoch)
		if (s != nil) != c.session || fresh != c.fresh || freed != c.freed || code != c.code || len(ss.list) != c.left {
			t.Errorf("(%d, %d): session %v, fresh %v, freed %d, code %d, %d left; want %+v", c.id, c.epoch, s != nil, fresh, freed, code, len(ss.list), c)
		}
	}
	s, _ = ss.open(5)
	s.put(key(1), fetchWant{})
	if _, fresh, freed, _ := ss.find(5, -1); fresh || freed != 1 {
		t.Errorf("(5, -1) frees %d", freed)
	}
}

func TestFS3Epochs(t *testing.T) {
	var ss sessions
	s, _ := ss.open(1)
	s.epoch = math.MaxInt32
	if got, _, _, code := ss.find(1, math.MaxInt32); got != s || code != 0 || s.epoch != 1 {
		t.Errorf("after the largest epoch comes %d", s.epoch)
	}
	if !ss.has(s, 1) || ss.has(s, 2) {
		t.Error("has the epoch of the request's answer, and no other")
	}
	ss.drop(1)
	other, _ := ss.open(1)
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
	s, _ := ss.open(1)
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
	s, _ := ss.open(1)
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
		s, freed := ss.open(i + 1)
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

// machine drives sessions against a model: maps, without order or re-use.
func machine(t *testing.T, steps []byte) {
	var ss sessions
	type model struct {
		epoch int32
		parts map[partKey]int64
	}
	models := map[int32]*model{}
	ids, count := int32(0), 0
	r := func() int {
		if len(steps) == 0 {
			return 0
		}
		v := int(steps[0])
		steps = steps[1:]
		return v
	}
	for len(steps) > 0 {
		id, epoch := int32(r()%5), int32(r()%6-2)
		m := models[id]
		s, fresh, freed, code := ss.find(id, epoch)
		count -= freed
		switch {
		case epoch == 0 || epoch == -1:
			if s != nil || fresh != (epoch == 0) || code != 0 || m != nil && freed != len(m.parts) || m == nil && freed != 0 {
				t.Fatalf("full (%d, %d): %v %v %d %d", id, epoch, s, fresh, freed, code)
			}
			delete(models, id)
		case m == nil:
			if s != nil || code != codeFetchSessionIDNotFound {
				t.Fatalf("unknown %d: %v, code %d", id, s, code)
			}
		case m.epoch != epoch:
			if s != nil || code != codeInvalidFetchSessionEpoch {
				t.Fatalf("epoch %d of %d: %v, code %d", epoch, id, s, code)
			}
		default:
			if s == nil || code != 0 {
				t.Fatalf("(%d, %d): code %d", id, epoch, code)
			}
			m.epoch++
		}
		if fresh && r()%2 == 0 && models[ids%4+1] == nil {
			ids++
			newID := (ids-1)%4 + 1
			for other := range models { // the oldest goes; the machine knows which
				if ss.index(other) < 0 {
					delete(models, other)
				}
			}
			var n int
			s, n = ss.open(newID)
			count -= n
			models[newID] = &model{epoch: 1, parts: map[partKey]int64{}}
			m = models[newID]
			for other := range models {
				if ss.index(other) < 0 {
					delete(models, other)
				}
			}
		}
		if s == nil {
			continue
		}
		before := len(s.parts)
		for range r() % 6 {
			k, at := key(r()%8), int64(r())
			if at%3 == 0 {
				s.remove(k)
				s.prune()
				delete(m.parts, k)
			} else {
				s.put(k, fetchWant{offset: at})
				m.parts[k] = at
			}
		}
		count += len(s.parts) - before
		for _, p := range s.order {
			p.served = r()%2 == 0
		}
		s.rotate()
		if len(s.order) != len(m.parts) || len(s.parts) != len(m.parts) {
			t.Fatalf("%d in order, %d parts, want %d", len(s.order), len(s.parts), len(m.parts))
		}
		for _, p := range s.order {
			if at, ok := m.parts[p.key]; !ok || at != p.want.offset || s.parts[p.key] != p {
				t.Fatalf("partition %v: offset %d, want %d", p.key, p.want.offset, at)
			}
		}
		total := 0
		for _, s := range ss.list {
			total += len(s.parts)
		}
		if total != count || len(ss.list) > maxSessions {
			t.Fatalf("%d partitions counted, %d there, in %d sessions", count, total, len(ss.list))
		}
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
