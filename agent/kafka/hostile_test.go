package kafka

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// TestSparseFrameTakesNoMoreThanItHas: the batches of a sparse frame are copied out together. One buffer for each would take
// its least size, 4 KiB, past the limit of the budget, for every batch of some 80 bytes.
func TestSparseFrameTakesNoMoreThanItHas(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("t", 1)
	b := batch(t, 1, 1)
	batches := make([][]byte, 1000)
	for i := range batches {
		batches[i] = b
	}
	req := producing(9, "t", batches...)
	for i := range req.Topics[0].Partitions {
		req.Topics[0].Partitions[i].Partition = 0
	}
	req.UnknownTags.Set(99, make([]byte, 1<<20))
	c := w.dial()
	id := c.send(req)
	eventually(t, "the frame let go", func() bool { return w.wal.queued() == len(batches) && w.budget.Used() < 1<<20 })
	if got, most := w.budget.Used(), int64(memory.Capacity(len(b)*len(batches))); got > most {
		t.Errorf("%d bytes taken for %d", got, most)
	}
	w.wal.commit()
	resp := receive[*kmsg.ProduceResponse](c, req, id)
	for i, p := range resp.Topics[0].Partitions {
		if p.ErrorCode != 0 || p.BaseOffset != int64(i) {
			t.Fatalf("batch %d: %+v", i, p)
		}
	}
	got := 0
	for at := int64(0); at < int64(len(batches)); { // and they are what was sent
		f := call[*kmsg.FetchResponse](c, fetching(11, "t", at)).Topics[0].Partitions[0]
		if len(f.RecordBatches) == 0 {
			t.Fatalf("no records at %d: %+v", at, f)
		}
		got += len(f.RecordBatches)
		at += int64(len(f.RecordBatches) / len(b))
	}
	if got != len(b)*len(batches) {
		t.Errorf("%d bytes read back", got)
	}
}

// TestSmallRequestsPassTheReserve: who sends almost all of large frames, and then no more, holds the reserve until the time of a
// frame is over. Requests that are in the read buffer already need no more than their own size, and not for long.
func TestSmallRequestsPassTheReserve(t *testing.T) {
	w := newWorld(t, option{cfg: Config{ReserveBytes: 1 << 20, FrameTime: time.Hour}})
	w.topic("t", 1)
	for range 2 {
		slow := w.dial()
		frame := encode(fetching(11, "t", 0), 1)
		frame[0], frame[1], frame[2], frame[3] = 0, 0x0f, 0, 0                            // almost 1 MiB
		go func() { _, _ = slow.nc.Write(append(frame, make([]byte, 0xf0000-100)...)) }() // not quite all of it
	}
	eventually(t, "the reserve is taken", func() bool { return w.s.reserve.Used() >= 1<<20-1<<16 })
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 9
	c := w.dial()
	c.send(req)
	_ = c.nc.SetReadDeadline(time.Now().Add(hangTime))
	if _, err := c.nc.Read(make([]byte, 4)); err != nil {
		t.Fatalf("a small request waits for others' large ones: %v", err)
	}
}

// TestFE11OneConfirmationForAll: offsets above the log end of however many partitions cost one read of the session item.
func TestFE11OneConfirmationForAll(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("t", 50)
	offsets := make([]int64, 50)
	for i := range offsets {
		offsets[i] = 1 << 40
	}
	resp := call[*kmsg.FetchResponse](w.dial(), fetching(11, "t", offsets...))
	for _, p := range resp.Topics[0].Partitions {
		if p.ErrorCode != codeOffsetOutOfRange {
			t.Fatalf("partition %d: code %d", p.Partition, p.ErrorCode)
		}
	}
	if n := w.node.confirmed(); n != 1 {
		t.Errorf("%d reads", n)
	}
}

// TestFE11EpochFromTheFutureIsConfirmed: a leader that was frozen does not know the epoch of the records that a client has
// from its successor. It must not say out of range before it knows that it leads.
func TestFE11EpochFromTheFutureIsConfirmed(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("t", 1)
	req := fetching(12, "t", 0)
	req.Topics[0].Partitions[0].CurrentLeaderEpoch, req.Topics[0].Partitions[0].LastFetchedEpoch = -1, testEpoch+1
	c := w.dial()
	if p := call[*kmsg.FetchResponse](c, req).Topics[0].Partitions[0]; p.ErrorCode != codeOffsetOutOfRange || w.node.confirmed() != 1 {
		t.Errorf("leader: code %d after %d confirmations", p.ErrorCode, w.node.confirmed())
	}
	w.node.mu.Lock()
	w.node.confirm = context.DeadlineExceeded
	w.node.mu.Unlock()
	if p := call[*kmsg.FetchResponse](c, req).Topics[0].Partitions[0]; p.ErrorCode != codeNotLeaderOrFollower {
		t.Errorf("no leader any more: code %d", p.ErrorCode)
	}
}

