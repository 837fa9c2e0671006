package kafka

import (
	"context"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/topic"
)

// DescribeConfigs (key 32): v1-4.
//
//	v1: synonyms. v3: types and documentation.
//
// Differs from Kafka: any agent answers for any node id, with its own settings, since agents of a cluster are started
// alike; the broker configs varve.slots and varve.agents, of the agent that answers, tell who leads which slot and who is
// there, as a list too long for a Java client only if asked for by name; an agent has one logger, root; there are no client metrics. Documentation of what does not act begins with "Not
// yet:", "No effect:" or "Fixed:" and the reason.
func (s *Server) describeConfigs(ctx context.Context, req *kmsg.DescribeConfigsRequest) *kmsg.DescribeConfigsResponse {
	ctx, cancel := withTimeout(ctx, 0)
	defer cancel()
	resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
	told, free, known := map[resourceKey]bool{}, 0, &known{s: s, ctx: ctx}
	for i := range req.Resources {
		r := &req.Resources[i]
		key := resourceKey{r.ResourceType, r.ResourceName}
		extra := told[key] || r.ResourceType != kmsg.ConfigResourceTypeTopic
		if extra {
			free++
		}
		told[key] = true
		rr := kmsg.NewDescribeConfigsResponseResource()
		rr.ResourceType, rr.ResourceName = r.ResourceType, r.ResourceName
		var entries []topic.Entry
		if extra && free > maxFree {
			rr.ErrorCode, rr.ErrorMessage = refuse(codeInvalidRequest, "at most %d brokers, loggers and groups at once, and each topic once", maxFree)
		} else {
			entries, rr.ErrorCode, rr.ErrorMessage = s.entries(ctx, r, known)
		}
		for j := range entries {
			if len(r.ConfigNames) == 0 && len(entries[j].Value) <= longestString || slices.Contains(r.ConfigNames, entries[j].Name) {
				rr.Configs = append(rr.Configs, described(&entries[j], req))
			}
		}
		resp.Resources = append(resp.Resources, rr)
	}
	return resp
}

// longestString is the longest that a Java client reads: one that asks for everything gets no longer value, or its admin thread
// would end. The slots of a large cluster are longer; who wants them asks for them by name.
const longestString = math.MaxInt16

// maxFree is for how many brokers, groups and repeated topics one request is answered. Of brokers and groups it is not asked
// whether they exist; so without this bound a request of 60 KB would get hundreds of MB.
const maxFree = 1000

// entries are the configs of a resource, or the reason why there are none.
func (s *Server) entries(ctx context.Context, r *kmsg.DescribeConfigsRequestResource, k *known) ([]topic.Entry, int16, *string) {
	switch r.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		t, err := s.deps.Topics.Find(ctx, r.ResourceName)
		if err != nil {
			code, msg := failure(err)
			return nil, code, msg
		}
		return s.deps.Topics.Settings().Topic(t.Overrides), codeNone, nil
	case kmsg.ConfigResourceTypeBroker:
		if r.ResourceName == "" { // what is set for all brokers while they run: nothing
			return nil, codeNone, nil
		}
		id, err := brokerID(r.ResourceName)
		if err != nil {
			code, msg := refuse(codeInvalidRequest, "%v", err)
			return nil, code, msg
		}
		return s.brokerEntries(id, k), codeNone, nil
	case kmsg.ConfigResourceTypeBrokerLogger:
		if _, err := brokerID(r.ResourceName); err != nil {
			code, msg := refuse(codeInvalidRequest, "%v", err)
			return nil, code, msg
		}
		return s.loggerEntries(ctx), codeNone, nil
	case kmsg.ConfigResourceTypeGroupConfig:
		own, err := s.deps.Groups.Configs(ctx, r.ResourceName)
		if err != nil {
			code, msg := failure(err)
			return nil, code, msg
		}
		return s.deps.Topics.Settings().Group(own), codeNone, nil
	}
	code, msg := refuse(codeInvalidRequest, noSuchResource, r.ResourceType)
	return nil, code, msg
}

func described(e *topic.Entry, req *kmsg.DescribeConfigsRequest) kmsg.DescribeConfigsResponseResourceConfig {
	c := kmsg.NewDescribeConfigsResponseResourceConfig()
	c.Name, c.Value, c.ReadOnly = e.Name, value(e), e.ReadOnly
	c.Source, c.ConfigType = kmsg.ConfigSource(e.Source), kmsg.ConfigType(e.Type)
	c.IsSensitive = e.Secret
	c.IsDefault = e.Source == topic.SourceDefault
	if req.IncludeDocumentation {
		c.Documentation = &e.Doc
	}
	if req.IncludeSynonyms {
		for _, syn := range e.Synonyms {
			cs := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
			cs.Name, cs.Value, cs.Source = syn.Name, kmsg.StringPtr(syn.Value), kmsg.ConfigSource(syn.Source)
			c.ConfigSynonyms = append(c.ConfigSynonyms, cs)
		}
	}
	return c
}
