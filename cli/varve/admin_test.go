package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestTopicCommands(t *testing.T) {
	s := newShell(t)
	s.ok("", "topic", "create", "u", "-p", "2", "-c", "retention.ms=1000", "-c", "cleanup.policy=compact,delete")
	s.fails(exitFailed, `create topic "u": TOPIC_ALREADY_EXISTS: `, "topic", "create", "u")
	s.ok("", "topic", "create", "u", "--if-not-exists")
	s.ok("", "topic", "create", "dry", "--dry-run")
	s.fails(exitUsage, "at least 1", "topic", "create", "x", "-p", "0")
	s.fails(exitUsage, "retention.ms is given twice", "topic", "create", "x", "-c", "retention.ms=1", "-c", "retention.ms=2")
	if got := strings.Fields(s.ok("", "topic", "list")); len(got) != 9 || got[3] != "t" || got[6] != "u" || got[7] != "2" {
		t.Errorf("list: %q", got)
	}
	s.ok("", "topic", "alter", "u", "--delete-config", "retention.ms", "-c", "segment.bytes=2000000")
	s.fails(exitUsage, "nothing to change", "topic", "alter", "u")
	s.ok("", "topic", "add-partitions", "u", "--total", "4")
	s.ok("", "topic", "add-partitions", "u", "--total", "9", "--dry-run")
	s.fails(exitUsage, "--total", "topic", "add-partitions", "u")
	s.ok("x\n", "produce", "u", "--partition", "3")
	d := s.ok("", "topic", "describe", "u", "-o", "json")
	var topic struct {
		Topic      string
		Partitions []struct{ Partition, Start, End int }
		Configs    []struct{ Config, Value, Source string }
	}
	if err := json.Unmarshal([]byte(d), &topic); err != nil || topic.Topic != "u" || len(topic.Partitions) != 4 || topic.Partitions[3].End != 1 {
		t.Errorf("describe: %v\n%s", err, d)
	}
	if len(topic.Configs) != 2 || topic.Configs[0].Value != "compact,delete" || topic.Configs[1].Config != "segment.bytes" {
		t.Errorf("configs: %+v", topic.Configs)
	}
	if all := s.ok("", "topic", "describe", "u", "--all"); !strings.Contains(all, "retention.ms") {
		t.Errorf("--all: %s", all)
	}
	s.fails(exitFailed, `unknown topic "nope"`, "topic", "describe", "nope")
	s.fails(exitFailed, `unknown topic "nope"`, "topic", "alter", "nope", "-c", "retention.ms=1")
	s.fails(exitFailed, `unknown topic "nope"`, "topic", "add-partitions", "nope", "--total", "3")
}

func TestTopicDeleteAsks(t *testing.T) {
	s := newShell(t)
	there := func(want bool) {
		t.Helper()
		if got := strings.Contains(s.ok("", "topic", "list", "-o", "jsonl"), `"topic":"t"`); got != want {
			t.Fatalf("topic t is there: %v, want %v", got, want)
		}
	}
	s.fails(exitUsage, `delete with all records: ["t"]; there is no terminal to ask at: add --yes`, "topic", "delete", "t")
	s.fails(exitFailed, `unknown topic "nope"`, "topic", "delete", "t", "nope", "--yes")
	s.ok("", "topic", "delete", "t", "--dry-run")
	there(true)
	s.terminal = true
	for _, answer := range []string{"n\n", "\n", "", "yess\n"} {
		if r := s.run(answer, "topic", "delete", "t"); r.code != exitFailed || !strings.Contains(r.err, "nothing was done") {
			t.Errorf("answer %q: exit %d, %q", answer, r.code, r.err)
		}
	}
	there(true)
	s.ok("y\n", "topic", "delete", "t")
	there(false)
}

func TestClusterCommands(t *testing.T) {
	s := newShell(t)
	if got := s.ok("", "cluster", "info"); !strings.Contains(got, "agents      1\n") || !strings.Contains(got, "partitions  3\n") {
		t.Errorf("info:\n%s", got)
	}
	var agents struct {
		Version int `json:"schema_version"`
		Agents  []struct {
			ID, Port int
			Host     string
		}
	}
	got := s.ok("", "cluster", "agents", "--output", "json")
	if err := json.Unmarshal([]byte(got), &agents); err != nil || agents.Version != 1 || len(agents.Agents) != 1 || agents.Agents[0].Port == 0 {
		t.Errorf("agents: %v\n%s", err, got)
	}
	if got := s.ok("", "cluster", "config"); !strings.Contains(got, "broker.id ") || !strings.HasSuffix(strings.SplitN(got, "\n", 2)[0], "  VALUE") {
		t.Errorf("config:\n%s", got)
	}
	if got := s.ok("", "cluster", "api-versions"); !strings.Contains(got, "\n0    Produce") {
		t.Errorf("api-versions:\n%s", got)
	}
	s.fails(exitFailed, "is it Varve?", "cluster", "slots")
	s.fails(exitFailed, "agent 77", "cluster", "config", "--agent", "77")
}

