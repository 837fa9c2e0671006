//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/localstack/servers"
)

// ecosystemPath has Maven fetch kafka-consumer-groups, Streams and Connect of Kafka 4.1 unless they are there, and returns the class path. false: they are
// 110 MB, and left out unless VARVE_FULL=1.
func ecosystemPath(t *testing.T) (string, bool) {
	t.Helper()
	if !servers.Full() {
		t.Log("LEFT OUT: what stands on groups in Kafka's own jars; make e2e FULL=1 runs it")
		return "", false
	}
	need(t, "mvn", "what stands on groups in Kafka's own jars", "install Maven and a JDK 17 or newer")
	made := filepath.Join("target", "ecosystem")
	if err := buildJava("ecosystem", made); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(made, "e2e-client.jar") + string(os.PathListSeparator) + filepath.Join(made, "lib", "*")
	return path, true
}

// jvm are the arguments of a small Java process.
func jvm(path string, args ...string) []string {
	return append([]string{"-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", path}, args...)
}

// groupsTool is kafka-consumer-groups in a process that runs it again and again.
type groupsTool struct {
	*obedient
	addr string
}

func startGroupsTool(t *testing.T, path, addr string) groupsTool {
	t.Helper()
	o, err := startObedient("kafka-consumer-groups", "java", jvm(path, "varve.Tools")...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.in.Close() })
	return groupsTool{o, addr}
}

// run returns the lines that the tool prints, with one blank between their words.
func (g groupsTool) run(t *testing.T, args string) []string {
	t.Helper()
	var lines []string
	for _, line := range g.ask(t, "--bootstrap-server "+g.addr+" --timeout 60000 "+args) {
		if words := strings.Fields(line); len(words) > 0 {
			lines = append(lines, strings.Join(words, " "))
		}
	}
	return lines
}

// prints fails unless each of the lines is printed. A word "*" stands for any.
func (g groupsTool) prints(t *testing.T, args string, want ...string) {
	t.Helper()
	lines := g.run(t, args)
	for _, w := range want {
		if !slices.ContainsFunc(lines, func(line string) bool { return sameWords(line, w) }) {
			t.Errorf("%s: no line is %q:\n%s", args, w, strings.Join(lines, "\n"))
		}
	}
}

func sameWords(line, want string) bool {
	return slices.EqualFunc(strings.Split(line, " "), strings.Split(want, " "), func(word, w string) bool { return w == "*" || word == w })
}

// TestGroupTool: kafka-consumer-groups of Kafka 4.1 with groups of both protocols: while they have a member, and then.
func TestGroupTool(t *testing.T) {
	t.Parallel() // as others that mostly wait
	path, ok := ecosystemPath(t)
	if !ok {
		return
	}
	a := newAgent(t, nil, append([]string{"dev", "--data", t.TempDir()}, quick()...)...)
	a.start(t)
	createTopic(t, a.addr, "adm", 2)
	cl := dial(t, a.addr, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for i := range 40 {
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "adm", Partition: int32(i % 2), Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	tool := startGroupsTool(t, path, a.addr)
	t.Run("classic", func(t *testing.T) {
		toolGroup{tool, "old", "Classic", "cooperative-sticky", "- -", "- adm:0,1 - -"}.play(t)
	})
	t.Run("newer", func(t *testing.T) {
		toolGroup{tool, "new", "Consumer", "uniform", "1 1", "1 adm:0,1 1 adm:0,1"}.play(t, newer()...)
	})
}

// toolGroup is a group, and what the tool says of it while it has its one member.
type toolGroup struct {
	groupsTool
	group, kind, assignor string
	epochs                string // of the group: its own, that of its assignment
	held                  string // by the member: epoch and partitions, as they are and as they shall be
}

func (g toolGroup) play(t *testing.T, opts ...kgo.Opt) {
	member := dial(t, g.addr, append([]kgo.Opt{
		kgo.ClientID("me"), kgo.ConsumerGroup(g.group), kgo.ConsumeTopics("adm"), kgo.DisableAutoCommit(),
	}, opts...)...)
	g.settle(t, member)
	g.lives(t)
	member.Close()
	g.rests(t)
	g.ends(t)
}

// settle waits for a member that owns both partitions, and commits 5 and 6.
func (g toolGroup) settle(t *testing.T, member *kgo.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		fetches := member.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("the member reads nothing: %v", fetches.Err())
		}
		if fetches.NumRecords() > 0 {
			break
		}
	}
	member.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{"adm": {0: {Epoch: -1, Offset: 5}, 1: {Epoch: -1, Offset: 6}}}, nil)
	committed, err := kadm.NewClient(member).FetchOffsets(ctx, g.group)
	if err != nil || len(committed["adm"]) != 2 {
		t.Fatalf("committed %v: %v", committed, err)
	}
}

