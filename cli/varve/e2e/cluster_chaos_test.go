//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/localstack/servers"
)

// spoiled is an agent all of whose links go through proxies: to the store, to the table, from its clients, and from its peers, unless
// these are to find out by a refused redial that it is gone: a proxy refuses nobody.
type spoiled struct {
	*agent
	links map[string]*proxy
	peers *[]*proxy // of all agents
}

// dialled returns the proxies that links of peers go through: of two agents one is dialled, so nobody may go through an agent's own.
func (s *spoiled) dialled() []*proxy {
	return slices.DeleteFunc(slices.Clone(*s.peers), func(p *proxy) bool { return !p.used() })
}

// newSpoiled starts an agent that listens on 127.0.0.1 and is known as 127.0.0.2, where its proxies are.
func newSpoiled(t *testing.T, name string, objects, facts servers.Endpoint, peered bool) *spoiled {
	t.Helper()
	s := &spoiled{links: map[string]*proxy{
		"store": newProxy(t, "127.0.0.1:0", host(t, objects.HTTP)),
		"table": newProxy(t, "127.0.0.1:0", host(t, facts.HTTP)),
	}}
	kafka, peer := freePort(t), freePort(t)
	s.links["client"] = newProxy(t, "127.0.0.2:"+kafka, "127.0.0.1:"+kafka)
	told := "127.0.0.1:" + peer
	if peered {
		told = "127.0.0.2:" + peer
		s.links["peer"] = newProxy(t, told, "127.0.0.1:"+peer)
	}
	s.agent = newAgent(t, objects.Env(), "agent", "--name", name, "--slots", "32",
		"--store", strings.ReplaceAll(objects.StoreURL, url.QueryEscape(objects.HTTP), url.QueryEscape("http://"+s.links["store"].ln.Addr().String())),
		"--meta", strings.ReplaceAll(facts.MetaURL, url.QueryEscape(facts.HTTP), url.QueryEscape("http://"+s.links["table"].ln.Addr().String())),
		"--advertise", "127.0.0.2:"+kafka, "--peer", "127.0.0.1:"+peer, "--advertise-peer", told)
	if !strings.Contains(strings.Join(s.args, " "), url.QueryEscape(s.links["store"].ln.Addr().String())) {
		t.Fatalf("the store is not reached through its proxy: %q", s.args)
	}
	s.addr = "127.0.0.1:" + kafka
	s.start(t)
	return s
}

