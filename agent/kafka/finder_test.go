package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/group"
	"github.com/varvelog/varve/agent/topic"
	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// askedItems is a metastore that counts what is read of it. While it hangs, reads end with their context.
type askedItems struct {
	metastore.Store
	reads atomic.Int64
	hangs atomic.Bool
}

func (s *askedItems) ask(ctx context.Context) error {
	s.reads.Add(1)
	if s.hangs.Load() {
		<-ctx.Done()
		return fmt.Errorf("%w: %w", metastore.ErrUnknown, ctx.Err())
	}
	return nil
}

func (s *askedItems) Get(ctx context.Context, key metastore.Key, c metastore.Consistency) (metastore.Item, error) {
	if err := s.ask(ctx); err != nil {
		return nil, err
	}
	return s.Store.Get(ctx, key, c)
}

func (s *askedItems) Query(ctx context.Context, q metastore.Query) (metastore.Page, error) {
	if err := s.ask(ctx); err != nil {
		return metastore.Page{}, err
	}
	return s.Store.Query(ctx, q)
}

// namesOf makes requests of every kind that look topics up by their names.
func namesOf(names []string) []kmsg.Request {
	list, epochs, commit, fetch, forget, describe := kmsg.NewPtrListOffsetsRequest(), kmsg.NewPtrOffsetForLeaderEpochRequest(),
		kmsg.NewPtrOffsetCommitRequest(), kmsg.NewPtrOffsetFetchRequest(), kmsg.NewPtrOffsetDeleteRequest(), kmsg.NewPtrDescribeProducersRequest()
	drop := kmsg.NewPtrDeleteRecordsRequest()
	list.Version, list.ReplicaID, epochs.Version, commit.Version, fetch.Version, drop.Version = 7, -1, 4, 8, 7, 2
	commit.Group, fetch.Group, forget.Group, commit.Generation = "g", "g", "g", -1
	for _, name := range names {
		list.Topics = append(list.Topics, kmsg.ListOffsetsRequestTopic{Topic: name, Partitions: []kmsg.ListOffsetsRequestTopicPartition{{Timestamp: -1, CurrentLeaderEpoch: -1}}})
		epochs.Topics = append(epochs.Topics, kmsg.OffsetForLeaderEpochRequestTopic{Topic: name, Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{{}}})
		commit.Topics = append(commit.Topics, kmsg.OffsetCommitRequestTopic{Topic: name, Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Offset: 7}}})
		fetch.Topics = append(fetch.Topics, kmsg.OffsetFetchRequestTopic{Topic: name, Partitions: []int32{0}})
		forget.Topics = append(forget.Topics, kmsg.OffsetDeleteRequestTopic{Topic: name, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{}}})
		describe.Topics = append(describe.Topics, kmsg.DescribeProducersRequestTopic{Topic: name, Partitions: []int32{0}})
		drop.Topics = append(drop.Topics, kmsg.DeleteRecordsRequestTopic{Topic: name, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{}}})
	}
	return []kmsg.Request{list, epochs, commit, fetch, forget, describe, drop}
}

// idsOf are the requests about offsets, by ids of topics.
func idsOf(n int) []kmsg.Request {
	all := namesOf(manyNames("", n))[2:4]
	commit, fetch := all[0].(*kmsg.OffsetCommitRequest), kmsg.NewPtrOffsetFetchRequest()
	commit.Version, fetch.Version = 10, 10
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = "g"
	for i := range commit.Topics {
		commit.Topics[i].TopicID = uuid.New()
		g.Topics = append(g.Topics, kmsg.OffsetFetchRequestGroupTopic{TopicID: uuid.New(), Partitions: []int32{0}})
	}
	fetch.Groups = append(fetch.Groups, g)
	return []kmsg.Request{commit, fetch}
}

func manyNames(prefix string, n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprint(prefix, i))
	}
	return names
}

// TestUnknownTopicsCostFewReads: a request names thousands of topics that are not there. It costs a few reads of the store, whatever
// request it is.
func TestUnknownTopicsCostFewReads(t *testing.T) {
	items := &askedItems{}
	w := newWorld(t, option{items: items})
	c := w.dial()
	for i := range namesOf(nil) {
		before := items.reads.Load()
		req := namesOf(manyNames(fmt.Sprint("no-", i, "-"), 3000))[i] // a name is asked for once a second
		receive[kmsg.Response](c, req, c.send(req))
		if n := items.reads.Load() - before; n > maxFinds+4 {
			t.Errorf("%s: %d reads", kmsg.NameForKey(req.Key()), n)
		}
	}
}

// TestUnknownTopicsWaitOnce: while the store does not answer, a request waits for findTime in all, not for each topic.
func TestUnknownTopicsWaitOnce(t *testing.T) {
	items := &askedItems{}
	w := newWorld(t, option{items: items})
	w.topic("t", 1)
	items.hangs.Store(true)
	var sent []func()
	for _, req := range append(namesOf(manyNames("no", 40)), idsOf(40)...) {
		c := w.dial()
		id := c.send(req)
		sent = append(sent, func() {
			switch r := receive[kmsg.Response](c, req, id).(type) {
			case *kmsg.OffsetCommitResponse:
				for _, rt := range r.Topics {
					if code := rt.Partitions[0].ErrorCode; code != codeCoordinatorLoadInProgress {
						t.Errorf("commit for %s: code %d: some clients give up on it", rt.Topic, code)
					}
				}
			case *kmsg.OffsetFetchResponse:
				code := r.ErrorCode
				if r.Version >= 8 {
					code = r.Groups[0].ErrorCode
				}
				if code != codeCoordinatorLoadInProgress {
					t.Errorf("offsets: code %d, %d topics: a consumer would begin elsewhere", code, len(r.Topics))
				}
			}
		})
	}
	for _, wait := range sent { // none of which waits for 40 times findTime: frames have a deadline
		wait()
	}
}

