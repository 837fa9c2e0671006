//go:build e2e

package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// library is one row of the matrix: a client library, how it is started, and what it cannot do or needs.
type library struct {
	label   string
	program string // what the machine must have
	// gate: it runs in the gate, on every pair of stores; the others only with VARVE_FULL=1, on MinIO and DynamoDB Local.
	gate bool
	// start installs or builds what is missing and runs the process, once.
	start func() (*obedient, error)
	// codecs that work as installed; the test sees the others refused.
	codecs []string
	// properties stand after a produce command, those of restart after one that meets a restart.
	properties, restart []string
	// notes are lines for the README: settings that are used, ways around. What the next two say is added when it is seen.
	notes []string
	// cannot says why the library cannot write a record, or ""; nil if it can write all.
	cannot func(record) string
	// blurs changes a record to what the library shows of it, blurred says how; nil for nothing.
	blurs   func(*record)
	blurred string
	// restartLimit is what a restart of the agent asks of the user; empty for nothing.
	restartLimit string
	// once: no record is repeated by a producer that meets a restart.
	once bool
}

// libraries are the rows of the matrix but kcat's, which obeys no lines.
func libraries() []library {
	return []library{
		{label: "franz-go", program: "go", gate: true, start: startFranz, codecs: codecs(), once: true},
		{label: "Java", program: "mvn", gate: true, start: startJava, codecs: codecs(), once: true, restart: five},
		{label: "Java 2.x", program: "mvn", start: startOldJava, codecs: codecs(), once: true, restart: five,
			properties: []string{"enable.idempotence=true"},
			notes:      []string{"`enable.idempotence=true` is set; it is off by default, and without it requests in flight change their order when one is repeated"}},
		{label: "confluent-kafka", program: "python3", start: startPython, codecs: codecs(), once: true,
			notes: []string{"`enable.idempotence` is set; `group.id` must be set and is never used, for partitions are assigned"}},
		{label: "sarama", program: "go", start: startSarama, codecs: codecs(), once: true,
			notes: []string{"`Version` 2.8, `Idempotent` with `Net.MaxOpenRequests` 1; `Producer.Retry` and `Metadata.Retry` are raised to a minute, by default they give up sooner than an agent starts"}},
		{label: "kafka-go", program: "go", start: startKafkaGo, codecs: codecs(), blurs: blurKafkaGo,
			blurred: "the Reader shows empty keys, values and header values as null",
			notes: []string{"no idempotent producer: what is repeated after a lost answer may be there twice",
				"`WriteMessages` fails at once while no agent listens: repeat the call", "`DefaultTransport` remembers for seconds that a topic is not there: use one's own `Transport`"}},
		{label: "kafkajs", program: "npm", start: startKafkajs, codecs: []string{"none", "gzip"}, once: true, cannot: kafkajsCannot,
			notes: []string{"`idempotent: true` with `maxInFlightRequests: 1`; its consumer works in groups only, so reading is tested through the Cluster and Broker it is made of"}},
	}
}

// blurKafkaGo: its Reader shows what is empty as null.
func blurKafkaGo(r *record) {
	if len(r.key) == 0 {
		r.key = nil
	}
	if len(r.value) == 0 {
		r.value = nil
	}
	r.headers = slices.Clone(r.headers)
	for i, h := range r.headers {
		if len(h.value) == 0 {
			r.headers[i].value = nil
		}
	}
}

func kafkajsCannot(r record) string {
	for _, h := range r.headers {
		if h.value == nil {
			return "refuses a header whose value is null"
		}
	}
	return ""
}

// lineClient is a library behind the lines of its process.
type lineClient struct {
	library
	*obedient
}

func (l library) open(t *testing.T) lineClient {
	t.Helper()
	need(t, l.program, l.label, "install "+l.program)
	o, err := l.start()
	if err != nil {
		t.Fatalf("%s: %v", l.label, err)
	}
	return lineClient{l, o}
}

func (c lineClient) version(t *testing.T) string { return strings.Join(c.ask(t, "version"), " ") }

func (c lineClient) tryProduce(t *testing.T, addr, topic, codec string, records []record, properties ...string) ([]int64, error) {
	t.Helper()
	command := fmt.Sprintf("produce %s %s %s %d", addr, topic, codec, len(records))
	lines := []string{strings.Join(append([]string{command}, properties...), " ")}
	for _, r := range records {
		lines = append(lines, recordLine(r))
	}
	answer, err := c.try(t, lines...)
	var offsets []int64
	for _, line := range answer {
		offset, err := strconv.ParseInt(line, 10, 64)
		if err != nil {
			t.Fatalf("%s: offset %q: %v", c.library.label, line, err)
		}
		offsets = append(offsets, offset)
	}
	return offsets, err
}

func (c lineClient) consume(t *testing.T, addr, topic string) []record {
	t.Helper()
	return parseLines(t, c.ask(t, "consume "+addr+" "+topic))
}

func (c lineClient) consumeFrom(t *testing.T, addr, topic string, millis int64) []record {
	t.Helper()
	return parseLines(t, c.ask(t, fmt.Sprintf("consume-from %s %s %d", addr, topic, millis)))
}

func (c lineClient) consumeAt(t *testing.T, addr, topic string, offset int64) []record {
	t.Helper()
	return parseLines(t, c.ask(t, fmt.Sprintf("consume-at %s %s %d", addr, topic, offset)))
}

var (
	startFranz   = sync.OnceValues(func() (*obedient, error) { return startGoClient("franz-go") })
	startSarama  = sync.OnceValues(func() (*obedient, error) { return startGoClient("sarama") })
	startKafkaGo = sync.OnceValues(func() (*obedient, error) { return startGoClient("kafka-go") })
	startPython  = sync.OnceValues(func() (*obedient, error) {
		if err := install("python"); err != nil {
			return nil, err
		}
		return startObedient("confluent-kafka", filepath.Join("target", "venv", "bin", "python"), filepath.Join("python", "client.py"))
	})
	startKafkajs = sync.OnceValues(func() (*obedient, error) {
		if err := install("kafkajs"); err != nil {
			return nil, err
		}
		return startObedient("kafkajs", "node", filepath.Join("kafkajs", "client.js"), filepath.Join("target", "kafkajs"))
	})
)

func startGoClient(name string) (*obedient, error) {
	if err := install("goclients"); err != nil {
		return nil, err
	}
	return startObedient(name, filepath.Join("target", "goclients"), name)
}

// install has clients.sh make one group of clients; quick when it is there.
func install(what string) error {
	if out, err := exec.Command("bash", "clients.sh", what).CombinedOutput(); err != nil {
		return fmt.Errorf("clients.sh %s: %w: %s", what, err, strings.TrimSpace(string(out)))
	}
	return nil
}
