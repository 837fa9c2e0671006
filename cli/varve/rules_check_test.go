package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/varvelog/varve/client"
)

// checkStdout: what is printed is of the form that was asked for; the rest goes to stderr, without what only a terminal
// understands; a mistake, and a world that is ill, leave stdout empty.
func checkStdout(c *ruleCell) {
	if c.good.code != exitOK {
		c.errorf("exit %d\n%s%s", c.good.code, c.good.out, c.good.err)
		return
	}
	if c.recipe.silent != (c.good.out == "") {
		c.errorf("prints %q", c.good.out)
	}
	if err := wellFormed(c.output, c.good.out); err != nil {
		c.errorf("%v\n%s", err, c.good.out)
	}
	if strings.ContainsAny(c.good.err, "\r\x1b") {
		c.errorf("stderr is no terminal, and gets %q", c.good.err)
	}
	if c.recipe.cannot == "" {
		if r := c.do(c.ill, c.args()...); r.out != "" || r.err == "" {
			c.errorf("in an ill world it prints %q and says %q", r.out, r.err)
		}
	}
	if c.output != "" && !c.recipe.server { // what is asked for does not hang on who looks
		c.terminal = true
		r := c.do(c.shell, c.args()...)
		c.terminal = false
		if r.code != exitOK || len(strings.Split(r.out, "\n")) != len(strings.Split(c.good.out, "\n")) {
			c.errorf("on a terminal it prints %q, else %q", r.out, c.good.out)
		}
	}
}

var yamlLine = regexp.MustCompile(`^ *(- )?[a-z][a-z0-9_]*:( (.*))?$`)

// wellFormed checks what can be checked without knowing the command.
func wellFormed(output, text string) error {
	switch output {
	case "json":
		if !json.Valid([]byte(text)) {
			return errors.New("not one JSON document")
		}
	case "jsonl":
		for line := range strings.Lines(text) {
			if !json.Valid([]byte(line)) || line[0] != '{' {
				return fmt.Errorf("not a JSON object: %s", line)
			}
		}
	case "yaml": // as this program writes it: names, and scalars that are JSON
		for line := range strings.Lines(text) {
			m := yamlLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
			if m == nil || m[3] != "" && !json.Valid([]byte(m[3])) {
				return fmt.Errorf("not YAML: %s", line)
			}
		}
	case "table":
		if strings.ContainsRune(text, 0x1b) {
			return errors.New("a terminal would obey this")
		}
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		return errors.New("the last line has no end")
	}
	return nil
}

// stableFields are names that programs rely on: a field may come, but none goes.
var stableFields = map[string]string{
	"topic list": "topics topic partitions id", "topic describe": "topic id partitions partition leader leader_epoch start end offsets configs",
	"group list": "groups group state protocol_type", "group lag": "groups group state members partitions lag", "group seek": "partitions topic partition from to",
	"group describe": "group state protocol_type assignor coordinator members lag partitions topic partition committed end lag member host client instance start",
	"cluster info":   "cluster controller agents topics partitions", "cluster agents": "agents id agent host port zone peer http slots state session since quiet_ms controller",
	"cluster slots": "slots slot leader agent epoch session want from state partitions bytes_per_sec", "cluster health": "well agents slots troubles", "cluster config": "configs config source value", "cluster api-versions": "apis key api min max",
	"segment gc": "objects orphans queue_items not_yet refused", "meta check": "sessions topics partitions live found findings", "meta rebuild": "cluster slots sessions topics partitions extents packs commit_unknown lost", "meta get": "attributes sk attribute type value",
	"segment compact": "topic partitions segments bytes seconds agents agent", "segment list": "runs partition base next leader_epoch batches bytes key",
	"segment inspect": "key bytes kind cluster session seq footer_pos sections topics slots runs batches ops", "segment verify": "objects result kind runs batches bytes_read key error",
	"bench produce": benchFields, "bench consume": benchFields, "bench e2e": benchFields, "bench catch-up": benchFields, "bench idle-cost": benchIdle, "bench fail-over": benchFields, "bench compare": "measures measure a b ratio low high better worse",
	"profile list": "profiles profile current", "profile show": "profile settings setting value", "version": "version go os arch",
}

var (
	fieldName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	heading   = regexp.MustCompile(`^[A-Z][A-Z0-9-]*$`)
)