// TestManyNewTopicsAreFound: another agent has made more topics than are looked for by name; whoever asks is told of all.
func TestManyNewTopicsAreFound(t *testing.T) {
	w := newWorld(t, option{})
	other := topic.New(w.facts, w.s.log, topic.Options{Cluster: "c", Slots: testSlots, Poll: time.Second, Settings: w.topics.Settings()})
	must(t, other.Load(t.Context()))
	names := manyNames("new", 3*maxFinds)
	for _, name := range names {
		_, err := other.Create(t.Context(), topic.Spec{Name: name, Partitions: 1})
		must(t, err)
	}
	resp := call[*kmsg.ListOffsetsResponse](w.dial(), namesOf(names)[0])
	for _, rt := range resp.Topics {
		if p := rt.Partitions[0]; p.ErrorCode != codeNone || p.Offset != 0 {
			t.Errorf("%s: %+v", rt.Topic, p)
		}
	}
}

// TestAllOffsetsOfATopicOfAnotherAgent: whoever asks for all that a group has committed is told of topics, too, that another agent made
// and that this one has not heard of, as after a fail-over.
func TestAllOffsetsOfATopicOfAnotherAgent(t *testing.T) {
	items := &askedItems{}
	w := newWorld(t, option{items: items})
	other := topic.New(w.facts, w.s.log, topic.Options{Cluster: "c", Slots: testSlots, Poll: time.Second, Settings: w.topics.Settings()})
	must(t, other.Load(t.Context()))
	top, err := other.Create(t.Context(), topic.Spec{Name: "new", Partitions: 1})
	must(t, err)
	done := make(chan error, 1)
	at := map[group.Partition]records.GroupOffset{{Topic: top.ID}: {Offset: 7, Epoch: -1}}
	w.groups.Commit("g", group.Commit{Generation: -1, Offsets: at}, func(_ map[group.Partition]error, err error) { done <- err })
	must(t, <-done)
	all := kmsg.NewPtrOffsetFetchRequest()
	all.Version, all.Group, all.Topics = 7, "g", nil
	got := call[*kmsg.OffsetFetchResponse](w.dial(), all)
	if len(got.Topics) != 1 || got.Topics[0].Topic != "new" || got.Topics[0].Partitions[0].Offset != 7 {
		t.Errorf("%+v", got)
	}
	items.hangs.Store(true)
	if got := call[*kmsg.OffsetFetchResponse](w.dial(), all); got.ErrorCode != codeCoordinatorLoadInProgress {
		t.Errorf("while the store hangs: code %d, %d topics", got.ErrorCode, len(got.Topics))
	}
}

// TestUnknownIDBesideADamagedTopic: the item of a topic does not decode. Ids that no topic has are still unknown, and a group's offsets of
// others are told beside them.
func TestUnknownIDBesideADamagedTopic(t *testing.T) {
	w := newWorld(t, option{})
	top := w.topic("t", 1)
	_, err := w.facts.Write(t.Context(), metastore.Op{
		Kind: metastore.OpPut, Key: records.Cluster("c").TopicKey("damaged"), Set: metastore.Item{records.AttrState: metastore.S("no state")},
	})
	must(t, err)
	w.topics.Find(t.Context(), "damaged")
	if err := w.topics.CatchUp(t.Context()); !errors.Is(err, records.ErrBadItem) {
		t.Fatalf("catch up: %v", err)
	}
	all := idsOf(2)
	commit, fetch := all[0].(*kmsg.OffsetCommitRequest), all[1].(*kmsg.OffsetFetchRequest)
	commit.Topics[1].TopicID, fetch.Groups[0].Topics[1].TopicID = top.ID, top.ID
	for i, want := range []int16{codeUnknownTopicID, codeNone} {
		if got := call[*kmsg.OffsetCommitResponse](w.dial(), commit).Topics[i].Partitions[0]; got.ErrorCode != want {
			t.Errorf("commit %d: code %d, want %d", i, got.ErrorCode, want)
		}
		got := call[*kmsg.OffsetFetchResponse](w.dial(), fetch).Groups[0]
		if got.ErrorCode != codeNone {
			t.Fatalf("offsets: code %d", got.ErrorCode)
		}
		if p := got.Topics[i].Partitions[0]; p.ErrorCode != want || want == codeNone && p.Offset != 7 {
			t.Errorf("offset %d: %+v, want code %d", i, p, want)
		}
	}
}

// TestOffsetsOfAStoreThatHangs: the group itself cannot be read. Java before 4.0 takes COORDINATOR_NOT_AVAILABLE for the end here.
func TestOffsetsOfAStoreThatHangs(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("t", 1)
	w.s.deps.Groups = unreadGroups{w.groups}
	req := namesOf([]string{"t"})[3].(*kmsg.OffsetFetchRequest)
	if got := call[*kmsg.OffsetFetchResponse](w.dial(), req); got.ErrorCode != codeCoordinatorLoadInProgress {
		t.Errorf("code %d", got.ErrorCode)
	}
}

// unreadGroups are groups that cannot be read.
type unreadGroups struct{ Groups }

func (unreadGroups) Fetch(_ string, _ group.Asker, done func(group.Offsets, error)) {
	done(group.Offsets{}, fmt.Errorf("read the group: %w", group.ErrUnavailable))
}
