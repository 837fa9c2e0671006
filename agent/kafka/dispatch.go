package kafka

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Keys that the code names.
const (
	keyProduce           = 0
	keyFetch             = 1
	keyAPIVersions       = 18
	keyConsumerHeartbeat = 68
	keyConsumerDescribe  = 69
	maxKey               = 127 // of the table's keys
)

// api is one row of the table of what this server answers.
type api struct {
	key      int16
	name     string
	min, max int16 // as told in ApiVersions
	floor    int16 // versions below are told and not answered, as Kafka does for clients that look at ranges only (KAFKA-18659)
	flexible int16 // first flexible version (KIP-482)
	elements int   // most array elements of a request
	fields   []field
	admit    func(c *conn, sl *slot, req kmsg.Request) // takes over the slot; nil: Produce and Fetch, which are not decoded by kmsg
	m        *keyMetrics
}

// dispatch returns the table. Handlers are inline, run in the reader and never wait; async, run beside it; mayWait, one or
// the other as the request is; barrier, run in the reader and may wait: what follows on the connection starts after them.
func dispatch() []api {
	return rows([]api{
		{key: keyProduce, name: "Produce", min: 0, max: 13, floor: 3, flexible: 9},
		{key: keyFetch, name: "Fetch", min: 4, max: 18, flexible: 12},
		{key: 2, name: "ListOffsets", min: 1, max: 11, flexible: 6, elements: maxElements, admit: mayWait((*Server).listOffsets, listOffsetsWaits)},
		{key: 3, name: "Metadata", min: 0, max: 13, flexible: 9, elements: maxElements, admit: admitMetadata},
		{key: 8, name: "OffsetCommit", min: 2, max: 10, flexible: 8, elements: maxElements, admit: grouped(offsetCommit)},
		{key: 9, name: "OffsetFetch", min: 1, max: 10, flexible: 6, elements: maxElements, admit: grouped(offsetFetch)},
		{key: 10, name: "FindCoordinator", min: 0, max: 6, flexible: 3, elements: maxAdmin, admit: admitFindCoordinator},
		{key: 11, name: "JoinGroup", min: 0, max: 9, flexible: 6, elements: maxAdmin, admit: admitJoinGroup},
		{key: 12, name: "Heartbeat", min: 0, max: 4, flexible: 4, elements: maxAdmin, admit: grouped(heartbeat)},
		{key: 13, name: "LeaveGroup", min: 0, max: 5, flexible: 4, elements: maxAdmin, admit: grouped(leaveGroup)},
		{key: 14, name: "SyncGroup", min: 0, max: 5, flexible: 4, elements: maxElements, admit: grouped(syncGroup)},
		{key: 15, name: "DescribeGroups", min: 0, max: 6, flexible: 5, elements: maxAdmin, admit: grouped(describeGroups)},
		{key: 16, name: "ListGroups", min: 0, max: 5, flexible: 3, elements: maxAdmin, admit: grouped(listGroups)},
		{key: keyAPIVersions, name: "ApiVersions", min: 0, max: 5, flexible: 3, elements: maxAdmin, admit: inline((*Server).apiVersions)},
		{key: 19, name: "CreateTopics", min: 2, max: 7, flexible: 5, elements: maxAdmin, admit: long((*Server).createTopics, func(q *kmsg.CreateTopicsRequest) int { return len(q.Topics) })},
		{key: 20, name: "DeleteTopics", min: 1, max: 6, flexible: 4, elements: maxAdmin, admit: barrier((*Server).deleteTopics)},
		{key: 21, name: "DeleteRecords", min: 0, max: 2, flexible: 2, elements: maxAdmin, admit: async((*Server).deleteRecords)},
		{key: 22, name: "InitProducerId", min: 0, max: 5, flexible: 2, elements: maxAdmin, admit: async((*Server).initProducerID)},
		{key: 23, name: "OffsetForLeaderEpoch", min: 2, max: 4, flexible: 4, elements: maxElements, admit: mayWait((*Server).offsetForLeaderEpoch, offsetForLeaderEpochWaits)},
		{key: 29, name: "DescribeAcls", min: 1, max: 3, flexible: 2, elements: maxAdmin, admit: inline((*Server).describeACLs)},
		{key: 30, name: "CreateAcls", min: 1, max: 3, flexible: 2, elements: maxAdmin, admit: inline((*Server).createACLs)},
		{key: 31, name: "DeleteAcls", min: 1, max: 3, flexible: 2, elements: maxAdmin, admit: inline((*Server).deleteACLs)},
		{key: 32, name: "DescribeConfigs", min: 1, max: 4, flexible: 4, elements: maxAdmin, admit: long((*Server).describeConfigs, func(q *kmsg.DescribeConfigsRequest) int { return len(q.Resources) })},
		{key: 33, name: "AlterConfigs", min: 0, max: 2, flexible: 2, elements: maxAdmin, admit: barrier((*Server).alterConfigs)},
		{key: 35, name: "DescribeLogDirs", min: 1, max: 5, flexible: 2, elements: maxElements, admit: async((*Server).describeLogDirs)},
		{key: 37, name: "CreatePartitions", min: 0, max: 3, flexible: 2, elements: maxAdmin, admit: barrier((*Server).createPartitions)},
		{key: 42, name: "DeleteGroups", min: 0, max: 3, flexible: 2, elements: maxAdmin, admit: grouped(deleteGroups)},
		{key: 43, name: "ElectLeaders", min: 0, max: 2, flexible: 2, elements: maxAdmin, admit: inline((*Server).electLeaders)},
		{key: 44, name: "IncrementalAlterConfigs", min: 0, max: 1, flexible: 1, elements: maxAdmin, admit: barrier((*Server).incrementalAlterConfigs)},
		{key: 45, name: "AlterPartitionReassignments", min: 0, max: 1, flexible: 0, elements: maxAdmin, admit: inline((*Server).alterPartitionReassignments)},
		{key: 46, name: "ListPartitionReassignments", min: 0, max: 0, flexible: 0, elements: maxAdmin, admit: inline((*Server).listPartitionReassignments)},
		{key: 47, name: "OffsetDelete", min: 0, max: 0, flexible: 1, elements: maxAdmin, admit: grouped(offsetDelete)},
		{key: 48, name: "DescribeClientQuotas", min: 0, max: 1, flexible: 1, elements: maxAdmin, admit: inline((*Server).describeClientQuotas)},
		{key: 49, name: "AlterClientQuotas", min: 0, max: 1, flexible: 1, elements: maxAdmin, admit: inline((*Server).alterClientQuotas)},
		{key: 50, name: "DescribeUserScramCredentials", min: 0, max: 0, flexible: 0, elements: maxAdmin, admit: inline((*Server).describeUserSCRAM)},
		{key: 51, name: "AlterUserScramCredentials", min: 0, max: 0, flexible: 0, elements: maxAdmin, admit: inline((*Server).alterUserSCRAM)},
		{key: 57, name: "UpdateFeatures", min: 0, max: 2, flexible: 0, elements: maxAdmin, admit: inline((*Server).updateFeatures)},
		{key: 60, name: "DescribeCluster", min: 0, max: 2, flexible: 0, elements: maxAdmin, admit: inline((*Server).describeCluster)},
		{key: 61, name: "DescribeProducers", min: 0, max: 0, flexible: 0, elements: maxElements, admit: mayWait((*Server).describeProducers, describeProducersWaits)},
		{key: keyConsumerHeartbeat, name: "ConsumerGroupHeartbeat", min: 0, max: 1, flexible: 0, elements: maxElements, admit: grouped(consumerGroupHeartbeat)},
		{key: keyConsumerDescribe, name: "ConsumerGroupDescribe", min: 0, max: 1, flexible: 0, elements: maxAdmin, admit: grouped(consumerGroupDescribe)},
		{key: 74, name: "ListConfigResources", min: 0, max: 1, flexible: 0, elements: maxAdmin, admit: async((*Server).listConfigResources)},
		{key: 75, name: "DescribeTopicPartitions", min: 0, max: 0, flexible: 0, elements: maxAdmin, admit: mayWait((*Server).describeTopicPartitions, describeTopicPartitionsWaits)},
	})
}

