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
	stop context.CancelFunc
	done chan struct{}

	mu     sync.Mutex
	acks   [][]time.Time // by partition
	failed error
}

func startPulse(t *testing.T, seeds []string, topic string, partitions int) *pulse {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	p := &pulse{stop: stop, done: make(chan struct{}), acks: make([][]time.Time, partitions)}
	p.cl = dial(t, seeds[0], kgo.SeedBrokers(seeds...), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
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

// TestClusterPauses prints how long a partition acks nothing while its slot moves, and while an agent stops, with kgo's own
// settings. VARVE_CLUSTER_PAUSES says how often each; without it the test is left out, since it proves no more than others do.
func TestClusterPauses(t *testing.T) {
	rounds, _ := strconv.Atoi(os.Getenv("VARVE_CLUSTER_PAUSES"))
	if rounds == 0 {
		t.Log("LEFT OUT: VARVE_CLUSTER_PAUSES is not set")
		return
	}
	f := newFleet(t, 3)
	const slots = 32 // one partition in each
	createTopic(t, f.agents[0].addr, "pause", slots)
	p := startPulse(t, f.seeds(), "pause", slots)
	f.awaitEven(t, 3)
	time.Sleep(3 * time.Second)
	from := time.Now()
	time.Sleep(4 * time.Second)
	t.Logf("with nothing going on: %v", p.worst(from, time.Now()).Round(time.Millisecond))

	var moves []time.Duration
	for round := range rounds {
		slot := (7*round + 1) % slots
		from := f.show(t, "slots").Slots[slot].Agent
		to := fmt.Sprintf("a%d", int(from[1]-'0')%len(f.agents)+1)
		begun := time.Now()
		f.ok(t, "cluster", "move", fmt.Sprint(slot), to)
		commanded := time.Since(begun)
		time.Sleep(2 * time.Second)
		moves = append(moves, p.worst(begun, begun.Add(commanded+time.Second)))
		t.Logf("slot %d from %s to %s: the command took %v, the longest pause was %v", slot, from, to, commanded.Round(time.Millisecond), moves[round].Round(time.Millisecond))
	}
	logPauses(t, "moves", moves)

	var stops, exits []time.Duration
	for round := range (rounds + 1) / 2 {
		a := f.agents[round%3]
		begun := time.Now()
		a.stop(t)
		exits = append(exits, time.Since(begun))
		time.Sleep(8 * time.Second)
		stops = append(stops, p.worst(begun, begun.Add(2*time.Second)))
		t.Logf("%s stopped in %v, the longest pause was %v", a.name(), exits[round].Round(time.Millisecond), stops[round].Round(time.Millisecond))
		a.start(t)
		f.awaitEven(t, 3)
		time.Sleep(3 * time.Second)
	}
	logPauses(t, "SIGTERMs", stops)
	t.Logf("the process was gone after p50 %v, worst %v", percentile(exits, 0.5), slices.Max(exits).Round(time.Millisecond))
	p.finish(t)
}
