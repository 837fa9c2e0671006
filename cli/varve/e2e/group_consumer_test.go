//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// quick makes groups of the newer protocol speak every second, and end a session after six.
func quick() []string {
	return []string{"--set", "group.consumer.min.heartbeat.interval.ms=500", "--set", "group.consumer.heartbeat.interval.ms=1000",
		"--set", "group.consumer.min.session.timeout.ms=6000", "--set", "group.consumer.session.timeout.ms=6000"}
}

// newer has a kgo member speak the newer protocol.
func newer() []kgo.Opt {
	return []kgo.Opt{kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer())}
}

// crew is members of Java's client in one process (see java/.../Members.java).
type crew struct {
	*obedient
	seeds string
}

// crewMember is what it says of one of them.
type crewMember struct{ partitions, rebalances, commits int }

func startCrew(t *testing.T, seeds ...string) *crew {
	t.Helper()
	need(t, "mvn", "the Java client", "install Maven and a JDK 17 or newer")
	made := filepath.Join("java", "target")
	if err := buildJava("java", made); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(made, "e2e-client.jar") + string(os.PathListSeparator) + filepath.Join(made, "lib", "*")
	o, err := startObedient("java members", "java", "-Xmx512m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", path, "varve.Members")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.in.Close() })
	return &crew{o, strings.Join(seeds, ",")}
}

// join has a member join; protocol is classic or consumer.
func (c *crew) join(t *testing.T, name, group, topic, protocol string, properties ...string) {
	t.Helper()
	words := append([]string{"join", name, c.seeds, group, topic, "group.protocol=" + protocol, "fetch.max.wait.ms=200"}, properties...)
	if protocol == "classic" {
		words = append(words, "session.timeout.ms=10000", "heartbeat.interval.ms=500",
			"partition.assignment.strategy=org.apache.kafka.clients.consumer.CooperativeStickyAssignor")
	}
	c.ask(t, strings.Join(words, " "))
}

func (c *crew) leave(t *testing.T, name string) {
	t.Helper()
	c.ask(t, "leave "+name)
}

// state fails the test if a member has failed.
func (c *crew) state(t *testing.T) map[string]crewMember {
	t.Helper()
	all := map[string]crewMember{}
	for _, line := range c.ask(t, "state") {
		f := strings.SplitN(line, " ", 5)
		if f[4] != "null" {
			t.Fatalf("member %s: %s", f[0], f[4])
		}
		var m crewMember
		m.partitions, _ = strconv.Atoi(f[1])
		m.rebalances, _ = strconv.Atoi(f[2])
		m.commits, _ = strconv.Atoi(f[3])
		all[f[0]] = m
	}
	return all
}

// shares waits until every member has as many partitions as told, in order of their names.
func (c *crew) shares(t *testing.T, want ...int) {
	t.Helper()
	told := map[string]int{}
	for begun := time.Now(); ; time.Sleep(300 * time.Millisecond) {
		state, right := c.state(t), true
		for i, n := range want {
			name := fmt.Sprintf("m%d", i+1)
			m, ok := state[name]
			right = right && (ok && m.partitions == n || !ok && n < 0) && told[name] == m.rebalances
			told[name] = m.rebalances // Java tells a listener of partitions some time after they are there
		}
		if right {
			return
		}
		if time.Since(begun) > 40*time.Second {
			t.Fatalf("members have %+v, want %v", state, want)
		}
	}
}

// read waits until every record of the load was read.
func (c *crew) read(t *testing.T, topic string, l *load) {
	t.Helper()
	for begun := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		next := map[string]int64{}
		for _, line := range c.ask(t, "seen") {
			name, offset, _ := strings.Cut(strings.TrimPrefix(line, topic+" "), " ")
			next[name], _ = strconv.ParseInt(offset, 10, 64)
		}
		missing := ""
		l.mu.Lock()
		for p, acks := range l.acked {
			last := int64(-1)
			for _, a := range acks {
				last = max(last, a.offset)
			}
			if n := next[fmt.Sprint(p)]; n <= last {
				missing = fmt.Sprintf("partition %d: all is read below %d, of %d", p, n, last+1)
			}
		}
		l.mu.Unlock()
		if missing == "" {
			return
		}
		if time.Since(begun) > 30*time.Second {
			t.Fatal(missing)
		}
	}
}

// protocolOf is the type of a group, as it is listed.
func protocolOf(t *testing.T, addr, group string) string {
	t.Helper()
	found, err := kmsg.NewPtrListGroupsRequest().RequestWith(t.Context(), dial(t, addr))
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range found.Groups {
		if g.Group == group {
			return g.GroupType
		}
	}
	return "unknown"
}

