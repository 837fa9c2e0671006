package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// exampleCase is what an example needs besides a running "varve dev" in its folder.
type exampleCase struct {
	why    string // why it is not run: it needs what a test has not
	before string // commands to run first
	types  string // what a person types at its question
	until  string // it runs until it is interrupted, once it has printed this
}

const twoAgents = "needs a second agent"

// twoRuns makes the files of the examples of "bench compare".
const twoRuns = "varve bench produce --store null --rate 1000 --warmup 0s --duration 300ms -o json | tee before.json > after.json"

const onAWS = "needs a bucket and a table on AWS"

// stoppedDev leaves the stores of a cluster whose only agent has stopped.
const stoppedDev = "varve dev --data /var/lib/varve --listen 127.0.0.1:0 --http 127.0.0.1:0 >served & until grep -q kcat served; do sleep 0.1; done; kill $!; wait $!"

// exampleCases are the examples that need something; all others are run as they are.
var exampleCases = map[string]exampleCase{
	"varve dev": {until: "kcat"},
	"varve dev --memory --topics orders:6,audit:1 --listen 127.0.0.1:0 --http 127.0.0.1:0":                                                                                    {until: "kcat"},
	"varve agent --name a1 --store file:///var/lib/varve/objects --meta bolt:///var/lib/varve/facts.db --http 127.0.0.1:8080":                                                 {until: "console", before: "mkdir -p /var/lib/varve"},
	"varve agent --name a1 --store 's3://varve/prod?region=eu-central-1' --meta 'dynamodb://varve?region=eu-central-1' --listen 0.0.0.0:9092 --advertise a1.example.com:9092": {why: onAWS},
	"varve segment list --store 's3://varve/prod?region=eu-central-1' --meta 'dynamodb://varve?region=eu-central-1' --output jsonl":                                           {why: onAWS},
	"varve segment verify orders --store 's3://varve/prod?region=eu-central-1' --output jsonl":                                                                                {why: onAWS},
	`varve consume orders --from -1h --grep error -f '%d{go#15:04:05#} %k %v\n'`:                                                                                              {until: "an error"},
	"varve cluster drain a2": {why: twoAgents}, "varve cluster move 0 a2 --bootstrap 10.0.0.1:9092": {why: twoAgents},
	"varve bench agents": {until: "console"}, "varve bench agents --agents 3 --zones 3 --store sim --flush 100ms": {until: "console"},
	"varve bench compare before.json after.json":                                                  {before: twoRuns},
	"varve bench compare before.json after.json --only put_per_gib,dollars_per_gb --tolerance 5%": {before: twoRuns},
	"varve bench fail-over --store minio --agents 3 --times 10 --how pause":                       {why: twoAgents},
	"varve bench fail-over --store minio --agents 3 --times 2 --how cut":                          {why: twoAgents},
	"varve topic delete scratch":                                                                  {before: "varve topic create scratch", types: "y\r"},
	"varve topic delete scratch-1 scratch-2 --yes":                                                {before: "varve topic create scratch-1; varve topic create scratch-2"},
	"varve group describe billing":                                                                {before: "varve group seek billing --topic orders --to 0"},
	"varve group describe billing --output json":                                                  {before: "varve group seek billing --topic orders --to 0"},
	"varve group lag billing":                                                                     {before: "varve group seek billing --topic orders --to 0"},
	"varve group delete billing --yes":                                                            {before: "varve group seek billing --topic orders --to 0"},
	"varve group delete old-1 old-2 --dry-run":                                                    {before: "varve group seek old-1 --topic orders --to 0; varve group seek old-2 --topic orders --to 0"},
	"varve completion fish | source":                                                              {why: "is typed into fish: see TestCompletionInFish"},
	"source <(varve completion zsh)":                                                              {why: "is typed into zsh: see TestCompletionOnATerminal"},
	"varve profile show":                                                                          {before: "varve profile set output table"},
	"varve profile show default --output yaml":                                                    {before: "varve profile set output table"},
	"varve profile use default":                                                                   {before: "varve profile set output table"},

	exampleCheck: {before: stoppedDev}, "varve segment gc --dry-run" + exampleStores: {before: stoppedDev}, "varve segment gc --yes" + exampleStores: {before: stoppedDev},
	"varve meta get varve/C CFG --meta bolt:///var/lib/varve/facts.db":                                       {before: stoppedDev},
	"varve meta get varve/M --meta bolt:///var/lib/varve/facts.db --output json":                             {before: stoppedDev},
	"varve meta rebuild --dry-run --store file:///var/lib/varve/objects --meta bolt:///var/lib/varve/new.db": {before: stoppedDev},
	"varve meta rebuild --yes --store file:///var/lib/varve/objects --meta bolt:///var/lib/varve/new.db":     {before: stoppedDev},
	exampleCheckAWS: {why: onAWS}, exampleRepairSlot: {why: onAWS}, exampleRepairPack: {why: onAWS},
}

