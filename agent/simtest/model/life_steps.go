package main

// LifeModel is a LifeCfg, the rules dropped, and the sink of successors.
type LifeModel struct {
	LifeCfg
	Drop      LifeDrop
	Truncated int
	yield     func(*Life, Act)
	t         Life
}

// The steps of a Life.
const (
	fCommit = iota
	fSnap
	fRecord
	fLearn
	fPack
	fMerge
	fPut
	fReplace
	fCut
	fLink
	fLinkLate
	fPass
	fDebit
	fDebitLate
	fApply
	fStart
	fUnlink
	fCrash
	fFence
	fOpen
	fTrim
	fDue
	fDelete
	fTopic
	fBury
	fSweep
	fRead
	fKnow
	fJoin
	fJoinLink
	fJoinLate
	fWrong
)

var lifeName = [...]string{"commit (leader, partition, offset)", "PUT snapshot (leader)", "record snapshot (leader)", "learns that it is recorded (leader)",
	"pack: write its item (leader, pack, partitions)", "merge: write the pack's item (leader, pack, partitions)", "PUT pack (leader, pack)",
	"put the runs in the place of the old ones (leader, pack)", "PUT segment (leader, segment, next)", "link (leader, segment)",
	"link sent, outcome unknown (leader, segment)", "move tiered to the log start (leader, partition, to)", "take runs off a pack (leader, pack, runs)",
	"debit sent, outcome unknown (leader, pack, runs)", "applied late (kind, leader, object)", "move log start (leader, partition, to)",
	"unlink (leader, segment)", "crash (leader)", "fence (leader)", "reassign and open (leader)", "trim (partition, offset)",
	"the grace is over (kind, number)", "delete (kind, number)", "topic step (1 delete 2 drop)", "bury a deleted topic's runs (leader)",
	"sweep (segment)", "a reader looks up (partition, offset)", "reads tiered (leader, partition, tiered)",
	"PUT segment that takes the place of two (leader, segment, first of them)", "put its extent in their place (leader, segment)",
	"put its extent in their place, outcome unknown (leader, segment)", "mutant's own step"}

// Init: leader 0 has opened an empty slot.
func (m *LifeModel) Init() Life {
	s := Life{Epoch: 1}
	s.L[0] = Leader{State: Active, Proc: running}
	for p := range m.Recs {
		s.P[p].Topic = tActive
	}
	if m.Joins {
		s.segmented(m)
	}
	if m.Heir > 0 {
		s.inherit(m.Heir > 1)
	}
	return s
}

// inherit: leader 0 committed a record of each partition, packed both, then one more, packed it, recorded a snapshot, perhaps linked the
// first record, and was fenced alive.
func (s *Life) inherit(linked bool) {
	s.K[0] = Pack{Item: 1, Live: 2, Obj: oThere, Next: [lP]uint8{1, 1}}
	s.K[1] = Pack{Item: 1, Live: 1, Obj: oThere, Base: [lP]uint8{1, 0}, Next: [lP]uint8{2, 0}}
	log := Logs{{inPack, inPack + 1}, {inPack}}
	for p, end := range []uint8{2, 1} {
		s.P[p].End = end
		for o := range end {
			s.P[p].W[o], s.P[p].WAL[o] = 1, oThere
		}
	}
	s.Epoch = 2
	s.L[0].State, s.L[0].Log = Fenced, log
	s.L[0].Rec = s.copyOf(&s.L[0])
	s.L[1] = Leader{State: Active, Proc: running, Log: log, Opening: s.L[0].Rec}
	if linked {
		s.G[0] = Piece{Owner: 1, Next: 1, Linked: 1, Obj: oThere, V: [lO]uint8{1}, Runs: [lK]uint8{1}}
		s.P[0].Tiered, s.P[0].Ext[0], s.K[0].Live = 1, 1, 1
		s.reached(0, 0, 1)
	}
}

func (m *LifeModel) fork(s *Life) *Life { m.t = *s; return &m.t }

func (m *LifeModel) emit(kind, a, b, c int) {
	if !m.Queue { // the worst for safety: whatever may be deleted is deleted at once
		m.deleteAll(&m.t)
	}
	m.yield(&m.t, Act{uint8(kind), uint8(a), uint8(b), uint8(c)})
}

// Steps calls yield with every successor of s.
func (m *LifeModel) Steps(s *Life, yield func(*Life, Act)) {
	m.yield = yield
	for i := 0; i < m.Leaders; i++ {
		if s.L[i].Proc == running {
			m.produce(s, i)
			m.snapshots(s, i)
			if s.L[i].Op.Kind == 0 {
				m.rewrite(s, i)
			} else {
				m.goOn(s, i)
			}
			m.settle(s, i)
			m.retain(s, i)
		}
	}
	m.succeed(s)
	m.apply(s)
	m.trims(s)
	m.collect(s)
	if m.Topics {
		m.topic(s)
	}
	m.reader(s)
}

func (s *Life) leads(i int) bool { return int(s.Epoch) == i+1 }

// produce: a record is committed, in a bundle of its own.
func (m *LifeModel) produce(s *Life, i int) {
	for p := range s.P {
		if o := s.P[p].End; s.leads(i) && s.L[i].State == Active && s.P[p].Topic == tActive && int(o) < m.Recs[p] {
			t := m.fork(s)
			t.P[p].W[o], t.P[p].WAL[o], t.L[i].Log[p][o] = uint8(i)+1, oThere, inWAL
			t.P[p].End++
			m.emit(fCommit, i, p, int(o))
		}
	}
}

