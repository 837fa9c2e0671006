package kafka

import (
	"cmp"
	"slices"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/group"
	"github.com/varvelog/varve/metastore/records"
)

// OffsetFetch (key 9): v1-10.
//
//	v2: null topics are all, an error for the whole. v5: leader epochs. v6: flexible. v7: only stable offsets, which all are: there are no
//	transactions. v8: many groups. v9: KIP-848. v10: topics by id.
//
// Differs from Kafka: an offset is told when it is durable, never earlier; more than 10,000 groups at once are refused.
func offsetFetch(c *conn, req *kmsg.OffsetFetchRequest, done func(*kmsg.OffsetFetchResponse)) {
	resp := kmsg.NewPtrOffsetFetchResponse()
	if req.Version < 8 {
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = req.Group
		if req.Topics != nil || req.Version < 2 {
			g.Topics = []kmsg.OffsetFetchRequestGroupTopic{}
		}
		for _, t := range req.Topics {
			gt := kmsg.NewOffsetFetchRequestGroupTopic()
			gt.Topic, gt.Partitions = t.Topic, t.Partitions
			g.Topics = append(g.Topics, gt)
		}
		c.s.fetchOffsets(c, req.Version, &g, func(rg kmsg.OffsetFetchResponseGroup) {
			done(oneGroup(resp, req, rg))
		})
		return
	}
	resp.Groups = make([]kmsg.OffsetFetchResponseGroup, len(req.Groups))
	settle := gather(len(req.Groups), func() { done(resp) })
	for i := range req.Groups {
		if len(req.Groups) > maxAdmin { // each costs a read of the store
			resp.Groups[i].Group, resp.Groups[i].ErrorCode = req.Groups[i].Group, codeInvalidRequest
			settle()
			continue
		}
		c.s.fetchOffsets(c, req.Version, &req.Groups[i], func(rg kmsg.OffsetFetchResponseGroup) {
			resp.Groups[i] = rg
			settle()
		})
	}
}

// oneGroup is the answer of versions that ask for one. Version 1 has no error for the whole: each partition has it.
func oneGroup(resp *kmsg.OffsetFetchResponse, req *kmsg.OffsetFetchRequest, rg kmsg.OffsetFetchResponseGroup) *kmsg.OffsetFetchResponse {
	resp.ErrorCode = rg.ErrorCode
	for _, t := range rg.Topics {
		rt := kmsg.NewOffsetFetchResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rt.Partitions = append(rt.Partitions, kmsg.OffsetFetchResponseTopicPartition(p))
		}
		resp.Topics = append(resp.Topics, rt)
	}
	if rg.ErrorCode == codeNone || req.Version >= 2 {
		return resp
	}
	for _, t := range req.Topics {
		rt := kmsg.NewOffsetFetchResponseTopic()
		rt.Topic = t.Topic
		for _, index := range t.Partitions {
			p := kmsg.OffsetFetchResponseTopicPartition(noOffset(index))
			p.ErrorCode = rg.ErrorCode
			rt.Partitions = append(rt.Partitions, p)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

func noOffset(index int32) kmsg.OffsetFetchResponseGroupTopicPartition {
	p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = index, -1, -1, kmsg.StringPtr("")
	return p
}

// fetchOffsets answers for one group. Every partition that is asked for is there, with offset -1 if nothing was committed (OF2).
func (s *Server) fetchOffsets(c *conn, version int16, g *kmsg.OffsetFetchRequestGroup, done func(kmsg.OffsetFetchResponseGroup)) {
	rg := kmsg.NewOffsetFetchResponseGroup()
	rg.Group = g.Group
	ids := make([]uuid.UUID, len(g.Topics))
	for i := range g.Topics { // before the group is asked: its goroutine waits for nothing
		if t := &g.Topics[i]; version >= 10 {
			ids[i] = topicID(s.findID(c.ctx, t.TopicID))
		} else {
			ids[i] = topicID(s.find(c.ctx, t.Topic))
		}
	}
	who := group.Asker{Epoch: -1}
	if version >= 9 {
		who.Epoch = g.MemberEpoch
		if g.MemberID != nil {
			who.Member = *g.MemberID
		}
	}
	s.deps.Groups.Fetch(g.Group, who, func(o group.Offsets, err error) {
		switch {
		case err != nil:
			rg.ErrorCode = groupCode(err)
		case g.Topics == nil:
			rg.Topics = s.allOffsets(o)
		default:
			rg.Topics = someOffsets(version, g.Topics, ids, o)
		}
		done(rg)
	})
}

func someOffsets(version int16, topics []kmsg.OffsetFetchRequestGroupTopic, ids []uuid.UUID, o group.Offsets) []kmsg.OffsetFetchResponseGroupTopic {
	told := make([]kmsg.OffsetFetchResponseGroupTopic, 0, len(topics))
	for i := range topics {
		rt := kmsg.NewOffsetFetchResponseGroupTopic()
		rt.Topic, rt.TopicID = topics[i].Topic, topics[i].TopicID
		for _, index := range topics[i].Partitions {
			p := noOffset(index)
			if ids[i] == uuid.Nil && version >= 10 {
				p.ErrorCode = codeUnknownTopicID
			} else if v, ok := o.Get(group.Partition{Topic: ids[i], Index: index}); ok && index >= 0 {
				p.Offset, p.LeaderEpoch, p.Metadata = v.Offset, v.Epoch, &v.Metadata
			}
			rt.Partitions = append(rt.Partitions, p)
		}
		told = append(told, rt)
	}
	return told
}

// allOffsets lists what a group committed for topics that still are there, in order of their names.
func (s *Server) allOffsets(o group.Offsets) []kmsg.OffsetFetchResponseGroupTopic {
	by := map[uuid.UUID]*kmsg.OffsetFetchResponseGroupTopic{}
	o.All(func(part group.Partition, v records.GroupOffset) {
		rt := by[part.Topic]
		if rt == nil {
			top := s.deps.Topics.LookupID(part.Topic)
			if top == nil {
				return // deleted
			}
			t := kmsg.NewOffsetFetchResponseGroupTopic()
			t.Topic, t.TopicID = top.Name, top.ID
			rt = &t
			by[part.Topic] = rt
		}
		p := noOffset(part.Index)
		p.Offset, p.LeaderEpoch, p.Metadata = v.Offset, v.Epoch, &v.Metadata
		rt.Partitions = append(rt.Partitions, p)
	})
	told := make([]kmsg.OffsetFetchResponseGroupTopic, 0, len(by))
	for _, rt := range by {
		slices.SortFunc(rt.Partitions, func(a, b kmsg.OffsetFetchResponseGroupTopicPartition) int {
			return cmp.Compare(a.Partition, b.Partition)
		})
		told = append(told, *rt)
	}
	slices.SortFunc(told, func(a, b kmsg.OffsetFetchResponseGroupTopic) int { return cmp.Compare(a.Topic, b.Topic) })
	return told
}