// TestExamplesRun runs the examples of every help text as a person would: in a shell, beside a "varve dev", one folder for
// each. Addresses and folders of the machine are replaced by those of the test.
func TestExamplesRun(t *testing.T) {
	unused := map[string]bool{}
	for e := range exampleCases {
		unused[e] = true
	}
	everyCommand(commands(), nil, func(c *command, path []string) {
		for i, e := range c.examples {
			delete(unused, e)
			if exampleCases[e].why != "" {
				t.Logf("not run: %s: %s", e, exampleCases[e].why)
				continue
			}
			t.Run(fmt.Sprintf("%s_%d", strings.Join(path, "_"), i), func(t *testing.T) {
				t.Parallel() // each has a server of its own, and most wait
				runExample(t, e, exampleCases[e])
			})
		}
	})
	for e := range unused {
		t.Errorf("%q is no example", e)
	}
}

func runExample(t *testing.T, example string, x exampleCase) {
	dir := t.TempDir()
	s := start(t, "kcat", "dev", "--data", filepath.Join(dir, ".varve"), "--pprof")
	sh := s.shell()
	console := strings.TrimPrefix(strings.Fields(s.lines[1])[1], "http://")
	if !strings.Contains(example, "topic create orders") {
		sh.ok("", "topic", "create", "orders", "-p", "1")
		sh.ok("an error\n", "produce", "orders", "-k", "k")
	}
	sh.env["EDITOR"] = "true"
	if x.until == "" || strings.Contains(example, "consume") {
		sh.env["VARVE_HTTP"] = console
	} else {
		sh.env["VARVE_HTTP"], sh.env["VARVE_LISTEN"], sh.env["VARVE_DATA"] = "127.0.0.1:0", "127.0.0.1:0", filepath.Join(dir, "another")
	}
	script := strings.NewReplacer("127.0.0.1:9092", s.kafka, "127.0.0.1:8080", "127.0.0.1:0", "/var/lib/varve", filepath.Join(dir, "lib")).Replace(x.before + "\n" + example)
	script = "set -eo pipefail\n" + script
	env := sh.shellEnv()
	switch {
	case x.types != "":
		k := onTerminal(t, env, "bash", "--norc", "-c", script+"; echo; echo all''right")
		k.sees(0, "[y/N]")
		k.typing(x.types, "allright")
	case x.until != "":
		runUntil(t, env, script, x.until)
	default:
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "bash", "--norc", "-c", script)
		cmd.Env, cmd.Dir = env, dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", example, err, out)
		}
	}
}

// runUntil interrupts a command once it has printed something; it must then end with 0.
func runUntil(t *testing.T, env []string, script, until string) {
	t.Helper()
	i := strings.LastIndex(script, "varve ")
	cmd := exec.Command("bash", "--norc", "-c", script[:i]+"exec "+script[i:])
	out := &lockedBuffer{new: make(chan struct{}, 1)}
	var errs bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = env, out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	limit := time.After(30 * time.Second)
	for !strings.Contains(out.String(), until) {
		select {
		case <-out.new:
			continue
		case <-limit:
			t.Errorf("it does not print %q", until)
			_ = cmd.Process.Kill()
		}
		break
	}
	_ = cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Error(fmt.Errorf("interrupted: %w\n%s%s", err, out, &errs))
	}
}
