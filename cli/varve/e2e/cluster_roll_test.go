//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// javaLoad is a Java producer and a Java reader with default settings, at a steady pace (see Load.java).
type javaLoad struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines sync.WaitGroup
	bad   []string
	last  string
}

func startJavaLoad(t *testing.T, seeds []string, topic string, partitions, bytesPerSecond, recordBytes int) *javaLoad {
	t.Helper()
	sharedJava(t) // builds it
	path := filepath.Join("java", "target", "e2e-client.jar") + string(os.PathListSeparator) + filepath.Join("java", "target", "lib", "*")
	j := &javaLoad{cmd: exec.Command("java", "-Xmx512m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", path, "varve.Load",
		strings.Join(seeds, ","), topic, fmt.Sprint(partitions), fmt.Sprint(bytesPerSecond), fmt.Sprint(recordBytes))}
	j.cmd.Stderr = os.Stderr
	out, err := j.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if j.in, err = j.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := j.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	j.lines.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if j.last = lines.Text(); strings.HasPrefix(j.last, "bad ") && len(j.bad) < 20 {
				j.bad = append(j.bad, j.last)
			}
		}
	})
	return j
}

// finish ends the load: nothing may have been given up or read out of order, and all that was acked was read.
func (j *javaLoad) finish(t *testing.T) (acked int) {
	t.Helper()
	_ = j.in.Close()
	j.lines.Wait()
	if err := j.cmd.Wait(); err != nil {
		t.Errorf("Java: %v", err)
	}
	for _, line := range j.bad {
		t.Errorf("Java: %s", line)
	}
	var read int
	if _, err := fmt.Sscanf(j.last, "acked %d read %d", &acked, &read); err != nil || acked == 0 || read != acked {
		t.Errorf("Java ended with %q", j.last)
	}
	return acked
}

// TestClusterRolls: for VARVE_ROLL_SECONDS, agents are stopped and started again in turn, and every 20 s another one is killed beside that,
// while franz-go and Java (each half of VARVE_ROLL_MIB a second) produce and read. No client sees an error; nothing is lost, doubled or out of
// order, while it goes on and when everything is read once more.
func TestClusterRolls(t *testing.T) {
	length := time.Duration(setting(t, "VARVE_ROLL_SECONDS", 25)) * time.Second
	rate := int(setting(t, "VARVE_ROLL_MIB", 3)) << 20 / 2
	f := newFleet(t, 3)
	createTopic(t, f.agents[0].addr, "roll", 12)
	createTopic(t, f.agents[0].addr, "roll-java", 12)
	l := &load{partitions: 12, rate: rate, width: 1024}
	l.start(t, f.agents[0].addr, "roll", kgo.SeedBrokers(f.seeds()...))
	r := startReader(t, f.seeds(), "roll", l)
	j := startJavaLoad(t, f.seeds(), "roll-java", 12, rate, 1024)
	begun := time.Now()
	stopped, killed, largest := f.roll(t, begun.Add(length))
	t.Logf("%d stops and %d kills; every partition acked again after %v", stopped, killed, l.outage(t, time.Minute).Round(time.Millisecond))
	if t.Logf("the largest slot item had %d bytes", largest); largest > 1024 {
		t.Errorf("a slot item of %d bytes: more than one write unit", largest)
	}
	took := time.Since(begun)
	l.finish(t)
	l.checkOffsets(t)
	r.finish(t, l)
	startReader(t, f.seeds(), "roll", l).finish(t, l)
	byJava := j.finish(t)
	t.Logf("acked in %v: franz-go %d records of %d bytes, Java %d", took.Round(time.Second), l.count(), l.width, byJava)
}

