package main

import (
	"context"

	"github.com/varvelog/varve/client"
)

func topicAlterCommand() *command {
	var conn connection
	var set []pair
	var remove []string
	var dry bool
	return &command{
		name: "alter", args: "TOPIC", min: 1, max: 1,
		short: "change configs of a topic",
		options: []*option{
			conn.option(),
			optMany(&set, parsePair, "config", "KEY=VALUE", "set a config").withShort("c"),
			optMany(&remove, parseText, "delete-config", "KEY", "take a config back to its default"),
			optSwitch(&dry, "dry-run", "check, but change nothing"),
		},
		examples: []string{"varve topic alter orders -c retention.ms=86400000", "varve topic alter orders --delete-config retention.ms --dry-run"},
		run: func(ctx context.Context, w *world, args []string) error {
			configs, err := pairMap(set)
			if err != nil {
				return err
			}
			if len(configs)+len(remove) == 0 {
				return usagef("nothing to change: give --config KEY=VALUE or --delete-config KEY")
			}
			return conn.with(ctx, func(c *client.Client) error {
				err := c.AlterTopic(ctx, args[0], configs, remove, dry)
				if err == nil {
					warnIdle(ctx, w, c, args[0], configs)
				}
				return said(w, err, dry, "altered topic %q", args[0])
			})
		},
	}
}
