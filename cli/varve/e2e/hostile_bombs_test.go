//go:build e2e

package e2e

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
)

// bomb is a good batch of n records of size zeros each, compressed with a codec by its number, made without holding it.
func bomb(t *testing.T, codec byte, n, size int) []byte {
	t.Helper()
	var out bytes.Buffer
	out.Write(batch("")[:atRecords])
	var w io.WriteCloser
	var err error
	switch codec {
	case 1:
		w, err = gzip.NewWriterLevel(&out, 9)
	case 2:
		out.WriteString("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01")
		w = xerial{&out}
	case 3:
		w = lz4.NewWriter(&out)
	case 4:
		w, err = zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	}
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 64<<10)
	for i := range n {
		head := append([]byte{0, 0}, binary.AppendVarint(nil, int64(i))...)
		head = append(binary.AppendVarint(head, 1), 'k')
		head = binary.AppendVarint(head, int64(size))
		_, _ = w.Write(append(binary.AppendVarint(nil, int64(len(head)+size+1)), head...))
		for left := size; left > 0; left -= len(zeros) {
			_, _ = w.Write(zeros[:min(left, len(zeros))])
		}
		_, _ = w.Write([]byte{0})
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b := out.Bytes()
	binary.BigEndian.PutUint32(b[atLength:], uint32(len(b)-atLength-4))
	binary.BigEndian.PutUint32(b[atCount:], uint32(n))
	b = with(b, atAttributes, 0, codec)
	return with(b, atAttributes+2, u32(int32(n-1))...)
}

// xerial writes each piece as a block of the framing that Java puts around snappy.
type xerial struct{ out *bytes.Buffer }

func (x xerial) Write(b []byte) (int, error) {
	block := snappy.Encode(nil, b)
	x.out.Write(binary.BigEndian.AppendUint32(nil, uint32(len(block))))
	x.out.Write(block)
	return len(b), nil
}

func (x xerial) Close() error { return nil }

// tool runs the binary and returns its exit code, what it printed (at most 1 MiB) and the most memory it had.
func tool(t *testing.T, args ...string) (code int, stdout, stderr string, rss int64) {
	t.Helper()
	bin, err := buildBinary()
	if err != nil {
		t.Fatal(err)
	}
	out, said := &head1M{}, &head1M{}
	cmd := exec.CommandContext(t.Context(), bin, args...)
	cmd.Stdout, cmd.Stderr = out, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer, most := time.AfterFunc(2*hang, func() { _ = cmd.Process.Kill() }), peakOf(cmd.Process.Pid)
	err = cmd.Wait()
	rss = most()
	if !timer.Stop() {
		t.Fatalf("%q runs on: %s", args, said)
	}
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), said.String(), rss
}

// peakOf looks at the most memory that a process had, until it has ended and the function returned is called. (What wait tells counts the
// memory of the process that started it, too.)
func peakOf(pid int) (most func() int64) {
	over, told := make(chan struct{}), make(chan int64)
	go func() {
		var most int64
		for {
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			if _, rest, there := strings.Cut(string(status), "VmHWM:"); there {
				var kib int64
				if _, err := fmt.Sscan(rest, &kib); err == nil {
					most = max(most, kib<<10)
				}
			}
			select {
			case <-over:
				told <- most
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	return func() int64 { close(over); return <-told }
}

// head1M keeps the beginning of what is written to it.
type head1M struct{ b []byte }

func (h *head1M) Write(b []byte) (int, error) {
	h.b = append(h.b, b[:min(len(b), max(0, 1<<20-len(h.b)))]...)
	return len(b), nil
}

func (h *head1M) String() string { return string(h.b) }

// TestBombsThroughEveryReader: batches that unfold to 300 MiB go through an agent as they are. What opens them on the other side
// stops at its cap and says so, and what has no need to open them does not.
func TestBombsThroughEveryReader(t *testing.T) {
	dir := t.TempDir()
	a := newAgent(t, nil, "dev", "--data", dir)
	a.start(t)
	stop := goodClient(t, a, "good")
	codecs := map[byte]string{1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}
	for codec, name := range codecs {
		if code, _, stderr, _ := tool(t, "topic", "create", "--bootstrap", a.addr, "--config", "max.message.bytes=30000000", name); code != 0 {
			t.Fatalf("topic create: %s", stderr)
		}
		n, size := 1, 300<<20 // more than any reader's cap, and said to be
		if name == "zstd" {
			n, size = 3, 100<<20 // not said
		}
		b := bomb(t, codec, n, size)
		cl := dial(t, a.addr, byName(), kgo.BrokerMaxWriteBytes(60<<20))
		if p := produceRaw(t, cl, produceRequest(name, b)); p.ErrorCode != 0 {
			t.Fatalf("%s: code %d", name, p.ErrorCode)
		}
		code, stdout, stderr, rss := tool(t, "consume", name, "--bootstrap", a.addr, "--from", "earliest", "--exit-at-end", "--format", "%o\\n")
		t.Logf("%s, %d bytes: consume ends with %d, %d MiB at most: %.120s", name, len(b), code, rss>>20, stderr)
		if code == 0 || stdout != "" {
			t.Errorf("%s: consume ends with %d and prints %q", name, code, stdout)
		}
		if rss > 512<<20 && !raceEnabled {
			t.Errorf("%s: consume took %d MiB", name, rss>>20)
		}
	}
	stop()
	rss := int64(a.metric(t, "process_resident_memory_bytes"))
	t.Logf("agent: %d MiB resident", rss>>20)
	if rss > 512<<20 && !raceEnabled {
		t.Errorf("the agent, which opens none of them, has %d MiB", rss>>20)
	}
	a.checkCalm(t)
	a.stop(t)
	for _, name := range codecs {
		bombsAtRest(t, "file://"+filepath.Join(dir, "objects"), name)
	}
}

// bombsAtRest looks at a bomb with the tools that read the store.
func bombsAtRest(t *testing.T, store, topic string) {
	t.Helper()
	code, stdout, stderr, _ := tool(t, "segment", "list", topic, "--store", store, "--output", "jsonl")
	var first struct{ Key string }
	if err := json.NewDecoder(bytes.NewReader([]byte(stdout))).Decode(&first); code != 0 || err != nil || first.Key == "" {
		t.Fatalf("segment list %s: %d %v %s %s", topic, code, err, stdout, stderr)
	}
	for _, c := range []struct {
		args []string
		code int
		most int64 // MiB
	}{
		{[]string{"segment", "inspect", first.Key}, 0, 256},
		{[]string{"segment", "verify", first.Key, "--deep"}, 0, 256},
		{[]string{"segment", "cat", first.Key, "--topic", topic}, 1, 1024},
	} {
		code, _, stderr, rss := tool(t, append(c.args, "--store", store)...)
		t.Logf("%s: %s ends with %d, %d MiB at most: %.160s", topic, c.args[1], code, rss>>20, stderr)
		if code != c.code {
			t.Errorf("%s: %q ends with %d instead of %d: %s", topic, c.args, code, c.code, stderr)
		}
		if rss > c.most<<20 && !raceEnabled {
			t.Errorf("%s: %q took %d MiB, at most %d", topic, c.args, rss>>20, c.most)
		}
	}
}
