package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/topic"
)

// IncrementalAlterConfigs (key 44): v0-1. Operations: SET, DELETE, APPEND, SUBTRACT.
//
// Differs from Kafka: configs of brokers and groups cannot be changed; SET of null means DELETE; an unknown operation is
// INVALID_REQUEST, where Kafka says UNKNOWN_SERVER_ERROR.
func (s *Server) incrementalAlterConfigs(ctx context.Context, req *kmsg.IncrementalAlterConfigsRequest) *kmsg.IncrementalAlterConfigsResponse {
	ctx, cancel := withTimeout(ctx, 0)
	defer cancel()
	resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	key := func(r *kmsg.IncrementalAlterConfigsRequestResource) resourceKey {
		return resourceKey{r.ResourceType, r.ResourceName}
	}
	twice, told := repeated(req.Resources, key), map[resourceKey]bool{}
	for i := range req.Resources {
		r := &req.Resources[i]
		k := key(r)
		if told[k] {
			continue
		}
		told[k] = true
		rr := kmsg.NewIncrementalAlterConfigsResponseResource()
		rr.ResourceType, rr.ResourceName = r.ResourceType, r.ResourceName
		if twice[k] {
			rr.ErrorCode, rr.ErrorMessage = refuse(codeInvalidRequest, "resource: %v", errDuplicate)
		} else {
			rr.ErrorCode, rr.ErrorMessage = s.alterIncrementally(ctx, k, r.Configs, req.ValidateOnly)
		}
		resp.Resources = append(resp.Resources, rr)
	}
	return resp
}

func (s *Server) alterIncrementally(ctx context.Context, k resourceKey, configs []kmsg.IncrementalAlterConfigsRequestResourceConfig, validateOnly bool) (int16, *string) {
	changes := make([]topic.Change, 0, len(configs))
	for _, c := range configs {
		if c.Op < 0 || topic.Op(c.Op) > topic.OpSubtract {
			return refuse(codeInvalidRequest, "config %q: operation %d is none of SET (0), DELETE (1), APPEND (2), SUBTRACT (3)", c.Name, int8(c.Op))
		}
		changes = append(changes, topic.Change{Name: c.Name, Op: topic.Op(c.Op), Value: c.Value})
	}
	return s.alter(ctx, k, changes, validateOnly)
}
