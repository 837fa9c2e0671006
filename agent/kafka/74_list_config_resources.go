package kafka

import (
	"context"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// ListConfigResources (key 74): v0-1.
//
//	v0: client metrics alone, of which there are none. v1: every kind of resource (KIP-1142).
//
// Differs from Kafka: nothing known.
func (s *Server) listConfigResources(ctx context.Context, req *kmsg.ListConfigResourcesRequest) *kmsg.ListConfigResourcesResponse {
	resp := req.ResponseKind().(*kmsg.ListConfigResourcesResponse)
	if req.Version == 0 {
		return resp
	}
	known := []int8{int8(kmsg.ConfigResourceTypeTopic), int8(kmsg.ConfigResourceTypeBroker), int8(kmsg.ConfigResourceTypeBrokerLogger),
		int8(kmsg.ConfigResourceTypeClientMetrics), int8(kmsg.ConfigResourceTypeGroupConfig)}
	for _, typ := range req.ResourceTypes {
		if !slices.Contains(known, typ) {
			resp.ErrorCode = codeUnsupportedVersion // as Kafka: a kind that a later version may know
			return resp
		}
	}
	add := func(typ kmsg.ConfigResourceType, name string) {
		r := kmsg.NewListConfigResourcesResponseConfigResource()
		r.Type, r.Name = int8(typ), name
		resp.ConfigResources = append(resp.ConfigResources, r)
	}
	wants := func(typ kmsg.ConfigResourceType) bool {
		return len(req.ResourceTypes) == 0 || slices.Contains(req.ResourceTypes, int8(typ))
	}
	if wants(kmsg.ConfigResourceTypeTopic) {
		for _, t := range s.deps.Topics.List() {
			add(kmsg.ConfigResourceTypeTopic, t.Name)
		}
	}
	for _, typ := range []kmsg.ConfigResourceType{kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeBrokerLogger} {
		if !wants(typ) {
			continue
		}
		for _, n := range s.deps.Cluster.View().Nodes {
			add(typ, strconv.Itoa(int(n.ID)))
		}
	}
	if !wants(kmsg.ConfigResourceTypeGroupConfig) {
		return resp
	}
	names, err := s.deps.Groups.Configured(ctx)
	if err != nil {
		resp.ErrorCode, resp.ConfigResources = groupCode(err), nil
		return resp
	}
	for _, name := range names {
		add(kmsg.ConfigResourceTypeGroupConfig, name)
	}
	return resp
}
