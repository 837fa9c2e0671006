package kafka

import (
	"context"
	"errors"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/topic"
)

// deletesAtOnce bounds the partitions of one request that wait for their commit; those that wait share bundles.
const deletesAtOnce = 64

// DeleteRecords (key 21): v0-2.
//
//	v2: flexible.
//
// Differs from Kafka: the low watermark is that of the leader alone, which is all there is.
func (s *Server) deleteRecords(ctx context.Context, req *kmsg.DeleteRecordsRequest) *kmsg.DeleteRecordsResponse {
	ctx, cancel := withTimeout(ctx, req.TimeoutMillis)
	defer cancel()
	names := s.finder(ctx)
	defer names.end()
	resp := kmsg.NewPtrDeleteRecordsResponse()
	var wg sync.WaitGroup
	room := make(chan struct{}, deletesAtOnce)
	for i := range req.Topics {
		t := kmsg.NewDeleteRecordsResponseTopic()
		t.Topic = req.Topics[i].Topic
		top := names.topic(t.Topic)
		t.Partitions = make([]kmsg.DeleteRecordsResponseTopicPartition, len(req.Topics[i].Partitions))
		for j, q := range req.Topics[i].Partitions {
			r := &t.Partitions[j]
			*r = kmsg.NewDeleteRecordsResponseTopicPartition()
			r.Partition = q.Partition
			room <- struct{}{}
			wg.Go(func() {
				r.LowWatermark, r.ErrorCode = s.deleteBelow(ctx, top, q.Partition, q.Offset)
				<-room
			})
		}
		resp.Topics = append(resp.Topics, t)
	}
	wg.Wait()
	return resp
}

// deleteBelow moves the log start of a partition to offset, -1 meaning the high watermark (OF8), and returns where it is then.
func (s *Server) deleteBelow(ctx context.Context, top *topic.Topic, index int32, offset int64) (low int64, code int16) {
	p, st, code := s.led(top, index, -1)
	if code != codeNone {
		return -1, code
	}
	if top.Config.Compacted && !top.Config.Deleted || s.deps.MoveLogStart == nil {
		return -1, codePolicyViolation
	}
	if offset == -1 {
		offset = st.HighWatermark
	}
	if offset < 0 || offset > st.HighWatermark {
		return -1, codeOffsetOutOfRange
	}
	if offset > st.LogStart {
		if err := s.deps.MoveLogStart(ctx, p, offset); err != nil {
			if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
				return -1, codeRequestTimedOut
			}
			return -1, codeOf(err, codeUnknown)
		}
		if st, err := p.State(); err == nil { // another request may have moved it further
			return st.LogStart, codeNone
		}
	}
	return max(offset, st.LogStart), codeNone
}
