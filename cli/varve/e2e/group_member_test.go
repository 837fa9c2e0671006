//go:build e2e

package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// groupLibrary is a client library as the matrix of groups uses it: a process for each member.
type groupLibrary struct {
	label      string
	gate       bool
	strategies []string // of eager, cooperative, consumer: of two that assign, and the newer protocol
	static     bool
	notes      []string
	command    func(m memberOf) (*exec.Cmd, error)
	// signal: it leaves at SIGTERM, not at the end of its input, and may drop a record that it is handed then, although it commits it.
	signal bool
}

// memberOf is how a member is started; see java/src/main/java/varve/Member.java.
type memberOf struct {
	seeds              []string
	topic, group       string
	strategy, instance string
	session            time.Duration
}

func (m memberOf) words() []string {
	words := []string{strings.Join(m.seeds, ","), m.topic, m.group, "strategy=" + m.strategy, fmt.Sprintf("session=%d", m.session.Milliseconds())}
	if m.instance != "" {
		words = append(words, "instance="+m.instance)
	}
	return words
}

// memberProcess is a member of a group, and what it says.
type memberProcess struct {
	cmd   *exec.Cmd
	in    io.Closer
	lines sync.WaitGroup
	kind  groupLibrary

	mu struct {
		sync.Mutex
		has     map[int32]bool
		changes int // times that partitions came or went
		said    []string
		left    bool
	}
}

// readings are the offsets of each partition that any member read.
type readings struct {
	mu  sync.Mutex
	all map[int32]map[int64]bool
}

func (r *readings) note(partition int32, from, to int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all[partition] == nil {
		r.all[partition] = map[int64]bool{}
	}
	for o := from; o <= to; o++ {
		r.all[partition][o] = true
	}
}

// startMember starts a member whose reading goes to seen.
func startMember(l groupLibrary, m memberOf, seen *readings) (*memberProcess, error) {
	cmd, err := l.command(m)
	if err != nil {
		return nil, err
	}
	p := &memberProcess{cmd: cmd, kind: l}
	p.mu.has = map[int32]bool{}
	if p.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	complaints, err := cmd.StderrPipe() // kcat says there what it has
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for _, from := range []io.Reader{out, complaints} {
		p.lines.Go(func() {
			for lines := bufio.NewScanner(from); lines.Scan(); {
				p.hear(lines.Text(), seen)
			}
		})
	}
	return p, nil
}

// hear takes in a line.
func (p *memberProcess) hear(line string, seen *readings) {
	if p.kind.label == "kcat" {
		line = kcatMemberLine(line)
	}
	what, rest, _ := strings.Cut(line, " ")
	if what == "read" {
		var partition int32
		var from, to int64
		if _, err := fmt.Sscan(rest, &partition, &from, &to); err == nil {
			seen.note(partition, from, to)
			return
		}
	}
	if strings.HasPrefix(line, "% Reached end") {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.said = append(p.mu.said, time.Now().Format("05.000 ")+line); len(p.mu.said) > 200 {
		p.mu.said = p.mu.said[100:]
	}
	switch what {
	case "assigned", "revoked":
		before := maps.Clone(p.mu.has)
		if rest == "*" {
			clear(p.mu.has)
		}
		for _, n := range strings.FieldsFunc(rest, func(r rune) bool { return r == ',' || r == '*' }) {
			var partition int32
			_, _ = fmt.Sscan(n, &partition)
			delete(p.mu.has, partition)
			if what == "assigned" {
				p.mu.has[partition] = true
			}
		}
		if !maps.Equal(before, p.mu.has) {
			p.mu.changes++
		}
	case "left":
		p.mu.left = true
	}
}

// now returns the partitions that the member has, and how often that changed.
func (p *memberProcess) now() (has []int32, changes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Keys(p.mu.has)), p.mu.changes
}

// story is the last of what the member said.
func (p *memberProcess) story() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.mu.said, "\n")
}

// leave has the member leave the group and end.
func (p *memberProcess) leave() error {
	if p.kind.signal {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
	}
	_ = p.in.Close()
	late := time.AfterFunc(30*time.Second, func() { _ = p.cmd.Process.Kill() })
	p.lines.Wait()
	err := p.cmd.Wait()
	if !late.Stop() {
		return errors.New("it does not end")
	}
	if p.mu.Lock(); !p.mu.left && !p.kind.signal && err == nil {
		err = errors.New("it did not say that it left")
	}
	p.mu.Unlock()
	return err
}

