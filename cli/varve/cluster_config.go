package main

import (
	"context"
	"fmt"

	"github.com/varvelog/varve/client"
)

// agentChoice is the flag of commands that ask one agent.
type agentChoice struct{ id int }

func (a *agentChoice) option() *option {
	a.id = -1
	return opt(&a.id, parseInt, "agent", "ID", "which agent to ask").withDefault("any")
}

// pick returns the id that was given, or that of any agent.
func (a *agentChoice) pick(ctx context.Context, c *client.Client) (int32, error) {
	if a.id >= 0 {
		return int32(a.id), nil
	}
	cluster, err := c.Cluster(ctx)
	if err != nil {
		return 0, err
	}
	if len(cluster.Agents) == 0 {
		return 0, fmt.Errorf("the cluster names no agents")
	}
	return cluster.Agents[0].ID, nil
}

// configEffects explains a column.
const configEffects = `EFFECT is what a config does: it acts, will act later, has none, or is fixed (every value but the default is refused).
The reason is in the documentation, see --output json.`

func clusterConfigCommand() *command {
	var conn connection
	var format string
	var agent agentChoice
	var changed bool
	return &command{
		name:     "config",
		short:    "list the configs of an agent, by Kafka's names",
		long:     configEffects,
		options:  []*option{conn.option(), outputOption(&format), agent.option(), optSwitch(&changed, "changed", "leave out configs that have their default")},
		examples: []string{"varve cluster config", "varve cluster config --changed --agent 1 --output json"},
		run: func(ctx context.Context, w *world, _ []string) error {
			return conn.with(ctx, func(c *client.Client) error {
				id, err := agent.pick(ctx, c)
				if err != nil {
					return err
				}
				settings, err := c.AgentSettings(ctx, id)
				if err != nil {
					return err
				}
				return document{listings: []listing{settingsListing(settings, !changed)}}.print(w.out, format)
			})
		},
	}
}

func clusterAPIVersionsCommand() *command {
	var conn connection
	var format string
	var agent agentChoice
	return &command{
		name:     "api-versions",
		short:    "list the Kafka APIs of an agent and their versions",
		options:  []*option{conn.option(), outputOption(&format), agent.option()},
		examples: []string{"varve cluster api-versions", "varve cluster api-versions --output jsonl"},
		run: func(ctx context.Context, w *world, _ []string) error {
			return conn.with(ctx, func(c *client.Client) error {
				id, err := agent.pick(ctx, c)
				if err != nil {
					return err
				}
				apis, err := c.APIs(ctx, id)
				if err != nil {
					return err
				}
				l := listing{name: "apis", columns: []column{{"KEY", "key"}, {"API", "api"}, {"MIN", "min"}, {"MAX", "max"}}}
				for _, a := range apis {
					l.rows = append(l.rows, []any{a.Key, a.Name, a.Min, a.Max})
				}
				return document{listings: []listing{l}}.print(w.out, format)
			})
		},
	}
}
