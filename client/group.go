package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// The errors about groups.
var (
	// ErrUnknownGroup: the server does not know the group.
	ErrUnknownGroup = errors.New("unknown group")
	// ErrNotEmpty: the group has members; what was asked for needs that they are stopped first.
	ErrNotEmpty = errors.New("the group has members: stop them first")
)

// Group is a consumer group in a list.
type Group struct {
	Name  string
	Kind  string // what its members are: consumer, connect, ...; empty: nobody ever joined
	State string // as Kafka names it: Empty, Stable, PreparingRebalance, ...
}

// GroupDetail is a group with what it read.
type GroupDetail struct {
	Group
	Assignor    string // empty: not told
	Coordinator int32  // node id
	Members     int
	Partitions  []GroupPartition // by topic and number
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
	Start, End int64 // of the log
	Lag        int64 // End - max(Committed, Start); -1: not known
	Member     string
	Instance   string // of a static member
	Client     string
	Host       string
	Err        error // why something is not known
}

// Groups returns all groups, sorted by name.
func (c *Client) Groups(ctx context.Context) ([]Group, error) {
	found, err := c.admin.ListGroups(ctx)
	if err != nil {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	groups := make([]Group, 0, len(found))
	for _, g := range found.Sorted() {
		groups = append(groups, Group{g.Group, g.ProtocolType, g.State})
	}
	return groups, nil
}

// DescribeGroups returns the named groups, in that order. Error: ErrUnknownGroup, or what keeps one from answering.
func (c *Client) DescribeGroups(ctx context.Context, names ...string) ([]GroupDetail, error) {
	if len(names) == 0 {
		return nil, nil
	}
	lags, err := c.admin.Lag(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("describe groups: %w", err)
	}
	all := make([]GroupDetail, 0, len(names))
	for _, name := range names {
		l, ok := lags[name]
		if err := l.Error(); err != nil || !ok || l.State == "Dead" {
			if !ok || l.State == "Dead" || errors.Is(err, kerr.GroupIDNotFound) {
				err = ErrUnknownGroup
			}
			return nil, fmt.Errorf("describe group %q: %w", name, err)
		}
		all = append(all, detailOf(l))
	}
	return all, nil
}

func detailOf(l kadm.DescribedGroupLag) GroupDetail {
	d := GroupDetail{Group: Group{l.Group, l.ProtocolType, l.State}, Assignor: l.Protocol, Coordinator: l.Coordinator.NodeID, Members: len(l.Members)}
	for _, m := range l.Lag.Sorted() {
		p := GroupPartition{Topic: m.Topic, Partition: m.Partition, Committed: m.Commit.At, Start: m.Start.Offset, End: m.End.Offset, Lag: m.Lag, Err: m.Err}
		if m.Member != nil {
			p.Member, p.Client, p.Host = m.Member.MemberID, m.Member.ClientID, m.Member.ClientHost
			if m.Member.InstanceID != nil {
				p.Instance = *m.Member.InstanceID
			}
		}
		d.Partitions = append(d.Partitions, p)
	}
	slices.SortFunc(d.Partitions, func(a, b GroupPartition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return d
}

// DeleteGroup removes a group and what it committed. Errors: ErrUnknownGroup, ErrNotEmpty.
func (c *Client) DeleteGroup(ctx context.Context, name string) error {
	r, err := c.admin.DeleteGroup(ctx, name)
	if err == nil {
		err = r.Err
	}
	if err != nil {
		return fmt.Errorf("delete group %q: %w", name, groupError(err))
	}
	return nil
}

func groupError(err error) error {
	switch {
	case errors.Is(err, kerr.GroupIDNotFound):
		return ErrUnknownGroup
	case errors.Is(err, kerr.NonEmptyGroup), errors.Is(err, kerr.UnknownMemberID):
		return ErrNotEmpty
	}
	return err
}

// Sought is a partition whose committed offset SeekGroup moves.
type Sought struct {
	Topic     string
	Partition int32
	From, To  int64 // From -1: nothing was committed
}

// SeekGroup has a group without members go on at another position in each partition of topics; without topics, in all topics that it
// committed. With dry it only says what it would do. A group that is not there is made. Errors: ErrNotEmpty, ErrUnknownTopic.
func (c *Client) SeekGroup(ctx context.Context, group string, topics []string, to When, dry bool) ([]Sought, error) {
	committed, err := c.admin.FetchOffsets(ctx, group)
	if err != nil {
		return nil, fmt.Errorf("seek group %q: %w", group, groupError(err))
	}
	if len(topics) == 0 {
		for topic := range committed {
			topics = append(topics, topic)
		}
		slices.Sort(topics)
	}
	if len(topics) == 0 {
		return nil, fmt.Errorf("seek group %q: it has committed nothing: name topics", group)
	}
	if err := c.checkEmpty(ctx, group); err != nil {
		return nil, err
	}
	var moves []Sought
	offsets := kadm.Offsets{}
	for _, topic := range topics {
		spans, err := c.spans(ctx, topic, ReadConfig{From: to})
		if err != nil {
			return nil, fmt.Errorf("seek group %q: %w", group, err)
		}
		for _, s := range spans {
			m := Sought{Topic: topic, Partition: s.Partition, From: -1, To: s.From}
			if o, ok := committed.Lookup(topic, s.Partition); ok {
				m.From = o.At
			}
			moves = append(moves, m)
			offsets.AddOffset(topic, s.Partition, s.From, -1)
		}
	}
	if dry {
		return moves, nil
	}
	if err := c.admin.CommitAllOffsets(ctx, group, offsets); err != nil {
		return nil, fmt.Errorf("seek group %q: %w", group, groupError(err))
	}
	return moves, nil
}

// checkEmpty returns ErrNotEmpty if a group has members, so that a dry run says so too.
func (c *Client) checkEmpty(ctx context.Context, group string) error {
	found, err := c.admin.DescribeGroups(ctx, group)
	if err != nil {
		return fmt.Errorf("describe group %q: %w", group, err)
	}
	if d := found[group]; d.Err == nil && len(d.Members) > 0 {
		return fmt.Errorf("seek group %q: %w", group, ErrNotEmpty)
	}
	return nil
}
