package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// CreateAcls (key 30): v1-3. Differs from Kafka: see DescribeAcls.
func (s *Server) createACLs(_ context.Context, req *kmsg.CreateACLsRequest) *kmsg.CreateACLsResponse {
	resp := req.ResponseKind().(*kmsg.CreateACLsResponse)
	for range req.Creations {
		r := kmsg.NewCreateACLsResponseResult()
		r.ErrorCode, r.ErrorMessage = noAuthorizer()
		resp.Results = append(resp.Results, r)
	}
	return resp
}
