package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/topic"
)

// AlterConfigs (key 33): v0-2. It replaces all configs of a resource.
//
// Differs from Kafka: of brokers only varve.drain and varve.move can be changed, and stay if they are left out; a null value means the default.
func (s *Server) alterConfigs(ctx context.Context, req *kmsg.AlterConfigsRequest) *kmsg.AlterConfigsResponse {
	ctx, cancel := withTimeout(ctx, 0)
	defer cancel()
	resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
	key := func(r *kmsg.AlterConfigsRequestResource) resourceKey {
		return resourceKey{r.ResourceType, r.ResourceName}
	}
	alter := func(r *kmsg.AlterConfigsRequestResource) (int16, *string) {
		changes := []topic.Change{{Op: topic.OpClear}}
		for _, c := range r.Configs {
			changes = append(changes, topic.Change{Name: c.Name, Op: topic.OpSet, Value: c.Value})
		}
		return s.alter(ctx, key(r), changes, req.ValidateOnly)
	}
	alterEach(req.Resources, key, alter, func(k resourceKey, code int16, msg *string) {
		rr := kmsg.NewAlterConfigsResponseResource()
		rr.ResourceType, rr.ResourceName, rr.ErrorCode, rr.ErrorMessage = k.kind, k.name, code, msg
		resp.Resources = append(resp.Resources, rr)
	})
	return resp
}
