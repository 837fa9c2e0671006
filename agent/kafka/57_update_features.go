package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const codeInvalidUpdateVersion int16 = 95

// UpdateFeatures (key 57): v0-2.
//
//	v1: validate only, kinds of upgrade. v2: no answer by feature.
//
// Differs from Kafka: an agent knows one level of each feature, so every other one is refused; as in Kafka, one refusal is
// one for the whole request.
func (s *Server) updateFeatures(_ context.Context, req *kmsg.UpdateFeaturesRequest) *kmsg.UpdateFeaturesResponse {
	resp := req.ResponseKind().(*kmsg.UpdateFeaturesResponse)
	for i := range req.FeatureUpdates {
		if resp.ErrorCode, resp.ErrorMessage = checkFeature(&req.FeatureUpdates[i]); resp.ErrorCode != codeNone {
			resp.Results = nil
			return resp
		}
		if req.Version < 2 {
			r := kmsg.NewUpdateFeaturesResponseResult()
			r.Feature = req.FeatureUpdates[i].Feature
			resp.Results = append(resp.Results, r)
		}
	}
	return resp
}

// checkFeature refuses a level of a feature that agents do not have.
func checkFeature(u *kmsg.UpdateFeaturesRequestFeatureUpdate) (int16, *string) {
	switch {
	case u.Feature == featureGroup:
		return refuse(codeInvalidUpdateVersion, "%s follows group.coordinator.rebalance.protocols, which is given when the agents start", featureGroup)
	case u.Feature != featureMetadata:
		return refuse(codeInvalidUpdateVersion, "there is no feature %.100q; there are %s and %s", u.Feature, featureMetadata, featureGroup)
	case u.MaxVersionLevel != metadataVersion:
		return refuse(codeInvalidUpdateVersion, "%s is at level %d, and agents of this version know no other; %d was asked for",
			featureMetadata, metadataVersion, u.MaxVersionLevel)
	}
	return codeNone, nil
}

// The features that are told.
const (
	featureMetadata = "metadata.version"
	featureGroup    = "group.version"
)