// rows completes rows of the table.
func rows(all []api) []api {
	for i := range all {
		all[i].floor = max(all[i].floor, all[i].min)
		all[i].fields = layout(all[i].key)
	}
	return all
}

// lookup returns the row of a key, nil if it is not answered.
func (s *Server) lookup(key int16) *api {
	if key < 0 || key > maxKey {
		return nil
	}
	return s.byKey[key]
}

// decode checks the shape of a body and has kmsg decode it. Of what it returns only fields of bytes alias the frame,
// which ends with the admission.
func (a *api) decode(c cursor, version int16) (kmsg.Request, error) {
	if !checkBody(c, a.fields, version, a.elements) {
		return nil, fmt.Errorf("%w: body", errMalformed)
	}
	req := kmsg.RequestForKey(a.key)
	req.SetVersion(version)
	if err := req.ReadFrom(c.b); err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	return req, nil
}

type handler[Q kmsg.Request, R kmsg.Response] func(*Server, context.Context, Q) R

// inline runs h in the reader: it must not wait for anything.
func inline[Q kmsg.Request, R kmsg.Response](h handler[Q, R]) func(*conn, *slot, kmsg.Request) {
	return func(c *conn, sl *slot, req kmsg.Request) { run(c, sl, req, h) }
}

// barrier runs h in the reader though it may wait: the next request of the connection is admitted after it.
func barrier[Q kmsg.Request, R kmsg.Response](h handler[Q, R]) func(*conn, *slot, kmsg.Request) {
	return inline(h)
}

