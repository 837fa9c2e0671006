package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"
)

// TestProgressOnATerminal: produce, consume and pprof show on a terminal how far they are; the input goes on until the
// line was seen, so no time counts.
func TestProgressOnATerminal(t *testing.T) {
	server := start(t, "kcat", "dev", "--memory", "--topics", "t:1", "--pprof")
	s := server.shell()
	s.env["VARVE_HTTP"] = strings.TrimPrefix(strings.Fields(server.lines[1])[1], "http://")
	env := s.shellEnv()
	dir := t.TempDir()
	for _, c := range []struct{ name, script, shows, last string }{
		{"produce", "{ echo a; echo b; cat go; } | varve produce t", "\r\x1b[K2 records written", "\r\x1b[K3 records written in "},
		{"consume", "varve consume t --from earliest --count 4 > out & cat go | varve produce t; wait", "\r\x1b[K3 records printed", ""},
		{"pprof", "varve pprof cpu --duration 3s --file cpu; cat go", "\r\x1b[Ksampling, ", "\r\x1b[Kcpu"},
	} {
		t.Run(c.name, func(t *testing.T) {
			gate := filepath.Join(dir, "go")
			_ = os.Remove(gate)
			if out, err := exec.Command("mkfifo", gate).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			k := onTerminal(t, env, "bash", "--norc", "-c", "cd "+dir+"; "+c.script+"; echo; echo all''done")
			k.sees(0, c.shows)
			f, err := os.OpenFile(gate, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(f, "c\n")
			_ = f.Close()
			k.sees(0, "alldone")
			if !strings.Contains(k.text.String(), c.last) {
				t.Errorf("in the end the terminal shows %q, not %q", k.text.String(), c.last)
			}
		})
	}
}

// TestNoProgressIntoAPipe: the same commands, as long, and stderr stays empty; --progress asks for lines all the same.
func TestNoProgressIntoAPipe(t *testing.T) {
	s := start(t, "kcat", "dev", "--memory", "--topics", "t:1").shell()
	slow := []string{"produce", "t", "--rate", "2/s"}
	if r := s.run("a\nb\nc\nd\n", slow...); r.err != "" || r.code != exitOK {
		t.Errorf("%+v", r)
	}
	r := s.run("a\nb\nc\nd\n", append(slow, "--progress")...)
	if !strings.Contains(r.err, " records written\n") || !strings.Contains(r.err, "4 records written in ") || strings.ContainsAny(r.err, "\r\x1b") {
		t.Errorf("%+v", r)
	}
	if r := s.run("", "consume", "t", "--exit-at-end", "-o", "jsonl"); r.err != "" || strings.Count(r.out, "\n") != 8 {
		t.Errorf("%+v", r)
	}
	s.terminal = true // stdout is one too: a line of progress would stand between the records
	if r := s.run("", "consume", "t", "--exit-at-end", "-o", "jsonl"); r.err != "" {
		t.Errorf("%+v", r)
	}
}

// TestTerminals: what is one and what is not.
func TestTerminals(t *testing.T) {
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer slave.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for f, want := range map[*os.File]bool{slave: true, null: false, r: false, w: false} {
		if isTerminal(f) != want {
			t.Errorf("%s: %v", f.Name(), !want)
		}
	}
	var b bytes.Buffer
	showProgress(&world{err: &b}, false, func() string { return "x" })()
	if b.Len() > 0 {
		t.Errorf("%q", b.String())
	}
}