func host(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// mishap is something that happens to an agent, and is over when it returns.
type mishap struct {
	name string
	do   func(t *testing.T, rnd *rand.Rand, s *spoiled)
}

func pauseBetween(rnd *rand.Rand, from, to time.Duration) { time.Sleep(from + rand.N(to-from)) }

// signals are what happens to a process.
var signals = []mishap{
	{"SIGKILL", func(t *testing.T, rnd *rand.Rand, s *spoiled) {
		s.kill(t)
		pauseBetween(rnd, 0, 4*time.Second)
		s.start(t)
	}},
	{"SIGTERM", func(t *testing.T, rnd *rand.Rand, s *spoiled) {
		s.stop(t)
		pauseBetween(rnd, 0, 2*time.Second)
		s.start(t)
	}},
	{"SIGSTOP for 20 s", func(t *testing.T, rnd *rand.Rand, s *spoiled) {
		_ = s.cmd.Process.Signal(syscall.SIGSTOP)
		time.Sleep(20 * time.Second)
		_ = s.cmd.Process.Signal(syscall.SIGCONT)
	}},
}

// spoil is what happens to a link.
func spoil(link string, m mode) func(*testing.T, *rand.Rand, *spoiled) {
	return func(_ *testing.T, rnd *rand.Rand, s *spoiled) {
		p := s.links[link]
		if link == "peer" {
			all := s.dialled()
			if len(all) == 0 {
				all = *s.peers
			}
			p = all[rnd.IntN(len(all))]
		}
		p.set(m)
		pauseBetween(rnd, time.Second, 14*time.Second)
		p.set(mode{})
	}
}

// mishaps are all that can happen whose name contains only: each way to spoil each link, and each signal several times, or these would be rare.
func mishaps(only string) (all []mishap) {
	const late = 200 * time.Millisecond
	for _, link := range []string{"client", "peer", "store", "table"} {
		for _, m := range []struct {
			name string
			mode mode
		}{
			{"cut", mode{up: true, down: true}}, {"cut one way", mode{up: true}}, {"cut the other way", mode{down: true}}, {"reset", mode{reset: true}},
			{"delayed", mode{delayUp: late, delayDown: late}}, {"delayed one way", mode{delayUp: late}}, {"delayed the other way", mode{delayDown: late}},
		} {
			all = append(all, mishap{"link to " + link + " " + m.name, spoil(link, m.mode)})
		}
		all = append(all, signals...)
	}
	return slices.DeleteFunc(all, func(m mishap) bool { return !strings.Contains(m.name, only) })
}

// deal returns mishaps in the order in which they are to come in a round. Five that a round has before all others are those that
// follow on the five of the round before, so that rounds in a row, a minute each, leave none out.
func deal(rnd *rand.Rand, round uint64, only string) []mishap {
	all := mishaps(only)
	if len(all) == 0 {
		return nil
	}
	rand.New(rand.NewPCG(0, 0)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	first := int(round % uint64(len(all)) * 5 % uint64(len(all)))
	all = slices.Concat(all[first:], all[:first])
	for _, part := range [][]mishap{all[:min(5, len(all))], all[min(5, len(all)):]} {
		rnd.Shuffle(len(part), func(i, j int) { part[i], part[j] = part[j], part[i] })
	}
	return all
}

// TestDeal: eight rounds in a row that come to five mishaps each leave nothing out, wherever they begin.
func TestDeal(t *testing.T) {
	for seed := range uint64(20) {
		dealt := map[string]bool{}
		for round := range uint64(8) {
			for _, m := range deal(rand.New(rand.NewPCG(seed, round)), seed+round, "")[:5] {
				dealt[m.name] = true
			}
		}
		for _, m := range mishaps("") {
			if !dealt[m.name] {
				t.Errorf("rounds from %d: no %s", seed, m.name)
			}
		}
	}
}

// TestClusterChaos: three agents behind proxies, to which things happen, sometimes to two at once, while idempotent producers and readers of
// franz-go and Java go on. In the end everything that was acked is there, once and in order, and the readers saw the log as it is.
func TestClusterChaos(t *testing.T) {
	seed := setting(t, "VARVE_SEED", uint64(time.Now().UnixNano()))
	rounds := setting(t, "VARVE_CHAOS_ROUNDS", 1)
	seconds := int(setting(t, "VARVE_CHAOS_SECONDS", 20))
	only := os.Getenv("VARVE_CHAOS_ONLY") // part of the names of what may happen
	t.Logf("again: VARVE_SEED=%d VARVE_CHAOS_ROUNDS=%d VARVE_CHAOS_SECONDS=%d", seed, rounds, seconds)
	happened := map[string]int{}
	for round := range rounds {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, round))
			for _, m := range chaos(t, rnd, deal(rnd, seed+round, only), time.Duration(seconds)*time.Second) {
				happened[m.name]++
			}
		})
	}
	for _, name := range slices.Sorted(maps.Keys(happened)) {
		t.Logf("%4d times: %s", happened[name], name)
	}
}

