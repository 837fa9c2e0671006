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

// library is one line of the matrix: a client library, how it is started, and its limits.
type library struct {
	label   string
	program string // what the machine must have
	// start installs or builds what is missing and runs the process, once.
	start  func() (*obedient, error)
	codecs []string // those it has without a plug-in
	// properties stand after a produce command.
	properties string
	// cannot says why the library cannot write a record, or ""; nil if it can write all.
	cannot func(record) string
	// blurs changes a record to what the library shows of it; nil for nothing.
	blurs func(*record)
}

// libraries are those beyond clients. Each limit here is a line of COMPATIBILITY.md.
func libraries() []library {
	return []library{
		{label: "sarama", program: "go", start: startSarama, codecs: codecs()},
		{label: "kafka-go", program: "go", start: startKafkaGo, codecs: codecs(), blurs: blurKafkaGo},
		{label: "confluent-kafka", program: "python3", start: startPython, codecs: codecs()},
		{label: "kafkajs", program: "npm", start: startKafkajs, codecs: []string{"none", "gzip"}, cannot: kafkajsCannot},
		{label: "java 2.8", program: "mvn", start: startOldJava, codecs: codecs(), properties: " enable.idempotence=true"},
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
			return "throws a TypeError at a header whose value is null"
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

func (c lineClient) produce(t *testing.T, addr, topic, codec string, records []record) []int64 {
	t.Helper()
	lines := []string{fmt.Sprintf("produce %s %s %s %d%s", addr, topic, codec, len(records), c.properties)}
	for _, r := range records {
		lines = append(lines, recordLine(r))
	}
	var offsets []int64
	for _, line := range c.ask(t, lines...) {
		offset, err := strconv.ParseInt(line, 10, 64)
		if err != nil {
			t.Fatalf("%s: offset %q: %v", c.library.label, line, err)
		}
		offsets = append(offsets, offset)
	}
	return offsets
}

func (c lineClient) consume(t *testing.T, addr, topic string) []record {
	t.Helper()
	return parseLines(t, c.ask(t, "consume "+addr+" "+topic))
}

func (c lineClient) consumeFrom(t *testing.T, addr, topic string, millis int64) []record {
	t.Helper()
	return parseLines(t, c.ask(t, fmt.Sprintf("consume-from %s %s %d", addr, topic, millis)))
}

// writable returns the records that the library can write and read; the others are logged, once per reason.
func (c lineClient) writable(t *testing.T, records []record) []record {
	t.Helper()
	if c.cannot == nil {
		return records
	}
	var out []record
	reasons := map[string]bool{}
	for _, r := range records {
		why := c.cannot(r)
		if why == "" {
			out = append(out, r)
		} else if !reasons[why] {
			reasons[why] = true
			t.Logf("LIMIT: %s: %s", c.library.label, why)
		}
	}
	return out
}

// readable blurs records as the library does.
func (c lineClient) readable(records []record) []record {
	out := slices.Clone(records)
	if c.blurs != nil {
		for i := range out {
			c.blurs(&out[i])
		}
	}
	return out
}

var (
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
