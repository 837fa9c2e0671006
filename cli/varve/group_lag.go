package main

import (
	"context"
	"errors"

	"github.com/varvelog/varve/client"
)

func groupLagCommand() *command {
	var conn connection
	var format string
	var all, timed bool
	over := -1
	return &command{
		name: "lag", args: "[GROUP...]", min: 0, max: -1,
		short: "show how far groups are behind, in records and in seconds",
		options: []*option{
			conn.option(), outputOption(&format), optSwitch(&all, "all", "all groups"),
			optSwitch(&timed, "time", "show also how old the oldest next record is: reads one of each partition"),
			opt(&over, parseInt, "over", "N", "only groups that are more than N records behind").withDefault(""),
		},
		examples: []string{"varve group lag billing", "varve group lag --all --over 1000"},
		run: func(ctx context.Context, w *world, names []string) error {
			if all == (len(names) > 0) {
				return usagef("name groups, or give --all")
			}
			return conn.with(ctx, func(c *client.Client) error {
				details, err := lagging(ctx, c, names)
				if err != nil {
					return err
				}
				l := listing{name: "groups", columns: []column{
					{"GROUP", "group"}, {"STATE", "state"}, {"MEMBERS", "members"}, {"PARTITIONS", "partitions"}, {"LAG", "lag"}, {"", "lag_seconds"},
				}}
				if timed {
					l.columns[5].heading = "LAG-SECONDS"
				}
				for _, d := range details {
					if d.Lag() <= int64(over) {
						continue
					}
					age, err := oldestNext(ctx, c, d, timed)
					if err != nil {
						return err
					}
					l.rows = append(l.rows, []any{d.Name, d.State, len(d.Members), len(d.Partitions), d.Lag(), age})
				}
				return document{listings: []listing{l}}.print(w.out, format)
			})
		},
	}
}

// oldestNext is the age of the oldest next record of a group in seconds, nil if it is not asked for.
func oldestNext(ctx context.Context, c *client.Client, d client.GroupDetail, asked bool) (any, error) {
	if !asked {
		return nil, nil
	}
	ages, err := lagTime(ctx, c, d)
	return oldest(ages), err
}

// lagging describes the named groups; without names all, but for those that go away meanwhile.
func lagging(ctx context.Context, c *client.Client, names []string) ([]client.GroupDetail, error) {
	if len(names) > 0 {
		return c.DescribeGroups(ctx, names...)
	}
	groups, err := c.Groups(ctx)
	if err != nil {
		return nil, err
	}
	var all []client.GroupDetail
	for _, g := range groups {
		d, err := c.DescribeGroups(ctx, g.Name)
		if errors.Is(err, client.ErrUnknownGroup) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, d...)
	}
	return all, nil
}