// snapshots: PUT one, name it in the session item, learn that this was done.
func (m *LifeModel) snapshots(s *Life, i int) {
	l := &s.L[i]
	if l.State == Active && s.leads(i) && l.Taken.Set == 0 && int(s.Used.Snap) < m.Snaps {
		if c := s.copyOf(l); c != l.Rec {
			t := m.fork(s)
			t.L[i].Taken, t.L[i].TakenWait = c, l.Wait
			t.Used.Snap++
			m.emit(fSnap, i, 0, 0)
		}
	}
	if l.Taken.Set == 1 && l.State == Active {
		t := m.fork(s)
		t.L[i].Taken.Set = 2
		t.L[i].Rec = l.Taken
		m.emit(fRecord, i, 0, 0)
	}
	if l.Taken.Set == 2 {
		t := m.fork(s)
		w := &t.L[i]
		for k := range w.Wait {
			w.Wait[k] -= w.TakenWait[k]
			w.Due[k] += w.TakenWait[k]
		}
		w.Taken, w.TakenWait = Copy{}, [lK]uint8{}
		m.emit(fLearn, i, 0, 0)
	}
}

// succeed: a leader crashes, or is taken for dead; it is fenced, and the next one opens the slot. Who is only fenced goes on as a zombie.
func (m *LifeModel) succeed(s *Life) {
	i := int(s.Epoch) - 1
	if i+1 >= m.Leaders {
		return
	}
	if l := &s.L[i]; l.Proc == running && l.State == Active {
		t := m.fork(s)
		t.end(i)
		m.emit(fCrash, i, 0, 0)
	}
	if s.L[i].State == Active {
		t := m.fork(s)
		t.L[i].State = Fenced
		m.emit(fFence, i, 0, 0)
		return
	}
	t := m.fork(s)
	t.Epoch++
	log := s.heir(i)
	n := Leader{State: Active, Proc: running, Log: log}
	n.Opening = t.copyOf(&n)
	t.L[i+1] = n
	m.emit(fOpen, i+1, 0, 0)
}

// end is the end of a process.
func (s *Life) end(i int) {
	l := &s.L[i]
	*l = Leader{State: l.State, Proc: gone, Opening: l.Opening, Rec: l.Rec}
}

// retain: the log start moves, in the log; extents below it are unlinked, and their objects queued.
func (m *LifeModel) retain(s *Life, i int) {
	for p := range s.P {
		it := &s.P[p]
		if !s.leads(i) || it.Topic != tActive {
			continue
		}
		top := int(it.End)
		if m.Drop.StartPastEnd {
			top = lO
		}
		for x := int(it.Start) + 1; x <= top && s.L[i].State == Active && int(s.Used.Start) < m.Starts; x++ {
			t := m.fork(s)
			t.P[p].Start = uint8(x)
			t.Used.Start++
			for o := 0; o < x; o++ {
				if log := &t.L[i].Log; log[p][o] == inWAL {
					log[p][o] = 0
				}
			}
			m.emit(fStart, i, p, x)
		}
	}
	for g := range s.G {
		x := &s.G[g]
		below := x.Next <= s.P[x.P].Start || m.Drop.UnlinkPart && x.Base < s.P[x.P].Start
		if x.Linked == 1 && below && s.leads(i) && s.P[x.P].Topic == tActive {
			t := m.fork(s)
			t.unlink(g)
			if !m.Drop.UnlinkOnly {
				t.queue(&t.G[g].Obj)
			}
			m.emit(fUnlink, i, g, 0)
		}
	}
}

func (s *Life) unlink(g int) {
	x := &s.G[g]
	x.Linked = 2
	for o := x.Base; o < x.Next; o++ {
		s.P[x.P].Ext[o] = 0
	}
}

// topic: partition 1 is of a topic that is deleted. The collector drops what it has in segments; its leader takes its runs off packs.
func (m *LifeModel) topic(s *Life) {
	it := &s.P[1]
	if it.Topic == tActive {
		t := m.fork(s)
		t.P[1].Topic = tDeleting
		m.emit(fTopic, 1, 0, 0)
		return
	}
	if it.Topic == tDeleting {
		t := m.fork(s)
		t.P[1].Topic = tGone
		for g := range t.G {
			if t.G[g].P == 1 && t.G[g].Linked == 1 {
				t.unlink(g)
				t.G[g].Obj &^= oThere
			}
		}
		m.emit(fTopic, 2, 0, 0)
	}
	for i := range s.L {
		l := &s.L[i]
		if l.Proc != running || l.Log[1] == [lO]uint8{} || !s.leads(i) && !m.Drop.BuryAnybody {
			continue
		}
		t := m.fork(s)
		w := &t.L[i]
		if !m.Drop.BuryBlind {
			t.reached(i, 1, int(it.Tiered))
		}
		for o := 0; o < lO; o++ {
			if k := int(w.Log[1][o]) - inPack; k >= 0 && s.runEnd(&w.Log, 1, o) == o+1 {
				w.Due[k]++
			}
		}
		w.Log[1] = [lO]uint8{}
		m.emit(fBury, i, 0, 0)
	}
}
