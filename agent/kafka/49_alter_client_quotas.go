package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// AlterClientQuotas (key 49): v0-1.
//
//	v1: flexible.
//
// Differs from Kafka: every change is refused, since nothing would hold clients to it.
func (s *Server) alterClientQuotas(_ context.Context, req *kmsg.AlterClientQuotasRequest) *kmsg.AlterClientQuotasResponse {
	resp := req.ResponseKind().(*kmsg.AlterClientQuotasResponse)
	for i := range req.Entries {
		e := kmsg.NewAlterClientQuotasResponseEntry()
		e.ErrorCode, e.ErrorMessage = refuse(codeInvalidRequest, "quotas are not supported yet")
		for _, part := range req.Entries[i].Entity {
			re := kmsg.NewAlterClientQuotasResponseEntryEntity()
			re.Type, re.Name = part.Type, part.Name
			e.Entity = append(e.Entity, re)
		}
		resp.Entries = append(resp.Entries, e)
	}
	return resp
}
