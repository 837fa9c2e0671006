package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/cluster"
	"github.com/varvelog/varve/agent/topic"
)

// producingTo and fetchingFrom are producing and fetching of a topic by name or by id, as the version has it.
func producingTo(version int16, top *topic.Topic, batches ...[]byte) *kmsg.ProduceRequest {
	req := producing(version, top.Name, batches...)
	req.Topics[0].TopicID = top.ID
	return req
}

func fetchingFrom(version int16, top *topic.Topic, offsets ...int64) *kmsg.FetchRequest {
	req := fetching(version, top.Name, offsets...)
	req.Topics[0].TopicID = top.ID
	return req
}

// TestD7EveryVersionByID: versions from 13 on do by id what the others do by name, and answer in the same way.
func TestD7EveryVersionByID(t *testing.T) {
	w := newWorld(t, option{auto: true, cache: 16 << 20})
	top := w.topic("t", 2)
	c := w.dial()
	b := batch(t, 3, 100)
	for i, v := range []int16{11, 12, 13} {
		resp := call[*kmsg.ProduceResponse](c, producingTo(v, top, b))
		if p := produced(resp); p.ErrorCode != 0 || p.BaseOffset != int64(3*i) {
			t.Fatalf("produce v%d: %+v", v, p)
		}
		if rt := resp.Topics[0]; (v >= 13) != (rt.TopicID == top.ID) || (v >= 13) != (rt.Topic == "") {
			t.Errorf("produce v%d: topic %q, id %x", v, rt.Topic, rt.TopicID)
		}
	}
	for v := int16(4); v <= 18; v++ {
		req := fetchingFrom(v, top, 4, 0)
		req.ReplicaID, req.ReplicaState.ID = 7, 7 // any replica is a consumer
		req.Topics[0].Partitions[0].ReplicaDirectoryID, req.Topics[0].Partitions[0].HighWatermark = uuid.New(), 1
		resp := call[*kmsg.FetchResponse](c, req)
		if rt := resp.Topics[0]; (v >= 13) != (rt.TopicID == top.ID) || (v >= 13) != (rt.Topic == "") || len(rt.Partitions) != 2 {
			t.Fatalf("fetch v%d: %+v", v, rt)
		}
		f, none := fetched(resp, 0), fetched(resp, 1)
		if f.ErrorCode != 0 || f.HighWatermark != 9 || len(f.RecordBatches) != 2*len(b) || !bytes.Equal(f.RecordBatches[16:len(b)], b[16:]) {
			t.Errorf("fetch v%d: code %d, hw %d, %d bytes", v, f.ErrorCode, f.HighWatermark, len(f.RecordBatches))
		}
		if none.RecordBatches == nil || none.HighWatermark != 0 || f.PreferredReadReplica != -1 || f.CurrentLeader.LeaderID != -1 { // FE4
			t.Errorf("fetch v%d, nothing there: %+v", v, none)
		}
	}
}

