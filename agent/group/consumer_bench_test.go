package group

import (
	"fmt"
	"testing"
	"time"
)

// settledCrowd is a settled group of n members that read a topic of parts partitions.
func settledCrowd(b *testing.B, n int, parts int32) (*Consumer, time.Time) {
	now := time.Unix(1_700_000_000, 0)
	g := NewConsumer(ConsumerBounds{Session: 45 * time.Second, Heartbeat: 5 * time.Second, MaxMembers: n, MaxBytes: 1 << 30, AssignInterval: time.Second},
		NewCatalogue(1, []TopicInfo{{"t", topicID(1), parts}}))
	for i := range n {
		g.Step(ConsumerBeat{Member: fmt.Sprint(i), Names: []string{"t"}, Owned: Parts{}, Rebalance: time.Minute}, now)
	}
	now = now.Add(time.Second)
	g.Step(Tick{}, now)
	for range 6 {
		for i := range n {
			m := g.members[fmt.Sprint(i)]
			g.Step(ConsumerBeat{Member: m.id, Epoch: m.epoch, Rebalance: -1, Owned: m.assigned.parts()}, now)
		}
	}
	if g.State() != "Stable" {
		b.Fatalf("the group is %s", g.State())
	}
	return g, now
}

// BenchmarkConsumerBeat is a heartbeat when nothing happens.
func BenchmarkConsumerBeat(b *testing.B) {
	for _, n := range []int{3, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			g, now := settledCrowd(b, n, int32(n)*100)
			m := g.members["1"]
			b.ReportAllocs()
			for b.Loop() {
				g.Step(ConsumerBeat{To: m, Member: m.id, Epoch: m.epoch, Rebalance: -1}, now)
			}
		})
	}
}

// BenchmarkConsumerRebalance is what one member's going costs in a group of 1,000 with 100,000 partitions: the target, then two heartbeats
// of everybody.
func BenchmarkConsumerRebalance(b *testing.B) {
	g, now := settledCrowd(b, 1000, 100_000)
	b.ReportAllocs()
	saves, began := 0, cpuTime()
	step := func(e Event) {
		if g.Step(e, now).Save {
			saves++
		}
	}
	for i := 0; b.Loop(); i++ {
		now = now.Add(time.Second)
		id := g.order[i%len(g.order)]
		step(ConsumerBeat{Member: id, Epoch: leaving, Rebalance: -1})
		step(ConsumerBeat{Member: id, Names: []string{"t"}, Owned: Parts{}, Rebalance: time.Minute})
		now = now.Add(time.Second)
		step(Tick{})
		for range 3 {
			for _, id := range g.order {
				m := g.members[id]
				step(ConsumerBeat{Member: id, Epoch: m.epoch, Rebalance: -1, Owned: m.assigned.parts()})
			}
		}
		if g.State() != "Stable" {
			b.Fatalf("the group is %s", g.State())
		}
	}
	b.ReportMetric(float64(saves)/float64(b.N), "saves/op")
	b.ReportMetric(float64((cpuTime()-began).Microseconds())/1000/float64(b.N), "cpu-ms/op")
}

// BenchmarkConsumerRecord is what it takes to pack such a group for the store.
func BenchmarkConsumerRecord(b *testing.B) {
	g, _ := settledCrowd(b, 1000, 100_000)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		_, members := g.Record()
		n = 0
		for _, m := range members {
			for _, p := range m.Protocols {
				n += len(p.Metadata)
			}
			n += len(m.Assignment)
		}
	}
	b.ReportMetric(float64(n), "bytes")
}
