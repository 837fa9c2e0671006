package kafka

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/group"
)

// ConsumerGroupHeartbeat (key 68): v0-1.
//
//	v1: regular expressions; the member id is the client's.
//
// Differs from Kafka: a member of a group that is not there, or went back to the classic protocol, is told UNKNOWN_MEMBER_ID, so that it
// joins anew, where Kafka says GROUP_ID_NOT_FOUND, which clients take for the end; a regular expression is resolved before the first
// answer, not after it; one that would be too much work is refused, as are more than 100 different ones in a group
// (GROUP_MAX_SIZE_REACHED); members whose different subscriptions have more than 2,000,000 topics in sum share less evenly; a new member
// raises the group's epoch also if it subscribes to nothing; a member is told its assignment again with each new epoch; the empty name of
// an assignor asks for any; a static member may leave for a while without its instance id; the epoch of an empty group goes on when the group
// changes its protocol.
func consumerGroupHeartbeat(c *conn, req *kmsg.ConsumerGroupHeartbeatRequest, done func(*kmsg.ConsumerGroupHeartbeatResponse)) {
	if !c.s.consumerProtocol() {
		resp := kmsg.NewPtrConsumerGroupHeartbeatResponse()
		resp.ErrorCode, resp.ErrorMessage = refuse(codeUnsupportedVersion, "group.coordinator.rebalance.protocols does not name consumer")
		done(resp)
		return
	}
	c.s.deps.Groups.ConsumerHeartbeat(req.Group, beatOf(c, req), func(told group.ConsumerTold) { done(beatResponse(told)) })
}

// consumerProtocol reports that groups of the newer protocol are served.
func (s *Server) consumerProtocol() bool {
	list := s.deps.Topics.Settings().Text("group.coordinator.rebalance.protocols")
	return slices.Contains(strings.Split(list, ","), "consumer")
}

func beatOf(c *conn, req *kmsg.ConsumerGroupHeartbeatRequest) group.ConsumerBeat {
	e := group.ConsumerBeat{
		Member: req.MemberID, Epoch: req.MemberEpoch, Instance: req.InstanceID, Rack: req.RackID, Rebalance: -1, Names: req.SubscribedTopicNames,
		Assignor: req.ServerAssignor, Client: c.clientText(), Host: c.host(),
	}
	if req.RebalanceTimeoutMillis >= 0 {
		e.Rebalance = time.Duration(req.RebalanceTimeoutMillis) * time.Millisecond
	}
	if req.Version >= 1 {
		e.Regex = req.SubscribedTopicRegex
	} else if req.MemberID == "" && req.MemberEpoch == 0 {
		e.Member = newMemberID()
	}
	if req.Topics != nil {
		e.Owned = make(group.Parts, len(req.Topics))
		for _, t := range req.Topics {
			e.Owned[t.TopicID] = append(e.Owned[t.TopicID], t.Partitions...)
		}
	}
	return e
}

// newMemberID is an id in the form that clients give themselves.
func newMemberID() string {
	id := uuid.New()
	return base64.RawURLEncoding.EncodeToString(id[:])
}

func beatResponse(told group.ConsumerTold) *kmsg.ConsumerGroupHeartbeatResponse {
	resp := kmsg.NewPtrConsumerGroupHeartbeatResponse()
	switch {
	case errors.Is(told.Err, group.ErrOtherType): // Kafka looks for a group of the type that was asked for
		resp.ErrorCode, resp.ErrorMessage = refuse(codeGroupIDNotFound, "%v", told.Err)
		return resp
	case told.Err != nil:
		resp.ErrorCode, resp.ErrorMessage = failure(told.Err)
		return resp
	}
	resp.MemberID, resp.MemberEpoch, resp.HeartbeatIntervalMillis = &told.Member, told.Epoch, int32(told.Interval.Milliseconds())
	if told.Assigned != nil {
		resp.Assignment = &kmsg.ConsumerGroupHeartbeatResponseAssignment{Topics: []kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic{}}
		for id, parts := range told.Assigned {
			resp.Assignment.Topics = append(resp.Assignment.Topics, kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic{TopicID: id, Partitions: parts})
		}
	}
	return resp
}
