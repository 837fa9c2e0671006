package kafka

import (
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/group"
	"github.com/varvelog/varve/agent/topic"
	"github.com/varvelog/varve/metastore/records"
)

// OffsetCommit (key 8): v2-10.
//
//	v2-4: a retention time of its own. v6: leader epochs. v7: static members. v8: flexible. v9: KIP-848. v10: topics by id.
//
// Differs from Kafka: what a commit names is checked before who commits; partitions that are not there answer
// UNKNOWN_TOPIC_OR_PARTITION, as in Kafka, and the others are committed; of a stale member epoch that is not older than the partition's
// assignment the offset is taken, as Kafka does from 4.3 on (KIP-1251).
func offsetCommit(c *conn, req *kmsg.OffsetCommitRequest, done func(*kmsg.OffsetCommitResponse)) {
	resp := kmsg.NewPtrOffsetCommitResponse()
	r := group.Commit{
		Member: req.MemberID, Instance: req.InstanceID, Generation: req.Generation, Epochs: req.Version >= 9, Offsets: map[group.Partition]records.GroupOffset{},
	}
	names := c.s.finder(c.ctx)
	defer names.end()
	ids := make([]uuid.UUID, len(req.Topics))
	now := time.Now()
	for i := range req.Topics {
		t := &req.Topics[i]
		rt := kmsg.NewOffsetCommitResponseTopic()
		rt.Topic, rt.TopicID = t.Topic, t.TopicID
		top, code := names.committed(req.Version, t)
		ids[i] = topicID(top)
		for j := range t.Partitions {
			p := &t.Partitions[j]
			rp := kmsg.NewOffsetCommitResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, c.s.checkOffset(top, code, p)
			if rp.ErrorCode == codeNone {
				r.Offsets[group.Partition{Topic: top.ID, Index: p.Partition}] = offsetOf(req, p, now)
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	c.s.deps.Groups.Commit(req.Group, r, func(refused map[group.Partition]error, err error) {
		for i := range resp.Topics {
			for j := range resp.Topics[i].Partitions {
				p := &resp.Topics[i].Partitions[j]
				if p.ErrorCode != codeNone {
					continue
				}
				if p.ErrorCode = groupCode(err); err == nil {
					p.ErrorCode = groupCode(refused[group.Partition{Topic: ids[i], Index: p.Partition}])
				}
			}
		}
		done(resp)
	})
}

// committed returns the topic of a commit; if it is nil, with the code that says why.
func (f *finder) committed(version int16, t *kmsg.OffsetCommitRequestTopic) (*topic.Topic, int16) {
	top, err := f.named(version, t.Topic, t.TopicID)
	switch {
	case err != nil:
		return nil, codeCoordinatorLoadInProgress // which all try again: some give up on a topic that is not there
	case version >= 10:
		return top, codeUnknownTopicID
	}
	return top, codeUnknownTopicOrPartition
}

// checkOffset says whether an offset can be committed for a partition; absent is the code for a topic that is not there.
func (s *Server) checkOffset(top *topic.Topic, absent int16, p *kmsg.OffsetCommitRequestTopicPartition) int16 {
	switch {
	case top == nil:
		return absent
	case p.Partition < 0 || p.Partition >= top.Partitions():
		return codeUnknownTopicOrPartition
	case p.Metadata != nil && int64(len(*p.Metadata)) > s.deps.Topics.Settings().Int("offset.metadata.max.bytes"):
		return codeOffsetMetadataTooLarge
	}
	return codeNone
}

func offsetOf(req *kmsg.OffsetCommitRequest, p *kmsg.OffsetCommitRequestTopicPartition, now time.Time) records.GroupOffset {
	o := records.GroupOffset{Offset: p.Offset, Epoch: max(p.LeaderEpoch, -1), At: now.Unix()}
	if p.Metadata != nil {
		o.Metadata = *p.Metadata
	}
	if req.Version <= 4 && req.RetentionTimeMillis >= 0 {
		o.Expires = max(1, min(now.Unix()+req.RetentionTimeMillis/1000, 1<<40))
	}
	return o
}

// topicID is the id of a topic that is known here, else nobody's.
func topicID(t *topic.Topic) uuid.UUID {
	if t == nil {
		return uuid.Nil
	}
	return t.ID
}