// lives: the group has a member, so it can be looked at, not changed.
func (g toolGroup) lives(t *testing.T) {
	named := "--group " + g.group
	g.prints(t, "--list", g.group)
	g.prints(t, "--list --state", g.group+" Stable")
	g.prints(t, "--list --type", g.group+" "+g.kind)
	g.prints(t, "--list --type "+strings.ToLower(g.kind), g.group+" "+g.kind)
	g.prints(t, "--describe "+named,
		g.group+" adm 0 5 20 15 * /127.0.0.1 me", g.group+" adm 1 6 20 14 * /127.0.0.1 me")
	g.prints(t, "--describe --all-groups", g.group+" adm 0 5 20 15 * /127.0.0.1 me")
	g.prints(t, "--describe --members --verbose "+named, g.group+" * /127.0.0.1 me 2 "+g.held)
	g.prints(t, "--describe --state --verbose "+named, g.group+" "+g.addr+" (1) "+g.assignor+" Stable "+g.epochs+" 1")
	reset := "--reset-offsets --to-earliest --topic adm " + named
	inactive := fmt.Sprintf("Error: Assignments can only be reset if the group '%s' is inactive, but the current state is Stable.", g.group)
	g.prints(t, reset+" --dry-run", inactive)
	g.prints(t, reset+" --execute", inactive)
	if lines := g.run(t, "--delete-offsets --topic adm:0 "+named); !strings.Contains(strings.Join(lines, " "), "adm 0 Error: org.apache.kafka.common.errors.GroupSubscribedToTopicException") {
		t.Errorf("offsets of a topic that is subscribed are deleted: %q", lines)
	}
	if lines := g.run(t, "--delete "+named); !strings.Contains(strings.Join(lines, " "), "GroupNotEmptyException") {
		t.Errorf("a group with a member is deleted: %q", lines)
	}
}

// rests: without members its offsets move, and only if they shall.
func (g toolGroup) rests(t *testing.T) {
	named := "--group " + g.group
	committed := func(zero, one string) {
		t.Helper()
		g.prints(t, "--describe "+named, g.group+" adm 0 "+zero+" - - -", g.group+" adm 1 "+one+" - - -")
	}
	g.prints(t, "--list --state empty", g.group+" Empty")
	g.prints(t, "--describe "+named, "Consumer group '"+g.group+"' has no active members.")
	committed("5 20 15", "6 20 14")
	reset := "--reset-offsets " + named
	g.prints(t, reset+" --to-earliest --topic adm --dry-run", g.group+" adm 0 0", g.group+" adm 1 0")
	committed("5 20 15", "6 20 14")
	g.prints(t, reset+" --to-earliest --topic adm:0 --execute", g.group+" adm 0 0")
	committed("0 20 20", "6 20 14")
	g.prints(t, reset+" --shift-by 3 --all-topics --execute", g.group+" adm 0 3", g.group+" adm 1 9")
	committed("3 20 17", "9 20 11")
	g.prints(t, reset+" --to-datetime 2020-01-01T00:00:00.000 --topic adm --execute", g.group+" adm 0 0", g.group+" adm 1 0")
	g.prints(t, reset+" --to-latest --all-topics --execute", g.group+" adm 0 20", g.group+" adm 1 20")
	committed("20 20 0", "20 20 0")
}

// ends: the offsets of a partition are forgotten, then the group.
func (g toolGroup) ends(t *testing.T) {
	named := "--group " + g.group
	g.prints(t, "--delete-offsets --topic adm:1 "+named, "adm 1 Successful")
	if lines := g.run(t, "--describe "+named); slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, g.group+" adm 1") }) {
		t.Errorf("the offset of a partition stays: %q", lines)
	}
	g.prints(t, "--delete "+named, "Deletion of requested consumer groups ('"+g.group+"') was successful.")
	if lines := g.run(t, "--list"); slices.Contains(lines, g.group) {
		t.Errorf("the group stays: %q", lines)
	}
	if lines := g.run(t, "--describe "+named); !strings.Contains(strings.Join(lines, " "), "GroupIdNotFoundException") {
		t.Errorf("a group that is gone is described: %q", lines)
	}
}
