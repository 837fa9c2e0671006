package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"pgregory.net/rapid"
)

// everyCommand calls do for each command of the tree with its path.
func everyCommand(c *command, path []string, do func(c *command, path []string)) {
	do(c, path)
	for _, s := range c.sub {
		everyCommand(s, append(slices.Clone(path), s.name), do)
	}
}

// words splits a line as a shell does, as far as the examples need it: quotes, and $(...) as one word.
func words(t *testing.T, line string) (all []string) {
	word, in, quote, depth := "", false, rune(0), 0
	for _, r := range line + " " {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word += string(r)
		case depth == 0 && (r == '\'' || r == '"'):
			quote, in = r, true
		case r == ' ' && depth == 0:
			if in {
				all = append(all, word)
			}
			word, in = "", false
		default:
			switch r {
			case '(':
				depth++
			case ')':
				depth--
			}
			word, in = word+string(r), true
		}
	}
	if quote != 0 || depth != 0 {
		t.Errorf("%q: unbalanced", line)
	}
	return all
}

// TestExamplesWork: every command has two examples, and this very program understands all of them.
func TestExamplesWork(t *testing.T) {
	everyCommand(commands(), nil, func(c *command, path []string) {
		name := strings.Join(path, " ")
		if len(path) == 0 {
			return
		}
		if len(c.examples) < 2 {
			t.Errorf("%s: %d examples, want 2", name, len(c.examples))
		}
		named := 0
		for _, e := range c.examples {
			for _, part := range pipeline(t, e) {
				if part[0] != "varve" {
					continue
				}
				if strings.HasPrefix(strings.Join(part, " ")+" ", "varve "+name+" ") {
					named++
				}
				checkExample(t, e, part[1:])
			}
		}
		if named < len(c.examples) {
			t.Errorf("%s: an example is about another command", name)
		}
	})
}

// pipeline cuts words at each "|", opens "source <(...)", and leaves out where output goes.
func pipeline(t *testing.T, line string) (parts [][]string) {
	if inner, ok := strings.CutPrefix(line, "source <("); ok {
		line = strings.TrimSuffix(inner, ")")
	}
	words := words(t, line)
	if i := slices.Index(words, ">"); i >= 0 {
		words = words[:i]
	}
	for {
		i := slices.Index(words, "|")
		if i < 0 {
			return append(parts, words)
		}
		parts, words = append(parts, words[:i]), words[i+1:]
	}
}

func checkExample(t *testing.T, example string, args []string) {
	t.Helper()
	got, err := understand(commands(), args)
	if err != nil {
		t.Errorf("%q: %v", example, err)
		return
	}
	c := got.command()
	if n := len(got.positionals); c.run == nil || n < c.min || c.max >= 0 && n > c.max {
		t.Errorf("%q: %d arguments", example, n)
	}
	c.run = func(context.Context, *world, []string) error { return nil }
	var w world
	w.env = func(k string) (string, bool) { return "", false }
	if err := application(&w, got.path[0]).RunContext(context.Background(), got.argv()); err != nil {
		t.Errorf("%q: %v", example, err)
	}
}

func TestHelpIsOnStdoutAndComplete(t *testing.T) {
	s := &shell{t: t}
	everyCommand(commands(), nil, func(c *command, path []string) {
		for _, args := range [][]string{append(slices.Clone(path), "--help"), append([]string{"help"}, path...), append(slices.Clone(path), "-h")} {
			r := s.run("", args...)
			if r.code != exitOK || r.err != "" || !strings.Contains(r.out, "usage: varve") {
				t.Errorf("%q: exit %d, stderr %q", args, r.code, r.err)
			}
			for _, o := range c.options {
				if !strings.Contains(r.out, "--"+o.name) || o.usage == "" {
					t.Errorf("%q: the flag %s is not explained", args, o.name)
				}
			}
		}
	})
}

// TestNamesAreUnique: a flag or command that is there twice would hide the other.
func TestNamesAreUnique(t *testing.T) {
	everyCommand(commands(), nil, func(c *command, path []string) {
		seen := map[string]bool{"help": true, "h": true}
		for _, o := range c.options {
			for _, n := range []string{o.name, o.short} {
				if n != "" && seen[n] {
					t.Errorf("%q: two flags are called %s", path, n)
				}
				seen[n] = true
			}
		}
	})
}

// taste is a small tree that records what arrives.
type taste struct {
	key, color string
	on         bool
	many       []string
	args       []string
	ran        bool
	err        error
}

