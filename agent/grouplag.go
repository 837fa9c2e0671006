package agent

import (
	"context"
	"maps"
	"net"
	"strconv"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/varvelog/varve/agent/group"
	"github.com/varvelog/varve/agent/kafka"
)

// The bounds of watching groups.
const (
	lagEvery  = 30 * time.Second
	lagTime   = 10 * time.Second // for all agents to answer
	lagGroups = 1000             // groups with metrics of their own
	lagParts  = 100_000          // partitions that agents are asked for at once; groups beyond it have no lag
)

// groupLag is how far a group is behind, by topic. Partitions whose leader did not answer are left out.
type groupLag struct {
	group.Progress
	lag map[string]int64
}

// lags are the groups whose slots this agent leads: nobody else tells of them.
type lags struct {
	lag, age, members *prometheus.Desc
	now               atomic.Pointer[[]groupLag]
}

func newLags() *lags {
	return &lags{
		lag:     prometheus.NewDesc("varve_group_lag_records", "Records after what a group has committed, of partitions that it has committed; told by the agent that coordinates it.", []string{"group", "topic"}, nil),
		age:     prometheus.NewDesc("varve_group_commit_age_seconds", "Time since the last commit of a group.", []string{"group"}, nil),
		members: prometheus.NewDesc("varve_group_members", "Members of a group.", []string{"group"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (l *lags) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{l.lag, l.age, l.members} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (l *lags) Collect(ch chan<- prometheus.Metric) {
	all := l.now.Load()
	if all == nil {
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, g := range *all {
		gauge(l.members, float64(g.Members), g.Group)
		if !g.Last.IsZero() {
			gauge(l.age, max(0, time.Since(g.Last).Seconds()), g.Group)
		}
		for topic, n := range g.lag {
			gauge(l.lag, float64(n), g.Group, topic)
		}
	}
}

// watchGroups keeps the lags until ctx ends.
func (s *session) watchGroups(ctx context.Context) {
	tick := time.NewTicker(lagEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			limited, cancel := context.WithTimeout(ctx, lagTime)
			all := s.measure(limited)
			cancel()
			s.lags.now.Store(&all)
		case <-ctx.Done():
			return
		}
	}
}

// measure asks the leaders of all partitions that groups have committed.
func (s *session) measure(ctx context.Context) []groupLag {
	var all []groupLag
	asked := map[group.Partition]bool{}
	for _, p := range s.groups.Progress(ctx) {
		if len(all) < lagGroups && utf8.ValidString(p.Group) {
			all = append(all, groupLag{Progress: p, lag: map[string]int64{}})
			for part := range p.Offsets {
				if len(asked) < lagParts {
					asked[part] = true
				}
			}
		}
	}
	if len(asked) == 0 {
		return all
	}
	bounds := kafka.LogBounds{Start: map[string]map[int32]int64{}, End: map[string]map[int32]int64{}}
	for address, topics := range s.leadersOf(asked) {
		nc, err := s.net().Dial(ctx, address)
		if err == nil {
			var b kafka.LogBounds
			if b, err = kafka.AskBounds(ctx, nc, topics); err == nil {
				merge(bounds.Start, b.Start)
				merge(bounds.End, b.End)
			}
		}
		if err != nil && ctx.Err() == nil {
			s.log.Debug("the lag of groups is not known in part", "agent", address, "err", err)
		}
	}
	for i := range all {
		s.lagOf(&all[i], bounds)
	}
	return all
}

// leadersOf sorts partitions by who leads them: address, then topic.
func (s *session) leadersOf(asked map[group.Partition]bool) map[string]map[string][]int32 {
	by, view := map[string]map[string][]int32{}, s.member.View()
	for part := range asked {
		t := s.topics.LookupID(part.Topic)
		if t == nil || part.Index >= t.Partitions() || int(t.Slots[part.Index]) >= len(view.Slots) {
			continue
		}
		n, ok := view.Node(view.Slots[t.Slots[part.Index]].Node)
		if !ok {
			continue
		}
		at := net.JoinHostPort(n.Host, strconv.Itoa(int(n.Port)))
		if by[at] == nil {
			by[at] = map[string][]int32{}
		}
		by[at][t.Name] = append(by[at][t.Name], part.Index)
	}
	return by
}

func merge(into, from map[string]map[int32]int64) {
	for topic, parts := range from {
		if into[topic] == nil {
			into[topic] = map[int32]int64{}
		}
		maps.Copy(into[topic], parts)
	}
}

// lagOf sums up a group's lag: end of the log - max(committed, its beginning).
func (s *session) lagOf(g *groupLag, b kafka.LogBounds) {
	for part, offset := range g.Offsets {
		t := s.topics.LookupID(part.Topic)
		if t == nil {
			continue
		}
		start, known := b.Start[t.Name][part.Index]
		end, ok := b.End[t.Name][part.Index]
		if known && ok {
			g.lag[t.Name] += max(0, end-max(offset, start))
		}
	}
}
