package simtest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/cluster"
	factsmem "github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/objstore"
	objmem "github.com/varvelog/varve/objstore/mem"
)

// The world of TestCoreSim: the pure cores of agents under one seeded scheduler. One goroutine, one heap of events, one generator, a
// clock that is a number. Sessions are real cluster.Cores, their partitions real partition.Sets, replays the real wal.Replayer,
// starts and stops the real cluster.Join and Member.Leave; the WAL is coreLog, a stand-in for the goroutines of wal.Log
// around the same steps (wal.Steps). Stores, network, clocks and clients are models.

// coreWorld is one seed.
type coreWorld struct {
	seed   uint64
	rnd    *rand.Rand
	plan   corePlan
	now    time.Duration // true time since the beginning
	heap   coreHeap
	serial uint64
	steps  int
	hash   uint64
	healed time.Duration // when all faults ended; 0: not yet
	bad    string        // the first violation
	trace  io.Writer     // nil: none

	facts     *coreTable
	objects   *objmem.Store
	keys      objstore.Keys
	nodes     []*coreNode
	sessions  map[uuid.UUID]*coreSession
	oracle    *coreOracle
	producers []*coreProducer
	readers   []*coreReader
	cut       map[[2]int]bool // from node, to node: nothing gets through
	sometimes map[string]int
}

// coreTopic has a partition for each slot.
var coreTopic = uuid.MustParse("11111111-2222-4333-8444-555555555555")

// coreBegan is when the clocks of a world begin.
var coreBegan = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func newCoreWorld(seed uint64) *coreWorld {
	w := &coreWorld{
		seed: seed, rnd: rand.New(rand.NewPCG(seed, 11)), objects: objmem.New(), keys: objstore.Keys{Cluster: "c"},
		sessions: map[uuid.UUID]*coreSession{}, cut: map[[2]int]bool{}, sometimes: map[string]int{},
	}
	if os.Getenv("VARVE_CORE_TRACE") != "" {
		w.trace = os.Stdout
	}
	w.plan = drawCorePlan(w.rnd)
	w.facts = &coreTable{w: w, mem: factsmem.New(), past: map[string][]coreVersion{}}
	w.oracle = newCoreOracle(w)
	for i := range w.plan.agents {
		w.nodes = append(w.nodes, newCoreNode(w, i))
	}
	for part := range w.plan.parts() {
		for i := range w.plan.producers {
			w.producers = append(w.producers, newCoreProducer(w, part, int64(1000+10*part+i)))
		}
		w.readers = append(w.readers, &coreReader{w: w, part: part, hw: map[[2]int64]int64{}})
	}
	return w
}

// fail notes a violation. The first one counts.
func (w *coreWorld) fail(format string, args ...any) {
	if w.bad == "" {
		w.bad = fmt.Sprintf("%v: ", w.now) + fmt.Sprintf(format, args...)
		w.say("VIOLATION %s", w.bad)
	}
}

func (w *coreWorld) say(format string, args ...any) {
	if w.trace != nil {
		fmt.Fprintf(w.trace, "%12v %s\n", w.now, fmt.Sprintf(format, args...))
	}
}

// some counts that a rare branch was taken.
func (w *coreWorld) some(name string) { w.sometimes[name]++ }

// chance is true with a probability.
func (w *coreWorld) chance(p float64) bool { return p > 0 && w.rnd.Float64() < p }

// span returns a duration of at least a, below b if that is more.
func (w *coreWorld) span(a, b time.Duration) time.Duration {
	return a + time.Duration(w.rnd.Int64N(max(1, int64(b-a))))
}

// faulty reports whether faults still happen.
func (w *coreWorld) faulty() bool { return w.healed == 0 && !w.plan.quiet }

// after runs f later.
func (w *coreWorld) after(d time.Duration, f func()) {
	w.serial++
	w.heap.push(coreEvent{w.now + max(0, d), w.serial, f})
}

// run takes events until the time has come or something is wrong.
func (w *coreWorld) run(until time.Duration) {
	for w.bad == "" && len(w.heap) > 0 && w.heap[0].at <= until {
		e := w.heap.pop()
		w.now = e.at
		w.steps++
		w.hash = (w.hash ^ uint64(e.at) ^ e.serial<<40) * 1099511628211
		e.f()
	}
	if w.bad == "" {
		w.now = max(w.now, until)
	}
}

// stop ends every goroutine that a session has.
func (w *coreWorld) stop() {
	for _, n := range w.nodes {
		n.crash()
	}
}

