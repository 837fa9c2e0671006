package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// lines returns what a topic holds, a value a line, by partition and offset.
func (s *shell) lines(topic string) string {
	s.t.Helper()
	all := slices.Collect(strings.Lines(s.ok("", "consume", topic, "--from", "earliest", "--exit-at-end", "-f", "%p %o %v\n")))
	slices.Sort(all) // numbers of one digit
	return strings.Join(all, "")
}

// stores are flags for the stores that a "varve dev" kept in a folder.
func stores(data string) []string {
	return []string{"--store", fileURL("file", data, devObjects), "--meta", fileURL("bolt", data, devFacts)}
}

// TestRebuildAfterTheTableIsLost: records written with acks=all, the table deleted, rebuilt, the agent started: they are there, at
// their offsets, and the log goes on.
func TestRebuildAfterTheTableIsLost(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s := start(t, "kcat", "dev", "--data", data, "--topics", "t:3,empty:2")
	sh := s.shell()
	sh.ok("a\nb\nc\nd\ne\n", "produce", "t")
	sh.ok("f\n", "produce", "t", "--partition", "2")
	s.stop()
	s = start(t, "kcat", "dev", "--data", data) // another session, so that one needs the other's log
	sh = s.shell()
	sh.ok("g\n", "produce", "t", "--partition", "1")
	want := sh.lines("t")
	s.stop()
	if err := os.Remove(filepath.Join(data, devFacts)); err != nil {
		t.Fatal(err)
	}
	sh = &shell{t: t, env: map[string]string{}}
	out := sh.ok("", append([]string{"meta", "rebuild", "--yes"}, stores(data)...)...)
	for _, w := range []string{"topics         1", "sessions       2", "consumer groups and their offsets"} {
		if !strings.Contains(out, w) {
			t.Errorf("%q is missing in\n%s", w, out)
		}
	}
	sh.ok("", append([]string{"meta", "check", "--deep"}, stores(data)...)...)
	sh.fails(exitFailed, "the table is not empty", append([]string{"meta", "rebuild", "--yes"}, stores(data)...)...)
	s = start(t, "kcat", "dev", "--data", data)
	sh = s.shell()
	if got := sh.lines("t"); got != want {
		t.Errorf("after the rebuild:\n%s\nbefore:\n%s", got, want)
	}
	sh.ok("h\n", "produce", "t", "--partition", "1")
	if got := sh.lines("t"); strings.Count(got, "\n") != strings.Count(want, "\n")+1 || !strings.Contains(got, " h\n") {
		t.Errorf("produced on:\n%s", got)
	}
	s.stop()
	sh = &shell{t: t, env: map[string]string{}}
	sh.ok("", append([]string{"meta", "check", "--deep"}, stores(data)...)...)
}

