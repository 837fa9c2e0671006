package simtest

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/cluster"
	"github.com/varvelog/varve/agent/peer"
	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// coreNode is a machine with an agent, or without one.
type coreNode struct {
	w        *coreWorld
	index    int
	name     string
	up       bool // the process runs
	life     int  // which process it is
	frozen   bool
	deferred []func() // what came while it was frozen
	session  *coreSession
	routines []*coreRoutine
	trouble  time.Duration // when a fault last touched it

	cutTable, cutStore *coreCut

	rate   float64 // of its clock
	offset time.Duration
	since  time.Duration
}

// coreCut says which way nothing gets through.
type coreCut struct{ there, home bool }

func newCoreNode(w *coreWorld, i int) *coreNode {
	n := &coreNode{w: w, index: i, name: string(rune('a' + i)), rate: 1, cutTable: &coreCut{}, cutStore: &coreCut{}}
	if w.plan.clocks && !w.plan.quiet {
		n.rate = 0.9 + 0.2*w.rnd.Float64()
	}
	n.offset = w.span(0, time.Hour)
	return n
}

// clock is what the machine takes for the time.
func (n *coreNode) clock() time.Time {
	return coreBegan.Add(n.offset + time.Duration(n.rate*float64(n.w.now-n.since)))
}

// wait is how long the world waits until the machine's clock has gone on by d.
func (n *coreNode) wait(d time.Duration) time.Duration {
	return time.Duration(float64(max(0, d))/n.rate) + 1
}

// jump puts the clock forward.
func (n *coreNode) jump(d time.Duration) { n.offset += d }

// back returns what delivers to this process: later if it is frozen, never if it is gone.
func (n *coreNode) back() func(func()) {
	life := n.life
	var deliver func(f func())
	deliver = func(f func()) {
		switch {
		case n.life != life:
		case n.frozen:
			n.deferred = append(n.deferred, func() { deliver(f) })
		default:
			f()
		}
	}
	return deliver
}

func (n *coreNode) freeze(d time.Duration) {
	if n.up && !n.frozen {
		n.suspend(d, n.w.rnd.IntN(2) == 0)
	}
}

// suspend stops everything on a machine for a while; with stands, its clock too.
func (n *coreNode) suspend(d time.Duration, stands bool) {
	n.w.say("%s is frozen for %v", n.name, d)
	n.frozen, n.trouble = true, n.w.now
	stood := n.clock()
	n.w.after(d, func() {
		if !n.frozen {
			return
		}
		n.frozen, n.trouble = false, n.w.now
		if stands { // a virtual machine that was suspended: its monotonic clock stood still
			n.offset, n.since = stood.Sub(coreBegan), n.w.now
		}
		n.w.say("%s is thawed", n.name)
		for _, f := range n.deferred {
			n.w.after(n.w.span(0, time.Millisecond), f)
		}
		n.deferred = nil
	})
}

// start starts the process: it ends what the one before left behind, and joins.
func (n *coreNode) start() {
	if n.up {
		return
	}
	n.up = true
	n.life++
	n.w.say("%s starts", n.name)
	dead := uuid.Nil // the probe found nobody at the address
	if item, err := n.w.facts.mem.Get(context.Background(), records.Cluster("c").AgentKey(n.name), metastore.Consistent); err == nil {
		if a, err := records.DecodeAgent(item); err == nil {
			dead = a.Session
		}
	}
	n.join(dead, uuid.Nil)
}

func (n *coreNode) join(dead, lived uuid.UUID) {
	cfg := n.w.plan.config()
	cfg.Name, cfg.Host, cfg.Port, cfg.Peer, cfg.Dead, cfg.Lived = n.name, n.name, 1, n.name+":2", dead, lived
	var m *cluster.Member
	var err error
	back := n.back()
	facts := &coreFacts{}
	n.routine(back, func(r *coreRoutine) {
		facts.door = r
		if m, err = cluster.Join(r.ctx, facts, cfg, quietLog); err == nil {
			raiseMap(r)
		}
	}, func() {
		if err != nil {
			n.w.say("%s does not join: %v", n.name, err)
			n.w.after(time.Second, func() { back(func() { n.join(dead, lived) }) })
			return
		}
		n.begin(m, facts)
	})
}

