package kafka

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/objstore/recordbatch"
)

// goldenRequest is the one request of a key and version whose answer is kept: what is there, and beside it what is not. It is
// made of what a client of that version can say; the same request goes to kfake, where that knows the version.
func goldenRequest(t *testing.T, key, version int16, f goldenFacts) kmsg.Request {
	t.Helper()
	req := kmsg.RequestForKey(key)
	req.SetVersion(version)
	if !goldenData(t, req, version, f) && !goldenTopics(req, version, f) && !goldenConfigs(req, version, f) && !goldenGroups(req, version, f) && !goldenTools(req) {
		t.Fatalf("%s has no golden request: write one beside its handler's row in dispatch", kmsg.NameForKey(key))
	}
	return req
}

// goldenData is of the requests that producers and consumers send.
func goldenData(t *testing.T, req kmsg.Request, version int16, f goldenFacts) bool {
	switch req := req.(type) {
	case *kmsg.ProduceRequest:
		*req = *producing(version, "t", goldenBatch(t, 4, &recordbatch.Producer{ID: 7, Epoch: 1, Sequence: 2}), goldenBatch(t, 0, nil), goldenBatch(t, 0, nil))
		req.Topics[0].TopicID = f.id
		req.Topics[0].Partitions[2].Partition = 9
	case *kmsg.FetchRequest:
		*req = *fetching(version, "t", 1, 0, 0)
		req.Topics[0].Partitions[2].Partition = 9
		req.Topics[0].TopicID, req.IsolationLevel = f.id, 1
	case *kmsg.ListOffsetsRequest:
		req.ReplicaID = -1
		rt := kmsg.NewListOffsetsRequestTopic()
		rt.Topic = "t"
		for i, ts := range []int64{goldenTime + 1500, -1, -2} {
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.Partition, p.Timestamp, p.CurrentLeaderEpoch = []int32{0, 1, 9}[i], ts, -1
			rt.Partitions = append(rt.Partitions, p)
		}
		req.Topics = append(req.Topics, rt)
	case *kmsg.MetadataRequest:
		*req = *metadataOf(version, "t", "absent")
		if version >= 12 {
			req.Topics[0].Topic, req.Topics[0].TopicID = nil, f.id
			req.Topics[1].Topic, req.Topics[1].TopicID = nil, goldenNo
		}
		req.IncludeClusterAuthorizedOperations, req.IncludeTopicAuthorizedOperations = true, true
	case *kmsg.FindCoordinatorRequest:
		req.CoordinatorKey, req.CoordinatorKeys = "g", []string{"g", "h"}
	case *kmsg.ApiVersionsRequest:
		req.ClientSoftwareName, req.ClientSoftwareVersion, req.NodeID = "golden", "1.0", -1
	case *kmsg.InitProducerIDRequest:
		req.TransactionTimeoutMillis, req.ProducerID, req.ProducerEpoch = 60_000, -1, -1
	case *kmsg.OffsetForLeaderEpochRequest:
		req.ReplicaID = -1
		rt := kmsg.NewOffsetForLeaderEpochRequestTopic()
		rt.Topic = "t"
		for _, index := range []int32{0, 9} {
			p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
			p.Partition, p.CurrentLeaderEpoch, p.LeaderEpoch = index, -1, f.epoch
			rt.Partitions = append(rt.Partitions, p)
		}
		req.Topics = append(req.Topics, rt)
	default:
		return false
	}
	return true
}

// goldenTopics is of the requests that change topics or page through them.
func goldenTopics(req kmsg.Request, version int16, f goldenFacts) bool {
	switch req := req.(type) {
	case *kmsg.CreateTopicsRequest:
		*req = *creating(version, newTopic("made", 2, 1, "retention.ms", "60000"), newTopic("t", 1, 1), newTopic("a/b", 1, 1))
	case *kmsg.DeleteTopicsRequest:
		req.TopicNames = []string{"t", "absent"}
		for _, name := range req.TopicNames {
			req.Topics = append(req.Topics, kmsg.DeleteTopicsRequestTopic{Topic: ptr(name)})
		}
		req.Topics = append(req.Topics, kmsg.DeleteTopicsRequestTopic{TopicID: goldenNo})
		req.TimeoutMillis = 5000
	case *kmsg.DeleteRecordsRequest:
		req.TimeoutMillis = 5000
		req.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: "t", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{
			{Partition: 0, Offset: 2}, {Partition: 1, Offset: 9}, {Partition: 9, Offset: -1}}}}
	case *kmsg.CreatePartitionsRequest:
		req.TimeoutMillis = 5000
		req.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: "t", Count: 3}, {Topic: "absent", Count: 2}}
	case *kmsg.DescribeTopicPartitionsRequest:
		req.Topics = []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: "absent"}, {Topic: "t"}}
		req.ResponsePartitionLimit = 1
	case *kmsg.ElectLeadersRequest:
		req.TimeoutMillis = 5000
		req.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: "t", Partitions: []int32{0, 9}}}
	case *kmsg.AlterPartitionAssignmentsRequest:
		req.TimeoutMillis = 5000
		p := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
		p.Replicas = []int32{f.node}
		req.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{{Topic: "t", Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{p}}}
	case *kmsg.ListPartitionReassignmentsRequest:
		req.TimeoutMillis = 5000
	default:
		return false
	}
	return true
}

// goldenConfigs is of the requests about configs.
func goldenConfigs(req kmsg.Request, version int16, f goldenFacts) bool {
	const onTopic, onBroker = kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker
	switch req := req.(type) {
	case *kmsg.DescribeConfigsRequest:
		req.Resources = []kmsg.DescribeConfigsRequestResource{
			{ResourceType: onTopic, ResourceName: "t", ConfigNames: []string{"cleanup.policy", "retention.ms"}},
			{ResourceType: onTopic, ResourceName: "absent", ConfigNames: []string{"retention.ms"}},
			{ResourceType: onBroker, ResourceName: fmt.Sprint(f.node), ConfigNames: []string{"num.partitions"}},
		}
		req.IncludeSynonyms, req.IncludeDocumentation = version >= 1, version >= 3
	case *kmsg.AlterConfigsRequest:
		set := []kmsg.AlterConfigsRequestResourceConfig{{Name: "retention.ms", Value: ptr("60000")}}
		bad := []kmsg.AlterConfigsRequestResourceConfig{{Name: "retention.ms", Value: ptr("soon")}}
		req.Resources = []kmsg.AlterConfigsRequestResource{
			{ResourceType: onTopic, ResourceName: "t", Configs: set}, {ResourceType: onTopic, ResourceName: "absent", Configs: bad}}
	case *kmsg.IncrementalAlterConfigsRequest:
		set := []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "retention.ms", Op: kmsg.IncrementalAlterConfigOpSet, Value: ptr("60000")}}
		req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{
			{ResourceType: onTopic, ResourceName: "t", Configs: set}, {ResourceType: onTopic, ResourceName: "absent", Configs: set}}
	case *kmsg.ListConfigResourcesRequest:
		if version >= 1 {
			req.ResourceTypes = []int8{int8(onTopic), int8(onBroker)}
		}
	default:
		return false
	}
	return true
}

// goldenTools is of what only tools of administrators send.
func goldenTools(req kmsg.Request) bool {
	switch req := req.(type) {
	case *kmsg.DescribeACLsRequest:
		req.ResourceType, req.ResourcePatternType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny
		req.Operation, req.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	case *kmsg.CreateACLsRequest:
		req.Creations = []kmsg.CreateACLsRequestCreation{{ResourceType: kmsg.ACLResourceTypeTopic, ResourceName: "t",
			ResourcePatternType: kmsg.ACLResourcePatternTypeLiteral, Principal: "User:u", Host: "*",
			Operation: kmsg.ACLOperationRead, PermissionType: kmsg.ACLPermissionTypeAllow}}
	case *kmsg.DeleteACLsRequest:
		req.Filters = []kmsg.DeleteACLsRequestFilter{{ResourceType: kmsg.ACLResourceTypeAny, ResourcePatternType: kmsg.ACLResourcePatternTypeAny,
			Operation: kmsg.ACLOperationAny, PermissionType: kmsg.ACLPermissionTypeAny}}
	case *kmsg.DescribeLogDirsRequest:
		req.Topics = []kmsg.DescribeLogDirsRequestTopic{{Topic: "t", Partitions: []int32{0, 1, 9}}}
	case *kmsg.DescribeClientQuotasRequest:
		c := kmsg.NewDescribeClientQuotasRequestComponent()
		c.EntityType, c.MatchType = "user", 2
		req.Components = append(req.Components, c)
	case *kmsg.AlterClientQuotasRequest:
		req.Entries = []kmsg.AlterClientQuotasRequestEntry{{
			Entity: []kmsg.AlterClientQuotasRequestEntryEntity{{Type: "user", Name: ptr("u")}},
			Ops:    []kmsg.AlterClientQuotasRequestEntryOp{{Key: "producer_byte_rate", Value: 1024}}}}
	case *kmsg.DescribeUserSCRAMCredentialsRequest:
		req.Users = []kmsg.DescribeUserSCRAMCredentialsRequestUser{{Name: "u"}}
	case *kmsg.AlterUserSCRAMCredentialsRequest:
		req.Deletions = []kmsg.AlterUserSCRAMCredentialsRequestDeletion{{Name: "u", Mechanism: 1}}
		req.Upsertions = []kmsg.AlterUserSCRAMCredentialsRequestUpsertion{{Name: "v", Mechanism: 1, Iterations: 4096, Salt: []byte{1}, SaltedPassword: []byte{2}}}
	case *kmsg.UpdateFeaturesRequest:
		req.FeatureUpdates = []kmsg.UpdateFeaturesRequestFeatureUpdate{{Feature: "metadata.version", MaxVersionLevel: metadataVersion, UpgradeType: 1}}
	case *kmsg.DescribeClusterRequest:
		req.IncludeClusterAuthorizedOperations, req.EndpointType = true, 1
	case *kmsg.DescribeProducersRequest:
		req.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: "t", Partitions: []int32{0, 1, 9}}}
	default:
		return false
	}
	return true
}
