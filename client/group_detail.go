package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The protocols that members of a group speak, as GroupDetail and Group tell them.
const (
	Classic  = "classic"  // JoinGroup: the members' leader assigns
	Consumer = "consumer" // ConsumerGroupHeartbeat (KIP-848): the server assigns
)

// Group is a consumer group in a list.
type Group struct {
	Name  string
	Kind  string // what its members are: consumer, connect, ...; empty: nobody ever joined
	State string // as Kafka names it: Empty, Stable, PreparingRebalance, ...
	Type  string // the protocol: Classic or Consumer; empty: the server does not tell
}

// GroupDetail is a group with what it read.
type GroupDetail struct {
	Group
	Assignor    string // empty: not told
	Coordinator int32  // node id
	Epoch       int32  // of a group of type Consumer: of its membership; -1: another type
	TargetEpoch int32  // likewise: of the assignment that its members are led to
	Members     []GroupMember
	Partitions  []GroupPartition // by topic and number
}

// GroupMember is one of its members.
type GroupMember struct {
	ID       string
	Instance string // of a static member
	Client   string
	Host     string
	Type     string // the protocol that it speaks
	Epoch    int32  // of a group of type Consumer, else -1
	Assigned []TopicPartition
	Target   []TopicPartition // of a group of type Consumer: what it shall have
}

// TopicPartition names a partition.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// Lag is how many records of all partitions the group has not committed yet.
func (d GroupDetail) Lag() (n int64) {
	for _, p := range d.Partitions {
		n += max(p.Lag, 0)
	}
	return n
}

// GroupPartition is a partition that a group committed, or that is assigned to one of its members.
type GroupPartition struct {
	Topic      string
	Partition  int32
	Committed  int64 // -1: nothing yet
	Start, End int64 // of the log; -1: not known
	Lag        int64 // End - max(Committed, Start); -1: not known
	Member     string
	Instance   string // of a static member
	Client     string
	Host       string
	Err        error // why something is not known
}

// Groups returns all groups, sorted by name.
func (c *Client) Groups(ctx context.Context) ([]Group, error) {
	var groups []Group
	for _, shard := range c.kafka.RequestSharded(ctx, kmsg.NewPtrListGroupsRequest()) {
		err := shard.Err
		if err == nil {
			err = kerr.ErrorForCode(shard.Resp.(*kmsg.ListGroupsResponse).ErrorCode)
		}
		if err != nil {
			return nil, fmt.Errorf("list groups: %w", err)
		}
		for _, g := range shard.Resp.(*kmsg.ListGroupsResponse).Groups {
			groups = append(groups, Group{g.Group, g.ProtocolType, g.GroupState, g.GroupType})
		}
	}
	slices.SortFunc(groups, func(a, b Group) int { return cmp.Compare(a.Name, b.Name) })
	return groups, nil
}

// DescribeGroups returns the named groups, in that order. Error: ErrUnknownGroup, or what keeps one from answering.
func (c *Client) DescribeGroups(ctx context.Context, names ...string) ([]GroupDetail, error) {
	if len(names) == 0 {
		return nil, nil
	}
	all, err := c.details(ctx, names)
	if err != nil {
		return nil, err
	}
	committed := c.admin.FetchManyOffsets(ctx, names...)
	logs, err := c.logsOf(ctx, all, committed)
	if err != nil {
		return nil, fmt.Errorf("describe groups: %w", err)
	}
	for i := range all {
		d := &all[i]
		if err := committed[d.Name].Err; err != nil {
			return nil, fmt.Errorf("describe group %q: %w", d.Name, err)
		}
		d.partitions(committed[d.Name].Fetched, logs)
	}
	return all, nil
}

// details describes groups of both protocols, without their offsets.
func (c *Client) details(ctx context.Context, names []string) ([]GroupDetail, error) {
	newer, _ := c.admin.DescribeConsumerGroups(ctx, names...) // a server that does not know the newer protocol has none
	var rest []string
	for _, name := range names {
		if d, ok := newer[name]; !ok || d.Err != nil {
			rest = append(rest, name)
		}
	}
	classic := kadm.DescribedGroups{}
	if len(rest) > 0 {
		var err error
		if classic, err = c.admin.DescribeGroups(ctx, rest...); err != nil {
			return nil, fmt.Errorf("describe groups: %w", err)
		}
	}
	all := make([]GroupDetail, 0, len(names))
	for _, name := range names {
		if d, ok := newer[name]; ok && d.Err == nil {
			all = append(all, consumerDetail(d))
			continue
		}
		d, ok := classic[name]
		if !ok || d.State == "Dead" || errors.Is(d.Err, kerr.GroupIDNotFound) {
			d.Err = ErrUnknownGroup
		}
		if d.Err != nil {
			return nil, fmt.Errorf("describe group %q: %w", name, d.Err)
		}
		all = append(all, classicDetail(d))
	}
	return all, nil
}