var quietLog = slog.New(slog.DiscardHandler)

// raiseMap does what Acquire does when there are others: it makes them look.
func raiseMap(r *coreRoutine) {
	for r.ctx.Err() == nil {
		_, err := (&coreFacts{r}).Write(r.ctx, metastore.Op{
			Kind: metastore.OpUpdate, Key: records.Cluster("c").VersionKey(), Add: map[string]int64{records.AttrMap: 1},
		})
		if err == nil {
			return
		}
	}
}

// begin runs a session that was registered.
func (n *coreNode) begin(m *cluster.Member, facts *coreFacts) {
	s := newCoreSession(n, m)
	s.facts = facts
	n.session = s
	n.w.sessions[s.id] = s
	n.w.say("%s runs session %s", n.name, s)
	s.step(cluster.Tick{})
	s.log.beat()
	s.rates()
}

// crash ends the process at once.
func (n *coreNode) crash() {
	if !n.up {
		return
	}
	n.w.say("%s crashes", n.name)
	n.down()
}

// down ends the process. What it sent may still arrive.
func (n *coreNode) down() {
	s := n.session
	n.up, n.frozen, n.deferred, n.session, n.trouble = false, false, nil, nil, n.w.now
	n.life++
	if s != nil {
		s.dead = true
		s.log.dropped()
		n.w.redial(s.id)
	}
	routines := n.routines
	n.routines = nil
	for _, r := range routines {
		r.kill()
	}
}

// lived begins a new session in the same process, after the last one was fenced.
func (n *coreNode) lived(s *coreSession) {
	if n.session != s {
		return
	}
	n.w.some("an agent was fenced alive")
	n.w.say("%s hears that %s was fenced", n.name, s)
	s.dead, n.session = true, nil
	n.w.redial(s.id)
	n.life++
	routines := n.routines
	n.routines = nil
	for _, r := range routines {
		r.kill()
	}
	n.join(s.id, s.id)
}

// redial lets everybody who has a link with a session find out about it.
func (w *coreWorld) redial(id uuid.UUID) {
	for _, n := range w.nodes {
		if s := n.session; s != nil && s.links(id) {
			back := s.back()
			w.after(w.span(time.Millisecond, 100*time.Millisecond), func() { back(func() { s.dial(id) }) })
		}
	}
}

// coreSession is a session and its rooms.
type coreSession struct {
	w        *coreWorld
	n        *coreNode
	id       uuid.UUID
	member   *cluster.Member
	facts    *coreFacts // of member
	core     *cluster.Core
	set      *partitionSet
	log      *coreLog
	view     *cluster.View
	peers    []peer.Peer
	tick     uint64 // of the timer that counts
	dead     bool
	doomed   bool // crashes at the end of this step
	stopping bool
	dones    []coreAnswer
	opens    map[cluster.Job]*coreOpening
}

func (s *coreSession) String() string { return s.n.name + "/" + s.id.String()[:4] }

// back delivers to this session.
func (s *coreSession) back() func(func()) {
	deliver := s.n.back()
	return func(f func()) {
		deliver(func() {
			if !s.dead {
				f()
			}
		})
	}
}

// after runs f at this session, later.
func (s *coreSession) after(d time.Duration, f func()) {
	back := s.back()
	s.w.after(d, func() { back(f) })
}

