package main

// snapshot of session i at the last sequence number it knows committed: every slot led, and those pinned as they were
// at the hand-off.
func (m *Model) snapshot(s *State, i int) Snap {
	u := &s.S[i]
	n := Snap{S: uint8(i) + 1, Seq: u.Known}
	for k := range u.Slot {
		l := &u.Slot[k]
		led := l.St == Open || l.St == Draining || l.St == Handing
		if led {
			n.Ep[k] = l.Epoch
		} else if u.Pin[k] != 0 && l.FrozenEp != 0 && !m.Drop.SnapPinned {
			n.Ep[k] = l.FrozenEp
		}
		for p, pk := range m.Slot {
			if pk != k || n.Ep[k] == 0 {
				continue
			}
			top := s.hw(i, p)
			if !led {
				top = int(u.Frozen[p])
			} else if m.Drop.SnapLive {
				top = u.Log[p].len()
			}
			copy(n.Log[p][:top], u.Log[p][:top])
		}
	}
	return n
}

// needed is the lowest sequence number, not below from, of session w that the log of session i still needs for slot k;
// 0 if none.
func (m *Model) needed(s *State, i, k, w int, from uint8) (low uint8) {
	for p, pk := range m.Slot {
		if pk != k {
			continue
		}
		for o := int(max(s.P[p].Tiered, s.P[p].LogStart)); o < NO; o++ {
			if x := s.S[i].Log[p][o]; x != 0 && int(x>>4) == w && x&15 >= from && (low == 0 || x&15 < low) {
				low = x & 15
			}
		}
	}
	return
}

func (m *Model) trim(s *State, i int) uint8 {
	u := &s.S[i]
	x := u.Snap + 1
	if m.Drop.TrimAboveSnap {
		x = u.Committed + 1
	}
	for k := range u.Slot {
		if u.Pin[k] != 0 && !m.Drop.TrimPins {
			x = min(x, u.Pin[k])
		}
		if st := u.Slot[k].St; st != 0 && st != Left {
			if q := m.needed(s, i, k, i, 0); q != 0 {
				x = min(x, q)
			}
		}
	}
	return x
}

// collect trims, and deletes at once whatever the rules allow to delete: for safety the earliest deletion is the worst.
func (m *Model) collect(s *State) {
	for i := range s.S {
		if s.S[i].State == 0 {
			break
		}
		m.collectWAL(s, i)
	}
	for j := 0; j < NSN && s.Snap[j].S != 0; {
		if s.deadSnap(&s.Snap[j]) {
			s.dropSnap(j)
		} else {
			j++
		}
	}
	for j := range s.Seg {
		m.collectSegment(s, j)
	}
}

func (m *Model) collectWAL(s *State, i int) {
	u := &s.S[i]
	if u.Proc == running && (u.State == Active || m.Drop.TrimState) {
		u.Trim = max(u.Trim, m.trim(s, i))
	}
	if u.Proc == gone && !m.Drop.late() {
		for q := int(u.Committed); q < NQ; q++ { // can never be committed now
			u.WAL[q] = Bundle{}
		}
	}
	if u.State == Drained && !m.Drop.OpenDrained {
		u.Snap, u.Trim, u.Pin, u.PinEp, u.Seen = 0, 0, [NK]uint8{}, [NK]uint8{}, [NK]uint8{}
	}
	low := u.Trim
	for k := range u.Pin {
		if u.Pin[k] != 0 && !m.Drop.TrimPins {
			low = min(low, u.Pin[k])
		}
	}
	for q := range u.WAL {
		n := uint8(q) + 1
		if u.State == Drained || n < low || (u.State == Sealed || u.State == Closed) && n >= u.End {
			u.WAL[q].Flags &= landed
		}
	}
}

// deadSnap reports whether nobody can need a snapshot any more.
func (s *State) deadSnap(n *Snap) bool {
	u := &s.S[n.S-1]
	if u.State == Drained {
		return true
	}
	if n.Kind == 0 {
		return n.Seq < u.Snap || n.Seq > u.Snap && u.State != Active
	}
	seq := uint8(0) // of its slot-open
	for q := range u.WAL {
		if u.WAL[q].Open[n.Kind-1] == n.Seq {
			seq = uint8(q) + 1
		}
	}
	return seq != 0 && seq <= u.Snap || u.State != Active && (seq == 0 || seq > u.Committed)
}

func (m *Model) collectSegment(s *State, j int) {
	g := &s.Seg[j]
	if g.Owner == 0 {
		return
	}
	it := &s.P[g.P]
	if g.Linked == 1 && g.Next <= it.LogStart {
		for o := range it.Ext {
			if int(it.Ext[o]) == j+1 {
				it.Ext[o] = 0
			}
		}
		*g = Seg{}
	} else if g.Linked == 0 && g.Base < it.Tiered && !m.Drop.LinkCompare {
		*g = Seg{}
	}
}
