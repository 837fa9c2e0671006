package main

// segmented: leader 0 committed two records, and linked a segment of each.
func (s *Life) segmented(m *LifeModel) {
	p := 0
	if m.Recs[0] == 0 {
		p = 1
	}
	it := &s.P[p]
	it.End, it.Tiered = 2, 2
	for o := range uint8(2) {
		it.W[o], it.WAL[o], it.Ext[o] = 1, oThere, o+1
		x := Piece{Owner: 1, P: uint8(p), Base: o, Next: o + 1, Linked: 1, Obj: oThere}
		x.V[o] = 1
		s.G[o] = x
	}
	s.reached(0, p, 2)
}

// join: two neighbouring segments above the log start are read, and written as one.
func (m *LifeModel) join(s *Life, i, p int) {
	if !m.Joins {
		return
	}
	for a := range s.G {
		x := &s.G[a]
		if x.Linked != 1 || int(x.P) != p || x.Base < s.P[p].Start {
			continue
		}
		for b := range s.G {
			y := &s.G[b]
			g := s.free(m)
			if y.Linked != 1 || y.P != x.P || y.Base != x.Next || g < 0 || x.Obj&y.Obj&oThere == 0 {
				continue
			}
			t := m.fork(s)
			t.G[g] = Piece{Owner: uint8(i) + 1, P: x.P, Base: x.Base, Next: y.Next, Obj: oThere, V: x.V, Join: [2]uint8{uint8(a) + 1, uint8(b) + 1}}
			if !m.Drop.JoinDrops {
				copy(t.G[g].V[y.Base:y.Next], y.V[y.Base:y.Next])
			}
			t.L[i].Op = Work{Kind: wJoin, Obj: uint8(g)}
			m.emit(fJoin, i, g, a)
		}
	}
}

// joinLink: one transaction, sent until its outcome is known. Another try of unknown outcome may be under way.
func (m *LifeModel) joinLink(s *Life, i, g int) {
	t := m.fork(s)
	t.L[i].Op = Work{}
	if s.G[g].Linked == 0 && !t.joinTx(m, g) { // it was not done, and can't be any more
		t.queue(&t.G[g].Obj)
	}
	m.emit(fJoinLink, i, g, 0)
	if int(s.Used.Late) < m.Lates && s.Late.Kind == 0 && s.G[g].Linked == 0 {
		t := m.fork(s)
		t.Late = Write{Kind: wJoin, I: uint8(i), Obj: uint8(g)}
		t.Used.Late++
		if m.Drop.JoinIsGarbage {
			t.L[i].Op = Work{}
			t.queue(&t.G[g].Obj)
		}
		m.emit(fJoinLate, i, g, 0)
	}
}

// joinTx: the conditions of a merge, and what it does. What the extents say stands for the version of the partition's item.
func (s *Life) joinTx(m *LifeModel, g int) bool {
	x := &s.G[g]
	it := &s.P[x.P]
	if x.Linked != 0 && !m.Drop.JoinCompare || s.Epoch != x.Owner && !m.Drop.JoinEpoch || it.Topic != tActive && !m.Drop.JoinTopic {
		return false
	}
	for _, old := range x.Join {
		if s.G[old-1].Linked != 1 && !m.Drop.JoinCompare {
			return false
		}
	}
	for _, old := range x.Join {
		s.unlink(int(old) - 1)
		if !m.Drop.JoinOnly {
			s.queue(&s.G[old-1].Obj)
		}
	}
	x.Linked = 1
	for o := x.Base; o < x.Next; o++ {
		it.Ext[o] = uint8(g) + 1
	}
	return true
}
