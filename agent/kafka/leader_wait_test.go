package kafka

import (
	"context"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/cluster"
	"github.com/varvelog/varve/agent/group"
)

// loses says that all slots have lost their leader at a moment.
func (f *fakeCluster) loses(since time.Time) {
	f.change(func(v *cluster.View) {
		v.Lost = map[uint16]time.Time{}
		for i := range v.Slots {
			v.Slots[i].Node, v.Lost[uint16(i)] = -1, since
		}
	})
}

// gains says that another agent leads slots now, at the next epoch; all of them if none is named.
func (f *fakeCluster) gains(slots ...uint16) {
	f.change(func(v *cluster.View) {
		lost := map[uint16]time.Time{}
		for slot, since := range v.Lost {
			lost[slot] = since
		}
		if slots == nil {
			for i := range v.Slots {
				slots = append(slots, uint16(i))
			}
		}
		for _, slot := range slots {
			v.Slots[slot] = cluster.Leader{Node: other.ID, Epoch: testEpoch + 1}
			delete(lost, slot)
		}
		v.Nodes, v.Lost = append(v.Nodes, other), lost
	})
}

// waitingForLeaders waits until n requests wait for the next leaders of slots.
func (w *world) waitingForLeaders(n int) {
	w.t.Helper()
	eventually(w.t, "waiting for leaders", func() bool {
		w.s.leaders.mu.Lock()
		defer w.s.leaders.mu.Unlock()
		return w.s.leaders.n == n
	})
}

// waitLong has leaders and slots waited for as long as a slow machine may take for a test.
func waitLong(s *Server) {
	s.leaders.longest, s.leaders.find, s.waits.longest = time.Minute, time.Minute, time.Minute
}

// Metadata and FindCoordinator of clients that ask while slots have no leader are answered with the next one. Others of the connection
// are admitted meanwhile.
func TestMetadataWaitsForTheNextLeader(t *testing.T) {
	w := newWorld(t, option{before: waitLong})
	w.topic("t", 3)
	for v := int16(1); v <= 13; v += 4 {
		w.node.loses(time.Now())
		named, all, find := metadataOf(v, "t"), allOf(v), kmsg.NewPtrFindCoordinatorRequest()
		find.Version, find.CoordinatorKey, find.CoordinatorKeys = min(v, 6), "g", []string{"g"}
		c, d, e := w.dial(), w.dial(), w.dial()
		atNamed, atAll, atFind := c.send(named), d.send(all), e.send(find)
		w.waitingForLeaders(3)
		w.node.gains()
		for _, m := range []*kmsg.MetadataResponse{receive[*kmsg.MetadataResponse](c, named, atNamed), receive[*kmsg.MetadataResponse](d, all, atAll)} {
			for _, p := range m.Topics[0].Partitions {
				if p.ErrorCode != 0 || p.Leader != other.ID || v >= 7 && p.LeaderEpoch != testEpoch+1 {
					t.Errorf("v%d: %+v", v, p)
				}
			}
		}
		found := receive[*kmsg.FindCoordinatorResponse](e, find, atFind)
		if find.Version >= 4 && (len(found.Coordinators) != 1 || found.Coordinators[0].NodeID != other.ID) || find.Version < 4 && found.NodeID != other.ID {
			t.Errorf("v%d: %+v", find.Version, found)
		}
		w.waitingForLeaders(0)
	}
}

