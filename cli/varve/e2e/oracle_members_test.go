//go:build e2e && oracle

package e2e

import (
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// playJoins: every version joins, syncs, beats, joins again and leaves, well and badly.
func playJoins(p *player) {
	for v := range int16(newestJoin + 1) {
		group := fmt.Sprintf("join-%d", v)
		say := func(what string) string { return fmt.Sprintf("join.v%d.%s", v, what) }
		refused := func(what, group, member string, changes ...joinChange) {
			ask[*kmsg.JoinGroupResponse](p, say(what), v, joinRequest(group, member, changes...))
		}
		refused("empty group", "", "")
		refused("unknown member of no group", group, "nobody")
		refused("no protocols", group, "", withProtocols())
		refused("no type", group, "", func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "" })
		j := p.entered(say("new"), "a", group, v)
		refused("unknown member", group, "nobody")
		refused("other type", group, "", func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "connect" })
		refused("other protocol", group, "", withProtocols("roundrobin"))
		again := ask[*kmsg.JoinGroupResponse](p, say("again before sync"), v, joinRequest(group, j.MemberID))
		playSyncs(p, min(v, newestSync), group, again)
		playBeats(p, min(v, newestHeartbeat), group, again)
		again = ask[*kmsg.JoinGroupResponse](p, say("leader again"), v, joinRequest(group, j.MemberID))
		ask[*kmsg.SyncGroupResponse](p, say("sync again"), min(v, newestSync), syncRequest(group, again, nil))
		playLeaves(p, min(v, newestLeave), group, again.MemberID)
	}
}

func playSyncs(p *player, v int16, group string, j *kmsg.JoinGroupResponse) {
	say := func(what string) string { return fmt.Sprintf("sync.%s.v%d.%s", group, v, what) }
	bad := func(what string, change func(*kmsg.SyncGroupRequest)) {
		req := syncRequest(group, j, nil)
		change(req)
		ask[*kmsg.SyncGroupResponse](p, say(what), v, req)
	}
	bad("unknown member", func(r *kmsg.SyncGroupRequest) { r.MemberID = "nobody" })
	bad("empty member", func(r *kmsg.SyncGroupRequest) { r.MemberID = "" })
	bad("stale", func(r *kmsg.SyncGroupRequest) { r.Generation-- })
	bad("future", func(r *kmsg.SyncGroupRequest) { r.Generation++ })
	bad("unknown group", func(r *kmsg.SyncGroupRequest) { r.Group = "nothing" })
	bad("empty group", func(r *kmsg.SyncGroupRequest) { r.Group = "" })
	if v >= 3 {
		bad("instance", func(r *kmsg.SyncGroupRequest) { r.InstanceID = kmsg.StringPtr("i") })
	}
	if v >= 5 {
		bad("other type", func(r *kmsg.SyncGroupRequest) { r.ProtocolType = kmsg.StringPtr("connect") })
		bad("other protocol", func(r *kmsg.SyncGroupRequest) { r.Protocol = kmsg.StringPtr("roundrobin") })
		bad("no type", func(r *kmsg.SyncGroupRequest) { r.ProtocolType = nil })
		bad("no protocol", func(r *kmsg.SyncGroupRequest) { r.Protocol = nil })
	}
	good := syncRequest(group, j, map[string][]byte{j.MemberID: given(1), "nobody": given(2)})
	ask[*kmsg.SyncGroupResponse](p, say("good"), v, good)
	ask[*kmsg.SyncGroupResponse](p, say("good again"), v, good)
	ask[*kmsg.SyncGroupResponse](p, say("too late to assign"), v, syncRequest(group, j, map[string][]byte{j.MemberID: given(2)}))
}

func playBeats(p *player, v int16, group string, j *kmsg.JoinGroupResponse) {
	for _, b := range []struct {
		what, group, member string
		generation          int32
		instance            *string
	}{
		{"good", group, j.MemberID, j.Generation, nil},
		{"stale", group, j.MemberID, j.Generation - 1, nil},
		{"future", group, j.MemberID, j.Generation + 1, nil},
		{"negative", group, j.MemberID, -1, nil},
		{"unknown member", group, "nobody", j.Generation, nil},
		{"empty member", group, "", j.Generation, nil},
		{"unknown group", "nothing", j.MemberID, j.Generation, nil},
		{"empty group", "", j.MemberID, j.Generation, nil},
		{"instance", group, j.MemberID, j.Generation, kmsg.StringPtr("i")},
	} {
		ask[*kmsg.HeartbeatResponse](p, fmt.Sprintf("beat.%s.v%d.%s", group, v, b.what), v, heartbeatRequest(b.group, b.member, b.generation, b.instance))
	}
}

