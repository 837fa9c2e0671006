package simtest

import (
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

// coreResult is what came of a seed.
type coreResult struct {
	bad       string
	steps     int
	virtual   time.Duration
	hash      uint64
	sometimes map[string]int
}

// runCore runs one seed: faults, then none, then everything has to come to rest. The same seed gives the same run, step by step.
func runCore(t *testing.T, seed uint64) (r coreResult) {
	return playCore(t, seed, (*coreWorld).live)
}

// playCore runs a world that a seed has drawn.
func playCore(t *testing.T, seed uint64, play func(*coreWorld)) (r coreResult) {
	var key [32]byte
	key[0], key[1], key[2], key[3] = byte(seed), byte(seed>>8), byte(seed>>16), byte(seed>>24)
	uuid.SetRand(rand.NewChaCha8(key))
	defer uuid.SetRand(nil)
	synctest.Test(t, func(*testing.T) {
		w := newCoreWorld(seed)
		func() {
			defer func() {
				if p := recover(); p != nil {
					w.fail("panic: %v\n%s", p, debug.Stack())
				}
			}()
			play(w)
		}()
		w.stop()
		r = coreResult{w.bad, w.steps, w.now, w.hash, w.sometimes}
	})
	return r
}

// live is the whole of a seed.
func (w *coreWorld) live() {
	for _, n := range w.nodes {
		w.after(w.span(0, 3*time.Second), n.start)
	}
	for _, r := range w.readers {
		w.after(w.span(0, 8*time.Second), r.read)
	}
	w.after(w.plan.deleteRecords, w.deleteRecords)
	if w.plan.packs > 0 {
		w.after(w.plan.packs, w.pack)
	}
	w.after(20*time.Second, w.collect)
	w.after(w.span(0, 10*time.Second), w.misbehave)
	w.run(w.plan.long)
	w.heal()
	for _, p := range w.producers {
		p.stopped = true
	}
	w.until(2*time.Minute, "everything is served again", w.served)
	w.oracle.settleAll()
	if w.seed%4 == 0 {
		w.until(3*time.Minute, "everybody leads a share", w.balanced)
	}
	if w.seed%8 == 0 {
		w.until(15*time.Minute, "what has ended drains", func() string {
			for part := range w.plan.parts() {
				w.deleteFrom(part, true)
			}
			return w.drained()
		})
		w.oracle.settleAll()
	}
}

// coreSeeds is how many seeds the gate runs.
const coreSeeds = 2000

// coreSometimes are the rare branches: so many seeds that leave one out have faults or clients that are not what they were.
var coreSometimes = []string{
	"DRAINED skipped", "PUT landed after the fence", "a call was done twice", "acked by the item that says fenced",
	"an agent was fenced alive", "an heir died before it opened", "batch refused by a draining slot", "clear", "clear refused",
	"crash at a step", "duplicate answered", "fence met a heartbeat", "fenced by two", "from[] shortened", "frozen log forgotten", "give-up",
	"give-up refused", "hand-over given up", "hand-over late", "object deleted", "opened for somebody else",
	"opened from a living session's log", "own commit recognised", "own hand-over recognised", "own snapshot recognised",
	"pin refused", "pin taken out by another", "pins went into pending", "read from a leader of old",
	"redial answered by a newer session", "sealed by two", "session closed", "runs packed", "session drained", "session fenced",
	"slot came back to a session", "slot handed over", "slot taken out of pending", "stale read served", "take refused", "taken over in a pack", "trim rose",
	"trim was there already", "two controllers", "unpin", "unpin refused", "want refused",
}

// neverTaken returns those that a sum has none of.
func neverTaken(sum map[string]int) (missing []string) {
	for _, name := range coreSometimes {
		if sum[name] == 0 {
			missing = append(missing, name)
		}
	}
	return missing
}

func coreNumber(t *testing.T, v string) uint64 {
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		t.Fatalf("%q is not a number", v)
	}
	return n
}

// TestCoreSim runs the cores of whole clusters, a seed each, under every fault that a store, a network, a clock or a process has:
// `make sim SEED=n` replays one exactly.
func TestCoreSim(t *testing.T) {
	first, n := uint64(1), uint64(coreGate)
	if v := os.Getenv("VARVE_CORE_N"); v != "" {
		n = coreNumber(t, v)
	}
	if v := os.Getenv("VARVE_CORE_SEED"); v != "" {
		first = coreNumber(t, v)
		if os.Getenv("VARVE_CORE_N") == "" {
			n = 1
		}
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // one goroutine runs at a time; several threads would only wait for each other
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	begun, all := time.Now(), coreResult{sometimes: map[string]int{}}
	for seed := first; seed < first+n; seed++ {
		r := runCore(t, seed)
		if r.bad != "" {
			t.Errorf("SEED=%d: %s", seed, r.bad)
			if os.Getenv("VARVE_CORE_ALL") == "" {
				break
			}
		}
		all.steps += r.steps
		all.virtual += r.virtual
		for name, k := range r.sometimes {
			all.sometimes[name] += k
		}
		if seed%200 == 7 {
			if again := runCore(t, seed); again.hash != r.hash || again.steps != r.steps {
				t.Errorf("SEED=%d does not replay: %d steps %x, then %d steps %x", seed, r.steps, r.hash, again.steps, again.hash)
			}
		}
	}
	t.Logf("%d seeds in %v, %d steps, %v virtual", n, time.Since(begun).Round(time.Millisecond), all.steps, all.virtual.Round(time.Second))
	if missing := neverTaken(all.sometimes); n >= coreSeeds && len(missing) > 0 && !t.Failed() {
		t.Errorf("never in %d seeds: %q", n, missing)
	}
	for _, name := range slices.Sorted(maps.Keys(all.sometimes)) {
		t.Logf("%8d sometimes: %s", all.sometimes[name], name)
	}
}
