package kafka

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/cluster"
	"github.com/varvelog/varve/objstore/bundle"
)

// other is an agent that is not this one.
var other = cluster.Node{ID: 2, Name: "b", Host: "b.example.com", Port: 9, Zone: "z2"}

// elsewhere says that another agent leads all slots, at the next epoch.
func (w *world) elsewhere() {
	w.node.change(func(v *cluster.View) {
		v.Nodes = append(v.Nodes, other)
		for i := range v.Slots {
			v.Slots[i] = cluster.Leader{Node: other.ID, Epoch: testEpoch + 1}
		}
	})
}

// waiting waits until n requests wait for slots.
func (w *world) waiting(n int) {
	w.t.Helper()
	for deadline := time.Now().Add(hangTime); ; time.Sleep(time.Millisecond) {
		got := 0
		w.s.waits.mu.Lock()
		for _, s := range w.s.waits.slots {
			got += s.n
		}
		w.s.waits.mu.Unlock()
		if got == n {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%d requests wait for slots, want %d", got, n)
		}
	}
}

func (w *world) drain() {
	for slot := range uint16(testSlots) {
		must(w.t, w.set.Drain(slot, testEpoch))
	}
}

func (w *world) leave() {
	for slot := range uint16(testSlots) {
		w.set.Leave(slot, testEpoch)
	}
}

// A batch for a slot that is being handed over waits; when another agent leads it, the answer says who and where. A connection that
// asks for something else is not held.
func TestProduceWaitsForTheNewLeader(t *testing.T) {
	w := newWorld(t, option{auto: true})
	w.topic("t", 1)
	w.drain()
	c := w.dial()
	req := producing(10, "t", batch(t, 10, 1))
	corr := c.send(req)
	w.waiting(1)
	if m := call[*kmsg.MetadataResponse](w.dial(), kmsg.NewPtrMetadataRequest()); len(m.Brokers) != 1 {
		t.Errorf("%+v", m)
	}
	w.leave()
	w.waiting(1) // who leads is not known yet
	w.elsewhere()
	resp := receive[*kmsg.ProduceResponse](c, req, corr)
	p := produced(resp)
	if p.ErrorCode != codeNotLeaderOrFollower || p.CurrentLeader.LeaderID != other.ID || p.CurrentLeader.LeaderEpoch != testEpoch+1 {
		t.Errorf("%+v", p)
	}
	if len(resp.Brokers) != 1 || resp.Brokers[0].Host != other.Host {
		t.Errorf("%+v", resp.Brokers)
	}
	w.waiting(0)
}

// A batch for a slot that is on its way to this agent, or is being opened here, waits and is appended, in the order of the
// connection.
func TestProduceWaitsForTheSlot(t *testing.T) {
	w := newWorld(t, option{auto: true})
	w.topic("t", 1)
	w.drain()
	w.leave()
	w.node.change(func(v *cluster.View) {
		v.Nodes = append(v.Nodes, other)
		for i := range v.Slots {
			v.Slots[i] = cluster.Leader{Node: other.ID, Epoch: testEpoch, Want: "a"}
		}
	})
	c := w.dial()
	req := producing(10, "t", batch(t, 10, 1))
	first := c.send(req)
	w.waiting(1)
	c.send(req) // behind it, in the same reader
	epochs := map[uint16]int32{}
	var ops []bundle.Op
	for slot := range uint16(testSlots) {
		epochs[slot] = testEpoch + 1
		ops = append(ops, bundle.Op{Kind: bundle.OpSlotOpen, Slot: slot, Epoch: testEpoch + 1})
	}
	w.set.Begin(w.set.NewFold(), epochs)
	w.waiting(1) // being opened
	must(t, w.set.Committed(bundle.Object{Kind: bundle.WAL, Session: w.wal.session}, &bundle.Footer{Ops: ops}))
	for i := range int32(2) {
		if p := produced(receive[*kmsg.ProduceResponse](c, req, first+i)); p.ErrorCode != 0 || p.BaseOffset != int64(10*i) {
			t.Errorf("request %d: %+v", i, p)
		}
	}
}

// A slot that goes nowhere is not waited for for ever, and not by every request of a connection.
func TestProduceGivesUpWaiting(t *testing.T) {
	w := newWorld(t, option{auto: true})
	w.topic("t", 1)
	w.drain()
	c := w.dial()
	for range 3 {
		req := producing(10, "t", batch(t, 1, 1))
		req.TimeoutMillis = 20
		if p := produced(call[*kmsg.ProduceResponse](c, req)); p.ErrorCode != codeNotLeaderOrFollower || p.CurrentLeader.LeaderID >= 0 {
			t.Errorf("%+v", p)
		}
	}
	w.waiting(0)
	for slot := range uint16(testSlots) {
		w.set.Resume(slot, testEpoch)
	}
	if p := produced(call[*kmsg.ProduceResponse](c, producing(10, "t", batch(t, 1, 1)))); p.ErrorCode != 0 || p.BaseOffset != 0 {
		t.Errorf("after the hand-over was given up: %+v", p)
	}
}

