//go:build synctests

package simtest

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// stable: with a well cluster the members that there are, and nobody else, come to rest, and each partition has one owner (G5). It returns
// whether the group speaks the newer protocol then.
func (g *simGroup) stable(parts []tp, limit time.Duration) (newer bool) {
	g.w.s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	c := g.w.s.client("looks at " + g.name)
	for {
		newer, why := g.unrest(ctx, c, len(parts))
		if why == "" {
			return newer
		}
		if sleepFor(ctx, 500*time.Millisecond) != nil {
			g.w.s.violation("G5: %v after all was well: %s", limit, why)
			return newer
		}
	}
}

// unrest says what keeps the group from being Stable with all its members; empty: nothing.
func (g *simGroup) unrest(ctx context.Context, c *kgo.Client, parts int) (newer bool, why string) {
	limited, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	newer, state, has, err := describe(limited, kadm.NewClient(c), g.name, g.topic)
	switch {
	case err != nil:
		return newer, err.Error()
	case state != "Stable":
		return newer, "the group is " + state
	}
	owners, shared := map[int32]string{}, 0
	for member, all := range has {
		for _, p := range all {
			owners[p] = member
			shared++
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(has) != len(g.members) || len(owners) != parts || shared != parts {
		return newer, fmt.Sprintf("%d members, there should be %d; %d of %d partitions have an owner, %d assignments", len(has), len(g.members), len(owners), parts, shared)
	}
	return newer, ""
}

// describe tells a group's state and who has which partitions, in either protocol.
func describe(ctx context.Context, adm *kadm.Client, name, topic string) (newer bool, state string, has map[string][]int32, err error) {
	has = map[string][]int32{}
	all, err := adm.DescribeConsumerGroups(ctx, name)
	if err != nil {
		return false, "", nil, err
	}
	if g := all[name]; g.Err == nil {
		for _, m := range g.Members {
			for p := range m.Assignment[topic] {
				has[m.MemberID] = append(has[m.MemberID], p)
			}
		}
		return true, g.State, has, missing(has, len(g.Members))
	}
	classic, err := adm.DescribeGroups(ctx, name)
	if err != nil {
		return false, "", nil, err
	}
	g := classic[name]
	for _, m := range g.Members {
		if a, ok := m.Assigned.AsConsumer(); ok {
			for _, t := range a.Topics {
				has[m.MemberID] = append(has[m.MemberID], t.Partitions...)
			}
		}
	}
	if g.Err == nil {
		g.Err = missing(has, len(g.Members))
	}
	return false, g.State, has, g.Err
}

// missing is an error if a member has no partitions: there are more than members.
func missing(has map[string][]int32, members int) error {
	if len(has) == members {
		return nil
	}
	return fmt.Errorf("of %d members %d have partitions: %v", members, len(has), has)
}
