package segment

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/bundle"
)

// unsureFacts is a table that loses answers, and does some transactions later: perhaps much later.
type unsureFacts struct {
	metastore.Store
	world *world
	bad   float64 // how many transactions have no answer
}

// world is a partition's leaders, one after the other, over one table.
type world struct {
	*rig
	mu       sync.Mutex
	rand     *rand.Rand
	late     [][]metastore.Op // not done yet
	names    []Name
	recorded map[Name]tailLog
	facts    *unsureFacts
	zombie   *Room
	ghost    *unsureFacts // the zombie's table
}

func (f *unsureFacts) roll() (lose, effect bool) {
	f.world.mu.Lock()
	defer f.world.mu.Unlock()
	return f.world.rand.Float64() < f.bad, f.world.rand.IntN(2) == 0
}

func (f *unsureFacts) Transact(ctx context.Context, ops []metastore.Op) error {
	lose, effect := f.roll()
	switch {
	case !lose:
		return f.Store.Transact(ctx, ops)
	case effect:
		_ = f.Store.Transact(ctx, ops)
	default:
		f.world.mu.Lock()
		f.world.late = append(f.world.late, ops)
		f.world.mu.Unlock()
	}
	return errNoFacts
}

func (f *unsureFacts) Get(ctx context.Context, key metastore.Key, c metastore.Consistency) (metastore.Item, error) {
	if lose, _ := f.roll(); lose && f.bad > 0.5 {
		return nil, errNoFacts
	}
	return f.Store.Get(ctx, key, c)
}

// land does some of the late transactions.
func (w *world) land(share float64) {
	var left [][]metastore.Op
	for _, ops := range w.late {
		if w.rand.Float64() < share {
			_ = w.table.Transact(w.t.Context(), ops)
		} else {
			left = append(left, ops)
		}
	}
	w.late = left
}

// past is what a leader knew when it was replaced.
type past struct {
	others
	epoch   int32
	seq     uint64
	snapped uint64
}

func (p *past) Tails(yield func(Tail) bool) {
	p.others.Tails(func(t Tail) bool { t.Epoch = p.epoch; return yield(t) })
}
func (p *past) Leads(_ uint16, epoch int32) bool { return epoch == p.epoch }
func (p *past) Committed() uint64                { return p.seq }
func (p *past) Snapped() uint64                  { return p.snapped }

// replace makes another leader; the one before goes on for a while.
func (w *world) replace() {
	old := map[Name]*tailLog{}
	for n, l := range w.logs {
		c := *l
		c.runs = slices.Clone(l.runs)
		old[n] = &c
	}
	p := &past{others{w.rig, old}, w.epoch, w.seq, w.snapped}
	w.zombie, w.ghost = w.room, w.facts
	w.zombie.d.Partitions, w.zombie.d.Snapshots = p, p
	w.takeOver(w.recorded)
	w.lead()
	w.facts = &unsureFacts{Store: w.table, world: w}
	w.room.d.Facts, w.room.d.Topics = w.facts, w
	w.seq += 10
	w.snapped = 0
	w.record()
}

func (w *world) record() {
	w.seq++
	w.recorded = w.snapshot()
}

// audit wants of every pack that it is counted for what the leader needs, and for what its successor would.
func (w *world) audit(step int) {
	w.t.Helper()
	for who, logs := range []map[Name]tailLog{w.current(), w.recorded} {
		need := map[string]int64{}
		for n, l := range logs {
			if w.topics[n.Topic] == "" {
				continue
			}
			p, extents := w.extents(n)
			for _, run := range l.runs {
				if run.Object.Kind == bundle.PACK && run.Next > max(p.Tiered, w.logs[n].start) {
					need[run.Object.Session.String()]++
					it, err := w.table.Get(w.t.Context(), w.cluster.PackKey(run.Object.Session), metastore.Consistent)
					if err != nil {
						w.t.Fatalf("step %d, logs %d: pack %s of %v: %v", step, who, run.Object.Session, n, err)
					}
					item, _ := records.DecodePack(it)
					if item.Live < need[run.Object.Session.String()] {
						w.t.Fatalf("step %d, logs %d: pack %s counts %d", step, who, run.Object.Session, item.Live)
					}
				}
			}
			at := int64(-1)
			for _, e := range extents {
				if e.Next <= p.LogStart {
					continue
				}
				if at >= 0 && e.Base != at {
					w.t.Fatalf("step %d: a hole at %d", step, at)
				}
				at = e.Next
			}
			if at >= 0 && at != p.Tiered {
				w.t.Fatalf("step %d: extents end at %d, tiered is %d", step, at, p.Tiered)
			}
		}
	}
	live := map[string]bool{}
	for n := range w.logs {
		_, extents := w.extents(n)
		for _, e := range extents {
			live[w.keys.Segment(n.Topic, n.Index, e.Base, e.Segment)] = true
		}
	}
	for _, g := range w.queue() {
		for _, key := range g.Keys {
			if live[key] {
				w.t.Fatalf("step %d: the segment of an extent is garbage", step)
			}
		}
	}
}

