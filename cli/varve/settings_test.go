package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// What a config does stands beside it, and whoever sets one that does nothing is told.
func TestConfigsTellWhatTheyDo(t *testing.T) {
	server := start(t, "kcat", "dev", "--memory", "--set", "num.io.threads=3", "--set", "num.partitions=2")
	s := server.shell()
	r := s.run("", "topic", "create", "c", "-p", "1", "-c", "cleanup.policy=compact", "-c", "flush.ms=9", "-c", "delete.retention.ms=5", "-c", "retention.ms=7", "-c", "max.message.bytes=7")
	for _, want := range []string{
		"warning: flush.ms has no effect: flushes are the agent's", "warning: delete.retention.ms has no effect yet: ",
		"warning: cleanup.policy: records without a key are refused; logs are not compacted yet\n", "created topic \"c\"\n",
	} {
		if r.code != exitOK || !strings.Contains(r.err, want) {
			t.Errorf("create, exit %d: %s\nwant %s", r.code, r.err, want)
		}
	}
	if strings.Contains(r.err, "max.message.bytes") {
		t.Errorf("a warning of what acts: %s", r.err)
	}
	if r = s.run("", "topic", "alter", "c", "-c", "preallocate=true"); r.code != exitOK || !strings.HasPrefix(r.err, "warning: preallocate has no effect: ") {
		t.Errorf("alter, exit %d: %s", r.code, r.err)
	}
	got := s.ok("", "topic", "describe", "c")
	for _, want := range []string{
		"compaction  not compacted yet\n", "CONFIG               SOURCE  EFFECT  DEFAULT              VALUE\n", "cleanup.policy       topic   acts    delete               compact\n",
		"flush.ms             topic   none    9223372036854775807  9\n", "retention.ms         topic   acts    604800000            7\n", "delete.retention.ms  topic   later   86400000             5\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("describe:\n%s\nwant %s", got, want)
		}
	}
	s.ok("", "topic", "create", "d", "-p", "1")
	if got := s.ok("", "topic", "describe", "d"); strings.Contains(got, "compact") {
		t.Errorf("describe of a topic that is not compacted:\n%s", got)
	}
	for args, want := range map[string]string{
		"topic alter c -c retention.mss=1":        "did you mean retention.ms?",
		"topic alter c -c quux=1":                 "varve topic describe TOPIC --all lists them all",
		"topic alter c -c log.retention.hours=1":  "the topic config is retention.ms",
		"topic alter c -c compression.type=zstd":  "set the codec in the producer",
		"topic alter c --delete-config retention": "did you mean retention.ms?",
		"topic create e -c min.insync.replicas=0": "0 is less than 1",
	} {
		s.fails(exitFailed, want, strings.Fields(args)...)
	}
	got = s.ok("", "cluster", "config", "--changed")
	for _, want := range []string{"num.io.threads                    agent   none    8        3\n", "num.partitions                    agent   acts    1        2\n"} {
		if !strings.Contains(got, want) || strings.Contains(got, "  default  ") {
			t.Errorf("cluster config --changed:\n%s\nwant %s", got, want)
		}
	}
	var all struct {
		Configs []struct{ Config, Source, Effect, Default, Documentation string }
	}
	if err := json.Unmarshal([]byte(s.ok("", "cluster", "config", "-o", "json")), &all); err != nil || len(all.Configs) < 340 {
		t.Fatalf("%d configs, %v", len(all.Configs), err)
	}
	for _, c := range all.Configs {
		if c.Effect == "" || c.Documentation == "" || c.Config == "ssl.client.auth" && (c.Effect != "fixed" || c.Default != "none") {
			t.Errorf("%+v", c)
		}
	}
	server.stop()
	if got := server.errs.String(); !strings.Contains(got, "num.io.threads has no effect: a connection has two goroutines") {
		t.Errorf("the start does not warn:\n%s", got)
	}
}
