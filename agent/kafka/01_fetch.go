package kafka

import (
	"slices"
	"time"

	"github.com/varvelog/varve/agent/fetch"
	"github.com/varvelog/varve/agent/partition"
	"github.com/varvelog/varve/agent/topic"
)

// Fetch (key 1): v4-18.
//
//	v5: log start. v7: sessions (KIP-227). v9: leader epochs. v10: zstd. v11: racks. v12: flexible, diverging epochs.
//	v13: topics by id (KIP-516). v15: the replica's state in a tagged field. v16: the new leader (KIP-951). v17, v18: more
//	of replicas.
//
// Differs from Kafka: sessions end with their connection and begin at Config.SessionMin partitions; a replica id counts for
// nothing, nobody reads above the high watermark; a Fetch that another request waits behind is answered early. A log belongs
// to a topic's id, so an id is either unknown or right: INCONSISTENT_TOPIC_ID never occurs (FE13). While other partitions have records,
// an offset above the log end is refused by the next Fetch of the connection, since that takes a read of the store (FE11).

// fetchOp is a Fetch request between admission and answer. It is pooled.
type fetchOp struct {
	c        *conn
	sl       *slot
	minBytes int
	maxBytes int
	wait     time.Duration
	began    time.Time
	stable   bool // read_committed
	session  *session
	epoch    int32 // of the session, when its answer is made

	parts   []fetchPart
	slices  []fetch.Slice
	size    int                // bytes of slices
	held    int64              // taken from the connection's share
	urgent  bool               // an answer must not wait
	missed  bool               // something is not in memory, or must be confirmed
	unknown bool               // a topic is not known here, and may be new
	loaded  bool               // the store was asked: what it gave does not wait for more
	weight  int64              // partitions that it counts for while it is parked
	hasty   bool               // too many are parked: answer as soon as the store allows
	early   chan time.Duration // after how long to answer, because a request waits behind this one
	answer  fetchAnswer

	// Of who waits, and kept for the next who does. Watched are the partitions that wake the waiter.
	waiter  *partition.Waiter
	timer   *time.Timer
	watched []*partition.Partition
}

// fetchPart is a partition of a request and what was found out about it.
type fetchPart struct {
	key       partKey
	name      string // of the topic, "" if it is not known
	slot      uint16
	want      fetchWant
	p         *partition.Partition // nil: code says why
	code      int16
	confirmed bool // the session was active when the offset lay above the log end
	miss      bool // has records that are not in memory
	look      fetchResult
}

// admitFetch answers at once what can be, and starts a goroutine for what must wait or load.
func (c *conn) admitFetch(sl *slot, q *fetchRequest) {
	if string(q.rack) != c.zone {
		c.inZone(string(q.rack))
	}
	op := c.s.newFetch(c, sl, q)
	if q.isolation < 0 || q.isolation > 1 {
		op.addAll(q)
		op.refuse(codeInvalidRequest)
		return
	}
	if code := op.resolve(q); code != codeNone {
		op.refuse(code)
		return
	}
	if !op.unknown {
		op.collect()
		if op.mayRespond() {
			op.respond()
			return
		}
	}
	c.park(op)
	c.spawn(op.run)
}

// mayRespond reports whether what memory holds is answer enough. If so, and if there is more that memory does not hold, its
// loading is started and the next Fetch of the connection waits for it: partitions whose consumer lags do not slow down
// those at the tail, and get their turn nevertheless.
func (op *fetchOp) mayRespond() bool {
	c, skipped := op.c, op.c.skipped
	c.skipped = false
	switch {
	case !op.ready():
		return false
	case !op.missed:
		return true
	case skipped || op.size == 0 && !op.urgent:
		return false
	}
	c.skipped = true
	c.warm(op.misses())
	return true
}

func (s *Server) newFetch(c *conn, sl *slot, q *fetchRequest) *fetchOp {
	op, ok := s.fetches.Get().(*fetchOp)
	if !ok {
		op = &fetchOp{early: make(chan time.Duration, 1)}
	}
	op.c, op.sl, op.began = c, sl, sl.start
	op.minBytes = int(q.minBytes)
	op.maxBytes = int(min(max(q.maxBytes, 0), s.cfg.FetchMaxBytes))
	op.wait = min(time.Duration(max(q.maxWait, 0))*time.Millisecond, maxFetchWait)
	op.stable = q.isolation == 1
	op.session, op.epoch, op.loaded, op.unknown, op.hasty = nil, 0, false, false, false
	return op
}

