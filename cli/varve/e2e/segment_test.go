//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// hurried makes an agent rewrite its log within seconds: packs each second, segments after three, garbage gone after two.
func hurried(t *testing.T, a *agent, more ...string) *agent {
	t.Helper()
	file := filepath.Join(t.TempDir(), "varve.conf")
	if err := os.WriteFile(file, []byte("snapshot-interval = 1s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a.args = append(a.args, "--config", file, "--pack-interval", "1s", "--segment-roll", "3s", "--gc-grace", "2s",
		"--set", "log.retention.check.interval.ms=500")
	a.args = append(a.args, more...)
	return a
}

// storeArgs are the --store and --meta of an agent, for tools.
func (a *agent) storeArgs() (args []string) {
	for i, arg := range a.args {
		if arg == "--store" || arg == "--meta" {
			args = append(args, arg, a.args[i+1])
		}
	}
	return args
}

// tool runs a command of the binary on the agent's stores and returns what it printed.
func (a *agent) tool(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), a.bin, append(args, a.storeArgs()...)...)
	cmd.Env = append(os.Environ(), a.env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// offsets returns the first offset of each partition, or the one after its last if ends is set.
func offsets(t *testing.T, addr, topic string, ends bool) (all []int64) {
	t.Helper()
	cl := dial(t, addr)
	defer cl.Close()
	list := kadm.NewClient(cl).ListStartOffsets
	if ends {
		list = kadm.NewClient(cl).ListEndOffsets
	}
	listed, err := list(t.Context(), topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		t.Fatalf("list offsets of %s: %v", topic, err)
	}
	for p := range int32(len(listed[topic])) {
		all = append(all, listed[topic][p].Offset)
	}
	return all
}

// objectsOf counts the objects in the bucket of one kind: w, k, t, s.
func (a *agent) objectsOf(t *testing.T, kind string) (n int) {
	t.Helper()
	out, err := a.tool(t, "segment", "list", "-o", "jsonl")
	if err != nil {
		t.Fatalf("list objects: %v: %s", err, out)
	}
	for line := range strings.Lines(out) {
		if strings.Contains(line, "/"+kind+"/") {
			n++
		}
	}
	return n
}

// sound fails unless everything that is needed is in the bucket, and, once what waits to be deleted is gone and crashes are tidied up
// after, nothing else is. The agent must be stopped.
func (a *agent) sound(t *testing.T) {
	t.Helper()
	time.Sleep(3 * time.Second) // the grace
	if out, err := a.tool(t, "segment", "gc", "--yes", "--settle", "1s"); err != nil {
		t.Errorf("collect garbage: %v: %s", err, out)
	}
	if out, err := a.tool(t, "meta", "check", "--deep", "--settle", "1s"); err != nil {
		t.Errorf("check: %v: %s", err, out)
	}
}

// TestSegments: a log becomes packs and segments while it is written, with kills in between, and reads back whole from the start,
// after each restart.
func TestSegments(t *testing.T) {
	t.Parallel()
	onHurried(t, func(t *testing.T, a *agent) {
		const partitions = 3
		createTopic(t, a.addr, "seg", partitions)
		l := startLoad(t, a.addr, "seg", partitions)
		for range 3 {
			await(t, "segments", func() bool { return a.metric(t, "varve_extents_linked_total") >= 2*partitions })
			a.kill(t)
			a.start(t)
		}
		l.finish(t)
		await(t, "all of it to be in segments", func() bool { return a.metric(t, "varve_unsegmented_bytes") == 0 })
		l.check(t, a.addr, "seg")
		if got, want := len(kcatClient{}.consume(t, a.addr, "seg")), l.count(); got != want {
			t.Errorf("kcat reads %d records, want %d", got, want)
		}
		a.stop(t)
		a.start(t)
		l.check(t, a.addr, "seg")
		a.stop(t)
		a.sound(t)
		a.start(t)
		l.check(t, a.addr, "seg")
	})
}

// onHurried runs a test on a pair of stores that tools can look into, with an agent that rewrites its log within seconds.
func onHurried(t *testing.T, test func(t *testing.T, a *agent)) {
	i := slices.IndexFunc(pairs(), func(s store) bool { return s.name == allClientsOn })
	a := hurried(t, pairs()[i].open(t))
	a.start(t)
	test(t, a)
}