// crash is kill -9.
func (p *memberProcess) crash() {
	_ = p.cmd.Process.Kill()
	p.lines.Wait()
	_ = p.cmd.Wait()
	_ = p.in.Close()
}

// newerProtocol is the strategy in which agents assign (KIP-848).
const newerProtocol = "consumer"

// groupLibraries are the rows of the matrix of groups.
func groupLibraries() []groupLibrary {
	both, all := []string{"eager", "cooperative"}, []string{"eager", "cooperative", newerProtocol}
	return []groupLibrary{
		{label: "kcat", gate: true, strategies: both, static: true, signal: true, command: kcatMember,
			notes: []string{"may drop a record that it is handed while it is told to end (SIGTERM), and commits it nevertheless"}},
		{label: "franz-go", gate: true, strategies: all, static: true, command: goMember("franz-go")},
		{label: "Java", gate: true, strategies: all, static: true, command: javaMember("target", startJava)},
		{label: "Java 2.x", strategies: both, static: true, command: javaMember(filepath.Join("target", "old"), startOldJava)},
		{label: "confluent-kafka", strategies: all, static: true, command: func(m memberOf) (*exec.Cmd, error) {
			return exec.Command(filepath.Join("target", "venv", "bin", "python"), append([]string{filepath.Join("python", "member.py")}, m.words()...)...), install("python")
		}},
		{label: "sarama", strategies: both, static: true, command: goMember("sarama")},
		{label: "kafka-go", strategies: both[:1], command: goMember("kafka-go")},
		{label: "kafkajs", strategies: both[:1], notes: []string{"5 tries, a second apart at most, and `metadataMaxAge` of 3 s are set: with more it goes on asking an agent that is gone"}, command: func(m memberOf) (*exec.Cmd, error) {
			return exec.Command("node", append([]string{filepath.Join("kafkajs", "member.js"), filepath.Join("target", "kafkajs")}, m.words()...)...), install("kafkajs")
		}},
	}
}

func goMember(library string) func(memberOf) (*exec.Cmd, error) {
	return func(m memberOf) (*exec.Cmd, error) {
		return exec.Command(filepath.Join("target", "goclients"), append([]string{library, "member"}, m.words()...)...), install("goclients")
	}
}

func javaMember(made string, build func() (*obedient, error)) func(memberOf) (*exec.Cmd, error) {
	return func(m memberOf) (*exec.Cmd, error) {
		made := filepath.Join("java", made)
		path := filepath.Join(made, "e2e-client.jar") + string(os.PathListSeparator) + filepath.Join(made, "lib", "*")
		args := []string{"-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", path, "varve.Member"}
		_, err := build()
		return exec.Command("java", append(args, m.words()...)...), err
	}
}

// kcatMember reads with -G, which commits by itself.
func kcatMember(m memberOf) (*exec.Cmd, error) {
	strategy := map[string]string{"eager": "range", "cooperative": "cooperative-sticky"}[m.strategy]
	args := []string{"-b", strings.Join(m.seeds, ","), "-E", "-u", "-f", "read %p %o %o\n", "-X", "auto.offset.reset=earliest", "-X", "auto.commit.interval.ms=300",
		"-X", fmt.Sprintf("session.timeout.ms=%d", m.session.Milliseconds()), "-X", fmt.Sprintf("heartbeat.interval.ms=%d", m.session.Milliseconds()/10),
		"-X", "partition.assignment.strategy=" + strategy, "-X", "reconnect.backoff.max.ms=500", "-X", "fetch.wait.max.ms=200"}
	if m.instance != "" {
		args = append(args, "-X", "group.instance.id="+m.instance)
	}
	return exec.Command("kcat", append(args, "-G", m.group, m.topic)...), nil
}

var kcatRebalance = regexp.MustCompile(`rebalanced.*?(assign|revo|unassign)`)

var kcatPartition = regexp.MustCompile(`\[(\d+)\]`)

// kcatMemberLine turns what kcat says of a rebalance into a line of the other members.
func kcatMemberLine(line string) string {
	found := kcatRebalance.FindStringSubmatch(line)
	if found == nil {
		return line
	}
	var all []string
	for _, p := range kcatPartition.FindAllStringSubmatch(line, -1) {
		all = append(all, p[1])
	}
	what := "revoked"
	if strings.HasPrefix(found[1], "assign") {
		what = "assigned"
	}
	return what + " " + strings.Join(all, ",")
}
