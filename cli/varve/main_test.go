package main

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"
)

// asMain in the environment makes the test binary be varve itself.
const asMain = "VARVE_TEST_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// process starts varve as a process of its own and returns its first line of output.
func process(t *testing.T, args ...string) (cmd *exec.Cmd, line string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(self, args...)
	cmd.Env = append(os.Environ(), asMain+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, _ = bufio.NewReader(out).ReadString('\n')
	return cmd, line
}

func TestSignals(t *testing.T) {
	slow := []string{"agent", "--name", "a", "--listen", "127.0.0.1:0", "--meta", "mem://", "--store", "fault+mem://?put.delay=500ms"}
	for _, c := range []struct {
		name    string
		args    []string
		signals []os.Signal
		code    int
	}{
		{"one ends it gracefully", []string{"dev", "--memory", "--listen", "127.0.0.1:0", "--http", ""}, []os.Signal{syscall.SIGTERM}, exitOK},
		{"an interrupt too", []string{"dev", "--memory", "--listen", "127.0.0.1:0", "--http", ""}, []os.Signal{os.Interrupt}, exitOK},
		{"a second one ends it at once", slow, []os.Signal{syscall.SIGTERM, os.Interrupt}, exitFailed}, // two of one kind might become one
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd, line := process(t, c.args...)
			if !strings.HasPrefix(line, "kafka ") {
				t.Fatalf("it printed %q first", line)
			}
			for _, s := range c.signals {
				if err := cmd.Process.Signal(s); err != nil {
					t.Fatal(err)
				}
			}
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != c.code {
				t.Errorf("exit %d, want %d", code, c.code)
			}
		})
	}
}

// result is what a command left behind.
type result struct {
	out, err string
	code     int
}

// shell runs commands as a user would.
type shell struct {
	t        *testing.T
	env      map[string]string
	terminal bool // stdin, stdout and stderr are one
}

// newShell gives a shell whose commands find a new server with topic "t" of 3 partitions.
func newShell(t *testing.T) *shell {
	t.Helper()
	server, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "t"), kfake.AllowAutoTopicCreation(), kfake.DefaultNumPartitions(2))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return &shell{t: t, env: map[string]string{"VARVE_BOOTSTRAP": strings.Join(server.ListenAddrs(), ",")}}
}

// run runs one command.
func (s *shell) run(in string, args ...string) result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return s.runIn(ctx, in, args...)
}

func (s *shell) runIn(ctx context.Context, in string, args ...string) result {
	s.t.Helper()
	var out, err bytes.Buffer
	w := &world{in: strings.NewReader(in), out: &out, err: &err, env: func(k string) (string, bool) { v, ok := s.env[k]; return v, ok }}
	w.terminal.in, w.terminal.out, w.terminal.err = s.terminal, s.terminal, s.terminal
	code := run(ctx, w, commands(), args)
	return result{out.String(), err.String(), code}
}

// ok runs a command that must succeed, and returns its output.
func (s *shell) ok(in string, args ...string) string {
	s.t.Helper()
	r := s.run(in, args...)
	if r.code != exitOK {
		s.t.Fatalf("varve %q: exit %d\n%s%s", args, r.code, r.out, r.err)
	}
	return r.out
}

// fails runs a command that must fail with that code and print nothing but an error that holds want.
func (s *shell) fails(code int, want string, args ...string) {
	s.t.Helper()
	r := s.run("", args...)
	if r.code != code || !strings.Contains(r.err, want) || r.out != "" {
		s.t.Errorf("varve %q: exit %d, stdout %q, stderr %q; want exit %d, %q", args, r.code, r.out, r.err, code, want)
	}
}
