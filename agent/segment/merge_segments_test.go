package segment

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// drip has each partition get a small segment, some times.
func (r *rig) drip(names []Name, n int) {
	for range n {
		r.write(names, 300, 1)
		r.round(time.Minute)
		r.round(6 * time.Hour)
	}
}

// merges counts the segments that were written to take the place of others.
func (r *rig) merges(extents []records.Extent) (n int) {
	for _, e := range extents {
		if (objstore.Parsed{Kind: objstore.KindSegment, ID: e.Segment}).Merged() {
			n++
		}
	}
	return n
}

// Eight small segments become one; it holds what they held, the item says so, and they are garbage.
func TestSmallSegmentsBecomeOne(t *testing.T) {
	r := newRig(t)
	names := r.topic("a", 3)
	r.open()
	r.drip(names, 7)
	for _, n := range names {
		if p, extents := r.extents(n); len(extents) != 7 || p.Extents != 7 {
			t.Fatal(p, extents)
		}
	}
	r.epoch = 4 // so that the merged segment has runs of two epochs
	r.drip(names, 1)
	for _, n := range names {
		p, extents := r.extents(n)
		if len(extents) != 1 || r.merges(extents) != 1 || p.Extents != 1 || p.Bytes != extents[0].Bytes || p.Tiered != 16 || extents[0].Next != 16 || extents[0].Records != 16 {
			t.Fatal(p, extents)
		}
		o, err := r.inner.Get(t.Context(), r.keys.Segment(n.Topic, n.Index, 0, extents[0].Segment), objstore.Range{})
		if err != nil {
			t.Fatal(err)
		}
		v, err := bundle.Verify(o.Body)
		if err != nil || len(v.Footer.Runs) != 2 || v.Footer.Runs[0].LeaderEpoch != 3 || v.Footer.Runs[1].LeaderEpoch != 4 {
			t.Fatal(err, v)
		}
	}
	r.check()
	keys := 0
	for _, g := range r.queue() {
		for _, key := range g.Keys {
			if p, _ := r.keys.Parse(key); p.Kind == objstore.KindSegment {
				if keys++; g.NotBefore < r.now.Add(r.cfg.Grace).UnixMilli() {
					t.Error(key, "goes before the grace is over")
				}
			}
		}
	}
	if keys != 24 {
		t.Errorf("%d segments are queued, want 24", keys)
	}
	if idle := r.accounts(); idle != 0 {
		t.Error("objects too many:", idle)
	}
	if err := r.collector(r.inner).Sweep(t.Context(), r.now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	r.check()
	if kinds := r.kinds(); kinds[objstore.KindSegment] != 3 {
		t.Error(kinds)
	}
}

// A partition with months of small segments has few in the end, each written a few times; and once nothing comes any more, rounds ask
// neither store for anything.
func TestJoinsCostLittle(t *testing.T) {
	r := newRig(t)
	names := r.topic("a", 2)
	tap := &tapped{Store: r.inner, keys: r.keys}
	r.objects = tap
	facts := &countingFacts{Store: r.table}
	r.facts = facts
	r.open()
	r.drip(names, 100)
	r.check()
	for _, n := range names {
		if p, extents := r.extents(n); len(extents) > 22 || p.Extents != int64(len(extents)) {
			t.Errorf("%d extents, item %+v", len(extents), p)
		}
	}
	t.Logf("200 small segments: %d written to take the place of others, %d read for that; %.2f queries for each", tap.puts.Load(), tap.gets.Load(), float64(facts.queries.Load())/200)
	if tap.puts.Load() > 200/joinFold*4/3 || tap.gets.Load() > 200*3 || facts.queries.Load() > 200 {
		t.Error("that is too much")
	}
	r.drip(names[:1], 1)
	before := tap.puts.Load() + tap.gets.Load() + facts.all.Load()
	for range 10 {
		r.round(time.Hour)
	}
	if now := tap.puts.Load() + tap.gets.Load() + facts.all.Load(); now != before {
		t.Errorf("rounds with nothing to do: %d requests", now-before)
	}
}

// Of many partitions whose merges are due each has its turn, although those that come first fail all the time.
func TestJoinsTakeTurns(t *testing.T) { synctest.Test(t, testJoinsTakeTurns) }

func testJoinsTakeTurns(t *testing.T) {
	r := newRig(t)
	names := r.topic("a", looksAtAll+joinsAtAll)
	r.open()
	r.drip(names, 7)
	r.write(names, 300, 1)
	r.round(time.Minute)
	bad := map[string]bool{}
	for _, t := range r.room.tails(r.now)[:looksAtAll] {
		bad[r.cluster.PartitionPK(t.Topic, t.Index)] = true
	}
	r.room.d.Facts = &deaf{r.table, bad}
	r.round(6 * time.Hour)
	r.round(time.Minute)
	merged := 0
	for _, n := range names {
		if _, extents := r.extents(n); len(extents) == 1 {
			merged++
		}
	}
	if merged != joinsAtAll {
		t.Errorf("%d partitions have their segments merged, want %d", merged, joinsAtAll)
	}
	r.room.d.Facts = r.table
	for range 2 * len(names) / joinsAtAll {
		r.round(time.Minute)
	}
	for _, n := range names {
		if _, extents := r.extents(n); len(extents) != 1 {
			t.Fatal(n, extents)
		}
	}
	r.check()
}

// deaf answers no questions for extents of some partitions.
type deaf struct {
	metastore.Store
	bad map[string]bool
}

func (s *deaf) Query(ctx context.Context, q metastore.Query) (metastore.Page, error) {
	if s.bad[q.PK] {
		return metastore.Page{}, errNoFacts
	}
	return s.Store.Query(ctx, q)
}

// tapped counts writes of merged segments, and reads of segments.
type tapped struct {
	objstore.Store
	keys       objstore.Keys
	puts, gets atomic.Int64
}

func (s *tapped) Put(ctx context.Context, key string, body []byte) error {
	if p, err := s.keys.Parse(key); err == nil && p.Merged() {
		s.puts.Add(1)
	}
	return s.Store.Put(ctx, key, body)
}

func (s *tapped) Get(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
	if p, err := s.keys.Parse(key); err == nil && p.Kind == objstore.KindSegment {
		s.gets.Add(1)
	}
	return s.Store.Get(ctx, key, r)
}

// countingFacts counts requests.
type countingFacts struct {
	metastore.Store
	queries, all atomic.Int64
}

func (s *countingFacts) Query(ctx context.Context, q metastore.Query) (metastore.Page, error) {
	s.queries.Add(1)
	s.all.Add(1)
	return s.Store.Query(ctx, q)
}

func (s *countingFacts) Get(ctx context.Context, k metastore.Key, c metastore.Consistency) (metastore.Item, error) {
	s.all.Add(1)
	return s.Store.Get(ctx, k, c)
}

func (s *countingFacts) Transact(ctx context.Context, ops []metastore.Op) error {
	s.all.Add(1)
	return s.Store.Transact(ctx, ops)
}

// A transaction of a merge has no more items than the table takes, whatever it merges.
func TestJoinTransactionIsBounded(t *testing.T) {
	r := newRig(t)
	n := r.topic("a", 1)[0]
	j := &joined{Name: n, topic: "a", old: make([]records.Extent, joinMost)}
	if ops := r.open().joinOps(j, r.now); len(ops) > metastore.MaxTransact || len(ops) != joinMost+4 {
		t.Error(len(ops), "items")
	}
}

// What lies below the log start, or holds it, is left alone; and a topic that keeps little has little merged.
func TestJoinLeavesWhatGoes(t *testing.T) {
	r := newRig(t)
	names := r.topic("a", 2)
	r.open()
	r.room.d.Keeps = limitsOf{names[1].Topic: {Time: -1, Bytes: -1}}
	r.drip(names, 7)
	r.logs[names[0]].moveStart(3) // inside of the second one
	r.drip(names, 2)
	if _, extents := r.extents(names[0]); len(extents) != 9 {
		t.Error("of nine segments, seven of which may be merged:", len(extents))
	}
	r.drip(names, 1)
	if _, extents := r.extents(names[0]); len(extents) != 3 || extents[2].Base != 4 {
		t.Error(extents)
	}
	r.check()

	r = newRig(t)
	names = r.topic("b", 1)
	r.open()
	r.room.d.Keeps = limitsOf{names[0].Topic: {Time: (8 * 24 * time.Hour).Milliseconds(), Bytes: -1}}
	r.drip(names, 30)
	if _, extents := r.extents(names[0]); len(extents) != 30 {
		t.Error("segments of a week and more, of a topic that keeps eight days:", len(extents))
	}
}

type limitsOf map[uuid.UUID]Limits

func (l limitsOf) Limits(topic uuid.UUID) (Limits, bool) { k, ok := l[topic]; return k, ok }

// ripeForJoin is a leader with seven small segments of each partition and an eighth one in a pack: the next round merges.
func ripeForJoin(t *testing.T, r *rig) []Name {
	r.state(r.session, records.Active, 1, 0)
	names := r.topic("a", 2)
	r.open()
	r.drip(names, 7)
	r.write(names, 300, 1)
	r.round(time.Minute)
	return names
}

// The leader dies at any request of a round that merges, with its effect or without, by turns: the next one finds everything once, merges what is
// left, and when the sweep has gone through nothing is there that the table does not name.
func TestJoinCrashAnywhere(t *testing.T) { synctest.Test(t, testJoinCrashAnywhere) }

func testJoinCrashAnywhere(t *testing.T) {
	crashes := 0
	for n, effect := range []bool{false, true} {
		for at := 1 + n; ; at += 2 {
			r := newRig(t)
			names := ripeForJoin(t, r)
			recorded := r.snapshot()
			ctx, cancel := context.WithCancel(t.Context())
			c := &crasher{left: at, effect: effect, die: cancel}
			r.room.d.Objects, r.room.d.Facts = dyingObjects{r.inner, c}, dyingFacts{r.table, c}
			r.now = r.now.Add(6 * time.Hour)
			r.room.Round(ctx, r.now)
			died := ctx.Err() != nil
			cancel()
			committed := int64(r.seq)
			old := r.heir(recorded)
			r.check()
			s := r.sweeper(1)
			r.look(s) // the dead one's merge may be linked yet, as far as a look knows
			time.Sleep(time.Second)
			r.look(s)
			r.check()
			r.round(time.Minute)
			r.drip(names, 1)
			r.check()
			for _, n := range names {
				if p, extents := r.extents(n); len(extents) > 3 || r.merges(extents) == 0 || p.Extents != int64(len(extents)) {
					t.Fatalf("request %d: %+v, item %+v", at, extents, p)
				}
			}
			r.drain(old, committed)
			for range 2 {
				r.look(s)
				time.Sleep(time.Second)
			}
			if err := r.collector(r.inner).Sweep(t.Context(), r.now.Add(24*time.Hour)); err != nil {
				t.Fatal(err)
			}
			r.check()
			r.exact(at)
			if !died {
				break
			}
			crashes++
		}
	}
	t.Logf("%d crashes", crashes)
}

// The outcome of any one request of a round that merges is unknown to a leader that lives on: all is there once, and nothing is left over.
func TestJoinAnyOutcomeUnknown(t *testing.T) { synctest.Test(t, testJoinAnyOutcomeUnknown) }

func testJoinAnyOutcomeUnknown(t *testing.T) {
	for _, effect := range []bool{false, true} {
		for at := 1; ; at++ {
			r := newRig(t)
			names := ripeForJoin(t, r)
			c := &crasher{left: at, effect: effect, die: func() {}, once: true}
			r.room.d.Objects, r.room.d.Facts = dyingObjects{r.inner, c}, dyingFacts{r.table, c}
			r.round(6 * time.Hour)
			r.round(time.Minute)
			r.check()
			for _, n := range names {
				if p, extents := r.extents(n); len(extents) != 1 || p.Extents != 1 || r.merges(extents) != 1 {
					t.Fatalf("request %d, effect %v: %+v, item %+v", at, effect, extents, p)
				}
			}
			if idle := r.accounts(); idle != 0 {
				t.Fatalf("request %d, effect %v: %d objects too many", at, effect, idle)
			}
			if c.left > 0 {
				break
			}
		}
	}
}

// vagueJoins answers no merge of segments, nor what it did, for as long as it is vague.
type vagueJoins struct {
	metastore.Store
	vague, effect bool
	sent          int
}

func isJoin(ops []metastore.Op) bool {
	for _, op := range ops {
		if op.Kind == metastore.OpPut && len(op.If) > 0 && op.If[0].Attr == records.AttrSegment {
			return true
		}
	}
	return false
}

func (s *vagueJoins) Transact(ctx context.Context, ops []metastore.Op) error {
	if !s.vague || !isJoin(ops) {
		return s.Store.Transact(ctx, ops)
	}
	if s.sent++; s.effect {
		_ = s.Store.Transact(ctx, ops)
	}
	return errNoFacts
}

func (s *vagueJoins) Get(ctx context.Context, key metastore.Key, c metastore.Consistency) (metastore.Item, error) {
	if s.vague && s.sent > 0 && key.SK == "M" {
		return nil, errNoFacts
	}
	return s.Store.Get(ctx, key, c)
}

// A merge whose outcome is unknown for long, done or not done, while the log start passes what it merges, or a part of it, or nothing, and
// while the sweep looks twice: the sweep leaves it alone, and in the end nothing is missing and nothing too much.
func TestJoinInDoubt(t *testing.T) { synctest.Test(t, testJoinInDoubt) }

func testJoinInDoubt(t *testing.T) {
	for _, effect := range []bool{false, true} {
		for _, start := range []int64{0, 5, 16} {
			r := newRig(t)
			names := ripeForJoin(t, r)
			facts := &vagueJoins{Store: r.table, vague: true, effect: effect}
			r.room.d.Facts = facts
			r.round(6 * time.Hour)
			s := r.sweeper(1)
			for range 3 {
				time.Sleep(time.Second)
				r.look(s)
			}
			if facts.sent == 0 {
				t.Fatal("no merge was sent")
			}
			for _, n := range names {
				r.logs[n].moveStart(start)
				r.unlinkBelow(n, start)
			}
			facts.vague = false
			r.round(time.Minute)
			r.check()
			r.drip(names, 1)
			r.check()
			if idle := r.accounts(); idle != 0 {
				t.Fatalf("effect %v, log start %d: %d objects too many", effect, start, idle)
			}
			if err := r.collector(r.inner).Sweep(t.Context(), r.now.Add(24*time.Hour)); err != nil {
				t.Fatal(err)
			}
			r.check()
		}
	}
}

// What a leader sent before it was replaced changes nothing, whenever it lands: its successor has merged the same segments by then, or not.
func TestJoinOfAReplacedLeader(t *testing.T) { synctest.Test(t, testJoinOfAReplacedLeader) }

func testJoinOfAReplacedLeader(t *testing.T) {
	for _, merges := range []bool{false, true} {
		r := newRig(t)
		names := ripeForJoin(t, r)
		held := &heldJoins{Store: r.table}
		r.room.d.Facts = held
		r.round(6 * time.Hour)
		if len(held.held) == 0 {
			t.Fatal("no merge was sent")
		}
		r.heir(r.snapshot())
		r.lead()
		if merges {
			r.drip(names, 1)
		}
		for _, ops := range held.held {
			if err := r.table.Transact(t.Context(), ops); !errors.Is(err, metastore.ErrCondition) {
				t.Errorf("a merge of a leader that was replaced was done: %v", err)
			}
		}
		r.check()
		for _, n := range names {
			if p, extents := r.extents(n); p.Extents != int64(len(extents)) || merges && len(extents) > 2 {
				t.Error(extents)
			}
		}
	}
}

// heldJoins answers no merge of segments, and keeps it for later.
type heldJoins struct {
	metastore.Store
	held [][]metastore.Op
}

func (s *heldJoins) Transact(ctx context.Context, ops []metastore.Op) error {
	if !isJoin(ops) {
		return s.Store.Transact(ctx, ops)
	}
	s.held = append(s.held, ops)
	return errNoFacts
}

// A leader that was replaced, and has not heard of it, writes one segment for each partition in vain, not one after the other.
func TestJoinOfAReplacedLeaderEnds(t *testing.T) { synctest.Test(t, testJoinOfAReplacedLeaderEnds) }

func testJoinOfAReplacedLeaderEnds(t *testing.T) {
	r := newRig(t)
	tap := &tapped{Store: r.inner, keys: r.keys}
	r.objects = tap
	names := ripeForJoin(t, r)
	r.room.d.Facts = &deposing{r.table, r}
	for range 3 {
		r.round(6 * time.Hour)
	}
	if n := tap.puts.Load(); n != int64(len(names)) {
		t.Errorf("%d segments were written that cannot be linked, want %d", n, len(names))
	}
	if idle := r.accounts(); idle != 0 {
		t.Error("objects too many:", idle)
	}
}

// deposing has another leader take over all slots before a merge.
type deposing struct {
	metastore.Store
	r *rig
}

func (s *deposing) Transact(ctx context.Context, ops []metastore.Op) error {
	for slot := uint16(0); isJoin(ops) && slot < 4; slot++ {
		item := records.Slot{Slot: slot, Leader: uuid.New(), Agent: "b", Epoch: s.r.epoch + 1, V: 2}
		if _, err := s.Store.Write(ctx, metastore.Op{Kind: metastore.OpPut, Key: s.r.cluster.SlotKey(slot), Set: item.Item()}); err != nil {
			return err
		}
	}
	return s.Store.Transact(ctx, ops)
}

// unlinkBelow is retention: it takes the extents below a log start out.
func (r *rig) unlinkBelow(n Name, start int64) {
	r.t.Helper()
	ret := NewRetainer(RetainConfig{Grace: r.cfg.Grace}, RetainDeps{
		Facts: r.table, Keys: r.keys, Cluster: r.cluster, Index: NewIndex(r.table, r.inner, IndexConfig{Cluster: r.cluster, Keys: r.keys}), Partitions: r,
	})
	defer ret.d.Index.Close()
	if err := ret.unlink(r.t.Context(), &Tail{Name: n, LogStart: start}, &memo{}, r.now.UnixMilli()); err != nil {
		r.t.Fatal(err)
	}
}

// What was written to take the place of segments stays as long as its writer may link it, and goes once that session is DRAINED, or with the topic.
func TestSweepOfMerges(t *testing.T) { synctest.Test(t, testSweepOfMerges) }

func testSweepOfMerges(t *testing.T) {
	r := newRig(t)
	names := r.topic("a", 1)
	r.open()
	r.drip(names, 2)
	gone := Name{Topic: uuid.New()}
	merged := func(n Name, session uuid.UUID) string {
		return r.written(r.keys.Segment(n.Topic, n.Index, 0, objstore.MergedID(uuid.New())), bundle.SEG, uuid.UUID{9}, session)
	}
	live, sealed, drained := r.state(uuid.New(), records.Active, 1, 9), r.state(uuid.New(), records.Sealed, 1, 9), r.state(uuid.New(), records.Drained, 1, 9)
	stay := []string{merged(names[0], live), merged(names[0], sealed)}
	go1, go2 := merged(names[0], drained), merged(gone, live)
	s := r.sweeper(1)
	for range 4 {
		r.look(s)
		time.Sleep(time.Second)
	}
	queued := map[string]bool{}
	for _, key := range r.queuedKeys() {
		queued[key] = true
	}
	if queued[stay[0]] || queued[stay[1]] || !queued[go1] || !queued[go2] {
		t.Error(queued)
	}
}
