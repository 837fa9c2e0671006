package group

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/fault"
	"github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/records"
)

const testSlots = 4

// leader is a coordinator of all slots under one epoch.
type leader struct {
	*Coordinator
	t   *testing.T
	cat atomic.Pointer[Catalogue]
}

func lead(t *testing.T, facts metastore.Store, epoch int32) *leader {
	b := testBounds()
	b.MaxMembers, b.MaxBytes = 100, 8<<20
	l := &leader{t: t}
	l.cat.Store(NewCatalogue(1, []TopicInfo{{"t", topicID(1), 4}}))
	l.Coordinator = New(Config{
		Cluster: "c", Slots: testSlots, Bounds: b, Retention: time.Hour, Check: time.Minute / sweepTurns,
		Consumer: ConsumerBounds{Session: 45 * time.Second, Heartbeat: 5 * time.Second, MaxMembers: 20_000, MaxBytes: 8 << 20, AssignInterval: time.Second},
		Adjust: func(own map[string]string, b ConsumerBounds) ConsumerBounds {
			if ms, err := strconv.Atoi(own["consumer.session.timeout.ms"]); err == nil {
				b.Session = time.Duration(ms) * time.Millisecond
			}
			return b
		},
		Migration: Migration{Upgrade: true, Downgrade: true}, Topics: func(bool) *Catalogue { return l.cat.Load() },
	}, facts, slog.New(slog.DiscardHandler))
	epochs := map[uint16]int32{}
	for slot := range uint16(testSlots) {
		epochs[slot] = epoch
	}
	l.Lead(epochs)
	return l
}

// answer waits for what ask hands to done.
func answer[T any](ask func(done func(T))) T {
	got := make(chan T, 1)
	ask(func(v T) { got <- v })
	return <-got
}

func (l *leader) join(j Join) Joined {
	if j.NewID == "" {
		j.NewID = uuid.NewString()
	}
	j.Type, j.Session, j.Rebalance = "consumer", 10*time.Second, 20*time.Second
	if j.Protocols == nil {
		j.Protocols = []Protocol{{"range", []byte{0, 0, 0, 0, 0, 0}}}
	}
	return answer(func(done func(Joined)) { l.Join("g", j, done) })
}

func (l *leader) sync(s Sync) Synced {
	return answer(func(done func(Synced)) { l.Sync("g", s, done) })
}

func (l *leader) beat(member string, generation int32) error {
	return answer(func(done func(error)) { l.Heartbeat("g", Heartbeat{Member: member, Generation: generation}, done) })
}

// Commit is the coordinator's, of which nothing is refused partition by partition.
func (l *leader) Commit(group string, r Commit, done func(error)) {
	l.Coordinator.Commit(group, r, func(_ map[Partition]error, err error) { done(err) })
}

func (l *leader) commit(part Partition, offset int64) error {
	return answer(func(done func(error)) {
		l.Commit("g", Commit{Generation: -1, Offsets: map[Partition]records.GroupOffset{part: {Offset: offset, Epoch: -1}}}, done)
	})
}

// fetch returns the committed offset of a partition, -1 if there is none.
func (l *leader) fetch(part Partition) (int64, error) {
	type told struct {
		offset int64
		err    error
	}
	got := answer(func(done func(told)) {
		l.Fetch("g", Asker{Epoch: -1}, func(o Offsets, err error) {
			v, ok := o.Get(part)
			if !ok {
				v.Offset = -1
			}
			done(told{v.Offset, err})
		})
	})
	return got.offset, got.err
}

func (l *leader) mustCommit(part Partition, offset int64) {
	l.t.Helper()
	if err := l.commit(part, offset); err != nil {
		l.t.Fatalf("commit %d: %v", offset, err)
	}
}

func (l *leader) mustFetch(part Partition, want int64) {
	l.t.Helper()
	if got, err := l.fetch(part); err != nil || got != want {
		l.t.Fatalf("fetch: %d, %v; want %d", got, err, want)
	}
}

func (l *leader) delete() error {
	return answer(func(done func(error)) { l.Delete("g", done) })
}

