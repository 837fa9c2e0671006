package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/group"
)

// Heartbeat (key 12): v0-4.
//
//	v3: static members. v4: flexible.
//
// Differs from Kafka: nothing known.
func heartbeat(c *conn, req *kmsg.HeartbeatRequest, done func(*kmsg.HeartbeatResponse)) {
	h := group.Heartbeat{Member: req.MemberID, Instance: req.InstanceID, Generation: req.Generation}
	c.s.deps.Groups.Heartbeat(req.Group, h, func(err error) {
		resp := kmsg.NewPtrHeartbeatResponse()
		resp.ErrorCode = groupCode(err)
		done(resp)
	})
}
