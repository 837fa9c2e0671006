package main

// open: read from[], PUT the slot's snapshot, append slot-open. All that is read is immutable, so one step will do.
func (m *Model) open(s *State, i, k int) {
	it, u := &s.M[k], &s.S[i]
	if u.Next > NQ {
		m.Truncated++
		return
	}
	topic := nameOf(s)
	if m.Drop.StaleTopics {
		topic = u.Topic
	}
	log, res := m.recover(s, k, it.From[:it.NFrom], topic)
	if res == gone404 {
		return // repeated later
	}
	t := m.fork(s)
	if res != "" {
		t.Bad = badOpen
	}
	w := &t.S[i]
	n := Snap{S: uint8(i) + 1, Kind: uint8(k) + 1, Seq: it.Epoch}
	n.Ep[k] = it.Epoch
	for p, pk := range m.Slot {
		if pk == k {
			w.Log[p], n.Log[p] = log[p], log[p]
		}
	}
	if !m.Drop.OpenNoSnapshot && !t.putSnap(n) {
		m.Truncated++
		return
	}
	w.WAL[w.Next-1].Open[k] = it.Epoch
	w.Slot[k] = Lead{St: Opening, Epoch: it.Epoch, OpenSeq: w.Next, FrozenEp: w.Slot[k].FrozenEp}
	if m.Topics {
		w.Topic = topic
	}
	if m.Drop.ServeEarly {
		w.Slot[k].St = Open
		m.expose(t, i, k)
	}
	m.emit(aOpen, i, k, int(it.Epoch))
}

const gone404 = "404"

// recover is the take-over of section 8, step 5: from the entries, newest first, to the log.
func (m *Model) recover(s *State, k int, from []From, topic uint8) (out [NP]Log, res string) {
	for j := len(from) - 1; j >= 0; j-- {
		f := from[j]
		u := &s.S[f.S]
		if u.State == Drained && !m.Drop.OpenDrained {
			continue
		}
		found := false
		if u.Snap > 0 {
			n := s.findSnap(f.S, 0, u.Snap)
			if n == nil {
				return out, gone404
			}
			if n.Ep[k] != 0 && (n.Ep[k] == f.Ep || m.Drop.StopAnyEpoch) {
				out, found = n.Log, true
			}
		}
		end := f.End
		if m.Drop.BeyondEnd {
			for end <= NQ && u.WAL[end-1].Flags&exists != 0 {
				end++
			}
		}
		for q := u.Snap + 1; q < end; q++ {
			b := &u.WAL[q-1]
			if b.Flags&exists == 0 {
				return out, gone404
			}
			if e := b.Open[k]; e != 0 && (e == f.Ep || m.Drop.StopAnyEpoch) {
				n := s.findSnap(f.S, uint8(k)+1, e)
				if n == nil {
					return out, gone404
				}
				out, found = n.Log, true
			}
			for p, pk := range m.Slot {
				r := &b.Run[p]
				if pk != k || r.N == 0 || !found || r.Epoch != f.Ep && !m.Drop.StopAnyEpoch || m.Topics && int(topic) != p+1 {
					continue
				}
				if out[p].len() != int(r.Base) {
					return out, "run does not fit the end of the log"
				}
				for x := uint8(0); x < r.N; x++ {
					out[p][r.Base+x] = f.S<<4 | q
				}
			}
		}
		if found {
			break
		}
	}
	for p, pk := range m.Slot {
		if pk != k || m.Topics && int(topic) != p+1 {
			out[p] = Log{}
		}
	}
	return out, ""
}
