package main

import (
	"context"
	"errors"

	"github.com/varvelog/varve/client"
)

func clusterAgentsCommand() *command {
	var conn connection
	var format string
	return &command{
		name:  "agents",
		short: "list the agents that serve",
		long: `SLOTS is how many slots the agent leads. STATE is active, draining or drained (see varve cluster drain), stopping, or silent: its
heartbeat stands still. QUIET-MS says for how long, where the agent that tells it watches over that one.`,
		options:  []*option{conn.option(), outputOption(&format)},
		examples: []string{"varve cluster agents", "varve cluster agents --output jsonl"},
		run: func(ctx context.Context, w *world, _ []string) error {
			return conn.with(ctx, func(c *client.Client) error {
				rows, err := agentRows(ctx, c)
				if err != nil {
					return err
				}
				return document{listings: []listing{listingOf("agents", rows)}}.print(w.out, format)
			})
		},
	}
}

// agentRows are the agents as the cluster sees them; of a server that is not Varve, as Kafka's protocol has them.
func agentRows(ctx context.Context, c *client.Client) (rows []object, err error) {
	all, err := survey(ctx, c)
	if errors.Is(err, errNotVarve) {
		cluster, err := c.Cluster(ctx)
		for _, a := range cluster.Agents {
			rows = append(rows, object{{"id", a.ID}, {"host", a.Host}, {"port", a.Port}, {"zone", a.Zone}, {"controller", a.ID == cluster.Controller}})
		}
		return rows, err
	}
	if err != nil {
		return nil, err
	}
	for _, a := range all[0].agents {
		rows = append(rows, a.fields)
	}
	return rows, nil
}
