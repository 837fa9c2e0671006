package kafka

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/objstore/recordbatch"
)

// fetched returns the answer for a partition of the first topic.
func fetched(resp *kmsg.FetchResponse, i int) kmsg.FetchResponseTopicPartition {
	return resp.Topics[0].Partitions[i]
}

// loaded is a world with a topic t of some partitions, each with batches of n records of 100 bytes.
func loaded(t testing.TB, o option, partitions int32, n ...int) (*world, *client) {
	o.auto = true
	if o.cache == 0 {
		o.cache = 64 << 20
	}
	w := newWorld(t, o)
	w.topic("t", partitions)
	c := w.dial()
	for _, n := range n {
		var all [][]byte
		for range partitions {
			all = append(all, batch(t, n, 100))
		}
		for _, p := range call[*kmsg.ProduceResponse](c, producing(9, "t", all...)).Topics[0].Partitions {
			if p.ErrorCode != 0 {
				t.Fatalf("produce: %+v", p)
			}
		}
	}
	return w, c
}

func TestFE1WholeBatchThatHoldsTheOffset(t *testing.T) {
	_, c := loaded(t, option{}, 1, 3, 4, 5)
	for at, base := range map[int64]int64{0: 0, 2: 0, 3: 3, 6: 3, 7: 7, 11: 7} {
		b := recordbatch.Batch(fetched(call[*kmsg.FetchResponse](c, fetching(11, "t", at)), 0).RecordBatches)
		if b.BaseOffset() != base {
			t.Errorf("offset %d: batch at %d, want %d", at, b.BaseOffset(), base)
		}
	}
}

func TestFE2FE3Limits(t *testing.T) {
	_, c := loaded(t, option{}, 3, 10, 10, 10)
	whole := len(batch(t, 10, 100))
	for _, l := range []struct {
		name      string
		part, max int
		want      [3]int // batches
	}{
		{"all", 1 << 20, 1 << 20, [3]int{3, 3, 3}},
		{"partition", 2 * whole, 1 << 20, [3]int{2, 2, 2}},
		{"partition, cut", 3*whole - 1, 1 << 20, [3]int{2, 2, 2}},
		{"request", 1 << 20, 4 * whole, [3]int{3, 1, 0}},
		{"one batch in any case", 1, 1, [3]int{1, 0, 0}},
		{"one batch, the first partition's only", 1, 1 << 20, [3]int{1, 0, 0}},
		{"nothing asked for", 0, 0, [3]int{1, 0, 0}},
	} {
		req := fetching(11, "t", 0, 0, 0)
		req.MaxBytes = int32(l.max)
		for i := range req.Topics[0].Partitions {
			req.Topics[0].Partitions[i].PartitionMaxBytes = int32(l.part)
		}
		resp := call[*kmsg.FetchResponse](c, req)
		for i, want := range l.want {
			if got := len(fetched(resp, i).RecordBatches); got != want*whole {
				t.Errorf("%s: partition %d has %d bytes, want %d batches of %d", l.name, i, got, want, whole)
			}
		}
	}
	req := fetching(11, "t", 30, 0, 0) // the first has nothing: the second is the first with data
	req.MaxBytes = 1
	if resp := call[*kmsg.FetchResponse](c, req); len(fetched(resp, 1).RecordBatches) != whole || len(fetched(resp, 2).RecordBatches) != 0 {
		t.Errorf("an empty partition used up the batch that is free")
	}
}

func TestFE4EmptyNeverNull(t *testing.T) {
	_, c := loaded(t, option{}, 1, 1)
	for v := int16(4); v <= 12; v++ {
		for _, at := range []int64{1, -1} { // nothing there; an error
			if f := fetched(call[*kmsg.FetchResponse](c, fetching(v, "t", at)), 0); f.RecordBatches == nil || len(f.RecordBatches) != 0 {
				t.Errorf("v%d, offset %d: records %v", v, at, f.RecordBatches)
			}
		}
	}
}

