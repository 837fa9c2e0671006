package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// ApiVersions (key 18): v0-5.
//
//	v3: flexible, software name and version, features. v4: features whose minimum is 0. v5: the cluster and the node that
//	the client means to reach (KIP-1242).
//
// Differs from Kafka: metadata.version is told because interfaces print it; nothing hangs on it. The node is not checked: a
// load balancer before the agents gives clients any of them.
func (s *Server) apiVersions(_ context.Context, req *kmsg.ApiVersionsRequest) *kmsg.ApiVersionsResponse {
	resp := kmsg.NewPtrApiVersionsResponse()
	if req.Version >= 3 && (!softwareName(req.ClientSoftwareName) || !softwareName(req.ClientSoftwareVersion)) {
		resp.ErrorCode = codeInvalidRequest
		return resp
	}
	if resp.ErrorCode = s.checkCluster(req); resp.ErrorCode != codeNone {
		return resp
	}
	newer := s.consumerProtocol()
	for i := range s.apis {
		if a := &s.apis[i]; newer || a.key != keyConsumerHeartbeat && a.key != keyConsumerDescribe {
			resp.ApiKeys = append(resp.ApiKeys, rangeOf(a))
		}
	}
	for _, f := range features(newer) {
		if f.min > 0 || req.Version >= 4 { // older clients cannot read a minimum of 0 (KAFKA-17011)
			sf := kmsg.NewApiVersionsResponseSupportedFeature()
			sf.Name, sf.MinVersion, sf.MaxVersion = f.name, f.min, f.max
			resp.SupportedFeatures = append(resp.SupportedFeatures, sf)
		}
		if f.level > 0 {
			ff := kmsg.NewApiVersionsResponseFinalizedFeature()
			ff.Name, ff.MinVersionLevel, ff.MaxVersionLevel = f.name, f.level, f.level
			resp.FinalizedFeatures = append(resp.FinalizedFeatures, ff)
		}
	}
	resp.FinalizedFeaturesEpoch = featuresEpoch
	return resp
}

// checkCluster refuses a client that takes this cluster for another one (AV11): it must begin with its seeds again. A client
// names the cluster and the node, or neither.
func (s *Server) checkCluster(req *kmsg.ApiVersionsRequest) int16 {
	switch {
	case req.Version < 5:
		return codeNone
	case (req.ClusterID == nil) != (req.NodeID == -1):
		return codeInvalidRequest
	case req.ClusterID != nil && *req.ClusterID != clusterID(s.deps.Cluster.View()):
		return codeRebootstrapRequired
	}
	return codeNone
}

// The features. The epoch must rise when a feature changes: clients ignore what is not newer (AV6).
const (
	minMetadataVersion = 7  // the lowest that Kafka 4 knows, 3.3
	metadataVersion    = 25 // 4.0
	featuresEpoch      = 2
)

// feature is what clients may find out about a server, and what of it is in use.
type feature struct {
	name            string
	min, max, level int16
}

// features are those that there are; newer says whether groups of the newer protocol are served (group.version 1).
func features(newer bool) []feature {
	group := feature{name: featureGroup, max: 1}
	if newer {
		group.level = 1
	}
	return []feature{{featureMetadata, minMetadataVersion, metadataVersion, metadataVersion}, group}
}

func rangeOf(a *api) kmsg.ApiVersionsResponseApiKey {
	k := kmsg.NewApiVersionsResponseApiKey()
	k.ApiKey, k.MinVersion, k.MaxVersion = a.key, a.min, a.max
	return k
}

// softwareName reports whether a client's name or version matches [a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])? (KIP-511).
func softwareName(s string) bool {
	for i, c := range []byte(s) {
		inner := i > 0 && i < len(s)-1 && (c == '-' || c == '.')
		if !inner && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// newerAPIVersions answers a version above ours, whose body we cannot know, with a v0 body, error 35 and our range: the
// client asks again with a version that both know, instead of with the oldest (KIP-511).
func (c *conn) newerAPIVersions(h preamble, a *api, start time.Time) error {
	sl := c.admit(h, a, start)
	if sl == nil {
		return errOver
	}
	if _, err := c.br.Discard(int(h.size) + sizeLen); err != nil {
		sl.fatal = true
		c.ring.finish(sl)
		return err
	}
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.ErrorCode = codeUnsupportedVersion
	resp.ApiKeys = append(resp.ApiKeys, rangeOf(a))
	c.answer(sl, resp)
	return nil
}
