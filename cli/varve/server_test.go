package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/varvelog/varve/metastore/bolt"
)

// server is "varve dev" or "varve agent" in this process.
type server struct {
	t      *testing.T
	lines  []string // what it printed first
	kafka  string
	errs   *lockedBuffer
	code   chan int
	cancel context.CancelFunc
}

// lockedBuffer is written by the server and read by the test.
type lockedBuffer struct {
	mu  sync.Mutex
	b   bytes.Buffer
	new chan struct{} // one element if something was written
}

// Write implements io.Writer.
func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.new <- struct{}{}:
	default:
	}
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs a server on free ports and waits for its last line.
func start(t *testing.T, last string, args ...string) *server {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &server{t: t, errs: &lockedBuffer{new: make(chan struct{}, 1)}, code: make(chan int, 1), cancel: cancel}
	out := &lockedBuffer{new: make(chan struct{}, 1)}
	w := &world{in: strings.NewReader(""), out: out, err: s.errs, env: func(string) (string, bool) { return "", false }}
	args = append(args, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")
	go func() { s.code <- run(ctx, w, commands(), args) }()
	t.Cleanup(s.stop)
	deadline := time.After(30 * time.Second)
	for !strings.Contains(out.String(), last) {
		select {
		case <-out.new:
		case code := <-s.code:
			s.code <- code
			t.Fatalf("%q ended with %d\n%s", args, code, s.errs)
		case <-deadline:
			t.Fatalf("%q does not serve\n%s%s", args, out, s.errs)
		}
	}
	s.lines = strings.Split(out.String(), "\n")
	s.kafka = strings.TrimSpace(strings.TrimPrefix(s.lines[0], "kafka "))
	return s
}

// stop interrupts the server; it must end with 0.
func (s *server) stop() {
	s.cancel()
	if code := <-s.code; code != exitOK {
		s.t.Errorf("the server ended with %d\n%s", code, s.errs)
	}
	s.code <- exitOK
}

func (s *server) shell() *shell {
	return &shell{t: s.t, env: map[string]string{"VARVE_BOOTSTRAP": s.kafka}}
}

func TestDevInMemory(t *testing.T) {
	s := start(t, "kcat", "dev", "--memory", "--topics", "orders:6,audit:1")
	for i, want := range []string{"kafka    127.0.0.1:", "console  http://127.0.0.1:", "data     in memory", "try      echo hello | varve produce demo --bootstrap "} {
		if !strings.HasPrefix(s.lines[i], want) {
			t.Errorf("line %d: %q, want %q", i, s.lines[i], want)
		}
	}
	sh := s.shell()
	if got := strings.Fields(sh.ok("", "topic", "list")); len(got) != 9 || got[3] != "audit" || got[4] != "1" || got[6] != "orders" || got[7] != "6" {
		t.Errorf("topics: %q", got)
	}
	sh.ok("hello\n", "produce", "made-by-the-first-record")
	if got := sh.ok("", "consume", "made-by-the-first-record", "--exit-at-end"); got != "hello\n" {
		t.Errorf("consumed %q", got)
	}
}

// A record that the topic takes is not refused by the client's own limit.
func TestProduceALargeRecord(t *testing.T) {
	sh := start(t, "kcat", "dev", "--memory").shell()
	sh.ok("", "topic", "create", "large", "-c", "max.message.bytes=5000000")
	value := strings.Repeat("x", 3_000_000)
	sh.ok(value+"\n", "produce", "large")
	if got := sh.ok("", "consume", "large", "--from", "earliest", "--exit-at-end"); strings.TrimSpace(got) != value {
		t.Fatalf("%d bytes came back", len(got))
	}
}

func TestDevKeepsAndResets(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b", "data")
	s := start(t, "kcat", "dev", "--data", dir, "--topics", "orders:1")
	s.shell().ok("one\n", "produce", "orders")
	(&shell{t: t}).fails(exitFailed, "another varve runs on "+dir, "dev", "--data", dir)
	(&shell{t: t}).fails(exitFailed, "another varve runs on "+dir, "dev", "--data", dir, "--reset", "--yes")
	s.stop()

	s = start(t, "kcat", "dev", "--data", dir, "--topics", "orders:1")
	if got := s.shell().ok("", "consume", "orders", "--exit-at-end"); got != "one\n" {
		t.Errorf("after a restart: %q", got)
	}
	s.stop()

	(&shell{t: t}).fails(exitUsage, "add --yes", "dev", "--data", dir, "--reset")
	other := filepath.Join(dir, "somebody-elses")
	if err := os.WriteFile(other, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s = start(t, "kcat", "dev", "--data", dir, "--topics", "orders:1", "--reset", "--yes")
	if got := s.shell().ok("", "consume", "orders", "--exit-at-end"); got != "" {
		t.Errorf("after a reset: %q", got)
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("a reset took what is not ours: %v", err)
	}
}

func TestDevDemoMakesTraffic(t *testing.T) {
	s := start(t, "kcat", "dev", "--memory", "--demo")
	sh := s.shell()
	for try := 0; ; try++ { // the topic appears a moment after the addresses
		if r := sh.run("", "consume", "demo", "--from", "earliest", "-n", "5"); r.code == exitOK && strings.Count(r.out, "celsius") == 5 {
			return
		} else if try == 100 {
			t.Fatalf("exit %d\n%s", r.code, r.err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func TestAgentOnLocalStores(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "agent.conf")
	text := "# a test\nname = a1\nheartbeat = 1s\nttl = 4s\nset = num.partitions=5\nset = auto.create.topics.enable=true\nflush = 20ms\nlog-levle = debug\n"
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	s := start(t, "console", "agent", "--config", config, "--store", fileURL("file", dir, "o"), "--meta", fileURL("bolt", dir, "f.db"), "--zone", "z1")
	if !strings.Contains(s.errs.String(), `line 8: unknown name "log-levle"; did you mean log-level?`) {
		t.Errorf("no warning: %s", s.errs)
	}
	sh := s.shell()
	sh.ok("x\n", "produce", "new")
	if got := sh.ok("", "cluster", "agents"); !strings.Contains(got, "z1") {
		t.Errorf("agents:\n%s", got)
	}
	if got := sh.ok("", "topic", "list"); !strings.Contains(got, "new    5") {
		t.Errorf("num.partitions of the file does not act:\n%s", got)
	}
}

// TestStopBeforeItServes: a SIGTERM while an agent starts is no failure.
func TestStopBeforeItServes(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	errs := &cutWriter{cut: cancel} // the first thing it logs is that the store is slow
	w := &world{in: strings.NewReader(""), out: new(bytes.Buffer), err: errs, env: func(string) (string, bool) { return "", false }}
	args := []string{"agent", "--name", "a", "--store", "fault+mem://?delay=1h", "--meta", "mem://", "--listen", "127.0.0.1:0"}
	if code := run(ctx, w, commands(), args); code != exitOK {
		t.Errorf("exit %d\n%s", code, errs.b.String())
	}
}

func TestServersRefuse(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	at := busy.Addr().String()
	mem := []string{"agent", "--name", "a", "--store", "mem://", "--meta", "mem://"}
	s := &shell{t: t}
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitFailed, "choose another address with --listen", []string{"dev", "--memory", "--listen", at, "--http", "127.0.0.1:0"}},
		{exitFailed, "choose another address with --http", []string{"dev", "--memory", "--listen", "127.0.0.1:0", "--http", at}},
		{exitUsage, "--advertise", []string{"dev", "--memory", "--listen", "0.0.0.0:0"}},
		{exitUsage, `advertise-peer: "example.com" is not HOST:PORT`, append(mem, "--listen", "127.0.0.1:0", "--advertise-peer", "example.com")},
		{exitUsage, `advertise-peer: ":9" is not HOST:PORT`, append(mem, "--listen", "127.0.0.1:0", "--advertise-peer", ":9")},
		{exitUsage, "leave out --data", []string{"dev", "--memory", "--data", "x"}},
		{exitUsage, "leave out --data", []string{"dev", "--memory", "--reset"}},
		{exitUsage, "flush", []string{"dev", "--memory", "--flush", "2h"}},
		{exitUsage, "--set: a is given twice", []string{"dev", "--memory", "--set", "a=1", "--set", "a=2"}},
		{exitUsage, "num.partitions", []string{"dev", "--memory", "--set", "num.partitions=x"}},
		{exitUsage, "--name is missing", []string{"agent"}},
		{exitUsage, "--store is missing", []string{"agent", "--name", "a"}},
		{exitUsage, "--meta is missing", []string{"agent", "--name", "a", "--store", "mem://"}},
		{exitUsage, "slots", append(mem, "--slots", "0")},
		{exitUsage, "no such file", append(mem, "--config", filepath.Join(t.TempDir(), "none"))},
		{exitUsage, "is not one of debug, info", append(mem, "--log-level", "loud")},
	} {
		s.fails(c.code, c.want, c.args...)
	}
}

func TestConfigFile(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"name", `line 1: "name" is not name = value`},
		{"\n#x\nname = a\nname = b\n", "line 4: name is set in line 3 already"},
		{"flush = soon\n", `line 1: flush: "soon" is not a duration`},
		{"= x\n", ""},
		{"name=a\nset = k=v,w\nset=x=\nflush-bytes = 1MiB\nsnapshot-flushes = 7\nconfig = other", ""},
	} {
		path := filepath.Join(t.TempDir(), "c")
		if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		f := newAgentFlags()
		f.config = path
		options := append(f.storeOptions(), f.options()...)
		options[0].from = "--name" // the command line wins
		f.cfg.Name = "given"
		err := f.settle(&world{err: new(bytes.Buffer)}, options)
		if c.want != "" {
			if exitCode(err) != exitUsage || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q: %v; want %q", c.text, err, c.want)
			}
			continue
		}
		if err != nil || f.cfg.Name != "given" || strings.Contains(c.text, "set") && (f.cfg.Settings["k"] != "v,w" || f.cfg.FlushBytes != 1<<20 || f.cfg.SnapshotFlushes != 7) {
			t.Errorf("%q: %+v, %v", c.text, f.cfg, err)
		}
	}
}

