package kafka

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/fetch"
	"github.com/varvelog/varve/agent/partition"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// Fetch (key 1): v4-12.
//
//	v5: log start. v7: sessions (KIP-227). v9: leader epochs. v10: zstd. v11: racks. v12: flexible, diverging epochs.
//
// Differs from Kafka: sessions end with their connection and begin at Config.SessionMin partitions; a replica id counts for
// nothing, nobody reads above the high watermark; a Fetch that another request waits behind is answered early.

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
	full     bool  // every partition is answered

	parts   []fetchPart
	slices  []fetch.Slice
	size    int                // bytes of slices
	held    int64              // taken from the connection's share
	urgent  bool               // an answer must not wait
	missed  bool               // something is not in memory, or must be confirmed
	unknown bool               // a topic is not known here, and may be new
	loaded  bool               // the store was asked: what it gave does not wait for more
	early   chan time.Duration // after how long to answer, because a request waits behind this one
	answer  fetchAnswer
}

// fetchPart is a partition of a request and what was found out about it.
type fetchPart struct {
	key       partKey
	want      fetchWant
	p         *partition.Partition // nil: code says why
	code      int16
	confirmed bool // the session was active when the offset lay above the log end
	miss      bool // has records that are not in memory
	look      fetchResult
}

// admitFetch answers at once what can be, and starts a goroutine for what must wait or load.
func admitFetch(c *conn, sl *slot, req kmsg.Request) {
	q := req.(*kmsg.FetchRequest)
	op := c.s.newFetch(c, sl, q)
	if q.IsolationLevel < 0 || q.IsolationLevel > 1 {
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
	c.warm(op)
	return true
}

func (s *Server) newFetch(c *conn, sl *slot, q *kmsg.FetchRequest) *fetchOp {
	op, ok := s.fetches.Get().(*fetchOp)
	if !ok {
		op = &fetchOp{early: make(chan time.Duration, 1)}
	}
	op.c, op.sl, op.began = c, sl, sl.start
	op.minBytes = int(q.MinBytes)
	op.maxBytes = int(min(max(q.MaxBytes, 0), s.cfg.FetchMaxBytes))
	op.wait = min(time.Duration(max(q.MaxWaitMillis, 0))*time.Millisecond, maxFetchWait)
	op.stable = q.IsolationLevel == 1
	op.session, op.epoch, op.full, op.loaded, op.unknown = nil, 0, true, false, false
	return op
}

// maxFetchWait bounds MaxWait: Kafka has no bound, but a request that never ends cannot be told from one that hangs.
const maxFetchWait = 10 * time.Minute

// refuse answers with an error for the whole request.
func (op *fetchOp) refuse(code int16) {
	op.sl.api.m.fail(code)
	if op.sl.hdr.version < 7 { // there is no such field: every partition says it
		for i := range op.parts {
			op.parts[i].look.code = code
		}
	} else {
		clear(op.parts)
		op.parts = op.parts[:0]
	}
	op.send(code, 0)
}

// resolve finds the session and the partitions that the request is about.
func (op *fetchOp) resolve(q *kmsg.FetchRequest) int16 {
	c := op.c
	if q.Version < 7 {
		op.addAll(q)
		op.find()
		return codeNone
	}
	c.mu.Lock()
	s, fresh, freed, code := c.mu.sessions.find(q.SessionID, q.SessionEpoch)
	if code == codeNone && s == nil {
		op.addAll(q)
		if fresh {
			freed += op.open()
		}
	} else if code == codeNone {
		freed += op.update(s, q)
	}
	c.mu.Unlock()
	c.s.sessions.Add(-int64(freed))
	if code == codeNone {
		op.find()
	}
	return code
}

func (op *fetchOp) addAll(q *kmsg.FetchRequest) {
	for i := range q.Topics {
		t := &q.Topics[i]
		for j := range t.Partitions {
			op.parts = append(op.parts, fetchPart{key: partKey{t.Topic, t.Partitions[j].Partition}, want: wantOf(&t.Partitions[j])})
		}
	}
}

func wantOf(p *kmsg.FetchRequestTopicPartition) fetchWant {
	return fetchWant{offset: p.FetchOffset, maxBytes: p.PartitionMaxBytes, epoch: p.CurrentLeaderEpoch, lastEpoch: p.LastFetchedEpoch}
}

// open begins a session if the request has enough partitions for it to pay, and there is room; under the connection's lock.
// It returns how many partitions older sessions gave up.
func (op *fetchOp) open() (freed int) {
	srv, n := op.c.s, len(op.parts)
	if n < srv.cfg.SessionMin || srv.sessions.Load()+int64(n) > int64(srv.cfg.SessionMax) {
		return 0
	}
	id := rand.Int32N(1<<31-1) + 1
	if op.c.mu.sessions.index(id) >= 0 {
		return 0
	}
	s, freed := op.c.mu.sessions.open(id)
	for i := range op.parts {
		s.put(op.parts[i].key, op.parts[i].want)
	}
	srv.sessions.Add(int64(len(s.parts)))
	op.session, op.epoch = s, s.epoch
	return freed
}

// update applies an incremental request to its session, and asks for all that it holds; under the connection's lock.
func (op *fetchOp) update(s *session, q *kmsg.FetchRequest) (freed int) {
	before := len(s.parts)
	for i := range q.ForgottenTopics {
		for _, index := range q.ForgottenTopics[i].Partitions {
			s.remove(partKey{q.ForgottenTopics[i].Topic, index})
		}
	}
	s.prune()
	for i := range q.Topics {
		for j := range q.Topics[i].Partitions {
			p := &q.Topics[i].Partitions[j]
			s.put(partKey{q.Topics[i].Topic, p.Partition}, wantOf(p))
		}
	}
	for _, p := range s.order {
		op.parts = append(op.parts, fetchPart{key: p.key, want: p.want})
	}
	op.session, op.epoch, op.full = s, s.epoch, false
	return before - len(s.parts)
}

// find looks the partitions up.
func (op *fetchOp) find() {
	for i := range op.parts {
		part := &op.parts[i]
		top := op.c.s.deps.Topics.Lookup(part.key.topic)
		op.unknown = op.unknown || top == nil
		if top == nil || part.key.index < 0 || part.key.index >= top.Partitions() {
			part.code = codeUnknownTopicOrPartition
			continue
		}
		id := partition.ID{Topic: top.ID, Index: part.key.index}
		p, err := op.c.s.deps.Partitions.Get(id, top.Name, top.Slots[part.key.index])
		part.p, part.code = p, codeOf(err, codeUnknown)
	}
}

// collect looks at every partition anew and takes what memory holds, up to the limits. It never waits.
func (op *fetchOp) collect() {
	op.drop()
	op.held = op.c.hold(int64(op.maxBytes))
	room := int(op.held)
	op.urgent, op.missed = len(op.parts) == 0, false
	for i := range op.parts {
		part := &op.parts[i]
		before := part.inspect(op.stable)
		switch {
		case part.look.code != codeNone || part.look.divergent.epoch >= 0:
			op.urgent = true
		case before < 0: // above the log end, to be confirmed
			op.missed = true
		case part.want.offset < before && (op.size == 0 || op.size < room):
			n, err := 0, error(nil)
			op.slices, n, err = op.c.s.deps.Reader.Read(op.c.ctx, fetch.Request{
				Log: part.p, From: part.want.offset, Before: before,
				MaxBytes: min(part.most(), max(room-op.size, 0)), AtLeastOne: op.size == 0, Mode: fetch.Cached,
			}, op.slices)
			part.miss = n == 0 && err != nil
			op.missed = op.missed || part.miss
			op.add(part, n)
		}
	}
	op.settle()
}

func (part *fetchPart) most() int { return int(max(part.want.maxBytes, 0)) }

// add makes the last n bytes of the slices the records of part.
func (op *fetchOp) add(part *fetchPart, n int) {
	if n == 0 {
		return
	}
	to := len(op.slices)
	from := to
	for left := n; left > 0; left -= len(op.slices[from].Bytes) {
		from--
	}
	if op.sl.hdr.version < 10 && slices.ContainsFunc(op.slices[from:], holdsZstd) {
		for _, s := range op.slices[from:] {
			s.Release()
		}
		clear(op.slices[from:])
		op.slices = op.slices[:from]
		part.look.code, op.urgent = codeUnsupportedCompression, true
		return
	}
	part.look.from, part.look.to, part.look.size = from, to, n
	op.size += n
}

// settle makes what is held what was read: one batch more than the share, at most.
func (op *fetchOp) settle() {
	op.c.unhold(op.held - int64(op.size))
	op.held = int64(op.size)
}

// drop lets go of what was read.
func (op *fetchOp) drop() {
	for i := range op.slices {
		op.slices[i].Release()
		op.slices[i] = fetch.Slice{}
	}
	op.c.unhold(op.held)
	op.slices, op.size, op.held = op.slices[:0], 0, 0
}

// inspect brings a partition's result up to date, and returns the offset before which it may be read; -1 if the wanted one
// is above the log end, which must be confirmed before it is said.
func (part *fetchPart) inspect(stable bool) (before int64) {
	part.miss = false
	part.look = fetchResult{topic: part.key.topic, index: part.key.index, code: part.code,
		hw: -1, stable: -1, start: -1, divergent: divergence{epoch: -1}}
	if part.p == nil {
		return 0
	}
	st, err := part.p.State()
	if err != nil {
		part.look.code = codeOf(err, codeUnknown)
		return 0
	}
	if part.look.code = checkEpoch(part.want.epoch, st.Epoch); part.look.code != codeNone {
		return 0
	}
	part.look.hw, part.look.stable, part.look.start = st.HighWatermark, st.LastStable, st.LogStart
	if part.want.lastEpoch >= 0 {
		epoch, end := part.p.EndOfEpoch(part.want.lastEpoch)
		switch {
		case epoch < 0:
			part.outOfRange()
			return 0
		case epoch < part.want.lastEpoch || end < part.want.offset:
			part.look.divergent = divergence{epoch, end}
			return 0
		}
	}
	switch at := part.want.offset; {
	case at < st.LogStart || at > st.LogEnd && part.confirmed:
		part.outOfRange()
	case at > st.LogEnd:
		return -1
	}
	if stable {
		return st.LastStable
	}
	return st.HighWatermark
}

func (part *fetchPart) outOfRange() {
	part.look.code = codeOffsetOutOfRange
	part.look.hw, part.look.stable, part.look.start = -1, -1, -1
}

// checkEpoch compares the leader epoch that a client knows with ours (KIP-320).
func checkEpoch(client, ours int32) int16 {
	switch {
	case client < 0 || client == ours:
		return codeNone
	case client < ours:
		return codeFencedLeaderEpoch
	}
	return codeUnknownLeaderEpoch
}

// holdsZstd reports whether a batch is compressed with zstd, which consumers before version 10 do not know (KIP-110).
func holdsZstd(s fetch.Slice) bool {
	for rest := s.Bytes; ; {
		b, after, err := recordbatch.Next(rest)
		if err != nil || b == nil {
			return false
		}
		if b.Codec() == recordbatch.Zstd {
			return true
		}
		rest = after
	}
}

// ready reports whether the answer need not wait for more.
func (op *fetchOp) ready() bool {
	return op.urgent || op.wait <= 0 || op.loaded && op.size > 0 || op.size >= op.minBytes || op.c.draining.Load()
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

// choose leaves what an incremental answer must hold, and gives the other partitions their turn next time.
func (op *fetchOp) choose(s *session) {
	served := false
	kept := op.parts[:0]
	for _, part := range op.parts {
		r := &part.look
		p := s.parts[part.key]
		if p == nil {
			continue
		}
		p.served = r.size > 0
		served = served || p.served
		if p.tells(told{r.code, r.hw, r.start, r.size > 0, r.divergent.epoch >= 0}) || op.full {
			kept = append(kept, part)
		}
	}
	clear(op.parts[len(kept):])
	op.parts = kept
	if served {
		s.rotate()
	}
}

// send encodes the answer and completes the slot. What was collected goes with it.
func (op *fetchOp) send(code int16, session int32) {
	a, sl := &op.answer, op.sl
	a.version, a.code, a.session, a.committed = sl.hdr.version, code, session, op.stable
	a.results, a.slices = a.results[:0], op.slices
	for i := range op.parts {
		r := op.parts[i].look
		if r.topic == "" {
			r.topic, r.index, r.hw, r.stable, r.start = op.parts[i].key.topic, op.parts[i].key.index, -1, -1, -1
			r.divergent.epoch = -1
		}
		sl.api.m.fail(r.code)
		a.results = append(a.results, r)
	}
	b := op.c.s.getBuffer()
	dst := slices.Grow((*b)[:0], a.most()+16)
	*b, sl.frags = a.appendTo(appendHeader(dst, sl, a.version >= 12), sl.frags[:0])
	sl.buf, sl.size = b, int64(len(*b))+int64(op.size)
	sl.recs = append(sl.recs[:0], op.slices...)
	sl.held, op.held, op.size = op.held, 0, 0
	putSize(*b, sl.size)
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
	op.slices = op.slices[:0]
	op.parts, op.c, op.sl, op.session, op.answer.slices = op.parts[:0], nil, nil, nil, nil
	select {
	case <-op.early:
	default:
	}
	s.fetches.Put(op)
}