// roll stops and starts agents in turn, with 5 s between, and kills one every 20 s, from 10 s on; never the one that is being stopped or
// started, so two may be away at once.
func (f *fleet) roll(t *testing.T, until time.Time) (stopped, killed, largest int) {
	t.Helper()
	hands := make([]sync.Mutex, len(f.agents)) // held by who has that agent in hand
	var kills sync.WaitGroup
	defer kills.Wait()
	kills.Go(func() { // a start that fails ends this alone; the test ends with the next turn then
		for at := time.Now().Add(10 * time.Second); at.Before(until) && !t.Failed(); at = at.Add(20 * time.Second) {
			time.Sleep(time.Until(at))
			turn := killed
			for !hands[turn%len(hands)].TryLock() {
				turn++
			}
			killed++
			killAndStart(t, f.agents[turn%len(hands)], &hands[turn%len(hands)], time.Duration(killed%2)*3*time.Second)
		}
	})
	for turn := 0; time.Now().Before(until) && !t.Failed(); turn++ {
		hand := &hands[turn%len(hands)]
		hand.Lock()
		f.agents[turn%len(hands)].stop(t)
		stopped++
		f.agents[turn%len(hands)].start(t)
		hand.Unlock()
		time.Sleep(5 * time.Second)
		largest = max(largest, f.largestSlot(t))
	}
	kills.Wait()
	return stopped, killed, largest
}

// killAndStart lets go of hand in the end. The agent is away long enough for others to take over, or back at once.
func killAndStart(t *testing.T, a *agent, hand *sync.Mutex, away time.Duration) {
	t.Helper()
	defer hand.Unlock()
	a.kill(t)
	time.Sleep(away)
	a.start(t)
}

// checkOffsets: the load is alone on its topic and gave up nothing, so each record is at the offset that is its number.
func (l *load) checkOffsets(t *testing.T) {
	t.Helper()
	for p, acks := range l.acked {
		if len(acks) == 0 {
			t.Errorf("partition %d: no record was acknowledged", p)
		}
		for _, a := range acks {
			if a.number != a.offset {
				t.Errorf("partition %d: record %d was acknowledged at offset %d", p, a.number, a.offset)
				break
			}
		}
	}
}

// TestClusterFreezes: an agent that stands still for 20 s loses its slots, and after it wakes acks nothing that its successors
// do not have. How long it takes is told twice: for a client that asks those who live, and for one that waits for answers of
// the frozen one first, as long as its own time-outs say.
func TestClusterFreezes(t *testing.T) {
	f := newFleet(t, 3)
	createTopic(t, f.agents[0].addr, "freeze", 12)
	createTopic(t, f.agents[0].addr, "fresh", 12)
	l := startLoad(t, f.agents[0].addr, "freeze", 12, kgo.SeedBrokers(f.seeds()...), kgo.ProduceRequestTimeout(3*time.Second), kgo.RequestTimeoutOverhead(2*time.Second))
	time.Sleep(5 * time.Second)
	a := f.agents[2]
	begun := time.Now()
	_ = a.cmd.Process.Signal(syscall.SIGSTOP)
	for p := range int32(12) {
		for !ackedByNewcomer(t, f.agents[0].addr, "fresh", p) {
			if time.Since(begun) > time.Minute {
				t.Fatalf("partition %d takes no records", p)
			}
		}
	}
	t.Logf("every partition takes records of new clients %v after %s stood still", time.Since(begun).Round(time.Millisecond), a.name())
	f.story(t, begun)
	time.Sleep(max(0, 20*time.Second-time.Since(begun)))
	_ = a.cmd.Process.Signal(syscall.SIGCONT)
	l.outage(t, time.Minute)
	t.Logf("every partition acked records of an old client again after %v", time.Since(begun).Round(time.Millisecond))
	time.Sleep(5 * time.Second)
	l.finish(t)
	l.check(t, f.agents[0].addr, "freeze")
}

// ackedByNewcomer reports whether a client that knows nothing gets a record through within a second.
func ackedByNewcomer(t *testing.T, seed, topic string, partition int32) bool {
	t.Helper()
	cl := dial(t, seed, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProduceRequestTimeout(time.Second), kgo.RequestTimeoutOverhead(time.Second),
		kgo.RecordDeliveryTimeout(time.Second), kgo.DisableIdempotentWrite())
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	return cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: partition, Value: []byte("x")}).FirstErr() == nil
}
