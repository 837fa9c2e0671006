package group

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/records"
)

// consuming is a consumer of the newer protocol: it takes what it is told, and gives up what it is not told any more.
type consuming struct {
	id    string
	epoch int32
	own   Parts
	told  int // times that it was told what to have
}

// speak sends a heartbeat to group "g".
func (m *consuming) speak(l *leader, change func(*ConsumerBeat)) error {
	e := ConsumerBeat{Member: m.id, Epoch: m.epoch, Rebalance: -1, Owned: m.own}
	if m.epoch == joining {
		e.Rebalance, e.Names, e.Owned = time.Minute, []string{"t"}, Parts{}
	}
	if change != nil {
		change(&e)
	}
	told := answer(func(done func(ConsumerTold)) { l.ConsumerHeartbeat("g", e, done) })
	if told.Err == nil {
		m.epoch = told.Epoch
		if told.Assigned != nil {
			m.own = told.Assigned
			m.told++
		}
	}
	return told.Err
}

// settleAll has members speak until all are where they shall be.
func settled(t *testing.T, l *leader, members ...*consuming) {
	t.Helper()
	for range 10 {
		for _, m := range members {
			if err := m.speak(l, nil); err != nil {
				t.Fatalf("member %s at %d: %v", m.id, m.epoch, err)
			}
		}
		if l.consumers().State == "Stable" {
			return
		}
		time.Sleep(time.Second)
	}
	t.Fatalf("the group stays %+v", l.consumers())
}

func (l *leader) consumers() ConsumerDescription {
	return answer(func(done func(ConsumerDescription)) {
		l.DescribeConsumer("g", func(d ConsumerDescription, _ error) { done(d) })
	})
}

func (l *leader) listed() Listed {
	all := answer(func(done func([]Listed)) { l.List(func(all []Listed, _ error) { done(all) }) })
	if len(all) != 1 {
		l.t.Fatalf("listed: %+v", all)
	}
	return all[0]
}

// TestConsumersOutliveTheirCoordinator: nobody notices that another agent coordinates the group.
func TestConsumersOutliveTheirCoordinator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		facts := mem.New()
		old := lead(t, facts, 1)
		defer old.Close()
		a, b := &consuming{id: "a"}, &consuming{id: "b"}
		settled(t, old, a, b)
		if a.own.Len() != 2 || b.own.Len() != 2 {
			t.Fatalf("assigned %v, %v", a.own, b.own)
		}
		if g := old.listed(); g.Type != records.ConsumerGroup || g.State != "Stable" || g.Kind != "consumer" {
			t.Errorf("listed: %+v", g)
		}
		epoch, told := a.epoch, a.told+b.told
		now := lead(t, facts, 2)
		defer now.Close()
		settled(t, now, a, b)
		for _, m := range []*consuming{a, b} {
			if err := m.speak(now, func(e *ConsumerBeat) { e.Owned = nil }); err != nil {
				t.Error(err)
			}
		}
		if a.epoch != epoch || b.epoch != epoch || a.told+b.told != told {
			t.Errorf("a new coordinator: epochs %d, %d, before %d; told %d times, before %d", a.epoch, b.epoch, epoch, a.told+b.told, told)
		}
		if err := a.speak(old, nil); err == nil { // what changes nothing a zombie may answer; what changes something it cannot
			if err := a.speak(old, func(e *ConsumerBeat) { e.Names = []string{"u"} }); !errors.Is(err, ErrNotCoordinator) {
				t.Errorf("the zombie takes a change: %v", err)
			}
		}
		time.Sleep(50 * time.Second) // both sessions end
		if g := now.listed(); g.State != "Empty" {
			t.Errorf("all have gone: %+v", g)
		}
	})
}

// slow takes its time for a write.
type slow struct {
	metastore.Store
	writes atomic.Int64
}

func (s *slow) Write(ctx context.Context, op metastore.Op) (metastore.Item, error) {
	s.writes.Add(1)
	time.Sleep(5 * time.Millisecond)
	return s.Store.Write(ctx, op)
}

