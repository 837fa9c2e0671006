//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// hang ends what should have ended by itself long ago. No test measures with it.
const hang = 60 * time.Second

// refused runs the binary with arguments that it must refuse, and returns its exit code and what it wrote on stderr.
func refused(t *testing.T, env []string, args ...string) (code int, text string) {
	t.Helper()
	bin, err := buildBinary()
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), bin, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &stdout, &stderr, time.Second
	timer := time.AfterFunc(hang, func() { _ = cmd.Process.Kill() })
	err = cmd.Run()
	if !timer.Stop() {
		t.Fatalf("%q runs on; stderr:\n%s", args, &stderr)
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("%q ended with %v, want an exit code; stdout: %q", args, err, &stdout)
	}
	if stdout.Len() > 0 {
		t.Errorf("%q wrote on stdout: %q", args, &stdout)
	}
	return exit.ExitCode(), stderr.String()
}

// oneLine wants the one line that says what is wrong, with all of the words, and an exit code. Lines of the log at level
// INFO may come before it; after wrong usage the two lines that every wrong usage ends with come after.
func oneLine(t *testing.T, text string, code, wantCode int, words ...string) {
	t.Helper()
	var said []string
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		usage := wantCode == 2 && (strings.HasPrefix(line, "usage: varve ") || strings.HasPrefix(line, "see varve "))
		if !usage && !strings.Contains(line, " level=INFO ") {
			said = append(said, line)
		}
	}
	if code != wantCode {
		t.Errorf("exit code %d, want %d", code, wantCode)
	}
	if len(said) != 1 {
		t.Fatalf("stderr has %d lines, want one:\n%s", len(said), text)
	}
	for _, word := range append([]string{"varve "}, words...) {
		if !strings.Contains(said[0], word) {
			t.Errorf("%q is not in %q", word, said[0])
		}
	}
	if t.Failed() {
		t.Log(said[0])
	}
}

// readLog returns all that the agent wrote on stderr.
func (a *agent) readLog(t *testing.T) string {
	t.Helper()
	log, err := os.ReadFile(a.log)
	if err != nil {
		t.Fatal(err)
	}
	return string(log)
}

// awaitLog waits until the log has a line with all of the words.
func (a *agent) awaitLog(t *testing.T, words ...string) {
	t.Helper()
	await(t, fmt.Sprintf("a line with %q in the log", words), func() bool {
		for line := range strings.Lines(a.readLog(t)) {
			missing := 0
			for _, word := range words {
				if !strings.Contains(line, word) {
					missing++
				}
			}
			if missing == 0 {
				return true
			}
		}
		return false
	})
}

// await waits until something is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(hang); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting for %s", what)
		}
	}
}

var httpAddress = regexp.MustCompile(`msg=serving .*http=(\S+)`)

// get asks the agent's console; the last start counts.
func (a *agent) get(t *testing.T, path string) (status int, body string) {
	t.Helper()
	found := httpAddress.FindAllStringSubmatch(a.readLog(t), -1)
	if len(found) == 0 {
		t.Fatal("the log does not say where the console is")
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: hang}
	resp, err := client.Get("http://" + found[len(found)-1][1] + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// metric returns one number of /metrics.
func (a *agent) metric(t *testing.T, name string) float64 {
	t.Helper()
	_, text := a.get(t, "/metrics")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
	}
	t.Fatalf("/metrics has no %s", name)
	return 0
}

// checkCalm fails if the log tells of a panic.
func (a *agent) checkCalm(t *testing.T) {
	t.Helper()
	if log := a.readLog(t); strings.Contains(log, "panic") {
		t.Error("the log tells of a panic")
	}
}

// awaitExit waits until the agent ends by itself.
func (a *agent) awaitExit(t *testing.T) error {
	t.Helper()
	process := a.cmd.Process
	timer := time.AfterFunc(hang, func() { _ = process.Kill() })
	err := a.wait()
	if !timer.Stop() {
		t.Fatal("the agent does not end")
	}
	return err
}

// onDisk returns an agent on a folder and a file with faults, as parameters of a URL; "" is none. It is not started.
func onDisk(t *testing.T, dir, objects, facts string, more ...string) *agent {
	t.Helper()
	return newAgent(t, nil, append([]string{"agent", "--name", "a1",
		"--store", faulty("file://"+filepath.Join(dir, "objects"), objects),
		"--meta", faulty("bolt://"+filepath.Join(dir, "facts.db"), facts)}, more...)...)
}

func faulty(url, faults string) string {
	if faults == "" {
		return url
	}
	return "fault+" + url + "?" + faults
}

// configFile writes a file for --config.
func configFile(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "varve.conf")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
