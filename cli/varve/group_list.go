package main

import (
	"context"

	"github.com/varvelog/varve/client"
)

func groupListCommand() *command {
	var conn connection
	var format string
	return &command{
		name:     "list",
		short:    "list consumer groups",
		options:  []*option{conn.option(), outputOption(&format)},
		examples: []string{"varve group list", "varve group list --output jsonl | jq -r .group"},
		run: func(ctx context.Context, w *world, _ []string) error {
			return conn.with(ctx, func(c *client.Client) error {
				groups, err := c.Groups(ctx)
				if err != nil {
					return err
				}
				l := listing{name: "groups", columns: []column{{"GROUP", "group"}, {"STATE", "state"}, {"PROTOCOL-TYPE", "protocol_type"}, {"TYPE", "type"}}}
				for _, g := range groups {
					l.rows = append(l.rows, []any{g.Name, g.State, g.Kind, g.Type})
				}
				return document{listings: []listing{l}}.print(w.out, format)
			})
		},
	}
}