// TestFE13PR12UnknownIDs: unknown ids and the zero id are UNKNOWN_TOPIC_ID; what else the request asks for is served.
func TestFE13PR12UnknownIDs(t *testing.T) {
	w, c := loaded(t, option{}, 1, 1)
	top := w.topics.Lookup("t")
	other, zero := *top, *top
	other.ID[5]++
	zero.ID = uuid.Nil
	for v := int16(13); v <= 18; v++ {
		req := fetchingFrom(v, top, 0, 0)
		req.Topics = append(req.Topics, fetchingFrom(v, &other, 0).Topics[0], fetchingFrom(v, &zero, 0).Topics[0])
		resp := call[*kmsg.FetchResponse](c, req)
		if len(resp.Topics) != 3 || resp.ErrorCode != 0 {
			t.Fatalf("v%d: %+v", v, resp)
		}
		if f := fetched(resp, 0); f.ErrorCode != 0 || len(f.RecordBatches) == 0 { // FE15
			t.Errorf("v%d: %+v", v, f)
		}
		if f := fetched(resp, 1); f.ErrorCode != codeUnknownTopicOrPartition {
			t.Errorf("v%d, index beyond: %+v", v, f)
		}
		for i, id := range [][16]byte{other.ID, zero.ID} {
			rt := resp.Topics[1+i]
			if p := rt.Partitions[0]; rt.TopicID != id || p.ErrorCode != codeUnknownTopicID || p.HighWatermark != -1 || p.RecordBatches == nil {
				t.Errorf("v%d, id %x: %+v", v, id, rt)
			}
		}
	}
	for _, id := range []*topic.Topic{&other, &zero} {
		resp := call[*kmsg.ProduceResponse](c, producingTo(13, id, batch(t, 1, 1)))
		if p := produced(resp); resp.Topics[0].TopicID != id.ID || p.ErrorCode != codeUnknownTopicID || p.BaseOffset != -1 { // PR13
			t.Errorf("produce to id %x: %+v", id.ID, resp)
		}
	}
	two := producingTo(13, top, batch(t, 1, 1), batch(t, 1, 1))
	if p := call[*kmsg.ProduceResponse](c, two).Topics[0].Partitions; p[0].ErrorCode != 0 || p[1].ErrorCode != codeUnknownTopicOrPartition {
		t.Errorf("produce to an index beyond: %+v", p)
	}
}

// TestME10NewTopicNewID: the id of a deleted topic stays unknown when one of its name is made again.
func TestME10NewTopicNewID(t *testing.T) {
	w, c := loaded(t, option{}, 1, 1)
	old := w.topics.Lookup("t")
	must(t, w.topics.Delete(t.Context(), "t"))
	top := w.topic("t", 1)
	if top.ID == old.ID {
		t.Fatal("the same id")
	}
	if f := fetched(call[*kmsg.FetchResponse](c, fetchingFrom(13, old, 0)), 0); f.ErrorCode != codeUnknownTopicID {
		t.Errorf("fetch, old id: %+v", f)
	}
	if p := produced(call[*kmsg.ProduceResponse](c, producingTo(13, old, batch(t, 1, 1)))); p.ErrorCode != codeUnknownTopicID {
		t.Errorf("produce, old id: %+v", p)
	}
	if f := fetched(call[*kmsg.FetchResponse](c, fetchingFrom(13, top, 0)), 0); f.ErrorCode != 0 || f.HighWatermark != 0 {
		t.Errorf("fetch, new id: %+v", f)
	}
}

// TestFS5SessionsByID: a session names topics in one way; the id of a topic that was made again is unknown in it, and says so
// every time.
func TestFS5SessionsByID(t *testing.T) {
	w, producer := loaded(t, option{cfg: Config{SessionMin: 2}}, 2, 1)
	top := w.topics.Lookup("t")
	c := w.dial()
	req := fetchingFrom(13, top, 1, 1)
	req.SessionEpoch = 0
	full := call[*kmsg.FetchResponse](c, req)
	if full.SessionID == 0 || len(full.Topics) != 1 || len(full.Topics[0].Partitions) != 2 {
		t.Fatalf("full: %+v", full)
	}
	next := kmsg.NewPtrFetchRequest()
	next.Version, next.SessionID, next.SessionEpoch, next.MaxBytes, next.MinBytes = 12, full.SessionID, 1, 1<<20, 1
	if resp := call[*kmsg.FetchResponse](c, next); resp.ErrorCode != codeFetchSessionTopicID || len(resp.Topics) != 0 {
		t.Errorf("by name: %+v", resp)
	}
	call[*kmsg.ProduceResponse](producer, producingTo(13, top, batch(t, 1, 1)))
	next.Version = 18
	if resp := call[*kmsg.FetchResponse](c, next); len(resp.Topics) != 1 || resp.Topics[0].TopicID != top.ID || len(fetched(resp, 0).RecordBatches) == 0 {
		t.Errorf("new records: %+v", resp)
	}
	next.SessionEpoch, next.ForgottenTopics = 2, []kmsg.FetchRequestForgottenTopic{{TopicID: top.ID, Partitions: []int32{1}}}
	next.Topics = fetchingFrom(18, top, 2).Topics
	call[*kmsg.FetchResponse](c, next)
	if n := w.s.sessions.Load(); n != 1 {
		t.Errorf("%d partitions in sessions", n)
	}
	must(t, w.topics.Delete(t.Context(), "t"))
	w.topic("t", 2)
	next.Topics, next.ForgottenTopics = nil, nil
	for next.SessionEpoch = 3; next.SessionEpoch < 5; next.SessionEpoch++ {
		if resp := call[*kmsg.FetchResponse](c, next); len(resp.Topics) != 1 || fetched(resp, 0).ErrorCode != codeUnknownTopicID || resp.Topics[0].TopicID != top.ID {
			t.Errorf("made again: %+v", resp)
		}
	}
}

