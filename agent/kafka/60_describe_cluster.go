package kafka

import (
	"context"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeCluster (key 60): v0-2.
//
//	v1: endpoint type (KIP-919). v2: fenced brokers, of which there are none: an agent without a session is not a member.
//
// Differs from Kafka: there are no controllers to describe; endpoint type 2 gets MISMATCHED_ENDPOINT_TYPE.
func (s *Server) describeCluster(_ context.Context, req *kmsg.DescribeClusterRequest) *kmsg.DescribeClusterResponse {
	resp := kmsg.NewPtrDescribeClusterResponse()
	v := s.deps.Cluster.View()
	resp.EndpointType, resp.ClusterID, resp.ControllerID = brokers, clusterID(v), v.Controller
	resp.ClusterAuthorizedOperations = math.MinInt32
	if req.Version >= 1 && req.EndpointType != brokers {
		resp.ErrorCode = codeUnsupportedEndpointType
		if req.EndpointType == controllers {
			resp.ErrorCode = codeMismatchedEndpointType
		}
		return resp
	}
	for i := range v.Nodes {
		b := kmsg.NewDescribeClusterResponseBroker()
		b.NodeID, b.Host, b.Port, b.Rack = v.Nodes[i].ID, v.Nodes[i].Host, v.Nodes[i].Port, nullable(v.Nodes[i].Zone)
		resp.Brokers = append(resp.Brokers, b)
	}
	if req.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = clusterOperations
	}
	return resp
}

// The endpoint types.
const (
	brokers     = 1
	controllers = 2
)
