package kafka

import (
	"math"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/cluster"
)

func metadataOf(version int16, names ...string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Version, req.Topics = version, []kmsg.MetadataRequestTopic{}
	for _, n := range names {
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = &n
		req.Topics = append(req.Topics, rt)
	}
	return req
}

func TestME1WhichTopics(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("a", 1)
	w.topic("b", 2)
	c := w.dial()
	for v := int16(0); v <= 13; v++ {
		none := call[*kmsg.MetadataResponse](c, metadataOf(v))
		want := 0
		if v == 0 {
			want = 2
		}
		if len(none.Topics) != want || len(none.Brokers) != 1 {
			t.Errorf("v%d, empty list: %d topics, %d brokers", v, len(none.Topics), len(none.Brokers))
		}
		if v == 0 {
			continue
		}
		req := metadataOf(v)
		req.Topics = nil
		all := call[*kmsg.MetadataResponse](c, req)
		if len(all.Topics) != 2 || *all.Topics[0].Topic != "a" || len(all.Topics[1].Partitions) != 2 || all.ControllerID != testNode {
			t.Errorf("v%d, null: %+v", v, all)
		}
	}
	twice := call[*kmsg.MetadataResponse](c, metadataOf(9, "a", "b", "a"))
	if len(twice.Topics) != 2 {
		t.Errorf("a name twice: %d topics", len(twice.Topics))
	}
}

func TestME2Creation(t *testing.T) {
	for _, auto := range []string{"true", "false"} {
		w := newWorld(t, option{settings: map[string]string{"auto.create.topics.enable": auto, "num.partitions": "3"}})
		c := w.dial()
		ask := func(version int16, name string, flag bool) kmsg.MetadataResponseTopic {
			req := metadataOf(version, name)
			req.AllowAutoTopicCreation = flag
			return call[*kmsg.MetadataResponse](c, req).Topics[0]
		}
		for v := int16(0); v <= 13; v++ {
			name := "t" + strings.Repeat("x", int(v))
			if r := ask(v, name, false); v >= 4 && (r.ErrorCode != codeUnknownTopicOrPartition || r.TopicID != [16]byte{}) {
				t.Errorf("v%d without the flag: %+v", v, r)
			}
			r := ask(v, name, true)
			if made := auto == "true"; made != (r.ErrorCode == 0) || made != (len(r.Partitions) == 3) {
				t.Errorf("v%d, setting %s: %+v", v, auto, r)
			}
			if v >= 10 && (auto == "true") != (r.TopicID != [16]byte{}) { // D7
				t.Errorf("v%d: id %v", v, r.TopicID)
			}
		}
		for _, name := range []string{"", ".", "..", "a b", strings.Repeat("x", 250)} {
			if r := ask(9, name, true); r.ErrorCode != codeInvalidTopic {
				t.Errorf("name %q: %+v", name, r)
			}
		}
	}
}

func TestME3WithoutALeader(t *testing.T) {
	w := newWorld(t, option{})
	top := w.topic("t", 1)
	c := w.dial()
	ask := func() kmsg.MetadataResponseTopicPartition {
		return call[*kmsg.MetadataResponse](c, metadataOf(9, "t")).Topics[0].Partitions[0]
	}
	if p := ask(); p.ErrorCode != 0 || p.Leader != testNode || p.LeaderEpoch != testEpoch || len(p.Replicas) != 1 || len(p.ISR) != 1 { // D5, ME11
		t.Errorf("with a leader: %+v", p)
	}
	for _, l := range []cluster.Leader{{Node: -1, Epoch: 9}, {Node: -1, Epoch: -1}, {Node: 77, Epoch: 9}} { // 77 is not among the nodes
		w.node.change(func(v *fakeView) { v.Slots[top.Slots[0]] = l })
		if p := ask(); p.ErrorCode != codeLeaderNotAvailable || p.Leader != -1 || p.LeaderEpoch != l.Epoch {
			t.Errorf("leader %+v: %+v", l, p)
		}
	}
}

func TestME10LookUpByID(t *testing.T) {
	w := newWorld(t, option{})
	top := w.topic("t", 1)
	c := w.dial()
	req := metadataOf(12, "t")
	req.Topics[0].Topic, req.Topics[0].TopicID = nil, top.ID
	if r := call[*kmsg.MetadataResponse](c, req).Topics[0]; r.ErrorCode != 0 || r.Topic == nil || *r.Topic != "t" || r.TopicID != top.ID {
		t.Errorf("by id: %+v", r)
	}
	req.Topics[0].TopicID[3]++
	if r := call[*kmsg.MetadataResponse](c, req).Topics[0]; r.ErrorCode != codeUnknownTopicID || r.Topic != nil {
		t.Errorf("by an unknown id: %+v", r)
	}
	req.Version = 11
	if r := call[*kmsg.MetadataResponse](c, req).Topics[0]; r.ErrorCode != codeInvalidRequest {
		t.Errorf("v11: %+v", r)
	}
}

func TestME12ME13Nodes(t *testing.T) {
	w := newWorld(t, option{})
	w.node.change(func(v *fakeView) {
		v.Nodes = append(v.Nodes, cluster.Node{ID: 2, Host: "b", Port: 7})
		v.Controller = 2
	})
	resp := call[*kmsg.MetadataResponse](w.dial(), metadataOf(12))
	if len(resp.Brokers) != 2 || resp.ControllerID != 2 || resp.Brokers[1].Host != "b" || resp.Brokers[1].Rack != nil || *resp.Brokers[0].Rack != "z1" { // RK4
		t.Errorf("answer %+v", resp)
	}
}

func TestME14AuthorizedOperations(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("t", 1)
	req := metadataOf(8, "t")
	resp := call[*kmsg.MetadataResponse](w.dial(), req)
	if resp.AuthorizedOperations != math.MinInt32 || resp.Topics[0].AuthorizedOperations != math.MinInt32 {
		t.Errorf("not asked for: %d, %d", resp.AuthorizedOperations, resp.Topics[0].AuthorizedOperations)
	}
	req.IncludeClusterAuthorizedOperations, req.IncludeTopicAuthorizedOperations = true, true
	resp = call[*kmsg.MetadataResponse](w.dial(), req)
	if resp.AuthorizedOperations != 8096 || resp.Topics[0].AuthorizedOperations != 3576 { // Kafka's values
		t.Errorf("asked for: %d, %d", resp.AuthorizedOperations, resp.Topics[0].AuthorizedOperations)
	}
}
