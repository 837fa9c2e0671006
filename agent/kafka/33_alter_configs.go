package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/topic"
)

// AlterConfigs (key 33): v0-2. It replaces all configs of a resource.
//
// Differs from Kafka: configs of brokers and groups cannot be changed; a null value means the default.
func (s *Server) alterConfigs(ctx context.Context, req *kmsg.AlterConfigsRequest) *kmsg.AlterConfigsResponse {
	ctx, cancel := withTimeout(ctx, 0)
	defer cancel()
	resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
	key := func(r *kmsg.AlterConfigsRequestResource) resourceKey {
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
		rr := kmsg.NewAlterConfigsResponseResource()
		rr.ResourceType, rr.ResourceName = r.ResourceType, r.ResourceName
		if twice[k] {
			rr.ErrorCode, rr.ErrorMessage = refuse(codeInvalidRequest, "resource: %v", errDuplicate)
		} else {
			changes := []topic.Change{{Op: topic.OpClear}}
			for _, c := range r.Configs {
				changes = append(changes, topic.Change{Name: c.Name, Op: topic.OpSet, Value: c.Value})
			}
			rr.ErrorCode, rr.ErrorMessage = s.alter(ctx, k, changes, req.ValidateOnly)
		}
		resp.Resources = append(resp.Resources, rr)
	}
	return resp
}
