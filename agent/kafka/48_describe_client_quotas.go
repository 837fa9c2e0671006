package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeClientQuotas (key 48): v0-1.
//
//	v1: flexible.
//
// Differs from Kafka: there are no quotas yet, so none is found, whatever the filter.
func (s *Server) describeClientQuotas(_ context.Context, req *kmsg.DescribeClientQuotasRequest) *kmsg.DescribeClientQuotasResponse {
	resp := req.ResponseKind().(*kmsg.DescribeClientQuotasResponse)
	resp.Entries = []kmsg.DescribeClientQuotasResponseEntry{} // null is for errors
	return resp
}
