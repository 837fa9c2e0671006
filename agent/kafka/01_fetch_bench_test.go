package kafka

import (
	"encoding/binary"
	"io"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetchAllocations returns how many allocations a Fetch request costs whose records lie in the cache, over a connection. The
// client here allocates nothing. With a session the requests name nothing: all that it holds is answered.
func fetchAllocations(t *testing.T, partitions int32, batches int, session bool) float64 {
	t.Helper()
	var each []int
	for range batches {
		each = append(each, 10)
	}
	w, c := loaded(t, option{budget: 256 << 20}, partitions, each...)
	defer w.check()
	req := fetching(12, "t", make([]int64, partitions)...)
	req.MaxBytes = 20 << 20
	for i := range req.Topics[0].Partitions {
		req.Topics[0].Partitions[i].PartitionMaxBytes = 1 << 20
	}
	if session {
		req.SessionEpoch = 0
		first := call[*kmsg.FetchResponse](c, req)
		if req.SessionID, req.Topics = first.SessionID, nil; req.SessionID == 0 {
			t.Fatal("no session")
		}
		defer func() { _ = c.nc.Close(); eventually(t, "it ends", func() bool { return w.s.sessions.Load() == 0 }) }()
	}
	frame, buf := encode(req, 1), make([]byte, 1<<20)
	epoch := frame[len(encode(req, 1))-len(req.AppendTo(nil))+4+4+4+4+1+4:]
	must(t, c.nc.SetReadDeadline(time.Now().Add(hangTime)))
	size := 0
	got := testing.AllocsPerRun(50, func() {
		if session {
			req.SessionEpoch++
			binary.BigEndian.PutUint32(epoch, uint32(req.SessionEpoch))
		}
		if _, err := c.nc.Write(frame); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c.nc, buf[:sizeLen]); err != nil {
			t.Fatal(err)
		}
		size = int(binary.BigEndian.Uint32(buf))
		if _, err := io.ReadFull(c.nc, buf[:size]); err != nil {
			t.Fatal(err)
		}
	})
	if want := int(partitions) * batches * len(batch(t, 10, 100)); size < want {
		t.Fatalf("an answer of %d bytes, %d are there", size, want)
	}
	return got
}

// TestFetchAllocationsAreCounted: what a Fetch from memory costs does not grow with the records that it returns, nor with its partitions:
// no allocation at all, but for what pools lose to the garbage collector.
func TestFetchAllocationsAreCounted(t *testing.T) {
	for _, c := range []struct {
		partitions int32
		batches    int
		session    bool
	}{{1, 1, false}, {1, 20, false}, {50, 1, false}, {50, 1, true}, {200, 1, false}} {
		if got := fetchAllocations(t, c.partitions, c.batches, c.session); got > 1 && raceFactor == 1 {
			t.Errorf("%d partitions, %d batches of each, session %v: %v allocations, want at most 1", c.partitions, c.batches, c.session, got)
		}
	}
}

// TestWaitingFetchAllocationsAreCounted: a Fetch at the end of its logs that waits in vain costs its goroutine and little else, however
// many partitions it watches.
func TestWaitingFetchAllocationsAreCounted(t *testing.T) {
	const partitions = 50
	w, c := loaded(t, option{budget: 256 << 20}, partitions, 10)
	defer w.check()
	ends := make([]int64, partitions)
	for i := range ends {
		ends[i] = 10
	}
	req := fetching(12, "t", ends...)
	req.MaxWaitMillis = 1
	frame, buf := encode(req, 1), make([]byte, 64<<10)
	must(t, c.nc.SetReadDeadline(time.Now().Add(hangTime)))
	got := testing.AllocsPerRun(50, func() {
		if _, err := c.nc.Write(frame); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c.nc, buf[:sizeLen]); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c.nc, buf[:binary.BigEndian.Uint32(buf)]); err != nil {
			t.Fatal(err)
		}
	})
	if got > 4 && raceFactor == 1 {
		t.Errorf("%v allocations, want at most 4", got)
	}
}
