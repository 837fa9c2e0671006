package main

import "math/bits"

// rewrite: what the room of leader i can begin: a pack, a merge of packs, a segment, a move of tiered to the log start. Nobody tells a
// room that it was replaced.
func (m *LifeModel) rewrite(s *Life, i int) {
	for parts := 1; parts < 1<<lP; parts++ {
		m.pack(s, i, wPack, parts)
		m.pack(s, i, wMerge, parts)
	}
	for p := range s.P {
		if s.P[p].Topic != tActive {
			continue
		}
		m.pass(s, i, p)
		m.cut(s, i, p)
		m.join(s, i, p)
		if m.Know && s.L[i].Known[p] == 0 {
			t := m.fork(s)
			t.know(i, p)
			m.emit(fKnow, i, p, int(s.P[p].Tiered))
		}
	}
}

// pack begins a pack of runs in bundles, or of runs in several packs, of some partitions: first its item.
func (m *LifeModel) pack(s *Life, i, kind, parts int) {
	k := 0
	for k < m.Packs && s.K[k].Next != [lP]uint8{} {
		k++
	}
	if k == m.Packs {
		m.Truncated++
		return
	}
	t := m.fork(s)
	op := Work{Kind: uint8(kind), Obj: uint8(k), Parts: uint8(parts)}
	for p := range s.P {
		if parts>>p&1 == 0 {
			continue
		}
		from, to, n := t.stretch(m, i, kind, p)
		if n < kind { // a merge needs two packs
			return
		}
		if !t.readable(&t.L[i].Log, p, from, to) {
			m.missing(s, i, p, to)
			return
		}
		op.From[p], op.To[p] = uint8(from), uint8(to)
	}
	t.K[k] = Pack{Item: 1, Live: uint8(bits.OnesCount(uint(parts))), Base: op.From, Next: op.To}
	if m.Drop.Nameless {
		t.K[k].Item = 0
	}
	t.L[i].Op = op
	if !m.Gap {
		t.K[k].Obj = oThere
		m.replace(t, i)
	}
	m.emit([...]int{wPack: fPack, wMerge: fMerge}[kind], i, k, parts)
}

// stretch is what a pack takes of a partition: [from, to), which is n runs. A merge first reads what an earlier leader linked.
func (s *Life) stretch(m *LifeModel, i, kind, p int) (from, to, n int) {
	l := &s.L[i]
	if kind == wMerge && l.Doubt[p] != 0 {
		return 0, 0, 0
	}
	if kind == wMerge && !m.Drop.MergeBlind {
		if m.Know && l.Known[p] == 0 {
			return 0, 0, 0 // a step of its own
		}
		s.know(i, p)
	}
	o := s.begins(&l.Log, p)
	for kind == wPack && o < lO && l.Log[p][o] >= inPack {
		o = s.runEnd(&l.Log, p, o)
	}
	from = o
	for o < lO && l.Log[p][o] != 0 && (l.Log[p][o] == inWAL) == (kind == wPack) {
		o, n = s.runEnd(&l.Log, p, o), n+1
	}
	return from, o, n
}

// know reads tiered, if it is not known.
func (s *Life) know(i, p int) {
	if s.L[i].Known[p] == 0 {
		s.reached(i, p, int(s.P[p].Tiered))
	}
}

// reached: tiered is at next, as far as leader i has heard.
func (s *Life) reached(i, p, next int) {
	l := &s.L[i]
	l.Known[p], l.Doubt[p] = uint8(next)+1, 0
	s.forget(&l.Log, p, next)
}

// missing: an object that holds records up to next is gone. Extents cover them, or it is an alarm.
func (m *LifeModel) missing(s *Life, i, p, next int) {
	t := m.fork(s)
	switch it := &s.P[p]; {
	case it.Tiered > 0 && it.Tiered >= s.L[i].Known[p]:
		t.reached(i, p, int(it.Tiered))
	case int(it.Start) >= next || !s.leads(i) || it.Topic != tActive:
		return
	default:
		t.Bad = lifeNowhere
	}
	m.emit(fPut, i, p, next)
}

// goOn: the next step of what is under way.
func (m *LifeModel) goOn(s *Life, i int) {
	op := &s.L[i].Op
	switch {
	case op.Kind == wCut:
		m.link(s, i, int(op.Obj))
	case op.Kind == wJoin:
		m.joinLink(s, i, int(op.Obj))
	case op.Put == 0:
		t := m.fork(s)
		t.K[op.Obj].Obj |= oThere
		t.L[i].Op.Put = 1
		m.emit(fPut, i, int(op.Obj), 0)
	default:
		t := m.fork(s)
		m.replace(t, i)
		m.emit(fReplace, i, int(op.Obj), 0)
	}
}

