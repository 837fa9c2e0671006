package main

// failover: what any agent, or the controller, does about others (section 8).
func (m *Model) failover(s *State, started, alive int) {
	for i := 0; i < started; i++ {
		u := &s.S[i]
		m.watch(s, i, alive)
		if m.Drop.SealQueryEarly && u.State == Active && u.Query == 0 {
			t := m.fork(s)
			t.S[i].Query = m.ledBy(s, i) | 128
			m.emit(aWrong, i, 0, 0)
		}
		m.sealing(s, i)
		if m.Drop.OrphanAge && s.Used.Age == 0 {
			for q := int(u.Committed); q < NQ; q++ {
				if u.WAL[q].Flags&exists != 0 {
					t := m.fork(s)
					t.S[i].WAL[q].Flags &^= exists
					t.Used.Age++
					m.emit(aWrong, i, q+1, 0)
				}
			}
		}
	}
	for k := 0; k < m.Slots; k++ {
		l := int(s.M[k].Leader) - 1
		u := &s.S[l]
		third := u.State == Active && m.Drop.ThirdParty && int(s.Used.Hand) < m.Hands
		if u.State == Active && !third || u.State == Fenced && !m.Drop.ReassignFenced {
			continue
		}
		end := u.End
		if u.State == Fenced || third {
			end = u.Committed + 1
		}
		for to := 0; to < started; to++ {
			if s.S[to].State != Active || to == l {
				continue
			}
			t := m.fork(s)
			m.move(t, k, to, From{uint8(l), end, s.M[k].Epoch})
			if third {
				t.Used.Hand++
			}
			m.emit(aReassign, k, to, l)
			if !third {
				m.send(s, Late{lReassign, uint8(l), uint8(k), uint8(to), s.M[k].Epoch, end, s.M[k].V})
			}
		}
	}
}

// sealing: read the pins after the fence, then write end and pending. Others act in between, so what was read may be more
// than what is there by then, never less.
func (m *Model) sealing(s *State, i int) {
	u := &s.S[i]
	if u.Read == 0 && (u.State == Fenced && m.Gap || u.State == Active && m.Drop.PinsEarly) {
		t := m.fork(s)
		t.S[i].Read, t.S[i].Seen = 1, u.pinned()
		m.emit(aReadPins, i, 0, 0)
	}
	if u.State != Fenced || u.Read == 0 && m.Gap {
		return
	}
	seen := u.Seen
	if u.Read == 0 {
		seen = u.pinned()
	}
	led := m.ledBy(s, i)
	if u.Query != 0 {
		led = u.Query
	}
	m.sealWith(m.fork(s), i, led, seen)
	m.emit(aSeal, i, 0, 0)
	m.send(s, Late{lSeal, uint8(i), 0, led, seen[0], seen[1], 0})
}

// pinned is what the PINS item says: the newest epoch led of each slot that is pinned.
func (u *Session) pinned() (seen [NK]uint8) {
	for k := range u.Pin {
		if u.Pin[k] != 0 {
			seen[k] = u.PinEp[k]
		}
	}
	return seen
}

// ledBy is the query of M: a bit for every slot led.
func (m *Model) ledBy(s *State, i int) (led uint8) {
	for k := 0; k < m.Slots; k++ {
		if int(s.M[k].Leader) == i+1 {
			led |= 1 << k
		}
	}
	return
}

func (m *Model) sealWith(t *State, i int, led uint8, seen [NK]uint8) {
	u := &t.S[i]
	u.Pend = [NK]uint8{}
	for k := 0; k < m.Slots; k++ {
		if led>>k&1 == 1 {
			u.Pend[k] = t.M[k].Epoch
		}
	}
	u.Query = 0
	m.seal(t, i, Sealed, seen)
}

func (m *Model) mayLate(s *State) bool { return int(s.Used.Late) < m.Late }

// send puts an update on its way without applying it; what was under way before is lost.
func (m *Model) send(s *State, l Late) {
	if m.mayLate(s) {
		t := m.fork(s)
		t.Late = l
		t.Used.Late++
		m.emit(aLateSend, int(l.Kind), int(l.S), int(l.A))
	}
}

func (m *Model) late(s *State) {
	l := s.Late
	if l.Kind == 0 {
		return
	}
	t := m.fork(s)
	t.Late = Late{}
	u, it := &t.S[l.S], &t.M[l.K]
	same := it.Leader == l.S+1 && it.Epoch == l.B && it.V == l.D
	ok := false
	switch l.Kind {
	case lSnap:
		if ok = u.State == Active && (l.A > u.Snap || m.Drop.SnapCompare); ok {
			u.Snap = l.A
		}
	case lHand:
		if ok = same; ok {
			m.move(t, int(l.K), int(l.A), From{l.S, l.C, l.B})
		}
	case lReassign:
		if ok = same; ok {
			m.move(t, int(l.K), int(l.A), From{l.S, l.C, l.B})
		}
	case lUnpin:
		ok = m.takeOut(t, int(l.S), int(l.K), l.A)
	case lSeal:
		if ok = u.State == Fenced || m.Drop.SealState; ok {
			m.sealWith(t, int(l.S), l.A, [NK]uint8{l.B, l.C})
		}
	}
	if ok {
		m.emit(aLateApply, int(l.Kind), int(l.S), int(l.A))
	}
}