// checkOutputs: a listing has the four outputs; JSON has stable names and a version; headings are single words.
func checkOutputs(c *ruleCell) {
	if got := strings.Join(outputsOf(c.cmd), "|"); got != "table|json|jsonl|yaml" {
		c.errorf("its outputs are %q", got)
		return
	}
	if c.output == "table" {
		c.checkTable()
		return
	}
	if c.output == "yaml" {
		if !strings.HasPrefix(c.good.out, "schema_version: 1\n") {
			c.errorf("no schema_version first:\n%s", c.good.out)
		}
		return
	}
	documents := []string{c.good.out}
	if c.output == "jsonl" {
		documents = slices.Collect(strings.Lines(c.good.out))
	}
	names := map[string]bool{}
	for _, text := range documents {
		var d map[string]any
		if err := json.Unmarshal([]byte(text), &d); err != nil || d["schema_version"] != float64(schemaVersion) {
			c.errorf("no schema_version (%v): %s", err, text)
		}
		fieldNames(d, names)
	}
	for name := range names {
		if !fieldName.MatchString(name) {
			c.errorf("a field is called %q", name)
		}
	}
	stable, ok := stableFields[c.name]
	if !ok {
		c.errorf("which names do programs rely on? Add them to stableFields")
	}
	for _, name := range strings.Fields(stable) {
		if c.output == "json" && !names[name] {
			c.errorf("the field %q is gone; there are %v", name, names)
		}
	}
}

func fieldNames(v any, names map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			names[name] = true
			fieldNames(value, names)
		}
	case []any:
		for _, value := range v {
			fieldNames(value, names)
		}
	}
}

// checkTable: each block that begins with headings has rows of at least as many words.
func (c *ruleCell) checkTable() {
	width := 0
	for i, line := range strings.Split(strings.TrimSuffix(c.good.out, "\n"), "\n") {
		words := strings.Fields(line)
		allHeadings := len(words) > 1 && !slices.ContainsFunc(words, func(w string) bool { return !heading.MatchString(w) })
		switch {
		case line == "":
			width = 0
		case allHeadings:
			width = len(words)
		case width > 0 && len(words) < width:
			c.errorf("line %d has %d words under %d headings:\n%s", i+1, len(words), width, c.good.out)
		case width == 0 && len(words) < 2:
			c.errorf("line %d is neither a field with its value nor a heading:\n%s", i+1, c.good.out)
		}
	}
}

// brokenPipe is a stdout that nobody reads.
type brokenPipe struct{}

// Write implements io.Writer.
func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("nobody reads this") }

// checkExits: 2 for a mistake, 1 for what fails, an interrupt, and a stdout that is broken; 0 for an interrupted consume
// that would go on for ever, and for a server.
func checkExits(c *ruleCell) {
	for _, bad := range [][]string{{"--no-such-flag"}, {"--output", "no-such-output"}} {
		if r := c.run("", append(c.args(), bad...)...); c.name != "completion words" && (r.code != exitUsage || r.out != "" || r.err == "") {
			c.errorf("%q: exit %d, %q", bad, r.code, r.out)
		}
	}
	if r := c.run("", append(c.args(), "x", "x", "x", "x")...); c.cmd.max >= 0 && (r.code != exitUsage || r.out != "") {
		c.errorf("too many arguments: exit %d, %q", r.code, r.out)
	}
	if c.recipe.cannot == "" {
		if r := c.do(c.ill, c.args()...); r.code != exitFailed {
			c.errorf("in an ill world: exit %d, %s", r.code, r.err)
		}
	}
	c.prepare()
	w := &world{in: strings.NewReader(c.recipe.in), out: brokenPipe{}, err: io.Discard, env: func(k string) (string, bool) { v, ok := c.env[k]; return v, ok }}
	if !c.recipe.silent && !c.recipe.server {
		if code := run(c.t.Context(), w, commands(), c.args()); code != exitFailed {
			c.errorf("stdout is broken, and it exits with %d", code)
		}
	}
	ctx, cancel := context.WithCancel(c.t.Context())
	cancel()
	if c.cmd.option("bootstrap") != nil {
		if r := c.runIn(ctx, "", c.args()...); r.code != exitFailed || !strings.Contains(r.err, "interrupted") {
			c.errorf("interrupted: exit %d, %q", r.code, r.err)
		}
	}
	if c.name == "consume" {
		if r := c.serve(c.shell, []string{"consume", "t", "--from", "earliest", "--follow", "--output", c.output}); r.code != exitOK {
			c.errorf("interrupted while it follows: exit %d, %q", r.code, r.err)
		}
	}
}

