package kafka

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"
	"unsafe"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/cluster"
	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/agent/partition"
	"github.com/varvelog/varve/agent/topic"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// Produce (key 0): v3-13; v0-2 are told, and close the connection, as in Kafka 4.
//
//	v5: log start. v7: zstd. v8: refused records. v9: flexible. v10: the new leader (KIP-951).
//	v12: partitions join a transaction by themselves (KIP-890). v13: topics by id (KIP-516).
//
// Differs from Kafka: records are not decompressed unless the topic is compacted; null records are answered with
// INVALID_RECORD (Kafka says nothing at all); a transactional id or batch gets TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
// which is the one code that every client takes as final instead of asking again or beginning anew; for 35 s after a partition got
// another leader an idempotent producer without state there begins with sequence 0, and is told NOT_ENOUGH_REPLICAS until it does
// (Kafka lets it begin anywhere, and then its first batch, sent to the leader of before, may come after its second).

// admitProduce appends the batches of a request, in the reader, so that those of a connection get their offsets in the
// order they came (D3). The caller releases buf; the WAL holds on to it by itself.
func (c *conn) admitProduce(sl *slot, cur cursor, buf *memory.Buf) error {
	p := &c.produce
	defer p.clear()
	if err := p.decode(cur, sl.hdr.version); err != nil {
		return err
	}
	charge, err := c.manyResults(len(p.parts), buf.Len())
	if err != nil {
		return err
	}
	op := c.s.newProduce(sl)
	op.charge, op.results = charge, slices.Grow(op.results, len(p.parts))
	if p.transactional {
		c.refuseTransaction(p.txnID)
	}
	w := appending{c: c, op: op, req: p, frame: buf, now: time.Now().UnixMilli(), found: func() {}, calm: func() {}}
	defer func() { w.found(); w.calm() }()
	if 4*p.recordBytes < int64(buf.Len()) && buf.Len() > sparseFrame {
		w.copies = c.s.room(int(p.recordBytes))
		defer w.copies.Release()
	}
	at := 0
	for _, t := range p.topics {
		w.topic(t, p.parts[at:at+t.parts])
		at += t.parts
	}
	op.admitted(p.acks, time.Duration(p.timeout)*time.Millisecond)
	return nil
}

// sparseFrame: a frame of more bytes than this of which less than a quarter is records is not held until the commit; its
// batches are copied out. Denser ones are never copied: all their batches go with the same flush anyway.
const sparseFrame = 64 << 10

// appending is one request on its way through admission.
type appending struct {
	c      *conn
	op     *produceOp
	req    *produceRequest
	frame  *memory.Buf
	copies *memory.Buf // of a sparse frame: room for all its records
	used   int         // bytes of it
	now    int64       // ms
	search context.Context
	found  context.CancelFunc

	patience context.Context // ends when slots are not waited for any more; nil: none was
	calm     context.CancelFunc
}

// searching bounds the search for all topics of the request that are not known here: the reader waits for it, and with it
// whatever else the client sends.
func (w *appending) searching() context.Context {
	if w.search == nil {
		w.search, w.found = context.WithTimeout(w.c.ctx, findTime)
	}
	return w.search
}

func (w *appending) topic(t produceTopic, parts []producePartition) {
	op := w.op
	top, told := w.find(t)
	told.parts = len(parts)
	op.topics = append(op.topics, told)
	for _, part := range parts {
		tag := len(op.results)
		r := produceResult{index: part.index, base: -1, appendTime: -1, logStart: -1, leader: noLeader}
		op.mu.Lock()
		op.results = append(op.results, r)
		op.mu.Unlock()
		r, err := w.partition(top, part, tag, r)
		if err != nil {
			r.code = codeOf(err, codeUnknown)
			w.c.s.byKey[keyProduce].m.fail(r.code)
		}
		op.settle(tag, r)
	}
}

// find returns a topic as the request names it, nil if there is none, and how the answer names it.
func (w *appending) find(t produceTopic) (*topic.Topic, producedTopic) {
	s := w.c.s
	if w.op.version >= 13 {
		id := uuid.UUID(t.name)
		return s.findID(w.searching(), id), producedTopic{id: id}
	}
	// The string aliases the frame: Lookup keeps no key, and nothing else sees it.
	if top := s.deps.Topics.Lookup(unsafe.String(unsafe.SliceData(t.name), len(t.name))); top != nil {
		return top, producedTopic{name: top.Name}
	}
	name := string(t.name)
	return s.find(w.searching(), name), producedTopic{name: name}
}

// The refusals that no room below knows.
var (
	errAcks          = errors.New("acks is none of -1, 0, 1")
	errTransactional = errors.New("transactions are not supported")
	errNoBatch       = errors.New("no records")
	errTwoBatches    = errors.New("more than one batch for a partition")
	errControl       = errors.New("control batch from a client")
	errKeyless       = errors.New("record without a key on a compacted topic")
	errOldZstd       = errors.New("zstd before version 7")
)

