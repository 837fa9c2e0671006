//go:build synctests

package simtest

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The group tests are built with the tag synctests, with which kgo waits for its own locks in a way that lets the bubble's clock go on.

// simGroup is a group whose members are kgo clients, and what is checked of it: no partition has two owners in a generation or epoch (G1), no
// committed offset goes back on its own, and none that was acked is lost (G2), at the end everything was read and committed (G3), commits are
// refused only for what may happen to a good member (G4), and members that stay reach Stable (G5).
type simGroup struct {
	w        *workload
	name     string
	topic    string
	strategy func(host string) []kgo.Opt // of a member: how it assigns, or that agents do

	mu      sync.Mutex
	owners  map[owned]string         // member, by generation and partition
	acked   map[int32]int64          // the highest offset whose commit was acked
	read    map[int32]map[int64]bool // by anybody
	members map[string]*simMember    // by the name of their host
	commits int
	refused int
	looks   int
}

type owned struct {
	generation int32
	partition  int32
}

// simMember is one run of a member.
type simMember struct {
	g        *simGroup
	host     string
	client   *kgo.Client
	stop     context.CancelFunc
	over     chan struct{}
	mu       sync.Mutex
	has      map[int32]bool
	assigned int         // times that it was told what it has
	dead     atomic.Bool // it reaches nothing any more
}

func (s *clusterSim) group(w *workload, name, topic string, strategy func(host string) []kgo.Opt) *simGroup {
	return &simGroup{
		w: w, name: name, topic: topic, strategy: strategy, owners: map[owned]string{}, acked: map[int32]int64{}, read: map[int32]map[int64]bool{}, members: map[string]*simMember{},
	}
}

// join starts a member on a host; instance names a static one.
func (g *simGroup) join(host, instance string) *simMember {
	m := &simMember{g: g, host: host, over: make(chan struct{}), has: map[int32]bool{}}
	opts := []kgo.Opt{
		kgo.Dialer(m.dial), kgo.ConsumerGroup(g.name), kgo.ConsumeTopics(g.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(),
		kgo.SessionTimeout(10 * time.Second), kgo.RebalanceTimeout(15 * time.Second), kgo.HeartbeatInterval(time.Second), kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.OnPartitionsAssigned(m.given), kgo.OnPartitionsRevoked(m.taken), kgo.OnPartitionsLost(m.taken),
	}
	opts = append(opts, g.strategy(host)...)
	if instance != "" {
		opts = append(opts, kgo.InstanceID(instance))
	}
	m.client = g.w.s.client(host, opts...)
	ctx, stop := context.WithCancel(g.w.ctx)
	m.stop = stop
	g.mu.Lock()
	g.members[host] = m
	g.mu.Unlock()
	g.w.goes(func() {
		defer close(m.over)
		m.run(ctx)
	})
	return m
}

func (m *simMember) dial(ctx context.Context, _, address string) (net.Conn, error) {
	if m.dead.Load() {
		return nil, errDead
	}
	return m.g.w.s.net.host(m.host).Dial(ctx, address)
}

// given is told of every rebalance that the member comes through, with what is new to it.
func (m *simMember) given(_ context.Context, c *kgo.Client, news map[string][]int32) {
	id, generation := c.GroupMetadata()
	m.mu.Lock()
	m.assigned++
	for _, p := range news[m.g.topic] {
		m.has[p] = true
	}
	all := slices.Sorted(maps.Keys(m.has))
	m.mu.Unlock()
	m.g.w.s.note("%s has %v in generation %d", m.host, all, generation)
	m.g.mu.Lock()
	defer m.g.mu.Unlock()
	for _, p := range all {
		at := owned{generation, p}
		if other := m.g.owners[at]; other != "" && other != id {
			m.g.w.s.violation("G1: partition %d has two owners in generation %d: %s and %s", p, generation, other, id)
		}
		m.g.owners[at] = id
	}
}

func (m *simMember) taken(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range gone[m.g.topic] {
		delete(m.has, p)
	}
}

// run reads and commits until the member ends.
func (m *simMember) run(ctx context.Context) {
	for ctx.Err() == nil {
		fs := m.client.PollFetches(ctx)
		m.g.took(fs)
		if fs.NumRecords() == 0 {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, time.Minute)
		m.client.CommitOffsetsSync(limited, m.client.UncommittedOffsets(), m.g.committed)
		cancel()
	}
}

// leave ends a member that says so.
func (m *simMember) leave() {
	m.end()
	m.client.Close()
}

// crash ends a member that says nothing: its host is cut off first.
func (m *simMember) crash() {
	m.dead.Store(true)
	m.g.w.s.net.kill(m.host)
	m.end()
}

func (m *simMember) end() {
	m.stop()
	<-m.over
	m.g.mu.Lock()
	delete(m.g.members, m.host)
	m.g.mu.Unlock()
}

func (g *simGroup) took(fs kgo.Fetches) {
	g.mu.Lock()
	defer g.mu.Unlock()
	fs.EachRecord(func(r *kgo.Record) {
		if g.read[r.Partition] == nil {
			g.read[r.Partition] = map[int64]bool{}
		}
		g.read[r.Partition][r.Offset] = true
	})
}

// committed hears of the answer to a commit.
func (g *simGroup) committed(_ *kgo.Client, req *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.refused++
		return
	}
	sent := map[int32]int64{}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			sent[p.Partition] = p.Offset
		}
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				g.refused++
				g.mayRefuse(p.ErrorCode)
				continue
			}
			g.commits++
			if o, ok := sent[p.Partition]; ok {
				g.acked[p.Partition] = max(g.acked[p.Partition], o)
			}
		}
	}
}

