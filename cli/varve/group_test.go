package main

import (
	"strings"
	"testing"
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
	s.fails(exitUsage, "leave out --to", "consume", "t", "--group", "g", "--exit-at-end")
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
