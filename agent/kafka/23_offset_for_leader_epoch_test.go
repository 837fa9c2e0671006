package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/cluster"
	"github.com/varvelog/varve/agent/topic"
)

// asked is what consumers ask of a partition that they follow.
func asked(c *client, top *topic.Topic) map[string]int16 {
	return map[string]int16{
		"Fetch":                fetched(call[*kmsg.FetchResponse](c, fetchingFrom(16, top, 0)), 0).ErrorCode,
		"ListOffsets":          listed(call[*kmsg.ListOffsetsResponse](c, listing(7, "t", tsLatest))).ErrorCode,
		"OffsetForLeaderEpoch": endOf(c, 4, testEpoch, -1).ErrorCode,
	}
}

// While a slot is on its way, from another agent, being opened here, or to another agent, whoever asks is told to ask again, at once:
// never that an epoch is unknown or that an offset is out of range, for which a client would start anew. Once it is led elsewhere a Fetch
// is told where.
func TestConsumersAskWhileASlotMoves(t *testing.T) {
	w := newWorld(t, option{auto: true})
	top := w.topic("t", 1)
	c := w.dial()
	if p := produced(call[*kmsg.ProduceResponse](c, producing(10, "t", batch(t, 10, 1)))); p.ErrorCode != 0 {
		t.Fatalf("%+v", p)
	}
	again := map[int16]bool{codeNotLeaderOrFollower: true, codeOffsetNotAvailable: true}
	expect := func(when string, fine func(int16) bool) {
		t.Helper()
		for name, code := range asked(c, top) {
			if !fine(code) {
				t.Errorf("%s: %s is answered with %d", when, name, code)
			}
		}
	}
	expect("led", func(code int16) bool { return code == codeNone })
	w.drain()
	expect("to be handed over", func(code int16) bool { return code == codeNone }) // reads go on
	w.leave()
	w.elsewhere()
	expect("led elsewhere", func(code int16) bool { return code == codeNotLeaderOrFollower })
	if f := fetched(call[*kmsg.FetchResponse](c, fetchingFrom(16, top, 0)), 0); f.CurrentLeader.LeaderID != other.ID || f.CurrentLeader.LeaderEpoch != testEpoch+1 {
		t.Errorf("%+v", f)
	}
	w.node.change(func(v *cluster.View) {
		for i := range v.Slots {
			v.Slots[i] = cluster.Leader{Node: testNode, Epoch: testEpoch + 2}
		}
	})
	expect("on its way here", func(code int16) bool { return again[code] })
	epochs := map[uint16]int32{}
	for slot := range uint16(testSlots) {
		epochs[slot] = testEpoch + 2
	}
	must(t, w.set.Begin(w.set.NewFold(), epochs))
	expect("being opened", func(code int16) bool { return again[code] })
}
