package main

// Cfg bounds a search.
type Cfg struct {
	Name                                           string
	Sessions, Agents, Slots                        int
	Slot                                           [NP]int // slot of each partition, -1 = unused
	Recs, Window, Ones, Inflight                   int     // idempotent records, in flight at the producer; acks=1 records; flushes in flight
	Hands, Wild, Late, Starts, Closes, Snaps, Segs int     // budgets: hand-offs, to dead agents, late updates, log starts, closes, snapshots and segments alive
	Topics                                         bool    // partitions 0 and 1 are one name, deleted and created again
	Deep                                           bool    // too large for a search: random walks only
	Gap                                            bool    // others may act between upload and record of a snapshot, upload and link of a segment
	Beats                                          int     // heartbeats beside the commits; 0: a fence may come at any time
	FromOnly                                       bool    // a leader drains the sessions in from[] only; without, any it hears of (worse for safety, better for progress)
}

// Model is a configuration, the rules dropped, and the sink of successors.
type Model struct {
	Cfg
	Drop      Drop
	Truncated int
	yield     func(*State, Act)
	t         State
}

// Act names a step.
type Act struct{ Kind, A, B, C uint8 }

const (
	aStart = iota
	aCrash
	aEnd
	aAppend
	aFlush
	aLand
	aCommit
	aLearn
	aFence
	aSeal
	aReassign
	aOpen
	aClear
	aSnap
	aRecord
	aTier
	aLink
	aLogStart
	aUnpin
	aPin
	aHand
	aHandSend
	aHandLearn
	aResume
	aClose
	aLateSend
	aLateApply
	aTopic
	aCache
	aReadPins
	aWrong
	aNewest
	aBeat
	aSuspect
	aTooLate
)

var actName = [...]string{"start session", "crash session", "learns it was fenced, acks what was committed, ends: session",
	"append (session, partition, value)", "flush (session, seq)", "PUT lands (session, seq)", "commit applied (session, up to)",
	"learns of the commit (session, up to)", "fence session", "seal session", "reassign (slot, to session, from session)",
	"open: read from[], PUT snapshot, append slot-open (session, slot, epoch)", "take out of from[] (session, slot, of session)",
	"PUT snapshot (session, seq)", "record snapshot (session, seq)", "upload segment (session, partition, next)",
	"link segment (session, segment)", "move log start (session, partition, to)", "take slot out of pins/pending (by, slot, of session)",
	"stop accepting, pin (session, slot, seq)", "hand over (session, slot, to)", "hand-over sent, outcome unknown (session, slot, to)",
	"learns that the hand-over happened (session, slot)", "gives the hand-over up, serves again (session, slot)", "close (session)",
	"sent, no reply (kind, session, what)", "applied late (kind, session, what)", "topic step (1 create 2 delete 3 remove 4 re-create)",
	"refresh topic cache (session)", "sealer reads the PINS item (session)", "mutant's own step",
	"shorten from[] to the newest entry of each session (session, slot)", "heartbeat (session, number)", "suspect: read the heartbeat (of session, number)",
	"too late to fence: it is not as seen (session, heartbeat)"}

// Kinds of late updates.
const (
	lSnap = iota + 1
	lHand
	lUnpin
	lReassign
	lSeal
)

// Init: sessions 0 and 1 run; session 0 leads every slot at epoch 1, nothing opened yet.
func (m *Model) Init() State {
	var s State
	for i := 0; i < m.Agents; i++ {
		s.S[i] = Session{State: Active, Proc: running, Next: 1}
	}
	for k := 0; k < m.Slots; k++ {
		s.M[k] = Slot{Leader: 1, Epoch: 1}
	}
	for p, k := range m.Slot {
		if k >= 0 && !m.Topics {
			s.P[p].Topic = tActive
		}
	}
	return s
}

func (m *Model) fork(s *State) *State { m.t = *s; return &m.t }

func (m *Model) emit(kind, a, b, c int) {
	m.collect(&m.t)
	m.yield(&m.t, Act{uint8(kind), uint8(a), uint8(b), uint8(c)})
}

// Steps calls yield with every successor of s.
func (m *Model) Steps(s *State, yield func(*State, Act)) {
	m.yield = yield
	alive, started := 0, 0
	for i := range s.S {
		if s.S[i].Proc == running {
			alive++
		}
		if s.S[i].State != 0 {
			started++
		}
	}
	if started < m.Sessions && alive < m.Agents {
		t := m.fork(s)
		t.S[started] = Session{State: Active, Proc: running, Next: 1, Topic: nameOf(s)}
		m.emit(aStart, started, 0, 0)
		alive++ // somebody may come and act
	}
	for i := 0; i < started; i++ {
		if s.S[i].Proc == running {
			m.process(s, i)
			m.slots(s, i)
		}
		// A PUT lands whenever it likes, also after the end of its writer; but once the session cannot commit it any
		// more nobody looks (that is a rule; its mutants see the late ones too).
		for q := range s.S[i].WAL {
			if s.S[i].WAL[q].Flags == issued && (s.S[i].State == Active || m.Drop.late()) {
				t := m.fork(s)
				t.S[i].WAL[q].Flags = issued | landed | exists
				m.emit(aLand, i, q+1, 0)
			}
		}
	}
	if alive > 0 {
		m.failover(s, started, alive)
	}
	m.late(s)
	if m.Topics {
		m.topics(s)
	}
}