// replace puts the runs of a pack in the place of those that they were made of. What the tail does not take is taken off again.
func (m *LifeModel) replace(t *Life, i int) {
	l := &t.L[i]
	op := l.Op
	k := int(op.Obj)
	for p := range t.P {
		if op.Parts>>p&1 == 0 {
			continue
		}
		from, to := int(op.From[p]), int(op.To[p])
		if t.begins(&l.Log, p) > from || l.Log[p][from] == 0 || l.Log[p][to-1] == 0 {
			l.Due[k]++ // the log start, or another's link, has passed some of it meanwhile
			continue
		}
		for o := from; o < to; {
			end := t.runEnd(&l.Log, p, o)
			if old := int(l.Log[p][o]) - inPack; old >= 0 {
				if m.Drop.DebitEarly {
					l.Due[old]++
				} else {
					l.Wait[old]++
				}
			}
			o = end
		}
		for o := from; o < to; o++ {
			l.Log[p][o] = uint8(k) + inPack
		}
	}
	l.Op = Work{}
}

// cut writes a segment of the first runs of a partition.
func (m *LifeModel) cut(s *Life, i, p int) {
	if _, due := s.passed(i, p); due {
		return
	}
	for n := 1; n <= lO; n++ {
		t := m.fork(s)
		if !m.Drop.CutBlind {
			t.know(i, p)
		}
		l := &t.L[i]
		from, to := t.begins(&l.Log, p), t.begins(&l.Log, p)
		if tiered := int(l.Known[p]) - 1; tiered > from {
			from = tiered
		}
		x := Piece{Owner: uint8(i) + 1, P: uint8(p), Base: uint8(from), Obj: oThere}
		runs := 0
		for ; runs < n && to < lO && l.Log[p][to] != 0; runs++ {
			if k := int(l.Log[p][to]) - inPack; k >= 0 {
				x.Runs[k]++
			}
			to = t.runEnd(&l.Log, p, to)
		}
		g := t.free(m)
		if runs < n || to <= from || g < 0 {
			return
		}
		if !t.readable(&l.Log, p, from, to) {
			m.missing(s, i, p, to)
			return
		}
		x.Next = uint8(to)
		copy(x.V[from:to], t.P[p].W[from:to])
		if m.Drop.PastEnd && to < lO && int(t.P[p].End) == to && t.L[i].State == Active {
			x.V[to], x.Next = uint8(i)+1, x.Next+1 // appended, not committed
		}
		if m.Drop.CutDrops && to-from > 1 {
			x.V[from+1] = 0
		}
		t.G[g] = x
		l.Op = Work{Kind: wCut, Obj: uint8(g)}
		m.emit(fCut, i, g, to)
	}
}

// free is a number for a new segment, -1 if there is none.
func (s *Life) free(m *LifeModel) int {
	for g := 0; g < m.Segs; g++ {
		if s.G[g] == (Piece{}) {
			return g
		}
	}
	return -1
}

// passed is where tiered shall move because the log start has passed runs in packs, or what the next segment would follow.
func (s *Life) passed(i, p int) (to int, due bool) {
	l, it := &s.L[i], &s.P[p]
	for o := 0; o < int(it.Start); o++ {
		if l.Log[p][o] >= inPack && s.runEnd(&l.Log, p, o) <= int(it.Start) {
			to = s.runEnd(&l.Log, p, o)
		}
	}
	if base := s.begins(&l.Log, p); base < int(it.End) && base <= int(it.Start) {
		to = max(to, base)
	}
	return to, to > int(it.Tiered)
}

// pass moves tiered over what the log start has passed, and takes that off its packs.
func (m *LifeModel) pass(s *Life, i, p int) {
	if _, due := s.passed(i, p); !due {
		return
	}
	t := m.fork(s)
	t.know(i, p)
	l := &t.L[i]
	to, due := t.passed(i, p)
	if !due || int(l.Known[p])-1 != int(s.P[p].Tiered) || !s.leads(i) {
		return
	}
	for o := 0; o < to; o++ {
		if k := int(l.Log[p][o]) - inPack; k >= 0 && t.runEnd(&l.Log, p, o) == o+1 {
			t.countDown(m, k, 1)
		}
	}
	t.P[p].Tiered = uint8(to)
	t.disprove(i, p, -1)
	t.reached(i, p, to)
	m.emit(fPass, i, p, to)
}
