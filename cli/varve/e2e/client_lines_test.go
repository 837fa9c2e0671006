//go:build e2e

package e2e

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// obedient is a client in a process of its own that serves all tests and obeys lines (see java/src/main/java, which
// lists them). It ends with its standard input, that is, with this process.
type obedient struct {
	label string
	mu    sync.Mutex // one command at a time
	in    io.WriteCloser
	out   *bufio.Reader
}

func startObedient(label, program string, args ...string) (*obedient, error) {
	cmd := exec.Command(program, args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", label, err)
	}
	return &obedient{label: label, in: in, out: bufio.NewReaderSize(out, 1<<20)}, nil
}

// ask sends a command with its lines and returns the lines of the answer; a refusal fails the test.
func (o *obedient) ask(t *testing.T, lines ...string) []string {
	t.Helper()
	answer, err := o.try(t, lines...)
	if err != nil {
		t.Fatalf("%s, answer to %q: %v", o.label, lines[0], err)
	}
	return answer
}

// try likewise, but returns the client's refusal as an error.
func (o *obedient) try(t *testing.T, lines ...string) ([]string, error) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, err := io.WriteString(o.in, strings.Join(lines, "\n")+"\n"); err != nil {
		t.Fatalf("%s: %v", o.label, err)
	}
	var answer []string
	for {
		line, err := o.out.ReadString('\n')
		if err != nil {
			t.Fatalf("%s, answer to %q: %v", o.label, lines[0], err)
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "ok" {
			return answer, nil
		}
		if text, failed := strings.CutPrefix(line, "error "); failed {
			return nil, errors.New(text)
		}
		answer = append(answer, line)
	}
}

func recordLine(r record) string {
	millis := r.millis
	if millis == 0 {
		millis = time.Now().UnixMilli()
	}
	fields := []string{fmt.Sprintf("%d 0 %d", r.partition, millis), lineText(r.key), lineText(r.value)}
	for _, h := range r.headers {
		fields = append(fields, lineText([]byte(h.name))+":"+lineText(h.value))
	}
	return strings.Join(fields, " ")
}

func parseLines(t *testing.T, lines []string) []record {
	t.Helper()
	var all []record
	for _, line := range lines {
		f := strings.Split(line, " ")
		var r record
		if _, err := fmt.Sscan(strings.Join(f[:3], " "), &r.partition, &r.offset, &r.millis); err != nil {
			t.Fatalf("consumed %.80q: %v", line, err)
		}
		r.key, r.value = lineBytes(t, f[3]), lineBytes(t, f[4])
		for _, h := range f[5:] {
			name, value, _ := strings.Cut(h, ":")
			r.headers = append(r.headers, header{string(lineBytes(t, name)), lineBytes(t, value)})
		}
		all = append(all, r)
	}
	return all
}

func lineText(b []byte) string {
	if b == nil {
		return "~"
	}
	return base64.StdEncoding.EncodeToString(b)
}

func lineBytes(t *testing.T, s string) []byte {
	t.Helper()
	if s == "~" {
		return nil
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatalf("a line of a client: %v", err)
	}
	return b
}
