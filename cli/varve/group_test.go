package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestConsumeInAGroup: a group goes on where it was, also after a seek; flags that a group decides are refused.
func TestConsumeInAGroup(t *testing.T) {
	s := start(t, "kcat", "dev", "--memory", "--topics", "t:2").shell()
	s.ok(strings.Repeat("a line\n", 30), "produce", "t")
	read := func(n string) string { return s.ok("", "consume", "t", "--group", "g", "--count", n) }
	if got := strings.Count(read("10"), "\n"); got != 10 {
		t.Errorf("%d lines, want 10", got)
	}
	if got := strings.Count(read("20"), "\n"); got != 20 {
		t.Errorf("%d lines, want the 20 that are left", got)
	}
	if got := s.ok("", "group", "lag", "g"); !strings.Contains(got, "g      Empty  0        2           0\n") {
		t.Errorf("lag:\n%s", got)
	}
	s.ok("", "group", "seek", "g", "--to", "-1", "--dry-run")
	if got := s.ok("", "group", "lag", "--all", "--over", "0"); strings.Contains(got, "Empty") {
		t.Errorf("after a dry run:\n%s", got)
	}
	s.ok("", "group", "seek", "g", "--to", "earliest")
	if got := strings.Count(read("30"), "\n"); got != 30 {
		t.Errorf("%d lines after the seek, want 30", got)
	}
	s.fails(exitUsage, "leave out --to", "consume", "t", "--group", "g", "--tail", "1")
	if got := s.ok("", "consume", "t", "--group", "g", "--exit-at-end"); got != "" {
		t.Errorf("at the end it reads %q", got)
	}
	s.ok("one more\n", "produce", "t")
	if got := s.ok("", "group", "describe", "g", "--time"); !strings.Contains(got, "LAG-SECONDS") || !strings.Contains(got, "\nlag            1\n") {
		t.Errorf("described:\n%s", got)
	}
	if got := s.ok("", "group", "lag", "g", "--time", "--output", "json"); strings.Contains(got, `"lag_seconds": null`) {
		t.Errorf("lag in seconds:\n%s", got)
	}
	if got := s.ok("", "consume", "t", "--group", "g", "--exit-at-end"); got != "one more\n" {
		t.Errorf("to the end it reads %q", got)
	}
	if got := s.ok("", "consume", "t", "--group", "fresh", "--exit-at-end", "--from", "earliest"); strings.Count(got, "\n") != 31 {
		t.Errorf("a new group reads %d lines to the end, want 31", strings.Count(got, "\n"))
	}
	s.fails(exitFailed, "unknown topic", "consume", "nosuch", "--group", "g", "--count", "1")
	s.fails(exitFailed, "unknown group", "group", "describe", "nosuch")
	s.fails(exitFailed, "name topics", "group", "seek", "new", "--to", "earliest")
	s.fails(exitUsage, "--to WHEN", "group", "seek", "g")
	s.fails(exitUsage, "--all", "group", "lag")
	words := s.ok("", "completion", "words", "--", "group", "describe", "")
	if !strings.Contains(words, "g") {
		t.Errorf("completion: %q", words)
	}
}

// TestConsumeCommitsWhenQuiet: what was printed is committed while the reader goes on, also if no more records come.
func TestConsumeCommitsWhenQuiet(t *testing.T) {
	s := start(t, "kcat", "dev", "--memory", "--topics", "t:2").shell()
	s.ok(strings.Repeat("a line\n", 30), "produce", "t")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ended := make(chan result, 1)
	go func() { ended <- s.runIn(ctx, "", "consume", "t", "--group", "quiet", "--from", "earliest") }()
	committed := func() bool {
		return strings.Contains(s.run("", "group", "lag", "quiet").out, "quiet  Stable  1        2           0\n")
	}
	for !committed() && ctx.Err() == nil {
		time.Sleep(100 * time.Millisecond)
	}
	if ctx.Err() != nil {
		t.Error("a member that follows a quiet topic commits nothing")
	}
	cancel()
	if r := <-ended; r.code != exitOK || strings.Count(r.out, "\n") != 30 {
		t.Errorf("exit %d: %q, %s", r.code, r.out, r.err)
	}
}

// TestDescribeConsumers: a group of the newer protocol is listed and described, with its members.
func TestDescribeConsumers(t *testing.T) {
	s := start(t, "kcat", "dev", "--memory", "--topics", "t:4").shell()
	s.ok(strings.Repeat("a line\n", 8), "produce", "t")
	c, err := kgo.NewClient(kgo.SeedBrokers(s.env["VARVE_BOOTSTRAP"]), kgo.ClientID("reader"), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.InstanceID("one"),
		kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for n := 0; n < 8; {
		n += c.PollFetches(t.Context()).NumRecords()
	}
	if err := c.CommitUncommittedOffsets(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.ok("", "group", "list"); !strings.Contains(got, "g      Stable  consumer       consumer\n") {
		t.Errorf("list:\n%s", got)
	}
	got := s.ok("", "group", "describe", "g")
	for _, want := range []string{"type           consumer\n", "assignor       uniform\n", "members        1\n", "lag            0\n", "reader\n", "g      t      3          "} {
		if !strings.Contains(got, want) {
			t.Errorf("described, without %q:\n%s", want, got)
		}
	}
	if got = s.ok("", "group", "describe", "g", "--members"); !strings.Contains(got, "one ") || !strings.Contains(got, "reader     4 ") {
		t.Errorf("members:\n%s", got)
	}
	if got = s.ok("", "group", "lag", "g"); !strings.Contains(got, "g      Stable  1        4           0\n") {
		t.Errorf("lag:\n%s", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out := &seenTwice{what: "target_epoch", seen: cancel}
	w := &world{in: strings.NewReader(""), out: out, err: io.Discard, env: func(k string) (string, bool) { v, ok := s.env[k]; return v, ok }}
	if code := run(ctx, w, commands(), []string{"group", "describe", "g", "--watch", "20ms", "--output", "json"}); code != exitOK || out.times != 2 {
		t.Errorf("watched until it was told twice: exit %d, told %d times:\n%s", code, out.times, out.String())
	}
}

// seenTwice calls seen when what was written for the second time.
type seenTwice struct {
	bytes.Buffer
	what  string
	times int
	seen  func()
}

func (w *seenTwice) Write(p []byte) (int, error) {
	n, err := w.Buffer.Write(p)
	if w.times = strings.Count(w.String(), w.what); w.times == 2 {
		w.seen()
	}
	return n, err
}
