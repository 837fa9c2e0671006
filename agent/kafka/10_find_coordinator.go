package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/cluster"
	"github.com/varvelog/varve/agent/group"
)

// FindCoordinator (key 10): v0-6.
//
//	v1: transactions. v3: flexible. v4: many keys. v6: share groups.
//
// It waits for the next leader of a slot that has just lost its own, see awaitLeaders.
//
// Differs from Kafka: the coordinator is the leader of a slot, there is no topic of offsets; for a transactional id the
// answer is TRANSACTIONAL_ID_AUTHORIZATION_FAILED, which clients take as final.
func (s *Server) findCoordinator(_ context.Context, req *kmsg.FindCoordinatorRequest) *kmsg.FindCoordinatorResponse {
	resp := kmsg.NewPtrFindCoordinatorResponse()
	v := s.deps.Cluster.View()
	if req.Version < 4 {
		c := coordinator(v, req.CoordinatorType, req.CoordinatorKey)
		resp.NodeID, resp.Host, resp.Port, resp.ErrorCode, resp.ErrorMessage = c.NodeID, c.Host, c.Port, c.ErrorCode, c.ErrorMessage
		return resp
	}
	for _, key := range req.CoordinatorKeys {
		resp.Coordinators = append(resp.Coordinators, coordinator(v, req.CoordinatorType, key))
	}
	return resp
}

func admitFindCoordinator(c *conn, sl *slot, r kmsg.Request) {
	req, v := r.(*kmsg.FindCoordinatorRequest), c.s.deps.Cluster.View()
	alone := c.s.alone(v)
	if alone && patience(v, time.Now(), c.s.coordinatorSlots(v, req), c.s.leaders.find) <= 0 {
		run(c, sl, req, (*Server).findCoordinator)
		return
	}
	c.spawn(func() {
		defer sl.guard()
		if !alone {
			c.s.askPeers(c.intake)
		}
		c.s.awaitLeaders(c.intake, c.s.coordinatorSlots(c.s.deps.Cluster.View(), req), c.s.leaders.find)
		run(c, sl, req, (*Server).findCoordinator)
	})
}

// The types of coordinator.
const (
	coordinatesGroup       = 0
	coordinatesTransaction = 1
)

func coordinator(v *cluster.View, kind int8, key string) kmsg.FindCoordinatorResponseCoordinator {
	c := kmsg.NewFindCoordinatorResponseCoordinator()
	c.Key, c.NodeID, c.Port = key, -1, -1
	fail := func(code int16, message string) kmsg.FindCoordinatorResponseCoordinator {
		c.ErrorCode, c.ErrorMessage = code, &message
		return c
	}
	switch kind {
	case coordinatesGroup:
	case coordinatesTransaction:
		return fail(codeTransactionalIDAuthFailed, txnMessage)
	default:
		return fail(codeInvalidRequest, "There is no coordinator of this type.")
	}
	n, ok := v.Node(leaderOf(v, group.Slot(key, len(v.Slots))).Node)
	if !ok {
		return fail(codeCoordinatorNotAvailable, "The group's slot has no leader at the moment.")
	}
	c.NodeID, c.Host, c.Port = n.ID, n.Host, n.Port
	return c
}
