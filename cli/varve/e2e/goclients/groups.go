package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// groupAdmin is what an administrator does with groups; see java/src/main/java/varve/Groups.java.
type groupAdmin interface {
	groups(addr string) ([]string, error)
	// group returns the state, and the partitions of each member by its instance id.
	group(addr, group string) (state string, members map[string][]int32, err error)
	committed(addr, group, topic string) (map[int32]int64, error)
	commit(addr, group, topic string, partition int32, offset int64) error
	uncommit(addr, group, topic string, partition int32) error
	expel(addr, group, instance string) error
	forget(addr, group string) error
}

// groups obeys one command.
func (s server) groups(l groupAdmin, c []string) error {
	addr, group, partition, offset := c[1], c[2], number(c[4]), number(c[5:]...)
	switch c[0] {
	case "groups":
		names, err := l.groups(addr)
		for _, name := range names {
			fmt.Fprintln(s.out, name)
		}
		return err
	case "group":
		state, members, err := l.group(addr, group)
		fmt.Fprintln(s.out, state)
		for instance, has := range members {
			slices.Sort(has)
			fmt.Fprintln(s.out, instance, strings.Trim(strings.ReplaceAll(fmt.Sprint(has), " ", ","), "[]"))
		}
		return err
	case "committed":
		all, err := l.committed(addr, group, c[3])
		for _, p := range slices.Sorted(maps.Keys(all)) {
			fmt.Fprintln(s.out, c[3], p, all[p])
		}
		return err
	case "commit":
		return l.commit(addr, group, c[3], int32(partition), offset)
	case "uncommit":
		return l.uncommit(addr, group, c[3], int32(partition))
	case "expel":
		return l.expel(addr, group, c[3])
	case "forget":
		return l.forget(addr, group)
	}
	return fmt.Errorf("unknown command %q", c[0])
}

// number is the first of texts, 0 if that is none.
func number(texts ...string) int64 {
	if len(texts) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(texts[0], 10, 64)
	return n
}

func (l franzLibrary) groups(addr string) (names []string, err error) {
	err = l.with(addr, func(ctx context.Context, _ *kgo.Client, a *kadm.Client) error {
		all, err := a.ListGroups(ctx)
		names = all.Groups()
		return err
	})
	return names, err
}

// group asks for the newer protocol's description first.
func (l franzLibrary) group(addr, group string) (state string, members map[string][]int32, err error) {
	members = map[string][]int32{}
	err = l.with(addr, func(ctx context.Context, _ *kgo.Client, a *kadm.Client) error {
		newer, err := a.DescribeConsumerGroups(ctx, group)
		if err != nil {
			return err
		}
		if g := newer[group]; g.Err == nil {
			state = g.State
			for _, m := range g.Members {
				for _, parts := range m.Assignment {
					members[called(m.InstanceID)] = slices.Collect(maps.Keys(parts))
				}
			}
			return nil
		}
		all, err := a.DescribeGroups(ctx, group)
		if err != nil {
			return err
		}
		state = all[group].State
		for _, m := range all[group].Members {
			if has, ok := m.Assigned.AsConsumer(); ok && len(has.Topics) > 0 {
				members[called(m.InstanceID)] = has.Topics[0].Partitions
			}
		}
		return all[group].Err
	})
	return state, members, err
}

func called(instance *string) string {
	if instance == nil {
		return "~"
	}
	return *instance
}

func (l franzLibrary) committed(addr, group, topic string) (map[int32]int64, error) {
	offsets := map[int32]int64{}
	err := l.with(addr, func(ctx context.Context, _ *kgo.Client, a *kadm.Client) error {
		all, err := a.FetchOffsets(ctx, group)
		for p, o := range all[topic] {
			offsets[p] = o.At
		}
		return err
	})
	return offsets, err
}

