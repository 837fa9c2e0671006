package main

// link: one transaction, whose answer is learnt, or whose outcome stays unknown: it comes late, or never.
func (m *LifeModel) link(s *Life, i, g int) {
	x := &s.G[g]
	p := int(x.P)
	t := m.fork(s)
	t.L[i].Op = Work{}
	switch {
	case t.linkTx(m, g):
		t.disprove(i, p, g)
		t.reached(i, p, int(x.Next))
		if m.Drop.LinkOwnSuccess {
			t.queue(&t.G[g].Obj)
		}
	case s.leads(i) && s.P[p].Topic == tActive: // another was faster
		t.reached(i, p, int(s.P[p].Tiered))
		t.queue(&t.G[g].Obj)
	default:
		t.queue(&t.G[g].Obj)
	}
	m.emit(fLink, i, g, 0)
	if int(s.Used.Late) < m.Lates && s.Late.Kind == 0 {
		t := m.fork(s)
		t.L[i].Op = Work{}
		t.L[i].Doubt[p] = uint8(g) + 1
		t.Late = Write{Kind: wCut, I: uint8(i), Obj: uint8(g)}
		t.Used.Late++
		if m.Drop.DoubtIsGarbage {
			t.queue(&t.G[g].Obj)
		}
		m.emit(fLinkLate, i, g, 0)
	}
}

// linkTx: the conditions of a link, and what it does.
func (s *Life) linkTx(m *LifeModel, g int) bool {
	x := &s.G[g]
	it := &s.P[x.P]
	if s.Epoch != x.Owner && !m.Drop.LinkEpoch || it.Tiered != x.Base && !m.Drop.LinkCompare || it.Topic != tActive && !m.Drop.LinkTopic {
		return false
	}
	it.Tiered, x.Linked = x.Next, 1
	for o := x.Base; o < x.Next; o++ {
		it.Ext[o] = uint8(g) + 1
	}
	for k, n := range x.Runs {
		s.countDown(m, k, int(n))
		if m.Drop.LinkCountsTwice && n > 0 && s.K[k].Item != 0 {
			s.countDown(m, k, int(n))
		}
	}
	return true
}

// disprove: tiered has moved away from where a link in doubt began, so it never happened and never will.
func (s *Life) disprove(i, p, g int) {
	if d := int(s.L[i].Doubt[p]) - 1; d >= 0 && d != g && s.G[d].Linked == 0 {
		s.queue(&s.G[d].Obj)
	}
	s.L[i].Doubt[p] = 0
}

// countDown takes runs off a pack; the last ones take its item with them and queue the object, in the same transaction.
func (s *Life) countDown(m *LifeModel, k, n int) {
	x := &s.K[k]
	switch {
	case n == 0:
	case x.Item == 0 || int(x.Live) < n:
		s.Bad = lifeCounted
	case int(x.Live) == n:
		x.Live, x.Item = 0, 0
		if !m.Drop.CountOnly {
			s.queue(&x.Obj)
		}
	default:
		x.Live -= uint8(n)
	}
}

// settle takes off packs what no link takes off. The nonce tells own success from another's debit.
func (m *LifeModel) settle(s *Life, i int) {
	for k, n := range s.L[i].Due {
		if n == 0 {
			continue
		}
		t := m.fork(s)
		t.countDown(m, k, int(n))
		t.K[k].Nonce++
		t.L[i].Due[k] = 0
		m.emit(fDebit, i, k, int(n))
		if m.Drop.DebitTwice {
			t := m.fork(s)
			t.countDown(m, k, int(n))
			m.emit(fWrong, i, k, int(n))
		}
		if int(s.Used.Late) < m.Lates && s.Late.Kind == 0 {
			t := m.fork(s)
			t.Late = Write{Kind: wMerge, I: uint8(i), Obj: uint8(k), N: n, Live: s.K[k].Live, Nonce: s.K[k].Nonce}
			t.Used.Late++
			m.emit(fDebitLate, i, k, int(n))
		}
	}
}

// apply: what is under way in the network has its effect, or never does.
func (m *LifeModel) apply(s *Life) {
	w := s.Late
	if w.Kind == 0 {
		return
	}
	t := m.fork(s)
	t.Late = Write{}
	ok := false
	if w.Kind == wCut {
		ok = t.linkTx(m, int(w.Obj))
	} else if w.Kind == wJoin {
		ok = t.joinTx(m, int(w.Obj))
	} else if x := &s.K[w.Obj]; x.Item != 0 && (x.Live == w.Live && x.Nonce == w.Nonce || m.Drop.DebitBlind) {
		ok = true
		t.countDown(m, int(w.Obj), int(w.N))
		t.K[w.Obj].Nonce++
		if due := &t.L[w.I].Due[w.Obj]; x.Nonce == w.Nonce && *due >= w.N {
			*due -= w.N // its nonce says so
		}
	}
	if ok {
		m.emit(fApply, int(w.Kind), int(w.I), int(w.Obj))
	}
	t = m.fork(s)
	t.Late = Write{}
	m.emit(fApply, 0, int(w.I), int(w.Obj))
}

