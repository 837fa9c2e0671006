//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// varve runs a command of the binary against the cluster.
func (f *fleet) varve(t *testing.T, args ...string) (code int, out, text string) {
	t.Helper()
	bin, err := buildBinary()
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), bin, append(args, "--bootstrap", strings.Join(f.seeds(), ","))...)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &stdout, &stderr, time.Second
	timer := time.AfterFunc(hang, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

// ok is varve of a command that must succeed.
func (f *fleet) ok(t *testing.T, args ...string) string {
	t.Helper()
	code, out, text := f.varve(t, args...)
	if code != 0 {
		t.Fatalf("%q: exit %d: %s%s", args, code, out, text)
	}
	return out
}

// fails is varve of a command that must fail with one line that has all words.
func (f *fleet) fails(t *testing.T, args []string, words ...string) {
	t.Helper()
	code, _, text := f.varve(t, args...)
	oneLine(t, text, code, 1, words...)
}

// clusterJSON is what `varve cluster agents` and `slots` print.
type clusterJSON struct {
	Agents []struct {
		ID           int
		Agent, State string
		Slots        int
		Controller   bool
	}
	Slots []slotJSON
}

type slotJSON struct {
	Slot, Epoch        int
	Agent, Want, State string
	Partitions         *float64
	BytesPerSec        *float64 `json:"bytes_per_sec"`
}

func (f *fleet) show(t *testing.T, what string) (c clusterJSON) {
	t.Helper()
	if err := json.Unmarshal([]byte(f.ok(t, "cluster", what, "-o", "json")), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// leads returns how many slots each agent leads.
func (f *fleet) leads(t *testing.T) map[string]int {
	t.Helper()
	led := map[string]int{}
	for _, a := range f.show(t, "agents").Agents {
		led[a.Agent] = a.Slots
	}
	return led
}

// awaitEven waits until n agents lead, and the most loaded at most 1.2 times the mean, in bytes a second or else in partitions; or so
// that no single slot would help: each that it leads weighs at least what it leads more than the least loaded. It has to come within
// a minute after an agent came or went.
func (f *fleet) awaitEven(t *testing.T, n int) {
	t.Helper()
	var led map[string][]float64
	defer func() {
		if t.Failed() {
			t.Logf("they lead %v", led)
		}
	}()
	begun := time.Now()
	await(t, "a share for each agent", func() bool {
		led = map[string][]float64{}
		all := f.show(t, "slots").Slots
		weights := weigh(all)
		for i, s := range all {
			if s.Agent == "" || s.Want != "" || s.State != "open" {
				return false
			}
			led[s.Agent] = append(led[s.Agent], weights[i])
		}
		return len(led) == n && isEven(led)
	})
	t.Logf("even after %v", time.Since(begun).Round(100*time.Millisecond))
}

// weigh says what each slot costs, where the mean is about 1; one of which nobody told yet weighs as much as the mean.
func weigh(all []slotJSON) []float64 {
	bytes, partitions, known := 0.0, 0.0, 0.0
	for _, s := range all {
		if s.Partitions != nil && s.BytesPerSec != nil {
			bytes += *s.BytesPerSec
			partitions += *s.Partitions
			known++
		}
	}
	weights := make([]float64, len(all))
	for i, s := range all {
		weights[i] = 1
		if s.Partitions == nil || s.BytesPerSec == nil {
			continue
		}
		switch {
		case bytes >= 64<<10:
			weights[i] = *s.BytesPerSec*known/bytes + 0.04
		case partitions > 0:
			weights[i] = *s.Partitions*known/partitions + 0.04
		}
	}
	return weights
}

func isEven(led map[string][]float64) bool {
	sums, total := map[string]float64{}, 0.0
	least := math.Inf(1)
	for agent, slots := range led {
		for _, w := range slots {
			sums[agent] += w
		}
		total += sums[agent]
		least = min(least, sums[agent])
	}
	for agent, sum := range sums {
		if sum > 1.2*total/float64(len(led)) && slices.Min(led[agent]) < sum-least {
			return false
		}
	}
	return true
}

// TestClusterCommands: three agents under load are looked at, relieved and given slots by commands; whoever produces notices
// nothing. What can't be is refused in one line, and every command may be repeated.
func TestClusterCommands(t *testing.T) {
	f := newFleet(t, 3)
	createTopic(t, f.agents[0].addr, "cli", 12)
	l := startLoad(t, f.agents[0].addr, "cli", 12, kgo.SeedBrokers(f.seeds()...))
	f.awaitEven(t, 3)
	await(t, "health", func() bool { code, _, _ := f.varve(t, "cluster", "health"); return code == 0 })

	for range 2 {
		f.ok(t, "cluster", "move", "5", "a2")
		if s := f.show(t, "slots").Slots[5]; s.Agent != "a2" || s.State != "open" || s.Want != "" {
			t.Errorf("slot 5 after its move: %+v", s)
		}
	}
	epoch := f.show(t, "slots").Slots[5].Epoch
	if code, _, text := f.varve(t, "cluster", "move", "5", "3"); code != 0 || !strings.Contains(text, "may not stay") { // by node id
		t.Errorf("exit %d: %s", code, text)
	}
	if s := f.show(t, "slots").Slots[5]; s.Agent != "a3" || s.Epoch != epoch+1 {
		t.Errorf("slot 5 after its move: %+v", s)
	}
	f.fails(t, []string{"cluster", "move", "5", "a9"}, `no agent "a9"`, "a1, a2, a3")
	f.fails(t, []string{"cluster", "move", "32", "a1"}, "no slot 32", "0 to 31")
	f.fails(t, []string{"cluster", "drain", "nobody"}, `no agent "nobody"`)

	controller := ""
	for _, a := range f.show(t, "agents").Agents {
		if a.Controller {
			controller = a.Agent
		}
	}
	for range 2 { // the second time there is nothing left to do
		f.ok(t, "cluster", "drain", controller)
		if n := f.leads(t)[controller]; n != 0 {
			t.Errorf("%s leads %d slots", controller, n)
		}
	}
	f.fails(t, []string{"cluster", "move", "5", controller}, "being drained")
	others := []string{}
	for _, a := range f.show(t, "agents").Agents {
		if a.Agent != controller {
			others = append(others, a.Agent)
		} else if a.State != "drained" || a.Controller {
			t.Errorf("%+v", a)
		}
	}
	f.ok(t, "cluster", "drain", others[0])
	f.fails(t, []string{"cluster", "drain", others[1]}, "no other agent", others[1], "start one")
	if led := f.leads(t); led[others[1]] != 32 {
		t.Errorf("the last one leads %v", led)
	}
	f.ok(t, "cluster", "drain", controller, "--undo")
	for _, a := range f.agents { // a start takes the mark away too
		if a.name() == others[0] {
			a.stop(t)
			a.start(t)
		}
	}
	f.awaitEven(t, 3)
	await(t, "health", func() bool { code, _, _ := f.varve(t, "cluster", "health"); return code == 0 })
	l.finish(t)
	l.check(t, f.agents[0].addr, "cli")
	t.Logf("%d records acked", l.count())
}

// TestClusterHealth: an agent that stands still, and then one that is gone, show; when it is over, nothing does.
func TestClusterHealth(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	f.awaitEven(t, 3)
	frozen := f.agents[2]
	if err := frozen.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	unwell := func(words ...string) func() bool {
		return func() bool {
			code, out, text := f.varve(t, "cluster", "health")
			for _, w := range words {
				if !strings.Contains(out, w) {
					return false
				}
			}
			return code == 1 && strings.Contains(text, "the cluster is not well")
		}
	}
	silent, still := unwell("agent a3", "does not answer"), unwell("agent a3", "its heartbeat stands still")
	await(t, "a word about the agent that stands still", func() bool { return silent() || still() })
	await(t, "health without it", func() bool { code, _, _ := f.varve(t, "cluster", "health"); return code == 0 })
	if led := f.leads(t); led["a1"]+led["a2"] != 32 || led["a3"] != 0 {
		t.Errorf("they lead %v", led)
	}
	if err := frozen.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	frozen.awaitLog(t, "FENCED")
	f.awaitEven(t, 3)
	await(t, "health", func() bool { code, _, _ := f.varve(t, "cluster", "health"); return code == 0 })
	if out := f.ok(t, "cluster", "health"); !strings.Contains(out, "well    true") || !strings.Contains(out, fmt.Sprintf("slots   %d", 32)) {
		t.Errorf("health says\n%s", out)
	}
}
