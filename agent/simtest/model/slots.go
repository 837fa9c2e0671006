package main

// slots: what an agent does with the slots it leads, or believes to lead.
func (m *Model) slots(s *State, i int) {
	u := &s.S[i]
	for k := 0; k < m.Slots; k++ {
		l, it := u.Slot[k], &s.M[k]
		if (l.St == 0 || l.St == Left) && int(it.Leader) == i+1 && it.Epoch > l.Epoch {
			m.open(s, i, k)
		}
		if l.St == Left && m.Drop.Reopen {
			t := m.fork(s)
			t.S[i].Slot[k].St = Open
			m.emit(aWrong, i, k, 0)
		}
		mine := int(it.Leader) == i+1 && it.Epoch == l.Epoch
		m.clear(s, i, k, mine)
		if l.St == Open || l.St == Opening && m.Drop.UnpinEarly {
			m.unpin(s, i, k)
		}
		if l.St == Open {
			m.segments(s, i, k)
			m.pin(s, i, k)
		}
		if l.St == Draining && u.State != 0 {
			for to := 0; to < m.Sessions; to++ {
				if to == i || s.S[to].State == 0 || s.S[to].State != Active && m.Wild == 0 {
					continue
				}
				if mine {
					t := m.fork(s)
					m.move(t, k, to, From{uint8(i), u.Known + 1, l.Epoch})
					m.leave(t, i, k)
					m.emit(aHand, i, k, to)
				}
				if x := (Late{lHand, uint8(i), uint8(k), uint8(to), l.Epoch, u.Known + 1, it.V}); m.mayLate(s) {
					t := m.fork(s)
					t.Late, t.S[i].Slot[k].St = x, Handing
					t.Used.Late++
					m.emit(aHandSend, i, k, to)
				}
			}
		}
		if l.St == Handing && !mine {
			t := m.fork(s)
			m.leave(t, i, k)
			m.emit(aHandLearn, i, k, 0)
		}
		if (l.St == Handing || l.St == Draining) && mine && u.State == Active {
			t := m.fork(s)
			t.S[i].Slot[k].St = Open
			t.S[i].Pin[k], t.S[i].PinEp[k] = 0, 0
			if l.St == Handing && !m.Drop.ResumeBump {
				t.M[k].V++
			}
			m.emit(aResume, i, k, 0)
		}
	}
}

// move makes another session leader; what the last one leaves behind is pushed to from[].
func (m *Model) move(t *State, k, to int, f From) {
	it := &t.M[k]
	if m.Drop.FromReplaced {
		it.NFrom, it.From = 0, [NF]From{}
	}
	if it.NFrom == NF {
		m.Truncated++
		return
	}
	it.From[it.NFrom] = f
	it.NFrom++
	it.Leader = uint8(to) + 1
	if !m.Drop.EpochKept {
		it.Epoch++
	}
	it.V = 0
}

func (m *Model) leave(t *State, i, k int) {
	u := &t.S[i]
	u.Slot[k].St, u.Slot[k].FrozenEp, u.Slot[k].OpenSeq = Left, u.Slot[k].Epoch, 0
	for p, pk := range m.Slot {
		if pk == k {
			u.Frozen[p] = uint8(u.Log[p].len())
		}
	}
}

// pin: the first half of a hand-off, once all that was appended is committed.
func (m *Model) pin(s *State, i, k int) {
	u := &s.S[i]
	if u.State != Active && !m.Drop.PinState || int(s.Used.Hand) >= m.Hands {
		return
	}
	for p, pk := range m.Slot {
		if pk == k && s.hw(i, p) < u.Log[p].len() && !m.Drop.HandNoFlush {
			return
		}
	}
	t := m.fork(s)
	w := &t.S[i]
	from := uint8(0)
	if m.Drop.PinOwnEpoch {
		from = u.Slot[k].OpenSeq
	}
	q := m.needed(s, i, k, i, from)
	if q == 0 {
		q = u.Known + 1
	}
	if !m.Drop.NoPin {
		w.Pin[k], w.PinEp[k] = q, u.Slot[k].Epoch
	}
	w.Slot[k].St = Draining
	t.Used.Hand++
	m.emit(aPin, i, k, int(q))
}

// unpin: the leader takes its slot out of the pins or pending of a session it needs nothing of any more.
func (m *Model) unpin(s *State, i, k int) {
	for w := range s.S {
		x := &s.S[w]
		if x.Pin[k] == 0 && x.Pend[k] == 0 || w == i && (x.State != Active || x.PinEp[k] == s.S[i].Slot[k].Epoch) {
			continue // its own: only a pin of an earlier time
		}
		if m.FromOnly && w != i && m.needed(s, i, k, w, 0) == 0 && !s.M[k].names(w) {
			continue // the leader has no way to know of it
		}
		if m.Drop.UnpinEpoch && !x.ledBefore(k, s.S[i].Slot[k].Epoch) {
			continue // as the design stood: any "old" session
		}
		if q := m.needed(s, i, k, w, 0); q != 0 && (w != i || q < s.S[i].Slot[k].OpenSeq) && !m.Drop.UnpinData {
			continue
		}
		t := m.fork(s)
		if m.takeOut(t, w, k, s.S[i].Slot[k].Epoch) {
			m.emit(aUnpin, i, k, w)
		}
		m.send(s, Late{lUnpin, uint8(w), uint8(k), s.S[i].Slot[k].Epoch, 0, 0, 0})
	}
}

func (t *Slot) names(w int) bool {
	for j := 0; j < int(t.NFrom); j++ {
		if int(t.From[j].S) == w {
			return true
		}
	}
	return false
}

func (u *Session) ledBefore(k int, epoch uint8) bool {
	for q := range u.WAL {
		if e := u.WAL[q].Open[k]; e != 0 && e < epoch {
			return true
		}
	}
	return false
}

func (m *Model) takeOut(t *State, w, k int, epoch uint8) bool {
	x := &t.S[w]
	if x.State == Active || x.State == Fenced { // the PINS item
		if x.Pin[k] == 0 || x.PinEp[k] >= epoch && !m.Drop.UnpinEpoch {
			return false
		}
		x.Pin[k], x.PinEp[k] = 0, 0
		return true
	}
	if x.Pend[k] == 0 || x.Pend[k] >= epoch && !m.Drop.UnpinEpoch {
		return false
	}
	x.Pend[k] = 0
	if (x.State == Sealed || x.State == Closed) && x.Pend == [NK]uint8{} {
		x.State = Drained
	}
	return true
}
