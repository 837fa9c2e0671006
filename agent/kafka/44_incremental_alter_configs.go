package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/topic"
)

// IncrementalAlterConfigs (key 44): v0-1. Operations: SET, DELETE, APPEND, SUBTRACT.
//
// Differs from Kafka: of brokers only varve.drain and varve.move can be changed, see alterBroker; SET of null means DELETE; an unknown operation is
// INVALID_REQUEST, where Kafka says UNKNOWN_SERVER_ERROR.
func (s *Server) incrementalAlterConfigs(ctx context.Context, req *kmsg.IncrementalAlterConfigsRequest) *kmsg.IncrementalAlterConfigsResponse {
	ctx, cancel := withTimeout(ctx, 0)
	defer cancel()
	resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	key := func(r *kmsg.IncrementalAlterConfigsRequestResource) resourceKey {
		return resourceKey{r.ResourceType, r.ResourceName}
	}
	alter := func(r *kmsg.IncrementalAlterConfigsRequestResource) (int16, *string) {
		changes := make([]topic.Change, 0, len(r.Configs))
		for _, c := range r.Configs {
			if c.Op < 0 || topic.Op(c.Op) > topic.OpSubtract {
				return refuse(codeInvalidRequest, "config %q: operation %d is none of SET (0), DELETE (1), APPEND (2), SUBTRACT (3)", c.Name, int8(c.Op))
			}
			changes = append(changes, topic.Change{Name: c.Name, Op: topic.Op(c.Op), Value: c.Value})
		}
		return s.alter(ctx, key(r), changes, req.ValidateOnly)
	}
	alterEach(req.Resources, key, alter, func(k resourceKey, code int16, msg *string) {
		rr := kmsg.NewIncrementalAlterConfigsResponseResource()
		rr.ResourceType, rr.ResourceName, rr.ErrorCode, rr.ErrorMessage = k.kind, k.name, code, msg
		resp.Resources = append(resp.Resources, rr)
	})
	return resp
}
