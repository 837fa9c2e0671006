package simtest

import (
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/varvelog/varve/agent"
	"github.com/varvelog/varve/agent/cluster"
	factfault "github.com/varvelog/varve/metastore/fault"
	factsmem "github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/objstore"
	objfault "github.com/varvelog/varve/objstore/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// expectEqual compares what was read with what was acked.
func expectEqual(t *testing.T, got, acked map[string]place) {
	t.Helper()
	if maps.Equal(got, acked) {
		return
	}
	for v, p := range acked {
		if got[v] != p {
			t.Errorf("%s was acked at %+v and read at %+v", v, p, got[v])
		}
	}
	t.Fatalf("%d records read, %d acked, and they differ", len(got), len(acked))
}

// What was acked is read back, at its offset, after a graceful stop and after a crash, time and again.
func TestNothingAckedIsLost(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.createTopic("orders", 4)
	acked := map[string]place{}
	producer := w.client()
	for round := range 6 {
		maps.Copy(acked, w.produce(producer, "orders", round*500, 500))
		if round%2 == 0 {
			w.crash()
		} else {
			w.stop()
		}
		w.start()
	}
	expectEqual(t, w.consume("orders", len(acked)), acked)
}

// seeded returns a source that SEED repeats.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("again: SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// The same with stores that delay, throttle, lose replies and apply late, and a restart from snapshots every few flushes. An
// idempotent producer's records are there exactly once.
func TestFaultyStores(t *testing.T) {
	rng := seeded(t)
	w := newWorld(t)
	w.change = func(c *agent.Config) { c.SnapshotFlushes = 7 }
	w.plans = func() (objfault.Plan, factfault.Plan) {
		o := objfault.Plan{Seed: rng.Uint64()}
		o.Rates[objfault.Put] = objfault.Rates{
			Jitter: 10 * time.Millisecond, Throttle: 0.1, Error: 0.1, Lost: 0.1, Late: 0.05, LateFor: 50 * time.Millisecond,
		}
		o.Rates[objfault.Get] = objfault.Rates{Throttle: 0.1, Error: 0.1}
		f := factfault.Plan{Seed: rng.Uint64()}
		f.Rates[factfault.Write] = factfault.Rates{Jitter: 3 * time.Millisecond, Throttle: 0.05, Error: 0.05, Lost: 0.1, Late: 0.05, LateFor: 20 * time.Millisecond}
		return o, f
	}
	w.start()
	w.createTopic("orders", 8)
	acked := map[string]place{}
	producer := w.client()
	for round := range 8 {
		maps.Copy(acked, w.produce(producer, "orders", round*300, 300))
		w.crash()
		w.start()
	}
	expectEqual(t, w.consume("orders", len(acked)), acked)
}

// A start that dies anywhere, while it fences, takes slots, replays or opens them, leaves everything to the next one.
func TestCrashesDuringStarts(t *testing.T) {
	rng := seeded(t)
	w := newWorld(t)
	w.change = func(c *agent.Config) { c.Slots, c.SnapshotFlushes, c.StopTime = 96, 5, 100*time.Millisecond }
	w.plans = func() (objfault.Plan, factfault.Plan) {
		o, f := objfault.Plan{Seed: rng.Uint64()}, factfault.Plan{Seed: rng.Uint64()}
		o.Rates[objfault.Put] = objfault.Rates{Jitter: 5 * time.Millisecond}
		o.Rates[objfault.Get] = objfault.Rates{Jitter: 5 * time.Millisecond}
		f.Rates[factfault.Write] = factfault.Rates{Jitter: 20 * time.Millisecond, Lost: 0.1}
		return o, f
	}
	w.start()
	w.createTopic("orders", 64)
	acked := map[string]place{}
	producer := w.client()
	for round := range 5 {
		maps.Copy(acked, w.produce(producer, "orders", round*200, 200))
		w.crash()
		for range 8 {
			w.running = w.launch(w.addr)
			time.Sleep(time.Duration(rng.IntN(250)) * time.Millisecond)
			w.crash()
		}
		w.start()
	}
	expectEqual(t, w.consume("orders", len(acked)), acked)
}

// An agent that is fenced while it lives acks nothing any more, says so, and gives way to the one that has its name.
func TestFencedAlive(t *testing.T) {
	w := newWorld(t)
	exclusive := false
	w.change = func(c *agent.Config) { c.Exclusive, c.Heartbeat, c.TTL = exclusive, 20*time.Millisecond, 2*time.Second }
	w.start()
	w.createTopic("orders", 4)
	acked := w.produce(w.client(), "orders", 0, 100)
	first := w.running

	exclusive = true // takes it for granted that the name is free
	w.addr = "127.0.0.1:0"
	w.start()
	var inUse *cluster.NameInUseError
	if err := first.wait(); !errors.As(err, &inUse) {
		t.Fatalf("the fenced agent ended with %v", err)
	}
	maps.Copy(acked, w.produce(w.client(), "orders", 100, 100))
	expectEqual(t, w.consume("orders", len(acked)), acked)
}

// Z10: a table that was set back to an earlier moment, or a new table on an old bucket, is refused.
func TestTableOlderThanBucket(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.start()
		w.stop()
	}
	w.facts = factsmem.New()
	r := w.launch(w.addr)
	err := r.wait()
	if err == nil || !strings.Contains(err.Error(), "older than the bucket") {
		t.Fatalf("a new table on an old bucket: %v", err)
	}
}

// So is a bucket that has bundles far beyond what the table says was committed.
func TestBundlesBeyondTheTable(t *testing.T) {
	w := newWorld(t)
	w.start()
	session := sessionOf(t, w)
	w.crash()
	keys := objstore.Keys{Cluster: "varve"}
	if err := w.objects.Put(t.Context(), keys.WAL(session, 500), []byte("x")); err != nil {
		t.Fatal(err)
	}
	r := w.launch(w.addr)
	if err := r.wait(); err == nil || !strings.Contains(err.Error(), "older than the bucket") {
		t.Fatalf("bundles beyond the table: %v", err)
	}
}

func sessionOf(t *testing.T, w *world) uuid.UUID {
	t.Helper()
	found, err := w.objects.List(t.Context(), "varve/w/", "", 1)
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	p, err := objstore.Keys{Cluster: "varve"}.Parse(found[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	return p.Session
}
