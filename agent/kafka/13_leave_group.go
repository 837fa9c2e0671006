package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/group"
)

// LeaveGroup (key 13): v0-5.
//
//	v3: many members, by member or instance id. v4: flexible. v5: reasons (KIP-800).
//
// Differs from Kafka: nothing known.
func leaveGroup(c *conn, req *kmsg.LeaveGroupRequest, done func(*kmsg.LeaveGroupResponse)) {
	l := group.Leave{Leavers: []group.Leaver{{Member: req.MemberID}}}
	if req.Version >= 3 {
		l.Leavers = nil
		for _, m := range req.Members {
			l.Leavers = append(l.Leavers, group.Leaver{Member: m.MemberID, Instance: m.InstanceID})
		}
	}
	c.s.deps.Groups.Leave(req.Group, l, func(r group.Left) {
		resp := kmsg.NewPtrLeaveGroupResponse()
		err := r.Err
		each := r.Each
		if req.Version < 3 && err == nil {
			err = each[0]
		}
		if err == group.ErrUnknownMember && req.Version >= 3 { // there is no such group: that is said of each
			each, err = make([]error, len(req.Members)), nil
			for i := range each {
				each[i] = group.ErrUnknownMember
			}
		}
		resp.ErrorCode = groupCode(err)
		for i := range req.Members {
			if err != nil || req.Version < 3 {
				break
			}
			rm := kmsg.NewLeaveGroupResponseMember()
			rm.MemberID, rm.InstanceID, rm.ErrorCode = req.Members[i].MemberID, req.Members[i].InstanceID, groupCode(each[i])
			resp.Members = append(resp.Members, rm)
		}
		done(resp)
	})
}
