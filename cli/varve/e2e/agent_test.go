//go:build e2e

package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/varvelog/varve/localstack/servers"
)

// startTimeout bounds a start, the replay of everything flushed before included.
const startTimeout = 60 * time.Second

// buildBinary makes the binary under test once. It stays in the folder's target/, which git ignores.
var buildBinary = sync.OnceValues(func() (string, error) {
	if bin := os.Getenv("VARVE_BIN"); bin != "" {
		return bin, nil
	}
	bin, err := filepath.Abs(filepath.Join("target", "varve"))
	if err != nil {
		return "", err
	}
	args := []string{"build", "-o", bin}
	if raceEnabled {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "..")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return bin, nil
})

// agent is one process of Varve and the stores it is started on, again and again.
type agent struct {
	bin, log string
	args     []string
	env      []string
	addr     string // kafka HOST:PORT: free at the first start, the same from then on
	cmd      *exec.Cmd
	guard    *exec.Cmd
	guardIn  io.Closer
}

// store is a pair of stores to run an agent on.
type store struct {
	name string
	open func(t *testing.T) *agent // not started yet; stores are new and empty
}

// allClientsOn is the pair of stores that every client meets, and that most tests run on.
const allClientsOn = "MinIO + DynamoDB Local"

// pairs are all stores that Varve is tested on.
func pairs() []store {
	return []store{
		{"embedded", func(t *testing.T) *agent {
			return newAgent(t, nil, "dev", "--data", t.TempDir())
		}},
		{allClientsOn, onServers(servers.MinIO, servers.DynamoDB)},
		{"MinIO + LocalStack", onServers(servers.MinIO, servers.LocalStack)},
		{"versitygw + DynamoDB Local", onServers(servers.VersityGW, servers.DynamoDB)},
	}
}

// stores are what a test of the whole runs on: the first two pairs, all if VARVE_FULL=1 (make e2e FULL=1).
func stores() []store {
	if servers.Full() {
		return pairs()
	}
	return pairs()[:2]
}

func onServers(store, meta func(testing.TB) servers.Endpoint) func(*testing.T) *agent {
	return func(t *testing.T) *agent {
		objects, facts := store(t), meta(t)
		return newAgent(t, objects.Env(), "agent", "--name", "a1", "--store", objects.StoreURL, "--meta", facts.MetaURL)
	}
}

func newAgent(t testing.TB, env []string, args ...string) *agent {
	t.Helper()
	bin, err := buildBinary()
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{bin: bin, log: filepath.Join(t.TempDir(), "agent.log"), args: args, env: env, addr: "127.0.0.1:0"}
	t.Cleanup(func() {
		if a.cmd != nil {
			a.kill(t)
		}
		if t.Failed() {
			a.printLog(t)
		}
	})
	return a
}

// printLog shows the end of what the agent wrote on stderr, all starts together.
func (a *agent) printLog(t testing.TB) {
	t.Helper()
	log, err := os.ReadFile(a.log)
	if err != nil {
		t.Log(err)
		return
	}
	lines := slices.Collect(strings.Lines(string(log)))
	t.Logf("the end of the agent's log:\n%s", strings.Join(lines[max(0, len(lines)-40):], ""))
}

// start runs the agent and returns once it serves. A start whose port was taken by somebody else in between is tried
// again; any other failure ends the test.
func (a *agent) start(t testing.TB) {
	t.Helper()
	for try := 1; ; try++ {
		err := a.tryStart(t)
		if err == nil {
			return
		}
		log, _ := os.ReadFile(a.log)
		if try == 5 || !strings.Contains(string(log), "address already in use") {
			t.Fatalf("start %q: %v", a.args, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func (a *agent) tryStart(t testing.TB) error {
	t.Helper()
	lines := a.launch(t)
	select {
	case line := <-lines:
		addr, found := strings.CutPrefix(line, "kafka ")
		if !found {
			a.kill(t)
			return fmt.Errorf("first line %q, want kafka HOST:PORT", line)
		}
		a.addr = strings.TrimSpace(addr)
		return nil
	case <-time.After(startTimeout):
		a.kill(t)
		return errors.New("does not serve")
	}
}

// launch runs the agent without waiting; the channel gets its first line, or "" when it ends before.
func (a *agent) launch(t testing.TB) <-chan string {
	t.Helper()
	log, err := os.OpenFile(a.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	a.cmd = exec.Command(a.bin, append(slices.Clone(a.args), "--listen", a.addr, "--http", "127.0.0.1:0")...)
	a.cmd.Env = append(os.Environ(), a.env...)
	a.cmd.Stderr = log
	stdout, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	a.cmd.Stdout = write
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = write.Close()
	a.watch(t)
	first := make(chan string, 1)
	go func() {
		r := bufio.NewReader(stdout)
		line, _ := r.ReadString('\n')
		first <- strings.TrimSuffix(line, "\n")
		_, _ = io.Copy(io.Discard, r)
		_ = stdout.Close()
	}()
	return first
}

// watch starts a shell that kills the agent when this process ends in whatever way: its standard input closes then.
func (a *agent) watch(t testing.TB) {
	t.Helper()
	a.guard = exec.Command("sh", "-c", `trap '' INT TERM HUP; cat >/dev/null; kill -9 $1 2>/dev/null`, "guard", fmt.Sprint(a.cmd.Process.Pid))
	in, err := a.guard.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	a.guardIn = in
	if err := a.guard.Start(); err != nil {
		t.Fatal(err)
	}
}

// wait waits for the agent's end; the guard goes first, so that it never meets a process number used again.
func (a *agent) wait() error {
	_ = a.guard.Process.Kill()
	_ = a.guard.Wait()
	_ = a.guardIn.Close()
	err := a.cmd.Wait()
	a.cmd = nil
	return err
}

// kill is kill -9.
func (a *agent) kill(t testing.TB) {
	t.Helper()
	_ = a.cmd.Process.Kill()
	var exit *exec.ExitError
	if err := a.wait(); err != nil && !errors.As(err, &exit) {
		t.Fatalf("kill agent: %v", err)
	}
}

// stop is SIGTERM: the agent must end by itself, with exit code 0.
func (a *agent) stop(t testing.TB) {
	t.Helper()
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("stop agent: %v", err)
	}
	if err := a.wait(); err != nil {
		t.Fatalf("the agent ended with %v after SIGTERM, want exit code 0", err)
	}
}

// onStores runs a test on each pair of stores, with a fresh agent that serves.
func onStores(t *testing.T, test func(t *testing.T, a *agent)) {
	for _, s := range stores() {
		t.Run(s.name, func(t *testing.T) {
			a := s.open(t)
			a.start(t)
			test(t, a)
		})
	}
}

// onBrokers runs a test that needs no more than an address on kfake as well.
func onBrokers(t *testing.T, test func(t *testing.T, addr string)) {
	t.Run("kfake", func(t *testing.T) {
		c, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		test(t, c.ListenAddrs()[0])
	})
	onStores(t, func(t *testing.T, a *agent) { test(t, a.addr) })
}