func part(index int32) Partition { return Partition{uuid.UUID{1}, index} }

// TestR19Zombies: a coordinator that was replaced and does not know it writes no older offsets, makes no page that was absent, makes no deleted
// group anew, and tells no older offsets.
func TestR19Zombies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		facts := mem.New()
		old, now := lead(t, facts, 3), lead(t, facts, 4)
		defer old.Close()
		defer now.Close()
		old.mustCommit(part(0), 5)
		now.mustFetch(part(0), 5)
		now.mustCommit(part(0), 9)
		if _, err := old.fetch(part(0)); !errors.Is(err, ErrNotCoordinator) {
			t.Errorf("the zombie tells an old offset: %v", err)
		}
		if err := old.commit(part(0), 6); !errors.Is(err, ErrNotCoordinator) {
			t.Errorf("the zombie commits: %v", err)
		}
		now.mustFetch(part(0), 9)
	})
	for name, replaced := range map[string]func(now *leader){
		"page": func(now *leader) { now.mustFetch(part(0), 5) }, "deleted": func(now *leader) { _ = now.delete() },
	} {
		for _, p := range []Partition{part(0), part(64)} { // a page that is there, and one that is not
			t.Run(fmt.Sprintf("%s_%d", name, p.page().n), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { zombieWrites(t, p, replaced) }) })
		}
	}
}

// zombieWrites has a coordinator whose group was claimed by another one write offsets, without a look at the group item before.
func zombieWrites(t *testing.T, p Partition, replaced func(now *leader)) {
	facts := mem.New()
	old, now := lead(t, facts, 3), lead(t, facts, 4)
	defer old.Close()
	defer now.Close()
	old.mustCommit(part(0), 5) // it has the group in memory
	replaced(now)
	before, _ := now.fetch(p)
	if err := old.commit(p, 6); !errors.Is(err, ErrNotCoordinator) {
		t.Errorf("the zombie commits: %v", err)
	}
	now.mustFetch(p, before)
	if j := old.join(Join{}); !errors.Is(j.Err, ErrNotCoordinator) && before >= 0 {
		t.Errorf("the zombie takes a member: %v", j.Err)
	}
}

// TestOwnSuccess: the reply of every write is lost once, and each caller learns that it was its own.
func TestOwnSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var odd atomic.Bool
		facts := fault.New(mem.New(), fault.Plan{Hook: func(c fault.Call) fault.Action {
			if (c.Op == fault.Write || c.Op == fault.Transact) && odd.CompareAndSwap(false, true) {
				return fault.Action{Do: fault.Lose}
			}
			odd.Store(false)
			return fault.Action{Do: fault.Pass}
		}})
		l := lead(t, facts, 1)
		defer l.Close()
		l.mustCommit(part(0), 1)
		l.mustCommit(part(0), 2)
		l.mustCommit(part(64), 3)
		a := l.join(Join{})
		if s := l.sync(Sync{Member: a.Member, Generation: a.Generation}); a.Err != nil || s.Err != nil {
			t.Errorf("%v, %v", a.Err, s.Err)
		}
		l.mustFetch(part(0), 2)
		_ = answer(func(done func(Left)) { l.Leave("g", Leave{Leavers: []Leaver{{Member: a.Member}}}, done) })
		if err := l.delete(); err != nil {
			t.Error(err)
		}
	})
}

// TestClaimThatLandsTwice: a claim of a page lands once more after a write, and after it that write once more: what was written since stays.
func TestClaimThatLandsTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		facts := mem.New()
		s := &store{facts: facts, cluster: "c", slot: 1, group: "g", epoch: 1}
		if err := s.create(t.Context()); err != nil {
			t.Fatal(err)
		}
		p := &page{}
		if err := s.makePages(t.Context(), s.item.Claim, []pageWrite{{key: part(0).page(), make: true, page: p.begin(1)}}); err != nil {
			t.Fatal(err)
		}
		twice := &recording{Store: facts}
		s.facts = twice
		p, err := s.claimPage(t.Context(), part(0).page())
		if err != nil {
			t.Fatal(err)
		}
		for offset := range int64(2) {
			p.next = map[int32]records.GroupOffset{0: {Offset: offset}}
			w := pageWrite{key: part(0).page(), old: p.stored.Nonce, page: p.begin(1)}
			if err := s.write(t.Context(), w); err != nil {
				t.Fatal(err)
			}
			p.stored = w.page
		}
		for _, op := range twice.ops[:2] {
			_, _ = facts.Write(t.Context(), op)
		}
		if p, err = s.claimPage(t.Context(), part(0).page()); err != nil || p.stored.Offsets[0].Offset != 1 {
			t.Fatalf("%+v, %v", p, err)
		}
	})
}

