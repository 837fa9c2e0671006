package group

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/fault"
	"github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/records"
)

// TestExpiryMeetsCommit: offsets are looked for that expired while a commit is being gathered or written: what is acked then stays.
func TestExpiryMeetsCommit(t *testing.T) {
	for name, c := range map[string]struct {
		stored int64         // when the offset before was committed, seconds before now; 0: there is none
		after  time.Duration // how long after the commit came they are looked for
	}{
		"first, written": {0, 100 * time.Millisecond}, "written": {7200, 100 * time.Millisecond}, "gathered": {7200, 10 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := lead(t, fault.New(mem.New(), fault.Plan{Hook: func(c fault.Call) fault.Action {
					if c.Op == fault.Write || c.Op == fault.Transact {
						return fault.Action{Do: fault.Pass, Delay: 50 * time.Millisecond}
					}
					return fault.Action{Do: fault.Pass}
				}}), 1)
				defer l.Close()
				commit := func(at, offset int64, done func(error)) {
					l.Commit("g", Commit{Generation: -1, Offsets: map[Partition]records.GroupOffset{part(0): {Offset: offset, At: at}}}, done)
				}
				now := time.Now().Unix()
				if c.stored > 0 {
					if err := answer(func(done func(error)) { commit(now-c.stored, 5, done) }); err != nil {
						t.Fatal(err)
					}
				}
				acked := make(chan error, 1)
				commit(now, 6, func(err error) { acked <- err })
				time.Sleep(c.after)
				l.send("g", message{serve: (*actor).expire, fail: func(error) {}, gone: func() {}})
				if err := <-acked; err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				l.mustFetch(part(0), 6)
			})
		})
	}
}

// TestDroppedTopicOfGroupAtRest: a deleted topic's offsets go, also of groups that are not in memory. Those of other topics stay.
func TestDroppedTopicOfGroupAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		facts := mem.New()
		l := lead(t, facts, 1)
		defer l.Close()
		gone, other := uuid.UUID{2}, uuid.UUID{3}
		for _, topic := range []uuid.UUID{gone, other} {
			o := records.GroupOffset{Offset: 7, At: time.Now().Unix()}
			r := Commit{Generation: -1, Offsets: map[Partition]records.GroupOffset{{topic, 0}: o, {topic, 64}: o}}
			if err := answer(func(done func(error)) {
				l.Coordinator.Commit("g", r, func(_ map[Partition]error, err error) { done(err) })
			}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * idleTime)
		l.DropTopic(gone)
		time.Sleep(time.Minute)
		s := &store{facts: facts, cluster: "c", slot: Slot("g", testSlots), group: "g"}
		for topic, want := range map[uuid.UUID]int{gone: 0, other: 2} {
			rows, err := s.rows(t.Context(), records.GroupOffsetsPrefix+topic.String(), metastore.Consistent)
			if err != nil || len(rows) != want {
				t.Errorf("topic %v has %d pages, want %d: %v", topic, len(rows), want, err)
			}
		}
		l.mustFetch(Partition{other, 64}, 7)
	})
}

// TestOffsetsOfUnreadTopicsExpire: those of topics that no member reads expire while the group lives, so long after they were committed;
// those of topics that are read, or that this agent does not know, stay. In both protocols.
func TestOffsetsOfUnreadTopicsExpire(t *testing.T) {
	read, unread, unknown := Partition{topicID(1), 0}, Partition{topicID(2), 70}, Partition{topicID(3), 0}
	for _, newer := range []bool{false, true} {
		t.Run(map[bool]string{false: "classic", true: "consumer"}[newer], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := lead(t, mem.New(), 1)
				defer l.Close()
				l.cat.Store(NewCatalogue(2, []TopicInfo{{"t", read.Topic, 4}, {"u", unread.Topic, 80}}))
				commit := func(p Partition) {
					t.Helper()
					r := Commit{Generation: -1, Offsets: map[Partition]records.GroupOffset{p: {Offset: 5, At: time.Now().Unix()}}}
					if err := answer(func(done func(error)) { l.Commit("g", r, done) }); err != nil {
						t.Fatal(err)
					}
				}
				for _, p := range []Partition{read, unread, unknown} {
					commit(p)
				}
				time.Sleep(20 * time.Minute)
				m := l.join(Join{}) // that there was nobody after it does not count once there is
				_ = answer(func(done func(Left)) { l.Leave("g", Leave{Leavers: []Leaver{{Member: m.Member}}}, done) })
				time.Sleep(10 * time.Minute)
				commit(Partition{unread.Topic, 3})
				live := l.member(newer, "t")
				live(25 * time.Minute)
				l.mustFetch(unread, 5)
				live(10 * time.Minute)
				for p, want := range map[Partition]int64{unread: -1, {unread.Topic, 3}: 5, read: 5, unknown: 5} {
					l.mustFetch(p, want)
				}
				live(time.Hour)
				for p, want := range map[Partition]int64{{unread.Topic, 3}: -1, read: 5, unknown: 5} {
					l.mustFetch(p, want)
				}
			})
		})
	}
}

// member joins, alone, as a reader of one topic, of either protocol. live has it speak for a while.
func (l *leader) member(newer bool, topic string) (live func(time.Duration)) {
	l.t.Helper()
	beat := func() error { return nil }
	if newer {
		b := ConsumerBeat{Member: "m", Epoch: joining, Rebalance: time.Minute, Names: []string{topic}, Owned: Parts{}}
		beat = func() error {
			told := answer(func(done func(ConsumerTold)) { l.ConsumerHeartbeat("g", b, done) })
			b = ConsumerBeat{Member: "m", Epoch: told.Epoch, Rebalance: -1}
			return told.Err
		}
	} else {
		m := l.join(Join{Protocols: []Protocol{{"range", subscriptionTo(topic)}}})
		if s := l.sync(Sync{Member: m.Member, Generation: m.Generation}); s.Err != nil {
			l.t.Fatal(s.Err)
		}
		beat = func() error { return l.beat(m.Member, m.Generation) }
	}
	return func(d time.Duration) {
		l.t.Helper()
		for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(5 * time.Second) {
			if err := beat(); err != nil {
				l.t.Fatal(err)
			}
		}
	}
}
