//go:build e2e && oracle

package e2e

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// commitRequest commits one offset for a partition of the topic t.
func commitRequest(group, member string, generation int32, instance *string, partition int32, offset int64) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.MemberID, req.Generation, req.InstanceID = group, member, generation, instance
	req.Topics = []kmsg.OffsetCommitRequestTopic{commitTopic(oracleTopic, partition, offset, "")}
	return req
}

func commitTopic(topic string, partition int32, offset int64, metadata string) kmsg.OffsetCommitRequestTopic {
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.Metadata = partition, offset, &metadata
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic, t.Partitions = topic, []kmsg.OffsetCommitRequestTopicPartition{p}
	return t
}

func (p *player) commit(name string, v int16, req *kmsg.OffsetCommitRequest) {
	p.t.Helper()
	ask[*kmsg.OffsetCommitResponse](p, name, v, req)
}

// playCommits: what may be committed, in every version, by nobody into groups without members.
func playCommits(p *player) {
	for v := int16(2); v <= newestCommit; v++ {
		group := fmt.Sprintf("commit-%d", v)
		commit := func(what string, topics ...kmsg.OffsetCommitRequestTopic) {
			req := commitRequest(group, "", -1, nil, 0, 0)
			req.Topics, req.RetentionTimeMillis = topics, -1
			p.commit(fmt.Sprintf("commit.v%d.%s", v, what), v, req)
		}
		commit("good", commitTopic(oracleTopic, 0, 11, "m"), commitTopic(oracleOther, 0, 12, ""))
		commit("nothing")
		commit("unknown topic", commitTopic("unknown", 0, 1, ""), commitTopic(oracleTopic, 1, 13, ""))
		commit("bad topic", commitTopic("a b", 0, 1, ""))
		commit("empty topic", commitTopic("", 0, 1, ""))
		bad := commitTopic(oracleTopic, oraclePartitions, 1, "")
		bad.Partitions = append(bad.Partitions, commitTopic(oracleTopic, -1, 1, "").Partitions...)
		commit("unknown partition", bad)
		commit("negative", commitTopic(oracleTopic, 2, -1, ""))
		commit("very negative", commitTopic(oracleTopic, 2, -1<<63, ""))
		commit("beyond the end", commitTopic(oracleTopic, 2, 1<<62, ""))
		commit("metadata of 4096", commitTopic(oracleTopic, 2, 1, strings.Repeat("m", 4096)))
		commit("metadata of 4097", commitTopic(oracleTopic, 2, 2, strings.Repeat("m", 4097)), commitTopic(oracleOther, 0, 14, ""))
		commit("twice", commitTopic(oracleTopic, 1, 3, ""), commitTopic(oracleTopic, 1, 4, ""))
		null := commitTopic(oracleOther, 0, 15, "")
		null.Partitions[0].Metadata = nil
		commit("null metadata", null)
		p.fetch(fmt.Sprintf("commit.v%d.then", v), min(v, newestFetch), group)
	}
}

// playStrangers: commits by those who are no members, into groups that are there and that are not.
func playStrangers(p *player) {
	i := 0
	for _, who := range []struct {
		member     string
		generation int32
	}{{"", -1}, {"", -2}, {"", 0}, {"", 1}, {"nobody", -1}, {"nobody", 0}, {"nobody", 5}} {
		for _, v := range []int16{2, 5, 7, newestCommit} {
			i++
			p.commit(fmt.Sprintf("strangers.no group.v%d.%q %d", v, who.member, who.generation), v,
				commitRequest(fmt.Sprintf("none-%d", i), who.member, who.generation, nil, 0, 1))
		}
	}
	p.commit("strangers.empty name", newestCommit, commitRequest("", "", -1, nil, 0, 1))
	p.commit("strangers.empty name, a member", newestCommit, commitRequest("", "nobody", 1, nil, 0, 1))
	p.commit("strangers.instance", newestCommit, commitRequest("none-instance", "", -1, kmsg.StringPtr("i"), 0, 1))
	p.fetch("strangers.empty name.fetch", newestFetch, "")
}