// coreEvent is something that will happen.
type coreEvent struct {
	at     time.Duration
	serial uint64
	f      func()
}

func (a coreEvent) before(b coreEvent) bool {
	return a.at < b.at || a.at == b.at && a.serial < b.serial
}

// coreHeap is a binary heap.
type coreHeap []coreEvent

func (h *coreHeap) push(e coreEvent) {
	*h = append(*h, e)
	s := *h
	for i := len(s) - 1; i > 0; {
		up := (i - 1) / 2
		if !s[i].before(s[up]) {
			return
		}
		s[i], s[up] = s[up], s[i]
		i = up
	}
}

func (h *coreHeap) pop() coreEvent {
	s := *h
	top, n := s[0], len(s)-1
	s[0] = s[n]
	s[n] = coreEvent{}
	s = s[:n]
	*h = s
	for i := 0; ; {
		c := 2*i + 1
		if c+1 < n && s[c+1].before(s[c]) {
			c++
		}
		if c >= n || !s[c].before(s[i]) {
			return top
		}
		s[i], s[c] = s[c], s[i]
		i = c
	}
}

// corePlan is what a seed draws before it begins: the shape of the cluster, and which faults are on and how often.
type corePlan struct {
	agents, slots, perSlot, producers int
	heartbeat                         time.Duration
	flush                             time.Duration
	produce                           time.Duration // between two batches of a producer, about
	java                              bool          // producers have five batches in flight from the first on
	quiet                             bool          // no faults at all
	long                              time.Duration // how long faults happen
	table, store                      coreFaults
	node                              time.Duration // between two faults of nodes or links, about; 0: none
	nodeFaults                        []string
	crashAt                           float64 // of each step that matters, a crash before or after it
	clocks                            bool    // rates of 0.9 to 1.1
	refuse                            bool    // now and then a living agent refuses a redial
	deleteRecords                     time.Duration
	packs                             time.Duration // between two packs, about; 0: none
}

func (p *corePlan) parts() int { return p.slots * p.perSlot }

func (p *corePlan) config() cluster.Config {
	return cluster.Config{Cluster: "c", Slots: p.slots, Heartbeat: p.heartbeat, TTL: 3 * p.heartbeat, Poll: p.heartbeat}
}

// coreFaults says how often what happens to a call of a store.
type coreFaults struct {
	throttle, conflict, lostRequest, lostReply, late, twice, stale float64
	slow                                                           time.Duration // now and then a call takes up to so long
}

func drawCorePlan(r *rand.Rand) corePlan {
	between := func(a, b time.Duration) time.Duration { return a + time.Duration(r.Int64N(int64(b-a))) }
	p := corePlan{
		agents: 2 + r.IntN(3), slots: 2 + r.IntN(4), perSlot: 1, producers: 1 + r.IntN(2),
		heartbeat: between(3*time.Second, 6*time.Second), flush: between(100*time.Millisecond, 2*time.Second),
		produce: between(500*time.Millisecond, 4*time.Second), quiet: r.IntN(8) == 0, long: between(40*time.Second, 120*time.Second),
		clocks: r.IntN(2) == 0, java: r.IntN(2) == 0, deleteRecords: between(4*time.Second, 30*time.Second),
	}
	often := func() float64 {
		return []float64{0, 0, 0.005, 0.02, 0.08}[r.IntN(5)]
	}
	draw := func() (f coreFaults) {
		if r.IntN(4) > 0 {
			f = coreFaults{throttle: often(), conflict: often(), lostRequest: often(), lostReply: often(), late: often(), twice: often()}
		}
		if r.IntN(3) == 0 {
			f.slow = between(time.Second, 20*time.Second)
		}
		f.stale = []float64{0, 0.2, 0.5}[r.IntN(3)]
		return f
	}
	p.table, p.store = draw(), draw()
	if r.IntN(5) > 0 {
		p.node = between(4*time.Second, 25*time.Second)
		for _, f := range []string{"crash", "crash", "freeze", "stop", "cut", "cut table", "cut objects", "jump", "roll", "wish"} {
			if r.IntN(2) == 0 {
				p.nodeFaults = append(p.nodeFaults, f)
			}
		}
	}
	if r.IntN(4) == 0 {
		p.crashAt = []float64{0.01, 0.05, 0.2}[r.IntN(3)]
	}
	p.refuse = r.IntN(8) == 0
	if r.IntN(2) == 0 {
		p.packs = between(500*time.Millisecond, 8*time.Second)
	}
	return p
}
