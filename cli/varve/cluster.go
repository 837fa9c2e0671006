package main

import (
	"context"

	"github.com/varvelog/varve/client"
)

func clusterCommand() *command {
	return &command{
		name:  "cluster",
		short: "show a cluster, its agents, slots and configs; move slots",
		sub: []*command{
			clusterInfoCommand(), clusterAgentsCommand(), clusterSlotsCommand(), clusterHealthCommand(), clusterDrainCommand(), clusterMoveCommand(),
			clusterConfigCommand(), clusterAPIVersionsCommand(),
		},
		examples: []string{"varve cluster info", "varve cluster agents --output json"},
	}
}

func clusterInfoCommand() *command {
	var conn connection
	var format string
	return &command{
		name:     "info",
		short:    "show what the cluster says of itself",
		options:  []*option{conn.option(), outputOption(&format)},
		examples: []string{"varve cluster info", "varve cluster info --bootstrap 127.0.0.1:9092 --output json"},
		run: func(ctx context.Context, w *world, _ []string) error {
			return conn.with(ctx, func(c *client.Client) error {
				cluster, err := c.Cluster(ctx)
				if err != nil {
					return err
				}
				topics, err := c.Topics(ctx)
				if err != nil {
					return err
				}
				partitions := 0
				for _, t := range topics {
					partitions += len(t.Partitions)
				}
				return document{fields: []docField{
					{"cluster", cluster.ID}, {"controller", cluster.Controller}, {"agents", len(cluster.Agents)},
					{"topics", len(topics)}, {"partitions", partitions},
				}}.print(w.out, format)
			})
		},
	}
}
