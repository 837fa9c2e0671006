//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// pulse is a producer with kgo's own settings that notes when each partition acked.
type pulse struct {
	cl   *kgo.Client
	log  *clientLog
	stop context.CancelFunc
	done chan struct{}

	mu     sync.Mutex
	acks   [][]time.Time // by partition
	failed error
}

func startPulse(t *testing.T, seeds []string, topic string, partitions int) *pulse {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	p := &pulse{log: &clientLog{}, stop: stop, done: make(chan struct{}), acks: make([][]time.Time, partitions)}
	p.cl = dial(t, seeds[0], kgo.SeedBrokers(seeds...), kgo.WithLogger(p.log), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	go func() {
		defer close(p.done)
		for number := 0; ctx.Err() == nil; number++ {
			for n := range partitions {
				p.cl.Produce(context.Background(), &kgo.Record{Partition: int32(n), Value: fmt.Append(nil, number)}, func(_ *kgo.Record, err error) {
					p.mu.Lock()
					defer p.mu.Unlock()
					p.acks[n] = append(p.acks[n], time.Now())
					if err != nil {
						p.failed = err
					}
				})
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	return p
}

// worst returns the longest time between two acks of a partition, of those of which one end lies in [from, to).
func (p *pulse) worst(from, to time.Time) (worst time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, acks := range p.acks {
		i, _ := slices.BinarySearchFunc(acks, from, time.Time.Compare)
		for i = max(i, 1); i < len(acks) && acks[i-1].Before(to); i++ {
			worst = max(worst, acks[i].Sub(acks[i-1]))
		}
		if n := len(acks); n > 0 && acks[n-1].Before(to) && i == n { // none since
			worst = max(worst, to.Sub(acks[n-1]))
		}
	}
	return worst
}

func (p *pulse) finish(t *testing.T) {
	t.Helper()
	p.stop()
	<-p.done
	if err := p.cl.Flush(t.Context()); err != nil || p.failed != nil {
		t.Errorf("a record was given up: %v, %v", p.failed, err)
	}
}

func logPauses(t *testing.T, what string, took []time.Duration) {
	t.Logf("%s, %d times: longest pause of a partition p50 %v, p99 %v, worst %v", what, len(took), percentile(took, 0.5), percentile(took, 0.99), slices.Max(took).Round(time.Millisecond))
}

// slowPause is a pause worth the story of what the agents and the client said.
const slowPause = time.Second

// tell prints the story of a pause if it was a slow one.
func (p *pulse) tell(t *testing.T, f *fleet, begun time.Time, pause time.Duration) {
	t.Helper()
	if pause > slowPause {
		f.story(t, begun)
		p.log.story(t, begun, pause+time.Second)
	}
}

// TestClusterPauses prints how long a partition acks nothing while its slot moves, while an agent stops, and when one is killed, with
// kgo's own settings. VARVE_CLUSTER_PAUSES says how often each; without it the test is left out, since it proves no more than others do.
func TestClusterPauses(t *testing.T) {
	rounds, _ := strconv.Atoi(os.Getenv("VARVE_CLUSTER_PAUSES"))
	if rounds == 0 {
		t.Log("LEFT OUT: VARVE_CLUSTER_PAUSES is not set")
		return
	}
	f := newFleet(t, 3, "--log-level", "debug")
	const slots = 32 // one partition in each
	createTopic(t, f.agents[0].addr, "pause", slots)
	p := startPulse(t, f.seeds(), "pause", slots)
	f.awaitEven(t, 3)
	time.Sleep(3 * time.Second)
	from := time.Now()
	time.Sleep(4 * time.Second)
	t.Logf("with nothing going on: %v", p.worst(from, time.Now()).Round(time.Millisecond))
	p.moves(t, f, rounds, slots)
	exits := []time.Duration{}
	p.ends(t, f, "SIGTERM", rounds, func(a *agent) {
		begun := time.Now()
		a.stop(t)
		exits = append(exits, time.Since(begun))
	})
	t.Logf("the process was gone after p50 %v, worst %v", percentile(exits, 0.5), slices.Max(exits).Round(time.Millisecond))
	p.ends(t, f, "SIGKILL", rounds, func(a *agent) { a.kill(t) })
	p.finish(t)
}

// moves moves slots, one after the other.
func (p *pulse) moves(t *testing.T, f *fleet, rounds, slots int) {
	t.Helper()
	var all []time.Duration
	for round := range rounds {
		slot := (7*round + 1) % slots
		from := f.show(t, "slots").Slots[slot].Agent
		to := fmt.Sprintf("a%d", int(from[1]-'0')%len(f.agents)+1)
		begun := time.Now()
		f.ok(t, "cluster", "move", fmt.Sprint(slot), to)
		commanded := time.Since(begun)
		time.Sleep(2 * time.Second)
		all = append(all, p.worst(begun, begun.Add(commanded+time.Second)))
		t.Logf("slot %d from %s to %s: the command took %v, the longest pause was %v", slot, from, to, commanded.Round(time.Millisecond), all[round].Round(time.Millisecond))
		p.tell(t, f, begun, all[round])
	}
	logPauses(t, "moves", all)
}

// ends ends one agent after the other, in some way, and starts it again.
func (p *pulse) ends(t *testing.T, f *fleet, how string, rounds int, end func(*agent)) {
	t.Helper()
	var all, starts []time.Duration
	for round := range rounds {
		a := f.agents[round%len(f.agents)]
		p.calm(t)
		begun := time.Now()
		end(a)
		time.Sleep(3 * time.Second)
		p.calm(t)
		all = append(all, p.worst(begun, begun.Add(2*time.Second)))
		t.Logf("%s of %s: the longest pause was %v", how, a.name(), all[round].Round(time.Millisecond))
		p.tell(t, f, begun, all[round])
		begun = time.Now()
		a.start(t)
		f.awaitEven(t, len(f.agents))
		time.Sleep(2 * time.Second)
		p.calm(t)
		starts = append(starts, p.worst(begun, time.Now()))
		t.Logf("%s is back and leads its share: the longest pause was %v", a.name(), starts[round].Round(time.Millisecond))
		p.tell(t, f, begun, starts[round])
	}
	logPauses(t, how+"s", all)
	logPauses(t, "starts", starts)
}

// calm waits until every partition has acked what was produced since the call.
func (p *pulse) calm(t *testing.T) {
	t.Helper()
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		p.mu.Lock()
		late := slices.IndexFunc(p.acks, func(acks []time.Time) bool {
			return len(acks) == 0 || acks[len(acks)-1].Before(begun.Add(500*time.Millisecond))
		})
		p.mu.Unlock()
		if late < 0 {
			return
		}
		if time.Since(begun) > time.Minute {
			t.Fatalf("partition %d has acked nothing for a minute", late)
		}
	}
}
