package main

// clear: a leader that serves takes a session out of from[] once that keeps nothing for the slot, and shortens from[] to the newest entry of
// each session. mine: the item still says that it leads.
func (m *Model) clear(s *State, i, k int, mine bool) {
	it, st := &s.M[k], s.S[i].Slot[k].St
	serves := st == Open || m.Drop.ClearEarly && st == Opening
	for w := range s.S {
		if (mine || m.Drop.ClearCond) && serves && it.names(w) && (m.Drop.ClearUndrained || !s.S[w].keeps(k)) {
			t := m.fork(s)
			t.M[k].keep(func(j int) bool { return int(it.From[j].S) != w && !m.Drop.ClearUndrained })
			m.emit(aClear, i, k, w)
		}
	}
	newest := func(j int) bool {
		for later := j + 1; later < int(it.NFrom); later++ {
			if it.From[later].S == it.From[j].S {
				return false
			}
		}
		return true
	}
	if mine && (st == Open || m.Drop.NewestEarly && st == Opening) {
		t := m.fork(s)
		t.M[k].keep(newest)
		if t.M[k].NFrom < it.NFrom {
			m.emit(aNewest, i, k, 0)
		}
	}
}

// keeps reports whether a session may hold anything for a slot; of one that is fenced nobody knows yet.
func (u *Session) keeps(k int) bool { return u.Pin[k] != 0 || u.Pend[k] != 0 || u.State == Fenced }

// keep leaves in from[] what stays says, by its place.
func (t *Slot) keep(stays func(j int) bool) {
	old := *t
	t.NFrom, t.From = 0, [NF]From{}
	for j := range int(old.NFrom) {
		if stays(j) {
			t.From[t.NFrom] = old.From[j]
			t.NFrom++
		}
	}
}