// TestFE5Verbatim: what a producer sent comes back as it was, batch by batch.
func TestFE5Verbatim(t *testing.T) {
	w, c := loaded(t, option{}, 1)
	var sent []byte
	for codecs := recordbatch.None; codecs <= recordbatch.Zstd; codecs++ {
		b := batch(t, 5, 200, codec(codecs), idempotent(3, 0, int32(codecs)*5))
		if p := produced(call[*kmsg.ProduceResponse](c, producing(9, "t", b))); p.ErrorCode != 0 {
			t.Fatalf("%v: %+v", codecs, p)
		}
		rb := recordbatch.Batch(bytes.Clone(b))
		rb.SetBaseOffset(int64(codecs) * 5)
		rb.SetLeaderEpoch(testEpoch)
		sent = append(sent, rb...)
	}
	if got := fetched(call[*kmsg.FetchResponse](c, fetching(11, "t", 0)), 0).RecordBatches; !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came back, %d were sent", len(got), len(sent))
	}
	_ = w
}

func TestFE6FE8Isolation(t *testing.T) {
	_, c := loaded(t, option{}, 1, 2)
	for v := int16(4); v <= 12; v++ {
		req := fetching(v, "t", 0)
		if f := fetched(call[*kmsg.FetchResponse](c, req), 0); f.AbortedTransactions != nil {
			t.Errorf("v%d: read_uncommitted with a list", v)
		}
		req.IsolationLevel = 1
		if f := fetched(call[*kmsg.FetchResponse](c, req), 0); f.AbortedTransactions == nil || len(f.RecordBatches) == 0 {
			t.Errorf("v%d: read_committed: %+v", v, f)
		}
		req.IsolationLevel = 2
		resp := call[*kmsg.FetchResponse](c, req)
		if v >= 7 && (resp.ErrorCode != codeInvalidRequest || len(resp.Topics) != 0) || v < 7 && fetched(resp, 0).ErrorCode != codeInvalidRequest {
			t.Errorf("v%d: level 2: %+v", v, resp)
		}
	}
}

// TestFE10LongPoll: neither empty at once nor beyond MaxWait.
func TestFE10LongPoll(t *testing.T) {
	w := newWorld(t, option{cache: 1 << 20})
	w.topic("t", 2)
	c, producer := w.dial(), w.dial()
	req := fetching(11, "t", 0, 0)
	req.MaxWaitMillis = 60_000
	id := c.send(req)
	pr := producing(9, "t", batch(t, 1, 10), batch(t, 1, 10))
	pid := producer.send(pr)
	eventually(t, "appended", func() bool { return w.wal.queued() == 2 })
	select {
	case <-time.After(30 * time.Millisecond):
	case <-w.answered(c):
		t.Fatal("answered before the commit")
	}
	w.wal.commit()
	receive[*kmsg.ProduceResponse](producer, pr, pid)
	if f := fetched(receive[*kmsg.FetchResponse](c, req, id), 0); len(f.RecordBatches) == 0 || f.HighWatermark != 1 {
		t.Errorf("woken with %+v", f)
	}

	req = fetching(11, "t", 1, 1)
	req.MaxWaitMillis = 50
	before := time.Now()
	if f := fetched(call[*kmsg.FetchResponse](c, req), 0); len(f.RecordBatches) != 0 || f.ErrorCode != 0 {
		t.Errorf("at the end: %+v", f)
	}
	if d := time.Since(before); d < 50*time.Millisecond {
		t.Errorf("empty after %v", d)
	}

	req.MinBytes, req.MaxWaitMillis = 100_000, 60_000 // at once on an error, and when there is nothing to wait for
	req.Topics[0].Partitions[1].FetchOffset = -1
	if resp := call[*kmsg.FetchResponse](c, req); fetched(resp, 1).ErrorCode != codeOffsetOutOfRange {
		t.Errorf("error: %+v", resp)
	}
	req.Topics = nil
	call[*kmsg.FetchResponse](c, req)
}

// answered tells when the server has finished an answer for c, without reading it.
func (w *world) answered(c *client) <-chan struct{} {
	ch := make(chan struct{}, 1)
	for _, cn := range w.s.conns() {
		if cn.nc.RemoteAddr().String() == c.nc.LocalAddr().String() && cn.ring.idle() {
			ch <- struct{}{}
		}
	}
	return ch
}

