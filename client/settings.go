package client

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Setting is one config of a topic or agent.
type Setting struct {
	Name    string
	Value   string // empty if Secret, or if there is none
	Source  string // "default" if nobody set it
	Default string // what it is if nobody sets it; empty if there is none
	Secret  bool
	Doc     string // one sentence or two; empty if the server has none
}

// Effect is what a config does at its server.
type Effect string

// The effects. A server that is not Varve does not tell.
const (
	EffectUnknown Effect = ""
	EffectActs    Effect = "acts"
	EffectLater   Effect = "later" // nothing yet: kept until there is what it acts on
	EffectNone    Effect = "none"  // kept and shown
	EffectFixed   Effect = "fixed" // every other value is refused
)

// Effect tells what the setting does, and why it does not act. Varve says so at the beginning of the documentation.
func (s Setting) Effect() (e Effect, why string) {
	if s.Doc == "" {
		return EffectUnknown, ""
	}
	word, rest, _ := strings.Cut(s.Doc, ": ")
	switch word {
	case "Not yet":
		e = EffectLater
	case "No effect":
		e = EffectNone
	case "Fixed":
		e = EffectFixed
	default:
		return EffectActs, ""
	}
	why, _, _ = strings.Cut(rest, ". ")
	return e, why
}

// TopicSettings returns all configs of a topic, sorted by name. Error: ErrUnknownTopic.
func (c *Client) TopicSettings(ctx context.Context, topic string) ([]Setting, error) {
	r, err := c.describe(ctx, kmsg.ConfigResourceTypeTopic, topic)
	if err != nil {
		return nil, fmt.Errorf("describe configs of %q: %w", topic, err)
	}
	if err := told("describe configs of", topic, kerr.ErrorForCode(r.ErrorCode), deref(r.ErrorMessage)); err != nil {
		return nil, err
	}
	return settingsOf(r), nil
}

// AgentSettings returns all configs of an agent, sorted by name.
func (c *Client) AgentSettings(ctx context.Context, agent int32) ([]Setting, error) {
	r, err := c.describe(ctx, kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(agent)))
	if err == nil {
		err = kerr.ErrorForCode(r.ErrorCode)
	}
	if err != nil {
		return nil, fmt.Errorf("describe configs of agent %d: %w", agent, err)
	}
	return settingsOf(r), nil
}

// describe asks for the configs of one resource, with all that there is to know of them.
func (c *Client) describe(ctx context.Context, kind kmsg.ConfigResourceType, name string) (r kmsg.DescribeConfigsResponseResource, err error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.IncludeSynonyms, req.IncludeDocumentation = true, true
	rr := kmsg.NewDescribeConfigsRequestResource()
	rr.ResourceType, rr.ResourceName = kind, name
	req.Resources = append(req.Resources, rr)
	answer, err := req.RequestWith(ctx, c.kafka) // goes to the broker that it is about
	if err != nil {
		return r, err
	}
	if len(answer.Resources) != 1 {
		return r, fmt.Errorf("the server tells about %d resources instead of 1", len(answer.Resources))
	}
	return answer.Resources[0], nil
}

func settingsOf(r kmsg.DescribeConfigsResponseResource) []Setting {
	settings := make([]Setting, 0, len(r.Configs))
	for _, s := range r.Configs {
		n := Setting{Name: s.Name, Value: deref(s.Value), Source: sourceName(s.Source), Secret: s.IsSensitive, Doc: deref(s.Documentation)}
		for _, syn := range s.ConfigSynonyms {
			if syn.Source == kmsg.ConfigSourceDefaultConfig {
				n.Default = deref(syn.Value)
				break
			}
		}
		if s.Source == kmsg.ConfigSourceDefaultConfig {
			n.Default = n.Value
		}
		settings = append(settings, n)
	}
	slices.SortFunc(settings, func(a, b Setting) int { return cmp.Compare(a.Name, b.Name) })
	return settings
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// sourceName says in one word where a config's value comes from.
func sourceName(s kmsg.ConfigSource) string {
	switch s {
	case kmsg.ConfigSourceDynamicTopicConfig:
		return "topic"
	case kmsg.ConfigSourceDynamicBrokerConfig, kmsg.ConfigSourceDynamicDefaultBrokerConfig:
		return "cluster"
	case kmsg.ConfigSourceStaticBrokerConfig:
		return "agent"
	}
	return "default"
}