func (w *world) current() map[Name]tailLog {
	logs := map[Name]tailLog{}
	for n, l := range w.logs {
		logs[n] = *l
	}
	return logs
}

// Rolls has topics cut at different times, though they share packs.
func (w *world) Rolls(topic uuid.UUID) (int64, time.Duration, bool) {
	name, ok := w.topics[topic]
	return 0, map[string]time.Duration{"a": 17 * time.Minute, "b": 40 * time.Minute}[name], ok
}

// pause is a minute, and now and then so long that everything is cut.
func (w *world) pause() time.Duration {
	if w.rand.IntN(20) == 0 {
		return 6 * time.Hour
	}
	return time.Minute
}

func (w *world) step() {
	switch k := w.rand.IntN(100); {
	case k < 35:
		var some []Name
		for _, n := range w.names {
			if w.topics[n.Topic] != "" && w.rand.IntN(3) > 0 {
				some = append(some, n)
			}
		}
		if len(some) > 0 {
			w.write(some, 100+w.rand.IntN(400), 1)
		}
	case k < 75:
		w.facts.bad = []float64{0, 0, 0.2, 0.9, 1}[w.rand.IntN(5)]
		w.now = w.now.Add(w.pause())
		w.room.Round(w.t.Context(), w.now)
		w.facts.bad = 0
	case k < 82:
		w.record()
	case k < 85:
		n := w.names[w.rand.IntN(len(w.names))]
		if l := w.logs[n]; len(l.runs) > 1 && w.topics[n.Topic] != "" {
			l.moveStart(l.runs[w.rand.IntN(len(l.runs)-1)].Next)
		}
	case k < 90:
		w.land(0.5)
	case k < 95 && w.zombie != nil:
		w.ghost.bad = []float64{0, 0.2}[w.rand.IntN(2)]
		w.zombie.Round(w.t.Context(), w.now)
	case k < 98:
		w.replace()
	case k < 99 && w.rand.IntN(4) == 0 && len(w.topics) > 1:
		n := w.names[w.rand.IntN(len(w.names))]
		if name := w.topics[n.Topic]; name != "" {
			w.land(1)
			gone := records.Topic{Name: name, ID: n.Topic, State: records.TopicDeleting}
			if _, err := w.table.Write(w.t.Context(), metastore.Op{Kind: metastore.OpPut, Key: w.cluster.TopicKey(name), Set: gone.Item()}); err != nil {
				w.t.Fatal(err)
			}
			delete(w.topics, n.Topic)
		}
	}
}

// Leaders replace each other, lose answers, and their writes land late: no pack is counted too low, and no segment is garbage that is linked.
func TestRandomLives(t *testing.T) {
	seeds, first := 15, 0
	if s := os.Getenv("VARVE_SEEDS"); s != "" {
		seeds, _ = strconv.Atoi(s)
	}
	if s := os.Getenv("VARVE_SEED"); s != "" {
		first, _ = strconv.Atoi(s)
	}
	for seed := first; seed < first+seeds; seed++ {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{rig: newRig(t), rand: rand.New(rand.NewPCG(uint64(seed), 1))}
				w.brief = true
				w.cfg.SegmentBytes = 1 << 30 // by age alone
				for _, name := range []string{"a", "b", "c"} {
					w.names = append(w.names, w.topic(name, 2)...)
				}
				w.lead()
				w.facts = &unsureFacts{Store: w.table, world: w}
				w.open().d.Facts, w.room.d.Topics = w.facts, w
				w.record()
				for step := range 500 {
					w.step()
					w.audit(step)
				}
			})
		})
	}
}