// TestFE10MinBytes: a Fetch waits until so many bytes are there, and gets all of them.
func TestFE10MinBytes(t *testing.T) {
	w, producer := loaded(t, option{}, 1)
	c := w.dial()
	size := len(batch(t, 1, 100))
	req := fetching(11, "t", 0)
	req.MinBytes, req.MaxWaitMillis = int32(3*size), 60_000
	id := c.send(req)
	for range 3 {
		call[*kmsg.ProduceResponse](producer, producing(9, "t", batch(t, 1, 100)))
	}
	if got := len(fetched(receive[*kmsg.FetchResponse](c, req, id), 0).RecordBatches); got != 3*size {
		t.Errorf("%d bytes, want %d", got, 3*size)
	}
}

func TestFE11OutOfRange(t *testing.T) {
	w, c := loaded(t, option{}, 1, 3)
	codeAt := func(at int64) int16 { return fetched(call[*kmsg.FetchResponse](c, fetching(11, "t", at)), 0).ErrorCode }
	if got := codeAt(3); got != 0 || w.node.confirmed() != 0 {
		t.Errorf("at the high watermark: code %d", got)
	}
	if got := codeAt(-1); got != codeOffsetOutOfRange || w.node.confirmed() != 0 {
		t.Errorf("below the log start: code %d, %d confirmations", got, w.node.confirmed())
	}
	if got := codeAt(4); got != codeOffsetOutOfRange || w.node.confirmed() != 1 {
		t.Errorf("above the log end: code %d, %d confirmations", got, w.node.confirmed())
	}
	w.node.mu.Lock()
	w.node.confirm = errors.New("fenced")
	w.node.mu.Unlock()
	if got := codeAt(4); got != codeNotLeaderOrFollower {
		t.Errorf("above the log end, not confirmed: code %d", got)
	}
}

// TestFE11UncommittedOffsetsWait: an offset above the high watermark and not above the log end is not out of range.
func TestFE11UncommittedOffsetsWait(t *testing.T) {
	w := newWorld(t, option{cache: 1 << 20})
	w.topic("t", 1)
	c := w.dial()
	req := producing(9, "t", batch(t, 5, 10))
	req.Acks = 1
	call[*kmsg.ProduceResponse](c, req)
	if f := fetched(call[*kmsg.FetchResponse](c, fetching(11, "t", 4)), 0); f.ErrorCode != 0 || f.HighWatermark != 0 || w.node.confirmed() != 0 {
		t.Errorf("appended, not committed: %+v", f)
	}
}

func TestFE14Zstd(t *testing.T) {
	_, c := loaded(t, option{}, 2)
	call[*kmsg.ProduceResponse](c, producing(9, "t", batch(t, 2, 10, codec(recordbatch.Zstd)), batch(t, 2, 10)))
	for v := int16(4); v <= 12; v++ {
		resp := call[*kmsg.FetchResponse](c, fetching(v, "t", 0, 0))
		zstd, plain := fetched(resp, 0), fetched(resp, 1)
		if old := v < 10; old != (zstd.ErrorCode == codeUnsupportedCompression) || old != (len(zstd.RecordBatches) == 0) {
			t.Errorf("v%d: %+v", v, zstd)
		}
		if plain.ErrorCode != 0 || len(plain.RecordBatches) == 0 { // FE15
			t.Errorf("v%d: the other partition: %+v", v, plain)
		}
	}
}

func TestFE15ErrorsArePerPartition(t *testing.T) {
	_, c := loaded(t, option{}, 2, 1)
	req := fetching(11, "t", 0, 99, 0)
	req.Topics = append(req.Topics, fetching(11, "nope", 0).Topics...)
	resp := call[*kmsg.FetchResponse](c, req)
	if fetched(resp, 0).ErrorCode != 0 || len(fetched(resp, 0).RecordBatches) == 0 || fetched(resp, 1).ErrorCode != codeOffsetOutOfRange ||
		fetched(resp, 2).ErrorCode != codeUnknownTopicOrPartition || resp.Topics[1].Partitions[0].ErrorCode != codeUnknownTopicOrPartition {
		t.Errorf("answer %+v", resp)
	}
}