// recording keeps writes.
type recording struct {
	metastore.Store
	ops []metastore.Op
}

func (r *recording) Write(ctx context.Context, op metastore.Op) (metastore.Item, error) {
	r.ops = append(r.ops, op)
	return r.Store.Write(ctx, op)
}

// TestLatePageOfTheSameEpoch: the first page of a topic is made so late that the group has been read again meanwhile: then it is not made,
// for who read it would not know of it.
func TestLatePageOfTheSameEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		facts := mem.New()
		s := &store{facts: facts, cluster: "c", slot: 1, group: "g", epoch: 1}
		if err := s.create(t.Context()); err != nil {
			t.Fatal(err)
		}
		claim := s.item.Claim
		if there, err := s.claim(t.Context()); !there || err != nil {
			t.Fatal(there, err)
		}
		w := pageWrite{key: part(0).page(), make: true, page: (&page{}).begin(1)}
		if err := s.makePages(t.Context(), claim, []pageWrite{w}); !errors.Is(err, ErrLoading) {
			t.Errorf("made: %v", err)
		}
		if err := s.makePages(t.Context(), s.item.Claim, []pageWrite{w}); err != nil {
			t.Error(err)
		}
	})
}

// TestHandOffForcesNoRebalance: members heartbeat on at the next coordinator and find their assignments, whether they fit in the item or
// fill pages.
func TestHandOffForcesNoRebalance(t *testing.T) {
	for _, size := range []int{10, 300 << 10} {
		synctest.Test(t, func(t *testing.T) {
			facts := mem.New()
			old := lead(t, facts, 3)
			defer old.Close()
			says := []Protocol{{"range", []byte(strings.Repeat("s", size))}}
			a := old.join(Join{Protocols: says})
			if a.Err != nil || len(a.Members) != 1 {
				t.Fatalf("%+v", a)
			}
			work := []byte(strings.Repeat("w", size))
			if s := old.sync(Sync{Member: a.Member, Generation: 1, Assignments: []Assignment{{a.Member, work}}}); s.Err != nil {
				t.Fatal(s.Err)
			}
			parked := make(chan Joined, 1)
			old.Join("h", Join{NewID: "x", Type: "connect", Session: 10 * time.Second, Rebalance: 20 * time.Second, Protocols: says}, func(j Joined) { parked <- j })
			<-parked
			now := lead(t, facts, 4)
			defer now.Close()
			for slot := range uint16(testSlots) {
				old.Lose(slot, 3)
			}
			if err := old.beat(a.Member, 1); !errors.Is(err, ErrNotCoordinator) {
				t.Errorf("the old one answers: %v", err)
			}
			if err := now.beat(a.Member, 1); err != nil {
				t.Errorf("heartbeat: %v", err)
			}
			if s := now.sync(Sync{Member: a.Member, Generation: 1}); s.Err != nil || string(s.Assignment) != string(work) {
				t.Errorf("sync: %v, %d bytes", s.Err, len(s.Assignment))
			}
			// nobody comes to the new one any more: it notices by itself
			time.Sleep(time.Minute)
			if d := answer(func(done func(Description)) { now.Describe("g", func(d Description, _ error) { done(d) }) }); d.State != "Empty" {
				t.Errorf("a minute later: %s", d.State)
			}
		})
	}
}

