package kafka

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/memory"
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

// TestSmallRequestsPassTheReserve: who announces large frames and sends no more of them holds the reserve until the time of a
// frame is over. Requests that are in the read buffer already need no more than their own size, and not for long.
func TestSmallRequestsPassTheReserve(t *testing.T) {
	w := newWorld(t, option{cfg: Config{ReserveBytes: 1 << 20}})
	w.topic("t", 1)
	for range 2 {
		slow := w.dial()
		frame := encode(fetching(11, "t", 0), 1)
		frame[0], frame[1], frame[2], frame[3] = 0, 0x0f, 0, 0 // almost 1 MiB
		_, err := slow.nc.Write(append(frame, make([]byte, readBuffer)...))
		must(t, err)
	}
	eventually(t, "the reserve is taken", func() bool { return w.s.reserve.Used() >= 1<<20-1<<16 })
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 9
	c := w.dial()
	c.send(req)
	_ = c.nc.SetReadDeadline(time.Now().Add(5 * time.Second))
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
