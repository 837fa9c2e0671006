package kafka

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func joining(group, member string, metadata []byte) *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group, req.MemberID, req.ProtocolType = 3, group, member, "connect"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 10_000, 10_000
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "p", Metadata: metadata}}
	return req
}

func syncing(group, member string, generation int32, to map[string][]byte) *kmsg.SyncGroupRequest {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version, req.Group, req.MemberID, req.Generation = 2, group, member, generation
	for m, b := range to {
		req.GroupAssignment = append(req.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: m, MemberAssignment: b})
	}
	return req
}

// TestGroupsKeepTheirBytes: what members say of themselves and what they are assigned outlives the frames that brought it.
func TestGroupsKeepTheirBytes(t *testing.T) {
	w := newWorld(t, option{})
	a, b := w.dial(), w.dial()
	says := func(c byte, size int) []byte { return bytes.Repeat([]byte{c}, size) }
	noise := func(c *client) { // takes the buffers that the frame before gave back
		for _, size := range []int{10, 1000, 20_000} {
			req := kmsg.NewPtrDescribeGroupsRequest()
			req.Groups = []string{string(says('n', size))}
			call[*kmsg.DescribeGroupsResponse](c, req)
		}
	}
	for _, size := range []int{9, 900, 19_000} {
		group := "g" + strconv.Itoa(size)
		ja := call[*kmsg.JoinGroupResponse](a, joining(group, "", says('a', size)))
		noise(a)
		call[*kmsg.SyncGroupResponse](a, syncing(group, ja.MemberID, ja.Generation, nil))
		second := joining(group, "", says('b', size))
		corr := b.send(second)
		eventually(t, "the second member is waited for", func() bool {
			hb := kmsg.NewPtrHeartbeatRequest()
			hb.Group, hb.MemberID, hb.Generation = group, ja.MemberID, ja.Generation
			return call[*kmsg.HeartbeatResponse](a, hb).ErrorCode == codeRebalanceInProgress
		})
		noise(w.dial())
		ja = call[*kmsg.JoinGroupResponse](a, joining(group, ja.MemberID, says('a', size)))
		jb := receive[*kmsg.JoinGroupResponse](b, second, corr)
		if len(ja.Members) != 2 || !bytes.Equal(ja.Members[0].ProtocolMetadata, says('a', size)) || !bytes.Equal(ja.Members[1].ProtocolMetadata, says('b', size)) {
			t.Fatalf("size %d: the leader is told of %d members, or not what they said", size, len(ja.Members))
		}
		mine := syncing(group, jb.MemberID, jb.Generation, nil)
		corr = b.send(mine)
		sa := call[*kmsg.SyncGroupResponse](a, syncing(group, ja.MemberID, ja.Generation, map[string][]byte{ja.MemberID: says('x', size), jb.MemberID: says('y', size)}))
		noise(a)
		sb := receive[*kmsg.SyncGroupResponse](b, mine, corr)
		again := call[*kmsg.SyncGroupResponse](b, mine)
		if !bytes.Equal(sa.MemberAssignment, says('x', size)) || !bytes.Equal(sb.MemberAssignment, says('y', size)) || !bytes.Equal(again.MemberAssignment, says('y', size)) {
			t.Fatalf("size %d: assigned %.40q, %.40q, %.40q", size, sa.MemberAssignment, sb.MemberAssignment, again.MemberAssignment)
		}
	}
}

// TestOffsetCommitIsChecked: who commits, when, where, and what; each partition has an answer of its own.
func TestOffsetCommitIsChecked(t *testing.T) {
	w := newWorld(t, option{})
	top := w.topic("t", 2)
	c := w.dial()
	commit := func(member string, generation int32, change func(p *kmsg.OffsetCommitRequestTopicPartition)) [2]int16 {
		req := committing(8, "g", member, generation, top)
		odd := req.Topics[0].Partitions[0]
		odd.Partition = 1
		change(&odd)
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, odd)
		parts := call[*kmsg.OffsetCommitResponse](c, req).Topics[0].Partitions
		return [2]int16{parts[0].ErrorCode, parts[1].ErrorCode}
	}
	plain := func(*kmsg.OffsetCommitRequestTopicPartition) {}
	says := func(bytes int) func(*kmsg.OffsetCommitRequestTopicPartition) {
		return func(p *kmsg.OffsetCommitRequestTopicPartition) { p.Metadata = ptr(strings.Repeat("m", bytes)) }
	}
	at := func(partition int32) func(*kmsg.OffsetCommitRequestTopicPartition) {
		return func(p *kmsg.OffsetCommitRequestTopicPartition) { p.Partition = partition }
	}
	expect := func(what string, got [2]int16, first, second int16) {
		t.Helper()
		if got != [2]int16{first, second} {
			t.Errorf("%s: %d, want %d and %d", what, got, first, second)
		}
	}
	expect("nobody, of a group that is not there", commit("", -1, plain), codeNone, codeNone)
	in := call[*kmsg.JoinGroupResponse](c, joining("g", "", []byte("x")))
	expect("a member without its assignment", commit(in.MemberID, in.Generation, plain), codeRebalanceInProgress, codeRebalanceInProgress)
	call[*kmsg.SyncGroupResponse](c, syncing("g", in.MemberID, in.Generation, nil))
	for _, e := range []struct {
		what   string
		got    [2]int16
		second int16
	}{
		{"a member", commit(in.MemberID, in.Generation, plain), codeNone},
		{"metadata at its bound", commit(in.MemberID, in.Generation, says(4096)), codeNone},
		{"metadata beyond it", commit(in.MemberID, in.Generation, says(4097)), codeOffsetMetadataTooLarge},
		{"a partition that is not there", commit(in.MemberID, in.Generation, at(2)), codeUnknownTopicOrPartition},
		{"a partition below 0", commit(in.MemberID, in.Generation, at(-1)), codeUnknownTopicOrPartition},
	} {
		expect(e.what, e.got, codeNone, e.second)
	}
	expect("an older generation", commit(in.MemberID, in.Generation-1, plain), codeIllegalGeneration, codeIllegalGeneration)
	expect("a stranger", commit("nobody", in.Generation, plain), codeUnknownMemberID, codeUnknownMemberID)
	expect("nobody, of a group with members", commit("", -1, plain), codeUnknownMemberID, codeUnknownMemberID)
}

// Members that wait for a rebalance with much to say of themselves keep nobody's requests out: what they said is the group's to count.
func TestWaitingMembersLeaveTheReserve(t *testing.T) {
	w := newWorld(t, option{cfg: Config{ReserveBytes: 1 << 20}})
	says := bytes.Repeat([]byte{'m'}, 5000)
	first := w.dial()
	joined := call[*kmsg.JoinGroupResponse](first, joining("g", "", says))
	call[*kmsg.SyncGroupResponse](first, syncing("g", joined.MemberID, joined.Generation, nil))
	const many = 40 // of which 1 MiB takes 26
	for range many {
		w.dial().send(joining("g", "", says)) // they wait for the first one, which does not come
	}
	asks := kmsg.NewPtrDescribeGroupsRequest()
	asks.Version, asks.Groups = 4, []string{strings.Repeat("x", 5000), "g"}
	eventually(t, "all members are in", func() bool {
		resp := call[*kmsg.DescribeGroupsResponse](w.dial(), asks)
		return len(resp.Groups) == 2 && len(resp.Groups[1].Members) == many+1
	})
	if got := w.s.reserve.Used(); got != 0 {
		t.Errorf("%d bytes are reserved while nothing is asked", got)
	}
}