// mayRefuse: what a commit of a member that does nothing wrong may be told.
func (g *simGroup) mayRefuse(code int16) {
	for _, ok := range []*kerr.Error{
		kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.StaleMemberEpoch, kerr.RebalanceInProgress, kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable,
		kerr.UnknownServerError,
	} {
		if ok.Code == code {
			return
		}
	}
	g.w.s.violation("G4: a commit is refused: %v", kerr.ErrorForCode(code))
}

// watch looks at the group's offsets all the time, as an administrator would.
func (g *simGroup) watch(host string) {
	c := g.w.s.client(host)
	g.w.goes(func() {
		most := map[int32]int64{}
		for g.w.ctx.Err() == nil {
			g.look(g.w.ctx, c, most)
			if sleepFor(g.w.ctx, 300*time.Millisecond) != nil {
				return
			}
		}
	})
}

// look fetches the offsets once. Each must be as high as it was at the look before, and as the last commit that had been acked.
func (g *simGroup) look(ctx context.Context, c *kgo.Client, most map[int32]int64) bool {
	g.mu.Lock()
	floor := maps.Clone(g.acked)
	g.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	told, err := kadm.NewClient(c).FetchOffsets(limited, g.name)
	if err != nil || told.Error() != nil {
		return false
	}
	now := map[int32]int64{}
	told.Each(func(o kadm.OffsetResponse) { now[o.Partition] = o.At })
	g.mu.Lock()
	g.looks++
	g.mu.Unlock()
	for p, want := range floor {
		if at, ok := now[p]; !ok || at < want {
			g.w.s.violation("G2: partition %d: commit of %d was acked, the group has %d (%v)", p, want, at, ok)
		}
	}
	for p, before := range most {
		if at, ok := now[p]; !ok || at < before {
			g.w.s.violation("G2: partition %d: the group had %d, now has %d (%v)", p, before, at, ok)
		}
	}
	maps.Copy(most, now)
	return true
}

// settle: with a well cluster the members read and commit everything that was acked.
func (g *simGroup) settle(parts []tp, limit time.Duration) {
	g.w.s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for {
		left := g.left(parts)
		if left == "" {
			break
		}
		if sleepFor(ctx, 200*time.Millisecond) != nil {
			g.w.s.violation("G3: %v after all was well: %s", limit, left)
			return
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.w.s.t.Logf("group %s: %d generations, %d partitions committed, %d refused, %d looks", g.name, len(generations(g.owners)), g.commits, g.refused, g.looks)
}

func generations(owners map[owned]string) map[int32]bool {
	all := map[int32]bool{}
	for o := range owners {
		all[o.generation] = true
	}
	return all
}

// left says what was acked to producers and not read, or not committed.
func (g *simGroup) left(parts []tp) string {
	ends := map[int32]int64{}
	h := g.w.s.seen
	h.mu.Lock()
	for _, x := range h.sends {
		if x.topic == g.topic && x.acked > 0 {
			ends[x.partition] = max(ends[x.partition], x.offset+1)
		}
	}
	h.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range parts {
		if g.acked[p.partition] < ends[p.partition] {
			return fmt.Sprintf("%v: committed %d of %d", p, g.acked[p.partition], ends[p.partition])
		}
		for o := range ends[p.partition] {
			if !g.read[p.partition][o] {
				return fmt.Sprintf("%v: %d was read by nobody", p, o)
			}
		}
	}
	return ""
}
