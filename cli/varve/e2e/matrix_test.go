//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/varvelog/varve/localstack/servers"
)

// TestMoreClients is the matrix of client libraries: each makes a topic and describes it, writes the sample in every
// codec it has, reads it back and what kgo wrote, seeks by time, and lives through a restart of the agent. With
// VARVE_FULL=1 alone, on every pair of stores.
func TestMoreClients(t *testing.T) {
	if !servers.Full() {
		t.Skip("the matrix of libraries runs by make e2e FULL=1: it needs npm, Python and what clients.sh installs")
	}
	for _, s := range stores() {
		t.Run(s.name, func(t *testing.T) {
			a := s.open(t)
			a.start(t)
			for _, m := range libraries() {
				t.Run(m.label, func(t *testing.T) { matrixRow(t, a, m.open(t)) })
			}
		})
	}
}

func matrixRow(t *testing.T, a *agent, c lineClient) {
	topic := strings.ReplaceAll(c.library.label, " ", "-")
	for _, cell := range []struct {
		name string
		test func(t *testing.T)
	}{
		{"admin", func(t *testing.T) { matrixAdmin(t, a.addr, c, topic) }},
		{"content", func(t *testing.T) { matrixContent(t, a.addr, c, topic) }},
		{"seek", func(t *testing.T) { matrixSeek(t, a.addr, c, topic+"-seek") }},
		{"restart", func(t *testing.T) { matrixRestart(t, a, c, topic+"-restart") }},
	} {
		if !t.Run(cell.name, cell.test) {
			return
		}
	}
}

const matrixPartitions = 3

func matrixAdmin(t *testing.T, addr string, c lineClient, topic string) {
	c.ask(t, fmt.Sprintf("create %s %s %d", addr, topic, matrixPartitions))
	if got := c.ask(t, "describe "+addr+" "+topic); len(got) != 1 || got[0] != fmt.Sprint(matrixPartitions) {
		t.Errorf("describe: %q, want %d", got, matrixPartitions)
	}
	if got := c.ask(t, "config "+addr+" "+topic+" cleanup.policy"); len(got) != 1 || got[0] != "delete" {
		t.Errorf("config cleanup.policy: %q, want delete", got)
	}
	if _, err := c.try(t, fmt.Sprintf("create %s %s %d", addr, topic, matrixPartitions)); err == nil {
		t.Error("the same topic again: no error")
	} else {
		t.Logf("the same topic again: %.120v", err)
	}
}

// matrixContent: what the library writes it and kgo read, and it reads what kgo wrote.
func matrixContent(t *testing.T, addr string, c lineClient, topic string) {
	start := time.Now().Add(-time.Hour)
	var want, foreign []record
	createTopic(t, addr, topic+"-kgo", matrixPartitions)
	for i, codec := range c.codecs {
		all := c.writable(t, sample(uint64(i), matrixPartitions, start.Add(time.Duration(i)*time.Minute)))
		checkOffsets(t, c.produce(t, addr, topic, codec, all), all, len(want)/matrixPartitions)
		want = append(want, all...)
		kgoClient{}.produce(t, addr, topic+"-kgo", codec, all)
		foreign = append(foreign, all...)
	}
	t.Run("to kgo", func(t *testing.T) { compare(t, kgoClient{}.consume(t, addr, topic), want) })
	t.Run("to itself", func(t *testing.T) { compare(t, c.consume(t, addr, topic), c.readable(want)) })
	t.Run("from kgo", func(t *testing.T) { compare(t, c.consume(t, addr, topic+"-kgo"), c.readable(foreign)) })
}

func matrixSeek(t *testing.T, addr string, c lineClient, topic string) {
	const each = 90
	start := time.Now().Add(-time.Hour).Truncate(time.Second)
	createTopic(t, addr, topic, 2)
	var all []record
	for i := range each {
		for p := range 2 {
			all = append(all, record{partition: int32(p), offset: int64(i), millis: start.UnixMilli() + int64(10*i), value: fmt.Appendf(nil, "%d", i)})
		}
	}
	for i := range 3 { // in three batches, so that a place lies in the middle of one
		n := len(all) / 3
		kgoClient{}.produce(t, addr, topic, "gzip", all[i*n:(i+1)*n])
	}
	for _, first := range []int{0, 1, 45, each - 1, each} {
		t.Run(fmt.Sprint(first), func(t *testing.T) {
			got := c.consumeFrom(t, addr, topic, start.UnixMilli()+int64(10*first)-3)
			compareSuffix(t, got, c.readable(all), int64(first))
		})
	}
}

// matrixRestart stops and starts the agent while the library produces: nothing is lost, order holds. The library may
// have told no offsets.
func matrixRestart(t *testing.T, a *agent, c lineClient, topic string) {
	const n = 20_000
	createTopic(t, a.addr, topic, matrixPartitions)
	records := numbered(n, matrixPartitions)
	done := make(chan error, 1)
	go func() {
		defer close(done)
		lines := []string{fmt.Sprintf("produce %s %s none %d%s", a.addr, topic, len(records), c.properties)}
		for _, r := range records {
			lines = append(lines, recordLine(r))
		}
		_, err := c.try(t, lines...)
		done <- err
	}()
	time.Sleep(50 * time.Millisecond) // anywhere in its work will do
	a.stop(t)
	a.start(t)
	if err := <-done; err != nil {
		t.Fatalf("produce over a restart: %v", err)
	}
	compare(t, kgoClient{}.consume(t, a.addr, topic), records)
}
