package main

// process: the write path of section 6, and what ends it.
func (m *Model) process(s *State, i int) {
	u := &s.S[i]
	if u.State == Active {
		t := m.fork(s)
		t.forget(i)
		m.emit(aCrash, i, 0, 0)
	} else { // a crash now would only hide acks
		t := m.fork(s)
		m.learn(t, i, u.Committed)
		t.forget(i)
		m.emit(aEnd, i, 0, 0)
	}
	m.append(s, i)
	m.flush(s, i)
	m.commit(s, i)
	m.snapshots(s, i)
	if m.canClose(s, i) {
		t := m.fork(s)
		c := &t.S[i]
		for k := range c.Slot {
			if st := c.Slot[k].St; st != 0 && st != Left {
				c.Pend[k] = c.Slot[k].Epoch
			}
		}
		m.seal(t, i, Closed, c.pinned())
		t.forget(i)
		t.Used.Close++
		m.emit(aClose, i, 0, 0)
	}
}

// append: a record of a producer that believes i to be the leader.
func (m *Model) append(s *State, i int) {
	u := &s.S[i]
	for p, k := range m.Slot {
		if k < 0 || u.Slot[k].St != Open || m.Topics && int(u.Topic) != p+1 {
			continue
		}
		n := u.Log[p].len()
		v := s.last(p, &u.Log[p])
		if m.Drop.DupBeforeCommit {
			for o := s.hw(i, p); o < n; o++ {
				if x := s.val(p, o, u.Log[p][o]); x < 8 {
					t := m.fork(s)
					t.show(p, o, x)
					m.emit(aWrong, i, p, int(x))
				}
			}
		}
		if n == NO || u.Next > NQ || u.WAL[u.Next-1].Run[p].N == 2 {
			continue
		}
		if int(v) < m.Recs && v < s.acked(p)+uint8(m.Window) {
			t := m.fork(s)
			t.add(i, p, k, n, v+1)
			m.emit(aAppend, i, p, int(v+1))
		}
		if int(s.Used.Ones) < m.Ones {
			t := m.fork(s)
			t.Used.Ones++
			t.add(i, p, k, n, 7+t.Used.Ones)
			m.emit(aAppend, i, p, int(7+t.Used.Ones))
		}
	}
}

// flush: the buffer becomes a bundle on its way to the store.
func (m *Model) flush(s *State, i int) {
	u := &s.S[i]
	if u.Next > NQ {
		m.Truncated++
		return
	}
	ahead := int(u.Next - 1 - u.Known)
	if m.Drop.FlushWindow {
		ahead = u.underWay()
	}
	if ahead < m.Inflight && !u.WAL[u.Next-1].empty() {
		t := m.fork(s)
		t.S[i].WAL[u.Next-1].Flags = issued
		t.S[i].Next++
		m.emit(aFlush, i, int(u.Next), 0)
	}
}

// commit: the longest durable prefix, one conditional update; its reply may come late or never.
func (m *Model) commit(s *State, i int) {
	u := &s.S[i]
	c := u.Committed
	for c < NQ && u.WAL[c].Flags&landed != 0 {
		c++
	}
	if m.Drop.CommitHoles {
		for q := c; q < NQ; q++ {
			if u.WAL[q].Flags&landed != 0 {
				c = q + 1
			}
		}
	}
	if c > u.Committed && (u.State == Active || m.Drop.CommitState) {
		t := m.fork(s)
		t.S[i].Committed, t.S[i].Reply = c, c
		if m.Beats > 0 {
			t.S[i].beat(!m.Drop.CommitBeat)
		}
		m.emit(aCommit, i, int(c), 0)
	}
	if u.Reply > u.Known {
		t := m.fork(s)
		m.learn(t, i, u.Reply)
		m.emit(aLearn, i, int(u.Reply), 0)
	}
	if m.Drop.AckOnPut && c > u.Known {
		t := m.fork(s)
		m.learn(t, i, c)
		m.emit(aWrong, i, int(c), 0)
	}
}