func playLeaves(p *player, v int16, group, member string) {
	leave := func(what, group string, members ...kmsg.LeaveGroupRequestMember) {
		ask[*kmsg.LeaveGroupResponse](p, fmt.Sprintf("leave.%s.v%d.%s", group, v, what), v, leaveRequest(group, members...))
	}
	leave("unknown member", group, kmsg.LeaveGroupRequestMember{MemberID: "nobody"})
	leave("empty member", group, kmsg.LeaveGroupRequestMember{})
	leave("unknown group", "nothing", kmsg.LeaveGroupRequestMember{MemberID: member})
	leave("empty group", "", kmsg.LeaveGroupRequestMember{MemberID: member})
	leave("unknown instance", group, kmsg.LeaveGroupRequestMember{InstanceID: kmsg.StringPtr("i")})
	leave("wrong instance", group, kmsg.LeaveGroupRequestMember{MemberID: member, InstanceID: kmsg.StringPtr("i")})
	leave("nobody", group)
	leave("good", group, kmsg.LeaveGroupRequestMember{MemberID: member}, kmsg.LeaveGroupRequestMember{MemberID: "nobody"})
	leave("gone", group, kmsg.LeaveGroupRequestMember{MemberID: member})
	p.beat(fmt.Sprintf("leave.%s.v%d.beat", group, v), group, member, 1, nil)
	p.describe(fmt.Sprintf("leave.%s.v%d.describe", group, v), group)
}

// playBounds: time-outs and names at their bounds.
func playBounds(p *player) {
	for i, session := range []int32{-1, 0, 5_999, 6_000, 1_800_000, 1_800_001} {
		ask[*kmsg.JoinGroupResponse](p, fmt.Sprintf("bounds.session %d", session), newestJoin, joinRequest(fmt.Sprintf("session-%d", i), "", withTimes(session, 30_000)))
	}
	for i, rebalance := range []int32{-1, 0, 1, 1<<31 - 1} {
		group := fmt.Sprintf("rebalance-%d", i)
		p.entered(fmt.Sprintf("bounds.rebalance %d", rebalance), "a", group, newestJoin, withTimes(30_000, rebalance))
	}
	for _, name := range []string{"with space", "ключ", "a/b#c", strings.Repeat("x", 249), strings.Repeat("x", 300), strings.Repeat("x", 301), strings.Repeat("x", 4000)} {
		ask[*kmsg.JoinGroupResponse](p, fmt.Sprintf("bounds.name %.5s %d", strings.ReplaceAll(name, "/", "|"), len(name)), newestJoin, joinRequest(name, ""))
	}
	ask[*kmsg.JoinGroupResponse](p, "bounds.both unknown and out of bounds", newestJoin, joinRequest("session-0", "nobody", withTimes(1, 1)))
	ask[*kmsg.JoinGroupResponse](p, "bounds.member of another group", newestJoin, joinRequest("nothing", "nobody"))
}