// TestME8FetchHint: from version 16 on a Fetch that came to the wrong agent, or with an old epoch, is told the leader, if its
// epoch is news to the client.
func TestME8FetchHint(t *testing.T) {
	w := newWorld(t, option{})
	top := w.topic("t", 1)
	c := w.dial()
	hint := func(v int16, epoch int32) (code int16, node, at int32, host string) {
		t.Helper()
		req := fetchingFrom(v, top, 0)
		req.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch
		resp := call[*kmsg.FetchResponse](c, req)
		f := fetched(resp, 0)
		if (f.CurrentLeader.LeaderID >= 0) != (len(resp.Brokers) == 1) {
			t.Errorf("v%d: leader %+v, nodes %+v", v, f.CurrentLeader, resp.Brokers)
		}
		if len(resp.Brokers) > 0 {
			host = resp.Brokers[0].Host
		}
		return f.ErrorCode, f.CurrentLeader.LeaderID, f.CurrentLeader.LeaderEpoch, host
	}
	for v := int16(12); v <= 18; v++ {
		code, node, at, _ := hint(v, testEpoch-1)
		if code != codeFencedLeaderEpoch || (v >= 16) != (node == testNode && at == testEpoch) {
			t.Errorf("v%d, fenced: code %d, leader %d at %d", v, code, node, at)
		}
		if code, node, _, _ := hint(v, testEpoch+1); code != codeUnknownLeaderEpoch || node != -1 {
			t.Errorf("v%d, from the future: code %d, leader %d", v, code, node)
		}
	}
	w.wal.abandon()
	if code, node, _, _ := hint(16, -1); code != codeNotLeaderOrFollower || node != -1 {
		t.Errorf("a hint at itself: code %d, leader %d", code, node)
	}
	w.node.change(func(v *cluster.View) {
		v.Slots[top.Slots[0]] = cluster.Leader{Node: 2, Epoch: testEpoch + 1}
		v.Nodes = append(v.Nodes, cluster.Node{ID: 2, Host: "other", Port: 9, Zone: "z2"})
	})
	for v := int16(12); v <= 18; v++ {
		for _, epoch := range []int32{-1, testEpoch, testEpoch + 1} {
			code, node, at, host := hint(v, epoch)
			want := v >= 16 && epoch <= testEpoch
			if code != codeNotLeaderOrFollower || want != (node == 2 && at == testEpoch+1 && host == "other") || !want && node != -1 {
				t.Errorf("v%d, client at %d: code %d, leader %d at %d on %q", v, epoch, code, node, at, host)
			}
		}
	}
}

