//go:build synctests

package simtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/agent"
)

// TestGroupSim runs clusters whose members of groups, of both protocols, come, go and crash while agents are killed, frozen and cut off, and
// replies are lost: a seed each, as in TestClusterSim. `make sim WHAT=groups SEED=n`.
func TestGroupSim(t *testing.T) { eachSeed(t, groupSeeds, runGroupSeed) }

// groupSeeds are what the gate runs.
const groupSeeds = 8

func runGroupSeed(t *testing.T, seed uint64) {
	s := newSim(t, seed)
	s.change = func(c *agent.Config) { c.Settings = quickConsumers() }
	defer s.end()
	s.startAll()
	parts := s.topic("t", 6)
	w := s.workload()
	w.produce("p0", parts, 200*time.Millisecond)
	readers := s.workload()
	g := s.group(readers, "g", "t", strategies()[seed%4])
	g.watch("w0")
	for i := range 2 + seed%2 {
		g.join(fmt.Sprintf("m%d", i), "")
	}
	g.join("m9", "static")
	time.Sleep(10 * time.Second)
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.comeAndGo(seed, 40*time.Second)
	}()
	s.live(seed%7 == 4)
	<-done
	s.allReady(2 * time.Minute)
	time.Sleep(15 * time.Second) // more than the TTL
	w.stop(200 * time.Second)
	g.settle(parts, 200*time.Second)
	if newer := g.stable(parts, time.Minute); newer != (seed%4 == 0 || seed%4 == 3) {
		t.Errorf("the group ends in the newer protocol: %v", newer)
	}
	for _, m := range g.all() {
		m.leave()
	}
	readers.halt()
	s.settle(w, parts)
}

// quickConsumers has members of the newer protocol speak as often, and be missed as soon, as those that say so themselves.
func quickConsumers() map[string]string {
	return map[string]string{
		"group.consumer.min.heartbeat.interval.ms": "500", "group.consumer.heartbeat.interval.ms": "1000",
		"group.consumer.min.session.timeout.ms": "6000", "group.consumer.session.timeout.ms": "10000",
	}
}

// strategies are the ways in which members share partitions: the newer protocol, two in which one of them assigns, and a group that moves
// from the one to the other, where every second member speaks the newer protocol.
func strategies() []func(host string) []kgo.Opt {
	newer := []kgo.Opt{kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer())}
	eager := []kgo.Opt{kgo.Balancers(kgo.RangeBalancer())}
	cooperative := []kgo.Opt{kgo.Balancers(kgo.CooperativeStickyBalancer())}
	return []func(string) []kgo.Opt{
		func(string) []kgo.Opt { return newer },
		func(string) []kgo.Opt { return eager },
		func(string) []kgo.Opt { return cooperative },
		func(host string) []kgo.Opt {
			if host[len(host)-1]%2 == 0 {
				return newer
			}
			return cooperative
		},
	}
}

// all are the members that there are.
func (g *simGroup) all() (all []*simMember) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.members {
		all = append(all, m)
	}
	return all
}

// comeAndGo has members come, leave, crash and come back for a while.
func (g *simGroup) comeAndGo(seed uint64, d time.Duration) {
	end := time.Now().Add(d)
	for i := uint64(0); time.Now().Before(end); i++ {
		time.Sleep(time.Duration(3+(seed*7+i*5)%9) * time.Second)
		host := fmt.Sprintf("n%d", i)
		m := g.join(host, "")
		time.Sleep(time.Duration(2+(seed*3+i*11)%8) * time.Second)
		if (seed+i)%2 == 0 {
			m.leave()
		} else {
			m.crash()
		}
	}
}