// long is barrier for requests about things of each of which the answer tells kilobytes. No more of those with many are answered at
// once than there are processors to do it: an answer may be of tens of megabytes. What a client that has left meanwhile wants is not done:
// else those who ask and leave would keep the others waiting.
func long[Q kmsg.Request, R kmsg.Response](h handler[Q, R], things func(Q) int) func(*conn, *slot, kmsg.Request) {
	const few = 100
	return func(c *conn, sl *slot, req kmsg.Request) {
		if things(req.(Q)) > few {
			select {
			case c.s.long <- struct{}{}:
				defer func() { <-c.s.long }()
			case <-c.ctx.Done():
			}
			if c.left() {
				sl.fatal = true
				c.ring.finish(sl)
				return
			}
		}
		run(c, sl, req, h)
	}
}

// async runs h in a goroutine of its own.
func async[Q kmsg.Request, R kmsg.Response](h handler[Q, R]) func(*conn, *slot, kmsg.Request) {
	return func(c *conn, sl *slot, req kmsg.Request) {
		c.spawn(func() { defer sl.guard(); run(c, sl, req, h) })
	}
}

// mayWait is async for requests of which waits is true, else inline.
func mayWait[Q kmsg.Request, R kmsg.Response](h handler[Q, R], waits func(*Server, Q) bool) func(*conn, *slot, kmsg.Request) {
	return func(c *conn, sl *slot, req kmsg.Request) {
		if waits(c.s, req.(Q)) {
			c.spawn(func() { defer sl.guard(); run(c, sl, req, h) })
			return
		}
		run(c, sl, req, h)
	}
}

// spawn runs f in a goroutine that the server waits for.
func (c *conn) spawn(f func()) {
	c.s.wg.Go(func() {
		defer c.rescue()
		f()
	})
}

func run[Q kmsg.Request, R kmsg.Response](c *conn, sl *slot, req kmsg.Request, h handler[Q, R]) {
	resp := h(c.s, c.ctx, req.(Q))
	resp.SetVersion(req.GetVersion())
	c.answer(sl, resp)
}

// answer encodes a response and completes its slot.
func (c *conn) answer(sl *slot, resp kmsg.Response) {
	sl.api.m.count(resp)
	r := c.s.newReply()
	r.b = resp.AppendTo(appendHeader(r.b, sl, resp.IsFlexible()))
	sl.send(r)
}

// appendHeader begins a frame: room for the size, the correlation id, and the tagged fields of flexible versions, which
// ApiVersions does without, so that a client can read it before it knows our versions (KIP-511).
func appendHeader(dst []byte, sl *slot, flexible bool) []byte {
	c := sl.hdr.correlation
	dst = append(dst, 0, 0, 0, 0, byte(c>>24), byte(c>>16), byte(c>>8), byte(c))
	if flexible && sl.hdr.key != keyAPIVersions {
		dst = append(dst, 0)
	}
	return dst
}

// largeAnswer is the size from which an answer is dropped, with its connection, when more than there is room for waits for clients to
// read it. A client that reads asks again; those that do not would otherwise have one such answer each.
const largeAnswer = 1 << 20

// send completes a slot with one encoded frame, whose size it fills in.
func (sl *slot) send(r *reply) {
	if s := sl.c.s; len(r.b) > largeAnswer && s.unread.Load() > s.cfg.ResponseBytes {
		sl.drop(len(r.b))
		return
	}
	r.frags = append(r.frags, r.b)
	sl.reply, sl.size = r, int64(len(r.b))
	putSize(r.b, sl.size)
	sl.c.ring.finish(sl)
}

// drop completes a slot with the end of its connection, because its answer of so many bytes is too long to be kept.
func (sl *slot) drop(bytes int) {
	sl.c.s.note(slog.LevelWarn, "a long answer is not kept: too much waits for clients to read it",
		"client", sl.c.nc.RemoteAddr(), "api", sl.api.name, "bytes", bytes)
	sl.fatal = true
	sl.c.ring.finish(sl)
}

func putSize(b []byte, size int64) {
	n := uint32(size - sizeLen)
	b[0], b[1], b[2], b[3] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
}

// The largest reply that is kept for further ones: bytes that are encoded, and parts.
const (
	keepBuffer = 256 << 10
	keepParts  = 4 * keepPartitions
)

// newReply returns an empty one.
func (s *Server) newReply() *reply {
	if r, ok := s.replies.Get().(*reply); ok {
		return r
	}
	return &reply{b: make([]byte, 0, 1<<10)}
}

// recycleReply lets go of what r holds.
func (s *Server) recycleReply(r *reply) {
	for i := range r.recs {
		r.recs[i].Release()
	}
	if cap(r.b) > keepBuffer || cap(r.frags) > keepParts || cap(r.recs) > keepParts {
		return
	}
	clear(r.recs)
	clear(r.frags)
	r.b, r.frags, r.recs = r.b[:0], r.frags[:0], r.recs[:0]
	s.replies.Put(r)
}