// chaos lets things happen in turn for a while, each to a random agent, and now and then the next one to another agent meanwhile.
func chaos(t *testing.T, rnd *rand.Rand, coming []mishap, length time.Duration) (happened []mishap) {
	agents, seeds := spoiledFleet(t, rnd)
	const partitions = 12
	createTopic(t, seeds[0], "chaos", partitions)
	l := startLoad(t, seeds[0], "chaos", partitions, kgo.SeedBrokers(seeds...), kgo.ProduceRequestTimeout(5*time.Second), kgo.RequestTimeoutOverhead(3*time.Second))
	r := startReader(t, seeds, "chaos", l)
	createTopic(t, seeds[0], "chaos-java", partitions)
	j := startJavaLoad(t, seeds, "chaos-java", partitions, 1<<20, 1024)
	for deadline := time.Now().Add(length); time.Now().Before(deadline) && !t.Failed(); {
		pauseBetween(rnd, 0, 3*time.Second)
		rnd.Shuffle(len(agents), func(i, j int) { agents[i], agents[j] = agents[j], agents[i] })
		var under sync.WaitGroup
		for _, s := range agents[:1+rnd.IntN(4)/3] {
			if len(coming) == 0 {
				continue
			}
			m, rnd := coming[len(happened)%len(coming)], rand.New(rand.NewPCG(rnd.Uint64(), 0))
			happened = append(happened, m)
			under.Go(func() { // a start that fails ends this alone; the test is over then, too
				before := l.count()
				m.do(t, rnd, s)
				t.Logf("%s: %s; %d records acked meanwhile", s.name(), m.name, l.count()-before)
			})
		}
		under.Wait()
	}
	t.Logf("healed; every partition acked again after %v", l.outage(t, time.Minute).Round(time.Millisecond))
	l.finish(t)
	l.check(t, seeds[0], "chaos")
	r.finish(t, l)
	t.Logf("franz-go: %d records acked; Java: %d", l.count(), j.finish(t))
	return happened
}

// spoiledFleet starts three agents and returns once each is seen to use its proxies.
func spoiledFleet(t *testing.T, rnd *rand.Rand) (agents []*spoiled, seeds []string) {
	t.Helper()
	objects, facts := servers.MinIO(t), servers.DynamoDB(t)
	for i := range 3 {
		s := newSpoiled(t, fmt.Sprintf("a%d", i+1), objects, facts, i < 2 || rnd.IntN(2) == 0)
		agents, seeds = append(agents, s), append(seeds, s.links["client"].ln.Addr().String())
	}
	var peers []*proxy
	for _, s := range agents {
		s.peers = &peers
		for link, p := range s.links {
			if link == "peer" {
				peers = append(peers, p)
			} else {
				await(t, s.name()+"'s "+link+" through its proxy", func() bool { return link == "client" || p.used() })
			}
		}
	}
	await(t, "a link of peers through a proxy", func() bool { return len(agents[0].dialled()) > 0 })
	return agents, seeds
}

// reader follows a topic from its beginning, without a group.
type reader struct {
	cl    *kgo.Client
	width int            // see load
	next  []atomic.Int64 // by partition, the number that must come
	bad   chan error
	stop  context.CancelFunc
	done  chan struct{}
}

// startReader begins to read what l writes.
func startReader(t *testing.T, seeds []string, topic string, l *load) *reader {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r := &reader{width: l.width, next: make([]atomic.Int64, l.partitions), bad: make(chan error, 1), stop: stop, done: make(chan struct{})}
	r.cl = dial(t, seeds[0], kgo.SeedBrokers(seeds...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.MetadataMinAge(50*time.Millisecond), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }))
	go r.run(ctx)
	return r
}

func (r *reader) run(ctx context.Context) {
	defer close(r.done)
	for ctx.Err() == nil {
		r.cl.PollFetches(ctx).EachRecord(func(rec *kgo.Record) {
			next := &r.next[rec.Partition]
			want := loadValue(int(rec.Partition), next.Load(), r.width)
			if string(rec.Value) != want || rec.Offset != next.Load() {
				select {
				case r.bad <- fmt.Errorf("partition %d: read %.20q at offset %d, want %.20q at %d", rec.Partition, rec.Value, rec.Offset, want, next.Load()):
				default:
				}
			}
			next.Add(1)
		})
	}
}

// finish waits until everything that was acked was read.
func (r *reader) finish(t *testing.T, l *load) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for p := range r.next {
		for r.next[p].Load() < int64(len(l.acked[p])) {
			if time.Now().After(deadline) {
				t.Errorf("partition %d: the reader stands at record %d of %d", p, r.next[p].Load(), len(l.acked[p]))
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	r.stop()
	<-r.done
	select {
	case err := <-r.bad:
		t.Error(err)
	default:
	}
}
