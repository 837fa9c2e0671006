package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// rule is one of the twelve rules of output and input.
type rule struct {
	about  string
	check  func(c *ruleCell)
	only   []string          // the commands it is about; none given: all
	why    string            // why it is not about the others
	except map[string]string // why it is not tried with a command
}

const (
	noListing = "says on stderr what it did, and prints nothing"
	anAddress = "prints addresses for people and scripts, one a line"
	aScript   = "prints a script"
)

// theRules are numbered from 1.
var theRules = []rule{
	{about: "stdout carries data only", check: checkStdout},
	{about: "every listing has the four outputs", check: checkOutputs, except: map[string]string{
		"dev": anAddress, "agent": anAddress, "bench agents": anAddress, "completion bash": aScript, "completion zsh": aScript, "completion fish": aScript,
		"completion words": "prints words for shells", "pprof": "prints the name of a file",
		"consume": "prints records, which have outputs of their own", "segment cat": "prints records, as lines that produce takes",
		"produce":      "prints nothing, or with --report a line for each record",
		"topic create": noListing, "topic alter": noListing, "topic delete": noListing, "topic add-partitions": noListing,
		"group delete": noListing, "cluster drain": noListing, "meta repair": noListing, "cluster move": noListing,
		"profile use": noListing, "profile set": noListing, "profile edit": noListing,
	}},
	{about: "exit codes", check: checkExits},
	{about: "what consume prints, produce writes", check: checkRoundTrip, only: []string{"produce", "consume", "segment cat"}, why: "neither prints nor takes records"},
	{about: "delimiters of several bytes", check: checkDelimiters, only: []string{"produce", "consume"}, why: "has no --format"},
	{about: "a tombstone is explicit", check: checkTombstones, only: []string{"produce", "consume", "segment cat"}, why: "neither prints nor takes records"},
	{about: "reads are bounded", check: checkBounds, only: []string{"consume", "segment list"}, why: "reads no log; that it ends is seen in every cell"},
	{about: "what destroys asks", check: checkAsks},
	{about: "flag, environment, profile, default", check: checkSettings},
	{about: "completion", check: checkCompletion},
	{about: "help has two examples; unknown configs are answered with the nearest", check: checkHelp},
	{about: "consume reads uncommitted", check: checkIsolation, only: []string{"consume"}, why: "reads no log, or what an object holds, whatever became of it"},
}

// TestTwelveRules tries every command, with each of its outputs, on every rule, on a live server. A command that is new is
// missing in recipes until somebody says how it is called.
func TestTwelveRules(t *testing.T) {
	l := goLive(t)
	known := recipes(l)
	tried, left := map[int]int{}, map[int]int{}
	cells := 0
	everyCommand(commands(), nil, func(cmd *command, path []string) {
		if cmd.run == nil {
			return
		}
		name := strings.Join(path, " ")
		r, ok := known[name]
		if !ok {
			t.Errorf("%s: how is it called? Add it to recipes", name)
			return
		}
		delete(known, name)
		for _, output := range outputsOf(cmd) {
			cells++
			t.Run(strings.Join(append(path, output), "_"), func(t *testing.T) {
				l.t, l.ill.t = t, t
				c := &ruleCell{live: l, path: path, name: name, cmd: cmd, output: output, recipe: r}
				c.good = c.do(l.shell, c.args()...)
				for i, rule := range theRules {
					if why := rule.reason(name); why != "" {
						left[i]++
						continue
					}
					tried[i]++
					rule.check(c)
				}
			})
		}
	})
	for name := range known {
		t.Errorf("there is a recipe for %q, which is no command", name)
	}
	t.Logf("%d commands with their outputs", cells)
	for i, r := range theRules {
		t.Logf("rule %2d: %3d tried, %3d not: %s", i+1, tried[i], left[i], r.about)
		if tried[i]+left[i] != cells || tried[i] == 0 {
			t.Errorf("rule %d: %d cells tried, %d not, of %d", i+1, tried[i], left[i], cells)
		}
	}
}

// TestReasonsAreOfCommands: a reason for a command that is gone would hide a new one of that name.
func TestReasonsAreOfCommands(t *testing.T) {
	var names []string
	everyCommand(commands(), nil, func(_ *command, path []string) { names = append(names, strings.Join(path, " ")) })
	for i, r := range theRules {
		for _, name := range append(slices.Collect(maps.Keys(r.except)), r.only...) {
			if !slices.Contains(names, name) {
				t.Errorf("rule %d is about %q, which is no command", i+1, name)
			}
		}
	}
}

// reason says why a rule is not tried with a command; empty: it is.
func (r rule) reason(name string) string {
	if len(r.only) > 0 && !slices.Contains(r.only, name) {
		return r.why
	}
	return r.except[name]
}

// outputsOf are the values of --output; one empty one if there is none.
func outputsOf(c *command) []string {
	if o := c.option("output"); o != nil {
		return o.choices
	}
	return []string{""}
}

func (c *ruleCell) errorf(format string, args ...any) {
	c.t.Helper()
	c.t.Errorf("%s %s: %s", c.name, c.output, fmt.Sprintf(format, args...))
}
