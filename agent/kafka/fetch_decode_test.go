package kafka

import (
	"math/rand/v2"
	"testing"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// read returns the topics of a request as the server goes over them.
func (q *fetchRequest) read() (topics []kmsg.FetchRequestTopic, forgotten []kmsg.FetchRequestForgottenTopic) {
	for w := q.topics; w.topic(); {
		rt := kmsg.FetchRequestTopic{Topic: string(w.name), TopicID: w.id}
		for w.partition() {
			rp := kmsg.NewFetchRequestTopicPartition()
			rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = w.index, w.want.offset, w.want.maxBytes
			rp.CurrentLeaderEpoch, rp.LastFetchedEpoch = w.want.epoch, w.want.lastEpoch
			rt.Partitions = append(rt.Partitions, rp)
		}
		topics = append(topics, rt)
	}
	for w := q.forgotten; w.topic(); {
		ft := kmsg.FetchRequestForgottenTopic{Topic: string(w.name), TopicID: w.id}
		for w.partition() {
			ft.Partitions = append(ft.Partitions, w.index)
		}
		forgotten = append(forgotten, ft)
	}
	return topics, forgotten
}

func compareFetch(t *testing.T, q *fetchRequest, req *kmsg.FetchRequest) {
	t.Helper()
	if q.maxWait != req.MaxWaitMillis || q.minBytes != req.MinBytes || q.maxBytes != req.MaxBytes || q.isolation != req.IsolationLevel ||
		q.sessionID != req.SessionID || q.sessionEpoch != req.SessionEpoch || string(q.rack) != req.Rack {
		t.Fatalf("%+v, want %+v", q, req)
	}
	topics, forgotten := q.read()
	if len(topics) != len(req.Topics) || len(forgotten) != len(req.ForgottenTopics) {
		t.Fatalf("%d topics, %d forgotten; want %d, %d", len(topics), len(forgotten), len(req.Topics), len(req.ForgottenTopics))
	}
	n := 0
	for i := range topics {
		got, want := &topics[i], &req.Topics[i]
		if got.Topic != want.Topic || uuid.UUID(got.TopicID) != uuid.UUID(want.TopicID) || len(got.Partitions) != len(want.Partitions) {
			t.Fatalf("topic %+v, want %+v", got, want)
		}
		for j := range got.Partitions {
			g, w := &got.Partitions[j], &want.Partitions[j]
			if g.Partition != w.Partition || g.FetchOffset != w.FetchOffset || g.PartitionMaxBytes != w.PartitionMaxBytes ||
				g.CurrentLeaderEpoch != w.CurrentLeaderEpoch || g.LastFetchedEpoch != w.LastFetchedEpoch {
				t.Fatalf("partition %+v, want %+v", g, w)
			}
			n++
		}
	}
	if q.parts != n {
		t.Fatalf("%d partitions announced, %d there", q.parts, n)
	}
	for i := range forgotten {
		got, want := &forgotten[i], &req.ForgottenTopics[i]
		if got.Topic != want.Topic || got.TopicID != want.TopicID || len(got.Partitions) != len(want.Partitions) {
			t.Fatalf("forgotten %+v, want %+v", got, want)
		}
		for j := range got.Partitions {
			if got.Partitions[j] != want.Partitions[j] {
				t.Fatalf("forgotten partition %d, want %d", got.Partitions[j], want.Partitions[j])
			}
		}
	}
}

// TestFetchDecode compares the decoder with kmsg, version by version, whole and cut at every byte.
func TestFetchDecode(t *testing.T) {
	var q fetchRequest
	for version := int16(4); version <= 18; version++ {
		r := rand.New(rand.NewPCG(7, uint64(version)))
		for range 80 {
			sent := randomRequest(r, keyFetch, version).(*kmsg.FetchRequest)
			b := sent.AppendTo(nil)
			req := kmsg.NewPtrFetchRequest() // what a version does not say has its default
			req.Version = version
			must(t, req.ReadFrom(b))
			if err := q.decode(cursor{b: b, flex: version >= 12}, version); err != nil {
				t.Fatalf("v%d: %v", version, err)
			}
			compareFetch(t, &q, req)
			for cut := range b {
				if got, want := q.decode(cursor{b: b[:cut], flex: version >= 12}, version), kmsgDecode(keyFetch, version, b[:cut]); (got == nil) != (want == nil) {
					t.Fatalf("v%d cut at %d of %d: %v, kmsg: %v", version, cut, len(b), got, want)
				}
			}
		}
	}
}

// TestFetchDecodeTakesNoMore: a request has as many elements as any other, counted together.
func TestFetchDecodeTakesNoMore(t *testing.T) {
	for _, version := range []int16{4, 11, 12, 13, 18} {
		for _, forgotten := range []bool{false, true} {
			if forgotten && version < 7 {
				continue
			}
			for n, taken := range map[int]bool{maxElements - 1: true, maxElements: false} {
				req := fetching(version, "t")
				rt := kmsg.NewFetchRequestTopic()
				rt.Topic, req.Topics = "t", nil
				if forgotten {
					req.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{{Topic: "t", Partitions: make([]int32, n)}}
				} else {
					rt.Partitions = make([]kmsg.FetchRequestTopicPartition, n)
					for i := range rt.Partitions {
						rt.Partitions[i].Default() // without, there are tagged fields in each
					}
					req.Topics = append(req.Topics, rt)
				}
				var q fetchRequest
				if err := q.decode(cursor{b: req.AppendTo(nil), flex: version >= 12}, version); (err == nil) != taken {
					t.Errorf("v%d, %d partitions and their topic, forgotten %v: %v", version, n, forgotten, err)
				}
			}
		}
	}
}

// TestFetchDecodeAllocates: nothing, whatever is asked for.
func TestFetchDecodeAllocates(t *testing.T) {
	for version := int16(4); version <= 18; version++ {
		b := fetching(version, "t", make([]int64, 100)...).AppendTo(nil)
		if got := testing.AllocsPerRun(20, func() {
			var q fetchRequest
			must(t, q.decode(cursor{b: b, flex: version >= 12}, version))
			for w := q.topics; w.topic(); {
				for w.partition() {
				}
			}
		}); got > 0 {
			t.Errorf("v%d: %v allocations", version, got)
		}
	}
}

// TestFetchDecodeKnownTags: tagged fields that are known hold what they must, as for kmsg, though nothing is made of them.
func TestFetchDecodeKnownTags(t *testing.T) {
	const version = 18
	whole := fetching(version, "t", 7).AppendTo(nil)
	ends := map[string]int{"of the request": len(whole) - 1, "of the partition": len(whole) - 5} // rack, forgotten topics, and two ends between
	for where, at := range ends {
		if whole[at] != 0 {
			t.Fatalf("byte %d of %x ends nothing", at, whole)
		}
		for tag := range byte(4) {
			for size := range byte(20) {
				field := append([]byte{1, tag, size}, make([]byte, size)...)
				b := append(append(append([]byte(nil), whole[:at]...), field...), whole[at+1:]...)
				got, want := new(fetchRequest).decode(cursor{b: b, flex: true}, version), kmsgDecode(keyFetch, version, b)
				if (got == nil) != (want == nil) {
					t.Errorf("tag %d %s, %d bytes: %v, kmsg: %v", tag, where, size, got, want)
				}
			}
		}
	}
}

// FuzzFetchDecode: what our decoder takes, kmsg takes too, and reads the same; what it refuses, kmsg or the bounds refuse.
func FuzzFetchDecode(f *testing.F) {
	for v := int16(4); v <= 18; v++ {
		r := rand.New(rand.NewPCG(8, uint64(v)))
		for range 3 {
			f.Add(v, randomRequest(r, keyFetch, v).AppendTo(nil))
		}
	}
	var q fetchRequest
	f.Fuzz(func(t *testing.T, version int16, b []byte) {
		if version < 4 || version > 18 || len(b) > 64<<10 {
			return
		}
		c := cursor{b: b, flex: version >= 12}
		err, shaped := q.decode(c, version), checkBody(c, layoutFetch(), version, maxElements)
		if err == nil && !shaped {
			t.Fatal("taken, though it is not shaped as its layout")
		}
		if !shaped { // kmsg might take it for gigabytes
			return
		}
		req := kmsg.NewPtrFetchRequest()
		req.Version = version
		other := req.ReadFrom(b)
		if (err == nil) != (other == nil) {
			t.Fatalf("decoder: %v, kmsg: %v", err, other)
		}
		if err == nil {
			compareFetch(t, &q, req)
		}
	})
}
