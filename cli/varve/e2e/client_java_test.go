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
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// javaClient is Apache Kafka's own client: one JVM for all tests, which obeys lines (see java/src/main/java).
type javaClient struct{ *jvm }

type jvm struct {
	mu  sync.Mutex // one command at a time
	in  io.WriteCloser
	out *bufio.Reader
}

// startJava builds the client if it is older than its sources and starts it. The JVM ends with its standard input,
// that is, with this process.
var startJava = sync.OnceValues(func() (*jvm, error) {
	if err := buildJava("java"); err != nil {
		return nil, err
	}
	path := filepath.Join("java", "target", "e2e-client.jar") + string(os.PathListSeparator) + filepath.Join("java", "target", "lib", "*")
	cmd := exec.Command("java", "-Xmx512m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", path, "varve.Main")
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
		return nil, fmt.Errorf("start java: %w", err)
	}
	return &jvm{in: in, out: bufio.NewReaderSize(out, 1<<20)}, nil
})

func sharedJava(t *testing.T) *jvm {
	t.Helper()
	need(t, "mvn", "the Java client", "install Maven and a JDK 17 or newer")
	j, err := startJava()
	if err != nil {
		t.Fatalf("Java client: %v", err)
	}
	return j
}

// buildJava packages the Maven project, from the local repository alone if that has everything.
func buildJava(dir string) error {
	fresh, err := upToDate(filepath.Join(dir, "target", "e2e-client.jar"), filepath.Join(dir, "pom.xml"), filepath.Join(dir, "src"))
	if err != nil || fresh {
		return err
	}
	if err := maven(dir, "-o"); err == nil {
		return nil
	}
	return maven(dir)
}

func maven(dir string, flags ...string) error {
	cmd := exec.Command("mvn", append(flags, "-q", "-B", "package")...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mvn package: %w: %s", err, out)
	}
	return nil
}

// upToDate tells whether made is newer than all sources.
func upToDate(made string, sources ...string) (bool, error) {
	info, err := os.Stat(made)
	if err != nil {
		return false, nil
	}
	fresh := true
	for _, s := range sources {
		err := filepath.WalkDir(s, func(_ string, d os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			src, err := d.Info()
			fresh = fresh && err == nil && src.ModTime().Before(info.ModTime())
			return err
		})
		if err != nil {
			return false, err
		}
	}
	return fresh, nil
}

func (javaClient) name() string { return "java" }

// ask sends a command with its lines and returns the lines of the answer; a refusal fails the test.
func (j *jvm) ask(t *testing.T, lines ...string) []string {
	t.Helper()
	answer, err := j.try(t, lines...)
	if err != nil {
		t.Fatalf("java, answer to %q: %v", lines[0], err)
	}
	return answer
}

// try likewise, but returns the client's refusal as an error.
func (j *jvm) try(t *testing.T, lines ...string) ([]string, error) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := io.WriteString(j.in, strings.Join(lines, "\n")+"\n"); err != nil {
		t.Fatalf("java: %v", err)
	}
	var answer []string
	for {
		line, err := j.out.ReadString('\n')
		if err != nil {
			t.Fatalf("java, answer to %q: %v", lines[0], err)
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

func (j javaClient) create(t *testing.T, addr, topic string, partitions int) {
	t.Helper()
	j.ask(t, fmt.Sprintf("create %s %s %d", addr, topic, partitions))
}

func (j javaClient) produce(t *testing.T, addr, topic, codec string, records []record) []int64 {
	t.Helper()
	return j.produceWith(t, addr, topic, codec, records)
}

// produceWith takes producer properties besides, NAME=VALUE.
func (j javaClient) produceWith(t *testing.T, addr, topic, codec string, records []record, properties ...string) []int64 {
	t.Helper()
	command := fmt.Sprintf("produce %s %s %s %d", addr, topic, codec, len(records))
	lines := []string{strings.Join(append([]string{command}, properties...), " ")}
	for _, r := range records {
		lines = append(lines, javaLine(r))
	}
	var offsets []int64
	for _, line := range j.ask(t, lines...) {
		offset, err := strconv.ParseInt(line, 10, 64)
		if err != nil {
			t.Fatalf("java produce: %v", err)
		}
		offsets = append(offsets, offset)
	}
	return offsets
}

func (j javaClient) consume(t *testing.T, addr, topic string) []record {
	t.Helper()
	return parseJava(t, j.ask(t, "consume "+addr+" "+topic))
}

func (j javaClient) consumeFrom(t *testing.T, addr, topic string, millis int64) []record {
	t.Helper()
	return parseJava(t, j.ask(t, fmt.Sprintf("consume-from %s %s %d", addr, topic, millis)))
}

// ends returns the offsets that seeking to the end leads to.
func (j javaClient) ends(t *testing.T, addr, topic string) map[int32]int64 {
	t.Helper()
	ends := map[int32]int64{}
	for _, line := range j.ask(t, "end "+addr+" "+topic) {
		var p int32
		var offset int64
		if _, err := fmt.Sscan(line, &p, &offset); err != nil {
			t.Fatalf("java end %q: %v", line, err)
		}
		ends[p] = offset
	}
	return ends
}

func javaLine(r record) string {
	millis := r.millis
	if millis == 0 {
		millis = time.Now().UnixMilli()
	}
	fields := []string{fmt.Sprintf("%d 0 %d", r.partition, millis), javaText(r.key), javaText(r.value)}
	for _, h := range r.headers {
		fields = append(fields, javaText([]byte(h.name))+":"+javaText(h.value))
	}
	return strings.Join(fields, " ")
}

func parseJava(t *testing.T, lines []string) []record {
	t.Helper()
	var all []record
	for _, line := range lines {
		f := strings.Split(line, " ")
		var r record
		if _, err := fmt.Sscan(strings.Join(f[:3], " "), &r.partition, &r.offset, &r.millis); err != nil {
			t.Fatalf("java consume %.80q: %v", line, err)
		}
		r.key, r.value = javaBytes(t, f[3]), javaBytes(t, f[4])
		for _, h := range f[5:] {
			name, value, _ := strings.Cut(h, ":")
			r.headers = append(r.headers, header{string(javaBytes(t, name)), javaBytes(t, value)})
		}
		all = append(all, r)
	}
	return all
}

func javaText(b []byte) string {
	if b == nil {
		return "~"
	}
	return base64.StdEncoding.EncodeToString(b)
}

func javaBytes(t *testing.T, s string) []byte {
	t.Helper()
	if s == "~" {
		return nil
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatalf("java: %v", err)
	}
	return b
}