// TestThousandsJoinAtOnce: they share the writes.
func TestThousandsJoinAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 10_000
		facts := &slow{Store: mem.New()}
		l := lead(t, facts, 1)
		defer l.Close()
		l.cat.Store(NewCatalogue(2, []TopicInfo{{"t", topicID(1), n}}))
		told := make(chan ConsumerTold, n)
		for i := range n {
			e := ConsumerBeat{Member: fmt.Sprint(i), Rebalance: time.Minute, Names: []string{"t"}, Owned: Parts{}}
			l.ConsumerHeartbeat("g", e, func(r ConsumerTold) { told <- r })
			if i%100 == 0 {
				time.Sleep(time.Millisecond) // they come within 0.1 s
			}
		}
		for range n {
			if r := <-told; r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		if got := facts.writes.Load(); got > 25 { // a dozen; three times as many if a group of many pages were not stored once in mergeTime
			t.Errorf("%d members cost %d writes", n, got)
		}
		if d := l.consumers(); len(d.Members) != n {
			t.Errorf("%d members", len(d.Members))
		}
		again := lead(t, facts, 2)
		defer again.Close()
		if d := again.consumers(); len(d.Members) != n {
			t.Errorf("%d members after a hand-over", len(d.Members))
		}
	})
}

// TestWhoKeepsWhatIsNotItsOwn: a member that does not give up what it was told to loses its place after its rebalance time-out, and
// not when some session would end.
func TestWhoKeepsWhatIsNotItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := lead(t, mem.New(), 1)
		defer l.Close()
		a, b := &consuming{id: "a"}, &consuming{id: "b"}
		if err := a.speak(l, func(e *ConsumerBeat) { e.Rebalance = 10 * time.Second }); err != nil {
			t.Fatal(err)
		}
		settled(t, l, a)
		all := a.own
		if err := b.speak(l, nil); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		for {
			if err := b.speak(l, nil); err != nil {
				t.Fatal(err)
			}
			if err := a.speak(l, func(e *ConsumerBeat) { e.Owned = all }); errors.Is(err, ErrUnknownMember) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if time.Since(begun) > 12*time.Second {
				t.Fatal("it still is a member")
			}
			time.Sleep(time.Second)
		}
		settled(t, l, b)
		if b.own.Len() != 4 {
			t.Errorf("the other one has %v", b.own)
		}
	})
}

// classicJoin is a member that speaks JoinGroup with what consumers say in it.
func classicJoin() Join {
	says := []byte{0, 1, 0, 0, 0, 1, 0, 1, 't', 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}
	return Join{Protocols: []Protocol{{"cooperative-sticky", says}}}
}