func consumerDetail(g kadm.DescribedConsumerGroup) GroupDetail {
	d := GroupDetail{
		Group: Group{g.Group, "consumer", g.State, Consumer}, Assignor: g.AssignorName, Coordinator: g.Coordinator.NodeID,
		Epoch: g.Epoch, TargetEpoch: g.AssignmentEpoch,
	}
	for _, m := range g.Members {
		gm := GroupMember{
			ID: m.MemberID, Client: m.ClientID, Host: m.ClientHost, Type: Consumer, Epoch: m.MemberEpoch,
			Assigned: flat(m.Assignment), Target: flat(m.TargetAssignment),
		}
		if m.MemberType == 0 {
			gm.Type = Classic
		}
		if m.InstanceID != nil {
			gm.Instance = *m.InstanceID
		}
		d.Members = append(d.Members, gm)
	}
	return d
}

func classicDetail(g kadm.DescribedGroup) GroupDetail {
	d := GroupDetail{
		Group: Group{g.Group, g.ProtocolType, g.State, Classic}, Assignor: g.Protocol, Coordinator: g.Coordinator.NodeID, Epoch: -1, TargetEpoch: -1,
	}
	for _, m := range g.Members {
		gm := GroupMember{ID: m.MemberID, Client: m.ClientID, Host: m.ClientHost, Type: Classic, Epoch: -1}
		if m.InstanceID != nil {
			gm.Instance = *m.InstanceID
		}
		if a, ok := m.Assigned.AsConsumer(); ok {
			has := kadm.TopicsSet{}
			for _, t := range a.Topics {
				has.Add(t.Topic, t.Partitions...)
			}
			gm.Assigned = flat(has)
		}
		d.Members = append(d.Members, gm)
	}
	return d
}

// flat lists partitions by topic and number.
func flat(set kadm.TopicsSet) []TopicPartition {
	var all []TopicPartition
	for _, t := range set.Sorted() {
		for _, p := range t.Partitions {
			all = append(all, TopicPartition{t.Topic, p})
		}
	}
	return all
}

// logBounds are where the logs of topics begin and end.
type logBounds struct{ start, end kadm.ListedOffsets }

// logsOf asks for the bounds of all that groups committed or are assigned.
func (c *Client) logsOf(ctx context.Context, all []GroupDetail, committed kadm.FetchOffsetsResponses) (b logBounds, err error) {
	topics := map[string]bool{}
	for _, d := range all {
		for topic := range committed[d.Name].Fetched {
			topics[topic] = true
		}
		for _, m := range d.Members {
			for _, p := range m.Assigned {
				topics[p.Topic] = true
			}
		}
	}
	if len(topics) == 0 {
		return b, nil
	}
	names := make([]string, 0, len(topics))
	for t := range topics {
		names = append(names, t)
	}
	if b.start, err = c.admin.ListStartOffsets(ctx, names...); err != nil {
		return b, err
	}
	b.end, err = c.admin.ListEndOffsets(ctx, names...)
	return b, err
}

// partitions fills in what was committed and what is assigned.
func (d *GroupDetail) partitions(committed kadm.OffsetResponses, logs logBounds) {
	all := map[TopicPartition]*GroupPartition{}
	at := func(tp TopicPartition) *GroupPartition {
		p := all[tp]
		if p == nil {
			p = &GroupPartition{Topic: tp.Topic, Partition: tp.Partition, Committed: -1}
			all[tp] = p
		}
		return p
	}
	committed.Each(func(o kadm.OffsetResponse) {
		p := at(TopicPartition{o.Topic, o.Partition})
		p.Committed, p.Err = o.At, o.Err
	})
	for _, m := range d.Members {
		for _, tp := range m.Assigned {
			p := at(tp)
			p.Member, p.Instance, p.Client, p.Host = m.ID, m.Instance, m.Client, m.Host
		}
	}
	for tp, p := range all {
		p.measure(logs.start.Lookup(tp.Topic, tp.Partition))
		p.reach(logs.end.Lookup(tp.Topic, tp.Partition))
		d.Partitions = append(d.Partitions, *p)
	}
	slices.SortFunc(d.Partitions, func(a, b GroupPartition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
}

// measure takes in where the log begins.
func (p *GroupPartition) measure(o kadm.ListedOffset, ok bool) {
	if p.Start = -1; ok && o.Err == nil {
		p.Start = o.Offset
	} else if p.Err == nil {
		p.Err = o.Err
	}
}

// reach takes in where it ends.
func (p *GroupPartition) reach(o kadm.ListedOffset, ok bool) {
	if p.End, p.Lag = -1, -1; ok && o.Err == nil {
		p.End = o.Offset
	} else if p.Err == nil {
		p.Err = o.Err
	}
	if p.Start >= 0 && p.End >= 0 {
		p.Lag = max(0, p.End-max(p.Committed, p.Start))
	}
}
