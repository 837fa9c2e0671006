package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/varvelog/varve/client"
)

func groupDescribeCommand() *command {
	var conn connection
	var format string
	var watch time.Duration
	return &command{
		name: "describe", args: "GROUP", min: 1, max: 1,
		short: "show members, committed offsets and lag of a group",
		options: []*option{
			conn.option(), outputOption(&format),
			opt(&watch, parseDuration, "watch", "DURATION", "show it again and again, so often, until Ctrl-C").withDefault(""),
		},
		examples: []string{"varve group describe billing", "varve group describe billing --output json"},
		run: func(ctx context.Context, w *world, args []string) error {
			return conn.with(ctx, func(c *client.Client) error {
				for {
					err := describeGroup(ctx, w, c, args[0], format)
					if watch <= 0 || err != nil {
						return err
					}
					select {
					case <-time.After(watch):
						fmt.Fprintln(w.err)
					case <-ctx.Done():
						return nil
					}
				}
			})
		},
	}
}

func describeGroup(ctx context.Context, w *world, c *client.Client, name, format string) error {
	all, err := c.DescribeGroups(ctx, name)
	if err != nil {
		return err
	}
	d := all[0]
	doc := document{fields: []docField{
		{"group", d.Name}, {"state", d.State}, {"protocol_type", d.Kind}, {"assignor", d.Assignor}, {"coordinator", d.Coordinator},
		{"members", d.Members}, {"lag", d.Lag()},
	}}
	l := listing{name: "partitions", columns: []column{
		{"GROUP", "group"}, {"TOPIC", "topic"}, {"PARTITION", "partition"}, {"CURRENT-OFFSET", "committed"}, {"LOG-END-OFFSET", "end"}, {"LAG", "lag"},
		{"CONSUMER-ID", "member"}, {"HOST", "host"}, {"CLIENT-ID", "client"}, {"", "instance"}, {"", "start"}, {"", "error"},
	}}
	for _, p := range d.Partitions {
		l.rows = append(l.rows, []any{
			d.Name, p.Topic, p.Partition, known(p.Committed), known(p.End), known(p.Lag), p.Member, p.Host, p.Client, p.Instance, p.Start, errorText(p.Err),
		})
	}
	doc.listings = append(doc.listings, l)
	return doc.print(w.out, format)
}

// known is an offset, or nothing if it is -1.
func known(n int64) any {
	if n < 0 {
		return nil
	}
	return n
}

func groupLagCommand() *command {
	var conn connection
	var format string
	var all bool
	over := -1
	return &command{
		name: "lag", args: "[GROUP...]", min: 0, max: -1,
		short: "show how far groups are behind, in records",
		options: []*option{
			conn.option(), outputOption(&format), optSwitch(&all, "all", "all groups"),
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
					{"GROUP", "group"}, {"STATE", "state"}, {"MEMBERS", "members"}, {"PARTITIONS", "partitions"}, {"LAG", "lag"},
				}}
				for _, d := range details {
					if d.Lag() > int64(over) {
						l.rows = append(l.rows, []any{d.Name, d.State, d.Members, len(d.Partitions), d.Lag()})
					}
				}
				return document{listings: []listing{l}}.print(w.out, format)
			})
		},
	}
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
