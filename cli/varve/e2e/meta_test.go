//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/localstack/servers"
)

// on runs a command of the binary on the stores of the fleet, whose table may be another one.
func (f *fleet) on(t *testing.T, meta string, args ...string) (code int, out, text string) {
	t.Helper()
	a := f.agents[0]
	if meta == "" {
		meta = a.flag("--meta")
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), a.bin, append(args, "--store", a.flag("--store"), "--meta", meta)...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = append(os.Environ(), a.env...), &stdout, &stderr, time.Second
	timer := time.AfterFunc(5*time.Minute, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

func (a *agent) flag(name string) string { return a.args[slices.Index(a.args, name)+1] }

// rewriting is flags for packs and segments of seconds.
var rewriting = []string{"--pack-interval", "1s", "--segment-roll", "4s", "--gc-grace", "5s"}

// TestMetaOfALiveCluster: packs and segments come and go, an agent is killed, slots move, a topic goes; the check, beside it all, finds
// nothing but what the killed one had under way, and gc takes that. Then the table is lost, and made anew from the bucket.
func TestMetaOfALiveCluster(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, rewriting...)
	createTopic(t, f.agents[0].addr, "kept", 6)
	createTopic(t, f.agents[0].addr, "gone", 4)
	l := startLoad(t, f.agents[0].addr, "kept", 6, kgo.SeedBrokers(f.seeds()...))
	o := startLoad(t, f.agents[0].addr, "gone", 4, kgo.SeedBrokers(f.seeds()...))
	time.Sleep(8 * time.Second)
	f.agents[1].kill(t)
	l.outage(t, time.Minute)
	f.agents[1].start(t)
	o.finish(t)
	f.ok(t, "topic", "delete", "gone", "--yes")
	f.only(t, "", "orphan", "pack-counter") // what the killed agent had sent and not committed, and packs that only it knew
	l.finish(t)
	l.check(t, f.agents[0].addr, "kept")
	for _, a := range f.agents {
		a.stop(t)
	}
	f.only(t, "", "orphan", "pack-counter") // runs of the deleted topic, and of leaders that went
	if code, out, text := f.on(t, "", "segment", "gc", "--yes", "--rate", "0"); code != 0 {
		t.Errorf("gc: exit %d\n%s%s", code, out, text)
	}
	f.only(t, "")

	lost := servers.DynamoDB(t).MetaURL
	code, out, text := f.on(t, lost, "meta", "rebuild", "--yes", "--rate", "0", "-o", "json")
	if code != 0 {
		t.Fatalf("rebuild: exit %d\n%s%s", code, out, text)
	}
	t.Logf("%s", out)
	var got struct{ Topics, Partitions int }
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.Topics != 1 || got.Partitions != 6 {
		t.Errorf("%v: %s", err, out)
	}
	for _, a := range f.agents {
		a.args[slices.Index(a.args, "--meta")+1] = lost
		a.start(t)
	}
	l.check(t, f.agents[0].addr, "kept")
	more := startLoad(t, f.agents[0].addr, "kept", 6, kgo.SeedBrokers(f.seeds()...))
	more.outage(t, time.Minute)
	more.finish(t)
	if more.count() == 0 {
		t.Error("nothing was acked after the rebuild")
	}
	for _, a := range f.agents {
		a.stop(t)
	}
	f.only(t, lost, "orphan", "session-needless") // what the lost table had on its way out
}

// only checks the cluster, which may run, and demands that all that is wrong is of some classes.
func (f *fleet) only(t *testing.T, meta string, known ...string) {
	t.Helper()
	for _, class := range f.classes(t, meta) {
		if !slices.Contains(known, class) {
			t.Errorf("found: %s", class)
		}
	}
}

// classes are those of what a check finds.
func (f *fleet) classes(t *testing.T, meta string) (all []string) {
	t.Helper()
	_, out, text := f.on(t, meta, "meta", "check", "--deep", "--rate", "0", "-o", "json")
	var got struct {
		Findings []struct{ Class, Where, What string }
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v\n%s%s", err, out, text)
	}
	for _, f := range got.Findings {
		t.Logf("%s %s: %s", f.Class, f.Where, f.What)
		all = append(all, f.Class)
	}
	return all
}
