package kafka

import (
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/group"
)

// OffsetDelete (key 47): v0.
//
// Differs from Kafka: nothing known.
func offsetDelete(c *conn, req *kmsg.OffsetDeleteRequest, done func(*kmsg.OffsetDeleteResponse)) {
	resp := kmsg.NewPtrOffsetDeleteResponse()
	found := c.s.finder(c.ctx)
	defer found.end()
	var parts []group.Partition
	names := map[group.Partition]string{}
	ids := make([]uuid.UUID, len(req.Topics))
	for i := range req.Topics {
		t := &req.Topics[i]
		rt := kmsg.NewOffsetDeleteResponseTopic()
		rt.Topic = t.Topic
		top := found.topic(t.Topic)
		ids[i] = topicID(top)
		for _, p := range t.Partitions {
			rp := kmsg.NewOffsetDeleteResponseTopicPartition()
			rp.Partition = p.Partition
			if top == nil || p.Partition < 0 || p.Partition >= top.Partitions() {
				rp.ErrorCode = codeUnknownTopicOrPartition
			} else {
				part := group.Partition{Topic: top.ID, Index: p.Partition}
				parts, names[part] = append(parts, part), top.Name
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	c.s.deps.Groups.DeleteOffsets(req.Group, parts, names, func(each map[group.Partition]error, err error) {
		if resp.ErrorCode = groupCode(err); err != nil {
			resp.Topics = nil
		}
		for i := range resp.Topics {
			for j := range resp.Topics[i].Partitions {
				if p := &resp.Topics[i].Partitions[j]; p.ErrorCode == codeNone {
					p.ErrorCode = groupCode(each[group.Partition{Topic: ids[i], Index: p.Partition}])
				}
			}
		}
		done(resp)
	})
}