// maxFetchWait bounds MaxWait: Kafka has no bound, but a request that never ends cannot be told from one that hangs.
const maxFetchWait = 10 * time.Minute

// refuse answers with an error for the whole request.
func (op *fetchOp) refuse(code int16) {
	op.sl.api.m.fail(code)
	if op.sl.hdr.version < 7 { // there is no such field: every partition says it
		for i := range op.parts {
			op.parts[i].blank(code)
		}
	} else {
		clear(op.parts)
		op.parts = op.parts[:0]
	}
	op.send(code, 0)
}

// find looks the partitions up.
func (op *fetchOp) find() {
	var top *topic.Topic
	for i := range op.parts {
		part := &op.parts[i]
		if i == 0 || !part.key.sameTopic(&op.parts[i-1].key) {
			top = op.lookup(part.key)
		}
		op.unknown = op.unknown || top == nil
		if top == nil && op.sl.hdr.version >= 13 {
			part.code = codeUnknownTopicID
			continue
		}
		if top == nil || part.key.index < 0 || part.key.index >= top.Partitions() {
			part.code = codeUnknownTopicOrPartition
			continue
		}
		part.name, part.slot = top.Name, top.Slots[part.key.index]
		id := partition.ID{Topic: top.ID, Index: part.key.index}
		p, err := op.c.s.deps.Partitions.Get(id, top.Name, top.Slots[part.key.index])
		part.p, part.code = p, codeOf(err, codeUnknown)
	}
}

// lookup returns the topic of a partition, nil if it is not known here.
func (op *fetchOp) lookup(key partKey) *topic.Topic {
	if op.sl.hdr.version >= 13 {
		return op.c.s.deps.Topics.LookupID(key.id)
	}
	return op.c.s.deps.Topics.Lookup(key.topic)
}

// ready reports whether the answer need not wait for more.
func (op *fetchOp) ready() bool {
	return op.urgent || op.hasty || op.wait <= 0 || op.loaded && op.size > 0 || op.size >= op.minBytes || op.c.draining.Load()
}

// respond answers with what was collected.
func (op *fetchOp) respond() {
	s, id := op.session, int32(0)
	if s != nil {
		c := op.c
		c.mu.Lock()
		if !c.mu.sessions.has(s, op.epoch) {
			c.mu.Unlock()
			op.drop()
			op.refuse(codeInvalidFetchSessionEpoch)
			return
		}
		id = s.id
		op.choose(s)
		c.mu.Unlock()
	}
	op.send(codeNone, id)
}

// send encodes the answer and completes the slot. What was collected goes with it.
func (op *fetchOp) send(code int16, session int32) {
	a, sl := &op.answer, op.sl
	a.version, a.code, a.session, a.committed = sl.hdr.version, code, session, op.stable
	a.results, a.slices, a.nodes = slices.Grow(a.results[:0], len(op.parts)), op.slices, a.nodes[:0]
	for i := range op.parts {
		r := op.parts[i].look
		if a.version >= 16 {
			r.leader = op.hint(&op.parts[i])
		}
		sl.api.m.fail(r.code)
		a.results = append(a.results, r)
	}
	r := op.c.s.newReply()
	dst := slices.Grow(r.b, a.most()+16)
	r.b, r.frags = a.appendTo(appendHeader(dst, sl, a.version >= 12), r.frags)
	r.recs = append(r.recs, op.slices...)
	sl.reply, sl.size = r, int64(len(r.b))+int64(op.size)
	sl.held, op.held, op.size = op.held, 0, 0
	putSize(r.b, sl.size)
	c := op.c
	c.s.recycleFetch(op)
	c.ring.finish(sl)
}

func (s *Server) recycleFetch(op *fetchOp) {
	if cap(op.parts) > keepPartitions || cap(op.slices) > keepPartitions {
		return
	}
	clear(op.parts)
	clear(op.answer.results)
	clear(op.slices)
	clear(op.answer.nodes)
	op.slices = op.slices[:0]
	op.parts, op.c, op.sl, op.session, op.answer.slices = op.parts[:0], nil, nil, nil, nil
	select {
	case <-op.early:
	default:
	}
	s.fetches.Put(op)
}
