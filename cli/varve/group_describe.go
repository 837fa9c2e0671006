package main

import (
	"context"
	"fmt"
	"time"

	"github.com/varvelog/varve/client"
)

// describing is the flags of "varve group describe".
type describing struct {
	conn    connection
	format  string
	watch   time.Duration
	members bool
	time    bool
}

func groupDescribeCommand() *command {
	var o describing
	return &command{
		name: "describe", args: "GROUP", min: 1, max: 1,
		short: "show members, committed offsets and lag of a group",
		options: []*option{
			o.conn.option(), outputOption(&o.format),
			optSwitch(&o.members, "members", "show its members instead of its partitions"),
			optSwitch(&o.time, "time", "show also how old the next record is that it will read: reads one of each partition"),
			opt(&o.watch, parseDuration, "watch", "DURATION", "show it again and again, so often, until Ctrl-C").withDefault(""),
		},
		examples: []string{"varve group describe billing", "varve group describe billing --output json"},
		run: func(ctx context.Context, w *world, args []string) error {
			return o.conn.with(ctx, func(c *client.Client) error {
				for {
					err := o.describe(ctx, w, c, args[0])
					if o.watch <= 0 || err != nil {
						return err
					}
					select {
					case <-time.After(o.watch):
						fmt.Fprintln(w.err)
					case <-ctx.Done():
						return nil
					}
				}
			})
		},
	}
}

func (o *describing) describe(ctx context.Context, w *world, c *client.Client, name string) error {
	all, err := c.DescribeGroups(ctx, name)
	if err != nil {
		return err
	}
	d := all[0]
	doc := document{fields: []docField{
		{"group", d.Name}, {"state", d.State}, {"type", d.Type}, {"protocol_type", d.Kind}, {"assignor", d.Assignor}, {"coordinator", d.Coordinator},
		{"members", len(d.Members)}, {"epoch", known(int64(d.Epoch))}, {"target_epoch", known(int64(d.TargetEpoch))}, {"lag", d.Lag()},
	}}
	if o.members {
		doc.listings = []listing{memberListing(d)}
		return doc.print(w.out, o.format)
	}
	var ages map[client.TopicPartition]time.Duration
	if o.time {
		if ages, err = lagTime(ctx, c, d); err != nil {
			return err
		}
		doc.fields = append(doc.fields, docField{"lag_seconds", oldest(ages)})
	}
	doc.listings = []listing{partitionListing(d, o.time, ages)}
	return doc.print(w.out, o.format)
}

// partitionListing has the columns of Kafka's own tool.
func partitionListing(d client.GroupDetail, timed bool, ages map[client.TopicPartition]time.Duration) listing {
	l := listing{name: "partitions", columns: []column{
		{"GROUP", "group"}, {"TOPIC", "topic"}, {"PARTITION", "partition"}, {"CURRENT-OFFSET", "committed"}, {"LOG-END-OFFSET", "end"}, {"LAG", "lag"},
		{"", "lag_seconds"}, {"CONSUMER-ID", "member"}, {"HOST", "host"}, {"CLIENT-ID", "client"}, {"", "instance"}, {"", "start"}, {"", "error"},
	}}
	if timed {
		l.columns[6].heading = "LAG-SECONDS"
	}
	for _, p := range d.Partitions {
		var age any
		if at, ok := ages[client.TopicPartition{Topic: p.Topic, Partition: p.Partition}]; ok {
			age = seconds(at)
		} else if timed && p.Lag == 0 {
			age = 0
		}
		l.rows = append(l.rows, []any{
			d.Name, p.Topic, p.Partition, known(p.Committed), known(p.End), known(p.Lag), age, p.Member, p.Host, p.Client, p.Instance, known(p.Start), errorText(p.Err),
		})
	}
	return l
}

// memberListing has the columns of Kafka's own tool, but that assignments stand in the other formats alone.
func memberListing(d client.GroupDetail) listing {
	l := listing{name: "member_list", columns: []column{
		{"GROUP", "group"}, {"CONSUMER-ID", "member"}, {"GROUP-INSTANCE-ID", "instance"}, {"HOST", "host"}, {"CLIENT-ID", "client"},
		{"#PARTITIONS", "partitions"}, {"CURRENT-EPOCH", "epoch"}, {"TARGET-EPOCH", "target_epoch"}, {"PROTOCOL", "type"}, {"", "assignment"}, {"", "target_assignment"},
	}}
	for _, m := range d.Members {
		l.rows = append(l.rows, []any{
			d.Name, m.ID, m.Instance, m.Host, m.Client, len(m.Assigned), known(int64(m.Epoch)), known(int64(d.TargetEpoch)), m.Type, partitionNames(m.Assigned), partitionNames(m.Target),
		})
	}
	return l
}

// partitionNames are partitions as text.
func partitionNames(parts []client.TopicPartition) []string {
	all := make([]string, 0, len(parts))
	for _, p := range parts {
		all = append(all, fmt.Sprintf("%s-%d", p.Topic, p.Partition))
	}
	return all
}

// lagTimeout is the longest that reading the next records takes.
const lagTimeout = 10 * time.Second

func lagTime(ctx context.Context, c *client.Client, d client.GroupDetail) (map[client.TopicPartition]time.Duration, error) {
	limited, cancel := context.WithTimeout(ctx, lagTimeout)
	defer cancel()
	return c.LagTime(limited, d)
}

// seconds is a duration to the millisecond.
func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }

// oldest is the longest of ages in seconds, 0 if there is none.
func oldest(ages map[client.TopicPartition]time.Duration) float64 {
	var most time.Duration
	for _, d := range ages {
		most = max(most, d)
	}
	return seconds(most)
}

// known is an offset, or nothing if it is -1.
func known(n int64) any {
	if n < 0 {
		return nil
	}
	return n
}
