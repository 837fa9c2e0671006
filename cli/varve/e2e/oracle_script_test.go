//go:build e2e && oracle

package e2e

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The topics of the script.
const (
	oracleTopic      = "t"
	oracleOther      = "other"
	oraclePartitions = 3
)

// oracleScript is the parts of the script, in the order in which they are played. Parts use groups of their own.
var oracleScript = []struct {
	name string
	play func(p *player)
}{
	{"find", playFind},
	{"join", playJoins},
	{"bounds", playBounds},
	{"member", playMember},
	{"two", playTwo},
	{"static", playStatic},
	{"expiry", playExpiry},
	{"commit", playCommits},
	{"strangers", playStrangers},
	{"fetch", playFetches},
	{"delete", playDeletes},
	{"describe", playDescribes},
	{"consumer bad", playConsumerBad},
	{"consumer", playConsumer},
	{"mixed", playMixed},
	{"regex", playRegex},
	{"list", playLists},
}

// newestClassic are the newest versions of Kafka 4.1.
const (
	newestJoin, newestSync, newestHeartbeat, newestLeave = 9, 5, 4, 5
	newestCommit, newestFetch                            = 9, 9
)

// awaitCoordinator waits until the server serves groups.
func (p *player) awaitCoordinator() {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		code := ask[*kmsg.FindCoordinatorResponse](p, "", 2, findRequest(0, "warm")).ErrorCode
		if code == 0 {
			req := kmsg.NewPtrHeartbeatRequest()
			req.Group, req.MemberID = "warm", "nobody"
			code = ask[*kmsg.HeartbeatResponse](p, "", 0, req).ErrorCode
		}
		if code == 25 { // the group is looked for, and has no such member
			p.steps = nil
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s does not serve groups: code %d", p.addr, code)
		}
	}
}

func findRequest(kind int8, keys ...string) *kmsg.FindCoordinatorRequest {
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorType, req.CoordinatorKey, req.CoordinatorKeys = kind, keys[0], keys
	return req
}

func playFind(p *player) {
	for v := range int16(7) {
		say := func(what string) string { return fmt.Sprintf("find.v%d.%s", v, what) }
		ask[*kmsg.FindCoordinatorResponse](p, say("group"), v, findRequest(0, "g"))
		ask[*kmsg.FindCoordinatorResponse](p, say("empty name"), v, findRequest(0, ""))
		if v == 0 {
			continue
		}
		ask[*kmsg.FindCoordinatorResponse](p, say("transaction"), v, findRequest(1, "x"))
		ask[*kmsg.FindCoordinatorResponse](p, say("share"), v, findRequest(2, "g:AAAAAAAAAAAAAAAAAAAAAQ:0"))
		ask[*kmsg.FindCoordinatorResponse](p, say("unknown type"), v, findRequest(7, "g"))
		if v >= 4 {
			ask[*kmsg.FindCoordinatorResponse](p, say("several"), v, findRequest(0, "g", "h", "g"))
		}
	}
}

// subscription is what a consumer says of itself: version 0, the topic t.
func subscription() []byte { return []byte{0, 0, 0, 0, 0, 1, 0, 1, 't', 0xff, 0xff, 0xff, 0xff} }

// given is an assignment of a partition of the topic t.
func given(partition byte) []byte {
	return []byte{0, 0, 0, 0, 0, 1, 0, 1, 't', 0, 0, 0, 1, 0, 0, 0, partition, 0xff, 0xff, 0xff, 0xff}
}

type joinChange func(*kmsg.JoinGroupRequest)

func joinRequest(group, member string, changes ...joinChange) *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID, req.ProtocolType = group, member, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 30_000, 30_000
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: subscription()}}
	for _, change := range changes {
		change(req)
	}
	return req
}

func withInstance(id string) joinChange {
	return func(req *kmsg.JoinGroupRequest) { req.InstanceID = &id }
}

func withProtocols(names ...string) joinChange {
	return func(req *kmsg.JoinGroupRequest) {
		req.Protocols = nil
		for _, name := range names {
			req.Protocols = append(req.Protocols, kmsg.JoinGroupRequestProtocol{Name: name, Metadata: subscription()})
		}
	}
}

func withTimes(session, rebalance int32) joinChange {
	return func(req *kmsg.JoinGroupRequest) {
		req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = session, rebalance
	}
}

// enter has a new member join on a connection, in two steps where the version has them, and leaves the second one without an answer.
func (p *player) enter(name, conn, group string, v int16, changes ...joinChange) {
	p.t.Helper()
	member := ""
	req := joinRequest(group, "", changes...)
	if v >= 4 && req.InstanceID == nil {
		member = askOn[*kmsg.JoinGroupResponse](p, name+".id", conn, v, req).MemberID
	}
	p.send(conn, v, joinRequest(group, member, changes...))
}

// entered is enter, and the answer.
func (p *player) entered(name, conn, group string, v int16, changes ...joinChange) *kmsg.JoinGroupResponse {
	p.t.Helper()
	p.enter(name, conn, group, v, changes...)
	return answer[*kmsg.JoinGroupResponse](p, name, conn)
}

func syncRequest(group string, j *kmsg.JoinGroupResponse, given map[string][]byte) *kmsg.SyncGroupRequest {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.MemberID, req.Generation = group, j.MemberID, j.Generation
	req.ProtocolType, req.Protocol = kmsg.StringPtr("consumer"), j.Protocol
	for member, b := range given {
		req.GroupAssignment = append(req.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: member, MemberAssignment: b})
	}
	return req
}

// settled has one member make a group Stable.
func (p *player) settled(name, group string, v int16, changes ...joinChange) *kmsg.JoinGroupResponse {
	p.t.Helper()
	j := p.entered(name+".join", "a", group, v, changes...)
	req := syncRequest(group, j, map[string][]byte{j.MemberID: given(0)})
	req.InstanceID = joinRequest(group, "", changes...).InstanceID
	ask[*kmsg.SyncGroupResponse](p, name+".sync", min(v, newestSync), req)
	return j
}

func heartbeatRequest(group, member string, generation int32, instance *string) *kmsg.HeartbeatRequest {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation, req.InstanceID = group, member, generation, instance
	return req
}

// beat is a heartbeat on the connection "a" of the newest version.
func (p *player) beat(name, group, member string, generation int32, instance *string) {
	p.t.Helper()
	ask[*kmsg.HeartbeatResponse](p, name, newestHeartbeat, heartbeatRequest(group, member, generation, instance))
}

func leaveRequest(group string, members ...kmsg.LeaveGroupRequestMember) *kmsg.LeaveGroupRequest {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.Members = group, members
	if len(members) > 0 {
		req.MemberID = members[0].MemberID
	}
	return req
}

func (p *player) leave(name, group string, members ...kmsg.LeaveGroupRequestMember) {
	p.t.Helper()
	ask[*kmsg.LeaveGroupResponse](p, name, newestLeave, leaveRequest(group, members...))
}

func (p *player) describe(name, group string) {
	p.t.Helper()
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = []string{group}
	ask[*kmsg.DescribeGroupsResponse](p, name, 5, req)
}