func TestME6LeaderEpochs(t *testing.T) {
	_, c := loaded(t, option{}, 1, 1)
	for epoch, code := range map[int32]int16{-1: 0, testEpoch: 0, testEpoch - 1: codeFencedLeaderEpoch, testEpoch + 1: codeUnknownLeaderEpoch} {
		req := fetching(9, "t", 0)
		req.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch
		if f := fetched(call[*kmsg.FetchResponse](c, req), 0); f.ErrorCode != code {
			t.Errorf("fetch, epoch %d: code %d, want %d", epoch, f.ErrorCode, code)
		}
		lo := listing(5, "t", tsLatest)
		lo.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch
		if p := listed(call[*kmsg.ListOffsetsResponse](c, lo)); p.ErrorCode != code {
			t.Errorf("list offsets, epoch %d: code %d, want %d", epoch, p.ErrorCode, code)
		}
		if p := endOf(c, 3, testEpoch, epoch); p.ErrorCode != code {
			t.Errorf("offset for leader epoch, epoch %d: code %d, want %d", epoch, p.ErrorCode, code)
		}
	}
}

// TestDivergingEpoch: as seen on Kafka 4.1.
func TestDivergingEpoch(t *testing.T) {
	_, c := loaded(t, option{}, 1, 3)
	for _, s := range []struct {
		last  int32
		at    int64
		code  int16
		epoch int32
		end   int64
	}{
		{-1, 1, 0, -1, -1}, {testEpoch, 1, 0, -1, -1}, {testEpoch + 1, 1, codeOffsetOutOfRange, -1, -1}, {testEpoch, 9, 0, testEpoch, 3},
	} {
		req := fetching(12, "t", s.at)
		req.Topics[0].Partitions[0].LastFetchedEpoch = s.last
		f := fetched(call[*kmsg.FetchResponse](c, req), 0)
		if f.ErrorCode != s.code || f.DivergingEpoch.Epoch != s.epoch || f.DivergingEpoch.EndOffset != s.end {
			t.Errorf("last epoch %d at %d: %+v", s.last, s.at, f)
		}
	}
}

// TestFetchFromTheStore: what is not in memory is loaded, for several partitions at once, and nothing is waited for
// beyond that.
func TestFetchFromTheStore(t *testing.T) {
	w, c := loaded(t, option{cache: 1}, 4, 2, 2) // a cache of one byte holds nothing
	req := fetching(11, "t", 0, 1, 2, 4)
	req.MinBytes, req.MaxWaitMillis = 1<<20, 60_000
	resp := call[*kmsg.FetchResponse](c, req)
	size := len(batch(t, 2, 100))
	for i, want := range []int{2 * size, 2 * size, size, 0} {
		if f := fetched(resp, i); f.ErrorCode != 0 || len(f.RecordBatches) != want {
			t.Errorf("partition %d: code %d, %d bytes, want %d", i, f.ErrorCode, len(f.RecordBatches), want)
		}
	}
	_ = w
}

// TestLaggingPartitionsDoNotSlowTheTail: a Fetch of one partition in memory and one in the store is answered with the first
// at once; the next one waits for the second.
func TestLaggingPartitionsDoNotSlowTheTail(t *testing.T) {
	gate := make(chan struct{})
	w := newWorld(t, option{cache: 64 << 20, gate: gate})
	w.topic("t", 2)
	c := w.dial()
	for i, b := range [][][]byte{{nil, batch(t, 1, 100)}, {batch(t, 1, 100)}} {
		w.wal.uncache = i == 0
		req := producing(9, "t", b...)
		id := c.send(req)
		eventually(t, "appended", func() bool { return w.wal.queued() == 1 })
		w.wal.commit()
		receive[*kmsg.ProduceResponse](c, req, id)
	}
	req := fetching(11, "t", 0, 0)
	req.MaxWaitMillis = 60_000
	if resp := call[*kmsg.FetchResponse](c, req); len(fetched(resp, 0).RecordBatches) == 0 || len(fetched(resp, 1).RecordBatches) != 0 {
		t.Errorf("first: %+v", resp)
	}
	eventually(t, "what was left out is being loaded", func() bool { return w.wal.reader.Stats().Misses > 0 })
	id := c.send(req)
	eventually(t, "the second waits", func() bool { return w.parked() == 1 })
	close(gate)
	if resp := receive[*kmsg.FetchResponse](c, req, id); len(fetched(resp, 0).RecordBatches) == 0 || len(fetched(resp, 1).RecordBatches) == 0 {
		t.Errorf("second: %+v", resp)
	}
}

