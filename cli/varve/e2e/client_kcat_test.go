//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"testing"
)

// kcatClient is kcat, that is librdkafka. It sets headers per process, cannot set timestamps, and cannot tell an empty
// key from none: it takes records one shape at a time.
type kcatClient struct{}

func (kcatClient) name() string { return "kcat" }

// Separators of the lines that kcat reads and prints; no sample has them.
const (
	keyEnd    = "\x1e\x1ekey\x1e\x1e"
	recordEnd = "\x1e\x1eend\x1e\x1e"
)

// needKcat returns the program's path.
func needKcat(t *testing.T) string {
	t.Helper()
	need(t, "kcat", "kcat", "Debian: apt-get install kcat; macOS: brew install kcat")
	path, err := exec.LookPath("kcat")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func (k kcatClient) produce(t *testing.T, addr, topic, codec string, records []record) []int64 {
	t.Helper()
	for _, part := range byPartition(records) {
		for len(part) > 0 {
			n := 1
			for n < len(part) && oneRun(part[0], part[n]) {
				n++
			}
			args, in := kcatRun(addr, topic, codec, part[:n])
			k.run(t, bytes.Join(in, nil), args...)
			part = part[n:]
		}
	}
	return nil
}

// oneRun tells whether one kcat process can write both: it has one set of headers, and takes all empty values as null
// or none.
func oneRun(a, b record) bool {
	return (a.key == nil) == (b.key == nil) && (a.value == nil) == (b.value == nil) && slices.EqualFunc(a.headers, b.headers, sameHeader)
}

// kcatRun returns the arguments of one process and, for each record, what it reads.
func kcatRun(addr, topic, codec string, run []record) (args []string, in [][]byte) {
	args = []string{"-P", "-b", addr, "-t", topic, "-p", strconv.Itoa(int(run[0].partition)), "-z", codec,
		"-X", "acks=all", "-X", "linger.ms=1", "-D", recordEnd}
	if run[0].value == nil {
		args = append(args, "-Z")
	}
	if run[0].key != nil {
		args = append(args, "-K", keyEnd)
	}
	for _, h := range run[0].headers {
		text := h.name
		if h.value != nil {
			text += "=" + string(h.value)
		}
		args = append(args, "-H", text)
	}
	for _, r := range run {
		var line []byte
		if r.key != nil {
			line = append(append(line, r.key...), keyEnd...)
		}
		in = append(in, append(append(line, r.value...), recordEnd...))
	}
	return args, in
}

func (k kcatClient) run(t *testing.T, stdin []byte, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), needKcat(t), args...)
	cmd.Stdin = bytes.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("kcat %q: %v: %s", args, err, errs.String())
	}
	return out.Bytes()
}

func (k kcatClient) consume(t *testing.T, addr, topic string) []record {
	t.Helper()
	return k.read(t, addr, topic, "beginning")
}

func (k kcatClient) consumeFrom(t *testing.T, addr, topic string, millis int64) []record {
	t.Helper()
	return k.read(t, addr, topic, "s@"+strconv.FormatInt(millis, 10))
}

// read takes everything from the offset on, printed with lengths, so that any bytes come through.
func (k kcatClient) read(t *testing.T, addr, topic, offset string) []record {
	t.Helper()
	out := k.run(t, nil, "-C", "-b", addr, "-t", topic, "-o", offset, "-e", "-q", "-X", "check.crcs=true",
		"-f", "%p %o %T %K %S\n%k%s%h"+recordEnd)
	var got []record
	for len(out) > 0 {
		r, rest, err := parseKcat(out)
		if err != nil {
			t.Fatalf("kcat printed something else: %v", err)
		}
		got, out = append(got, r), rest
	}
	return got
}

func parseKcat(out []byte) (record, []byte, error) {
	line, rest, _ := bytes.Cut(out, []byte("\n"))
	var r record
	var keyLen, valueLen int
	if _, err := fmt.Sscan(string(line), &r.partition, &r.offset, &r.millis, &keyLen, &valueLen); err != nil {
		return r, nil, fmt.Errorf("%.80q: %w", line, err)
	}
	var err error
	if r.key, rest, err = take(rest, keyLen); err != nil {
		return r, nil, err
	}
	if r.value, rest, err = take(rest, valueLen); err != nil {
		return r, nil, err
	}
	text, rest, found := bytes.Cut(rest, []byte(recordEnd))
	if !found {
		return r, nil, fmt.Errorf("no end after %.80q", text)
	}
	headers := string(text)
	r.headerText = &headers
	return r, rest, nil
}

// take cuts n bytes off; -1 is null.
func take(b []byte, n int) ([]byte, []byte, error) {
	switch {
	case n < 0:
		return nil, b, nil
	case n > len(b):
		return nil, nil, fmt.Errorf("%d bytes, want %d", len(b), n)
	}
	return b[:n:n], b[n:], nil
}