func (l franzLibrary) commit(addr, group, topic string, partition int32, offset int64) error {
	return l.with(addr, func(ctx context.Context, _ *kgo.Client, a *kadm.Client) error {
		var o kadm.Offsets
		o.AddOffset(topic, partition, offset, -1)
		told, err := a.CommitOffsets(ctx, group, o)
		if err == nil {
			err = told.Error()
		}
		return err
	})
}

func (l franzLibrary) uncommit(addr, group, topic string, partition int32) error {
	return l.with(addr, func(ctx context.Context, _ *kgo.Client, a *kadm.Client) error {
		var s kadm.TopicsSet
		s.Add(topic, partition)
		told, err := a.DeleteOffsets(ctx, group, s)
		if err == nil {
			err = told.Error()
		}
		return err
	})
}

func (l franzLibrary) expel(addr, group, instance string) error {
	return l.with(addr, func(ctx context.Context, _ *kgo.Client, a *kadm.Client) error {
		told, err := a.LeaveGroup(ctx, kadm.LeaveGroup(group).InstanceIDs(instance))
		if err == nil {
			err = told.Error()
		}
		return err
	})
}

func (l franzLibrary) forget(addr, group string) error {
	return l.with(addr, func(ctx context.Context, _ *kgo.Client, a *kadm.Client) error {
		told, err := a.DeleteGroup(ctx, group)
		if err == nil {
			err = told.Err
		}
		return err
	})
}

func (l saramaLibrary) groups(addr string) (names []string, err error) {
	err = l.admin(addr, func(a sarama.ClusterAdmin) error {
		all, err := a.ListConsumerGroups()
		names = slices.Collect(maps.Keys(all))
		return err
	})
	return names, err
}

func (l saramaLibrary) group(addr, group string) (state string, members map[string][]int32, err error) {
	members = map[string][]int32{}
	err = l.admin(addr, func(a sarama.ClusterAdmin) error {
		all, err := a.DescribeConsumerGroups([]string{group})
		if err != nil {
			return err
		}
		state = all[0].State
		for _, m := range all[0].Members {
			has, err := m.GetMemberAssignment()
			if err != nil {
				return err
			}
			for _, parts := range has.Topics {
				members[called(m.GroupInstanceId)] = parts
			}
		}
		return nil
	})
	return state, members, err
}

func (l saramaLibrary) committed(addr, group, topic string) (map[int32]int64, error) {
	offsets := map[int32]int64{}
	err := l.admin(addr, func(a sarama.ClusterAdmin) error {
		all, err := a.ListConsumerGroupOffsets(group, nil)
		if err != nil {
			return err
		}
		for p, o := range all.Blocks[topic] {
			offsets[p] = o.Offset
		}
		return nil
	})
	return offsets, err
}

func (l saramaLibrary) commit(addr, group, topic string, partition int32, offset int64) error {
	return l.admin(addr, func(a sarama.ClusterAdmin) error {
		told, err := a.AlterConsumerGroupOffsets(group, map[string]map[int32]sarama.OffsetAndMetadata{
			topic: {partition: {Offset: offset, LeaderEpoch: -1}}}, nil)
		if err == nil && told.Errors[topic][partition] != sarama.ErrNoError {
			err = told.Errors[topic][partition]
		}
		return err
	})
}

func (l saramaLibrary) uncommit(addr, group, topic string, partition int32) error {
	return l.admin(addr, func(a sarama.ClusterAdmin) error { return a.DeleteConsumerGroupOffset(group, topic, partition) })
}

func (l saramaLibrary) expel(addr, group, instance string) error {
	return l.admin(addr, func(a sarama.ClusterAdmin) error {
		told, err := a.RemoveMemberFromConsumerGroup(group, []string{instance})
		if err == nil && len(told.Members) > 0 && told.Members[0].Err != sarama.ErrNoError {
			err = told.Members[0].Err
		}
		return err
	})
}

func (l saramaLibrary) forget(addr, group string) error {
	return l.admin(addr, func(a sarama.ClusterAdmin) error { return a.DeleteConsumerGroup(group) })
}
