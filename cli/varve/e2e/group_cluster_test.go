//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// reading is a member of a group that reads, and commits what it read.
type reading struct {
	client   *kgo.Client
	log      clientLog
	assigned atomic.Int64 // times that it was given partitions, or lost some
	commits  atomic.Int64
	failed   atomic.Int64 // commits that failed
	stop     context.CancelFunc
	done     sync.WaitGroup
}

// seenOffsets are the offsets of each partition that any member read.
type seenOffsets struct {
	mu  sync.Mutex
	all []map[int64]bool
}

func startReading(t *testing.T, seen *seenOffsets, seeds []string, group, topic string, opts ...kgo.Opt) *reading {
	t.Helper()
	r := &reading{}
	changed := func(context.Context, *kgo.Client, map[string][]int32) { r.assigned.Add(1) }
	c, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(seeds...), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(), kgo.OnPartitionsAssigned(changed), kgo.OnPartitionsRevoked(changed), kgo.OnPartitionsLost(changed),
		kgo.SessionTimeout(20 * time.Second), kgo.HeartbeatInterval(500 * time.Millisecond), kgo.FetchMaxWait(200 * time.Millisecond),
		kgo.WithLogger(&r.log),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r.client, r.stop = c, cancel
	r.done.Go(func() {
		for ctx.Err() == nil {
			f := c.PollFetches(ctx)
			seen.mu.Lock()
			f.EachRecord(func(rec *kgo.Record) { seen.all[rec.Partition][rec.Offset] = true })
			seen.mu.Unlock()
			if f.NumRecords() == 0 {
				continue
			}
			limited, cancel := context.WithTimeout(ctx, 20*time.Second)
			if err := c.CommitUncommittedOffsets(limited); err == nil {
				r.commits.Add(1)
			} else {
				r.failed.Add(1)
			}
			cancel()
		}
	})
	t.Cleanup(r.leave)
	return r
}

// tell prints the member's story of a kill after which commits stayed away for long, or it was given other partitions.
func (r *reading) tell(t *testing.T, begun time.Time, took time.Duration, given int64) {
	t.Helper()
	if r.assigned.Load() != given || took > slowResume {
		t.Log("what a member said:")
		r.log.story(t, begun, 10*time.Second)
	}
}

// leave ends the member, which says so.
func (r *reading) leave() {
	r.stop()
	r.done.Wait()
	r.client.Close()
}

