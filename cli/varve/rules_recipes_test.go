package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// recipe is how to call a command so that it succeeds.
type recipe struct {
	before  [][]string // commands to run first
	plant   func()     // besides them
	args    []string   // positional arguments and flags
	in      string     // stdin
	server  bool       // runs until it is interrupted
	silent  bool       // prints nothing on stdout, with these arguments
	cannot  string     // why it cannot fail at run time but for a stdout that is broken; empty: it fails in a world that is ill
	destroy string     // a flag that makes it destroy something; "-": it always does
	there   []string   // a command that succeeds while what would be destroyed is there
}

// newTopicName stands in a recipe for another name each time that it is followed.
const newTopicName = "NEW-TOPIC"

// recipes has a line for every command that runs. world has the live server, and a key in its bucket.
func recipes(l *live) map[string]recipe {
	profile := [][]string{{"profile", "set", "output", "table", "--profile", "p"}}
	return map[string]recipe{
		"dev":   {args: []string{"--memory", "--http", ""}, server: true, destroy: "--reset", there: []string{"segment", "inspect", l.key, "--store", l.spareStore()}},
		"agent": {args: []string{"--name", "a", "--store", "mem://", "--meta", "mem://", "--http", ""}, server: true},

		"topic list":           {},
		"topic describe":       {args: []string{"t"}},
		"topic create":         {args: []string{newTopicName}, silent: true},
		"topic alter":          {args: []string{"t", "-c", "retention.ms=86400000"}, silent: true},
		"topic delete":         {args: []string{newTopicName, "--yes"}, before: [][]string{{"topic", "create", newTopicName}}, silent: true, destroy: "-", there: []string{"topic", "describe", newTopicName}},
		"topic add-partitions": {args: []string{newTopicName, "-p", "3"}, before: [][]string{{"topic", "create", newTopicName, "-p", "1"}}, silent: true},

		"group list": {before: seekGroup("g")}, "group describe": {args: []string{"g"}, before: seekGroup("g")}, "group lag": {args: []string{"g"}, before: seekGroup("g")},
		"group seek":   {args: []string{"g", "--topic", "t", "--to", "earliest"}},
		"group delete": {args: []string{newTopicName, "--yes"}, before: seekGroup(newTopicName), silent: true, destroy: "-", there: []string{"group", "describe", newTopicName}},

		"produce": {args: []string{"t2"}, in: "a\nb\n", silent: true},
		"consume": {args: []string{"t", "--exit-at-end"}},

		"cluster info": {}, "cluster agents": {}, "cluster slots": {}, "cluster health": {}, "cluster drain": {args: []string{"dev", "--undo"}, silent: true},
		"cluster move": {args: []string{"3", "dev"}, silent: true}, "cluster config": {}, "cluster api-versions": {},

		"segment list": {args: []string{"t"}}, "segment inspect": {args: []string{l.key, "--batches"}},
		"segment verify": {args: []string{"t", "--deep"}}, "segment cat": {args: []string{l.key}},

		"segment compact": {args: []string{"t", "--now"}},
		"segment gc":      {args: l.stopped("--yes"), plant: l.plantOrphan, cannot: toldStores, destroy: "-", there: []string{"segment", "inspect", l.orphan, "--store", l.stopped()[1]}},
		"meta check":      {args: l.stopped(), cannot: toldStores}, "meta get": {args: []string{"varve/C", "CFG", "--meta", l.stopped()[3]}, cannot: toldStores},
		"meta rebuild": {args: []string{"--store", l.stopped()[1], "--meta", l.emptyTable(), "--yes"}, plant: l.plantEmpty, cannot: toldStores, destroy: "-", there: []string{"meta", "rebuild", "--dry-run", "--store", l.stopped()[1], "--meta", l.emptyTable()}},
		"meta repair":  {args: l.stopped("undecodable", "varve/L,x", "--yes"), plant: l.plantItem, cannot: toldStores, silent: true, destroy: "-", there: []string{"meta", "get", "varve/L", "x", "--meta", l.stopped()[3]}},

		"bench produce": {args: shortBench(l, "--acks", "1"), cannot: benchCannot}, "bench e2e": {args: shortBench(l), cannot: benchCannot},
		"bench consume":  {args: shortBench(l, "--backlog", "64KiB"), cannot: benchCannot},
		"bench catch-up": {args: shortBench(l, "--backlog", "64KiB"), cannot: benchCannot}, "bench idle-cost": {args: shortBench(l, "--rate", "0"), cannot: benchCannot},
		"bench fail-over": {args: []string{"--times", "1", "--every", "10ms", "--rate", "500", "--partitions", "2"}, cannot: "has agents of its own"},
		"bench compare":   {args: twoReports(l), cannot: "reads two files"},
		"bench agents":    {args: []string{"--agents", "2", "--zones", "2"}, server: true, cannot: "has stores of its own"},

		"pprof": {args: []string{"heap", "--file", filepath.Join(l.dir, "heap")}, before: [][]string{{"topic", "list"}}},

		"profile list": {before: profile}, "profile show": {args: []string{"p"}, before: profile},
		"profile use": {args: []string{"--none"}, silent: true},
		"profile set": {args: []string{"output", "yaml", "--profile", "p"}, silent: true}, "profile edit": {args: []string{"p"}, before: profile, silent: true},

		"completion bash": {cannot: "prints a constant"}, "completion zsh": {cannot: "prints a constant"}, "completion fish": {cannot: "prints a constant"},
		"completion words": {args: []string{"--", "topic", ""}, cannot: "is silent whatever happens, by rule 10"},
		"version":          {cannot: "prints a constant"},
	}
}

