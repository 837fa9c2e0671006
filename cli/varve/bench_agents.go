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

// child is a process of this same program that the bench has started: an agent, or several.
type child struct {
	program string // empty: this one
	args    []string
	log     string // file with what it says on stderr
	cmd     *exec.Cmd
	agents  int           // that it is
	at      []addresses   // theirs
	ended   chan struct{} // closed when the process is gone
	cable   *bench.Cable  // to all but its HTTP side; nil: it has none
}

// addresses are where an agent is, HOST:PORT each.
type addresses struct{ kafka, http string }

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
	served := make(chan addresses, c.agents)
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
	if err := c.await(ctx, served); err != nil {
		c.stop()
		return err
	}
	c.keep("--listen", c.at[0].kafka)
	c.keep("--http", c.at[0].http)
	if c.cable != nil {
		c.at[0].kafka = c.flag("--advertise")
	}
	return nil
}

// await waits until all its agents serve.
func (c *child) await(ctx context.Context, served <-chan addresses) error {
	limit := time.NewTimer(childStart)
	defer limit.Stop()
	for c.at = nil; len(c.at) < c.agents; {
		select {
		case at := <-served:
			c.at = append(c.at, at)
		case <-c.ended:
			return fmt.Errorf("the agent ended before it served: %s", c.lastWords())
		case <-limit.C:
			return fmt.Errorf("the agent does not serve after %v: %s", childStart, c.lastWords())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// keep sets a flag, if it was given, for the starts that follow: an agent comes back at the addresses that clients know.
func (c *child) keep(flag, value string) {
	if i := slices.Index(c.args, flag); i >= 0 {
		c.args[i+1] = value
	}
}

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

// readAddresses reads what a server prints first, sends the two addresses of each agent, and drops the rest.
func readAddresses(out io.Reader, served chan<- addresses) {
	kafka := ""
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		switch name {
		case "kafka":
			kafka = strings.TrimSpace(value)
		case "console":
			served <- addresses{kafka, strings.TrimPrefix(strings.TrimSpace(value), "http://")}
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
	folder  string                  // of their logs
	cables  map[string]*bench.Cable // by agent, never changed once one runs; none: nobody is to be cut off
	zones   int
}

// hire starts the agents of the flags.
func (b *benchFlags) hire(ctx context.Context, w *world) (cr *crew, err error) {
	cr = &crew{cluster: fmt.Sprintf("bench-%08x", rand.Uint32()), zones: b.zones}
	if cr.folder, err = os.MkdirTemp("", "varve-bench-logs-"); err != nil {
		return nil, err
	}
	if b.together() {
		err = cr.start(ctx, &child{program: b.program, agents: b.agents, args: b.togetherArgs(cr.cluster)})
	} else {
		err = b.hireEach(ctx, w, cr)
	}
	if err != nil {
		cr.dismiss(w)
		return nil, err
	}
	return cr, nil
}

// hireEach starts a process for each agent.
func (b *benchFlags) hireEach(ctx context.Context, w *world, cr *crew) (err error) {
	if cr.stores, err = b.openStore(w); err != nil {
		return err
	}
	if b.cables {
		cr.wireUp(b.agents)
	}
	for i := range b.agents {
		c := &child{program: b.program, agents: 1, args: []string{
			"agent", "--name", agentName(i), "--store", cr.stores.store, "--meta", cr.stores.meta, "--cluster", cr.cluster, "--slots", fmt.Sprint(benchSlots),
			"--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--flush", b.flush, "--flush-bytes", fmt.Sprint(int64(b.flushBytes)),
			"--memory-limit", fmt.Sprint(int64(b.memory)), "--zone", zoneName(i, b.zones), "--log-level", "info",
		}}
		if err := cr.lead(c); err != nil {
			return err
		}
		if err := cr.start(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// benchSlots is how many slots there are, as in varve dev.
const benchSlots = 16

// agentName is what the ith agent is called.
func agentName(i int) string { return fmt.Sprintf("a%d", i+1) }

// zoneName is where the ith agent is, of so many zones; empty: zones are not told apart.
func zoneName(i, zones int) string {
	if zones == 0 {
		return ""
	}
	return fmt.Sprintf("z%d", i%zones+1)
}

// start starts one more process.
func (cr *crew) start(ctx context.Context, c *child) error {
	c.log = filepath.Join(cr.folder, fmt.Sprintf("%d.log", len(cr.agents)))
	if err := c.start(ctx); err != nil {
		return err
	}
	cr.agents = append(cr.agents, c)
	return nil
}

// dismiss stops all agents and clears up.
func (cr *crew) dismiss(w *world) {
	for _, cable := range cr.cables {
		cable.Mend() // or nobody could leave in peace
	}
	for _, c := range cr.agents {
		c.stop()
	}
	for _, cable := range cr.cables {
		cable.Close()
	}
	cr.stores.remove(w, cr.cluster)
	_ = os.RemoveAll(cr.folder) // logs of no further use
}

// target is the agents as the load generator sees them.
func (cr *crew) target() (t bench.Target) {
	for _, c := range cr.agents {
		for _, at := range c.at {
			t.Bootstrap = append(t.Bootstrap, at.kafka)
			t.Agents = append(t.Agents, bench.Agent{HTTP: at.http, PID: c.cmd.Process.Pid, Kafka: at.kafka, Zone: zoneName(len(t.Agents), cr.zones)})
		}
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
	cr, err := b.hire(ctx, w)
	if err != nil {
		return t, nil, err
	}
	if t = cr.target(); len(t.Agents) > 1 {
		if err := t.Balance(ctx); err != nil {
			cr.dismiss(w)
			return t, nil, err
		}
	}
	return t, func() { cr.dismiss(w) }, nil
}