// A result that was awaited when the session ended names the next leader, if it is known by then.
func TestSessionEndsWithAHint(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("t", 1)
	c := w.dial()
	req := producing(10, "t", batch(t, 1, 1))
	corr := c.send(req)
	eventually(t, "appended", func() bool { return w.wal.queued() == 1 })
	w.elsewhere()
	w.wal.abandon()
	if p := produced(receive[*kmsg.ProduceResponse](c, req, corr)); p.ErrorCode != codeNotLeaderOrFollower || p.CurrentLeader.LeaderID != other.ID {
		t.Errorf("%+v", p)
	}
}

// heartbeating is the heartbeat of a member that nobody knows.
func heartbeating(group string) *kmsg.HeartbeatRequest {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID = group, "m"
	return req
}

// membersRequests is one of each that a member sends.
func membersRequests() []kmsg.Request {
	leave, beat, commit := kmsg.NewPtrLeaveGroupRequest(), kmsg.NewPtrConsumerGroupHeartbeatRequest(), kmsg.NewPtrOffsetCommitRequest()
	leave.Group, beat.Group, beat.MemberID, commit.Group = "g", "g", "m", "g"
	old, fetch := kmsg.NewPtrOffsetFetchRequest(), kmsg.NewPtrOffsetFetchRequest()
	old.Group, old.Version, commit.Version = "g", 7, 8
	fetch.Groups = append(fetch.Groups, kmsg.OffsetFetchRequestGroup{Group: "g"})
	fetch.Version = 8
	return []kmsg.Request{joining("g", "", nil), syncing("g", "m", 1, nil), heartbeating("g"), leave, beat, commit, old, fetch}
}

// What members ask while the slot of their group has no leader waits for the next one: they are told to look for it when it is known. An
// admin's question does not wait.
func TestMembersWaitForTheNextCoordinator(t *testing.T) {
	w := newWorld(t, option{auto: true, before: waitLong})
	w.leave()
	for slot := range uint16(testSlots) {
		w.groups.Lose(slot, testEpoch)
	}
	w.node.change(func(v *cluster.View) {
		for i := range v.Slots {
			v.Slots[i].Node = -1
		}
	})
	all := membersRequests()
	var clients []*client
	for _, req := range all {
		c := w.dial()
		c.send(req)
		clients = append(clients, c)
	}
	w.waiting(len(all))
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Groups = []string{"g"}
	if code := call[*kmsg.DescribeGroupsResponse](w.dial(), describe).Groups[0].ErrorCode; code != codeNotCoordinator {
		t.Errorf("described with code %d", code)
	}
	w.elsewhere()
	for i, c := range clients {
		if h, ok := all[i].(*kmsg.HeartbeatRequest); ok {
			if code := receive[*kmsg.HeartbeatResponse](c, h, 1).ErrorCode; code != codeNotCoordinator {
				t.Errorf("the heartbeat is answered with %d", code)
			}
			continue
		}
		_, err := c.frame()
		must(t, err)
	}
	w.waiting(0)
}

// What members ask while the slot of their group is opened here waits until the groups are coordinated, which is a little later.
func TestMembersWaitForTheSlot(t *testing.T) {
	w := newWorld(t, option{auto: true, before: waitLong})
	w.leave()
	epochs := map[uint16]int32{}
	var ops []bundle.Op
	for slot := range uint16(testSlots) {
		w.groups.Lose(slot, testEpoch)
		epochs[slot] = testEpoch + 1
		ops = append(ops, bundle.Op{Kind: bundle.OpSlotOpen, Slot: slot, Epoch: testEpoch + 1})
	}
	c, req := w.dial(), heartbeating("g")
	corr := c.send(req)
	w.waiting(1)
	must(t, w.set.Begin(w.set.NewFold(), epochs))
	must(t, w.set.Committed(bundle.Object{Kind: bundle.WAL, Session: w.wal.session}, &bundle.Footer{Ops: ops}))
	for range 3 {
		time.Sleep(slotLook) // time for a look, and for two more
		w.waiting(1)
	}
	w.groups.Lead(epochs)
	if code := receive[*kmsg.HeartbeatResponse](c, req, corr).ErrorCode; code != codeUnknownMemberID {
		t.Errorf("the heartbeat is answered with %d", code)
	}
	for slot := range uint16(testSlots) {
		must(t, w.set.Drain(slot, testEpoch+1)) // its groups are coordinated until it has left
	}
	if code := call[*kmsg.HeartbeatResponse](c, req).ErrorCode; code != codeUnknownMemberID {
		t.Errorf("while the slot is handed over the heartbeat is answered with %d", code)
	}
}