// playMember: what one member of a group of newest version may do in each state.
func playMember(p *player) {
	j := p.entered("member.first", "a", "member", newestJoin, withProtocols("range", "roundrobin"))
	time.Sleep(parkedTime) // Kafka describes what is stored, a moment later
	p.describe("member.completing", "member")
	p.beat("member.beat while completing", "member", j.MemberID, j.Generation, nil)
	p.commit("member.commit while completing", newestCommit, commitRequest("member", j.MemberID, j.Generation, nil, 0, 1))
	ask[*kmsg.JoinGroupResponse](p, "member.other protocols while completing", newestJoin, joinRequest("member", j.MemberID, withProtocols("roundrobin")))
	p.beat("member.stale beat", "member", j.MemberID, j.Generation, nil)
	ask[*kmsg.SyncGroupResponse](p, "member.stale sync", newestSync, syncRequest("member", j, nil))
	p.commit("member.stale commit", newestCommit, commitRequest("member", j.MemberID, j.Generation, nil, 0, 1))
	j = ask[*kmsg.JoinGroupResponse](p, "member.again", newestJoin, joinRequest("member", j.MemberID, withProtocols("roundrobin")))
	ask[*kmsg.SyncGroupResponse](p, "member.sync without an assignment", newestSync, syncRequest("member", j, map[string][]byte{}))
	p.describe("member.stable", "member")
	p.commit("member.commit", newestCommit, commitRequest("member", j.MemberID, j.Generation, nil, 0, 7))
	p.commit("member.commit by nobody", newestCommit, commitRequest("member", "", -1, nil, 0, 8))
	p.commit("member.commit by somebody without generation", newestCommit, commitRequest("member", j.MemberID, -1, nil, 0, 8))
	p.commit("member.commit without member", newestCommit, commitRequest("member", "", j.Generation, nil, 0, 8))
	p.commit("member.commit with an instance", newestCommit, commitRequest("member", j.MemberID, j.Generation, kmsg.StringPtr("i"), 0, 8))
	p.leave("member.leave", "member", kmsg.LeaveGroupRequestMember{MemberID: j.MemberID})
	p.describe("member.empty", "member")
	p.commit("member.commit of one that left", newestCommit, commitRequest("member", j.MemberID, j.Generation, nil, 0, 9))
	p.commit("member.commit of one that left without generation", newestCommit, commitRequest("member", j.MemberID, -1, nil, 0, 9))
	p.commit("member.commit by nobody into the empty group", newestCommit, commitRequest("member", "", -1, nil, 0, 10))
	j = p.entered("member.after all left", "a", "member", newestJoin, func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "connect" })
	ask[*kmsg.SyncGroupResponse](p, "member.sync of another type without an assignment", newestSync, func() *kmsg.SyncGroupRequest {
		req := syncRequest("member", j, nil)
		req.ProtocolType = kmsg.StringPtr("connect")
		return req
	}())
	p.describe("member.other type", "member")
}

// playTwo: two members, whose requests wait for each other.
func playTwo(p *player) {
	const v, group = newestJoin, "two"
	a := p.settled("two.a", group, v)
	p.enter("two.b", "b", group, v, withProtocols("range", "roundrobin"))
	p.parked("two.b parks", "b")
	p.describe("two.preparing", group)
	p.beat("two.beat while preparing", group, a.MemberID, a.Generation, nil)
	p.commit("two.commit while preparing", newestCommit, commitRequest(group, a.MemberID, a.Generation, nil, 0, 3))
	ask[*kmsg.SyncGroupResponse](p, "two.sync while preparing", newestSync, syncRequest(group, a, nil))
	a = ask[*kmsg.JoinGroupResponse](p, "two.a joins again", v, joinRequest(group, a.MemberID))
	b := answer[*kmsg.JoinGroupResponse](p, "two.b joined", "b")
	p.send("b", newestSync, syncRequest(group, b, nil))
	p.parked("two.b waits for its assignment", "b")
	p.beat("two.b beats", group, b.MemberID, b.Generation, nil)
	ask[*kmsg.SyncGroupResponse](p, "two.a assigns", newestSync, syncRequest(group, a, map[string][]byte{a.MemberID: given(0), b.MemberID: given(1)}))
	answer[*kmsg.SyncGroupResponse](p, "two.b assigned", "b")
	askOn[*kmsg.JoinGroupResponse](p, "two.b joins again, unchanged", "b", v, joinRequest(group, b.MemberID, withProtocols("range", "roundrobin")))
	p.describe("two.stable", group)
	askOn[*kmsg.JoinGroupResponse](p, "two.type of the others", "c", v, joinRequest(group, "", func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "connect" }))
	p.send("b", v, joinRequest(group, b.MemberID, withProtocols("roundrobin", "range")))
	p.parked("two.b changed", "b")
	ask[*kmsg.SyncGroupResponse](p, "two.a syncs while preparing", newestSync, syncRequest(group, a, nil))
	p.leave("two.a leaves", group, kmsg.LeaveGroupRequestMember{MemberID: a.MemberID})
	b = answer[*kmsg.JoinGroupResponse](p, "two.b leads", "b")
	p.send("b", newestSync, syncRequest(group, b, map[string][]byte{}))
	answer[*kmsg.SyncGroupResponse](p, "two.b assigns itself nothing", "b")
	p.leave("two.b leaves", group, kmsg.LeaveGroupRequestMember{MemberID: b.MemberID})
	p.describe("two.empty", group)
}

