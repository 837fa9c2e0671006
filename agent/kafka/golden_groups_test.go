package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// goldenGroups is of the requests of members of groups, and of those who administer them. There is no group: what a group answers is
// told in the transcripts of its room.
func goldenGroups(req kmsg.Request, version int16, f goldenFacts) bool {
	instance := ptr("i")
	switch req := req.(type) {
	case *kmsg.OffsetCommitRequest:
		req.Group, req.Generation = "g", -1
		rt := kmsg.NewOffsetCommitRequestTopic()
		rt.Topic, rt.TopicID = "t", f.id
		for _, index := range []int32{0, 9} {
			p := kmsg.NewOffsetCommitRequestTopicPartition()
			p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = index, 3, f.epoch, ptr("m")
			rt.Partitions = append(rt.Partitions, p)
		}
		req.Topics = append(req.Topics, rt)
	case *kmsg.OffsetFetchRequest:
		req.Group = "g"
		req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{0, 1}}}
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = "g"
		g.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", TopicID: f.id, Partitions: []int32{0, 1}}}
		req.Groups = append(req.Groups, g)
	case *kmsg.JoinGroupRequest:
		req.Group, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis, req.ProtocolType = "g", 10_000, 20_000, "consumer"
		if version >= 6 {
			req.InstanceID = instance
		}
		req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte{0, 1, 0, 0, 0, 0}}}
	case *kmsg.HeartbeatRequest:
		req.Group, req.Generation, req.MemberID, req.InstanceID = "g", 1, "m", instance
	case *kmsg.LeaveGroupRequest:
		req.Group, req.MemberID = "g", "m"
		req.Members = []kmsg.LeaveGroupRequestMember{{MemberID: "m"}, {InstanceID: instance}}
	case *kmsg.SyncGroupRequest:
		req.Group, req.Generation, req.MemberID, req.InstanceID = "g", 1, "m", instance
		req.ProtocolType, req.Protocol = ptr("consumer"), ptr("range")
		req.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: "m", MemberAssignment: []byte{1, 2}}}
	case *kmsg.DescribeGroupsRequest:
		req.Groups, req.IncludeAuthorizedOperations = []string{"g"}, true
	case *kmsg.ListGroupsRequest:
		req.StatesFilter, req.TypesFilter = []string{"Empty"}, []string{"classic"}
	case *kmsg.DeleteGroupsRequest:
		req.Groups = []string{"g"}
	case *kmsg.OffsetDeleteRequest:
		req.Group = "g"
		req.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}, {Partition: 9}}}}
	case *kmsg.ConsumerGroupHeartbeatRequest:
		req.Group, req.MemberID, req.InstanceID, req.RackID, req.RebalanceTimeoutMillis = "g", "m", instance, ptr("z"), 60_000
		req.SubscribedTopicNames, req.ServerAssignor, req.Topics = []string{"t"}, ptr("uniform"), []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	case *kmsg.ConsumerGroupDescribeRequest:
		req.Groups, req.IncludeAuthorizedOperations = []string{"g"}, true
	default:
		return false
	}
	return true
}