// trims: a bundle that nobody needs is queued by the write that says so: the session's own trim, or, once it is fenced, the leader after it.
func (m *LifeModel) trims(s *Life) {
	for p := range s.P {
		for o := 0; o < int(s.P[p].End); o++ {
			if obj := s.P[p].WAL[o]; obj&oThere == 0 || obj&oQueued != 0 {
				continue
			}
			w, j := int(s.P[p].W[o])-1, int(s.Epoch)-1
			if s.L[w].State == Active {
				j = w
			}
			l := &s.L[j]
			if l.State != Active || l.Proc != running || l.Log[p][o] == inWAL || l.names(p, o) && !m.Drop.TrimMemory {
				continue
			}
			if j == w && o >= int(l.Rec.End[p]) && !m.Drop.TrimAboveSnap {
				continue // snap + 1
			}
			t := m.fork(s)
			t.queue(&t.P[p].WAL[o])
			m.emit(fTrim, p, o, 0)
		}
	}
}

// names reports whether a snapshot from which a successor may open says that a record lies in its bundle.
func (l *Leader) names(p, o int) bool {
	for _, c := range []*Copy{&l.Rec, &l.Taken} {
		if c.Set != 0 && c.Log[p][o] == inWAL {
			return true
		}
	}
	return l.Rec.Set == 0 && l.Opening.Log[p][o] == inWAL
}

// objects calls yield with every object and its name, and what refers to it.
func (s *Life) objects(yield func(kind, a, b int, obj *uint8)) {
	for p := range s.P {
		for o := range s.P[p].WAL {
			yield(1, p, o, &s.P[p].WAL[o])
		}
	}
	for k := range s.K {
		yield(2, k, 0, &s.K[k].Obj)
	}
	for g := range s.G {
		yield(3, g, 0, &s.G[g].Obj)
	}
}

// collect: the grace of what is queued ends; what is due is deleted, and its item goes once the store has confirmed that. And the sweep:
// a segment that can't be linked any more is queued; one that shall take the place of others can be as long as its writer leads.
func (m *LifeModel) collect(s *Life) {
	for g := range s.G {
		if x := &s.G[g]; m.Sweep && x.Owner != 0 && x.Linked == 0 && x.Obj&(oThere|oQueued) == oThere &&
			(x.Base < s.P[x.P].Tiered && (x.Join[0] == 0 || x.Owner < s.Epoch || m.Drop.SweepJoins) || s.P[x.P].Topic != tActive || m.Drop.SweepByAge) {
			t := m.fork(s)
			t.queue(&t.G[g].Obj)
			m.emit(fSweep, g, 0, 0)
		}
	}
	if !m.Queue {
		return
	}
	u := *s
	u.objects(func(kind, a, b int, obj *uint8) {
		if *obj&oQueued == 0 {
			return
		}
		was := *obj
		if was&oDue == 0 {
			*obj |= oDue
			m.fork(&u).outlived(kind, a, b)
			m.emit(fDue, kind, a, b)
		}
		if was&oDue != 0 || m.Drop.EarlyDelete {
			*obj = was &^ (oThere | oQueued | oDue)
			if m.Drop.ForgetUnconfirmed {
				*obj |= was & oThere
			}
			t := m.fork(&u)
			if r := t.Read; r.Kind == uint8(kind) && r.A == uint8(a) && r.B == uint8(b) {
				t.Bad = lifeGrace
			}
			m.emit(fDelete, kind, a, b)
		}
		*obj = was
	})
}

// outlived: an entry of an index that was read before its object was queued may be out of date now.
func (s *Life) outlived(kind, a, b int) {
	if r := s.Read; r.Kind == uint8(kind) && r.A == uint8(a) && r.B == uint8(b) {
		s.Read = struct{ Kind, A, B uint8 }{}
	}
}

// deleteAll is collect, at once.
func (m *LifeModel) deleteAll(s *Life) {
	s.objects(func(_, _, _ int, obj *uint8) {
		if *obj&oQueued != 0 {
			*obj &^= oThere | oQueued | oDue
		}
	})
}

// reader: somebody looks up where a record lies, and asks the store for it at any later time within the grace.
func (m *LifeModel) reader(s *Life) {
	if int(s.Used.Read) >= m.Reads {
		return
	}
	i := int(s.Epoch) - 1
	for p := range s.P {
		for o := int(s.P[p].Start); o < int(s.P[p].End) && s.P[p].Topic == tActive; o++ {
			t := m.fork(s)
			t.Used.Read++
			switch loc := s.L[i].Log[p][o]; {
			case o < int(s.P[p].Tiered):
				t.Read.Kind, t.Read.A = 3, s.P[p].Ext[o]-1
			case loc == inWAL:
				t.Read.Kind, t.Read.A, t.Read.B = 1, uint8(p), uint8(o)
			case loc >= inPack:
				t.Read.Kind, t.Read.A = 2, loc-inPack
			default:
				continue
			}
			m.emit(fRead, p, o, 0)
		}
	}
}
