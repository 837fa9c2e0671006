package kafka

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/topic"
	factsmem "github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// filled is a request of n array elements, in the highest version.
func filled(t *testing.T, key int16, n int) kmsg.Request {
	t.Helper()
	req := kmsg.RequestForKey(key)
	req.SetVersion(req.MaxVersion())
	switch req := req.(type) {
	case *kmsg.ProduceRequest:
		req.Version = 13
		req.Topics = []kmsg.ProduceRequestTopic{{Partitions: make([]kmsg.ProduceRequestTopicPartition, n-1)}}
	case *kmsg.FetchRequest:
		req.Topics = []kmsg.FetchRequestTopic{{Partitions: make([]kmsg.FetchRequestTopicPartition, n-1)}}
		for i := range req.Topics[0].Partitions {
			req.Topics[0].Partitions[i].Default() // without, there is a tagged field in each
		}
	case *kmsg.MetadataRequest:
		req.Version, req.Topics = 13, make([]kmsg.MetadataRequestTopic, n)
	case *kmsg.DescribeTopicPartitionsRequest:
		req.Topics = make([]kmsg.DescribeTopicPartitionsRequestTopic, n)
	default:
		t.Fatalf("key %d", key)
	}
	return req
}

// TestCapsOfElements: as many topics and partitions as a request may have are taken, and one more is not.
func TestCapsOfElements(t *testing.T) {
	s := New(Config{}, Deps{})
	for key, most := range map[int16]int{keyProduce: maxElements, keyFetch: maxElements, 3: maxElements, 75: maxAdmin} {
		decode := func(n int) error {
			req := filled(t, key, n)
			return s.lookup(key).decodes(cursor{b: req.AppendTo(nil), flex: true}, req.GetVersion())
		}
		if err := decode(most); err != nil {
			t.Errorf("key %d, %d elements: %v", key, most, err)
		}
		if err := decode(most + 1); !errors.Is(err, errMalformed) {
			t.Errorf("key %d, %d elements: %v", key, most+1, err)
		}
	}
	c := newWorld(t, option{}).dial()
	c.send(filled(t, 75, maxAdmin+1))
	c.closed()
}

// TestFetchLooksForSoManyTopics: of many unknown topics a Fetch looks for the first ones in the store; all are answered.
func TestFetchLooksForSoManyTopics(t *testing.T) {
	h := &hanging{gate: make(chan struct{})}
	close(h.gate)
	w := newWorld(t, option{before: func(s *Server) {
		h.Store = factsmem.New()
		s.deps.Topics = topic.New(h, slog.New(slog.DiscardHandler), topic.Options{Cluster: "c", Slots: testSlots, Poll: time.Second, Settings: s.deps.Topics.Settings()})
	}})
	req := fetching(11, "t", 0)
	for i := range 3 * maxFinds {
		req.Topics = append(req.Topics, fetching(11, fmt.Sprint("u", i), 0).Topics[0])
	}
	resp := call[*kmsg.FetchResponse](w.dial(), req)
	if len(resp.Topics) != len(req.Topics) {
		t.Fatalf("%d topics answered", len(resp.Topics))
	}
	for _, rt := range resp.Topics {
		if rt.Partitions[0].ErrorCode != codeUnknownTopicOrPartition {
			t.Errorf("%s: %+v", rt.Topic, rt.Partitions[0])
		}
	}
	if n := h.gets.Load(); n != maxFinds {
		t.Errorf("%d reads", n)
	}
}

// TestSearchForIDsIsRare: however many ids nobody has, in one request and the next, the store is asked for news once in idsEvery.
func TestSearchForIDsIsRare(t *testing.T) {
	w := newWorld(t, option{})
	req := metadataOf(12)
	for i := range 50 {
		rt := kmsg.NewMetadataRequestTopic()
		rt.TopicID = uuid.UUID{9, byte(i)}
		req.Topics = append(req.Topics, rt, rt)
	}
	w.s.ids.turn <- struct{}{}
	w.s.ids.last = time.Now().Add(time.Hour) // a moment ago, until this test is over
	<-w.s.ids.turn
	c := w.dial()
	for range 2 {
		resp := call[*kmsg.MetadataResponse](c, req)
		if len(resp.Topics) != 50 {
			t.Errorf("%d ids answered", len(resp.Topics))
		}
		for i, rt := range resp.Topics {
			if rt.ErrorCode != codeUnknownTopicID || rt.Topic != nil || rt.TopicID != req.Topics[2*i].TopicID {
				t.Errorf("%+v", rt)
			}
		}
	}
	if w.s.known.made.Load() != 0 {
		t.Error("an answer about ids that are not known is kept")
	}
}

// TestRefusedRecordsAreBounded: of the records without a key the first ones are named.
func TestRefusedRecordsAreBounded(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("t", 1, "cleanup.policy", "compact")
	b, err := (&recordbatch.Builder{}).Append(nil, make([]recordbatch.Record, 3*maxRefused))
	must(t, err)
	p := produced(call[*kmsg.ProduceResponse](w.dial(), producing(9, "t", b)))
	if p.ErrorCode != codeInvalidRecord || len(p.ErrorRecords) != maxRefused || p.ErrorRecords[maxRefused-1].RelativeOffset != maxRefused-1 {
		t.Errorf("code %d, %d records", p.ErrorCode, len(p.ErrorRecords))
	}
}

// TestToldProducersAreBounded: partitions whose producers do not fit into the answer say so.
func TestToldProducersAreBounded(t *testing.T) {
	w := newWorld(t, option{auto: true, cache: 1 << 20})
	top, c := w.topic("t", 1), w.dial()
	for pid := range int64(3) {
		call[*kmsg.ProduceResponse](c, producing(9, "t", batch(t, 1, 1, idempotent(pid, 0, 0))))
	}
	if p := w.s.producersOf("t", top, 0, 3); p.ErrorCode != codeNone || len(p.ActiveProducers) != 3 {
		t.Errorf("room for all: %+v", p)
	}
	p := w.s.producersOf("t", top, 0, 2)
	says(t, "no room", p.ErrorCode, codeInvalidRequest, p.ErrorMessage, "ask for fewer")
	if len(p.ActiveProducers) != 0 {
		t.Errorf("%+v", p)
	}
}
