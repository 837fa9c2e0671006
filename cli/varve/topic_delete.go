package main

import (
	"context"
	"fmt"

	"github.com/varvelog/varve/client"
)

func topicDeleteCommand() *command {
	var conn connection
	var dry, yes bool
	return &command{
		name: "delete", args: "TOPIC...", min: 1, max: -1,
		short: "delete topics and their records",
		options: []*option{
			conn.option(), yesOption(&yes),
			optSwitch(&dry, "dry-run", "say what would be deleted"),
		},
		examples: []string{"varve topic delete scratch", "varve topic delete scratch-1 scratch-2 --yes"},
		run: func(ctx context.Context, w *world, args []string) error {
			return conn.with(ctx, func(c *client.Client) error {
				topics, err := c.Topics(ctx, args...) // so that a name with a typing error deletes none
				if err != nil {
					return err
				}
				if !dry {
					if err := confirm(w, yes, fmt.Sprintf("delete with all records: %q", names(topics))); err != nil {
						return err
					}
				}
				return deleteTopics(ctx, w, c, topics, dry)
			})
		},
	}
}

func names(topics []client.Topic) (names []string) {
	for _, t := range topics {
		names = append(names, t.Name)
	}
	return names
}

// deleteTopics goes on after a failure, so that one topic does not keep the others.
func deleteTopics(ctx context.Context, w *world, c *client.Client, topics []client.Topic, dry bool) error {
	failed := false
	for _, t := range topics {
		var err error
		if !dry {
			err = c.DeleteTopic(ctx, t.Name)
		}
		if err = said(w, err, dry, "deleted topic %q", t.Name); err != nil {
			fmt.Fprintln(w.err, plain(err))
			failed = true
		}
	}
	if failed {
		return errSaid
	}
	return nil
}
