package kafka

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/group"
)

// ConsumerGroupDescribe (key 69): v0-1.
//
//	v1: which protocol a member speaks.
//
// Differs from Kafka: a group is told of once, however often it is named; the assignment of a group that has lost its last member has
// the group's epoch.
func consumerGroupDescribe(c *conn, req *kmsg.ConsumerGroupDescribeRequest, done func(*kmsg.ConsumerGroupDescribeResponse)) {
	resp := kmsg.NewPtrConsumerGroupDescribeResponse()
	ids := distinct(req.Groups)
	resp.Groups = make([]kmsg.ConsumerGroupDescribeResponseGroup, len(ids))
	settle := gather(len(ids), func() { done(resp) })
	for i, id := range ids {
		tell := func(d group.ConsumerDescription, err error) {
			resp.Groups[i] = c.s.describedConsumers(req, id, d, err)
			settle()
		}
		if !c.s.consumerProtocol() {
			resp.Groups[i] = kmsg.NewConsumerGroupDescribeResponseGroup()
			resp.Groups[i].Group = id
			resp.Groups[i].ErrorCode, resp.Groups[i].ErrorMessage = refuse(codeUnsupportedVersion, "group.coordinator.rebalance.protocols does not name consumer")
			settle()
			continue
		}
		c.s.deps.Groups.DescribeConsumer(id, tell)
	}
}

func (s *Server) describedConsumers(req *kmsg.ConsumerGroupDescribeRequest, id string, d group.ConsumerDescription, err error) kmsg.ConsumerGroupDescribeResponseGroup {
	g := kmsg.NewConsumerGroupDescribeResponseGroup()
	g.Group = id
	if err != nil {
		g.ErrorCode, g.ErrorMessage = failure(err)
		return g
	}
	g.State, g.Epoch, g.AssignmentEpoch, g.AssignorName = d.State, d.Epoch, d.TargetEpoch, d.Assignor
	if req.IncludeAuthorizedOperations {
		g.AuthorizedOperations = groupOperations
	}
	for i := range d.Members {
		g.Members = append(g.Members, s.describedConsumer(&d.Members[i]))
	}
	return g
}

// The types of members.
const (
	classicMember  = 0
	consumerMember = 1
)

func (s *Server) describedConsumer(m *group.ConsumerMember) kmsg.ConsumerGroupDescribeResponseGroupMember {
	rm := kmsg.NewConsumerGroupDescribeResponseGroupMember()
	rm.MemberID, rm.InstanceID, rm.MemberEpoch, rm.ClientID, rm.ClientHost = m.ID, m.Instance, m.Epoch, m.Client, m.Host
	rm.SubscribedTopics, rm.SubscribedTopicRegex, rm.MemberType = m.Names, &m.Regex, consumerMember
	if m.Rack != "" {
		rm.RackID = &m.Rack
	}
	if m.Classic {
		rm.MemberType = classicMember
	}
	rm.Assignment.TopicPartitions, rm.TargetAssignment.TopicPartitions = s.named(m.Assigned), s.named(m.Target)
	return rm
}

// named are partitions with the names of their topics, in the order of those; topics that are gone are left out.
func (s *Server) named(p group.Parts) []kmsg.AssignmentTopicPartition {
	all := make([]kmsg.AssignmentTopicPartition, 0, len(p))
	for id, parts := range p {
		if t := s.deps.Topics.LookupID(id); t != nil {
			all = append(all, kmsg.AssignmentTopicPartition{TopicID: id, Topic: t.Name, Partitions: parts})
		}
	}
	slices.SortFunc(all, func(a, b kmsg.AssignmentTopicPartition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), compareUUID(a.TopicID, b.TopicID))
	})
	return all
}

func compareUUID(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }
