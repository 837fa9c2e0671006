package kafka

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/topic"
)

// consumerBeat is the first heartbeat of a member that reads topic "t".
func consumerBeat(group, member string) *kmsg.ConsumerGroupHeartbeatRequest {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.RebalanceTimeoutMillis = 1, group, member, 60_000
	req.SubscribedTopicNames, req.Topics = []string{"t"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	return req
}

func committing(version int16, group, member string, epoch int32, top *topic.Topic) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.MemberID, req.Generation = version, group, member, epoch
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic, rt.TopicID = top.Name, top.ID
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset = 3
	rt.Partitions = append(rt.Partitions, p)
	req.Topics = append(req.Topics, rt)
	return req
}

// TestConsumerGroupHeartbeat: what a member of a group of the newer protocol is told, and what keeps it out.
func TestConsumerGroupHeartbeat(t *testing.T) {
	w := newWorld(t, option{})
	top := w.topic("t", 3)
	c := w.dial()
	beat := func(req *kmsg.ConsumerGroupHeartbeatRequest) *kmsg.ConsumerGroupHeartbeatResponse {
		t.Helper()
		return call[*kmsg.ConsumerGroupHeartbeatResponse](c, req)
	}
	in := beat(consumerBeat("g", "m"))
	if in.ErrorCode != 0 || *in.MemberID != "m" || in.MemberEpoch < 1 || in.HeartbeatIntervalMillis != 5000 || in.Assignment == nil ||
		len(in.Assignment.Topics) != 1 || in.Assignment.Topics[0].TopicID != top.ID || len(in.Assignment.Topics[0].Partitions) != 3 {
		t.Fatalf("joined: %+v", in)
	}
	still := consumerBeat("g", "m")
	still.MemberEpoch, still.RebalanceTimeoutMillis, still.SubscribedTopicNames, still.Topics = in.MemberEpoch, -1, nil, nil
	if r := beat(still); r.ErrorCode != 0 || r.MemberEpoch != in.MemberEpoch || r.Assignment != nil {
		t.Errorf("nothing new: %+v", r)
	}
	for what, bad := range map[string]struct {
		change func(*kmsg.ConsumerGroupHeartbeatRequest)
		code   int16
		says   string
	}{
		"no group":         {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Group = "" }, codeInvalidRequest, "group id is empty"},
		"no member id":     {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID = "" }, codeInvalidRequest, "member id is empty"},
		"no topics":        {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicNames = nil }, codeInvalidRequest, "topics are missing"},
		"unknown":          {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = 5 }, codeUnknownMemberID, "no such member"},
		"unknown group":    {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Group, r.MemberEpoch = "none", 5 }, codeUnknownMemberID, "no such member"},
		"assignor":         {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.ServerAssignor = ptr("x") }, codeUnsupportedAssignor, "uniform, range"},
		"regex":            {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicRegex = ptr("(") }, codeInvalidRegex, "missing closing )"},
		"epoch":            {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID, r.MemberEpoch = "m", 99 }, codeFencedMemberEpoch, "99"},
		"epoch below -2":   {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -3 }, codeInvalidRequest, "below -2"},
		"a group too long": {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Group = string(make([]byte, 400)) }, codeInvalidGroupID, "invalid group id"},
	} {
		req := consumerBeat("g", "n")
		bad.change(req)
		r := beat(req)
		says(t, what, r.ErrorCode, bad.code, r.ErrorMessage, bad.says)
	}
	old := consumerBeat("h", "")
	old.Version = 0
	if r := beat(old); r.ErrorCode != 0 || len(*r.MemberID) != 22 {
		t.Errorf("version 0 without a member id: %+v", r)
	}
	static := consumerBeat("s", "one")
	static.InstanceID = ptr("i")
	beat(static)
	static.MemberID = "two"
	r := beat(static)
	says(t, "the instance is there", r.ErrorCode, codeUnreleasedInstanceID, r.ErrorMessage, "still has the instance id")
}

// TestConsumerGroupOffsets: versions and epochs of those who commit, and of those who ask.
func TestConsumerGroupOffsets(t *testing.T) {
	w := newWorld(t, option{})
	top := w.topic("t", 1)
	c := w.dial()
	in := call[*kmsg.ConsumerGroupHeartbeatResponse](c, consumerBeat("g", "m"))
	commit := func(version int16, member string, epoch int32) int16 {
		return call[*kmsg.OffsetCommitResponse](c, committing(version, "g", member, epoch, top)).Topics[0].Partitions[0].ErrorCode
	}
	for _, e := range []struct {
		version int16
		member  string
		epoch   int32
		want    int16
	}{
		{8, "m", in.MemberEpoch, codeUnsupportedVersion}, {9, "m", in.MemberEpoch, codeNone}, {10, "m", in.MemberEpoch, codeNone},
		{9, "m", in.MemberEpoch + 1, codeStaleMemberEpoch}, {9, "n", in.MemberEpoch, codeUnknownMemberID}, {9, "", -1, codeUnknownMemberID},
	} {
		if code := commit(e.version, e.member, e.epoch); code != e.want {
			t.Errorf("commit v%d by %q at %d: %d, want %d", e.version, e.member, e.epoch, code, e.want)
		}
	}
	fetch := func(member *string, epoch int32) int16 {
		req := kmsg.NewPtrOffsetFetchRequest()
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group, g.MemberID, g.MemberEpoch = "g", member, epoch
		req.Version, req.Groups = 9, []kmsg.OffsetFetchRequestGroup{g}
		r := call[*kmsg.OffsetFetchResponse](c, req).Groups[0]
		if r.ErrorCode == 0 && (len(r.Topics) != 1 || r.Topics[0].Partitions[0].Offset != 3) {
			t.Errorf("fetched %+v", r.Topics)
		}
		return r.ErrorCode
	}
	if a, b, d := fetch(nil, -1), fetch(ptr("m"), in.MemberEpoch), fetch(ptr("m"), in.MemberEpoch+1); a != 0 || b != 0 || d != codeStaleMemberEpoch {
		t.Errorf("fetch: %d, %d, %d", a, b, d)
	}
	if code := fetch(ptr("n"), 1); code != codeUnknownMemberID {
		t.Errorf("fetch by a stranger: %d", code)
	}
}

// TestConsumerGroupDescribe: each way to describe groups tells of those of its protocol.
func TestConsumerGroupDescribe(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("t", 2)
	c := w.dial()
	join := consumerBeat("g", "m")
	join.RackID, join.SubscribedTopicRegex = ptr("z1"), ptr("t.*")
	call[*kmsg.ConsumerGroupHeartbeatResponse](c, join)
	call[*kmsg.JoinGroupResponse](c, joining("old", "", []byte("x")))
	for v := range int16(2) {
		req := kmsg.NewPtrConsumerGroupDescribeRequest()
		req.Version, req.Groups, req.IncludeAuthorizedOperations = v, []string{"g", "old", "none"}, true
		r := call[*kmsg.ConsumerGroupDescribeResponse](c, req).Groups
		g, m := r[0], r[0].Members[0]
		if g.ErrorCode != 0 || g.State != "Stable" || g.AssignorName != "uniform" || g.Epoch != g.AssignmentEpoch || g.AuthorizedOperations != groupOperations ||
			m.MemberID != "m" || *m.RackID != "z1" || *m.SubscribedTopicRegex != "t.*" || m.SubscribedTopics[0] != "t" || v == 1 && m.MemberType != consumerMember ||
			m.Assignment.TopicPartitions[0].Topic != "t" || len(m.TargetAssignment.TopicPartitions[0].Partitions) != 2 {
			t.Errorf("v%d: %+v", v, g)
		}
		says(t, "a classic group", r[1].ErrorCode, codeGroupIDNotFound, r[1].ErrorMessage, "of the consumer protocol")
		says(t, "no group", r[2].ErrorCode, codeGroupIDNotFound, r[2].ErrorMessage, "no such group")
	}
	for v, want := range map[int16]int16{5: codeNone, 6: codeGroupIDNotFound} {
		req := kmsg.NewPtrDescribeGroupsRequest()
		req.Version, req.Groups = v, []string{"g"}
		if g := call[*kmsg.DescribeGroupsResponse](c, req).Groups[0]; g.ErrorCode != want || g.State != "Dead" {
			t.Errorf("DescribeGroups v%d of a consumer group: %+v", v, g)
		}
	}
	list := kmsg.NewPtrListGroupsRequest()
	list.Version, list.TypesFilter = 5, []string{"Consumer"}
	if r := call[*kmsg.ListGroupsResponse](c, list).Groups; len(r) != 1 || r[0].GroupType != "consumer" || r[0].GroupState != "Stable" || r[0].ProtocolType != "consumer" {
		t.Errorf("listed: %+v", r)
	}
}

// TestConsumerProtocolOff: an agent that is told to serve the classic protocol alone does not speak of the other.
func TestConsumerProtocolOff(t *testing.T) {
	w := newWorld(t, option{settings: map[string]string{"group.coordinator.rebalance.protocols": "classic"}})
	c := w.dial()
	r := call[*kmsg.ConsumerGroupHeartbeatResponse](c, consumerBeat("g", "m"))
	says(t, "heartbeat", r.ErrorCode, codeUnsupportedVersion, r.ErrorMessage, "rebalance.protocols")
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Groups = []string{"g"}
	d := call[*kmsg.ConsumerGroupDescribeResponse](c, req).Groups[0]
	says(t, "describe", d.ErrorCode, codeUnsupportedVersion, d.ErrorMessage, "rebalance.protocols")
	told := call[*kmsg.ApiVersionsResponse](c, apiVersions(4))
	for _, k := range told.ApiKeys {
		if k.ApiKey == keyConsumerHeartbeat {
			t.Error("the heartbeat is told in ApiVersions")
		}
	}
	for _, f := range told.FinalizedFeatures {
		if f.Name == "group.version" {
			t.Errorf("told: %+v", f)
		}
	}
}

// TestGroupConfigs: what is set of a group is described, listed, and told to its members.
func TestGroupConfigs(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("t", 1)
	c := w.dial()
	alter := func(validate bool, name string, op kmsg.IncrementalAlterConfigOp, value *string) (int16, *string) {
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		req.ValidateOnly = validate
		req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeGroupConfig, ResourceName: "g",
			Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: name, Op: op, Value: value}}}}
		r := call[*kmsg.IncrementalAlterConfigsResponse](c, req).Resources[0]
		return r.ErrorCode, r.ErrorMessage
	}
	const beat = "consumer.heartbeat.interval.ms"
	described := func() (string, kmsg.ConfigSource) {
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.Version = 4
		req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeGroupConfig, ResourceName: "g", ConfigNames: []string{beat}}}
		r := call[*kmsg.DescribeConfigsResponse](c, req).Resources[0].Configs[0]
		if r.ReadOnly {
			t.Errorf("%s is read-only", beat)
		}
		return *r.Value, r.Source
	}
	listed := func() int {
		req := kmsg.NewPtrListConfigResourcesRequest()
		req.Version, req.ResourceTypes = 1, []int8{int8(kmsg.ConfigResourceTypeGroupConfig)}
		return len(call[*kmsg.ListConfigResourcesResponse](c, req).ConfigResources)
	}
	if code, msg := alter(true, beat, kmsg.IncrementalAlterConfigOpSet, ptr("7000")); code != 0 {
		t.Errorf("validate: %d %s", code, *msg)
	}
	if v, source := described(); v != "5000" || source != kmsg.ConfigSourceDefaultConfig || listed() != 0 {
		t.Errorf("before: %s, %v, %d listed", v, source, listed())
	}
	if code, msg := alter(false, beat, kmsg.IncrementalAlterConfigOpSet, ptr("7000")); code != 0 {
		t.Fatalf("set: %d %s", code, *msg)
	}
	if v, source := described(); v != "7000" || source != kmsg.ConfigSource(topic.SourceGroup) || listed() != 1 {
		t.Errorf("set: %s, %v, %d listed", v, source, listed())
	}
	if r := call[*kmsg.ConsumerGroupHeartbeatResponse](c, consumerBeat("g", "m")); r.HeartbeatIntervalMillis != 7000 {
		t.Errorf("a member is told %d ms", r.HeartbeatIntervalMillis)
	}
	for value, text := range map[string]string{"20000": "above group.consumer.max.heartbeat.interval.ms, which is 15000", "x": "not a whole number"} {
		code, msg := alter(false, beat, kmsg.IncrementalAlterConfigOpSet, &value)
		says(t, value, code, codeInvalidConfig, msg, text)
	}
	code, msg := alter(false, beat, kmsg.IncrementalAlterConfigOpAppend, ptr("1"))
	says(t, "append", code, codeInvalidConfig, msg, "no list")
	if code, _ := alter(false, beat, kmsg.IncrementalAlterConfigOpDelete, nil); code != 0 || listed() != 0 {
		t.Errorf("delete: %d, %d listed", code, listed())
	}
}

// TestKgoConsumers: a real client of the newer protocol: two members share, one leaves, a regular expression finds a new topic.
func TestKgoConsumers(t *testing.T) {
	w := newWorld(t, option{auto: true, cache: 64 << 20, settings: map[string]string{"group.consumer.min.heartbeat.interval.ms": "100", "group.consumer.heartbeat.interval.ms": "100"}})
	w.topic("t-1", 4)
	ctx, cancel := context.WithTimeout(t.Context(), hangTime)
	defer cancel()
	member := func() (*kgo.Client, *atomic.Int64) {
		var has atomic.Int64
		count := func(by int64) func(context.Context, *kgo.Client, map[string][]int32) {
			return func(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
				for _, p := range parts {
					has.Add(by * int64(len(p)))
				}
			}
		}
		c := w.kgo(kgo.ConsumerGroup("g"), kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()), kgo.ConsumeRegex(), kgo.ConsumeTopics("t-.*"),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond),
			kgo.OnPartitionsAssigned(count(1)), kgo.OnPartitionsRevoked(count(-1)), kgo.OnPartitionsLost(count(-1)))
		go func() {
			for ctx.Err() == nil && !c.PollFetches(ctx).IsClientClosed() {
				continue
			}
		}()
		return c, &has
	}
	_, one := member()
	eventually(t, "one member has all", func() bool { return one.Load() == 4 })
	second, two := member()
	eventually(t, "two members have a half each", func() bool { return one.Load() == 2 && two.Load() == 2 })
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Version, req.Groups = 1, []string{"g"}
	if g := call[*kmsg.ConsumerGroupDescribeResponse](w.dial(), req).Groups[0]; len(g.Members) != 2 {
		t.Errorf("not of the newer protocol: %+v", g)
	}
	second.Close()
	eventually(t, "the one that stays has all", func() bool { return one.Load() == 4 })
	w.topic("t-2", 3)
	eventually(t, "a new topic is found", func() bool { return one.Load() == 7 })
}