// TestFetchWhoseStoreHangs ends with its connection.
func TestFetchWhoseStoreHangs(t *testing.T) {
	w, c := loaded(t, option{cache: 1, gate: make(chan struct{})}, 1, 1)
	c.send(fetching(11, "t", 0))
	eventually(t, "loading", func() bool { return w.parked() == 1 })
	_ = c.nc.Close()
	eventually(t, "gone", func() bool { return len(w.s.conns()) == 0 && w.parked() == 0 })
}

// TestMissingObject: a store without the object is an error of that partition, one that consumers try again.
func TestMissingObject(t *testing.T) {
	w, c := loaded(t, option{cache: 1}, 2, 1)
	must(t, w.wal.store.Delete(t.Context(), w.wal.keys.WAL(w.wal.session, 1)))
	resp := call[*kmsg.FetchResponse](c, fetching(11, "t", 0, 1))
	if fetched(resp, 0).ErrorCode != codeStorage || fetched(resp, 1).ErrorCode != 0 {
		t.Errorf("answer %+v", resp)
	}
	if p := listed(call[*kmsg.ListOffsetsResponse](c, listing(7, "t", 0))); p.ErrorCode != codeStorage || p.Offset != -1 {
		t.Errorf("list offsets: %+v", p)
	}
}

// TestRequestBehindAParkedFetch: a client with one connection is not held up by its own long poll, but at most once in a
// quarter of MaxWait.
func TestRequestBehindAParkedFetch(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("t", 1)
	c := w.dial()
	md := kmsg.NewPtrMetadataRequest()
	pair := func(wait int32) {
		t.Helper()
		req := fetching(11, "t", 0)
		req.MaxWaitMillis = wait
		f, m := c.send(req), c.send(md)
		receive[*kmsg.FetchResponse](c, req, f) // within the deadline of a read, which is far below a minute
		receive[*kmsg.MetadataResponse](c, md, m)
	}
	pair(60_000)
	before := time.Now()
	pair(1000)
	if d := time.Since(before); d < 100*time.Millisecond {
		t.Errorf("the second came %v after the first", d)
	}
}

func TestFetchEndsWithItsConnection(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("t", 1)
	c := w.dial()
	req := fetching(11, "t", 0)
	req.MaxWaitMillis = 600_000
	c.send(req)
	eventually(t, "parked", func() bool { return w.parked() == 1 })
	_ = c.nc.Close()
	eventually(t, "gone", func() bool { return len(w.s.conns()) == 0 })
}

func (w *world) parked() (n int) {
	for _, c := range w.s.conns() {
		c.mu.Lock()
		n += len(c.mu.parked)
		c.mu.Unlock()
	}
	return n
}

func TestFetchAfterTheSlotIsLost(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("t", 1)
	c := w.dial()
	req := fetching(11, "t", 0)
	req.MaxWaitMillis = 60_000
	id := c.send(req)
	eventually(t, "parked", func() bool { return w.parked() == 1 })
	w.set.End()
	if f := fetched(receive[*kmsg.FetchResponse](c, req, id), 0); f.ErrorCode != codeNotLeaderOrFollower {
		t.Errorf("answer %+v", f)
	}
}

