package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/varvelog/varve/cli/bench"
)

// child is an agent that the bench has started, as a process of this same program.
type child struct {
	program string // empty: this one
	args    []string
	log     string // file with what it says on stderr
	cmd     *exec.Cmd
	kafka   string
	http    string
	ended   chan struct{} // closed when the process is gone
}

// Bounds of a child.
const (
	childStart = 30 * time.Second // until it serves
	childStop  = 15 * time.Second // from SIGTERM to its end, then it is killed
	childLog   = 2 << 10          // bytes of the end of its log that are shown when it fails
)

// start runs it until it serves.
func (c *child) start(ctx context.Context) error {
	program, err := c.program, error(nil)
	if program == "" {
		program, err = os.Executable()
	}
	if err != nil {
		return err
	}
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	c.cmd = exec.Command(program, c.args...)
	c.cmd.Stderr, c.cmd.Env = log, environmentOf(os.Environ())
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	started, ended := make(chan error, 1), make(chan struct{})
	served := make(chan [2]string, 1)
	go func() {
		defer close(ended)
		if !startWithParent(c.cmd, started) {
			return
		}
		readAddresses(out, served)
		_ = c.cmd.Wait() // how it ended is told by its log
	}()
	c.ended = ended
	if err := <-started; err != nil {
		return fmt.Errorf("start an agent: %w", err)
	}
	limit := time.NewTimer(childStart)
	defer limit.Stop()
	select {
	case at := <-served:
		c.kafka, c.http = at[0], at[1]
		c.keep("--listen", c.kafka)
		c.keep("--http", c.http)
		return nil
	case <-ended:
		return fmt.Errorf("the agent ended before it served: %s", c.lastWords())
	case <-limit.C:
		err = fmt.Errorf("the agent does not serve after %v: %s", childStart, c.lastWords())
	case <-ctx.Done():
		err = ctx.Err()
	}
	c.stop()
	return err
}

// keep sets a flag, for the starts that follow: an agent comes back at the addresses that clients know.
func (c *child) keep(flag, value string) { c.args[slices.Index(c.args, flag)+1] = value }

// environmentOf leaves out what would set a flag of the agent: all that are to be set stand in its call.
func environmentOf(all []string) (kept []string) {
	named := map[string]bool{}
	for _, o := range agentCommand().options {
		named[o.envName()] = o.inEnv
	}
	for _, e := range all {
		if name, _, _ := strings.Cut(e, "="); !named[name] {
			kept = append(kept, e)
		}
	}
	return kept
}

// readAddresses reads what a server prints first, sends its two addresses, and drops the rest.
func readAddresses(out io.Reader, served chan<- [2]string) {
	kafka := ""
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		switch name {
		case "kafka":
			kafka = strings.TrimSpace(value)
		case "console":
			served <- [2]string{kafka, strings.TrimPrefix(strings.TrimSpace(value), "http://")}
		}
	}
}

// lastWords is the end of its log.
func (c *child) lastWords() string {
	text, _ := os.ReadFile(c.log)
	return printable(strings.TrimSpace(string(text[max(0, len(text)-childLog):])))
}

// stop ends it gracefully, or else by force, and waits.
func (c *child) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // one that is gone already is what is wanted
	select {
	case <-c.ended:
	case <-time.After(childStop):
		c.kill()
	}
}

// kill ends it at once, and waits.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	<-c.ended
}

// crew is the agents of a run and where they keep things.
type crew struct {
	agents  []*child
	stores  benchStore
	cluster string
	folder  string // of their logs
}

// hire starts n agents on the store of the flags, with more flags for each.
func (b *benchFlags) hire(ctx context.Context, w *world, n int, more ...string) (*crew, error) {
	stores, err := b.openStore(w)
	if err != nil {
		return nil, err
	}
	cr := &crew{stores: stores, cluster: fmt.Sprintf("bench-%08x", rand.Uint32())}
	if cr.folder, err = os.MkdirTemp("", "varve-bench-logs-"); err != nil {
		return nil, err
	}
	for i := range n {
		name := fmt.Sprintf("a%d", i+1)
		c := &child{program: b.program, log: filepath.Join(cr.folder, name+".log"), args: append([]string{
			"agent", "--name", name, "--store", stores.store, "--meta", stores.meta, "--cluster", cr.cluster, "--slots", "16",
			"--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--flush", b.flush, "--flush-bytes", fmt.Sprint(int64(b.flushBytes)),
			"--memory-limit", fmt.Sprint(int64(b.memory)), "--log-level", "info",
		}, more...)}
		if err := c.start(ctx); err != nil {
			cr.dismiss(w)
			return nil, err
		}
		cr.agents = append(cr.agents, c)
	}
	return cr, nil
}

// dismiss stops all agents and clears up.
func (cr *crew) dismiss(w *world) {
	for _, c := range cr.agents {
		c.stop()
	}
	cr.stores.remove(w, cr.cluster)
	_ = os.RemoveAll(cr.folder) // logs of no further use
}

// target is the agents as the load generator sees them.
func (cr *crew) target() (t bench.Target) {
	for _, c := range cr.agents {
		t.Bootstrap = append(t.Bootstrap, c.kafka)
		t.Agents = append(t.Agents, bench.Agent{HTTP: c.http, PID: c.cmd.Process.Pid})
	}
	return t
}

// target finds the server, or starts one. stop must be called.
func (b *benchFlags) target(ctx context.Context, w *world) (t bench.Target, stop func(), err error) {
	if !b.owns() {
		t = bench.Target{Bootstrap: append(b.bootstrap, b.peer...)}
		for _, at := range b.http {
			t.Agents = append(t.Agents, bench.Agent{HTTP: strings.TrimPrefix(at, "http://")})
		}
		return t, func() {}, nil
	}
	cr, err := b.hire(ctx, w, 1)
	if err != nil {
		return t, nil, err
	}
	return cr.target(), func() { cr.dismiss(w) }, nil
}
