package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/varvelog/varve/client"
)

func groupSeekCommand() *command {
	var conn connection
	var format string
	var to *client.When
	var topics []string
	var dry bool
	return &command{
		name: "seek", args: "GROUP", min: 1, max: 1,
		short: "have a group without members go on somewhere else",
		long: `Positions: earliest, latest, an OFFSET, -N (N before the end of each partition), @2026-11-01T00:00Z, -1h. Without
--topic in all topics that the group has committed. Stop its members first.`,
		options: []*option{
			conn.option(), outputOption(&format),
			opt(&to, pointerTo(client.ParseWhen), "to", "WHEN", "where to go on").withDefault(""),
			optMany(&topics, parseText, "topic", "TOPIC", "in this topic"),
			optSwitch(&dry, "dry-run", "say what would be committed"),
		},
		examples: []string{"varve group seek billing --topic orders --to earliest", "varve group seek billing --topic orders --to -1h --dry-run"},
		run: func(ctx context.Context, w *world, args []string) error {
			if to == nil {
				return usagef("where to? Add --to WHEN, like --to earliest")
			}
			return conn.with(ctx, func(c *client.Client) error {
				moves, err := c.SeekGroup(ctx, args[0], topics, *to, dry)
				if err != nil {
					return err
				}
				l := listing{name: "partitions", columns: []column{{"TOPIC", "topic"}, {"PARTITION", "partition"}, {"FROM", "from"}, {"TO", "to"}}}
				for _, m := range moves {
					l.rows = append(l.rows, []any{m.Topic, m.Partition, known(m.From), m.To})
				}
				return errors.Join(document{listings: []listing{l}}.print(w.out, format), said(w, nil, dry, "moved group %q", args[0]))
			})
		},
	}
}

func groupDeleteCommand() *command {
	var conn connection
	var dry, yes bool
	return &command{
		name: "delete", args: "GROUP...", min: 1, max: -1,
		short: "delete groups and what they committed",
		options: []*option{
			conn.option(), yesOption(&yes),
			optSwitch(&dry, "dry-run", "say what would be deleted"),
		},
		examples: []string{"varve group delete billing --yes", "varve group delete old-1 old-2 --dry-run"},
		run: func(ctx context.Context, w *world, args []string) error {
			return conn.with(ctx, func(c *client.Client) error {
				if _, err := c.DescribeGroups(ctx, args...); err != nil { // so that a name with a typing error deletes none
					return err
				}
				if !dry {
					if err := confirm(w, yes, fmt.Sprintf("delete groups with their committed offsets: %q", args)); err != nil {
						return err
					}
				}
				failed := false
				for _, name := range args {
					var err error
					if !dry {
						err = c.DeleteGroup(ctx, name)
					}
					if err = said(w, err, dry, "deleted group %q", name); err != nil {
						fmt.Fprintln(w.err, plain(err))
						failed = true
					}
				}
				if failed {
					return errSaid
				}
				return nil
			})
		},
	}
}
