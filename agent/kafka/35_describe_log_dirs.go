package kafka

import (
	"context"

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
// it leads and serves, so the answers of all agents add up (CG16).
func (s *Server) describeLogDirs(_ context.Context, req *kmsg.DescribeLogDirsRequest) *kmsg.DescribeLogDirsResponse {
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