// fetchRequest asks for partitions of the topic t, and for one of a topic that is not there; nil partitions: for everything.
func fetchRequest(v int16, group string, partitions ...int32) *kmsg.OffsetFetchRequest {
	req := kmsg.NewPtrOffsetFetchRequest()
	g := kmsg.NewOffsetFetchRequestGroup()
	req.Group, g.Group = group, group
	if partitions != nil || v < 2 {
		req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: oracleTopic, Partitions: partitions}, {Topic: "unknown", Partitions: []int32{0}}}
		for _, t := range req.Topics {
			g.Topics = append(g.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: t.Topic, Partitions: t.Partitions})
		}
	}
	req.Groups = []kmsg.OffsetFetchRequestGroup{g}
	return req
}

func (p *player) fetch(name string, v int16, group string, partitions ...int32) {
	p.t.Helper()
	ask[*kmsg.OffsetFetchResponse](p, name, v, fetchRequest(v, group, partitions...))
}

func playFetches(p *player) {
	req := commitRequest("fetch", "", -1, nil, 0, 21)
	req.Topics = append(req.Topics, commitTopic(oracleOther, 0, 22, "other"))
	p.commit("fetch.commit", newestCommit, req)
	for v := int16(1); v <= newestFetch; v++ {
		say := func(what string) string { return fmt.Sprintf("fetch.v%d.%s", v, what) }
		p.fetch(say("all"), v, "fetch")
		p.fetch(say("some"), v, "fetch", 0, 1, 99, -1)
		p.fetch(say("the same twice"), v, "fetch", 0, 0)
		p.fetch(say("no partitions"), v, "fetch", []int32{}...)
		p.fetch(say("unknown group"), v, "nothing", 0)
		p.fetch(say("all of an unknown group"), v, "nothing")
		p.fetch(say("empty group"), v, "", 0)
		empty := fetchRequest(v, "fetch", 0)
		empty.Topics, empty.Groups[0].Topics = []kmsg.OffsetFetchRequestTopic{}, []kmsg.OffsetFetchRequestGroupTopic{}
		ask[*kmsg.OffsetFetchResponse](p, say("no topics"), v, empty)
		stable := fetchRequest(v, "fetch", 0, 1)
		stable.RequireStable = true
		ask[*kmsg.OffsetFetchResponse](p, say("stable"), v, stable)
		if v < 8 {
			continue
		}
		many := fetchRequest(v, "fetch", 0)
		many.Groups = append(many.Groups, fetchRequest(v, "nothing", 0).Groups[0], fetchRequest(v, "commit-5").Groups[0], fetchRequest(v, "", 0).Groups[0])
		ask[*kmsg.OffsetFetchResponse](p, say("many"), v, many)
		many.Groups = nil
		ask[*kmsg.OffsetFetchResponse](p, say("no groups"), v, many)
	}
	j := p.settled("fetch.member", "fetch-live", newestJoin)
	for _, epoch := range []int32{-1, j.Generation, j.Generation + 1} {
		for _, member := range []string{j.MemberID, "nobody"} {
			who := map[bool]string{true: "member", false: "nobody"}[member == j.MemberID]
			req := fetchRequest(9, "fetch-live", 0)
			req.Groups[0].MemberID, req.Groups[0].MemberEpoch = &member, epoch
			ask[*kmsg.OffsetFetchResponse](p, fmt.Sprintf("fetch.live.%s %d", who, epoch), 9, req)
		}
	}
}

func offsetDeleteRequest(group string, topics map[string][]int32, order ...string) *kmsg.OffsetDeleteRequest {
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group = group
	for _, topic := range order {
		t := kmsg.OffsetDeleteRequestTopic{Topic: topic}
		for _, partition := range topics[topic] {
			t.Partitions = append(t.Partitions, kmsg.OffsetDeleteRequestTopicPartition{Partition: partition})
		}
		req.Topics = append(req.Topics, t)
	}
	return req
}

