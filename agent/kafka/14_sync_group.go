package kafka

import (
	"bytes"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/group"
)

// SyncGroup (key 14): v0-5.
//
//	v3: static members. v4: flexible. v5: protocol type and name, which must be the group's.
//
// Differs from Kafka: a member of type "consumer" that the leader left out gets a valid assignment of nothing instead of no bytes.
func syncGroup(c *conn, req *kmsg.SyncGroupRequest, done func(*kmsg.SyncGroupResponse)) {
	if req.Version >= 5 && (req.ProtocolType == nil || req.Protocol == nil) {
		resp := kmsg.NewPtrSyncGroupResponse()
		resp.ErrorCode = groupCode(group.ErrProtocol)
		done(resp)
		return
	}
	s := group.Sync{Member: req.MemberID, Instance: req.InstanceID, Generation: req.Generation}
	if req.ProtocolType != nil {
		s.Type = *req.ProtocolType
	}
	if req.Protocol != nil {
		s.Assignor = *req.Protocol
	}
	for _, a := range req.GroupAssignment {
		s.Assignments = append(s.Assignments, group.Assignment{Member: a.MemberID, Bytes: bytes.Clone(a.MemberAssignment)}) // kmsg's is of the frame
	}
	c.s.deps.Groups.Sync(req.Group, s, func(r group.Synced) {
		resp := kmsg.NewPtrSyncGroupResponse()
		resp.ErrorCode, resp.MemberAssignment = groupCode(r.Err), r.Assignment
		if r.Err == nil {
			resp.ProtocolType, resp.Protocol = &r.Type, &r.Assignor
		}
		done(resp)
	})
}
