package kafka

import (
	"bytes"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/group"
)

// JoinGroup (key 11): v0-9.
//
//	v1: rebalance time-out. v4: a new member is told its id first (KIP-394). v5: static members (KIP-345). v6: flexible. v7: protocol
//	type. v8: reasons (KIP-800), which are logged. v9: a leader that shall not assign (KIP-814).
//
// Differs from Kafka: a member that parks twice gets UNKNOWN_MEMBER_ID for the first; a new member of a full group is told so also
// while it still has no id; what members say of themselves is bounded by 32 MiB a group, and the id it gets
// begins with 255 bytes at most of its client or instance id; a group's name that has more than 300 bytes gets INVALID_GROUP_ID, for it is a
// sort key of the table.
func joinGroup(c *conn, req *kmsg.JoinGroupRequest, taken func(), done func(*kmsg.JoinGroupResponse)) {
	client := c.clientText()
	j := group.Join{
		Member: req.MemberID, NewID: memberPrefix(client) + "-" + uuid.NewString(), Instance: req.InstanceID, Client: client, Host: c.host(),
		Session: time.Duration(req.SessionTimeoutMillis) * time.Millisecond, Rebalance: time.Duration(req.RebalanceTimeoutMillis) * time.Millisecond,
		Type: req.ProtocolType, KnowsID: req.Version >= 4, Skips: req.Version >= 9, Taken: taken,
	}
	if req.InstanceID != nil {
		j.NewID = memberPrefix(*req.InstanceID) + "-" + uuid.NewString()
	}
	if req.Version == 0 { // it has none (CG3)
		j.Rebalance = j.Session
	}
	j.Rebalance = max(j.Rebalance, 0)
	for _, p := range req.Protocols {
		j.Protocols = append(j.Protocols, group.Protocol{Name: p.Name, Metadata: bytes.Clone(p.Metadata)}) // kmsg's is of the frame
	}
	if req.Reason != nil && *req.Reason != "" {
		c.s.log.Debug("a member joins", "group", printable([]byte(req.Group)), "member", printable([]byte(req.MemberID)), "reason", printable([]byte(*req.Reason)))
	}
	c.s.deps.Groups.Join(req.Group, j, func(r group.Joined) { done(joinResponse(req, r)) })
}

// admitJoinGroup gives back what the request was charged for once the group has it, which bounds what its members say. The answer may wait for
// a rebalance, and all who wait for one must not keep others' requests out.
func admitJoinGroup(c *conn, sl *slot, r kmsg.Request) {
	grouped(func(c *conn, req *kmsg.JoinGroupRequest, done func(*kmsg.JoinGroupResponse)) {
		joinGroup(c, req, sl.letGo, done)
	})(c, sl, r)
}

// clientText is the client id of the request that is being admitted, as a text.
func (c *conn) clientText() string { return string(bytes.ToValidUTF8(c.client, []byte("?"))) }

// memberPrefix is the beginning of what a member calls itself, for its id: all members are told of it, and with the rest of the id it
// must be a string of the protocol. Names that people give are shorter.
func memberPrefix(name string) string {
	const most = 255
	return strings.ToValidUTF8(name[:min(len(name), most)], "")
}

func joinResponse(req *kmsg.JoinGroupRequest, r group.Joined) *kmsg.JoinGroupResponse {
	resp := kmsg.NewPtrJoinGroupResponse()
	resp.ErrorCode = groupCode(r.Err)
	resp.Generation, resp.LeaderID, resp.MemberID, resp.SkipAssignment = r.Generation, r.Leader, r.Member, r.Skip
	if r.Err != nil {
		if resp.Generation = -1; resp.MemberID == "" {
			resp.MemberID = req.MemberID
		}
		if req.Version < 7 {
			resp.Protocol = kmsg.StringPtr("")
		}
		return resp
	}
	resp.ProtocolType, resp.Protocol = &r.Type, &r.Assignor
	for _, m := range r.Members {
		rm := kmsg.NewJoinGroupResponseMember()
		rm.MemberID, rm.InstanceID, rm.ProtocolMetadata = m.ID, m.Instance, m.Metadata
		resp.Members = append(resp.Members, rm)
	}
	return resp
}