// step feeds the core and does what it wants.
func (s *coreSession) step(e cluster.Event) {
	if s.dead {
		return
	}
	w := s.w
	if w.trace != nil {
		w.say("%s <- %s", s, e)
	}
	if s.log.confirmed {
		s.core.Beaten(s.log.lastWrite)
	}
	effects := s.core.Step(s.n.clock(), e)
	w.hash = (w.hash ^ uint64(len(effects))) * 1099511628211
	for _, f := range effects {
		if s.doomed {
			break
		}
		if w.trace != nil {
			w.say("%s -> %s", s, f)
		}
		if w.faulty() && matters(f) && w.chance(w.plan.crashAt/2) {
			s.crashSoon()
			break
		}
		s.do(f)
		if w.faulty() && matters(f) && w.chance(w.plan.crashAt/2) {
			s.crashSoon()
		}
	}
	s.timer()
}

func (s *coreSession) crashSoon() {
	s.doomed = true
	s.w.after(0, func() {
		if s.n.session == s {
			s.w.some("crash at a step")
			s.n.crash()
			s.n.restart(s.w.span(0, 40*time.Second))
		}
	})
}

// restart starts the process again after a while.
func (n *coreNode) restart(d time.Duration) { n.w.after(d, n.start) }

// matters reports whether an effect changes something that others see.
func matters(f cluster.Effect) bool {
	switch f.(type) {
	case cluster.Write, cluster.Open, cluster.Quiesce, cluster.Leave, cluster.Drain:
		return true
	}
	return false
}

// timer asks for a tick when the core wants one.
func (s *coreSession) timer() {
	s.tick++
	next, mine := s.core.Next(), s.tick
	if next.IsZero() {
		return
	}
	s.after(s.n.wait(next.Sub(s.n.clock())), func() {
		if s.tick == mine {
			s.step(cluster.Tick{})
		}
	})
}

// rates tells the core now and then what its slots cost.
func (s *coreSession) rates() {
	s.after(9*time.Second, func() {
		var r cluster.Rates
		for _, l := range s.set.Loads() {
			r.Loads = append(r.Loads, peer.Load{Slot: l.Slot, Partitions: uint16(l.Partitions)})
		}
		s.step(r)
		s.rates()
	})
}

// do does an effect.
func (s *coreSession) do(f cluster.Effect) {
	switch e := f.(type) {
	case cluster.Drain:
		if err := s.set.Drain(e.Slot, e.Epoch); err != nil && !s.log.over {
			s.w.fail("%s drains slot %d e%d, which it does not serve: %v", s, e.Slot, e.Epoch, err)
		}
	case cluster.Resume:
		s.w.some("hand-over given up")
		s.set.Resume(e.Slot, e.Epoch)
	case cluster.Leave:
		s.w.some("slot handed over")
		s.set.Leave(e.Slot, e.Epoch)
		s.answer()
	case cluster.Forget:
		s.w.some("frozen log forgotten")
		s.set.Forget(e.Slot, e.Epoch)
	case cluster.Publish:
		s.w.oracle.published(s, e.View)
		s.view = e.View
	case cluster.Link:
		s.link(e.Peers)
	case cluster.Tell:
		s.tell(e.Notice)
	case cluster.Open:
		s.open(e)
	case cluster.GiveUp:
		s.giveUp(e)
	case cluster.Quiesce:
		s.quiesce(e)
	case cluster.Look:
		a := cluster.Answer{Job: e.Job, Sources: map[uint16][]cluster.Source{}}
		for _, l := range s.set.Loads() {
			a.Sources[l.Slot] = s.sources(l.Slot)
		}
		s.after(s.w.span(0, 5*time.Millisecond), func() { s.step(a) })
	case cluster.Trim:
		seq := s.trimmable()
		if e.Pinned > 0 {
			seq = min(seq, e.Pinned)
		}
		s.log.trim(seq, e.Version, func(err error) { s.step(cluster.Answer{Job: e.Job, Err: err}) })
	case cluster.Rewrite:
		s.rewrite(func(err error) { s.step(cluster.Answer{Job: e.Job, Err: err}) })
	case cluster.Topics, cluster.Say, cluster.Timed:
	case cluster.ReadVersion, cluster.ReadMap, cluster.ReadSession, cluster.ReadEnd, cluster.ReadPins, cluster.Write:
		s.request(f)
	default:
		s.w.fail("an effect that the simulation does not know: %v", f)
	}
}

