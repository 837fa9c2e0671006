package main

// segments: upload, link by compare, log start.
func (m *Model) segments(s *State, i, k int) {
	for p, pk := range m.Slot {
		if pk != k || m.Topics && int(s.S[i].Topic) != p+1 {
			continue
		}
		it, top := &s.P[p], s.hw(i, p)
		if m.Drop.SegmentAboveHW {
			top = s.S[i].Log[p].len()
		}
		free, alive, hand := -1, 0, false
		for j := range s.Seg {
			g := &s.Seg[j]
			if g.Owner == 0 {
				if free < 0 {
					free = j
				}
				continue
			}
			alive++
			if int(g.Owner) == i+1 && int(g.P) == p && g.Linked == 0 {
				hand = true
				m.link(s, i, p, j)
				if m.Drop.SegAge && g.V != [NO]uint8{} {
					t := m.fork(s)
					t.Seg[j].V = [NO]uint8{} // the object is gone, its writer does not know
					m.emit(aWrong, i, j, 0)
				}
			} else if int(g.Owner) == i+1 && int(g.P) == p && m.Drop.LinkOwnSuccess {
				t := m.fork(s) // reply of the link lost, the retry's compare fails, the agent deletes "its orphan"
				t.Seg[j] = Seg{}
				m.emit(aWrong, i, j, 0)
			}
		}
		readable := true // an expired record cannot be rewritten any more
		for o := int(it.Tiered); o < top; o++ {
			x := s.S[i].Log[p][o]
			readable = readable && (int(x>>4) == i && x&15 == s.S[i].Next || s.S[x>>4].WAL[x&15-1].Flags&exists != 0)
		}
		if int(it.Tiered) < top && readable && !hand && free >= 0 && alive < m.Segs {
			t := m.fork(s)
			g := &t.Seg[free]
			*g = Seg{Owner: uint8(i) + 1, P: uint8(p), Base: it.Tiered, Next: uint8(top)}
			for o := int(it.Tiered); o < top; o++ {
				g.V[o] = s.val(p, o, s.S[i].Log[p][o])
			}
			if !m.Gap && g.Base == it.Tiered && it.Topic == tActive {
				t.link(p, free)
			}
			m.emit(aTier, i, p, top)
		}
		for x := int(it.LogStart) + 1; x <= s.hw(i, p) && int(s.Used.Start) < m.Starts; x++ {
			t := m.fork(s)
			t.P[p].LogStart = uint8(x)
			if !m.Drop.StartKeepsTiered {
				t.P[p].Tiered = max(it.Tiered, uint8(x))
			}
			t.Used.Start++
			m.emit(aLogStart, i, p, x)
		}
	}
}

func (m *Model) link(s *State, i, p, j int) {
	g := &s.Seg[j]
	if g.Base != s.P[p].Tiered && !m.Drop.LinkCompare || s.P[p].Topic != tActive && !m.Drop.LinkTopic {
		return
	}
	m.fork(s).link(p, j)
	m.emit(aLink, i, j, 0)
}

func (t *State) link(p, j int) {
	g := &t.Seg[j]
	g.Linked = 1
	t.P[p].Tiered = g.Next
	for o := g.Base; o < g.Next; o++ {
		t.P[p].Ext[o] = uint8(j) + 1
	}
}