// snapshots: PUT one of what is known to be committed, then name it in the session item.
func (m *Model) snapshots(s *State, i int) {
	u := &s.S[i]
	if u.State == Active && u.Known > u.Snap && s.findSnap(uint8(i), 0, u.Known) == nil && s.unrecorded() < m.Snaps {
		t := m.fork(s)
		if m.Drop.SnapEarly || t.putSnap(m.snapshot(s, i)) {
			if !m.Gap || m.Drop.SnapEarly {
				t.S[i].Snap = u.Known
			}
			m.emit(aSnap, i, int(u.Known), 0)
		} else {
			m.Truncated++
		}
	}
	for j := range s.Snap {
		if n := &s.Snap[j]; int(n.S) == i+1 && n.Kind == 0 && n.Seq > u.Snap && u.State == Active {
			t := m.fork(s)
			t.S[i].Snap = n.Seq
			m.emit(aRecord, i, int(n.Seq), 0)
			m.send(s, Late{lSnap, uint8(i), 0, n.Seq, 0, 0, 0})
		}
	}
}

// unrecorded counts the periodic snapshots that no session item names yet.
func (s *State) unrecorded() (n int) {
	for j := range s.Snap {
		if s.Snap[j].S != 0 && s.Snap[j].Kind == 0 && s.Snap[j].Seq > s.S[s.Snap[j].S-1].Snap {
			n++
		}
	}
	return n
}

// underWay counts the PUTs that have not landed.
func (u *Session) underWay() (n int) {
	for q := range u.WAL {
		if u.WAL[q].Flags == issued {
			n++
		}
	}
	return n
}

func (b *Bundle) empty() bool {
	return b.Run[0].N == 0 && b.Run[1].N == 0 && b.Open[0] == 0 && b.Open[1] == 0
}

func (s *State) add(i, p, k, o int, v uint8) {
	u := &s.S[i]
	r := &u.WAL[u.Next-1].Run[p]
	if r.N == 0 {
		*r = Run{Epoch: u.Slot[k].Epoch, Base: uint8(o)}
	}
	r.V |= v << (4 * r.N)
	r.N++
	u.Log[p][o] = uint8(i)<<4 | u.Next
	if p == 0 && v < 8 && s.P[0].Topic == tGone && s.P[1].Topic == tActive {
		s.Wrong |= 1 << v
	}
}

// learn: the agent hears that its session is committed up to c: slots open, the high watermark moves, acks go out.
func (m *Model) learn(t *State, i int, c uint8) {
	u := &t.S[i]
	u.Known, u.Reply = c, 0
	for k := range u.Slot {
		l := &u.Slot[k]
		if l.St == Opening && l.OpenSeq <= c {
			l.St = Open
		}
		if l.St != 0 && l.St != Opening && l.St != Left {
			m.expose(t, i, k)
		}
	}
}

func (m *Model) expose(t *State, i, k int) {
	for p, pk := range m.Slot {
		if pk == k {
			for o := 0; o < t.hw(i, p); o++ {
				t.show(p, o, t.val(p, o, t.S[i].Log[p][o]))
			}
		}
	}
}

func (m *Model) canClose(s *State, i int) bool {
	u := &s.S[i]
	if u.State != Active || int(s.Used.Close) >= m.Closes || u.Known+1 != u.Next || u.Next > NQ || !u.WAL[u.Next-1].empty() {
		return false
	}
	for k := range u.Slot {
		if u.Slot[k].St == Opening {
			return false
		}
	}
	return true
}

// seal gives a session its end; what was seen to be pinned joins pending.
func (m *Model) seal(t *State, i int, state uint8, seen [NK]uint8) {
	u := &t.S[i]
	u.State, u.End, u.Read, u.Seen = state, u.Committed+1, 0, [NK]uint8{}
	for k := range seen {
		if seen[k] != 0 && !m.Drop.PendPins {
			u.Pend[k] = max(u.Pend[k], seen[k])
		}
	}
	u.Pin, u.PinEp = [NK]uint8{}, [NK]uint8{} // nobody looks at the PINS item any more
	if u.Pend == [NK]uint8{} {
		u.State = Drained
	}
}
