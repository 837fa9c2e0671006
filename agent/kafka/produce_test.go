package kafka

import (
	"bytes"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/cluster"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/recordbatch"
)

type (
	fakeView = cluster.View
	builder  = recordbatch.Builder
)

// produced returns the answer for the first partition.
func produced(resp *kmsg.ProduceResponse) kmsg.ProduceResponseTopicPartition {
	return resp.Topics[0].Partitions[0]
}

func idempotent(pid int64, epoch int16, seq int32) func(*builder) {
	return func(b *builder) { b.Producer = &recordbatch.Producer{ID: pid, Epoch: epoch, Sequence: seq} }
}

func codec(c recordbatch.Codec) func(*builder) { return func(b *builder) { b.Codec = c } }

func TestProduceAndFetchEveryVersion(t *testing.T) {
	w := newWorld(t, option{auto: true, cache: 16 << 20})
	w.topic("t", 1)
	c := w.dial()
	next := int64(0)
	for pv := int16(3); pv <= 11; pv++ {
		b := batch(t, 3, 100)
		p := produced(call[*kmsg.ProduceResponse](c, producing(pv, "t", b)))
		if p.ErrorCode != 0 || p.BaseOffset != next || p.LogAppendTime != -1 || p.LogStartOffset > 0 {
			t.Fatalf("produce v%d: %+v", pv, p)
		}
		for fv := int16(4); fv <= 12; fv++ {
			resp := call[*kmsg.FetchResponse](c, fetching(fv, "t", next+1)) // FE1: from inside of the batch
			f := resp.Topics[0].Partitions[0]
			got := recordbatch.Batch(f.RecordBatches)
			if f.ErrorCode != 0 || f.HighWatermark != next+3 || f.LastStableOffset != next+3 || len(got) != len(b) {
				t.Fatalf("fetch v%d: code %d, hw %d, %d bytes", fv, f.ErrorCode, f.HighWatermark, len(got))
			}
			if got.BaseOffset() != next || got.LeaderEpoch() != testEpoch || !bytes.Equal(got[16:], b[16:]) { // PR11, D5
				t.Fatalf("fetch v%d: batch at %d of epoch %d", fv, got.BaseOffset(), got.LeaderEpoch())
			}
		}
		next += 3
	}
}

// TestProduceRefuses: every way in which one partition of a request can be wrong.
func TestProduceRefuses(t *testing.T) {
	w := newWorld(t, option{auto: true})
	w.topic("t", 1, "max.message.bytes", "2000")
	w.topic("compacted", 1, "cleanup.policy", "compact")
	good := batch(t, 2, 10)
	damaged := bytes.Clone(good)
	damaged[len(damaged)-1] ^= 1
	old := bytes.Clone(good)
	old[16] = 1
	noKey, err := (&builder{}).Append(nil, []recordbatch.Record{{Key: []byte("k")}, {}})
	must(t, err)
	ahead, err := (&builder{}).Append(nil, []recordbatch.Record{{Timestamp: time.Now().Add(2 * time.Hour).UnixMilli()}})
	must(t, err)
	count := bytes.Clone(good)
	recordbatch.Batch(count).SetLogAppendTime(1) // for a good CRC over the wrong count
	count[60] = 9
	recordbatch.Batch(count).SetLogAppendTime(1)
	for _, c := range []struct {
		rule    string
		topic   string
		version int16
		records []byte
		code    int16
	}{
		{"PR1 two batches", "t", 9, append(bytes.Clone(good), good...), 87},
		{"PR1 old format", "t", 9, old, 87},
		{"PR1 empty", "t", 9, []byte{}, 87},
		{"PR1 null", "t", 9, nil, 87},
		{"PR1 trailing bytes", "t", 9, append(bytes.Clone(good), 1, 2, 3), 2},
		{"PR2 CRC", "t", 9, damaged, 2},
		{"PR2 cut", "t", 9, good[:len(good)-1], 2},
		{"PR2 count", "t", 9, count, 87},
		{"PR2 control", "t", 9, batch(t, 1, 1, func(b *builder) { b.Control = true }), 87},
		{"PR2 sequence", "t", 9, batch(t, 1, 1, idempotent(1, 0, -1)), 87},
		{"PR4 key", "compacted", 9, noKey, 87},
		{"PR5 size", "t", 9, batch(t, 1, 2000), 10},
		{"PR8 time", "t", 9, ahead, 32},
		{"PR12 topic", "nope", 9, good, 3},
		{"transactional", "t", 9, batch(t, 1, 1, idempotent(1, 0, 0), func(b *builder) { b.Transactional = true }), 53},
		{"zstd before 7", "t", 6, batch(t, 1, 1, codec(recordbatch.Zstd)), 76},
		{"zstd from 7", "t", 7, batch(t, 1, 1, codec(recordbatch.Zstd)), 0},
		{"key", "compacted", 9, batch(t, 2, 1, codec(recordbatch.Gzip)), 0},
	} {
		p := produced(call[*kmsg.ProduceResponse](w.dial(), producing(c.version, c.topic, c.records)))
		if p.ErrorCode != c.code || c.code != 0 && (p.BaseOffset != -1 || p.LogAppendTime != -1) {
			t.Errorf("%s: %+v, want code %d", c.rule, p, c.code)
		}
		if c.rule == "PR4 key" && (len(p.ErrorRecords) != 1 || p.ErrorRecords[0].RelativeOffset != 1 || p.ErrorMessage == nil) {
			t.Errorf("PR4: %+v", p)
		}
	}
}