// TestMigration: a classic group goes over when the first member of the newer protocol joins, stays so at another agent, and
// goes back when its last one leaves. Who is refused changes nothing.
func TestMigration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		facts := mem.New()
		l := lead(t, facts, 1)
		defer l.Close()
		c := l.join(classicJoin())
		l.sync(Sync{Member: c.Member, Generation: c.Generation, Assignments: []Assignment{
			{c.Member, embedAssigned(Parts{topicID(1): {0, 1, 2, 3}}, 1, l.cat.Load())}}})
		l.mustMemberCommit(c.Member, c.Generation, 5)
		a := &consuming{id: "a"}
		bad := "["
		if err := a.speak(l, func(e *ConsumerBeat) { e.Regex = &bad }); !errors.Is(err, ErrRegex) {
			t.Errorf("a bad expression: %v", err)
		}
		if g := l.listed(); g.Type != records.ClassicGroup || l.beat(c.Member, c.Generation) != nil {
			t.Errorf("who was refused has changed the group: %+v", g)
		}
		if err := a.speak(l, nil); err != nil {
			t.Fatal(err)
		}
		now := lead(t, facts, 2)
		defer now.Close()
		if g := now.listed(); g.Type != records.ConsumerGroup {
			t.Errorf("after the first of the newer protocol: %+v", g)
		}
		if err := now.beat(c.Member, c.Generation); !errors.Is(err, ErrRebalance) {
			t.Errorf("the classic member is told: %v", err)
		}
		j := classicJoin()
		j.Member = c.Member
		c = now.join(j)
		s := now.sync(Sync{Member: c.Member, Generation: c.Generation})
		if has, _ := parseAssigned(s.Assignment); c.Err != nil || s.Err != nil || len(has["t"]) != 2 {
			t.Errorf("the classic member has %v: %v, %v", has, c.Err, s.Err)
		}
		now.mustMemberCommit(c.Member, c.Generation, 6)
		now.mustFetch(Partition{topicID(1), 0}, 6)
		if err := a.speak(now, func(e *ConsumerBeat) { e.Epoch, e.Owned = leaving, nil }); err != nil {
			t.Fatal(err)
		}
		if g := now.listed(); g.Type != records.ClassicGroup || g.State != "PreparingRebalance" {
			t.Errorf("after the last of the newer protocol: %+v", g)
		}
		now.mustFetch(Partition{topicID(1), 0}, 6)
		if err := a.speak(now, func(e *ConsumerBeat) { e.Epoch = 9 }); !errors.Is(err, ErrUnknownMember) {
			t.Errorf("a heartbeat out of the past: %v", err)
		}
	})
}

func (l *leader) mustMemberCommit(member string, generation int32, offset int64) {
	l.t.Helper()
	err := answer(func(done func(error)) {
		l.Commit("g", Commit{Member: member, Generation: generation, Offsets: map[Partition]records.GroupOffset{{topicID(1), 0}: {Offset: offset}}}, done)
	})
	if err != nil {
		l.t.Fatalf("commit by %s: %v", member, err)
	}
}

// TestMigrationRefused: without a policy for it a group with members stays what it is; an empty one never does.
func TestMigrationRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := lead(t, mem.New(), 1)
		defer l.Close()
		l.cfg.Migration = Migration{}
		c := l.join(classicJoin())
		a := &consuming{id: "a"}
		if err := a.speak(l, nil); !errors.Is(err, ErrOtherType) {
			t.Errorf("into a group with a classic member: %v", err)
		}
		_ = answer(func(done func(Left)) { l.Leave("g", Leave{Leavers: []Leaver{{Member: c.Member}}}, done) })
		settled(t, l, a)
		if err := a.speak(l, func(e *ConsumerBeat) { e.Epoch = leaving }); err != nil {
			t.Fatal(err)
		}
		if g := l.listed(); g.Type != records.ConsumerGroup || g.State != "Empty" {
			t.Errorf("left by all: %+v", g)
		}
		if c := l.join(classicJoin()); c.Err != nil || l.listed().Type != records.ClassicGroup {
			t.Errorf("a classic member joins the empty group: %v, %+v", c.Err, l.listed())
		}
	})
}

