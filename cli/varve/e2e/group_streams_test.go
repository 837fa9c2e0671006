//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// javaProcess is a program that ends with its standard input. Its lines are kept.
type javaProcess struct {
	cmd  *exec.Cmd
	stop func()
	mu   sync.Mutex
	out  []string
	done chan struct{}
}

// startProcess runs a class; what it says on both outputs is kept.
func startProcess(t *testing.T, path, class string, args ...string) *javaProcess {
	t.Helper()
	p := &javaProcess{cmd: exec.Command("java", jvm(path, append([]string{class}, args...)...)...), done: make(chan struct{})}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = p.cmd.Stdout
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.stop = func() { _ = in.Close() }
	go func() {
		defer close(p.done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.mu.Lock()
			p.out = append(p.out, lines.Text())
			p.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		_ = p.cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", class, strings.Join(p.lines(), "\n"))
		}
	})
	return p
}

func (p *javaProcess) lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.out[max(0, len(p.out)-60):]...)
}

// await waits for a line.
func (p *javaProcess) await(t *testing.T, line string, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%q is said %d times", line, n), func() bool {
		said := 0
		for _, l := range p.lines() {
			if l == line {
				said++
			}
		}
		return said >= n
	})
}

// end has it end by itself.
func (p *javaProcess) end(t *testing.T) {
	t.Helper()
	p.stop()
	select {
	case <-p.done:
	case <-time.After(2 * time.Minute):
		t.Fatal("the process does not end")
	}
}

// eventually waits up to three minutes: processes of Java start slowly on a busy machine.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !is(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// TestGroupStreams: an application of Kafka Streams 4.1 counts words by way of a repartition topic and a store with a changelog, at least once. A second
// instance joins, the first is stopped and comes back without its directory, so that it restores its counts from the changelog.
func TestGroupStreams(t *testing.T) {
	t.Parallel() // as others that mostly wait
	path, ok := ecosystemPath(t)
	if !ok {
		return
	}
	a := newAgent(t, nil, "dev", "--data", t.TempDir())
	a.start(t)
	createTopic(t, a.addr, "lines", 4)
	createTopic(t, a.addr, "counts", 2)
	cl := dial(t, a.addr)
	want := map[string]int64{}
	write := func(n int) {
		t.Helper()
		for i := range n {
			line := fmt.Sprintf("all w%d w%d", i%7, i%11)
			for _, word := range strings.Fields(line) {
				want[word]++
			}
			if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "lines", Key: fmt.Append(nil, i), Value: []byte(line)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	counts := readCounts(t, a.addr)
	counted := func() {
		t.Helper()
		eventually(t, fmt.Sprintf("counts are %v", want), func() bool { return maps.Equal(counts(), want) })
	}
	write(100)
	one := startStreams(t, path, a.addr)
	one.await(t, "RUNNING", 1)
	counted()
	checkStreamsTopics(t, a.addr)
	two := startStreams(t, path, a.addr)
	two.await(t, "RUNNING", 1)
	eventually(t, "both instances have tasks", func() bool { return bothWork(t, a.addr) })
	write(100)
	counted()
	one.end(t)
	write(100)
	counted()
	one = startStreams(t, path, a.addr)
	one.await(t, "RUNNING", 1)
	eventually(t, "both instances have tasks again", func() bool { return bothWork(t, a.addr) })
	write(100)
	counted()
	eventually(t, "what was counted is deleted from the repartition topic", func() bool { return purged(t, a.addr) })
	one.end(t)
	two.end(t)
	if got := counts(); !maps.Equal(got, want) {
		t.Errorf("at the end counts are %v, want %v", got, want)
	}
}

// bothWork tells whether the group is stable and has two members, each with partitions.
func bothWork(t *testing.T, addr string) bool {
	t.Helper()
	cl := dial(t, addr)
	defer cl.Close()
	groups, err := kadm.NewClient(cl).DescribeGroups(t.Context(), "words")
	if err != nil {
		t.Fatal(err)
	}
	g := groups["words"]
	for _, m := range g.Members {
		assigned, ok := m.Assigned.AsConsumer()
		if !ok || len(assigned.Topics) == 0 {
			return false
		}
	}
	return g.State == "Stable" && len(g.Members) == 2
}

// purged tells whether no record of the repartition topic is left but those since the last commit.
func purged(t *testing.T, addr string) bool {
	t.Helper()
	const topic = "words-words-repartition"
	cl := dial(t, addr)
	defer cl.Close()
	starts, err := kadm.NewClient(cl).ListStartOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	ends, err := kadm.NewClient(cl).ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	left, all := int64(0), int64(0)
	ends.Each(func(end kadm.ListedOffset) {
		start, _ := starts.Lookup(topic, end.Partition)
		left, all = left+end.Offset-start.Offset, all+end.Offset
	})
	return all > 0 && left < all/10
}

// startStreams starts an instance with a directory of its own.
func startStreams(t *testing.T, path, addr string) *javaProcess {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "streams.properties")
	text := strings.Join([]string{
		"application.id=words", "bootstrap.servers=" + addr, "state.dir=" + filepath.Join(dir, "state"),
		"commit.interval.ms=500", "repartition.purge.interval.ms=1000", "auto.offset.reset=earliest", "session.timeout.ms=10000", "replication.factor=1",
	}, "\n")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return startProcess(t, path, "varve.WordCount", config)
}

// readCounts returns what tells the last count of each word so far.
func readCounts(t *testing.T, addr string) func() map[string]int64 {
	t.Helper()
	cl := dial(t, addr, kgo.ConsumeTopics("counts"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	counts := map[string]int64{}
	return func() map[string]int64 {
		for {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			fetches := cl.PollFetches(ctx)
			cancel()
			if fetches.NumRecords() == 0 {
				return counts
			}
			fetches.EachRecord(func(r *kgo.Record) { counts[string(r.Key)] = int64(binary.BigEndian.Uint64(r.Value)) })
		}
	}
}

// checkStreamsTopics: Streams has made its own topics, with the configs that it asks for.
func checkStreamsTopics(t *testing.T, addr string) {
	t.Helper()
	const changelog, repartition = "words-words-changelog", "words-words-repartition"
	all, err := kadm.NewClient(dial(t, addr)).DescribeTopicConfigs(t.Context(), changelog, repartition)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]map[string]string{
		changelog:   {"cleanup.policy": "compact", "message.timestamp.type": "CreateTime"},
		repartition: {"cleanup.policy": "delete", "retention.ms": "-1", "segment.bytes": "52428800"},
	}
	for _, topic := range all {
		got := map[string]string{}
		for _, c := range topic.Configs {
			got[c.Key] = c.MaybeValue()
		}
		for key, value := range want[topic.Name] {
			if got[key] != value {
				t.Errorf("%s of %s is %q, want %q", key, topic.Name, got[key], value)
			}
		}
	}
}