func TestPR6Acks(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("t", 1)
	req := producing(9, "t", batch(t, 1, 1))
	req.Acks = 2
	if p := produced(call[*kmsg.ProduceResponse](w.dial(), req)); p.ErrorCode != codeInvalidRequiredAcks {
		t.Errorf("acks=2: %+v", p)
	}
	c := w.dial()
	req.Acks = 0
	c.send(req)
	call[*kmsg.MetadataResponse](c, kmsg.NewPtrMetadataRequest()) // the next answer is the next request's
	if n := w.wal.queued(); n != 1 {
		t.Errorf("acks=0: %d batches appended", n)
	}
	req.Topics[0].Topic = "nope"
	c.send(req)
	c.closed()
}

func TestPR7AcksOne(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("t", 1)
	w.topic("careful", 1, "varve.acks.one", "commit")
	c := w.dial()
	req := producing(9, "t", batch(t, 1, 1))
	req.Acks = 1
	if p := produced(call[*kmsg.ProduceResponse](c, req)); p.ErrorCode != 0 || p.BaseOffset != 0 {
		t.Errorf("acks=1 before the commit: %+v", p)
	}
	if f := call[*kmsg.FetchResponse](c, fetching(11, "t", 0)).Topics[0].Partitions[0]; f.HighWatermark != 0 || len(f.RecordBatches) != 0 {
		t.Errorf("read before the commit: %+v", f)
	}
	slow := producing(9, "careful", batch(t, 1, 1))
	slow.Acks = 1
	id := c.send(slow)
	eventually(t, "appended", func() bool { return w.wal.queued() == 2 })
	time.Sleep(20 * time.Millisecond)
	select {
	case <-w.answered(c):
		t.Error("acks=1 at commit is answered before")
	default:
	}
	w.wal.commit()
	if p := produced(receive[*kmsg.ProduceResponse](c, slow, id)); p.ErrorCode != 0 {
		t.Errorf("acks=1 at commit: %+v", p)
	}
}

func TestPR9LogAppendTime(t *testing.T) {
	w := newWorld(t, option{auto: true, cache: 1 << 20})
	w.topic("t", 1, "message.timestamp.type", "LogAppendTime")
	c := w.dial()
	before := time.Now().UnixMilli()
	p := produced(call[*kmsg.ProduceResponse](c, producing(9, "t", batch(t, 1, 1))))
	if p.LogAppendTime < before || p.LogAppendTime > time.Now().UnixMilli() {
		t.Errorf("append time %d", p.LogAppendTime)
	}
	b := recordbatch.Batch(call[*kmsg.FetchResponse](c, fetching(11, "t", 0)).Topics[0].Partitions[0].RecordBatches)
	if err := b.CheckCRC(); err != nil || !b.IsLogAppend() || b.MaxTimestamp() != p.LogAppendTime {
		t.Errorf("stored: %v, log append %v, %d", err, b.IsLogAppend(), b.MaxTimestamp())
	}
}

// TestPR13EveryPartitionIsAnswered, with the good ones appended and the others refused, in the order of the request.
func TestPR13EveryPartitionIsAnswered(t *testing.T) {
	w := newWorld(t, option{auto: true})
	w.topic("a", 2)
	good, bad := batch(t, 1, 1), []byte("x")
	req := producing(10, "a", good, bad, good)
	req.Topics = append(req.Topics, producing(10, "nope", good).Topics...)
	req.Topics = append(req.Topics, producing(10, "a", good).Topics...)
	resp := call[*kmsg.ProduceResponse](w.dial(), req)
	var got []int16
	for _, rt := range resp.Topics {
		for _, p := range rt.Partitions {
			got = append(got, p.ErrorCode)
		}
	}
	if want := []int16{0, 2, 3, 3, 0}; len(got) != 5 || [5]int16(got) != [5]int16(want) || resp.Topics[1].Topic != "nope" {
		t.Errorf("codes %v, want %v", got, want)
	}
}