// playDeletes: OffsetDelete and DeleteGroups.
func playDeletes(p *player) {
	forget := func(what, group string, topics map[string][]int32, order ...string) {
		ask[*kmsg.OffsetDeleteResponse](p, "delete.offsets."+what, 0, offsetDeleteRequest(group, topics, order...))
	}
	all := map[string][]int32{oracleTopic: {0, 1, 99, -1}, oracleOther: {0}, "unknown": {0}}
	forget("unknown group", "nothing", all, oracleTopic)
	forget("empty group", "", all, oracleTopic)
	p.commit("delete.commit", newestCommit, commitRequest("delete", "", -1, nil, 0, 31))
	forget("good and bad", "delete", all, oracleTopic, "unknown")
	forget("nothing", "delete", all)
	p.fetch("delete.offsets.then", newestFetch, "delete")
	j := p.settled("delete.member", "delete-live", newestJoin)
	p.commit("delete.live.commit", newestCommit, commitRequest("delete-live", j.MemberID, j.Generation, nil, 0, 32))
	forget("subscribed", "delete-live", all, oracleTopic, oracleOther)
	connect := func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "connect" }
	k := p.entered("delete.connect", "a", "delete-connect", newestJoin, connect)
	forget("of a group that does not consume", "delete-connect", all, oracleTopic)
	for v := range int16(3) {
		say := func(what string) string { return fmt.Sprintf("delete.groups.v%d.%s", v, what) }
		remove := func(what string, groups ...string) {
			req := kmsg.NewPtrDeleteGroupsRequest()
			req.Groups = groups
			ask[*kmsg.DeleteGroupsResponse](p, say(what), v, req)
		}
		group := fmt.Sprintf("gone-%d", v)
		p.commit(say("commit"), newestCommit, commitRequest(group, "", -1, nil, 0, 33))
		remove("several", "nothing", "delete-live", group, "")
		remove("again", group)
		remove("the same twice", "nothing", "nothing")
		remove("none")
		p.fetch(say("fetch"), newestFetch, group)
		p.describe(say("describe"), group)
	}
	p.leave("delete.leave", "delete-live", kmsg.LeaveGroupRequestMember{MemberID: j.MemberID})
	p.leave("delete.leave connect", "delete-connect", kmsg.LeaveGroupRequestMember{MemberID: k.MemberID})
	forget("of one that consumed nothing", "delete-connect", all, oracleTopic)
	forget("subscribed no more", "delete-live", all, oracleTopic)
}

func playDescribes(p *player) {
	j := p.settled("describe.member", "describe", newestJoin, withInstance("i"))
	p.commit("describe.commit", newestCommit, commitRequest("describe-simple", "", -1, nil, 0, 41))
	for v := range int16(7) {
		for _, operations := range []bool{false, true} {
			req := kmsg.NewPtrDescribeGroupsRequest()
			req.Groups, req.IncludeAuthorizedOperations = []string{"describe", "describe-simple", "nothing", ""}, operations && v >= 3
			ask[*kmsg.DescribeGroupsResponse](p, fmt.Sprintf("describe.v%d.operations %v", v, operations), v, req)
		}
	}
	p.leave("describe.leave", "describe", kmsg.LeaveGroupRequestMember{MemberID: j.MemberID, InstanceID: kmsg.StringPtr("i")})
}

// playLists: the groups of all parts are there.
func playLists(p *player) {
	for v := range int16(6) {
		for _, f := range []struct{ states, types []string }{
			{}, {[]string{"Stable"}, nil}, {[]string{"stable", "EMPTY"}, nil}, {[]string{"Dead"}, nil}, {[]string{"nonsense"}, nil}, {[]string{""}, nil},
			{nil, []string{"classic"}}, {nil, []string{"Consumer"}}, {nil, []string{"nonsense"}}, {[]string{"Stable"}, []string{"CLASSIC"}},
		} {
			if f.states != nil && v < 4 || f.types != nil && v < 5 {
				continue
			}
			req := kmsg.NewPtrListGroupsRequest()
			req.StatesFilter, req.TypesFilter = f.states, f.types
			ask[*kmsg.ListGroupsResponse](p, fmt.Sprintf("list.v%d.%q %q", v, f.states, f.types), v, req)
		}
	}
}
