package main

// nameOf is a consistent read of the topic: which partition its name stands for, plus one.
func nameOf(s *State) uint8 {
	for p := range s.P {
		if s.P[p].Topic == tActive {
			return uint8(p) + 1
		}
	}
	return 0
}

// topics: one name, created, deleted and created again; agents follow behind.
func (m *Model) topics(s *State) {
	a, b := s.P[0].Topic, s.P[1].Topic
	set := func(kind int, p int, v uint8) *State {
		t := m.fork(s)
		t.P[p].Topic = v
		return t
	}
	switch {
	case a == 0:
		set(1, 0, tActive)
		m.emit(aTopic, 1, 0, 0)
	case a == tActive:
		set(2, 0, tDeleting)
		m.emit(aTopic, 2, 0, 0)
	case a == tDeleting:
		l := int(s.M[0].Leader) - 1
		if m.Drop.RemoveUnconfirmed || s.S[l].State == Active && s.S[l].Slot[0].St == Open && s.S[l].Slot[0].Epoch == s.M[0].Epoch && s.S[l].Topic == 0 {
			t := set(3, 0, tGone)
			it := &t.P[0]
			it.LogStart, it.Tiered, it.Ext = 0, 0, [NO]uint8{}
			for j := range t.Seg {
				if t.Seg[j].Owner != 0 && t.Seg[j].P == 0 && t.Seg[j].Linked == 1 {
					t.Seg[j] = Seg{}
				}
			}
			m.emit(aTopic, 3, 0, 0)
		}
	case b == 0:
		set(4, 1, tActive)
		m.emit(aTopic, 4, 0, 0)
	}
	for i := range s.S {
		if u := &s.S[i]; u.Proc == running && u.Topic != nameOf(s) {
			t := m.fork(s)
			t.S[i].Topic = nameOf(s)
			if a >= tDeleting {
				t.S[i].Log[0], t.S[i].Frozen[0] = Log{}, 0
			}
			m.emit(aCache, i, 0, 0)
		}
	}
}
