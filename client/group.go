package client

import (
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