// checkRoundTrip: through jsonl every record comes back as it was; json holds the same objects.
func checkRoundTrip(c *ruleCell) {
	lines := c.binary
	switch {
	case c.output == "json":
		var doc struct{ Records []json.RawMessage }
		if err := json.Unmarshal([]byte(c.good.out), &doc); err != nil {
			c.errorf("%v", err)
		}
		lines = ""
		for _, r := range doc.Records {
			var b bytes.Buffer
			_ = json.Compact(&b, r) // it was part of a valid document
			lines += b.String() + "\n"
		}
	case c.output == "jsonl", c.name == "segment cat":
		lines = c.good.out
	case c.output != "": // raw and table are for people: their records are seen elsewhere
		if c.output == "raw" && !strings.Contains(c.good.out, "v\x1b[31m\n") || c.output == "table" && !strings.Contains(c.good.out, `v\x1b[31m`) {
			c.errorf("%q", c.good.out)
		}
	}
	if lines != c.binary {
		c.errorf("prints\n%swant\n%s", lines, c.binary)
	}
	trip := c.fresh()
	c.ok(lines, "produce", trip, "--input", "jsonl")
	back := c.ok("", "consume", trip, "--exit-at-end", "-o", "jsonl")
	if back := strings.ReplaceAll(back, `"topic":"`+trip, `"topic":"t`); back != c.binary {
		c.errorf("came back as\n%swant\n%s", back, c.binary)
	}
}

// fresh makes an empty topic.
func (c *ruleCell) fresh() string {
	c.topics++
	topic := fmt.Sprintf("fresh%d", c.topics)
	c.ok("", "topic", "create", topic, "-p", "1")
	return topic
}

// checkDelimiters: several bytes part records; a wrong one is an error that says where.
func checkDelimiters(c *ruleCell) {
	cut := c.fresh()
	c.ok("a =>1 \r\n;;b =>2 \r\n;;", "produce", cut, "-f", "%k =>%v \r\n;;")
	if got := c.ok("", "consume", cut, "--exit-at-end", "-f", "%k<->%v~~"); got != "a<->1~~b<->2~~" {
		c.errorf("%q", got)
	}
	if r := c.run("a=>1\nb->2\n", "produce", cut, "-f", "%k=>%v\n"); r.code != exitFailed || !strings.Contains(r.err, "line 2, record 2: does not fit") {
		c.errorf("a wrong delimiter: exit %d, %q", r.code, r.err)
	}
}

// checkTombstones: "null" is text, a tombstone is JSON null or --null-value, an empty value is neither.
func checkTombstones(c *ruleCell) {
	null := c.fresh()
	c.ok("null\n\n", "produce", null)
	c.ok("", "produce", null, "--null-value")
	c.ok(`{"value":null}`+"\n"+`{"value":"null"}`+"\n"+`{"value":""}`, "produce", null, "--input", "jsonl")
	c.fails(exitFailed, "null", "produce", null, "--input", "jsonl", "--file", c.file(`{"key":"k"}`)) // left out is not null
	key := ""
	for _, k := range keysIn(c.ok("", "segment", "list", null, "-o", "jsonl")) {
		key += c.ok("", "segment", "cat", k, "--topic", null)
	}
	for _, text := range []string{key, c.ok("", "consume", null, "--exit-at-end", "-o", "jsonl")} {
		var got []string
		for line := range strings.Lines(text) {
			r, err := parseRecordLine(line, client.ByKey)
			if err != nil {
				c.errorf("%v", err)
				continue
			}
			got = append(got, fmt.Sprintf("%q %v", r.Value, r.Value == nil))
		}
		if want := []string{`"null" false`, `"" false`, `"" true`, `"" true`, `"null" false`, `"" false`}; !slices.Equal(got, want) {
			c.errorf("%q, want %q", got, want)
		}
	}
}

func (c *ruleCell) file(text string) string {
	path := filepath.Join(c.dir, "input")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// checkBounds: every kind of bound ends the reading, with the records that it says.
func checkBounds(c *ruleCell) {
	if c.name == "segment list" {
		if r := c.run("", append(c.args("--limit", "1"), "--output", "jsonl")...); r.code != exitOK || strings.Count(r.out, "\n") > 1 {
			c.errorf("--limit 1: %+v", r)
		}
		return
	}
	for args, want := range map[string]int{
		"--from earliest --exit-at-end": 5, "--from latest --exit-at-end": 0, "--from 2 --exit-at-end": 3, "--from -2 --exit-at-end": 2,
		"--from @2026-11-01T00:00Z --exit-at-end": 5, "--from -1h --exit-at-end": 5, "--from earliest --to 3": 3, "--to latest": 5, "--to -1": 4, "--to @2026-11-01T00:00Z": 0,
		"--count 2": 2, "--tail 1": 1, "--from 1 --to 4 --count 2": 2,
	} {
		if out := c.ok("", append([]string{"consume", "t", "-o", "jsonl"}, strings.Fields(args)...)...); strings.Count(out, "\n") != want {
			c.errorf("%s: %d records, want %d", args, strings.Count(out, "\n"), want)
		}
	}
}
