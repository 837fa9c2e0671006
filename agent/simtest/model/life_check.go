package main

// check returns the first violation of s, or "".
func (m *LifeModel) check(s *Life) string {
	if s.Bad != 0 {
		return lifeBad[s.Bad]
	}
	for p := range s.P {
		if e := s.checkExtents(p); e != "" {
			return e
		}
	}
	i := int(s.Epoch) - 1
	logs := []Logs{s.heir(i)}
	if s.L[i].Proc == running {
		logs = append(logs, s.L[i].Log)
	}
	if e := s.checkLogs(logs); e != "" {
		return e
	}
	return s.checkObjects()
}

// checkExtents is I8 and I10: extents are contiguous from the log start to tiered, and hold what was committed.
func (s *Life) checkExtents(p int) string {
	it := &s.P[p]
	if it.Start > it.End {
		return "I7: the log starts beyond the high watermark"
	}
	if it.Topic == tGone && it.Ext != [lO]uint8{} {
		return "an extent of a removed topic, which nobody will unlink"
	}
	if it.Topic != tActive {
		return ""
	}
	if it.Tiered > it.End {
		return "I8: tiered is beyond the high watermark"
	}
	for o := int(it.Start); o < lO; o++ {
		e := int(it.Ext[o]) - 1
		switch {
		case o >= int(it.Tiered) && e >= 0:
			return "I8: an extent above tiered"
		case o >= int(it.Tiered):
			continue
		case e < 0:
			return "I8: a hole below tiered"
		case s.G[e].Linked != 1 || s.G[e].Obj&oThere == 0:
			return "I9: a linked segment was deleted"
		case s.G[e].V[o] != it.W[o]:
			return "I10: a segment holds another record than was committed"
		case o > int(it.Start) && it.Ext[o-1] != it.Ext[o] && (int(s.G[e].Base) != o || int(s.G[it.Ext[o-1]-1].Next) != o):
			return "I8: extents overlap"
		}
	}
	return ""
}

// checkLogs is I9: what a leader, and who would take over from it now, have above tiered and the log start is there, and a pack counts at
// least the runs that they have in it.
func (s *Life) checkLogs(logs []Logs) string {
	var need [lK][lP]bool
	for n := range logs {
		for p := range s.P {
			it := &s.P[p]
			if it.Topic != tActive {
				continue
			}
			for o := int(max(it.Tiered, it.Start)); o < int(it.End); o++ {
				loc := logs[n][p][o]
				if loc == 0 {
					return "V1: a record is nowhere"
				}
				if *s.object(loc, p, o)&oThere == 0 {
					return "I9: the object of a record that is in no segment was deleted"
				}
				if loc >= inPack {
					need[loc-inPack][p] = true
				}
			}
		}
	}
	for k := range need {
		live := 0
		for _, yes := range need[k] {
			if yes {
				live++
			}
		}
		if int(s.K[k].Live) < live {
			return "I9: a pack counts fewer runs than are needed"
		}
	}
	return s.checkFooters()
}

// checkFooters: who takes over reads the footers after the newest snapshot.
func (s *Life) checkFooters() string {
	l := &s.L[s.Epoch-1]
	c := &l.Opening
	if l.Rec.Set != 0 {
		c = &l.Rec
	}
	for p := range s.P {
		for o := int(c.End[p]); o < int(s.P[p].End); o++ {
			if s.P[p].WAL[o]&oThere == 0 {
				return "I2: a bundle beyond the recorded snapshot was deleted"
			}
		}
	}
	return ""
}

// checkObjects: nothing is named and garbage at once, and nothing that was garbage, or is a pack, is without a name.
func (s *Life) checkObjects() (bad string) {
	for k := range s.K {
		x := &s.K[k]
		switch {
		case x.Item != 0 && x.Obj&oWas != 0:
			return "I9: a pack is queued and has an item"
		case x.Item == 0 && x.Obj&(oThere|oQueued) == oThere:
			return "I9: a pack has no name"
		}
	}
	for g := range s.G {
		if x := &s.G[g]; x.Linked == 1 && x.Obj&oWas != 0 {
			return "I9: a segment is queued and linked"
		} else if x.Linked == 2 && x.Obj&(oThere|oQueued) == oThere {
			return "I9: a segment is unlinked and not queued"
		}
	}
	u := *s
	u.objects(func(_, _, _ int, obj *uint8) {
		if *obj&oWas != 0 && *obj&(oThere|oQueued) == oThere {
			bad = "I9: the queue forgot an object that is there"
		}
	})
	return bad
}

// served: all is in segments, and the packs are gone.
func (m *LifeModel) served(s *Life) bool {
	for p := range s.P {
		if s.P[p].Topic == tActive && s.P[p].Tiered < s.P[p].End {
			return false
		}
	}
	return true
}

// drained: besides, nothing is in the store that no extent names. A crash may leave a pack that nobody counts down.
func (m *LifeModel) drained(s *Life) bool {
	ok := m.served(s)
	u := *s
	u.objects(func(kind, a, _ int, obj *uint8) {
		if *obj&oThere != 0 && (kind != 3 || s.G[a].Linked != 1) {
			ok = false
		}
	})
	return ok
}

// hope: the only leader runs, and no bound is in the way.
func (m *LifeModel) hope(s *Life) bool {
	for k := range s.K {
		if s.K[k].Next == [lP]uint8{} && k < m.Packs {
			return s.L[0].Proc == running && s.free(m) >= 0 && int(s.Used.Snap)+4 < m.Snaps
		}
	}
	return false
}
