package kafka

import (
	"cmp"
	"errors"
	"slices"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/group"
	"github.com/varvelog/varve/agent/topic"
	"github.com/varvelog/varve/metastore/records"
)

// OffsetFetch (key 9): v1-10.
//
//	v2: null topics are all, an error for the whole. v5: leader epochs. v6: flexible. v7: only stable offsets, which all are: there are no
//	transactions. v8: many groups. v9: KIP-848. v10: topics by id.
//
// Differs from Kafka: an offset is told when it is durable, never earlier; a group that is named again and more than 10,000
// groups at once are refused, a partition that is named again is left out; while the store does not answer the code is
// COORDINATOR_LOAD_IN_PROGRESS, since Java before 4.0 gives up on others.
func offsetFetch(c *conn, req *kmsg.OffsetFetchRequest, done func(*kmsg.OffsetFetchResponse)) {
	resp := kmsg.NewPtrOffsetFetchResponse()
	names := c.s.finder(c.ctx)
	defer names.end()
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
		c.s.fetchOffsets(&names, req.Version, &g, func(rg kmsg.OffsetFetchResponseGroup) {
			done(oneGroup(resp, req, rg))
		})
		return
	}
	resp.Groups = make([]kmsg.OffsetFetchResponseGroup, len(req.Groups))
	settle := gather(len(req.Groups), func() { done(resp) })
	told := map[string]bool{}
	for i := range req.Groups {
		again := told[req.Groups[i].Group]
		told[req.Groups[i].Group] = true
		if again || len(req.Groups) > maxAdmin { // each costs a read of the store, and may have much to tell
			resp.Groups[i].Group, resp.Groups[i].ErrorCode = req.Groups[i].Group, codeInvalidRequest
			settle()
			continue
		}
		c.s.fetchOffsets(&names, req.Version, &req.Groups[i], func(rg kmsg.OffsetFetchResponseGroup) {
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
func (s *Server) fetchOffsets(names *finder, version int16, g *kmsg.OffsetFetchRequestGroup, done func(kmsg.OffsetFetchResponseGroup)) {
	rg := kmsg.NewOffsetFetchResponseGroup()
	rg.Group = g.Group
	ids, err := names.fetched(version, g.Topics) // before the group is asked: its goroutine waits for nothing
	if err != nil {                              // "nothing was committed" would send a consumer elsewhere
		rg.ErrorCode = codeCoordinatorLoadInProgress
		done(rg)
		return
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
		case errors.Is(err, group.ErrUnavailable):
			rg.ErrorCode = codeCoordinatorLoadInProgress
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

// fetched returns the ids of the topics that are asked about, nobody's for one that is not there. An error means that it is not known of
// all whether they are.
func (f *finder) fetched(version int16, topics []kmsg.OffsetFetchRequestGroupTopic) ([]uuid.UUID, error) {
	if topics == nil { // all: those of which this agent has not heard, too
		f.begin()
		if f.catchUp(); !errors.Is(f.err, records.ErrBadItem) { // which is of one topic, that nobody can serve
			return nil, f.err
		}
		return nil, nil
	}
	ids := make([]uuid.UUID, len(topics))
	for i := range topics {
		t, err := f.named(version, topics[i].Topic, topics[i].TopicID)
		if err != nil {
			return nil, err
		}
		ids[i] = topicID(t)
	}
	return ids, nil
}

// named is find, as a request for offsets names topics.
func (f *finder) named(version int16, name string, id uuid.UUID) (*topic.Topic, error) {
	if version >= 10 {
		return f.findID(id)
	}
	return f.find(name)
}

// someOffsets tells of each partition once: what stands beside an offset may be long.
func someOffsets(version int16, topics []kmsg.OffsetFetchRequestGroupTopic, ids []uuid.UUID, o group.Offsets) []kmsg.OffsetFetchResponseGroupTopic {
	told := make([]kmsg.OffsetFetchResponseGroupTopic, 0, len(topics))
	seen := map[group.Partition]bool{}
	for i := range topics {
		rt := kmsg.NewOffsetFetchResponseGroupTopic()
		rt.Topic, rt.TopicID = topics[i].Topic, topics[i].TopicID
		for _, index := range topics[i].Partitions {
			part := group.Partition{Topic: ids[i], Index: index}
			if ids[i] != uuid.Nil && seen[part] {
				continue
			}
			seen[part] = true
			p := noOffset(index)
			if ids[i] == uuid.Nil && version >= 10 {
				p.ErrorCode = codeUnknownTopicID
			} else if v, ok := o.Get(part); ok && index >= 0 {
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
