//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// kcatLibrary is kcat's row: librdkafka as Debian has it.
func kcatLibrary() library {
	return library{label: "kcat", program: "kcat", gate: true, codecs: codecs(), once: true, properties: []string{"enable.idempotence=true"},
		notes:        []string{"`-X enable.idempotence=true` is set"},
		restartLimit: "ends when no agent answers; what it had written by then was there in order, and it was started again for the rest"}
}

func (k kcatClient) version(t *testing.T) string {
	out, err := exec.Command(needKcat(t), "-V").CombinedOutput()
	if err != nil {
		t.Fatalf("kcat -V: %v", err)
	}
	found := regexp.MustCompile(`Version ([0-9.]+)[^\n]*librdkafka ([0-9.]+)`).FindSubmatch(out)
	if found == nil {
		t.Fatalf("kcat -V: %s", out)
	}
	return fmt.Sprintf("%s (librdkafka %s)", found[1], found[2])
}

// tryProduce runs one process per run of records of one shape. Records come at its input in portions, so that a long run
// takes a while.
func (k kcatClient) tryProduce(t *testing.T, addr, topic, codec string, records []record, properties ...string) ([]int64, error) {
	for p, part := range byPartition(records) {
		for len(part) > 0 {
			n := 1
			for n < len(part) && oneRun(part[0], part[n]) {
				n++
			}
			args, in := kcatRun(addr, topic, codec, part[:n])
			for _, p := range properties {
				args = append(args, "-X", p)
			}
			if err := k.feedAll(t, addr, topic, p, args, in); err != nil {
				return nil, err
			}
			part = part[n:]
		}
	}
	return nil, nil
}

// feedAll feeds lines to one process, and to another one what is left when that ended because no agent answered.
func (k kcatClient) feedAll(t *testing.T, addr, topic string, p int32, args []string, lines [][]byte) error {
	first := endOf(t, addr, topic, p)
	for try := 0; ; try++ {
		err := k.feed(t, args, lines[endOf(t, addr, topic, p)-first:])
		if err == nil || try == 100 || !strings.Contains(err.Error(), "All broker connections are down") {
			return err
		}
	}
}

// endOf asks kgo, which waits for an agent.
func endOf(t *testing.T, addr, topic string, p int32) int64 {
	admin := kadm.NewClient(dial(t, addr))
	defer admin.Close()
	for {
		ends, err := admin.ListEndOffsets(t.Context(), topic)
		if end, found := ends.Lookup(topic, p); err == nil && found && end.Err == nil {
			return end.Offset
		}
		if t.Context().Err() != nil {
			return 0
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (k kcatClient) feed(t *testing.T, args []string, lines [][]byte) error {
	cmd := exec.CommandContext(t.Context(), needKcat(t), args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	for i, line := range lines {
		if _, err := in.Write(line); err != nil {
			break // it ended: Wait says why
		}
		if i%200 == 199 {
			time.Sleep(50 * time.Millisecond)
		}
	}
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("kcat %q: %w: %s", args, err, errs.String())
	}
	return nil
}

func (k kcatClient) consumeAt(t *testing.T, addr, topic string, offset int64) []record {
	return k.read(t, addr, topic, strconv.FormatInt(offset, 10))
}

// topics: kcat makes a topic by writing to it, and lists what there is.
func (k kcatClient) topics(t *testing.T, addr, topic string) string {
	k.produce(t, addr, topic, "none", []record{{value: []byte("first")}})
	if !slices.Contains(topicNames(t, addr), topic) {
		t.Error("writing to it did not make the topic")
	}
	if out := string(k.run(t, nil, "-L", "-b", addr)); !strings.Contains(out, fmt.Sprintf("topic %q with 1 partitions", topic)) {
		t.Errorf("-L: %s", out)
	}
	return "has no admin calls but the list: a topic is made by the first record written to it"
}

func (kcatClient) configs(*testing.T, string, string) string {
	return "shows and changes no configs"
}

func (k kcatClient) writable(_ *testing.T, _, _ string, records []record) ([]record, []string) {
	return writable(k, records), []string{"cannot write an empty key, nor a timestamp"}
}

func (k kcatClient) readable(records []record) ([]record, string) {
	return readable(k, records), "prints an empty key as none"
}
