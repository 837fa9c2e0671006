package kafka

import (
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// eof waits for the end of a connection, which must be one and not a reset.
func (c *client) eof() {
	c.t.Helper()
	if b, err := c.frame(); !errors.Is(err, io.EOF) {
		c.t.Fatalf("%d bytes, %v; want the end", len(b), err)
	}
}

// TestEarlierRequestsAreAnsweredBeforeABadFrameCloses: a frame that is no request costs those before it nothing, though some
// of them wait for a commit or for records, and though the client has sent more behind it, which nobody reads.
func TestEarlierRequestsAreAnsweredBeforeABadFrameCloses(t *testing.T) {
	for name, bad := range map[string][]byte{
		"size": raw(0x7fffffff, 0, 9), "key": raw(10, 999, 0), "version": raw(10, 3, 99), "body": append(raw(14, 2, 1), 0x7f, 0xff, 0xff, 0xff),
		"Produce": append(raw(20, 0, 3), 0xff, 0xff, 0, 1, 0, 0, 0, 0, 0x7f, 0xff),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, option{})
			w.topic("t", 1)
			c := w.dial()
			metadata, prod, parked := kmsg.NewPtrMetadataRequest(), producing(9, "t", batch(t, 1, 10)), fetching(11, "t", 0)
			parked.MaxWaitMillis = 60_000
			var ids []int32
			for _, req := range []kmsg.Request{metadata, prod, parked} {
				ids = append(ids, c.send(req))
			}
			_, err := c.nc.Write(slices.Concat(bad, make([]byte, 100<<10)))
			must(t, err)
			eventually(t, "the bad frame was seen", func() bool { cs := w.s.conns(); return len(cs) == 1 && cs[0].draining.Load() })
			eventually(t, "appended", func() bool { return w.wal.queued() == 1 })
			w.wal.commit()
			receive[*kmsg.MetadataResponse](c, metadata, ids[0])
			if p := produced(receive[*kmsg.ProduceResponse](c, prod, ids[1])); p.ErrorCode != 0 {
				t.Errorf("produce: %+v", p)
			}
			receive[*kmsg.FetchResponse](c, parked, ids[2])
			c.eof()
		})
	}
}

// TestClosingAfterABadFrameEnds: what came before a bad frame is waited for, but not for ever.
func TestClosingAfterABadFrameEnds(t *testing.T) {
	w := newWorld(t, option{cfg: Config{FrameTime: 300 * time.Millisecond}})
	w.topic("t", 1)
	c := w.dial()
	c.send(producing(9, "t", batch(t, 1, 10))) // never committed
	_, err := c.nc.Write(raw(10, 999, 0))
	must(t, err)
	c.closed()
}

// stall sends the beginning of a Produce frame of size bytes.
func (w *world) stall(size uint32, begin int) *client {
	c := w.dial()
	_, err := c.nc.Write(append(raw(size, 0, 9), make([]byte, begin)...))
	must(w.t, err)
	return c
}

// TestStalledFramesHoldWhatTheySent: a hundred clients each announce 60 MiB and send 16 KiB of it. They hold half of the budget,
// and of the other half not much more than they sent: a client that sends all it announces is served at once.
func TestStalledFramesHoldWhatTheySent(t *testing.T) {
	w := newWorld(t, option{budget: 128 << 20, auto: true})
	w.topic("t", 1)
	const clients, sent = 100, 16 << 10
	for range clients {
		w.stall(60<<20, sent)
	}
	eventually(t, "all that was sent is read", func() bool {
		return counterValue(w.s.lookup(keyProduce).m.inFlight) == clients && w.budget.Used() >= 60<<20+clients*sent
	})
	if used, most := w.budget.Used(), int64(128<<20/2+clients*sent*2*stageRatio); used > most {
		t.Errorf("%d bytes held, at most %d should be", used, most)
	}
	good := w.dial()
	for range 5 {
		call[*kmsg.ProduceResponse](good, producing(9, "t", batch(t, 1, 900_000)))
	}
	if n := counterValue(w.s.lookup(keyProduce).m.inFlight); n < clients {
		t.Errorf("%v stalled frames left of %d: the good client waited for their time to be over", n, clients)
	}
}

// TestSlowFrameGivesWayToOthers: a client that holds the whole budget and has stopped is cut off when others wait for it, long
// before the time that its frame has when nobody does.
func TestSlowFrameGivesWayToOthers(t *testing.T) {
	w := newWorld(t, option{budget: 8 << 10, auto: true, cfg: Config{FrameTime: 24 * time.Second}}) // longer than call waits
	w.topic("t", 1)
	stopped := w.stall(90<<20, readBuffer)
	eventually(t, "bytes taken", func() bool { return w.budget.Used() >= 8<<10 })
	call[*kmsg.ProduceResponse](w.dial(), producing(9, "t", batch(t, 1, 1)))
	stopped.closed()
}

