package kafka

import (
	"context"
	"errors"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/fetch"
	"github.com/varvelog/varve/agent/partition"
	"github.com/varvelog/varve/agent/topic"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// ListOffsets (key 2): v1-11.
//
//	v2: isolation level. v4: leader epochs. v6: flexible. v7: -3, the largest timestamp. v8: -4. v9: -5. v10: time-out.
//	v11: -6.
//
// Differs from Kafka: -4 is the log start, -5 and -6 are unknown: segments are not Kafka's tiered storage.

// The timestamps with a meaning of their own.
const (
	tsLatest          = -1
	tsEarliest        = -2
	tsMax             = -3
	tsEarliestLocal   = -4
	tsLatestTiered    = -5
	tsEarliestPending = -6
)

// listOffsetsWaits: to find a record by its time a batch is opened, which may not be in memory; nor may the topic be.
func listOffsetsWaits(s *Server, req *kmsg.ListOffsetsRequest) bool {
	for i := range req.Topics {
		if s.deps.Topics.Lookup(req.Topics[i].Topic) == nil {
			return true
		}
		for j := range req.Topics[i].Partitions {
			if ts := req.Topics[i].Partitions[j].Timestamp; ts >= 0 || ts == tsMax {
				return true
			}
		}
	}
	return false
}

func (s *Server) listOffsets(ctx context.Context, req *kmsg.ListOffsetsRequest) *kmsg.ListOffsetsResponse {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	names := s.finder(ctx)
	defer names.end()
	resp := kmsg.NewPtrListOffsetsResponse()
	for i := range req.Topics {
		t := kmsg.NewListOffsetsResponseTopic()
		t.Topic = req.Topics[i].Topic
		top := names.topic(t.Topic)
		for j := range req.Topics[i].Partitions {
			t.Partitions = append(t.Partitions, s.listOffset(ctx, req, top, &req.Topics[i].Partitions[j]))
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func (s *Server) listOffset(ctx context.Context, req *kmsg.ListOffsetsRequest, top *topic.Topic, q *kmsg.ListOffsetsRequestTopicPartition) kmsg.ListOffsetsResponseTopicPartition {
	r := kmsg.NewListOffsetsResponseTopicPartition()
	r.Partition, r.Offset, r.Timestamp, r.LeaderEpoch = q.Partition, -1, -1, -1
	if r.ErrorCode = listOffsetsCode(req, q.Timestamp); r.ErrorCode != codeNone {
		return r
	}
	p, st, code := s.led(top, q.Partition, q.CurrentLeaderEpoch)
	if code != codeNone {
		r.ErrorCode = code
		if code == codeOffsetNotAvailable && req.Version < 5 {
			r.ErrorCode = codeLeaderNotAvailable
		}
		return r
	}
	switch q.Timestamp {
	case tsLatestTiered, tsEarliestPending:
		return r
	case tsLatest:
		r.Offset = st.HighWatermark
		if req.IsolationLevel == 1 {
			r.Offset = st.LastStable
		}
	case tsEarliest, tsEarliestLocal:
		r.Offset = st.LogStart
	default:
		if code := s.byTime(ctx, p, &st, q.Timestamp, &r); code != codeNone {
			r.ErrorCode, r.Offset, r.Timestamp = code, -1, -1
			return r
		}
		if r.Offset < 0 {
			return r
		}
	}
	r.LeaderEpoch = p.EpochAt(r.Offset)
	return r
}

// listOffsetsCode says whether a version knows a timestamp (LO1).
func listOffsetsCode(req *kmsg.ListOffsetsRequest, ts int64) int16 {
	since := int16(0)
	switch {
	case req.IsolationLevel < 0 || req.IsolationLevel > 1:
		return codeInvalidRequest
	case ts < tsEarliestPending:
		return codeUnsupportedVersion
	case ts == tsMax:
		since = 7
	case ts == tsEarliestLocal:
		since = 8
	case ts == tsLatestTiered:
		since = 9
	case ts == tsEarliestPending:
		since = 11
	}
	if req.Version < since {
		return codeUnsupportedVersion
	}
	return codeNone
}

// led returns a partition that this agent leads, and its state; top is nil if there is no such topic. epoch is the leader epoch that
// the client knows. While the slot is being opened the code is OFFSET_NOT_AVAILABLE.
func (s *Server) led(top *topic.Topic, index, epoch int32) (*partition.Partition, partition.State, int16) {
	if top == nil || index < 0 || index >= top.Partitions() {
		return nil, partition.State{}, codeUnknownTopicOrPartition
	}
	p, err := s.deps.Partitions.Get(partition.ID{Topic: top.ID, Index: index}, top.Name, top.Slots[index])
	if errors.Is(err, partition.ErrLoading) {
		return nil, partition.State{}, codeOffsetNotAvailable
	}
	st := partition.State{}
	if err == nil {
		st, err = p.State()
	}
	if err != nil {
		return nil, st, codeOf(err, codeUnknown)
	}
	return p, st, checkEpoch(epoch, st.Epoch)
}

// byTime finds the first record with a timestamp of ts or later, or the one with the largest: in the run or piece of a segment that
// the index names, batch by batch, of which at most one is opened (LO2). A run whose headers promise more than its records hold is
// passed over; so are records below the log start. Without such a record offset stays -1.
func (s *Server) byTime(ctx context.Context, p *partition.Partition, st *partition.State, ts int64, r *kmsg.ListOffsetsResponseTopicPartition) int16 {
	if st.LogStart == st.HighWatermark {
		return codeNone
	}
	id := p.ID()
	if ts == tsMax {
		return s.byMaxTime(ctx, p, st, r)
	}
	for from := st.LogStart; from < st.HighWatermark; {
		loc, ok, err := s.deps.Reader.FirstTime(ctx, p, id.Topic, id.Index, from, ts)
		if err != nil || !ok {
			return indexCode(err)
		}
		if found, code := s.inRun(ctx, p, span{loc.Base, loc.Next}, st, ts, r); found || code != codeNone {
			return code
		}
		from = loc.Next
	}
	return codeNone
}

// byMaxTime finds the first record with the largest timestamp. Where the log start lies inside of a run or segment, what that promises
// may lie below: then every one is looked at that promises more than was found so far.
func (s *Server) byMaxTime(ctx context.Context, p *partition.Partition, st *partition.State, r *kmsg.ListOffsetsResponseTopicPartition) int16 {
	id := p.ID()
	loc, ok, err := s.deps.Reader.MaxTime(ctx, p, id.Topic, id.Index, st.LogStart)
	if err != nil || !ok {
		return indexCode(err)
	}
	if _, code := s.inRun(ctx, p, span{loc.Base, loc.Next}, st, math.MinInt64, r); code != codeNone || r.Timestamp == loc.MaxTimestamp {
		return code
	}
	r.Offset, r.Timestamp = -1, -1
	for from := st.LogStart; from < st.HighWatermark; from = loc.Next {
		if loc, ok, err = s.deps.Reader.FirstTime(ctx, p, id.Topic, id.Index, from, r.Timestamp+1); err != nil || !ok {
			return indexCode(err)
		}
		if _, code := s.inRun(ctx, p, span{loc.Base, loc.Next}, st, math.MinInt64, r); code != codeNone {
			return code
		}
	}
	return codeNone
}

// indexCode is the code for a failed look at the index of a log: the store may answer the next time.
func indexCode(err error) int16 {
	switch {
	case err == nil:
		return codeNone
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return codeRequestTimedOut
	}
	return codeStorage
}

// span is a run by its offsets.
type span struct{ base, next int64 }

// lookBytes is how much of a run is looked at in one go: a run of a pack may be large.
const lookBytes = 4 << 20

// inRun looks in one run for the first record with a timestamp of ts or later; if ts is the least there is, for the first one
// with the largest, which is larger than that of r, if there is one.
func (s *Server) inRun(ctx context.Context, p *partition.Partition, at span, st *partition.State, ts int64, r *kmsg.ListOffsetsResponseTopicPartition) (found bool, code int16) {
	id := p.ID()
	q := fetch.Request{
		Log: p, Topic: id.Topic, Index: id.Index, From: max(at.base, st.LogStart), Before: min(at.next, st.HighWatermark),
		MaxBytes: lookBytes, AtLeastOne: true, Mode: fetch.Load,
	}
	found = ts == math.MinInt64 && r.Offset >= 0
	for q.From < q.Before {
		run, n, err := s.deps.Reader.Read(ctx, q, nil)
		if n == 0 {
			return found, s.lookCode(p, q.From, err)
		}
		was := q.From
		for _, sl := range run {
			if code == codeNone && (!found || ts == math.MinInt64) {
				found, q.From, code = s.inBytes(ctx, sl.Bytes, st, ts, found, r)
			}
			sl.Release()
		}
		if code != codeNone || found && ts != math.MinInt64 || q.From <= was {
			return found, code
		}
	}
	return found, codeNone
}

// lookCode is the code for a look that found no bytes: what lies below the log start by now is passed over.
func (s *Server) lookCode(p *partition.Partition, offset int64, err error) int16 {
	if st, e := p.State(); err == nil || e == nil && offset < st.LogStart {
		return codeNone
	}
	return readCode(err)
}

// inBytes is inRun for some batches; next is the offset after them.
func (s *Server) inBytes(ctx context.Context, batches []byte, st *partition.State, ts int64, found bool, r *kmsg.ListOffsetsResponseTopicPartition) (_ bool, next int64, code int16) {
	largest := ts == math.MinInt64
	for rest := batches; len(rest) > 0; {
		b, after, err := recordbatch.Next(rest)
		if err != nil || b == nil {
			return false, next, codeCorruptMessage
		}
		rest, next = after, b.NextOffset()
		if b.MaxTimestamp() < ts || largest && found && b.MaxTimestamp() <= r.Timestamp {
			continue
		}
		more, code := s.inBatch(ctx, b, st, ts, found, r)
		if found = found || more; code != codeNone || found && !largest {
			return found, next, code
		}
	}
	return found, next, codeNone
}

// inBatch is inRun for one batch. found says that r holds a record already, a later one of the largest timestamp takes its place.
func (s *Server) inBatch(ctx context.Context, b recordbatch.Batch, st *partition.State, ts int64, found bool, r *kmsg.ListOffsetsResponseTopicPartition) (more bool, code int16) {
	done, err := s.opening(ctx, b)
	defer done()
	if err != nil {
		return false, codeRequestTimedOut // a request may ask for many
	}
	largest := ts == math.MinInt64
	for rec, err := range b.Iterate(openLimit) {
		switch {
		case err != nil:
			return more, codeCorruptMessage
		case rec.Offset < st.LogStart || rec.Timestamp < ts || largest && (found || more) && rec.Timestamp <= r.Timestamp:
			continue
		}
		more, r.Offset, r.Timestamp = true, rec.Offset, rec.Timestamp
		if !largest {
			break
		}
	}
	return more, codeNone
}

// readCode is the code for a failed read. Only these will do in a Fetch: Java takes others for a fault of its own.
func readCode(err error) int16 {
	if errors.Is(err, fetch.ErrCorrupt) {
		return codeCorruptMessage
	}
	return codeStorage
}