// TestIDOfAnotherAgent: an id that is not known here is looked for among the changes in the store, by one at a time and not
// all the time.
func TestIDOfAnotherAgent(t *testing.T) {
	w := newWorld(t, option{auto: true, cache: 1 << 20})
	settings, err := topic.NewSettings(nil)
	must(t, err)
	other := topic.New(w.facts, slog.New(slog.DiscardHandler), topic.Options{Cluster: "c", Slots: testSlots, Poll: time.Second, Settings: settings})
	must(t, other.Load(t.Context()))
	c := w.dial()
	asked := func(at time.Time) {
		w.s.ids.turn <- struct{}{}
		w.s.ids.last = at
		<-w.s.ids.turn
	}
	create := func(name string) *topic.Topic {
		t.Helper()
		top, err := other.Create(context.Background(), topic.Spec{Name: name, Partitions: 1})
		must(t, err)
		asked(time.Time{})
		return top
	}
	if p := produced(call[*kmsg.ProduceResponse](c, producingTo(13, create("a"), batch(t, 1, 1)))); p.ErrorCode != 0 {
		t.Errorf("produce: %+v", p)
	}
	if f := fetched(call[*kmsg.FetchResponse](c, fetchingFrom(13, create("b"), 0)), 0); f.ErrorCode != 0 || f.HighWatermark != 0 {
		t.Errorf("fetch: %+v", f)
	}
	md := metadataOf(12, "")
	md.Topics[0].Topic, md.Topics[0].TopicID = nil, create("d").ID
	if !metadataWaits(w.s, md) {
		t.Error("metadata: the reader would wait for the store")
	}
	if r := call[*kmsg.MetadataResponse](c, md).Topics[0]; r.ErrorCode != 0 || *r.Topic != "d" {
		t.Errorf("metadata: %+v", r)
	}
	e := create("e")
	asked(time.Now().Add(time.Hour)) // a moment ago
	if p := produced(call[*kmsg.ProduceResponse](c, producingTo(13, e, batch(t, 1, 1)))); p.ErrorCode != codeUnknownTopicID {
		t.Errorf("produce, right after another search: %+v", p)
	}
}

func TestTransactionsStayRefused(t *testing.T) {
	w := newWorld(t, option{})
	top := w.topic("t", 1)
	for v := int16(12); v <= 13; v++ { // TX7: no partition joins a transaction by the way
		req := producingTo(v, top, batch(t, 1, 1))
		req.TransactionID = ptr("tx")
		if p := produced(call[*kmsg.ProduceResponse](w.dial(), req)); p.ErrorCode != codeTransactionalIDAuthFailed || p.ErrorMessage == nil {
			t.Errorf("v%d: %+v", v, p)
		}
	}
	if n := w.wal.queued(); n != 0 {
		t.Errorf("%d batches appended", n)
	}
}

// versions notes the highest version of each key that a client sends.
type versions struct {
	mu  sync.Mutex
	top map[int16]int16
}

type notedConn struct {
	net.Conn
	v *versions
}

func (c notedConn) Write(b []byte) (int, error) {
	if len(b) >= 8 {
		key, version := int16(binary.BigEndian.Uint16(b[4:])), int16(binary.BigEndian.Uint16(b[6:]))
		c.v.mu.Lock()
		c.v.top[key] = max(c.v.top[key], version)
		c.v.mu.Unlock()
	}
	return c.Conn.Write(b)
}

// TestD7Kgo: a current client takes the versions with ids as soon as they are told, and produces and consumes with them.
func TestD7Kgo(t *testing.T) {
	w := newWorld(t, option{auto: true, cache: 64 << 20})
	w.topic("t", 4)
	v := &versions{top: map[int16]int16{}}
	dial := kgo.Dialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, network, addr)
		return notedConn{nc, v}, err
	})
	ctx, cancel := context.WithTimeout(context.Background(), hangTime)
	defer cancel()
	produceAndConsume(ctx, w, "t", 400, []kgo.Opt{dial})
	consumer := w.kgo(dial, kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	for n := 0; n < 400; {
		fs := consumer.PollFetches(ctx)
		must(t, fs.Err())
		n += fs.NumRecords()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for key, want := range map[int16]int16{0: 13, 1: 18, 3: 13, 18: 5} {
		if v.top[key] != want {
			t.Errorf("key %d: version %d was used, want %d", key, v.top[key], want)
		}
	}
}