func TestPR14TimeOut(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("t", 2)
	c := w.dial()
	b := batch(t, 1, 1, idempotent(7, 0, 0))
	req := producing(9, "t", b, []byte("x"))
	req.TimeoutMillis = 30
	resp := call[*kmsg.ProduceResponse](c, req)
	if p := resp.Topics[0].Partitions; p[0].ErrorCode != codeRequestTimedOut || p[0].BaseOffset != -1 || p[1].ErrorCode != 2 {
		t.Fatalf("answer %+v", p)
	}
	retry := producing(9, "t", b) // IP1: a duplicate, answered when the original commits, with its offset
	id := c.send(retry)
	w.wal.commit()
	if p := produced(receive[*kmsg.ProduceResponse](c, retry, id)); p.ErrorCode != 0 || p.BaseOffset != 0 {
		t.Errorf("retry: %+v", p)
	}
	if n := w.wal.queued(); n != 0 {
		t.Errorf("the retry was appended: %d", n)
	}
}

// TestIdempotence: rules IP1 to IP4 as the client sees them.
func TestIdempotence(t *testing.T) {
	w := newWorld(t, option{auto: true})
	w.topic("t", 1)
	c := w.dial()
	for i, s := range []struct {
		rule  string
		pid   int64
		epoch int16
		seq   int32
		n     int
		code  int16
		base  int64
	}{
		{"IP4 not the second before the first: the slot has a new leader", 1, 0, 2, 1, 19, -1},
		{"IP4 the first", 1, 0, 0, 2, 0, 0},
		{"IP2 next", 1, 0, 2, 1, 0, 2},
		{"IP1 duplicate", 1, 0, 0, 2, 0, 0},
		{"IP2 gap", 1, 0, 10, 1, 45, -1},
		{"IP3 new epoch from 0", 1, 1, 5, 1, 45, -1},
		{"IP3 new epoch", 1, 1, 0, 1, 0, 3},
		{"IP3 lower epoch", 1, 0, 3, 1, 47, -1},
	} {
		p := produced(call[*kmsg.ProduceResponse](c, producing(9, "t", batch(t, s.n, 1, idempotent(s.pid, s.epoch, s.seq)))))
		if p.ErrorCode != s.code || p.BaseOffset != s.base {
			t.Errorf("%d, %s: code %d, offset %d; want %d, %d", i, s.rule, p.ErrorCode, p.BaseOffset, s.code, s.base)
		}
	}
}

// TestIP7EndOfSession: when the session ends, what was not committed is refused with 6, first to last.
func TestIP7EndOfSession(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("t", 1)
	c := w.dial()
	var reqs []*kmsg.ProduceRequest
	for i := range int32(3) {
		reqs = append(reqs, producing(9, "t", batch(t, 1, 1, idempotent(1, 0, i))))
		c.send(reqs[i])
	}
	eventually(t, "appended", func() bool { return w.wal.queued() == 3 })
	w.wal.abandon()
	for i, req := range reqs {
		if p := produced(receive[*kmsg.ProduceResponse](c, req, int32(i+1))); p.ErrorCode != codeNotLeaderOrFollower || p.BaseOffset != -1 {
			t.Errorf("batch %d: %+v", i, p)
		}
	}
}

// TestME8Hint: an agent that lost a slot names the new leader, if it knows one, from version 10 on.
func TestME8Hint(t *testing.T) {
	w := newWorld(t, option{})
	top := w.topic("t", 1)
	w.wal.abandon()
	b := batch(t, 1, 1)
	p := produced(call[*kmsg.ProduceResponse](w.dial(), producing(10, "t", b)))
	if p.ErrorCode != codeNotLeaderOrFollower || p.CurrentLeader.LeaderID != -1 {
		t.Fatalf("a hint at itself: %+v", p)
	}
	w.node.change(func(v *fakeView) {
		v.Slots[top.Slots[0]] = cluster.Leader{Node: 2, Epoch: testEpoch + 1}
		v.Nodes = append(v.Nodes, cluster.Node{ID: 2, Host: "other", Port: 9, Zone: "z2"})
	})
	for v := int16(3); v <= 13; v++ {
		resp := call[*kmsg.ProduceResponse](w.dial(), producingTo(v, top, b))
		p := produced(resp)
		hint := p.CurrentLeader.LeaderID == 2 && p.CurrentLeader.LeaderEpoch == testEpoch+1 && len(resp.Brokers) == 1 && resp.Brokers[0].Host == "other"
		if p.ErrorCode != codeNotLeaderOrFollower || hint != (v >= 10) {
			t.Errorf("v%d: %+v, brokers %+v", v, p, resp.Brokers)
		}
	}
}

