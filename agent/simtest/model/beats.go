package main

// watch: how a session comes to be fenced. Without Beats at any time, which is the worst for safety. With Beats in two steps, as in the code:
// an observer, whose clock may say anything, looks at the heartbeat and then fences on condition that it is the same still. What it looked at
// may be old by then, and the fence late.
func (m *Model) watch(s *State, i, alive int) {
	u := &s.S[i]
	others := u.Proc != running || alive > 1
	if m.Beats == 0 || m.Drop.FenceState {
		if (u.State == Active || m.Drop.FenceState && u.State != Fenced) && others {
			m.fork(s).S[i].State = Fenced
			m.emit(aFence, i, 0, 0)
		}
		return
	}
	if u.State == Active && u.Look == 0 && others {
		t := m.fork(s)
		t.S[i].Look = u.HB + 1
		m.emit(aSuspect, i, int(u.HB), 0)
	}
	if u.Look != 0 {
		m.fence(s, i)
	}
	if u.State == Active && u.Proc == running && int(s.Used.Beats) < m.Beats {
		t := m.fork(s)
		t.Used.Beats++
		t.S[i].beat(true)
		m.emit(aBeat, i, int(u.HB)+1, 0)
	}
}

// fence on condition of state and heartbeat. An observer that is refused may look again.
func (m *Model) fence(s *State, i int) {
	u := &s.S[i]
	t := m.fork(s)
	w := &t.S[i]
	if u.State != Active || u.HB+1 != u.Look && !m.Drop.FenceBeat {
		if !m.Drop.LookOnce {
			w.Look, w.Moved = 0, 0
			m.emit(aTooLate, i, int(u.HB), 0)
		}
		return
	}
	if u.Moved != 0 {
		t.Bad = badHealthy
	}
	w.State, w.Look, w.Moved = Fenced, 0, 0
	m.emit(aFence, i, 0, 0)
}

// beat is a heartbeat, alone or as part of a commit; raise: the item says so.
func (u *Session) beat(raise bool) {
	if raise {
		u.HB++
	}
	if u.Look != 0 {
		u.Moved = 1
	}
}