// playStatic: members with names of their own (KIP-345, KIP-814).
func playStatic(p *player) {
	for v := int16(5); v <= newestJoin; v++ {
		group, i := fmt.Sprintf("static-%d", v), kmsg.StringPtr("i")
		say := func(what string) string { return fmt.Sprintf("static.v%d.%s", v, what) }
		a := p.settled(say("a"), group, v, withInstance("i"))
		ask[*kmsg.JoinGroupResponse](p, say("wrong member id"), v, joinRequest(group, "nobody", withInstance("i")))
		ask[*kmsg.JoinGroupResponse](p, say("member id with an unknown instance"), v, joinRequest(group, a.MemberID, withInstance("j")))
		b := askOn[*kmsg.JoinGroupResponse](p, say("b takes its place"), "b", v, joinRequest(group, "", withInstance("i")))
		ask[*kmsg.JoinGroupResponse](p, say("a joins again"), v, joinRequest(group, a.MemberID, withInstance("i")))
		sync := syncRequest(group, a, nil)
		sync.InstanceID = i
		ask[*kmsg.SyncGroupResponse](p, say("a syncs"), min(v, newestSync), sync)
		p.beat(say("a beats"), group, a.MemberID, a.Generation, i)
		p.beat(say("a beats without instance"), group, a.MemberID, a.Generation, nil)
		p.commit(say("a commits"), newestCommit, commitRequest(group, a.MemberID, a.Generation, i, 0, 1))
		sync = syncRequest(group, b, nil)
		sync.InstanceID = i
		askOn[*kmsg.SyncGroupResponse](p, say("b syncs"), "b", min(v, newestSync), sync)
		p.beat(say("b beats"), group, b.MemberID, b.Generation, i)
		p.beat(say("b beats without instance"), group, b.MemberID, b.Generation, nil)
		p.commit(say("b commits"), newestCommit, commitRequest(group, b.MemberID, b.Generation, i, 0, 2))
		p.describe(say("stable"), group)
		c := askOn[*kmsg.JoinGroupResponse](p, say("c takes its place, with other protocols"), "b", v, joinRequest(group, "", withInstance("i"), withProtocols("roundrobin")))
		p.describe(say("after c"), group)
		p.leave(say("leave by member id of the past"), group, kmsg.LeaveGroupRequestMember{MemberID: b.MemberID, InstanceID: i})
		p.leave(say("leave by instance"), group, kmsg.LeaveGroupRequestMember{InstanceID: i}, kmsg.LeaveGroupRequestMember{InstanceID: kmsg.StringPtr("j")})
		p.beat(say("c beats"), group, c.MemberID, c.Generation, i)
		p.describe(say("empty"), group)
	}
	ask[*kmsg.JoinGroupResponse](p, "static.empty instance", newestJoin, joinRequest("static-empty", "", withInstance("")))
	ask[*kmsg.JoinGroupResponse](p, "static.long instance", newestJoin, joinRequest("static-long", "", withInstance(strings.Repeat("i", 300))))
	ask[*kmsg.JoinGroupResponse](p, "static.odd instance", newestJoin, joinRequest("static-odd", "", withInstance("a b/c")))
}

// playExpiry: members that say nothing more.
func playExpiry(p *player) {
	quick := withTimes(6_000, 3_000)
	p.settled("expiry.session", "expiry-session", newestJoin, quick)
	late := p.entered("expiry.no sync", "a", "expiry-sync", newestJoin, quick)
	a := p.settled("expiry.no rejoin.a", "expiry-join", newestJoin, quick)
	p.enter("expiry.no rejoin.b", "b", "expiry-join", newestJoin, quick)
	p.settled("expiry.static", "expiry-static", newestJoin, quick, withInstance("i"))
	time.Sleep(4 * time.Second)
	p.describe("expiry.no sync.after the rebalance time-out", "expiry-sync")
	p.beat("expiry.no sync.beat", "expiry-sync", late.MemberID, late.Generation, nil)
	answer[*kmsg.JoinGroupResponse](p, "expiry.no rejoin.b goes on alone", "b")
	p.beat("expiry.no rejoin.a beats", "expiry-join", a.MemberID, a.Generation, nil)
	time.Sleep(4 * time.Second)
	for _, group := range []string{"expiry-session", "expiry-sync", "expiry-join", "expiry-static"} {
		p.describe("expiry.after the session.describe "+group, group)
	}
	id := ask[*kmsg.JoinGroupResponse](p, "expiry.id that is never used", newestJoin, joinRequest("expiry-id", "", quick)).MemberID
	p.describe("expiry.only an id", "expiry-id")
	time.Sleep(7 * time.Second)
	ask[*kmsg.JoinGroupResponse](p, "expiry.id that is used too late", newestJoin, joinRequest("expiry-id", id, quick))
}