// TestFramesThatNeedMoreEndOneAfterTheOther: frames that together are larger than the budget, sent at once and slowly, all get
// through: none waits for bytes that another one holds and will not give back.
func TestFramesThatNeedMoreEndOneAfterTheOther(t *testing.T) {
	w := newWorld(t, option{budget: 1 << 20, auto: true})
	w.topic("t", 1, "max.message.bytes", "2000000")
	done := make(chan error, 8)
	for range cap(done) {
		c := w.dial()
		frame := encode(producing(9, "t", batch(t, 1, 1_500_000)), 1)
		go func() {
			for _, part := range [][]byte{frame[:60_000], frame[60_000:300_000], frame[300_000:]} {
				_, _ = c.nc.Write(part)
				time.Sleep(10 * time.Millisecond)
			}
			_, err := c.frame()
			done <- err
		}()
	}
	for range cap(done) {
		must(t, <-done)
	}
}

// TestWaitingForTheBudgetEndsWithTheClient: a reader that waits for the budget looks at nothing that its client does; it finds
// out nevertheless that there is none any more.
func TestWaitingForTheBudgetEndsWithTheClient(t *testing.T) {
	w := newWorld(t, option{budget: 8 << 10, cfg: Config{FrameTime: 6 * time.Second}})
	w.topic("t", 1)
	first := w.dial()
	one := producing(9, "t", batch(t, 1, 7<<10))
	id := first.send(one)
	eventually(t, "the budget is taken", func() bool { return w.wal.queued() == 1 })
	for range 3 { // all of the frame is there, but nobody
		reset, closes := w.dial(), w.dial()
		reset.send(producing(9, "t", batch(t, 1, 7<<10)))
		closes.send(producing(9, "t", batch(t, 1, 7<<10)))
		eventually(t, "they wait", func() bool { return len(w.s.conns()) == 3 && w.budget.Contended() })
		must(t, reset.nc.(*net.TCPConn).SetLinger(0))
		must(t, reset.nc.Close())
		must(t, closes.nc.Close())
		eventually(t, "both are gone", func() bool { return len(w.s.conns()) == 1 })
	}
	if n := w.wal.queued(); n != 1 {
		t.Errorf("%d batches appended", n)
	}
	w.wal.commit()
	receive[*kmsg.ProduceResponse](first, one, id)
}

// TestClientThatStopsReadingIsCutOff: an answer that its client does not take ends the connection when its time is over.
func TestClientThatStopsReadingIsCutOff(t *testing.T) {
	w := newWorld(t, option{auto: true, cache: 64 << 20, cfg: Config{FrameTime: 300 * time.Millisecond}})
	w.topic("t", 1)
	call[*kmsg.ProduceResponse](w.dial(), producing(9, "t", batch(t, 1, 200_000)))
	near, far := socketpair(t) // its buffers are small
	defer func() { _ = far.Close() }()
	w.s.accept(t.Context(), near)
	deaf := &client{t: t, nc: far}
	for range 4 {
		deaf.send(fetching(11, "t", 0))
	}
	eventually(t, "answers wait", func() bool { return w.s.unread.Load() > 0 })
	eventually(t, "cut off", func() bool { return len(w.s.conns()) == 1 && w.s.held.Load() == 0 && w.s.unread.Load() == 0 })
}

// TestLargeRequestsCountUntilTheyAreAnswered: what a large request was decoded to stays charged while it waits for the store.
func TestLargeRequestsCountUntilTheyAreAnswered(t *testing.T) {
	gate := make(chan struct{})
	w := newWorld(t, option{auto: true, gate: gate, cfg: Config{ReserveBytes: 2 << 20}})
	w.topic("t", 1)
	w.wal.mu.Lock()
	w.wal.uncache = true
	w.wal.mu.Unlock()
	call[*kmsg.ProduceResponse](w.dial(), producing(9, "t", batch(t, 1, 10)))
	list := kmsg.NewPtrListOffsetsRequest()
	list.Version = 7
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = "t"
	for range 10_000 {
		rt.Partitions = append(rt.Partitions, kmsg.NewListOffsetsRequestTopicPartition())
	}
	list.Topics = append(list.Topics, rt)
	size := int64(len(list.AppendTo(nil)))
	c := w.dial()
	id := c.send(list)
	eventually(t, "the first waits for the store", func() bool { return w.s.reserve.Used() >= decodeFactor*size })
	others := []*client{w.dial(), w.dial()}
	for _, o := range others {
		o.send(list)
	}
	eventually(t, "others wait for the reserve", w.s.reserve.Contended)
	if used := w.s.reserve.Used(); used > 2<<20 {
		t.Errorf("%d bytes of the reserve taken", used)
	}
	close(gate)
	receive[*kmsg.ListOffsetsResponse](c, list, id)
	for _, o := range others {
		receive[*kmsg.ListOffsetsResponse](o, list, 1)
	}
}
