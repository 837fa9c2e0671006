//go:build e2e

package e2e

import (
	"crypto/rand"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/localstack/servers"
)

// stopLimit is how long a stop may take, under whatever load: orchestrators kill after it. It is a promise of the
// program, so the one duration that these tests measure, with a second for a busy machine.
const stopLimit = 5*time.Second + time.Second

// TestStopUnderLoad: SIGTERM in the middle of a producer's work ends the agent with exit code 0 in time, and what it
// acknowledged is there.
func TestStopUnderLoad(t *testing.T) {
	onStores(t, func(t *testing.T, a *agent) {
		createTopic(t, a.addr, "t", 4)
		l := startLoad(t, a.addr, "t", 4)
		for range 3 {
			n := l.count()
			await(t, "acknowledgements", func() bool { return l.count() > n+500 })
			begun := time.Now()
			a.stop(t)
			if took := time.Since(begun); took > stopLimit {
				t.Errorf("the stop took %v", took)
			}
			a.start(t)
		}
		l.finish(t)
		l.check(t, a.addr, "t")
		a.checkCalm(t)
	})
}

// TestStopOnABadStore: the object store takes 300 bytes a second, so that the last flush would take minutes. SIGTERM still
// ends the agent in time; exit code 1 and a line say that not everything is flushed, and nothing of that was acknowledged.
func TestStopOnABadStore(t *testing.T) {
	dir := t.TempDir()
	a := onDisk(t, dir, "rate=300B", "", "--slots", "4")
	a.start(t)
	createTopic(t, a.addr, "t", 1)
	acked := record{value: []byte("small")}
	kgoClient{}.produce(t, a.addr, "t", "none", []record{acked})
	noise := make([]byte, 64<<10)
	_, _ = rand.Read(noise)
	c := dialRaw(t, a.addr)
	c.send(frame(produceRequest("t", batch(string(noise))), 8))
	await(t, "the large record to be on its way to the store", func() bool { // a request that is not read to its end is none yet
		return a.metric(t, `varve_kafka_requests_in_flight{api="Produce"}`) == 1 && a.metric(t, "varve_flush_in_flight") == 1
	})

	begun := time.Now()
	signal(t, a, syscall.SIGTERM)
	if err := a.awaitExit(t); err == nil {
		t.Error("exit code 0, though a record waits that was never flushed")
	}
	if took := time.Since(begun); took > stopLimit {
		t.Errorf("the stop took %v", took)
	}
	a.awaitLog(t, "varve agent: ", "last flush")
	refusal(t, c.untilClosed())
	good := onDisk(t, dir, "", "")
	good.start(t)
	compare(t, kgoClient{}.consume(t, good.addr, "t"), []record{acked})
}

// refusal wants no answer to a Produce of version 8, or one that says that it failed.
func refusal(t *testing.T, answer []byte) {
	t.Helper()
	if len(answer) == 0 {
		return
	}
	resp := kmsg.NewPtrProduceResponse()
	resp.Version = 8
	if err := resp.ReadFrom(answer[8:]); err != nil || resp.Topics[0].Partitions[0].ErrorCode == 0 {
		t.Errorf("acknowledged: %+v, %v", resp.Topics, err)
	}
}

// TestFencedAlive: an agent is frozen for longer than its session lives, and another one with its name takes over. When
// the first one thaws it finds itself fenced: it acknowledges nothing any more, says so and gives way. A producer that
// talks to it all the time gets no acknowledgement that the log does not hold.
func TestFencedAlive(t *testing.T) {
	objects, facts := servers.MinIO(t), servers.DynamoDB(t)
	config := configFile(t, "heartbeat = 300ms", "ttl = 1500ms", "poll = 300ms")
	args := []string{"agent", "--name", "a1", "--store", objects.StoreURL, "--meta", facts.MetaURL, "--config", config, "--flush", "20ms"}
	first := newAgent(t, objects.Env(), args...)
	first.start(t)
	createTopic(t, first.addr, "t", 2)
	createTopic(t, first.addr, "late", 1)
	l := startLoad(t, first.addr, "t", 2)
	await(t, "acknowledgements", func() bool { return l.count() > 500 })
	late := dialRaw(t, first.addr)
	late.send(samples()["ApiVersions"])
	late.answer()

	signal(t, first, syscall.SIGSTOP)
	late.send(frame(produceRequest("late", batch("too late")), 8)) // waits in the socket of the frozen one
	second := newAgent(t, objects.Env(), args...)
	second.start(t)
	if err := l.cl.UpdateSeedBrokers(second.addr); err != nil {
		t.Fatal(err)
	}
	signal(t, first, syscall.SIGCONT)

	refusal(t, late.untilClosed())
	first.awaitLog(t, "FENCED WHILE IT LIVED", "Look for long pauses")
	if err := first.awaitExit(t); err == nil { // it began a new session, and its name is in use
		t.Error("the fenced agent ended with exit code 0")
	}
	first.awaitLog(t, "varve agent: ", "agent a1 runs at "+second.addr+" since 20")
	n := l.count()
	await(t, "acknowledgements of the second", func() bool { return l.count() > n+500 })
	l.finish(t)
	l.check(t, second.addr, "t")
	if got := (kgoClient{}).consume(t, second.addr, "late"); len(got) > 0 {
		t.Errorf("%d records of the fenced agent are in the log", len(got))
	}
	second.stop(t)
}

func signal(t *testing.T, a *agent, s syscall.Signal) {
	t.Helper()
	if err := a.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}
