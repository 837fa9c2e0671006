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

// Topic is a topic as the server describes it.
type Topic struct {
	Name       string
	ID         string // UUID; empty if the server has none
	Partitions []Partition
}

// Partition is one partition of a Topic.
type Partition struct {
	Number      int32
	Leader      int32 // node id, -1: none
	LeaderEpoch int32
	Err         error // why it cannot be used now; nil: it can
}

// NewTopic says what CreateTopic shall make.
type NewTopic struct {
	Name         string
	Partitions   int32             // -1: as the server's num.partitions says
	Configs      map[string]string // by Kafka's names
	ValidateOnly bool              // check, change nothing
}

// Topics returns the named topics, or all if none is named, sorted by name. ErrUnknownTopic names the first that is not
// there.
func (c *Client) Topics(ctx context.Context, names ...string) ([]Topic, error) {
	found, err := c.admin.ListTopics(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	topics := make([]Topic, 0, len(found))
	for _, d := range found.Sorted() {
		if d.Err != nil {
			return nil, fmt.Errorf("list topics: %w", topicError(d.Topic, d.Err))
		}
		topics = append(topics, topicOf(d))
	}
	return topics, nil
}

func topicOf(d kadm.TopicDetail) Topic {
	t := Topic{Name: d.Topic}
	if d.ID != (kadm.TopicID{}) {
		t.ID = uuidString(d.ID)
	}
	for _, p := range d.Partitions.Sorted() {
		t.Partitions = append(t.Partitions, Partition{Number: p.Partition, Leader: p.Leader, LeaderEpoch: p.LeaderEpoch, Err: p.Err})
	}
	return t
}

// uuidString writes a topic id as Varve writes it in keys and items. (kadm would write Kafka's base64.)
func uuidString(b [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Topic returns one topic. Error: ErrUnknownTopic.
func (c *Client) Topic(ctx context.Context, name string) (Topic, error) {
	topics, err := c.Topics(ctx, name)
	if err != nil {
		return Topic{}, err
	}
	if len(topics) != 1 {
		return Topic{}, fmt.Errorf("%w %q", ErrUnknownTopic, name)
	}
	return topics[0], nil
}

// CreateTopic makes a topic. If it is there already the error is kerr.TopicAlreadyExists.
func (c *Client) CreateTopic(ctx context.Context, n NewTopic) error {
	configs := map[string]*string{}
	for k, v := range n.Configs {
		configs[k] = &v
	}
	create := c.admin.CreateTopics
	if n.ValidateOnly {
		create = c.admin.ValidateCreateTopics
	}
	answers, err := create(ctx, n.Partitions, -1, configs, n.Name)
	if err != nil {
		return fmt.Errorf("create topic %q: %w", n.Name, err)
	}
	answer := answers[n.Name]
	return told("create topic", n.Name, answer.Err, answer.ErrMessage)
}

// DeleteTopic removes a topic and its records. Error: ErrUnknownTopic.
func (c *Client) DeleteTopic(ctx context.Context, name string) error {
	answers, err := c.admin.DeleteTopics(ctx, name)
	if err != nil {
		return fmt.Errorf("delete topic %q: %w", name, err)
	}
	answer := answers[name]
	return told("delete topic", name, answer.Err, answer.ErrMessage)
}

// AddPartitions raises the count of partitions to total.
func (c *Client) AddPartitions(ctx context.Context, name string, total int32, validateOnly bool) error {
	update := c.admin.UpdatePartitions
	if validateOnly {
		update = c.admin.ValidateUpdatePartitions
	}
	answers, err := update(ctx, int(total), name)
	if err != nil {
		return fmt.Errorf("add partitions to %q: %w", name, err)
	}
	answer := answers[name]
	return told("add partitions to", name, answer.Err, answer.ErrMessage)
}

// AlterTopic sets configs of a topic, and takes those in remove back to their defaults.
func (c *Client) AlterTopic(ctx context.Context, name string, set map[string]string, remove []string, validateOnly bool) error {
	var changes []kadm.AlterConfig
	for k, v := range set {
		changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: k, Value: &v})
	}
	for _, k := range remove {
		changes = append(changes, kadm.AlterConfig{Op: kadm.DeleteConfig, Name: k})
	}
	slices.SortFunc(changes, func(a, b kadm.AlterConfig) int { return cmp.Compare(a.Name, b.Name) })
	alter := c.admin.AlterTopicConfigs
	if validateOnly {
		alter = c.admin.ValidateAlterTopicConfigs
	}
	answers, err := alter(ctx, changes, name)
	if err != nil {
		return fmt.Errorf("alter topic %q: %w", name, err)
	}
	for _, answer := range answers {
		if err := told("alter topic", name, answer.Err, answer.ErrMessage); err != nil {
			return err
		}
	}
	return nil
}

// told turns an answer about one topic into an error, with what the server said.
func told(doing, name string, err error, message string) error {
	if err == nil {
		return nil
	}
	if message != "" {
		return fmt.Errorf("%s %q: %w: %s", doing, name, topicError(name, err), message)
	}
	return fmt.Errorf("%s %q: %w", doing, name, topicError(name, err))
}

func topicError(name string, err error) error {
	if errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.UnknownTopicID) {
		return fmt.Errorf("%w %q", ErrUnknownTopic, name)
	}
	return err
}
