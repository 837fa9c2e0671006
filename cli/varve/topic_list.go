package main

import (
	"context"

	"github.com/varvelog/varve/client"
)

func topicListCommand() *command {
	var conn connection
	var format string
	return &command{
		name:     "list",
		short:    "list topics",
		options:  []*option{conn.option(), outputOption(&format)},
		examples: []string{"varve topic list", "varve topic list --output jsonl | jq -r .topic"},
		run: func(ctx context.Context, w *world, _ []string) error {
			return conn.with(ctx, func(c *client.Client) error {
				topics, err := c.Topics(ctx)
				if err != nil {
					return err
				}
				l := listing{name: "topics", columns: []column{{"TOPIC", "topic"}, {"PARTITIONS", "partitions"}, {"ID", "id"}}}
				for _, t := range topics {
					l.rows = append(l.rows, []any{t.Name, len(t.Partitions), t.ID})
				}
				return document{listings: []listing{l}}.print(w.out, format)
			})
		},
	}
}