func TestSlotsListing(t *testing.T) {
	slots := `[{"slot":0,"agent":"a1","epoch":3},{"slot":1,"agent":null,"epoch":12345678901234567,"per_new":[1]}]`
	rows, _, err := parseSight(map[string]string{"varve.slots": slots, "varve.agents": "[]"})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	l := listingOf("slots", []object{rows[0].fields, rows[1].fields})
	if err := (document{listings: []listing{l}}).print(&b, "table"); err != nil {
		t.Fatal(err)
	}
	want := "SLOT  AGENT  EPOCH              PER-NEW\n0     a1     3                  -\n1     -      12345678901234567  [1]\n"
	if b.String() != want {
		t.Errorf("%s\nwant\n%s", b.String(), want)
	}
	for _, bad := range []string{"{}", "[1]", "[", ""} {
		if _, _, err := parseSight(map[string]string{"varve.slots": bad, "varve.agents": "[]"}); err == nil {
			t.Errorf("%q is taken for a list of slots", bad)
		}
	}
}

func TestNobodyThere(t *testing.T) {
	s := &shell{t: t, env: map[string]string{"VARVE_BOOTSTRAP": "127.0.0.1:1"}}
	for _, args := range [][]string{{"topic", "list"}, {"consume", "t"}, {"produce", "t"}, {"cluster", "info"}} {
		s.fails(exitFailed, `no server answers at 127.0.0.1:1`, args...)
	}
	s.fails(exitUsage, `--bootstrap: open client: "nowhere" is not HOST:PORT`, "topic", "list", "--bootstrap", "nowhere")
	s.fails(exitUsage, "empty part", "topic", "list", "--bootstrap", "a:1,")
}

func TestDocumentFormats(t *testing.T) {
	d := document{
		fields: []docField{{"name", "a\x1b"}, {"n", int64(1)}},
		listings: []listing{
			{name: "rows", columns: []column{{"X", "x"}, {"", "hidden"}, {"Y", "y"}}, rows: [][]any{{"a<b", 1, nil}, {"", 2, true}}},
			{name: "none", columns: []column{{"Z", "z"}}},
		},
	}
	for format, want := range map[string]string{
		"table": "name  a\\x1b\nn     1\n\nX    Y\na<b  -\n-    true\n",
		"jsonl": `{"schema_version":1,"name":"a\u001b","n":1,"rows":[{"x":"a<b","hidden":1,"y":null},{"x":"","hidden":2,"y":true}],"none":[]}` + "\n",
		"yaml": "schema_version: 1\nname: \"a\\u001b\"\nn: 1\nrows:\n- x: \"a<b\"\n  hidden: 1\n  y: null\n- x: \"\"\n  hidden: 2\n  y: true\n" +
			"none: []\n",
	} {
		var b strings.Builder
		if err := d.print(&b, format); err != nil || b.String() != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", format, err, b.String(), want)
		}
	}
	var b strings.Builder
	if err := d.print(&b, "json"); err != nil || !json.Valid([]byte(b.String())) || !strings.Contains(b.String(), `"x": "a<b"`) {
		t.Errorf("json: %v\n%s", err, b.String())
	}
	b.Reset()
	one := document{listings: []listing{d.listings[0]}}
	want := `{"schema_version":1,"x":"a<b","hidden":1,"y":null}` + "\n" + `{"schema_version":1,"x":"","hidden":2,"y":true}` + "\n"
	if err := one.print(&b, "jsonl"); err != nil || b.String() != want {
		t.Errorf("jsonl of rows: %v\n%s", err, b.String())
	}
}

func TestVersion(t *testing.T) {
	s := &shell{t: t}
	if got := s.ok("", "version"); !strings.HasPrefix(got, "varve ") || strings.Count(got, "\n") != 1 {
		t.Errorf("%q", got)
	}
	if got := s.ok("", "--version"); !strings.HasPrefix(got, "varve ") {
		t.Errorf("--version: %q", got)
	}
	if got := s.ok("", "version", "-o", "json"); !json.Valid([]byte(got)) {
		t.Errorf("%q", got)
	}
}
