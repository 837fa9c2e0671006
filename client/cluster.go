package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

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

// AgentConfigs returns the values of some configs of an agent, as that agent itself tells them; one that it has no value for is
// left out.
func (c *Client) AgentConfigs(ctx context.Context, agent int32, names ...string) (map[string]string, error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	rr := kmsg.NewDescribeConfigsRequestResource()
	rr.ResourceType, rr.ResourceName, rr.ConfigNames = kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(agent)), names
	req.Resources = append(req.Resources, rr)
	answer, err := req.RequestWith(ctx, c.kafka.Broker(int(agent)))
	if err == nil && len(answer.Resources) != 1 {
		err = fmt.Errorf("it tells about %d resources instead of 1", len(answer.Resources))
	}
	if err == nil {
		err = kerr.ErrorForCode(answer.Resources[0].ErrorCode)
	}
	if err != nil {
		return nil, fmt.Errorf("describe configs of agent %d: %w", agent, err)
	}
	values := map[string]string{}
	for _, v := range answer.Resources[0].Configs {
		if v.Value != nil {
			values[v.Name] = *v.Value
		}
	}
	return values, nil
}

// SetAgentConfig has agent ask set a config of an agent, -1: of the cluster, while it runs.
func (c *Client) SetAgentConfig(ctx context.Context, ask, agent int32, name, value string) error {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	rr := kmsg.NewIncrementalAlterConfigsRequestResource()
	rr.ResourceType = kmsg.ConfigResourceTypeBroker
	if agent >= 0 {
		rr.ResourceName = strconv.Itoa(int(agent))
	}
	rc := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	rc.Name, rc.Op, rc.Value = name, kmsg.IncrementalAlterConfigOpSet, &value
	rr.Configs = append(rr.Configs, rc)
	req.Resources = append(req.Resources, rr)
	answer, err := req.RequestWith(ctx, c.kafka.Broker(int(ask)))
	if err == nil && len(answer.Resources) != 1 {
		err = fmt.Errorf("it tells about %d resources instead of 1", len(answer.Resources))
	}
	if err == nil {
		err = kerr.ErrorForCode(answer.Resources[0].ErrorCode)
		if said := deref(answer.Resources[0].ErrorMessage); err != nil && said != "" {
			err = errors.New(said) // says more than the code does
		}
	}
	if err != nil {
		return fmt.Errorf("set %s: %w", name, err)
	}
	return nil
}
