//go:build e2e && oracle

package e2e

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

type beatChange func(*kmsg.ConsumerGroupHeartbeatRequest)

// beatRequest is a member's first heartbeat, and what changes make of it.
func beatRequest(group, member string, changes ...beatChange) *kmsg.ConsumerGroupHeartbeatRequest {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID = group, member
	req.RebalanceTimeoutMillis, req.SubscribedTopicNames, req.Topics = 30_000, []string{oracleTopic}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	for _, change := range changes {
		change(req)
	}
	return req
}

// later is a heartbeat that says nothing new.
func later(epoch int32) beatChange {
	return func(r *kmsg.ConsumerGroupHeartbeatRequest) {
		r.MemberEpoch, r.RebalanceTimeoutMillis, r.SubscribedTopicNames, r.Topics = epoch, -1, nil, nil
	}
}

// owning says which partitions the member has.
func owning(a *kmsg.ConsumerGroupHeartbeatResponseAssignment) beatChange {
	return func(r *kmsg.ConsumerGroupHeartbeatRequest) {
		r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		if a == nil {
			return
		}
		for _, t := range a.Topics {
			r.Topics = append(r.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: t.TopicID, Partitions: t.Partitions})
		}
	}
}

func asInstance(id string) beatChange {
	return func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.InstanceID = &id }
}

const newestBeat = 1

func (p *player) consumerBeat(name, group, member string, changes ...beatChange) *kmsg.ConsumerGroupHeartbeatResponse {
	p.t.Helper()
	return ask[*kmsg.ConsumerGroupHeartbeatResponse](p, name, newestBeat, beatRequest(group, member, changes...))
}

func (p *player) describeConsumer(name string, v int16, groups ...string) {
	p.t.Helper()
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Groups = groups
	ask[*kmsg.ConsumerGroupDescribeResponse](p, name, v, req)
}

// playConsumerBad: heartbeats of the newer protocol that are refused (KIP-848).
func playConsumerBad(p *player) {
	for v := range int16(newestBeat + 1) {
		for _, bad := range []struct {
			what   string
			change beatChange
		}{
			{"empty group", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Group = "" }},
			{"no member id", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID = "" }},
			{"no topics", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicNames = nil }},
			{"empty topics", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicNames = []string{} }},
			{"no rebalance time-out", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.RebalanceTimeoutMillis = -1 }},
			{"no partitions list", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Topics = nil }},
			{"owns already", func(r *kmsg.ConsumerGroupHeartbeatRequest) {
				r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{{TopicID: [16]byte{1}, Partitions: []int32{0}}}
			}},
			{"unknown assignor", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.ServerAssignor = kmsg.StringPtr("nonsense") }},
			{"empty assignor", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.ServerAssignor = kmsg.StringPtr("") }},
			{"empty instance", asInstance("")},
			{"empty rack", func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.RackID = kmsg.StringPtr("") }},
			{"epoch of nobody", later(5)},
			{"leave of nobody", later(-1)},
			{"static leave without instance", later(-2)},
			{"static leave of nobody", func(r *kmsg.ConsumerGroupHeartbeatRequest) { later(-2)(r); asInstance("i")(r) }},
			{"very negative epoch", later(-3)},
			{"bad regex", func(r *kmsg.ConsumerGroupHeartbeatRequest) {
				r.SubscribedTopicNames, r.SubscribedTopicRegex = nil, kmsg.StringPtr("(")
			}},
			{"look-ahead", func(r *kmsg.ConsumerGroupHeartbeatRequest) {
				r.SubscribedTopicNames, r.SubscribedTopicRegex = nil, kmsg.StringPtr("(?=t)")
			}},
			{"regex of nothing", func(r *kmsg.ConsumerGroupHeartbeatRequest) {
				r.SubscribedTopicNames, r.SubscribedTopicRegex = nil, kmsg.StringPtr("")
			}},
		} {
			req := beatRequest(fmt.Sprintf("beat-%d", v), "member-"+fmt.Sprint(v), bad.change)
			ask[*kmsg.ConsumerGroupHeartbeatResponse](p, fmt.Sprintf("consumer.bad.v%d.%s", v, bad.what), v, req)
		}
	}
}