// TestFS2Sessions plays a session over the wire: full, incremental with nothing, with records, after an error.
func TestFS2Sessions(t *testing.T) {
	w, producer := loaded(t, option{cfg: Config{SessionMin: 2}}, 3, 1)
	c := w.dial()
	req := fetching(12, "t", 1, 1, 1)
	req.SessionEpoch = 0
	full := call[*kmsg.FetchResponse](c, req)
	if full.SessionID == 0 || len(full.Topics) != 1 || len(full.Topics[0].Partitions) != 3 {
		t.Fatalf("full: %+v", full)
	}
	next := kmsg.NewPtrFetchRequest()
	next.Version, next.SessionID, next.SessionEpoch, next.MaxBytes, next.MinBytes = 12, full.SessionID, 1, 1<<20, 1
	if resp := call[*kmsg.FetchResponse](c, next); resp.SessionID != full.SessionID || len(resp.Topics) != 0 || resp.ErrorCode != 0 {
		t.Errorf("nothing new: %+v", resp)
	}
	call[*kmsg.ProduceResponse](producer, producing(9, "t", batch(t, 1, 1)))
	next.SessionEpoch = 2
	if resp := call[*kmsg.FetchResponse](c, next); len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 || len(fetched(resp, 0).RecordBatches) == 0 {
		t.Errorf("new records: %+v", resp)
	}
	if resp := call[*kmsg.FetchResponse](c, next); resp.ErrorCode != codeInvalidFetchSessionEpoch {
		t.Errorf("old epoch: %+v", resp)
	}
	if resp := call[*kmsg.FetchResponse](w.dial(), next); resp.ErrorCode != codeFetchSessionIDNotFound { // FS7
		t.Errorf("on another connection: %+v", resp)
	}
	next.SessionEpoch = 3
	forgotten := kmsg.NewFetchRequestForgottenTopic()
	forgotten.Topic, forgotten.Partitions = "t", []int32{0}
	next.ForgottenTopics = append(next.ForgottenTopics, forgotten)
	next.Topics = fetching(12, "t", 2, 7).Topics // partition 0 again, 1 beyond the end
	if resp := call[*kmsg.FetchResponse](c, next); len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 2 {
		t.Errorf("changed: %+v", resp)
	}
	if n := w.s.sessions.Load(); n != 3 {
		t.Errorf("%d partitions in sessions", n)
	}
	small := fetching(12, "t", 1)
	small.SessionEpoch = 0
	if resp := call[*kmsg.FetchResponse](c, small); resp.SessionID != 0 { // FS6
		t.Errorf("a session for one partition: %+v", resp)
	}
}

// TestSessionsAreBounded: a session that would take more than its share ends, and says so.
func TestSessionsAreBounded(t *testing.T) {
	w := newWorld(t, option{cfg: Config{SessionMin: 1, SessionMax: 3}})
	w.topic("t", 1)
	c := w.dial()
	req := fetching(12, "t", 0)
	req.SessionEpoch = 0
	full := call[*kmsg.FetchResponse](c, req)
	req = fetching(12, "t", 0, 0, 0, 0)
	req.SessionID, req.SessionEpoch = full.SessionID, 1
	if resp := call[*kmsg.FetchResponse](c, req); full.SessionID == 0 || resp.ErrorCode != codeFetchSessionIDNotFound {
		t.Errorf("grown to 4: %+v", resp)
	}
	if n := w.s.sessions.Load(); n != 0 {
		t.Errorf("%d partitions left", n)
	}
	req.SessionID, req.SessionEpoch = 0, 0
	if resp := call[*kmsg.FetchResponse](c, req); resp.SessionID != 0 || resp.ErrorCode != 0 {
		t.Errorf("opened with 4: %+v", resp)
	}
}