func TestTransactionalIDIsRefused(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("t", 1)
	id := "tx"
	req := producing(9, "t", batch(t, 1, 1))
	req.TransactionID = &id
	if p := produced(call[*kmsg.ProduceResponse](w.dial(), req)); p.ErrorCode != codeTransactionalIDAuthFailed || p.ErrorMessage == nil {
		t.Errorf("answer %+v", p)
	}
}

// TestSparseFrameIsNotHeld: a small batch in a large frame does not keep the frame's bytes until its commit.
func TestSparseFrameIsNotHeld(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("t", 1)
	req := producing(9, "t", batch(t, 1, 100))
	req.UnknownTags.Set(99, make([]byte, 1<<20))
	c := w.dial()
	id := c.send(req)
	eventually(t, "the frame let go", func() bool { return w.wal.queued() == 1 && w.budget.Used() <= 8<<10 })
	w.wal.commit()
	if p := produced(receive[*kmsg.ProduceResponse](c, req, id)); p.ErrorCode != 0 {
		t.Errorf("answer %+v", p)
	}
}

// TestCommitFasterThanAdmission: a commit may be told before the reader is done with the request, or with its partition.
func TestCommitFasterThanAdmission(t *testing.T) {
	s := New(Config{}, Deps{})
	for _, err := range []error{nil, records.ErrFenced} {
		c := newConn(t.Context(), s, nil)
		sl := c.ring.take()
		sl.hdr, sl.api = preamble{version: 9}, s.byKey[0]
		op := s.newProduce(sl)
		op.topics = append(op.topics, producedTopic{name: "t", parts: 2})
		for i := range int32(2) {
			op.results = append(op.results, produceResult{index: i, base: -1, appendTime: -1})
			op.expect()
			r := produceResult{index: i, base: 10, appendTime: -1, logStart: 3, pending: true, leader: noLeader}
			if i == 0 {
				op.Appended(0, err)
				op.settle(0, r)
			} else {
				op.settle(1, r)
				op.Appended(1, err)
			}
		}
		if !c.ring.idle() && sl.done {
			t.Fatal("answered before the admission ended")
		}
		op.admitted(-1, time.Hour)
		resp := kmsg.NewPtrProduceResponse()
		resp.Version = 9
		must(t, resp.ReadFrom(sl.reply.frags[0][9:]))
		base, code := int64(10), codeNone
		if err != nil {
			base, code = -1, codeNotLeaderOrFollower
		}
		for _, p := range resp.Topics[0].Partitions {
			if p.BaseOffset != base || p.ErrorCode != code || p.LogStartOffset != 3 {
				t.Errorf("error %v: %+v", err, p)
			}
		}
	}
}

// TestProduceAllocations: admission of a batch costs no allocation beyond what the WAL keeps of it.
func TestProduceAllocations(t *testing.T) {
	w := newWorld(t, option{budget: 1 << 30})
	w.topic("t", 4)
	b := batch(t, 1, 1000)
	frame := encode(producing(9, "t", b, b, b, b), 1)[sizeLen:]
	near, far := net.Pipe()
	defer func() { _ = near.Close(); _ = far.Close() }()
	c := newConn(t.Context(), w.s, near)
	got := testing.AllocsPerRun(200, func() {
		sl := c.ring.take()
		sl.hdr, sl.api = preamble{key: 0, version: 9, size: int64(len(frame))}, w.s.byKey[0]
		buf := w.pool.Get(len(frame))
		copy(buf.Bytes(), frame)
		must(t, c.dispatch(sl, buf))
		for _, e := range w.wal.take() {
			e.Owner.Release()
			e.Done.Appended(e.Tag, nil)
		}
		if _, n := c.ring.next(); n != 1 {
			t.Fatal("not answered")
		}
		sl.release()
		c.ring.wrote()
	})
	if got > 4*raceFactor { // the fake WAL's queue grows anew each time: 1, 2, 4 entries
		t.Errorf("%v allocations for a request of 4 batches", got)
	}
}