func (g *taste) tree() *command {
	leaf := &command{
		name: "leaf", args: "A...", short: "a leaf", min: 0, max: 3,
		options: []*option{
			opt(&g.key, parseText, "key", "KEY", "a key").withShort("k"),
			opt(&g.color, oneOf("red", "blue"), "color", "COLOR", "a colour").withEnv(),
			optSwitch(&g.on, "on", "a switch"),
			optMany(&g.many, parseText, "many", "M", "many").withShort("m").withEnv(),
		},
		run: func(_ context.Context, _ *world, args []string) error {
			g.args, g.ran = args, true
			return g.err
		},
	}
	return &command{name: "varve", short: "x", sub: []*command{{name: "group", short: "g", sub: []*command{leaf}}}}
}

// call runs the tree.
func (g *taste) call(env map[string]string, args ...string) (code int, stderr string) {
	var out, err strings.Builder
	w := &world{in: strings.NewReader(""), out: &out, err: &err, env: func(k string) (string, bool) { v, ok := env[k]; return v, ok }}
	code = run(context.Background(), w, g.tree(), args)
	if out.Len() > 0 {
		return -1, "stdout: " + out.String()
	}
	return code, err.String()
}

func TestFlagsMayFollowArguments(t *testing.T) {
	for _, c := range []struct {
		args []string
		want taste
	}{
		{[]string{"a", "--key", "u1"}, taste{key: "u1", args: []string{"a"}}},
		{[]string{"a", "-k", "u1", "b", "--on"}, taste{key: "u1", on: true, args: []string{"a", "b"}}},
		{[]string{"-k=u1", "a"}, taste{key: "u1", args: []string{"a"}}},
		{[]string{"-k17", "a"}, taste{key: "17", args: []string{"a"}}},
		{[]string{"--key", "-1h", "a"}, taste{key: "-1h", args: []string{"a"}}},
		{[]string{"--key", "--on"}, taste{key: "--on"}},
		{[]string{"--key", "", "a"}, taste{args: []string{"a"}}},
		{[]string{"a", "--", "--key", "-k"}, taste{args: []string{"a", "--key", "-k"}}},
		{[]string{"--", "--on", "--"}, taste{args: []string{"--on", "--"}}},
		{[]string{"-", "--on=false"}, taste{args: []string{"-"}}},
		{[]string{"-m", "a=1,b=2", "-m", "c;d"}, taste{many: []string{"a=1,b=2", "c;d"}}},
		{[]string{"help"}, taste{args: []string{"help"}}},
		{[]string{"--key", "a", "--key", "b"}, taste{key: "b"}},
		{[]string{"--key", "{{.}}"}, taste{key: "{{.}}"}},
	} {
		var g taste
		code, stderr := g.call(nil, append([]string{"group", "leaf"}, c.args...)...)
		c.want.ran = true
		if code != exitOK || fmt.Sprint(g) != fmt.Sprint(c.want) {
			t.Errorf("%q: %+v, exit %d %s; want %+v", c.args, g, code, stderr, c.want)
		}
	}
}

// TestAnyOrderIsTheSame: however flags and arguments are mixed, the command gets the same.
func TestAnyOrderIsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		args := rapid.SliceOfN(rapid.StringMatching(`[a-z./=]{1,5}`), 0, 3).Draw(t, "args")
		key := rapid.String().Draw(t, "key")
		many := rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "many")
		var pieces [][]string
		for _, m := range many {
			pieces = append(pieces, rapid.SampledFrom([][]string{{"-m", m}, {"--many=" + m}}).Draw(t, "form"))
		}
		pieces = append(pieces, []string{"--key", key}, []string{"--on"})
		for _, a := range args { // arguments keep their order, and so do the values of one flag
			at := rapid.IntRange(0, len(pieces)).Draw(t, "at")
			pieces = slices.Insert(pieces, at, []string{a})
		}
		var want []string
		for _, p := range pieces {
			if len(p) == 1 && p[0] != "--on" && !strings.HasPrefix(p[0], "--many=") {
				want = append(want, p[0])
			}
		}
		var g taste
		code, stderr := g.call(nil, append([]string{"group", "leaf"}, slices.Concat(pieces...)...)...)
		if code != exitOK || g.key != key || !g.on || !slices.Equal(g.many, many) || !slices.Equal(g.args, want) {
			t.Fatalf("%q: %+v, exit %d %s", pieces, g, code, stderr)
		}
	})
}

