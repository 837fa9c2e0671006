package client

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Cluster is what a cluster says of itself.
type Cluster struct {
	ID         string
	Controller int32 // node id, -1: none
	Agents     []Agent
}

// Agent is a server of the cluster.
type Agent struct {
	ID   int32 // node id
	Host string
	Port int32
	Zone string // empty: not told
}

// Setting is one config of a topic or agent.
type Setting struct {
	Name   string
	Value  string // empty if Secret
	Source string // "default" if nobody set it
	Secret bool
}

// API is the versions of one Kafka API that a server takes.
type API struct {
	Key      int16
	Name     string
	Min, Max int16
}

// Cluster describes the cluster.
func (c *Client) Cluster(ctx context.Context) (Cluster, error) {
	m, err := c.admin.BrokerMetadata(ctx)
	if err != nil {
		return Cluster{}, fmt.Errorf("describe cluster: %w", err)
	}
	cluster := Cluster{ID: m.Cluster, Controller: m.Controller}
	for _, b := range m.Brokers {
		a := Agent{ID: b.NodeID, Host: b.Host, Port: b.Port}
		if b.Rack != nil {
			a.Zone = *b.Rack
		}
		cluster.Agents = append(cluster.Agents, a)
	}
	slices.SortFunc(cluster.Agents, func(a, b Agent) int { return cmp.Compare(a.ID, b.ID) })
	return cluster, nil
}

// TopicSettings returns all configs of a topic, sorted by name. Error: ErrUnknownTopic.
func (c *Client) TopicSettings(ctx context.Context, topic string) ([]Setting, error) {
	found, err := c.admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("describe configs of %q: %w", topic, err)
	}
	r, err := found.On(topic, nil)
	if err == nil {
		err = told("describe configs of", topic, r.Err, r.ErrMessage)
	}
	return settingsOf(r), err
}

// AgentSettings returns all configs of an agent, sorted by name.
func (c *Client) AgentSettings(ctx context.Context, agent int32) ([]Setting, error) {
	found, err := c.admin.DescribeBrokerConfigs(ctx, agent)
	if err != nil {
		return nil, fmt.Errorf("describe configs of agent %d: %w", agent, err)
	}
	r, err := found.On(fmt.Sprint(agent), nil)
	if err == nil {
		err = r.Err
	}
	if err != nil {
		return nil, fmt.Errorf("describe configs of agent %d: %w", agent, err)
	}
	return settingsOf(r), nil
}

func settingsOf(r kadm.ResourceConfig) []Setting {
	settings := make([]Setting, 0, len(r.Configs))
	for _, s := range r.Configs {
		settings = append(settings, Setting{Name: s.Key, Value: s.MaybeValue(), Source: sourceName(s.Source), Secret: s.Sensitive})
	}
	slices.SortFunc(settings, func(a, b Setting) int { return cmp.Compare(a.Name, b.Name) })
	return settings
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

// APIs returns the APIs that the agent takes, sorted by key.
func (c *Client) APIs(ctx context.Context, agent int32) ([]API, error) {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "varve", "0" // from v3 on a server refuses empty ones (KIP-511)
	answer, err := req.RequestWith(ctx, c.kafka.Broker(int(agent)))
	if err == nil {
		err = kerr.ErrorForCode(answer.ErrorCode)
	}
	if err != nil {
		return nil, fmt.Errorf("ask agent %d for its API versions: %w", agent, err)
	}
	apis := make([]API, 0, len(answer.ApiKeys))
	for _, k := range answer.ApiKeys {
		apis = append(apis, API{Key: k.ApiKey, Name: kmsg.NameForKey(k.ApiKey), Min: k.MinVersion, Max: k.MaxVersion})
	}
	slices.SortFunc(apis, func(a, b API) int { return cmp.Compare(a.Key, b.Key) })
	return apis, nil
}
