package kafka

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/partition"
	"github.com/varvelog/varve/agent/topic"
)

// logDir is the one directory that an agent tells of. It is no path: agents have no disks.
const logDir = "object-store"

// DescribeLogDirs (key 35): v1-5.
//
//	v2: flexible. v3: an error for the whole. v4: size of the volume. v5: whether the directory is cordoned,
//	which never is: it takes new partitions always.
//
// Differs from Kafka: one directory that stands for the object store, without a size; a partition's bytes are those of its
// committed records in the store, counted once however many copies the store keeps. Each agent tells of the partitions that
// it leads and serves, so the answers of all agents add up (CG16). KAFKA_STORAGE_ERROR for the directory if the table does not say how much
// lies in segments.
func (s *Server) describeLogDirs(ctx context.Context, req *kmsg.DescribeLogDirsRequest) *kmsg.DescribeLogDirsResponse {
	resp := req.ResponseKind().(*kmsg.DescribeLogDirsResponse)
	dir := kmsg.NewDescribeLogDirsResponseDir()
	dir.Dir = logDir
	_, serves := s.deps.Partitions.Slots()
	if req.Topics == nil {
		for _, t := range s.deps.Topics.List() {
			dir.Topics = s.appendSizes(dir.Topics, t, serves, nil)
		}
	}
	asked, order := map[string]map[int32]bool{}, []string(nil)
	for i := range req.Topics {
		t := &req.Topics[i]
		if asked[t.Topic] == nil {
			asked[t.Topic] = map[int32]bool{}
			order = append(order, t.Topic)
		}
		for _, index := range t.Partitions {
			asked[t.Topic][index] = true
		}
	}
	for _, name := range order {
		if t := s.deps.Topics.Lookup(name); t != nil {
			dir.Topics = s.appendSizes(dir.Topics, t, serves, asked[name])
		}
	}
	if err := s.addExtents(ctx, dir.Topics); err != nil {
		s.log.Warn("the bytes in segments could not be counted", "err", err)
		dir.ErrorCode, dir.Topics = codeStorage, nil
	}
	resp.Dirs = append(resp.Dirs, dir)
	return resp
}

// appendSizes appends the sizes of those partitions of t that this agent serves and that are asked for; nil asks for all. A
// topic without such partitions is left out.
func (s *Server) appendSizes(dst []kmsg.DescribeLogDirsResponseDirTopic, t *topic.Topic, serves map[uint16]bool, asked map[int32]bool) []kmsg.DescribeLogDirsResponseDirTopic {
	rt := kmsg.NewDescribeLogDirsResponseDirTopic()
	rt.Topic = t.Name
	for i, slot := range t.Slots {
		if index := int32(i); serves[slot] && (asked == nil || asked[index]) {
			rp := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
			rp.Partition, rp.Size = index, s.deps.Partitions.Bytes(partition.ID{Topic: t.ID, Index: index})
			rt.Partitions = append(rt.Partitions, rp)
		}
	}
	if len(rt.Partitions) == 0 {
		return dst
	}
	return append(dst, rt)
}

// sizesAtOnce is how many partitions one request asks the table about at once.
const sizesAtOnce = 16

// addExtents adds what partitions have in extents to their sizes, and returns the first error.
func (s *Server) addExtents(ctx context.Context, topics []kmsg.DescribeLogDirsResponseDirTopic) error {
	if s.deps.ExtentBytes == nil {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	turns := make(chan struct{}, sizesAtOnce)
	for i := range topics {
		t := s.deps.Topics.Lookup(topics[i].Topic)
		for k := range topics[i].Partitions {
			p := &topics[i].Partitions[k]
			if t == nil || ctx.Err() != nil {
				break
			}
			from, to := s.deps.Partitions.Tiered(partition.ID{Topic: t.ID, Index: p.Partition})
			if from == to {
				continue
			}
			turns <- struct{}{}
			wg.Go(func() {
				n, err := s.deps.ExtentBytes(ctx, t.ID, p.Partition, from, to)
				if err != nil {
					cancel(err)
				}
				p.Size += n
				<-turns
			})
		}
	}
	wg.Wait()
	return context.Cause(ctx)
}
