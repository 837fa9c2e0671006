package kafka

import (
	"errors"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/group"
)

// groupOperations are what anybody may do with a group without an authorizer: Read, Delete, Describe, DescribeConfigs, AlterConfigs.
const groupOperations = 1<<3 | 1<<6 | 1<<8 | 1<<10 | 1<<11

// DescribeGroups (key 15): v0-6.
//
//	v3: authorized operations. v4: instance ids. v5: flexible. v6: GROUP_ID_NOT_FOUND, with a message.
//
// A group of the newer protocol is none, as in Kafka: ConsumerGroupDescribe tells of it.
//
// Differs from Kafka: a group is told of once, however often it is named; one of which only a member id was given out is Empty; Kafka,
// which describes what is stored, calls it Dead.
func describeGroups(c *conn, req *kmsg.DescribeGroupsRequest, done func(*kmsg.DescribeGroupsResponse)) {
	resp := kmsg.NewPtrDescribeGroupsResponse()
	ids := distinct(req.Groups)
	resp.Groups = make([]kmsg.DescribeGroupsResponseGroup, len(ids))
	settle := gather(len(ids), func() { done(resp) })
	for i, id := range ids {
		c.s.deps.Groups.Describe(id, func(d group.Description, err error) {
			resp.Groups[i] = describedGroup(req, id, d, err)
			settle()
		})
	}
}

func describedGroup(req *kmsg.DescribeGroupsRequest, id string, d group.Description, err error) kmsg.DescribeGroupsResponseGroup {
	g := kmsg.NewDescribeGroupsResponseGroup()
	g.Group, g.AuthorizedOperations = id, math.MinInt32
	if req.IncludeAuthorizedOperations && (err == nil || errors.Is(err, group.ErrUnknownGroup) && req.Version < 6) {
		g.AuthorizedOperations = groupOperations
	}
	if errors.Is(err, group.ErrUnknownGroup) {
		g.State = "Dead"
		if req.Version >= 6 {
			g.ErrorCode, g.ErrorMessage = refuse(codeGroupIDNotFound, "%v", err)
		}
		return g
	}
	if err != nil {
		g.ErrorCode, g.ErrorMessage = failure(err)
		return g
	}
	g.State, g.ProtocolType, g.Protocol = d.State, d.Type, d.Assignor
	for _, m := range d.Members {
		rm := kmsg.NewDescribeGroupsResponseGroupMember()
		rm.MemberID, rm.InstanceID, rm.ClientID, rm.ClientHost = m.ID, m.Instance, m.Client, m.Host
		rm.ProtocolMetadata, rm.MemberAssignment = m.Metadata, m.Assignment
		g.Members = append(g.Members, rm)
	}
	return g
}