func TestSegmentCommands(t *testing.T) {
	dir := t.TempDir()
	s := start(t, "kcat", "dev", "--data", dir, "--topics", "orders:2,other:1")
	sh := s.shell()
	lines := `{"value":"a","key":"k","partition":0,"timestamp":5}` + "\n" + `{"value":null,"partition":1,"timestamp":6}`
	sh.ok(lines, "produce", "orders", "--input", "jsonl", "--compress", "zstd")
	sh.ok("x\n", "produce", "other")
	want := sh.ok("", "consume", "orders", "--exit-at-end", "-o", "jsonl")
	s.stop()

	sh.env = map[string]string{"VARVE_STORE": fileURL("file", dir, devObjects)}
	all := sh.ok("", "segment", "list", "-o", "jsonl")
	if !strings.Contains(all, `"kind":"wal"`) || !strings.Contains(all, `"kind":"snap"`) {
		t.Errorf("list:\n%s", all)
	}
	runs := sh.ok("", "segment", "list", "orders", "--meta", fileURL("bolt", dir, devFacts))
	if strings.Count(runs, " committed ") != 2 {
		t.Errorf("list orders:\n%s", runs)
	}
	if got := sh.ok("", "segment", "list", "orders", "-p", "1"); strings.Count(got, "\n") != 2 {
		t.Errorf("list orders -p 1:\n%s", got)
	}
	cat := ""
	for _, key := range keysIn(runs) {
		cat += sh.ok("", "segment", "cat", key, "--topic", "orders")
		got := sh.ok("", "segment", "inspect", key, "--batches")
		for _, part := range []string{"kind        wal", "orders", "SECTION  NAME", "3        RUNS", "RUN", "SLOT"} {
			if !strings.Contains(got, part) {
				t.Errorf("inspect lacks %q:\n%s", part, got)
			}
		}
	}
	if !sameLines(cat, want) {
		t.Errorf("cat:\n%swant\n%s", cat, want)
	}
	snap := ""
	for _, key := range keysIn(all) {
		if strings.Contains(key, "/s/") {
			snap = key
		}
		sh.ok("", "segment", "verify", key, "--deep")
		sh.ok("", "segment", "verify", key)
	}
	if got := sh.ok("", "segment", "inspect", snap); !strings.Contains(got, "END") {
		t.Errorf("inspect of a snapshot:\n%s", got)
	}
	damage(t, sh, dir, keysIn(runs)[0])
	sh.env = nil
	sh.fails(exitUsage, "--store is missing", "segment", "list")
	sh.fails(exitFailed, "no such file", "segment", "list", "--store", fileURL("file", dir, "typo"))
	sh.fails(exitFailed, "in use", "segment", "list", "--store", "mem://", "--meta", heldTable(t))
}

