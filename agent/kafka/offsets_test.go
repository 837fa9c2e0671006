package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/objstore/recordbatch"
)

func listing(version int16, top string, ts int64) *kmsg.ListOffsetsRequest {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version = version
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = top
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Timestamp = ts
	rt.Partitions = append(rt.Partitions, p)
	req.Topics = append(req.Topics, rt)
	return req
}

func listed(resp *kmsg.ListOffsetsResponse) kmsg.ListOffsetsResponseTopicPartition {
	return resp.Topics[0].Partitions[0]
}

// stamped makes a batch of records with the given timestamps.
func stamped(t *testing.T, with func(*builder), ts ...int64) []byte {
	t.Helper()
	bl := &builder{}
	with(bl)
	var recs []recordbatch.Record
	for _, ts := range ts {
		recs = append(recs, recordbatch.Record{Timestamp: ts, Value: []byte("v")})
	}
	b, err := bl.Append(nil, recs)
	must(t, err)
	return b
}

// TestListOffsets is the table of timestamps, for every version.
func TestListOffsets(t *testing.T) {
	for _, cache := range []int64{1, 1 << 20} {
		w, c := loaded(t, option{cache: cache}, 1)
		for _, b := range [][]byte{
			stamped(t, codec(recordbatch.None), 100, 300, 200), stamped(t, codec(recordbatch.Gzip), 50, 500, 400), stamped(t, codec(recordbatch.Zstd), 450, 500, 450),
		} {
			if p := produced(call[*kmsg.ProduceResponse](c, producing(9, "t", b))); p.ErrorCode != 0 {
				t.Fatalf("produce: %+v", p)
			}
		}
		held := producing(9, "t", stamped(t, codec(recordbatch.None), 900))
		held.Acks = 1
		for _, c2 := range []struct {
			ts          int64
			since       int16
			offset, got int64
		}{
			{tsLatest, 1, 9, -1}, {tsEarliest, 1, 0, -1}, {tsMax, 7, 4, 500}, {tsEarliestLocal, 8, 0, -1}, // LO1
			{tsLatestTiered, 9, -1, -1}, {tsEarliestPending, 11, -1, -1}, {-7, 99, -1, -1},
			{0, 1, 0, 100}, {101, 1, 1, 300}, {300, 1, 1, 300}, {301, 1, 4, 500}, {500, 1, 4, 500}, {501, 1, -1, -1}, // LO2
		} {
			for v := int16(1); v <= 11; v++ {
				p := listed(call[*kmsg.ListOffsetsResponse](c, listing(v, "t", c2.ts)))
				if v < c2.since {
					if p.ErrorCode != codeUnsupportedVersion || p.Offset != -1 {
						t.Errorf("v%d, %d: %+v", v, c2.ts, p)
					}
					continue
				}
				epoch := int32(testEpoch)
				if v < 4 || c2.offset < 0 {
					epoch = -1
				}
				if p.ErrorCode != 0 || p.Offset != c2.offset || p.Timestamp != c2.got || p.LeaderEpoch != epoch {
					t.Errorf("v%d, %d: %+v; want offset %d, timestamp %d", v, c2.ts, p, c2.offset, c2.got)
				}
			}
		}
		_ = w
	}
}

func TestListOffsetsOfWhatIsNotThere(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("t", 1)
	c := w.dial()
	for ts, want := range map[int64]int64{tsLatest: 0, tsEarliest: 0, tsMax: -1, 5: -1} {
		if p := listed(call[*kmsg.ListOffsetsResponse](c, listing(7, "t", ts))); p.ErrorCode != 0 || p.Offset != want || p.Timestamp != -1 {
			t.Errorf("empty, %d: %+v", ts, p)
		}
	}
	req := listing(7, "t", tsLatest)
	req.IsolationLevel = 7
	if p := listed(call[*kmsg.ListOffsetsResponse](c, req)); p.ErrorCode != codeInvalidRequest {
		t.Errorf("isolation level: %+v", p)
	}
	if p := listed(call[*kmsg.ListOffsetsResponse](c, listing(7, "nope", tsLatest))); p.ErrorCode != codeUnknownTopicOrPartition {
		t.Errorf("topic: %+v", p)
	}
	w.set.End()
	if p := listed(call[*kmsg.ListOffsetsResponse](c, listing(7, "t", tsLatest))); p.ErrorCode != codeNotLeaderOrFollower || p.Offset != -1 {
		t.Errorf("not the leader: %+v", p)
	}
}

// TestLO3NotReady: a slot that is being opened has no offsets to tell yet.
func TestLO3NotReady(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("t", 1)
	epochs := map[uint16]int32{}
	for s := range uint16(testSlots) {
		epochs[s] = testEpoch + 1
		w.set.Leave(s, testEpoch)
	}
	w.set.Begin(w.set.NewFold(), epochs)
	c := w.dial()
	for v, code := range map[int16]int16{1: codeLeaderNotAvailable, 4: codeLeaderNotAvailable, 5: codeOffsetNotAvailable, 11: codeOffsetNotAvailable} {
		if p := listed(call[*kmsg.ListOffsetsResponse](c, listing(v, "t", tsLatest))); p.ErrorCode != code || p.Offset != -1 {
			t.Errorf("v%d: %+v, want code %d", v, p, code)
		}
	}
	if p := produced(call[*kmsg.ProduceResponse](c, producing(9, "t", batch(t, 1, 1)))); p.ErrorCode != codeNotLeaderOrFollower {
		t.Errorf("produce: %+v", p)
	}
	if f := fetched(call[*kmsg.FetchResponse](c, fetching(11, "t", 0)), 0); f.ErrorCode != codeNotLeaderOrFollower {
		t.Errorf("fetch: %+v", f)
	}
}

func endOf(c *client, version int16, epoch, current int32) kmsg.OffsetForLeaderEpochResponseTopicPartition {
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	req.Version = version
	rt := kmsg.NewOffsetForLeaderEpochRequestTopic()
	rt.Topic = "t"
	p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	p.LeaderEpoch, p.CurrentLeaderEpoch = epoch, current
	rt.Partitions = append(rt.Partitions, p)
	req.Topics = append(req.Topics, rt)
	return call[*kmsg.OffsetForLeaderEpochResponse](c, req).Topics[0].Partitions[0]
}

func TestME7OffsetForLeaderEpoch(t *testing.T) {
	_, c := loaded(t, option{}, 1, 3)
	for v := int16(2); v <= 4; v++ {
		for epoch, want := range map[int32]struct {
			epoch int32
			end   int64
		}{testEpoch: {testEpoch, 3}, testEpoch + 1: {-1, -1}, testEpoch - 1: {testEpoch - 1, 0}} {
			if p := endOf(c, v, epoch, -1); p.ErrorCode != 0 || p.LeaderEpoch != want.epoch || p.EndOffset != want.end {
				t.Errorf("v%d, epoch %d: %+v", v, epoch, p)
			}
		}
	}
}
