package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/varvelog/varve/client"
)

func topicCreateCommand() *command {
	var conn connection
	var configs []pair
	var dry, keep bool
	partitions := int32(-1)
	return &command{
		name: "create", args: "NAME", min: 1, max: 1,
		short: "create a topic",
		options: []*option{
			conn.option(),
			opt(&partitions, parsePartition, "partitions", "N", "how many partitions").withShort("p").withDefault("as num.partitions says"),
			optMany(&configs, parsePair, "config", "KEY=VALUE", "a config of the topic, by Kafka's name").withShort("c"),
			optSwitch(&keep, "if-not-exists", "a topic that is there already is fine"),
			optSwitch(&dry, "dry-run", "check, but create nothing"),
		},
		examples: []string{"varve topic create orders -p 6", "varve topic create audit -p 1 -c cleanup.policy=compact -c min.insync.replicas=1"},
		run: func(ctx context.Context, w *world, args []string) error {
			set, err := pairMap(configs)
			if err != nil {
				return err
			}
			if partitions == 0 {
				return usagef("--partitions: a topic has at least 1")
			}
			return conn.with(ctx, func(c *client.Client) error {
				err := c.CreateTopic(ctx, client.NewTopic{Name: args[0], Partitions: partitions, Configs: set, ValidateOnly: dry})
				if keep && errors.Is(err, kerr.TopicAlreadyExists) {
					fmt.Fprintf(w.err, "topic %q is there already\n", args[0])
					return nil
				}
				if err == nil && !dry {
					warnIdle(ctx, w, c, args[0], set)
				}
				return said(w, err, dry, "created topic %q", args[0])
			})
		},
	}
}

// said tells on stderr what was done, or would be done in a dry run, if there was no error.
func said(w *world, err error, dry bool, format string, args ...any) error {
	if err != nil {
		return err
	}
	if dry {
		format = "dry run: would have " + format
	}
	fmt.Fprintf(w.err, format+"\n", args...)
	return nil
}