// seekGroup makes a group that has committed something.
func seekGroup(name string) [][]string {
	return [][]string{{"group", "seek", name, "--topic", "t", "--to", "earliest"}}
}

// live is the server that the rules are tried on, and where its objects lie.
type live struct {
	*shell
	dir    string
	key    string // of an object with records of topic t
	ill    *shell // a world in which nothing works
	binary string // what "t" holds, as lines
	topics int    // made for one trial each
	orphan string // key of an object in the bucket of a cluster that is stopped, which plantOrphan makes
}

// ruleRecords are what topic t holds: everything that gets lost easily.
func ruleRecords() []*kgo.Record {
	return []*kgo.Record{
		{Topic: "t", Partition: 0, Key: []byte("k"), Value: []byte("v\x1b[31m"), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("1")}, {Key: "h", Value: nil}}},
		{Topic: "t", Partition: 0, Key: []byte{}, Value: []byte{0xff, 0}},
		{Topic: "t", Partition: 0, Value: nil},
		{Topic: "t", Partition: 0, Value: []byte("null")},
		{Topic: "t", Partition: 0, Value: []byte{}},
	}
}

// goLive starts the server.
func goLive(t *testing.T) *live {
	t.Helper()
	t.Setenv(asMain, "1") // so that the agents of "bench fail-over" are this binary
	dir := t.TempDir()
	s := start(t, "kcat", "dev", "--data", filepath.Join(dir, "data"), "--topics", "t:1,t2:1", "--pprof")
	l := &live{shell: s.shell(), dir: dir}
	l.env["VARVE_HTTP"] = strings.TrimPrefix(strings.Fields(s.lines[1])[1], "http://")
	l.env["VARVE_STORE"] = fileURL("file", filepath.Join(dir, "data"), devObjects)
	l.env["XDG_CONFIG_HOME"] = filepath.Join(dir, "config")
	l.env["EDITOR"], l.env["VARVE_LISTEN"] = "true", "127.0.0.1:0"
	l.write(ruleRecords()...)
	l.binary = l.ok("", "consume", "t", "--exit-at-end", "-o", "jsonl")
	l.key = keysIn(l.ok("", "segment", "list", "t", "-o", "jsonl"))[0]
	start(t, "kcat", "dev", "--data", filepath.Join(dir, "stopped"), "--topics", "t:1").stop()
	l.orphan = l.nextKey()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = busy.Close() })
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	l.ill = &shell{t: t, env: map[string]string{
		"VARVE_BOOTSTRAP": "127.0.0.1:1", "VARVE_HTTP": "127.0.0.1:1", "VARVE_STORE": fileURL("file", dir, "none"),
		"XDG_CONFIG_HOME": file, "VARVE_LISTEN": busy.Addr().String(),
	}}
	return l
}

// spareStore is a copy of the live server's data for dev --reset to destroy.
func (l *live) spareStore() string { return fileURL("file", l.spare(), devObjects) }

func (l *live) spare() string { return filepath.Join(l.dir, "spare") }

// copySpare makes the copy anew.
func (l *live) copySpare() {
	l.t.Helper()
	if err := os.RemoveAll(l.spare()); err != nil {
		l.t.Fatal(err)
	}
	if err := os.CopyFS(l.spare(), os.DirFS(filepath.Join(l.dir, "data"))); err != nil {
		l.t.Fatal(err)
	}
}

// ruleCell is one command with one of its outputs.
type ruleCell struct {
	*live
	path   []string
	name   string
	cmd    *command
	output string // empty: it has no --output
	recipe recipe
	good   result // of a run that succeeds
}

// args are what calls the command, with more flags.
func (c *ruleCell) args(more ...string) []string {
	args := append(append([]string{}, c.path...), more...)
	if c.output != "" {
		args = append(args, "--output", c.output)
	}
	return append(args, c.recipe.args...)
}

// do runs the command so that it succeeds, if nothing else is wrong; a server is interrupted once it prints.
func (c *ruleCell) do(s *shell, args ...string) result {
	c.t.Helper()
	args = c.prepare()(args)
	if !c.recipe.server {
		return s.run(c.recipe.in, args...)
	}
	return c.serve(s, args)
}

// prepare does what the recipe wants done before, and returns how to fill in the name that it used.
func (c *ruleCell) prepare() (fill func([]string) []string) {
	c.topics++
	name := fmt.Sprintf("made%d", c.topics)
	fill = func(args []string) (filled []string) {
		for _, a := range args {
			filled = append(filled, strings.ReplaceAll(a, newTopicName, name))
		}
		return filled
	}
	if c.recipe.plant != nil {
		c.recipe.plant()
	}
	for _, b := range c.recipe.before {
		_ = c.live.run("", fill(b)...) // one that fails shows in what follows
	}
	_ = os.Remove(filepath.Join(c.dir, "heap"))
	return fill
}

func (c *ruleCell) serve(s *shell, args []string) result {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	defer cancel()
	out, errs := &cutWriter{cut: cancel}, &lockedBuffer{new: make(chan struct{}, 1)}
	w := &world{in: strings.NewReader(""), out: out, err: errs, env: func(k string) (string, bool) { v, ok := s.env[k]; return v, ok }}
	code := run(ctx, w, commands(), args)
	return result{out.b.String(), errs.String(), code}
}