// timed is a batch of records with the given timestamps, whose header says that the largest is most.
func timed(t *testing.T, most int64, timestamps ...int64) []byte {
	t.Helper()
	var recs []recordbatch.Record
	for _, ts := range timestamps {
		recs = append(recs, recordbatch.Record{Timestamp: ts, Value: []byte("v")})
	}
	b, err := (&recordbatch.Builder{}).Append(nil, recs)
	must(t, err)
	binary.BigEndian.PutUint64(b[35:], uint64(most))
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func (w *world) byTime(top string, ts int64) kmsg.ListOffsetsResponseTopicPartition {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version = 7
	rt, p := kmsg.NewListOffsetsRequestTopic(), kmsg.NewListOffsetsRequestTopicPartition()
	rt.Topic, p.Timestamp = top, ts
	rt.Partitions = append(rt.Partitions, p)
	req.Topics = append(req.Topics, rt)
	return call[*kmsg.ListOffsetsResponse](w.dial(), req).Topics[0].Partitions[0]
}

// TestLO2LyingTimestamps: a batch whose header claims a later timestamp than its records have hides nothing behind it.
func TestLO2LyingTimestamps(t *testing.T) {
	w := newWorld(t, option{auto: true, cache: 1 << 20})
	w.topic("t", 1)
	now, c := time.Now().UnixMilli(), w.dial()
	for _, b := range [][]byte{timed(t, now, 1000), timed(t, 2000, 2000), timed(t, now, 1500), timed(t, 3000, 2500, 3000)} {
		if p := produced(call[*kmsg.ProduceResponse](c, producing(9, "t", b))); p.ErrorCode != 0 {
			t.Fatalf("produce: %+v", p)
		}
	}
	for ts, want := range map[int64][2]int64{1: {0, 1000}, 1001: {1, 2000}, 2001: {3, 2500}, 2600: {4, 3000}, 3001: {-1, -1}} {
		if p := w.byTime("t", ts); p.ErrorCode != 0 || p.Offset != want[0] || p.Timestamp != want[1] {
			t.Errorf("%d: code %d, offset %d, timestamp %d; want %v", ts, p.ErrorCode, p.Offset, p.Timestamp, want)
		}
	}
}

// TestLO2NothingBelowTheLogStart: records that were deleted are not found, though their batch is still there.
func TestLO2NothingBelowTheLogStart(t *testing.T) {
	w := newWorld(t, option{auto: true, cache: 1 << 20})
	top := w.topic("t", 1)
	call[*kmsg.ProduceResponse](w.dial(), producing(9, "t", timed(t, 4000, 1000, 4000, 2000, 3000)))
	must(t, w.set.Committed(bundle.Object{Kind: bundle.WAL, Session: w.wal.session, Seq: 99}, &bundle.Footer{
		Topics: []bundle.Topic{{ID: top.ID, Name: "t"}},
		Ops:    []bundle.Op{{Kind: bundle.OpLogStart, Slot: top.Slots[0], Epoch: testEpoch, Offset: 2}},
	}))
	for ts, want := range map[int64][2]int64{1: {2, 2000}, 2500: {3, 3000}, 3001: {-1, -1}, -3: {3, 3000}} {
		if p := w.byTime("t", ts); p.ErrorCode != 0 || p.Offset != want[0] || p.Timestamp != want[1] {
			t.Errorf("%d: code %d, offset %d, timestamp %d; want %v", ts, p.ErrorCode, p.Offset, p.Timestamp, want)
		}
	}
}

// TestDescribeConfigsIsBounded: any agent answers for any node and group, so a request of few bytes could ask for the configs
// of thousands that are not there.
func TestDescribeConfigsIsBounded(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("t", 1)
	w.topic("u", 1)
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Version = 4
	add := func(kind kmsg.ConfigResourceType, name string) {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName = kind, name
		req.Resources = append(req.Resources, r)
	}
	for i := range 3000 {
		add(kmsg.ConfigResourceTypeBroker, fmt.Sprint(i))
		add(kmsg.ConfigResourceTypeGroupConfig, fmt.Sprint("g", i))
		add(kmsg.ConfigResourceTypeTopic, "t")
	}
	add(kmsg.ConfigResourceTypeTopic, "u")
	resp := call[*kmsg.DescribeConfigsResponse](w.dial(), req)
	answered := 0
	for _, r := range resp.Resources {
		if len(r.Configs) > 0 {
			answered++
		} else if r.ErrorCode != codeInvalidRequest {
			t.Fatalf("%d %s: code %d without configs", r.ResourceType, r.ResourceName, r.ErrorCode)
		}
	}
	if len(resp.Resources) != len(req.Resources) || answered != 2+maxFree {
		t.Errorf("%d of %d answered", answered, len(resp.Resources))
	}
}
