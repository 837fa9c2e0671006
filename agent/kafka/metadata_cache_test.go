package kafka

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/cluster"
)

func allOf(version int16) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Version = version
	return req
}

// TestMetadataIsEncodedOnce: whoever asks what was asked before, in the same version and while nothing changed, gets the same
// bytes without another encoding.
func TestMetadataIsEncodedOnce(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("a", 3)
	w.topic("b", 2)
	made := func(want int64, what string) {
		t.Helper()
		if got := w.s.known.made.Load(); got != want {
			t.Errorf("%s: %d answers encoded, want %d", what, got, want)
		}
	}
	first, second := w.dial(), w.dial()
	want := first.exchange(encode(allOf(12), 7))
	for range 3 {
		for _, c := range []*client{first, second} {
			if got := c.exchange(encode(allOf(12), 7)); !bytes.Equal(got, want) {
				t.Errorf("%x, want %x", got, want)
			}
		}
	}
	made(1, "the same")
	call[*kmsg.MetadataResponse](first, allOf(11))
	made(2, "another version")
	ops := allOf(12)
	ops.IncludeTopicAuthorizedOperations = true
	call[*kmsg.MetadataResponse](first, ops)
	made(3, "with operations")
	for range 2 {
		call[*kmsg.MetadataResponse](first, metadataOf(12, "a"))
		call[*kmsg.MetadataResponse](second, metadataOf(12, "a", "b"))
		call[*kmsg.MetadataResponse](second, metadataOf(12, "ab"))
		call[*kmsg.MetadataResponse](second, metadataOf(12))
	}
	made(6, "named; one that is not there is looked for each time")
	create := allOf(12)
	create.AllowAutoTopicCreation = true
	call[*kmsg.MetadataResponse](first, create)
	made(6, "a flag that changes nothing")
}

// TestMetadataFollowsChanges: after a change no old answer is sent.
func TestMetadataFollowsChanges(t *testing.T) {
	w := newWorld(t, option{settings: map[string]string{"auto.create.topics.enable": "false"}})
	top := w.topic("a", 2)
	c, made := w.dial(), int64(0)
	ask := func(after string) *kmsg.MetadataResponse {
		t.Helper()
		resp := call[*kmsg.MetadataResponse](c, allOf(12))
		call[*kmsg.MetadataResponse](c, allOf(12))
		if made++; w.s.known.made.Load() != made {
			t.Errorf("after %s: %d answers encoded, want %d", after, w.s.known.made.Load(), made)
		}
		return resp
	}
	if resp := ask("the start"); len(resp.Topics) != 1 || resp.Topics[0].Partitions[0].Leader != testNode {
		t.Errorf("%+v", resp)
	}
	w.topic("b", 1)
	if resp := ask("a creation"); len(resp.Topics) != 2 {
		t.Errorf("after a creation: %+v", resp)
	}
	_, err := w.topics.AddPartitions(t.Context(), "a", 3, false)
	must(t, err)
	if resp := ask("new partitions"); len(resp.Topics[0].Partitions) != 3 {
		t.Errorf("after new partitions: %+v", resp)
	}
	w.node.change(func(v *cluster.View) {
		v.Nodes = append(v.Nodes, cluster.Node{ID: 2, Host: "b", Port: 7})
		v.Slots[top.Slots[0]] = cluster.Leader{Node: 2, Epoch: testEpoch + 1}
	})
	if p := ask("another leader").Topics[0].Partitions[0]; p.Leader != 2 || p.LeaderEpoch != testEpoch+1 {
		t.Errorf("after another leader: %+v", p)
	}
	must(t, w.topics.Delete(t.Context(), "a"))
	if resp := ask("a deletion"); len(resp.Topics) != 1 || *resp.Topics[0].Topic != "b" {
		t.Errorf("after a deletion: %+v", resp)
	}
	if r := call[*kmsg.MetadataResponse](c, metadataOf(12, "a")).Topics[0]; r.ErrorCode != codeUnknownTopicOrPartition {
		t.Errorf("the deleted topic: %+v", r)
	}
	if w.s.known.made.Load() != made {
		t.Error("what is not there is kept")
	}
}

// check fails if the cache holds more than it may, or counts wrong.
func (m *metadataCache) check(t *testing.T) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	sum := int64(0)
	for key, e := range m.mu.entries {
		if e.kept != int64(len(key)+cap(e.get().body)+metadataEntryCost) {
			t.Errorf("an entry counts %d bytes", e.kept)
		}
		sum += e.kept
	}
	if sum != m.mu.bytes || sum > m.limit {
		t.Errorf("%d bytes kept, %d counted, limit %d", sum, m.mu.bytes, m.limit)
	}
}

// TestMetadataCacheIsBounded: however many sets of topics are asked for, and however large an answer is.
func TestMetadataCacheIsBounded(t *testing.T) {
	w := newWorld(t, option{before: func(s *Server) { s.known = newMetadataCache(4 << 10) }})
	var names []string
	for i := range 20 {
		names = append(names, fmt.Sprintf("topic-%02d", i))
		w.topic(names[i], 1)
	}
	w.topic("wide", 200) // more than 4 KiB by itself
	c := w.dial()
	for round := range 2 {
		for n := range names {
			if got := call[*kmsg.MetadataResponse](c, metadataOf(12, names[:n+1]...)); len(got.Topics) != n+1 || *got.Topics[n].Topic != names[n] {
				t.Fatalf("%d names: %+v", n+1, got)
			}
			w.s.known.check(t)
		}
		before := w.s.known.made.Load()
		for range 2 {
			if got := call[*kmsg.MetadataResponse](c, metadataOf(12, "wide")); len(got.Topics[0].Partitions) != 200 {
				t.Errorf("%d partitions", len(got.Topics[0].Partitions))
			}
		}
		if got := w.s.known.made.Load() - before; got != 2 {
			t.Errorf("round %d: an answer that is too large to keep was encoded %d times", round, got)
		}
		w.s.known.check(t)
	}
	w.s.known.mu.Lock()
	defer w.s.known.mu.Unlock()
	if len(w.s.known.mu.entries) == 0 {
		t.Error("nothing is kept")
	}
}

// TestMetadataStampede: after a change many clients ask at once, and one of them encodes.
func TestMetadataStampede(t *testing.T) {
	w := newWorld(t, option{})
	for i := range 50 {
		w.topic(strings.Repeat("t", i+1), 20)
	}
	var all sync.WaitGroup
	for range 40 {
		c := w.dial()
		all.Go(func() {
			if got := c.exchange(encode(allOf(9), 1)); len(got) < 50*20*20 {
				t.Errorf("%d bytes", len(got))
			}
		})
	}
	all.Wait()
	if got := w.s.known.made.Load(); got != 1 {
		t.Errorf("encoded %d times", got)
	}
}

// TestMetadataCountsErrors: errors are counted for each answer, encoded or not.
func TestMetadataCountsErrors(t *testing.T) {
	w := newWorld(t, option{})
	c := w.dial()
	for range 3 {
		if r := call[*kmsg.MetadataResponse](c, metadataOf(9, "no name")); r.Topics[0].ErrorCode != codeInvalidTopic {
			t.Errorf("%+v", r)
		}
	}
	m := w.s.lookup(3).m
	m.mu.Lock()
	defer m.mu.Unlock()
	if got := counterValue(m.byCode[codeInvalidTopic]); got != 3 || w.s.known.made.Load() != 1 {
		t.Errorf("%v errors counted, %d encoded", got, w.s.known.made.Load())
	}
}