// An agent that stops lets those go who wait, with what it knows.
func TestLeadersAreNotAwaitedByAnAgentThatStops(t *testing.T) {
	w := newWorld(t, option{before: waitLong})
	w.topic("t", 1)
	w.node.loses(time.Now())
	c, req := w.dial(), metadataOf(12, "t")
	corr := c.send(req)
	w.waitingForLeaders(1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // less than it would wait
	defer cancel()
	must(t, w.s.Shutdown(ctx))
	if p := receive[*kmsg.MetadataResponse](c, req, corr).Topics[0].Partitions[0]; p.ErrorCode != codeLeaderNotAvailable || p.Leader != -1 {
		t.Errorf("%+v", p)
	}
}

// Who asks for what is not lost, or was lost too long ago, is not kept waiting.
func TestPatience(t *testing.T) {
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	v := &cluster.View{Slots: make([]cluster.Leader, 8), Lost: map[uint16]time.Time{
		1: now, 2: now.Add(-300 * time.Millisecond), 3: now.Add(-leaderTime), 4: now.Add(-time.Hour), 5: {},
	}}
	for _, c := range []struct {
		asked []uint16
		want  time.Duration
	}{
		{nil, 0}, {[]uint16{0, 6, 7}, 0}, {[]uint16{1}, leaderTime}, {[]uint16{2}, 700 * time.Millisecond}, {[]uint16{3}, 0}, {[]uint16{4}, 0},
		{[]uint16{5}, 0}, {[]uint16{0, 3, 2, 5}, 700 * time.Millisecond}, {[]uint16{4, 2, 1}, leaderTime}, {[]uint16{99}, 0},
	} {
		asked := askedSlots{}
		for _, slot := range c.asked {
			asked[slot] = struct{}{}
		}
		if got := patience(v, now, asked, leaderTime); got != c.want {
			t.Errorf("slots %v: %v, want %v", c.asked, got, c.want)
		}
	}
	for _, lost := range []map[uint16]time.Time{nil, {3: now.Add(-leaderTime), 5: {}}} {
		if losing(&cluster.View{Lost: lost}, now, leaderTime) {
			t.Errorf("losing %v", lost)
		}
	}
	if !losing(v, now, leaderTime) {
		t.Error("nothing is being lost")
	}
}

// A request is about the slots of its topics, or of its groups, and of no others.
func TestAskedSlots(t *testing.T) {
	w := newWorld(t, option{before: waitLong})
	a, b := w.topic("a", 2), w.topic("b", 3)
	if asked := w.s.metadataSlots(w.node.View(), allOf(12)); asked != nil {
		t.Errorf("with nothing lost: %v", asked)
	}
	w.node.loses(time.Now())
	v := w.node.View()
	byID := metadataOf(12, "x")
	byID.Topics[0].Topic, byID.Topics[0].TopicID = nil, b.ID
	for _, c := range []struct {
		what string
		got  askedSlots
		want []uint16
	}{
		{"all", w.s.metadataSlots(v, allOf(12)), append(append([]uint16{}, a.Slots...), b.Slots...)},
		{"a", w.s.metadataSlots(v, metadataOf(12, "a")), a.Slots},
		{"b by its id", w.s.metadataSlots(v, byID), b.Slots},
		{"none", w.s.metadataSlots(v, metadataOf(12)), nil},
		{"unknown", w.s.metadataSlots(v, metadataOf(12, "x")), nil},
		{"groups", w.s.coordinatorSlots(v, finding(4, 0, "g", "h")), []uint16{group.Slot("g", testSlots), group.Slot("h", testSlots)}},
		{"a group", w.s.coordinatorSlots(v, finding(1, 0, "g")), []uint16{group.Slot("g", testSlots)}},
		{"transactions", w.s.coordinatorSlots(v, finding(4, 1, "g")), nil},
	} {
		want := askedSlots{}
		for _, slot := range c.want {
			want[slot] = struct{}{}
		}
		if !maps.Equal(c.got, want) {
			t.Errorf("%s: %v, want %v", c.what, c.got, want)
		}
	}
}

func finding(version int16, kind int8, keys ...string) *kmsg.FindCoordinatorRequest {
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.Version, req.CoordinatorType, req.CoordinatorKey, req.CoordinatorKeys = version, kind, keys[0], keys
	if version >= 4 {
		req.CoordinatorKey = ""
	} else {
		req.CoordinatorKeys = nil
	}
	return req
}

// waitFor runs awaitLeaders for slots 0 and 1, calls meanwhile, and returns how long it took.
func waitFor(t *testing.T, s *Server, ctx context.Context, meanwhile func()) time.Duration {
	t.Helper()
	begun, took := time.Now(), make(chan time.Duration)
	go func() {
		s.awaitLeaders(ctx, askedSlots{0: {}, 1: {}}, s.leaders.longest)
		took <- time.Since(begun)
	}()
	synctest.Wait()
	meanwhile()
	return <-took
}

// The wait ends when the last of the slots has a leader, when they have been lost for long enough, or when the client is gone; and there
// are only so many.
func TestLeadersAreAwaitedWithinBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		s := New(Config{}, Deps{Cluster: f})
		pass := func(d time.Duration) { time.Sleep(d); synctest.Wait() }
		f.loses(time.Now())
		if took := waitFor(t, s, t.Context(), func() {}); took != leaderTime {
			t.Errorf("nobody leads: waited for %v", took)
		}
		if took := waitFor(t, s, t.Context(), func() {}); took != 0 {
			t.Errorf("nobody leads for long: waited for %v", took)
		}
		f.loses(time.Now().Add(-400 * time.Millisecond))
		took := waitFor(t, s, t.Context(), func() {
			pass(100 * time.Millisecond)
			f.gains(1)
			pass(100 * time.Millisecond)
			f.loses(time.Now()) // again
			pass(100 * time.Millisecond)
			f.gains(0, 1)
		})
		if took < 300*time.Millisecond || took > 300*time.Millisecond+leaderLook {
			t.Errorf("led after 300 ms: waited for %v", took)
		}
		f.loses(time.Now().Add(time.Hour))
		if took := waitFor(t, s, t.Context(), func() {}); took != leaderTime {
			t.Errorf("lost again and again: waited for %v", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if took := waitFor(t, s, ctx, func() { pass(7 * time.Millisecond); cancel() }); took != 7*time.Millisecond {
			t.Errorf("the client goes after 7 ms: waited for %v", took)
		}
		waits := func(n int) {
			s.leaders.mu.Lock()
			defer s.leaders.mu.Unlock()
			s.leaders.n = n
		}
		waits(maxLeaderWaits)
		if took := waitFor(t, s, t.Context(), func() {}); took != 0 {
			t.Errorf("too many wait: waited for %v", took)
		}
		waits(0)
		pass(leaderLook)
		s.leaders.mu.Lock()
		defer s.leaders.mu.Unlock()
		if s.leaders.changed != nil {
			t.Error("somebody looks for nobody")
		}
		s.wg.Wait()
	})
}