// settled waits until every member of a group has what it shall have, and a moment more: Java tells a listener of that later.
func settled(t *testing.T, addr, group string) {
	t.Helper()
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Groups = []string{group}
	await(t, "a stable group", func() bool {
		resp, err := req.RequestWith(t.Context(), dial(t, addr))
		if err != nil || len(resp.Groups) != 1 {
			return false
		}
		g := &resp.Groups[0]
		there := g.State == "Stable"
		for i := range g.Members {
			m := &g.Members[i]
			there = there && m.MemberEpoch == g.Epoch && fmt.Sprint(m.Assignment.TopicPartitions) == fmt.Sprint(m.TargetAssignment.TopicPartitions)
		}
		return there
	})
	time.Sleep(time.Second)
}

// TestConsumerGroupJava: members of Java's newer consumer join, share, leave, come back as static ones, read what a regular expression
// names, and go on over a kill of the agent; every record is read.
func TestConsumerGroupJava(t *testing.T) {
	a := newAgent(t, nil, append([]string{"dev", "--data", t.TempDir()}, quick()...)...)
	a.start(t)
	createTopic(t, a.addr, "work-1", 6)
	l := startLoad(t, a.addr, "work-1", 6)
	c := startCrew(t, a.addr)
	c.join(t, "m1", "g", "work-1", "consumer")
	c.shares(t, 6)
	c.join(t, "m2", "g", "work-1", "consumer", "group.instance.id=i2")
	c.shares(t, 3, 3)
	c.join(t, "m3", "g", "work-1", "consumer", "group.remote.assignor=range")
	c.shares(t, 2, 2, 2)
	if p := protocolOf(t, a.addr, "g"); p != "consumer" {
		t.Errorf("a group of type %q", p)
	}
	c.leave(t, "m1")
	c.shares(t, -1, 3, 3)
	settled(t, a.addr, "g") // three each may still be three others
	before := c.state(t)
	c.leave(t, "m2") // a static member that stops keeps its place for a while
	c.join(t, "m2", "g", "work-1", "consumer", "group.instance.id=i2")
	c.shares(t, -1, 3, 3)
	if n := c.state(t)["m3"].rebalances - before["m3"].rebalances; n != 0 {
		t.Errorf("a static member that came back moved partitions of another %d times", n)
	}
	before = c.state(t)
	a.kill(t)
	a.start(t)
	time.Sleep(5 * time.Second)
	c.shares(t, -1, 3, 3)
	after := c.state(t)
	for _, m := range []string{"m2", "m3"} {
		if after[m].rebalances != before[m].rebalances {
			t.Errorf("after a kill of the agent %s was given other partitions", m)
		}
	}
	c.join(t, "m1", "g", "^work-.*", "consumer")
	c.shares(t, 2, 2, 2)
	createTopic(t, a.addr, "work-2", 3) // only m1 reads it; by range, which m3 asks for, the others' shares stay
	c.shares(t, 5, 2, 2)
	l.finish(t)
	c.read(t, "work-1", l)
	c.leave(t, "m1")
	c.leave(t, "m2")
	c.leave(t, "m3")
}

// TestMigrationJava: the members of a group are replaced one by one by those of the newer protocol, and back, while it reads. No record is
// missed and no committed offset goes back.
func TestMigrationJava(t *testing.T) {
	a := newAgent(t, nil, append([]string{"dev", "--data", t.TempDir()}, quick()...)...)
	a.start(t)
	createTopic(t, a.addr, "roll", 6)
	l := startLoad(t, a.addr, "roll", 6)
	c := startCrew(t, a.addr)
	for _, m := range []string{"m1", "m2", "m3"} {
		c.join(t, m, "g", "roll", "classic")
	}
	c.shares(t, 2, 2, 2)
	finish := committedNeverBack(t, []string{a.addr}, "g")
	for _, to := range []string{"consumer", "classic"} {
		for _, m := range []string{"m1", "m2", "m3"} {
			begun := time.Now()
			c.leave(t, m)
			c.join(t, m, "g", "roll", to)
			c.shares(t, 2, 2, 2)
			t.Logf("%s rolled to %s in %v; the group is %s", m, to, time.Since(begun).Round(time.Millisecond), protocolOf(t, a.addr, "g"))
		}
		if p := protocolOf(t, a.addr, "g"); p != to {
			t.Errorf("a group of type %q, want %q", p, to)
		}
	}
	l.finish(t)
	c.read(t, "roll", l)
	if looks, back := finish(); back > 0 || looks == 0 {
		t.Errorf("%d looks at the offsets, %d times one went back", looks, back)
	}
	for _, m := range []string{"m1", "m2", "m3"} {
		c.leave(t, m)
	}
}