func TestMistakesExitWith2(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"", "usage: varve COMMAND"},
		{"group", "usage: varve group COMMAND"},
		{"gruop leaf", "did you mean group?"},
		{"group laef", "did you mean leaf?"},
		{"group something-else", `no command "something-else"`},
		{"group leaf --kye x", "did you mean --key?"},
		{"group leaf -z", "no flag -z"},
		{"group leaf -z1", "no flag -z1"},
		{"group leaf -kx", "no flag -kx"},
		{"group leaf --k1", "no flag --k1"},
		{"group leaf --key", "--key needs a value: --key KEY"},
		{"group leaf --color green", `--color: "green" is not one of red, blue`},
		{"group leaf --on=maybe", `"maybe" is not true or false`},
		{"group leaf a b c d", "wants A..., got 4"},
		{"--version", "no flag --version"},
	} {
		var g taste
		code, stderr := g.call(nil, strings.Fields(c.args)...)
		if code != exitUsage || !strings.Contains(stderr, c.want) || g.ran {
			t.Errorf("%q: exit %d, %q; want %q", c.args, code, stderr, c.want)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err    error
		code   int
		stderr string
	}{
		{nil, 0, ""},
		{errors.New("it broke"), 1, "varve group leaf: it broke\n"},
		{errors.Join(errors.New("one"), errors.New("two")), 1, "varve group leaf: one\nvarve group leaf: two\n"},
		{fmt.Errorf("create: %w", kerr.TopicAlreadyExists), 1, "varve group leaf: create: " + kerr.TopicAlreadyExists.Error() + "\n"},
		{fmt.Errorf("create: %w: it is there", kerr.TopicAlreadyExists), 1, "varve group leaf: create: TOPIC_ALREADY_EXISTS: it is there\n"},
		{errSaid, 1, ""},
		{fmt.Errorf("x: %w", errWarnings), 3, ""},
		{context.Canceled, 1, "varve group leaf: interrupted\n"},
		{usagef("no such %s", "thing"), 2, "varve group leaf: no such thing\nusage: varve group leaf A... [FLAGS]\nsee varve group leaf --help\n"},
		{fmt.Errorf("wrapped: %w", usagef("bad")), 2, "varve group leaf: wrapped: bad\nusage: varve group leaf A... [FLAGS]\nsee varve group leaf --help\n"},
	} {
		g := taste{err: c.err}
		if code, stderr := g.call(nil, "group", "leaf"); code != c.code || stderr != c.stderr {
			t.Errorf("%v: exit %d, %q; want %d, %q", c.err, code, stderr, c.code, c.stderr)
		}
	}
}

func TestEnvironmentComesSecond(t *testing.T) {
	env := map[string]string{"VARVE_COLOR": "blue", "VARVE_MANY": "a=1,2;b=3", "VARVE_KEY": "not asked for"}
	var g taste
	if code, stderr := g.call(env, "group", "leaf"); code != 0 || g.color != "blue" || g.key != "" || !slices.Equal(g.many, []string{"a=1,2", "b=3"}) {
		t.Errorf("exit %d %s: %+v", code, stderr, g)
	}
	g = taste{}
	if code, _ := g.call(env, "group", "leaf", "--color", "red", "-m", "x"); code != 0 || g.color != "red" || !slices.Equal(g.many, []string{"x"}) {
		t.Errorf("exit %d: %+v", code, g)
	}
	g = taste{}
	code, stderr := g.call(map[string]string{"VARVE_COLOR": "green"}, "group", "leaf")
	if code != exitUsage || !strings.Contains(stderr, "VARVE_COLOR: ") {
		t.Errorf("exit %d, %q", code, stderr)
	}
	g = taste{color: "red"}
	if code, _ := g.call(map[string]string{"VARVE_COLOR": ""}, "group", "leaf"); code != 0 || g.color != "red" {
		t.Errorf("an empty variable: exit %d, %+v", code, g)
	}
}

func TestNearest(t *testing.T) {
	all := []string{"list", "describe", "create", "alter", "delete", "add-partitions"}
	for in, want := range map[string]string{
		"lst": "list", "lsit": "list", "crate": "create", "descibe": "describe", "delte": "delete", "add-partition": "add-partitions",
		"zzz": "", "x": "", "": "", "frobnicate": "",
	} {
		if got := nearest(in, all); got != want {
			t.Errorf("nearest(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestDistanceIsAMetric(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[a-c]{0,6}`)
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		d := distance(a, b)
		if d != distance(b, a) || (d == 0) != (a == b) || d > max(len(a), len(b)) || d < max(len(a), len(b))-min(len(a), len(b)) {
			t.Fatalf("distance(%q, %q) = %d, back %d", a, b, d, distance(b, a))
		}
	})
}