// TestNothingAckedIsLost: replies are lost, writes come late or twice, the store throttles, coordinators follow each other: whatever was
// acked is told afterwards, and offsets never go back.
func TestNothingAckedIsLost(t *testing.T) {
	acked, refused := 0, 0
	for seed := uint64(1); seed <= 12; seed++ {
		synctest.Test(t, func(t *testing.T) {
			inner := mem.New()
			var faulty *fault.Store
			var l *leader
			most := map[Partition]int64{}
			for n := range 120 {
				if n%30 == 0 {
					if l != nil {
						if n%60 == 0 {
							l.Close()
						} else {
							defer l.Close() // it lives on, as a zombie
						}
					}
					faulty = fault.New(inner, hazards(seed*100+uint64(n)))
					defer faulty.Wait()
					l = lead(t, faulty, int32(n))
				}
				p := part(int32(n*37) % 200)
				if err := l.commit(p, int64(n+1)); err == nil {
					most[p] = int64(n + 1)
					acked++
				} else {
					refused++
				}
				for p, want := range most {
					if got, err := l.fetch(p); err == nil && got < want {
						t.Fatalf("seed %d: %d was acked, %d is told", seed, want, got)
					}
				}
			}
			l.Close()
		})
	}
	if t.Logf("%d commits acked, %d not", acked, refused); acked < 1000 {
		t.Errorf("%d commits acked, %d refused: too few to show anything", acked, refused)
	}
}

// hazards loses the replies of some writes, has a few come late or twice, and throttles.
func hazards(seed uint64) fault.Plan {
	return fault.Plan{Seed: seed, Rates: fault.All(fault.Rates{
		Lost: 0.05, Retry: 0.03, Late: 0.02, Twice: 0.02, LateFor: 400 * time.Millisecond, Throttle: 0.03, Conflict: 0.03, Error: 0.03,
	})}
}

// counting counts writes.
type counting struct {
	metastore.Store
	writes, transactions atomic.Int64
}

func (c *counting) Write(ctx context.Context, op metastore.Op) (metastore.Item, error) {
	c.writes.Add(1)
	return c.Store.Write(ctx, op)
}

func (c *counting) Transact(ctx context.Context, ops []metastore.Op) error {
	c.transactions.Add(1)
	return c.Store.Transact(ctx, ops)
}

// TestCommitsAreGathered: the first commit after a pause is written at once, those of the next 100 ms in one write per page.
func TestCommitsAreGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counting{Store: mem.New()}
		l := lead(t, c, 1)
		defer l.Close()
		l.mustCommit(part(0), 1)
		if w, x := c.writes.Load(), c.transactions.Load(); w != 2 || x != 1 { // claim, create; the page
			t.Errorf("first commit: %d writes, %d transactions", w, x)
		}
		time.Sleep(time.Second)
		begun := time.Now()
		l.mustCommit(part(1), 1)
		if d := time.Since(begun); d != 0 {
			t.Errorf("the first commit after a pause waited %v", d)
		}
		before := c.writes.Load()
		acks := make(chan error, 64)
		for i := range int32(64) {
			l.Commit("g", Commit{Generation: -1, Offsets: map[Partition]records.GroupOffset{part(i): {Offset: 2}}}, func(err error) { acks <- err })
		}
		for range 64 {
			if err := <-acks; err != nil {
				t.Error(err)
			}
		}
		if d := time.Since(begun); d != mergeTime || c.writes.Load() != before+1 {
			t.Errorf("64 commits: %d writes in %v", c.writes.Load()-before, d)
		}
	})
}

// TestDelete: a deleted group leaves nothing behind, one with members stays, and its name may be used again.
func TestDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		facts := mem.New()
		l := lead(t, facts, 1)
		defer l.Close()
		if err := l.delete(); !errors.Is(err, ErrUnknownGroup) {
			t.Errorf("of nothing: %v", err)
		}
		for i := range int32(5) {
			l.mustCommit(part(i*64), 7)
		}
		m := l.join(Join{})
		if err := l.delete(); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("with a member: %v", err)
		}
		if left := answer(func(done func(Left)) { l.Leave("g", Leave{Leavers: []Leaver{{Member: m.Member}}}, done) }); left.Err != nil || left.Each[0] != nil {
			t.Fatalf("%+v", left)
		}
		if err := l.delete(); err != nil {
			t.Fatal(err)
		}
		if err := l.beat(m.Member, 2); !errors.Is(err, ErrUnknownMember) {
			t.Errorf("heartbeat: %v", err)
		}
		rows, err := (&store{facts: facts, cluster: "c", slot: Slot("g", testSlots), group: "g"}).rows(t.Context(), "", metastore.Consistent)
		if err != nil || len(rows) != 0 {
			t.Errorf("%d pages are left, %v", len(rows), err)
		}
		l.mustFetch(part(0), -1)
		l.mustCommit(part(0), 1)
		l.mustFetch(part(64), -1)
	})
}