// TestConsumerOffsets: who may commit and ask in a group of the newer protocol.
func TestConsumerOffsets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := lead(t, mem.New(), 1)
		defer l.Close()
		a := &consuming{id: "a"}
		settled(t, l, a)
		p := Partition{topicID(1), 0}
		commit := func(member string, epoch int32, epochs bool) error {
			return answer(func(done func(error)) {
				r := Commit{Member: member, Generation: epoch, Epochs: epochs, Offsets: map[Partition]records.GroupOffset{p: {Offset: 3}}}
				l.Coordinator.Commit("g", r, func(refused map[Partition]error, err error) { done(errors.Join(err, refused[p])) })
			})
		}
		for _, c := range []struct {
			member string
			epoch  int32
			epochs bool
			want   error
		}{
			{"a", a.epoch, false, ErrVersion}, {"b", a.epoch, true, ErrUnknownMember}, {"a", a.epoch + 1, true, ErrStaleEpoch}, {"a", 0, true, ErrStaleEpoch},
			{"", -1, true, ErrUnknownMember}, {"a", a.epoch, true, nil},
		} {
			if err := commit(c.member, c.epoch, c.epochs); !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Errorf("commit by %q at %d (%v): %v", c.member, c.epoch, c.epochs, err)
			}
		}
		for _, c := range []struct {
			who  Asker
			want error
		}{{Asker{"a", a.epoch}, nil}, {Asker{"", -1}, nil}, {Asker{"a", a.epoch + 1}, ErrStaleEpoch}, {Asker{"b", 1}, ErrUnknownMember}} {
			err := answer(func(done func(error)) { l.Fetch("g", c.who, func(_ Offsets, err error) { done(err) }) })
			if !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Errorf("fetch by %+v: %v", c.who, err)
			}
		}
		names := map[Partition]string{p: "t", part(0): "gone"}
		each := answer(func(done func(map[Partition]error)) {
			l.DeleteOffsets("g", []Partition{p, part(0)}, names, func(each map[Partition]error, _ error) { done(each) })
		})
		if !errors.Is(each[p], ErrSubscribed) || each[part(0)] != nil {
			t.Errorf("delete offsets: %v", each)
		}
		if err := l.delete(); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("delete with members: %v", err)
		}
		err := answer(func(done func(error)) { l.Describe("g", func(_ Description, err error) { done(err) }) })
		if !errors.Is(err, ErrUnknownGroup) || !strings.Contains(err.Error(), "classic") {
			t.Errorf("described as a classic group: %v", err)
		}
		if err := a.speak(l, func(e *ConsumerBeat) { e.Epoch = leaving }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour) // longer than offsets are kept, and the group that has none
		if err := l.delete(); !errors.Is(err, ErrUnknownGroup) {
			t.Errorf("long after the last member left: %v", err)
		}
	})
}

// TestGroupConfigs: what is set of a group holds at its coordinator soon after, whoever set it.
func TestGroupConfigs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		facts := mem.New()
		l, other := lead(t, facts, 1), lead(t, facts, 0)
		defer l.Close()
		defer other.Close()
		a := &consuming{id: "a"}
		settled(t, l, a)
		set := func(ms string) {
			t.Helper()
			err := other.AlterConfigs(t.Context(), "g", func(own map[string]string) (map[string]string, error) {
				if own["consumer.session.timeout.ms"] = ms; ms == "" {
					delete(own, "consumer.session.timeout.ms")
				}
				return own, nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		outlives := func(d time.Duration) bool {
			t.Helper()
			for range 8 { // until the coordinator has heard of it
				if err := a.speak(l, nil); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Second)
			}
			_ = a.speak(l, nil)
			time.Sleep(d)
			return a.speak(l, nil) == nil
		}
		set("60000")
		if own, err := l.Configs(t.Context(), "g"); err != nil || own["consumer.session.timeout.ms"] != "60000" {
			t.Errorf("%v, %v", own, err)
		}
		if names, err := l.Configured(t.Context()); err != nil || fmt.Sprint(names) != "[g]" {
			t.Errorf("%v, %v", names, err)
		}
		if !outlives(55 * time.Second) {
			t.Error("a session of 60 s ended before")
		}
		set("")
		if own, err := l.Configs(t.Context(), "g"); err != nil || len(own) != 0 {
			t.Errorf("%v, %v", own, err)
		}
		if outlives(55 * time.Second) {
			t.Error("a session of 45 s went on for 55 s")
		}
		failed := errors.New("no")
		if err := l.AlterConfigs(t.Context(), "g", func(map[string]string) (map[string]string, error) { return nil, failed }); !errors.Is(err, failed) {
			t.Errorf("what the change refuses: %v", err)
		}
		if err := l.AlterConfigs(t.Context(), "", nil); !errors.Is(err, ErrGroupID) {
			t.Errorf("of no group: %v", err)
		}
	})
}