// playConsumer: two members share a topic, commit, are described, and leave.
func playConsumer(p *player) {
	const group = "consumer"
	a := p.consumerBeat("consumer.a joins", group, "a")
	held := a.Assignment
	p.consumerBeat("consumer.a joins again", group, "a")
	p.consumerBeat("consumer.a owns", group, "a", later(1), owning(held))
	p.consumerBeat("consumer.a beats", group, "a", later(1))
	p.consumerBeat("consumer.a beats in the future", group, "a", later(7))
	p.consumerBeat("consumer.nobody beats", group, "nobody", later(1))
	playConsumerOffsets(p, group, "a", 1)
	b := p.consumerBeat("consumer.b joins", group, "b", asInstance("i"))
	p.consumerBeat("consumer.b beats", group, "b", asInstance("i"), later(b.MemberEpoch), asInstance("i"))
	kept := p.consumerBeat("consumer.a is told", group, "a", later(1)).Assignment
	p.describeConsumer("consumer.reconciling", 1, group)
	a = p.consumerBeat("consumer.a has given up", group, "a", later(1), owning(kept))
	p.consumerBeat("consumer.a beats on", group, "a", later(a.MemberEpoch))
	b = p.consumerBeat("consumer.b is given", group, "b", later(b.MemberEpoch), asInstance("i"))
	p.consumerBeat("consumer.b has", group, "b", later(b.MemberEpoch), owning(b.Assignment), asInstance("i"))
	p.consumerBeat("consumer.c takes an instance", group, "c", asInstance("i"))
	p.consumerBeat("consumer.b is away", group, "b", later(-2), asInstance("i"))
	p.consumerBeat("consumer.b beats while away", group, "b", later(b.MemberEpoch), asInstance("i"))
	c := p.consumerBeat("consumer.c takes the place", group, "c", asInstance("i"))
	p.consumerBeat("consumer.c has", group, "c", later(c.MemberEpoch), owning(c.Assignment), asInstance("i"))
	p.describeConsumer("consumer.stable", 0, group)
	p.describe("consumer.classic description", group)
	ask[*kmsg.JoinGroupResponse](p, "consumer.classic member of another type", newestJoin, joinRequest(group, "", func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "connect" }))
	p.consumerBeat("consumer.c leaves", group, "c", later(-1), asInstance("i"))
	p.consumerBeat("consumer.a leaves", group, "a", later(-1))
	p.describeConsumer("consumer.empty", 1, group)
	p.commit("consumer.commit by nobody", newestCommit, commitRequest(group, "", -1, nil, 0, 5))
	remove := kmsg.NewPtrDeleteGroupsRequest()
	remove.Groups = []string{group}
	ask[*kmsg.DeleteGroupsResponse](p, "consumer.delete", 2, remove)
	p.describeConsumer("consumer.gone", 1, group, "nothing", "", "describe-simple")
}

func playConsumerOffsets(p *player, group, member string, epoch int32) {
	for _, v := range []int16{5, 8, 9} {
		for _, c := range []struct {
			member string
			epoch  int32
		}{{member, epoch}, {member, epoch + 1}, {member, epoch - 1}, {member, -1}, {"", -1}, {"nobody", epoch}} {
			p.commit(fmt.Sprintf("consumer.commit.v%d.%q %d", v, c.member, c.epoch), v, commitRequest(group, c.member, c.epoch, nil, 0, 3))
			req := fetchRequest(v, group, 0)
			req.Groups[0].MemberID, req.Groups[0].MemberEpoch = &c.member, c.epoch
			if c.member == "" {
				req.Groups[0].MemberID = nil
			}
			ask[*kmsg.OffsetFetchResponse](p, fmt.Sprintf("consumer.fetch.v%d.%q %d", v, c.member, c.epoch), v, req)
		}
	}
	ask[*kmsg.OffsetDeleteResponse](p, "consumer.forget", 0, offsetDeleteRequest(group, map[string][]int32{oracleTopic: {0}, oracleOther: {0}}, oracleTopic, oracleOther))
}

// playMixed: the two protocols meet in one group.
func playMixed(p *player) {
	j := p.settled("mixed.classic", "mixed", newestJoin)
	p.consumerBeat("mixed.a converts the group", "mixed", "a")
	p.describeConsumer("mixed.described", 1, "mixed")
	p.beat("mixed.classic beats", "mixed", j.MemberID, j.Generation, nil)
	p.leave("mixed.classic leaves", "mixed", kmsg.LeaveGroupRequestMember{MemberID: j.MemberID})
	p.consumerBeat("mixed.a leaves", "mixed", "a", later(-1))
	p.entered("mixed.classic into the empty group", "a", "mixed", newestJoin)
	connect := func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "connect" }
	p.entered("mixed.connect", "a", "mixed-connect", newestJoin, connect)
	p.consumerBeat("mixed.a cannot convert", "mixed-connect", "a")
	odd := func(r *kmsg.JoinGroupRequest) { r.Protocols[0].Metadata = []byte("odd") }
	k := p.entered("mixed.unreadable", "a", "mixed-odd", newestJoin, odd)
	p.consumerBeat("mixed.a meets what it cannot read", "mixed-odd", "a")
	p.leave("mixed.unreadable leaves", "mixed-odd", kmsg.LeaveGroupRequestMember{MemberID: k.MemberID})
	p.consumerBeat("mixed.a alone", "mixed-odd", "a")
	p.commit("mixed.simple", newestCommit, commitRequest("mixed-simple", "", -1, nil, 0, 5))
	p.consumerBeat("mixed.a in a group of offsets", "mixed-simple", "a")
	p.fetch("mixed.offsets stay", 8, "mixed-simple", 0)
}

// playRegex: a subscription by a regular expression, resolved a moment later.
func playRegex(p *player) {
	regex := func(r *kmsg.ConsumerGroupHeartbeatRequest) {
		r.SubscribedTopicNames, r.SubscribedTopicRegex = nil, kmsg.StringPtr("^t|oth.*$")
	}
	p.consumerBeat("regex.joins", "regex", "a", regex)
	time.Sleep(2 * time.Second)
	got := p.consumerBeat("regex.resolved", "regex", "a", later(1))
	p.consumerBeat("regex.owns", "regex", "a", later(got.MemberEpoch), owning(got.Assignment))
	p.describeConsumer("regex.described", 1, "regex")
}