// TestListAndNames: groups of any name are listed, by the leader of their slot alone.
func TestListAndNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		facts := mem.New()
		l := lead(t, facts, 1)
		defer l.Close()
		names := map[string]bool{}
		for _, name := range []string{"", "a", "%", "a#O#x", "\xff\xfe", strings.Repeat("x", maxName)} {
			names[name] = true
			err := answer(func(done func(error)) {
				l.Commit(name, Commit{Generation: -1, Offsets: map[Partition]records.GroupOffset{part(0): {Offset: 1}}}, done)
			})
			if err != nil {
				t.Errorf("%q: %v", name, err)
			}
		}
		if err := answer(func(done func(error)) { l.Commit(strings.Repeat("x", maxName+1), Commit{Generation: -1}, done) }); !errors.Is(err, ErrGroupID) {
			t.Errorf("a name too long: %v", err)
		}
		all := answer(func(done func([]Listed)) { l.List(func(all []Listed, _ error) { done(all) }) })
		for _, g := range all {
			if !names[g.Group] || g.State != "Empty" || g.Type != records.ClassicGroup {
				t.Errorf("%+v", g)
			}
			delete(names, g.Group)
		}
		if len(names) > 0 {
			t.Errorf("not listed: %q", fmt.Sprint(names))
		}
	})
}

// TestOffsetsExpire: those of a group without members, the retention time after the last one left or after the commit; those that asked for
// a time of their own then; none while there are members. A deleted topic's go at once.
func TestOffsetsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		facts := mem.New()
		l := lead(t, facts, 1)
		defer l.Close()
		commit := func(p Partition, expires int64, member string, generation int32) {
			t.Helper()
			o := records.GroupOffset{Offset: 5, At: time.Now().Unix(), Expires: expires}
			err := answer(func(done func(error)) {
				l.Commit("g", Commit{Member: member, Generation: generation, Offsets: map[Partition]records.GroupOffset{p: o}}, done)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		m := l.join(Join{})
		l.sync(Sync{Member: m.Member, Generation: 1})
		commit(part(0), 0, m.Member, 1)
		commit(part(64), time.Now().Add(10*time.Minute).Unix(), m.Member, 1)
		commit(Partition{uuid.UUID{2}, 0}, 0, m.Member, 1)
		l.DropTopic(uuid.UUID{2})
		for range 3 * 60 * 12 { // three hours of heartbeats
			time.Sleep(5 * time.Second)
			if err := l.beat(m.Member, 1); err != nil {
				t.Fatal(err)
			}
		}
		l.mustFetch(part(0), 5)
		l.mustFetch(part(64), 5)
		l.mustFetch(Partition{uuid.UUID{2}, 0}, -1)
		_ = answer(func(done func(Left)) { l.Leave("g", Leave{Leavers: []Leaver{{Member: m.Member}}}, done) })
		time.Sleep(58 * time.Minute)
		l.mustFetch(part(0), 5)
		commit(part(1), 0, "", -1)
		time.Sleep(4 * time.Minute)
		l.mustFetch(part(0), -1)
		l.mustFetch(part(64), -1)
		l.mustFetch(part(1), 5)
		time.Sleep(2 * time.Hour)
		l.mustFetch(part(1), -1)
		if _, err := facts.Get(t.Context(), records.Cluster("c").GroupKey(Slot("g", testSlots), "g"), metastore.Consistent); !errors.Is(err, metastore.ErrNotFound) {
			t.Errorf("the group is still there: %v", err)
		}
	})
}