// TestSessionsKeepNoLongNames: no topic can have a name as long as those that a request may have. A session would keep them for as long as
// its connection lives.
func TestSessionsKeepNoLongNames(t *testing.T) {
	w := newWorld(t, option{cfg: Config{SessionMin: 1}})
	w.topic("t", 1)
	c := w.dial()
	for name, kept := range map[string]bool{strings.Repeat("n", 249): true, strings.Repeat("n", 250): false} {
		req := fetching(12, name, 0)
		req.SessionEpoch = 0
		if resp := call[*kmsg.FetchResponse](c, req); resp.SessionID != 0 != kept || len(resp.Topics) != 1 || fetched(resp, 0).ErrorCode != codeUnknownTopicOrPartition {
			t.Errorf("opened with a name of %d bytes: session %d, %d topics", len(name), resp.SessionID, len(resp.Topics))
		}
	}
	next := sessionOf(c, 1<<20, 0)
	next.Topics = fetching(12, strings.Repeat("n", 250), 0).Topics
	if resp := call[*kmsg.FetchResponse](c, next); resp.ErrorCode != codeFetchSessionIDNotFound {
		t.Errorf("a long name comes into a session: %+v", resp)
	}
	if n := w.s.sessions.Load(); n != 1 {
		t.Errorf("%d partitions left", n)
	}
}

// TestTooManyParked: with no room to wait, a Fetch is answered with what there is.
func TestTooManyParked(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("t", 1)
	w.s.parked.Add(maxParked)
	req := fetching(11, "t", 0)
	req.MaxWaitMillis = 60_000
	if f := fetched(call[*kmsg.FetchResponse](w.dial(), req), 0); f.ErrorCode != 0 || len(f.RecordBatches) != 0 {
		t.Errorf("answer %+v", f)
	}
	w.s.parked.Add(-maxParked)
}

// sessionOf opens a session over partitions of t from the given offsets.
func sessionOf(c *client, maxBytes int32, offsets ...int64) *kmsg.FetchRequest {
	c.t.Helper()
	req := fetching(12, "t", offsets...)
	req.SessionEpoch, req.MaxBytes = 0, maxBytes
	full := call[*kmsg.FetchResponse](c, req)
	if full.SessionID == 0 {
		c.t.Fatalf("no session: %+v", full)
	}
	next := fetching(12, "t")
	next.SessionID, next.SessionEpoch, next.MaxBytes, next.Topics = full.SessionID, 1, maxBytes, nil
	return next
}

// TestFE12EveryPartitionGetsItsTurn: with room for one batch per answer, a session serves one partition after the other.
func TestFE12EveryPartitionGetsItsTurn(t *testing.T) {
	_, c := loaded(t, option{cfg: Config{SessionMin: 2}}, 3, 1)
	next := sessionOf(c, 1, 0, 0, 0) // served partition 0
	var got []int32
	for range 4 {
		resp := call[*kmsg.FetchResponse](c, next)
		next.SessionEpoch++
		for _, p := range resp.Topics[0].Partitions {
			if len(p.RecordBatches) > 0 {
				got = append(got, p.Partition)
			}
		}
	}
	if len(got) != 4 || [4]int32(got) != [4]int32{1, 2, 0, 1} {
		t.Errorf("served %v", got)
	}
}

// TestFS3OverlappingRequests: the answer to a request that a later one of its session overtook is an error.
func TestFS3OverlappingRequests(t *testing.T) {
	_, c := loaded(t, option{cfg: Config{SessionMin: 2}}, 2, 1)
	parked := fetching(11, "t", 1)
	parked.MaxWaitMillis = 4000
	md := kmsg.NewPtrMetadataRequest()
	f, m := c.send(parked), c.send(md)
	receive[*kmsg.FetchResponse](c, parked, f)
	receive[*kmsg.MetadataResponse](c, md, m) // so the next Fetch is not hurried for a second
	first := sessionOf(c, 1<<20, 1, 1)
	first.MaxWaitMillis = 4000
	second := *first
	second.SessionEpoch, second.MaxWaitMillis = 2, 0
	a, b := c.send(first), c.send(&second)
	if resp := receive[*kmsg.FetchResponse](c, first, a); resp.ErrorCode != codeInvalidFetchSessionEpoch {
		t.Errorf("overtaken: %+v", resp)
	}
	if resp := receive[*kmsg.FetchResponse](c, &second, b); resp.ErrorCode != 0 || resp.SessionID != first.SessionID {
		t.Errorf("the later one: %+v", resp)
	}
}
