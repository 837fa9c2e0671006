//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
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
	Slots []struct {
		Slot, Epoch        int
		Agent, Want, State string
	}
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

// awaitEven waits until each of n agents leads its share of the 32 slots, about: some weigh more than others.
func (f *fleet) awaitEven(t *testing.T, n int) {
	t.Helper()
	var led map[string]int
	defer func() {
		if t.Failed() {
			t.Logf("they lead %v", led)
		}
	}()
	await(t, "a share for each agent", func() bool {
		led = f.leads(t)
		for _, slots := range led {
			if slots < 32/n/2 || slots > 32/n*2 {
				return false
			}
		}
		return len(led) == n
	})
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
