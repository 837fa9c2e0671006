package main

import (
	"context"

	"github.com/varvelog/varve/client"
)

func topicDescribeCommand() *command {
	var conn connection
	var format string
	var all bool
	return &command{
		name: "describe", args: "TOPIC", min: 1, max: 1,
		short:    "show partitions, offsets and configs of a topic",
		long:     configEffects,
		options:  []*option{conn.option(), outputOption(&format), optSwitch(&all, "all", "show configs that have their default too")},
		examples: []string{"varve topic describe orders", "varve topic describe orders --all --output yaml"},
		run: func(ctx context.Context, w *world, args []string) error {
			return conn.with(ctx, func(c *client.Client) error {
				d, err := describeTopic(ctx, c, args[0], all)
				if err != nil {
					return err
				}
				return d.print(w.out, format)
			})
		},
	}
}

func describeTopic(ctx context.Context, c *client.Client, name string, all bool) (document, error) {
	t, err := c.Topic(ctx, name)
	if err != nil {
		return document{}, err
	}
	bounds, err := c.Bounds(ctx, name, false)
	if err != nil {
		return document{}, err
	}
	settings, err := c.TopicSettings(ctx, name)
	if err != nil {
		return document{}, err
	}
	parts := listing{name: "partitions", columns: []column{
		{"PARTITION", "partition"}, {"LEADER", "leader"}, {"EPOCH", "leader_epoch"},
		{"START", "start"}, {"END", "end"}, {"RECORDS", "offsets"}, {"", "error"},
	}}
	for _, p := range t.Partitions {
		var b client.Bounds
		for _, x := range bounds {
			if x.Partition == p.Number {
				b = x
			}
		}
		parts.rows = append(parts.rows, []any{p.Number, p.Leader, p.LeaderEpoch, b.Start, b.End, b.End - b.Start, errorText(p.Err)})
	}
	fields := []docField{{"topic", t.Name}, {"id", t.ID}}
	if s := compaction(settings); s != "" {
		fields = append(fields, docField{"compaction", s})
	}
	return document{
		fields:   fields,
		listings: []listing{parts, settingsListing(settings, all)},
	}, nil
}

// errorText is an error as a value of a row.
func errorText(err error) any {
	if err == nil {
		return nil
	}
	return err.Error()
}
