// Pure.

package cluster

import (
	"cmp"
	"encoding/binary"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/peer"
	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// CoreConfig is what a Core must know of its session.
type CoreConfig struct {
	Cluster   records.Cluster
	ClusterID uuid.UUID
	Session   uuid.UUID
	Agent     string
	Node      int32
	Slots     int
	Heartbeat time.Duration // of every session; watchers look as often
	TTL       time.Duration // a heartbeat that stands still for so long is a death
	Poll      time.Duration // how often the version of the map is read
	Exclusive bool          // no other process reaches the stores: every other session is dead
	Grace     time.Duration // objects stay so long after nothing names them any more
	Crowd     int           // so many entries of from[] are many; 0: manyFrom
}

// Intervals and bounds of a Core. None of them is a matter of safety.
const (
	recheckEvery   = time.Minute      // the controller reads the map at least so often
	rereadEvery    = 5 * time.Minute  // everybody else does
	vacantFor      = 3 * time.Second  // slot 0 has no leader for so long: anybody is controller
	trustAfter     = 10 * time.Minute // a name that was fenced alive is not fenced on a refused redial before
	turnTime       = 500 * time.Millisecond
	doubtFor       = 300 * time.Millisecond // who lost its link may be gone: until a redial has told
	lookEvery      = time.Minute            // is there a slot to take out of a session's pins
	hurryEvery     = 5 * time.Second        // the same while from[] of one is long, at first; then twice as long, each time
	manyFrom       = 8                      // entries of from[]: it is long
	balanceEvery   = time.Minute            // the controller looks whether each agent leads its share
	balanceAgain   = 3 * time.Second        // at least, until it looks again: see even
	waitFor        = time.Second            // so long a write holds up what is better done after it
	settleFor      = time.Second            // the agents have to be the same for so long before slots are moved
	handTime       = 10 * time.Second       // a hand-over that got no further is given up
	wantTime       = 30 * time.Second       // a wish that its leader does not follow is taken back
	tellEvery      = 3 * time.Second
	tellYoung      = 500 * time.Millisecond // of a session younger than youngFor: it is given its share once it was heard
	youngFor       = 5 * time.Second
	writesAtOnce   = 16              // of slots, without those that are late
	clearsAtOnce   = 2               // the same
	lateFor        = 5 * time.Second // a write that takes longer is late
	wantsAtOnce    = 32              // slots that move at a time
	firstPause     = 20 * time.Millisecond
	longestPause   = 2 * time.Second
	opensAtOnce    = 4                // batches of slots; as many again that were tried before
	openPause      = time.Second      // after an opening that failed
	longestOpening = 30 * time.Second // of the first try of slots, and the longest pause
)

// Core decides what a session does about sessions and slots. It is a state machine: Step takes an event and returns effects; it
// reads no clock and does nothing itself. The same events give the same effects.
//
// It never decides by time whether a write counts: each write has conditions, may be repeated and may arrive late, and the answer
// says what is so. An effect of unknown outcome is asked for again, the same write with the same nonce, until the outcome is known.
type Core struct {
	cfg    CoreConfig
	now    time.Time
	born   time.Time // first step
	next   time.Time // when to look again; zero: at the next event
	out    []Effect
	jobs   map[Job]*job
	nonces uint64

	// The metastore as last read or written.
	mapped    bool  // the map was read
	version   int64 // of the map that is known
	heard     int64 // newest version that somebody told of
	heardThen int64 // when the map was asked for
	stale     bool  // the map has to be read again
	topics    int64
	recount   bool      // the version has to be read now, consistently
	beaten    time.Time // last heartbeat of this session that was confirmed; zero: nobody tells
	asked     time.Time // when the map was read
	polled    time.Time // when the version was read
	changed   bool      // slots were written and the version was not raised since
	agents    map[string]records.Agent
	sessions  map[uuid.UUID]*seen
	slots     []slotItem
	pins      records.Pins // this session's own

	wary   map[string]time.Time // names that get the TTL only, until when
	lived  map[uuid.UUID]bool   // sessions whose successor said that they had been fenced alive
	vacant time.Time            // since when slot 0 has no leader
	loads  map[uint16]peer.Load
	told   time.Time
	mine   []peer.Load

	control control
	held    map[uint16]*held
	batches int              // so many numbers of batches were used
	frozen  map[uint16]int32 // handed over, not forgotten: epoch
	owing   map[uuid.UUID]owing
	looked  time.Time
	trimmed time.Time
	hurried time.Time // when a rewriting was asked for
	hurries int       // since from[] of some slot is long
	over    bool      // this session is fenced, or stops

	view  *View
	peers []peer.Peer
}

// slotItem is what is known of a slot.
type slotItem struct {
	there bool
	item  records.Slot
	wish  time.Time // when the want in it was first seen
}

// job is an effect that was asked for.
type job struct {
	effect Effect
	flying bool
	tries  int
	again  time.Time
	begun  time.Time
	late   bool // an opening that was given up
}

// NewCore returns a Core that knows nothing yet: it begins with reading the map.
func NewCore(cfg CoreConfig) *Core {
	return &Core{
		cfg: cfg, jobs: map[Job]*job{}, agents: map[string]records.Agent{}, sessions: map[uuid.UUID]*seen{},
		slots: make([]slotItem, cfg.Slots), wary: map[string]time.Time{}, lived: map[uuid.UUID]bool{},
		loads: map[uint16]peer.Load{}, held: map[uint16]*held{}, frozen: map[uint16]int32{}, owing: map[uuid.UUID]owing{},
		pins: records.Pins{Slots: map[uint16]records.Pin{}},
	}
}

// Step takes an event at a moment and returns what is to be done about it, in order. Moments never go back.
func (c *Core) Step(now time.Time, e Event) []Effect {
	c.now, c.next, c.out = now, time.Time{}, nil
	if c.born.IsZero() {
		c.born = now
	}
	switch e := e.(type) {
	case Answer:
		c.answer(e)
	case Told:
		c.toldBy(e)
	case Gone:
		c.gone(e)
	case Cut:
		if w := c.sessions[e.Session]; w != nil && e.Session != c.cfg.Session {
			w.cut = c.now
		}
	case Rates:
		c.rates(e.Loads)
	case Recount:
		c.recount = true
	case Learned:
		c.learned(e)
	case Stop:
		c.stop()
	}
	if c.over {
		return c.out
	}
	c.repeat()
	c.read()
	if c.mapped {
		c.watch()
		c.end()
		c.assign()
		c.balance()
		c.hand()
		c.open()
		c.release()
		c.raise()
		c.tell()
		c.publish()
	}
	return c.out
}

// stop tells the peers that this session ends itself, and shows it.
func (c *Core) stop() {
	if c.over {
		return
	}
	c.over = true
	c.emit(Tell{peer.Notice{Map: c.version, Topics: c.topics, Closing: true}})
	if w := c.sessions[c.cfg.Session]; w != nil && c.mapped {
		w.closing = true
		c.publish()
	}
}

// Beaten says when a heartbeat of this session was confirmed last. Call it before Step.
func (c *Core) Beaten(at time.Time) { c.beaten = at }

// Next returns when Step wants a Tick at the latest; zero: at the next event.
func (c *Core) Next() time.Time { return c.next }

// Settled reports whether the map was read and every slot that it gives to this session is open.
func (c *Core) Settled() bool {
	if !c.mapped {
		return false
	}
	for n := range c.slots {
		if s := &c.slots[n]; s.there && s.item.Leader == c.cfg.Session {
			if h := c.held[uint16(n)]; h == nil || h.epoch < s.item.Epoch || h.state == opening {
				return false
			}
		}
	}
	return true
}

func (c *Core) emit(e Effect) { c.out = append(c.out, e) }

func (c *Core) say(level slog.Level, msg string, args ...any) { c.emit(Say{level, msg, args}) }

// due reports whether t has come; if not, Step is called again then.
func (c *Core) due(t time.Time) bool {
	if !c.now.Before(t) {
		return true
	}
	if c.next.IsZero() || t.Before(c.next) {
		c.next = t
	}
	return false
}

// begin asks for an effect, unless one of that name is under way.
func (c *Core) begin(j Job, e Effect) {
	if c.jobs[j] == nil {
		c.jobs[j] = &job{effect: e, flying: true, begun: c.now}
		c.emit(e)
	}
}

func (c *Core) running(j Job) bool { return c.jobs[j] != nil }

// under returns how many jobs of a kind are under way.
func (c *Core) under(k Kind) (n int) {
	for j := range c.jobs {
		if j.Kind == k {
			n++
		}
	}
	return n
}

// count returns how many jobs of a kind take one of the places that there are for it. One that is late has none any more: it goes on,
// beside the others, but writes that never succeed must not keep all others waiting for ever.
func (c *Core) count(k Kind) (n int) {
	for j, w := range c.jobs {
		if j.Kind == k && !c.due(w.begun.Add(lateFor)) {
			n++
		}
	}
	return n
}

// soon reports whether jobs of some kinds are under way that are worth waiting for. One write that never succeeds must not keep all
// others from having an effect.
func (c *Core) soon(kinds ...Kind) (yes bool) {
	for j, w := range c.jobs {
		if slices.Contains(kinds, j.Kind) && !c.due(w.begun.Add(waitFor)) {
			yes = true
		}
	}
	return yes
}

// repeat asks again for what has an unknown outcome.
func (c *Core) repeat() {
	for _, j := range slices.SortedFunc(maps.Keys(c.jobs), Job.compare) {
		if w := c.jobs[j]; !w.flying && c.due(w.again) {
			w.flying = true
			c.emit(w.effect)
		}
	}
}

// pause is how long to wait after some tries.
func pause(tries int) time.Duration {
	return min(firstPause<<min(tries, 10), longestPause)
}

// answer takes in what came of an effect.
func (c *Core) answer(a Answer) {
	w := c.jobs[a.Job]
	if w == nil {
		return
	}
	_, refused := old(a.Err)
	if a.Err != nil && !refused && a.Job.patient() && !c.pointless(a.Job) {
		w.tries++
		w.flying, w.again = false, c.now.Add(pause(w.tries))
		c.unsure(a.Job, a.Err)
		return
	}
	delete(c.jobs, a.Job)
	switch a.Job.Kind {
	case jobVersion:
		c.versionRead(a)
	case jobMap:
		c.mapRead(a)
	case jobWatch:
		c.watched(a)
	case jobSuspect:
		c.suspected(a)
	case jobFence:
		c.fenced(a, w)
	case jobEnd:
		c.endRead(a)
	case jobSeal:
		c.sealed(a, w)
	case jobRaise:
		c.raised(a)
	case jobTake, jobWant:
		c.taken(a)
	case jobClear:
		c.learnAnswer(a)
	case jobOpen:
		c.opened(a, w)
	case jobQuiesce:
		c.quiesced(a, w)
	case jobPin:
		c.pinnedNow(a, w)
	case jobPins:
		c.pinsRead(a)
	case jobHand:
		c.handed(a)
	case jobGiveUp:
		c.gaveUp(a)
	case jobLook:
		c.sources(a, w)
	case jobOwed:
		c.owed(a, w.begun)
	case jobUnpin:
		c.unpinned(a)
	case jobRewrite:
		c.looked = time.Time{} // now some may be let go of
	case jobTrim:
		if a.Err != nil && !c.running(about(jobPins, uuid.Nil)) {
			c.readPins() // perhaps they changed
		}
	}
}

// patient reports whether a job goes on until its outcome is known. The others are asked for anew where that is of use.
func (j Job) patient() bool {
	switch j.Kind {
	case jobVersion, jobWatch, jobSuspect, jobOpen, jobQuiesce, jobLook, jobOwed, jobTrim, jobRewrite:
		return false
	}
	return true
}

// nonce returns an id that no other write has: the session's, with a counter in its last half.
func (c *Core) nonce() uuid.UUID {
	c.nonces++
	n := c.cfg.Session
	binary.BigEndian.PutUint64(n[8:], binary.BigEndian.Uint64(n[8:])+c.nonces)
	return n
}

// learnSlot takes in a slot item, unless a newer one is known.
func (c *Core) learnSlot(s records.Slot) {
	if int(s.Slot) >= len(c.slots) {
		return
	}
	k := &c.slots[s.Slot]
	if k.there && k.item.V >= s.V {
		return
	}
	if !k.there || k.item.Want != s.Want || k.item.Leader != s.Leader {
		k.wish = c.now
	}
	k.there, k.item = true, s
}

// learnAnswer takes in the slot item that an answer brings, which is ok if there is one.
func (c *Core) learnAnswer(a Answer) (s records.Slot, ok bool) {
	item, failed := old(a.Err)
	if !failed {
		item = a.Item
	}
	s, err := records.DecodeSlot(item)
	if err != nil {
		if item != nil {
			c.say(slog.LevelError, "a slot item does not decode; somebody must look at the table", "err", err)
		}
		return s, false
	}
	c.learnSlot(s)
	return s, true
}

func (c *Core) writeSlot(k Kind, op metastore.Op, slot uint16, what string) {
	c.begin(Job{Kind: k, Slot: int32(slot)}, Write{Job: Job{Kind: k, Slot: int32(slot)}, Ops: []metastore.Op{op}, What: what})
}

func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

func sortedIDs[V any](m map[uuid.UUID]V) []uuid.UUID {
	return slices.SortedFunc(maps.Keys(m), func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
}
