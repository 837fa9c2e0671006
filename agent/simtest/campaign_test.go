//go:build campaign

package simtest

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The campaign runs seeds that no campaign ran before: of the cores, of whole clusters, and rounds of real processes. What was run
// stands in campaign.txt, a line for each range of seeds: what, first, last, commit, result.

const campaignFile = "campaign.txt"

// campaignKind is something that has seeds.
type campaignKind struct {
	name  string
	most  uint64 // seeds of one line
	least uint64 // seeds that a run of `make campaign` adds by default
	run   func(t *testing.T, first, last uint64) (result string)
}

var campaignKinds = []campaignKind{
	{"core", 5000, 20_000, runCoreRange},
	{"cluster", 100, 100, func(t *testing.T, first, last uint64) string {
		return runCommand(t, []string{fmt.Sprintf("VARVE_SIM_SEED=%d", first), fmt.Sprintf("VARVE_SIM_N=%d", last-first+1)},
			"test", "-count=1", "-timeout=0", "-run=^TestClusterSim$", ".")
	}},
	{"process", 1, 2, func(t *testing.T, first, last uint64) string {
		return runCommand(t, []string{fmt.Sprintf("VARVE_SEED=%d", first), fmt.Sprintf("VARVE_CHAOS_ROUNDS=%d", last-first+1), "VARVE_CHAOS_SECONDS=60"},
			"test", "-tags=e2e", "-count=1", "-timeout=30m", "-run=^TestClusterChaos$", "../../cli/varve/e2e")
	}},
}

// campaignLine is a range of seeds that was run.
type campaignLine struct {
	kind           string
	first, last    uint64
	commit, result string
}

func (l campaignLine) String() string {
	return fmt.Sprintf("%s %d %d %s %s", l.kind, l.first, l.last, l.commit, l.result)
}

// TestCampaign goes on where the last one stopped. VARVE_CAMPAIGN says how much: "core=200000 cluster=0 process=30".
func TestCampaign(t *testing.T) {
	todo := map[string]uint64{}
	for _, k := range campaignKinds {
		todo[k.name] = k.least
	}
	for _, f := range strings.Fields(os.Getenv("VARVE_CAMPAIGN")) {
		name, n, _ := strings.Cut(f, "=")
		if _, known := todo[name]; !known {
			t.Fatalf("VARVE_CAMPAIGN: %q is none of core, cluster, process", name)
		}
		todo[name] = number(t, n)
	}
	lines, commit := readCampaign(t), campaignCommit(t)
	for _, k := range campaignKinds {
		for n := todo[k.name]; n > 0; {
			first := uint64(1)
			for _, l := range lines {
				if l.kind == k.name {
					first = max(first, l.last+1)
				}
			}
			last := first + min(n, k.most) - 1
			l := campaignLine{k.name, first, last, commit, k.run(t, first, last)}
			n -= last - first + 1
			lines = append(lines, l)
			t.Log(l)
			if l.result != "ok" {
				t.Error(l)
			}
			appendCampaign(t, l)
		}
	}
	for _, k := range campaignKinds {
		ran, failed := uint64(0), 0
		for _, l := range lines {
			if l.kind == k.name {
				ran += l.last - l.first + 1
				if l.result != "ok" {
					failed++
				}
			}
		}
		t.Logf("%s: %d seeds in all, %d ranges with a violation", k.name, ran, failed)
	}
}

// runCoreRange runs seeds of the cores. A rare branch that was never taken in a whole range is a failure too: then faults or clients
// are not what they were.
func runCoreRange(t *testing.T, first, last uint64) string {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	begun, steps, virtual, result := time.Now(), 0, time.Duration(0), "ok"
	sum := map[string]int{}
	for seed := first; seed <= last; seed++ {
		r := runCore(t, seed)
		if r.bad != "" {
			t.Errorf("SEED=%d: %s", seed, r.bad)
			if result == "ok" {
				result = fmt.Sprintf("SEED=%d: %s", seed, r.bad)
			}
		}
		steps, virtual = steps+r.steps, virtual+r.virtual
		for name, n := range r.sometimes {
			sum[name] += n
		}
	}
	t.Logf("%d seeds in %v, %d steps, %v virtual", last-first+1, time.Since(begun).Round(time.Second), steps, virtual.Round(time.Second))
	for _, name := range slices.Sorted(maps.Keys(sum)) {
		t.Logf("%8d sometimes: %s", sum[name], name)
	}
	if missing := neverTaken(sum); result == "ok" && len(missing) > 0 && last-first+1 >= coreSeeds {
		result = "never: " + strings.Join(missing, ", ")
	}
	return result
}

func runCommand(t *testing.T, env []string, args ...string) string {
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err == nil {
		return "ok"
	}
	t.Logf("%s %s\n%s", strings.Join(env, " "), err, out)
	return "failed: " + err.Error()
}

func campaignCommit(t *testing.T) string {
	if c := os.Getenv("VARVE_CAMPAIGN_COMMIT"); c != "" {
		return c // of sources that lie in no repository
	}
	out, err := exec.CommandContext(t.Context(), "git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		t.Fatalf("which commit is this? %v; set VARVE_CAMPAIGN_COMMIT", err)
	}
	commit := strings.TrimSpace(string(out))
	if changed, err := exec.CommandContext(context.Background(), "git", "status", "--porcelain", "--untracked-files=no", "..", "../../objstore", "../../metastore").Output(); err != nil || len(changed) > 0 {
		commit += "+changes"
	}
	return commit
}

func readCampaign(t *testing.T) (lines []campaignLine) {
	b, err := os.ReadFile(campaignFile)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, s := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		f := strings.SplitN(s, " ", 5)
		if len(f) < 5 || strings.HasPrefix(s, "#") {
			continue
		}
		first, err1 := strconv.ParseUint(f[1], 10, 64)
		last, err2 := strconv.ParseUint(f[2], 10, 64)
		if err1 != nil || err2 != nil {
			t.Fatalf("%s: %q is not: what, first seed, last seed, commit, result", campaignFile, s)
		}
		lines = append(lines, campaignLine{f[0], first, last, f[3], f[4]})
	}
	return lines
}

func appendCampaign(t *testing.T, l campaignLine) {
	f, err := os.OpenFile(campaignFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = fmt.Fprintln(f, l); err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}