// TestCheckPrintsAFixThatWorks: what is printed is run as it is printed, by a shell's rules.
func TestCheckPrintsAFixThatWorks(t *testing.T) {
	data := filepath.Join(t.TempDir(), "it's data") // to be quoted
	s := start(t, "kcat", "dev", "--data", data, "--topics", "t:1")
	s.shell().ok("a\nb\n", "produce", "t")
	want := s.shell().lines("t")
	s.stop()
	sh := &shell{t: t, env: map[string]string{}}
	var key string
	for _, k := range keysIn(sh.ok("", "segment", "list", "t", "-o", "jsonl", "--store", stores(data)[1])) {
		key = k
	}
	if err := os.Remove(filepath.Join(data, devObjects, filepath.FromSlash(key))); err != nil {
		t.Fatal(err)
	}
	r := sh.run("", append([]string{"meta", "check", "-o", "json"}, stores(data)...)...)
	var got struct {
		Findings []struct{ Class, Where, Fix string }
	}
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || r.code != exitFailed || len(got.Findings) != 1 || got.Findings[0].Class != "missing-wal" || got.Findings[0].Where != key {
		t.Fatalf("exit %d, %v\n%s%s", r.code, err, r.out, r.err)
	}
	args := words(t, strings.ReplaceAll(got.Findings[0].Fix, `'\''`, `'"'"'`))
	dry := append(slices.Clone(args[1:]), "--dry-run")
	if r := sh.run("", dry...); r.code != 0 || !strings.Contains(r.err, "would have mended missing-wal at "+key+": ") {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	if r := sh.run("", append([]string{"meta", "repair", "mising-wal", key}, stores(data)...)...); r.code != exitUsage || !strings.Contains(r.err, "did you mean missing-wal?") {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	sh.ok("", args[1:]...)
	if r := sh.run("", dry...); r.code != exitFailed || !strings.Contains(r.err, "nothing to mend") {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	sh.ok("", append([]string{"meta", "check", "--deep"}, stores(data)...)...)
	note := filepath.Join(data, devObjects, "varve", "notes.txt")
	if err := os.WriteFile(note, []byte("hi"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, more := range []string{"--dry-run", "--yes"} { // a dry run knows what can't be mended
		sh.fails(exitFailed, "cannot be mended", append([]string{"meta", "repair", "foreign", "varve/notes.txt", more}, stores(data)...)...)
	}
	if err := os.Remove(note); err != nil {
		t.Fatal(err)
	}
	s = start(t, "kcat", "dev", "--data", data)
	sh = s.shell()
	if got := sh.lines("t"); got == want || got != "" {
		t.Errorf("the lost records: %q", got)
	}
	sh.ok("c\n", "produce", "t")
	if got := sh.lines("t"); got != "0 2 c\n" {
		t.Errorf("after them: %q", got)
	}
}

// TestSegmentKnowsEveryKind: packs and segments are listed, verified and printed as WAL bundles are.
func TestSegmentKnowsEveryKind(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s := start(t, "kcat", "dev", "--data", data, "--topics", "t:1", "--pack-interval", "50ms", "--segment-roll", "300ms")
	sh, store := s.shell(), stores(data)[:2]
	found := map[string]string{} // kind: the key of one
	deadline := time.Now().Add(time.Minute)
	for found["wal"] == "" || found["pack"] == "" || found["seg"] == "" {
		if time.Now().After(deadline) {
			t.Fatalf("there are only %v", found)
		}
		sh.ok("a\nb\n", "produce", "t")
		for line := range strings.Lines(sh.ok("", append([]string{"segment", "list", "-o", "jsonl"}, store...)...)) {
			var o struct{ Kind, Key string }
			if err := json.Unmarshal([]byte(line), &o); err != nil {
				t.Fatal(err)
			}
			found[o.Kind] = o.Key
		}
	}
	s.stop()
	for _, kind := range []string{"wal", "pack", "seg"} {
		if got := sh.ok("", append([]string{"segment", "cat", found[kind]}, store...)...); !strings.Contains(got, `"value":"a"`) {
			t.Errorf("%s: %q", kind, got)
		}
		if got := sh.ok("", append([]string{"segment", "inspect", found[kind], "--batches"}, store...)...); strings.Fields(got)[5] != kind {
			t.Errorf("%s: %s", kind, got)
		}
	}
	if got := sh.ok("", append([]string{"segment", "verify", "t", "--deep"}, store...)...); !strings.Contains(got, "seg") || !strings.Contains(got, "pack") {
		t.Errorf("%s", got)
	}
	sh.ok("", append([]string{"meta", "check", "--deep"}, stores(data)...)...)
}

// TestRebuildAfterACrash: the agent is killed before its first snapshot, and the table is lost too. What was acked is in bundles of which
// nobody knows whether they were committed: it comes back on demand.
func TestRebuildAfterACrash(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	cmd, line := process(t, "dev", "--data", data, "--listen", "127.0.0.1:0", "--http", "", "--topics", "t:2")
	sh := &shell{t: t, env: map[string]string{"VARVE_BOOTSTRAP": strings.TrimSpace(strings.TrimPrefix(line, "kafka "))}}
	sh.ok("a\nb\n", "produce", "t", "--partition", "0")
	sh.ok("c\n", "produce", "t", "--partition", "1")
	want := sh.lines("t")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if err := os.Remove(filepath.Join(data, devFacts)); err != nil {
		t.Fatal(err)
	}
	sh = &shell{t: t, env: map[string]string{}}
	sh.fails(exitFailed, "add --include-uncommitted", append([]string{"meta", "rebuild", "--yes"}, stores(data)...)...)
	out := sh.ok("", append([]string{"meta", "rebuild", "--yes", "--include-uncommitted"}, stores(data)...)...)
	if !strings.Contains(out, "kept") {
		t.Errorf("%s", out)
	}
	sh.ok("", append([]string{"meta", "check", "--deep"}, stores(data)...)...)
	s := start(t, "kcat", "dev", "--data", data)
	sh = s.shell()
	if got := sh.lines("t"); got != want {
		t.Errorf("after the rebuild:\n%s\nbefore:\n%s", got, want)
	}
	sh.ok("d\n", "produce", "t", "--partition", "1")
	if got := sh.lines("t"); strings.Count(got, "\n") != 4 {
		t.Errorf("produced on:\n%s", got)
	}
}
