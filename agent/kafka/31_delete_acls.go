package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// DeleteAcls (key 31): v1-3. Differs from Kafka: see DescribeAcls.
func (s *Server) deleteACLs(_ context.Context, req *kmsg.DeleteACLsRequest) *kmsg.DeleteACLsResponse {
	resp := req.ResponseKind().(*kmsg.DeleteACLsResponse)
	for range req.Filters {
		r := kmsg.NewDeleteACLsResponseResult()
		r.ErrorCode, r.ErrorMessage = noAuthorizer()
		resp.Results = append(resp.Results, r)
	}
	return resp
}