// committedNeverBack looks at a group's offsets until stop and counts how often one is lower than before.
func committedNeverBack(t *testing.T, seeds []string, group string) (finish func() (looks, back int)) {
	c, err := kgo.NewClient(kgo.SeedBrokers(seeds...))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	looks, back := 0, 0
	var wg sync.WaitGroup
	wg.Go(func() {
		most := map[int32]int64{}
		for ctx.Err() == nil {
			limited, stop := context.WithTimeout(ctx, 10*time.Second)
			offsets, err := kadm.NewClient(c).FetchOffsets(limited, group)
			stop()
			if err == nil {
				looks++
				offsets.Each(func(o kadm.OffsetResponse) {
					if o.At < most[o.Partition] {
						back++
					}
					most[o.Partition] = max(most[o.Partition], o.At)
				})
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
	return func() (int, int) { cancel(); wg.Wait(); c.Close(); return looks, back }
}

// TestGroupSurvivesItsCoordinator: the agent that coordinates a group is killed again and again while two members read: commits go on at
// another agent, nobody rebalances, no committed offset goes back, nothing that was acked is missed. In both protocols.
// VARVE_GROUP_KILLS=50 for the numbers.
func TestGroupSurvivesItsCoordinator(t *testing.T) {
	t.Run("classic", func(t *testing.T) {
		survivesItsCoordinator(t, []kgo.Opt{kgo.Balancers(kgo.CooperativeStickyBalancer(), kgo.RangeBalancer())})
	})
	t.Run("consumer", func(t *testing.T) { survivesItsCoordinator(t, newer()) })
}

// slowResume is how long commits may stay away before the members' story is told.
const slowResume = 3 * time.Second

// killCoordinator kills an agent and starts it again, and returns after how long both members had committed again. before is how often they
// had been given partitions that nothing is said against.
func killCoordinator(t *testing.T, a *agent, members []*reading, before []int64) (took time.Duration) {
	t.Helper()
	had, given, refused := []int64{}, []int64{}, 0
	for _, m := range members {
		had, given, refused = append(had, m.commits.Load()), append(given, m.assigned.Load()), refused+m.log.refusals()
	}
	a.kill(t)
	begun := time.Now()
	for i, m := range members {
		for m.commits.Load() == had[i] {
			if time.Since(begun) > 30*time.Second {
				t.Fatalf("member %d has not committed for 30 s", i)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	took = time.Since(begun)
	a.start(t)
	time.Sleep(5 * time.Second)
	t.Logf("both members committed again %v after the kill of %s; since the first kill they were given other partitions %d and %d times",
		took.Round(time.Millisecond), a.name(), members[0].assigned.Load()-before[0], members[1].assigned.Load()-before[1])
	for i, m := range members {
		m.tell(t, begun, took, given[i])
		refused -= m.log.refusals()
	}
	if refused != 0 {
		t.Logf("%d times a member left by itself, refused by the dead agent: what came of that is not counted", -refused)
		for i, m := range members {
			before[i] += m.assigned.Load() - given[i]
		}
	}
	return took
}

func survivesItsCoordinator(t *testing.T, opts []kgo.Opt) {
	const topic, group, partitions = "work", "workers", 6
	f := newFleet(t, 3)
	createTopic(t, f.agents[0].addr, topic, partitions)
	l := startLoad(t, f.agents[0].addr, topic, partitions, kgo.SeedBrokers(f.seeds()...))
	seen := &seenOffsets{all: make([]map[int64]bool, partitions)}
	for i := range seen.all {
		seen.all[i] = map[int64]bool{}
	}
	members := []*reading{
		startReading(t, seen, f.seeds(), group, topic, opts...),
		startReading(t, seen, f.seeds(), group, topic, append(opts, kgo.InstanceID("static"))...),
	}
	time.Sleep(15 * time.Second)
	finish := committedNeverBack(t, f.seeds(), group)
	before := []int64{members[0].assigned.Load(), members[1].assigned.Load()}
	if before[0] == 0 || before[1] == 0 {
		t.Fatalf("assigned %v times", before)
	}
	var took []time.Duration
	for range int(setting(t, "VARVE_GROUP_KILLS", 3)) {
		took = append(took, killCoordinator(t, f.agents[coordinatorOf(t, f, group)], members, before))
	}
	t.Logf("%d kills, commits resumed: p50 %v, p99 %v, worst %v", len(took), percentile(took, 0.5), percentile(took, 0.99), percentile(took, 1))
	for i, m := range members {
		if n := m.assigned.Load() - before[i]; n != 0 {
			t.Errorf("member %d was given other partitions %d times", i, n)
		}
		t.Logf("member %d: %d commits, %d failed", i, m.commits.Load(), m.failed.Load())
	}
	if looks, back := finish(); back > 0 || looks == 0 {
		t.Errorf("%d looks at the offsets, %d times one went back", looks, back)
	}
	l.finish(t)
	time.Sleep(3 * time.Second)
	l.mu.Lock()
	defer l.mu.Unlock()
	missing := 0
	seen.mu.Lock()
	defer seen.mu.Unlock()
	for p, offsets := range l.acked {
		for _, a := range offsets {
			if !seen.all[p][a.offset] {
				missing++
			}
		}
	}
	if missing > 0 {
		t.Errorf("%d acked records were read by nobody", missing)
	}
}

// coordinatorOf is the index of the agent that coordinates a group.
func coordinatorOf(t *testing.T, f *fleet, group string) int {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(f.seeds()...))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 100 {
		found := kadm.NewClient(c).FindGroupCoordinators(t.Context(), group)
		for i, a := range f.agents {
			if found[group].Err == nil && strings.HasSuffix(a.addr, fmt.Sprintf(":%d", found[group].Port)) {
				return i
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("no coordinator")
	return -1
}

// TestGroupKcat: kcat reads in a group, commits, and reads on where it was, also after the agent was killed.
func TestGroupKcat(t *testing.T) {
	t.Parallel()
	kcat := needKcat(t)
	onStores(t, func(t *testing.T, a *agent) {
		createTopic(t, a.addr, "k", 3)
		for round := range 3 {
			in := strings.Repeat("line\n", 300)
			run := func(stdin string, args ...string) string {
				ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
				defer cancel()
				cmd := exec.CommandContext(ctx, kcat, append([]string{"-b", a.addr}, args...)...)
				cmd.Stdin = strings.NewReader(stdin)
				out, err := cmd.Output()
				if err != nil {
					t.Fatalf("kcat %q: %v", args, err)
				}
				return string(out)
			}
			run(in, "-P", "-t", "k")
			out := run("", "-q", "-e", "-X", "auto.offset.reset=earliest", "-G", "readers", "k")
			if n := strings.Count(out, "\n"); n != 300 {
				t.Fatalf("round %d: %d lines, want 300", round, n)
			}
			a.kill(t)
			a.start(t)
		}
	})
}
