package main

import (
	"context"

	"github.com/varvelog/varve/client"
)

func topicAddPartitionsCommand() *command {
	var conn connection
	var dry bool
	total := int32(0)
	return &command{
		name: "add-partitions", args: "TOPIC", min: 1, max: 1,
		short: "raise the number of partitions of a topic",
		long:  "Keys that hashed to one partition may hash to another afterwards. Partitions cannot be taken away again.",
		options: []*option{
			conn.option(),
			opt(&total, parsePartition, "total", "N", "how many partitions there shall be").withShort("p"),
			optSwitch(&dry, "dry-run", "check, but change nothing"),
		},
		examples: []string{"varve topic add-partitions orders --total 12", "varve topic add-partitions orders --total 12 --dry-run"},
		run: func(ctx context.Context, w *world, args []string) error {
			if total < 1 {
				return usagef("say how many partitions there shall be: --total N")
			}
			return conn.with(ctx, func(c *client.Client) error {
				err := c.AddPartitions(ctx, args[0], total, dry)
				return said(w, err, dry, "raised topic %q to %d partitions", args[0], total)
			})
		},
	}
}
