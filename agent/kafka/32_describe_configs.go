package kafka

import (
	"context"
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
	told, free, room, known := map[resourceKey]bool{}, 0, s.cfg.ConfigBytes, &known{s: s, ctx: ctx}
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
		switch {
		case extra && free > maxFree:
			rr.ErrorCode, rr.ErrorMessage = refuse(codeInvalidRequest, "at most %d brokers, loggers and groups at once, and each topic once", maxFree)
		case room < 0:
			rr.ErrorCode, rr.ErrorMessage = refuse(codeInvalidRequest, "more than %d MiB of configs in one answer: ask for fewer", s.cfg.ConfigBytes>>20)
		default:
			entries, rr.ErrorCode, rr.ErrorMessage = s.entries(ctx, r, known)
		}
		for j := range entries {
			// The slots of a large cluster are longer than a Java client can read: it would lose its admin thread. Who wants them
			// asks for them by name.
			if len(r.ConfigNames) == 0 && len(entries[j].Value) <= longestString || slices.Contains(r.ConfigNames, entries[j].Name) {
				c := described(&entries[j], req)
				rr.Configs = append(rr.Configs, c)
				room -= configBytes(&c)
			}
		}
		resp.Resources = append(resp.Resources, rr)
	}
	return resp
}

// maxFree is for how many brokers, groups and repeated topics one request is answered. Of brokers and groups it is not asked
// whether they exist; so without this bound a request of 60 KB would get hundreds of MB.
const maxFree = 1000

// configBytes is about what a config takes of an answer.
func configBytes(c *kmsg.DescribeConfigsResponseResourceConfig) int64 {
	n := 16 + len(c.Name)
	for _, s := range []*string{c.Value, c.Documentation} {
		if s != nil {
			n += len(*s)
		}
	}
	for i := range c.ConfigSynonyms {
		n += 8 + len(c.ConfigSynonyms[i].Name) + len(*c.ConfigSynonyms[i].Value)
	}
	return int64(n)
}

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