// heldTable is the URL of a table that somebody has open.
func heldTable(t *testing.T) string {
	dir := t.TempDir()
	b, err := bolt.Open(filepath.Join(dir, "held.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return fileURL("bolt", dir, "held.db")
}

// damage changes one byte after the other of an object's body, footer and header, and expects verify to see each.
func damage(t *testing.T, sh *shell, dir, key string) {
	t.Helper()
	path := filepath.Join(dir, devObjects, filepath.FromSlash(key))
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(good); at++ {
		bad := bytes.Clone(good)
		bad[at] ^= 0x10
		if err := os.WriteFile(path, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		r := sh.run("", "segment", "verify", "orders", "--deep", "-o", "jsonl")
		newer := strings.Contains(r.out, "version not supported") // what a changed version looks like
		if r.code != exitFailed || !strings.Contains(r.out, `"result":"damaged"`) && !newer {
			t.Errorf("byte %d of %d: exit %d\n%s%s", at, len(good), r.code, r.out, r.err)
		}
	}
	if err := os.WriteFile(path, good[:len(good)-1], 0o644); err != nil {
		t.Fatal(err)
	}
	sh.fails(exitFailed, key, "segment", "cat", key)
	if r := sh.run("", "segment", "list", "orders"); r.code != exitFailed || !strings.Contains(r.err, key) {
		t.Errorf("list: exit %d\n%s", r.code, r.err)
	}
	if err := os.WriteFile(path, good, 0o644); err != nil {
		t.Fatal(err)
	}
	sh.fails(exitFailed, "object not found", "segment", "cat", key+"0")
	sh.fails(exitFailed, `no object holds records of "nope"`, "segment", "verify", "nope")
}

// keysIn returns the keys in a listing, in any format.
func keysIn(s string) (keys []string) {
	for _, f := range strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" \n\"", r) }) {
		if strings.HasPrefix(f, "varve/") && (len(keys) == 0 || keys[len(keys)-1] != f) {
			keys = append(keys, f)
		}
	}
	return keys
}

// sameLines compares lines in any order.
func sameLines(a, b string) bool {
	count := map[string]int{}
	for l := range strings.Lines(a) {
		count[l]++
	}
	for l := range strings.Lines(b) {
		count[l]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}
