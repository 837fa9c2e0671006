package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// destroyers are names of commands and flags that promise to take something away for good.
var destroyers = []string{"delete", "trim", "gc", "rebuild", "restore", "reset", "remove", "drop", "wipe", "purge"}

// checkAsks: what destroys asks on a terminal, wants --yes elsewhere, and takes --dry-run; nothing else asks.
func checkAsks(c *ruleCell) {
	asks := c.cmd.option("yes") != nil
	promises := slices.Contains(destroyers, c.cmd.name) || slices.ContainsFunc(destroyers, func(n string) bool { return c.cmd.option(n) != nil })
	if asks != (c.recipe.destroy != "") || promises && !asks || asks && c.cmd.option("dry-run") == nil {
		c.errorf("has --yes: %v, destroys: %q, by its name: %v", asks, c.recipe.destroy, promises)
		return
	}
	if !asks {
		if strings.Contains(c.good.err, "[y/N]") {
			c.errorf("asks, and has no --yes")
		}
		return
	}
	args := slices.DeleteFunc(c.args(), func(a string) bool { return a == "--yes" || a == "--memory" })
	if c.recipe.destroy != "-" {
		c.copySpare()
		args = append(args, c.recipe.destroy, "--data", c.spare())
	}
	fill := c.prepare()
	args = fill(args)
	is := func(want bool, after string) {
		if got := c.run("", fill(c.recipe.there)...).code == exitOK; got != want {
			c.errorf("%s: it is there: %v, want %v", after, got, want)
		}
	}
	is(true, "before")
	if r := c.run("", args...); r.code != exitUsage || !strings.Contains(r.err, "add --yes") {
		c.errorf("nobody to ask: exit %d, %q", r.code, r.err)
	}
	is(true, "nobody to ask")
	if r := c.run("", append(args, "--dry-run")...); r.code != exitOK || !strings.Contains(r.err, "dry run: would have") {
		c.errorf("dry run: exit %d, %q", r.code, r.err)
	}
	is(true, "a dry run")
	c.terminal = true
	if r := c.run("n\n", args...); r.code != exitFailed || !strings.Contains(r.err, "? [y/N] ") || !strings.Contains(r.err, "nothing was done") {
		c.errorf("no: exit %d, %q", r.code, r.err)
	}
	c.terminal = false
	is(true, "no")
	if r := c.do(c.shell, append(args, "--yes")...); r.code != exitOK {
		c.errorf("--yes: exit %d, %q", r.code, r.err)
	}
	is(false, "--yes")
}

// samples are two values for each option that the environment may set.
var samples = map[string][2]string{
	"bootstrap": {"a:1", "b:2"}, "output": {"json", "yaml"}, "store": {"mem://", "null://"}, "meta": {"mem://", "bolt:///x"}, "cluster": {"x", "y"},
	"http": {"127.0.0.1:1", "127.0.0.1:2"}, "name": {"a", "b"}, "listen": {"127.0.0.1:1", "127.0.0.1:2"}, "advertise": {"a:1", "b:2"}, "peer": {"a:1", "b:2"}, "advertise-peer": {"a:1", "b:2"},
	"zone": {"x", "y"}, "slots": {"1", "2"}, "flush": {"1s", "2s"}, "flush-bytes": {"1MiB", "2MiB"}, "put-budget": {"10", "20"}, "memory-limit": {"1GiB", "2GiB"},
	"pack-interval": {"1s", "2s"}, "pack-bytes": {"1MiB", "2MiB"}, "segment-bytes": {"1MiB", "2MiB"}, "segment-roll": {"1s", "2s"}, "gc-grace": {"1s", "2s"}, "sweep-interval": {"1s", "2s"},
	"log-level": {"warn", "error"}, "set": {"a=1", "b=2"}, "config": {"", ""}, "data": {"x", "y"}, "pprof": {"true", "false"},
}

// checkSettings: the flag wins over the environment, that over the profile (for a server: the config file), that over the
// default.
func checkSettings(c *ruleCell) {
	home := c.t.TempDir()
	for _, o := range c.cmd.options {
		sample, known := samples[o.name]
		switch {
		case !o.inEnv || o.name == "config":
			continue
		case !known:
			c.errorf("--%s: what may it be? Add two values to samples", o.name)
			continue
		}
		path := filepath.Join(home, "varve", "profiles", "p.conf")
		_ = os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(o.name+" = "+sample[0]+"\n"), 0o644); err != nil {
			c.t.Fatal(err)
		}
		env := map[string]string{"XDG_CONFIG_HOME": home}
		from := func(want string, flags ...string) {
			if got := c.from(env, o.name, flags); got != want {
				c.errorf("--%s is set by %q, want %q", o.name, got, want)
			}
		}
		from("")
		env[profileVariable] = "p"
		switch {
		case c.cmd.server:
			from("", "--config", path) // read by the command itself: see TestConfigFile
		case c.cmd.personal:
			from("")
		default:
			from(fmt.Sprintf("profile %q, %s", "p", o.name))
		}
		env[o.envName()] = sample[1]
		from(o.envName())
		from("--"+o.name, "--"+o.name+"="+sample[0])
	}
}