// request reads or writes the metastore.
func (s *coreSession) request(f cluster.Effect) {
	var a cluster.Answer
	switch e := f.(type) {
	case cluster.ReadMap, cluster.ReadEnd:
		s.n.routine(s.back(), func(r *coreRoutine) { a, _ = cluster.Do(r.ctx, &coreFacts{r}, "c", f) }, func() { s.step(a) })
		return
	case cluster.Write:
		s.w.oracle.asked(s, e)
	}
	_, write := f.(cluster.Write)
	a.Job = jobOf(f)
	s.n.table(write, func() error {
		a, _ = cluster.Do(context.Background(), s.w.facts, "c", f)
		return a.Err
	}, s.back(), func(err error) {
		a.Job, a.Err = jobOf(f), err
		if write {
			s.w.oracle.answered(s, f.(cluster.Write), err)
		}
		s.step(a)
	})
}

func jobOf(f cluster.Effect) cluster.Job {
	switch e := f.(type) {
	case cluster.ReadVersion:
		return e.Job
	case cluster.ReadSession:
		return e.Job
	case cluster.ReadPins:
		return e.Job
	case cluster.Write:
		return e.Job
	}
	return cluster.Job{}
}

// links reports whether the session has a link with another.
func (s *coreSession) links(id uuid.UUID) bool {
	for _, p := range s.peers {
		if p.Session == id {
			return true
		}
	}
	return false
}

func (s *coreSession) link(peers []peer.Peer) {
	before := s.peers
	s.peers = peers
	for _, p := range peers {
		known := false
		for _, b := range before {
			known = known || b.Session == p.Session
		}
		if !known {
			s.after(s.w.span(time.Millisecond, 100*time.Millisecond), func() { s.dial(p.Session) })
		}
	}
}

// dial is a redial: what the mesh finds out about a session.
func (s *coreSession) dial(id uuid.UUID) {
	other := s.w.sessions[id]
	if other == nil || !s.links(id) {
		return
	}
	n := other.n
	switch {
	case s.w.cut[[2]int{s.n.index, n.index}] || s.w.cut[[2]int{n.index, s.n.index}] || n.frozen:
		s.after(time.Second, func() { s.dial(id) })
	case n.session == other:
	case !n.up || n.session == nil:
		s.step(cluster.Gone{Session: id})
	default:
		s.w.some("redial answered by a newer session")
		s.step(cluster.Gone{Session: id, Other: n.session.id})
	}
}

func (s *coreSession) tell(notice peer.Notice) {
	for _, p := range s.peers {
		t := s.w.sessions[p.Session]
		if t == nil || s.w.cut[[2]int{s.n.index, t.n.index}] || s.w.faulty() && s.w.rnd.IntN(50) == 0 {
			continue
		}
		t.after(s.w.span(time.Millisecond, 20*time.Millisecond), func() { t.step(cluster.Told{From: s.id, Notice: notice}) })
	}
}

// stop is SIGTERM.
func (s *coreSession) stop() {
	s.w.say("%s stops", s)
	s.n.trouble = s.w.now
	s.step(cluster.Stop{})
	s.stopping = true
	n := s.n
	routines := n.routines // of the core: nobody waits for them any more
	n.routines = nil
	for _, r := range routines {
		r.kill()
	}
	s.after(30*time.Second, func() { n.crash(); n.restart(s.w.span(0, 10*time.Second)) })
	s.log.close(func() {
		var err error
		n.routine(s.back(), func(r *coreRoutine) {
			s.facts.door = r
			err = s.member.Leave(r.ctx, s.log.steps.Committed())
		}, func() {
			if err != nil && !errors.Is(err, records.ErrFenced) {
				s.w.fail("%s can't close its session: %v", s, err)
			}
			if err == nil {
				s.w.some("session closed")
			}
			s.tell(peer.Notice{Map: s.w.oracle.version(), Closing: true})
			n.down()
			n.restart(s.w.span(0, 10*time.Second))
		})
	})
}