// partition checks and appends the batch of one partition. r is what the answer begins as. While the commit is awaited
// the result may be settled by Appended before this returns.
func (w *appending) partition(top *topic.Topic, part producePartition, tag int, r produceResult) (produceResult, error) {
	switch {
	case w.req.acks < -1 || w.req.acks > 1:
		return r, errAcks
	case w.req.transactional:
		r.message = txnMessage
		return r, errTransactional
	case top == nil && w.op.version >= 13:
		return r, errUnknownID
	case top == nil || part.index < 0 || part.index >= top.Partitions():
		return r, topic.ErrUnknown
	}
	r.slot = top.Slots[part.index]
	b, err := w.batch(top, part, &r)
	if err != nil {
		return r, err
	}
	owner := w.frame
	if w.copies != nil {
		b, owner = w.copyOut(b), w.copies
	}
	a := partition.Append{
		Batch: b, Owner: owner, Now: w.now, LogAppendTime: top.Config.LogAppendTime,
		Before: top.Config.TimestampBefore, After: top.Config.TimestampAfter,
	}
	if w.req.acks == -1 || w.req.acks == 1 && top.Config.AcksOneAtCommit {
		a.Done, a.Tag = w.op, tag
		w.op.expect()
	}
	res, err := w.append(top, part.index, a)
	for w.awaits(r.slot, err) {
		res, err = w.append(top, part.index, a)
	}
	r.pending = err == nil && res.Pending && a.Done != nil
	if a.Done != nil && !r.pending {
		w.op.unexpect()
	}
	if err == nil {
		r.base, r.appendTime, r.logStart = res.Base, res.LogAppendTime, res.LogStart
	}
	return r, err
}

// append hands a batch to its partition, if this agent leads it.
func (w *appending) append(top *topic.Topic, index int32, a partition.Append) (partition.Result, error) {
	p, err := w.c.s.deps.Partitions.Get(partition.ID{Topic: top.ID, Index: index}, top.Name, top.Slots[index])
	if err != nil {
		return partition.Result{}, err
	}
	return p.Append(a)
}

// batch returns the one batch that records hold, checked.
func (w *appending) batch(top *topic.Topic, part producePartition, r *produceResult) (recordbatch.Batch, error) {
	b, rest, err := recordbatch.Next(part.records)
	switch {
	case err != nil:
		return nil, err
	case b == nil:
		return nil, errNoBatch
	case len(b) > int(top.Config.MaxMessageBytes):
		return nil, recordbatch.ErrTooLarge
	case len(rest) > 0:
		if second, _, err := recordbatch.Next(rest); err != nil || second == nil {
			return nil, recordbatch.ErrTruncated
		}
		return nil, errTwoBatches
	}
	if err := w.check(b, part); err != nil {
		return nil, err
	}
	switch {
	case b.IsControl():
		return nil, errControl
	case b.IsTransactional():
		r.message = txnMessage
		return nil, errTransactional
	case b.Codec() == recordbatch.Zstd && w.op.version < 7:
		return nil, errOldZstd
	}
	if top.Config.Compacted {
		return b, w.keys(b, r)
	}
	return b, nil
}

// check is recordbatch.Batch.Check for what the records of a partition begin with, whose CRC may be known from the reading.
func (w *appending) check(b recordbatch.Batch, part producePartition) error {
	if s := &w.c.sums; len(s.found) > 0 {
		if sum, ok := s.of(w.frame.Len()-part.after-len(part.records), len(b)); ok {
			return b.CheckSummed(sum)
		}
	}
	return b.Check()
}

// room returns a buffer for the records of a sparse frame, which counts against the budget like the frame it came in. It is
// one for all of them: the least size of a buffer is many times that of a small batch, and nothing waits for this budget.
func (s *Server) room(size int) *memory.Buf {
	buf := s.deps.Pool.Get(size)
	n := int64(memory.Capacity(size))
	s.deps.Budget.Take(n)
	buf.Charge(s.deps.Budget, n)
	return buf
}

// copyOut copies a batch to where it does not hold the frame.
func (w *appending) copyOut(b recordbatch.Batch) recordbatch.Batch {
	to := w.copies.Bytes()[w.used : w.used+len(b) : w.used+len(b)]
	w.used += copy(to, b)
	return recordbatch.Batch(to)
}

// hint returns the leader of a slot and its address, if the view knows one that is not this agent (ME8): whoever leads a slot
// that this agent has lost does so at a higher epoch.
func (s *Server) hint(slot uint16) (toldLeader, *cluster.Node) {
	v := s.deps.Cluster.View()
	if int(slot) >= len(v.Slots) || v.Slots[slot].Node < 0 || v.Slots[slot].Node == s.deps.Cluster.NodeID() {
		return noLeader, nil
	}
	n, ok := v.Node(v.Slots[slot].Node)
	if !ok {
		return noLeader, nil
	}
	return tell(v.Slots[slot]), &n
}

// txnMessage is what a client is told about transactions.
const txnMessage = "Transactions are not supported by this server yet; use an idempotent producer without transactional.id."

// refuseTransaction logs, once per connection, that a transactional id was refused.
func (c *conn) refuseTransaction(id []byte) {
	if c.refused {
		return
	}
	c.refused = true
	c.s.note(slog.LevelWarn, "transactional producer refused: transactions are not supported yet",
		"client", c.nc.RemoteAddr(), "transactional.id", printable(id))
}