// from tells what sets an option.
func (c *ruleCell) from(env map[string]string, name string, flags []string) string {
	root := commands()
	got, err := understand(root, append(slices.Clone(c.path), flags...))
	if err != nil {
		c.errorf("%v", err)
		return ""
	}
	cmd := got.command()
	cmd.run = func(context.Context, *world, []string) error { return nil }
	var errs strings.Builder
	w := &world{err: &errs, env: func(k string) (string, bool) { v, ok := env[k]; return v, ok }}
	if err := application(w, root).RunContext(context.Background(), got.argv()); err != nil {
		c.errorf("%v", err)
	}
	return cmd.option(name).from
}

// checkCompletion: every flag, the values of each that has a list, and live topics where a topic is wanted.
func checkCompletion(c *ruleCell) {
	complete := func(words ...string) []string { return c.firsts(append(slices.Clone(c.path), words...)...) }
	flags := complete("--")
	for _, o := range c.cmd.options {
		if !slices.Contains(flags, "--"+o.name) {
			c.errorf("%q lacks --%s", flags, o.name)
		}
		words := strings.Split(o.value, "|")
		if len(o.choices) == 0 && len(words) > 1 && o.value != "" {
			c.errorf("--%s %s has no values to complete", o.name, o.value)
		}
		if got := complete("--"+o.name, ""); len(o.choices) > 0 && !slices.Equal(got, o.choices) {
			c.errorf("--%s: %q, want %q", o.name, got, o.choices)
		}
		if got := complete("--"+o.name, ""); o.value == "TOPIC" && !slices.Contains(got, "t2") {
			c.errorf("--%s: %q, want live topics", o.name, got)
		}
	}
	if c.output != "" {
		if got := complete("--output=" + c.output[:2]); !slices.Contains(got, "--output="+c.output) {
			c.errorf("%q lacks --output=%s", got, c.output)
		}
	}
	if strings.Contains(c.cmd.args, "TOPIC") {
		if got := complete(""); !slices.Contains(got, "t") || !slices.Contains(got, "t2") {
			c.errorf("%q: want live topics", got)
		}
	}
}

// checkHelp: two examples (which TestExamplesRun runs) and the nearest name for a config that nobody knows.
func checkHelp(c *ruleCell) {
	help := c.ok("", append(slices.Clone(c.path), "--help")...)
	for _, e := range c.cmd.examples {
		if !strings.Contains(help, "\n  "+e+"\n") {
			c.errorf("the help lacks the example %q", e)
		}
	}
	if len(c.cmd.examples) < 2 {
		c.errorf("%d examples", len(c.cmd.examples))
	}
	answers := func(want string, args ...string) {
		if r := c.run("", append(slices.Clone(c.path), args...)...); r.code == exitOK || !strings.Contains(r.err, want) {
			c.errorf("%q: exit %d, %q; want %q", args, r.code, r.err, want)
		}
	}
	switch {
	case c.cmd.server:
		answers("num.partitions", append(slices.Clone(c.recipe.args), "--set", "num.partitons=3")...)
	case c.name == "profile set":
		answers("did you mean bootstrap?", "bootstrp", "a:1")
	case c.cmd.option("config") != nil:
		topic := map[string]string{"topic create": "new", "topic alter": "t"}[c.name]
		answers("retention.ms", topic, "--config", "retenton.ms=1")
	}
	for _, o := range c.cmd.options {
		if o.name == "config" && o.value == "FILE" {
			c.checkConfigWarns(o)
		}
	}
}

// checkConfigWarns: an unknown name in a config file gets a warning with the nearest one.
func (c *ruleCell) checkConfigWarns(o *option) {
	path := c.file("flsh = 10ms\n")
	if r := c.do(c.shell, append(slices.Clone(c.args()), "--"+o.name, path)...); r.code != exitOK || !strings.Contains(r.err, `unknown name "flsh"; did you mean flush?`) {
		c.errorf("exit %d, %q", r.code, r.err)
	}
}

// checkIsolation: without a word, what is in an open transaction is shown too.
func checkIsolation(c *ruleCell) {
	o := c.cmd.option("isolation")
	if o == nil || o.def != "read_uncommitted" || !slices.Equal(o.choices, []string{"read_uncommitted", "read_committed"}) {
		c.errorf("%+v", o)
	}
	for isolation, want := range map[string]bool{"read_uncommitted": false, "read_committed": true} {
		if cfg, err := (&consume{isolation: isolation}).plan([]string{"t"}); err != nil || cfg.Committed != want {
			c.errorf("%s: %+v, %v", isolation, cfg, err)
		}
	}
}
