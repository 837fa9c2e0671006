//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// javaClient is Apache Kafka's own client: one JVM for all tests, which obeys lines (see java/src/main/java).
type javaClient struct{ *obedient }

// startJava builds the client if it is older than its sources and starts it.
var startJava = sync.OnceValues(func() (*obedient, error) { return runJava("java", "target") })

// startOldJava likewise, with the client library of the profile "old".
var startOldJava = sync.OnceValues(func() (*obedient, error) {
	return runJava("java 2.8", filepath.Join("target", "old"), "-P", "old")
})

func runJava(name, made string, flags ...string) (*obedient, error) {
	made = filepath.Join("java", made)
	if err := buildJava("java", made, flags...); err != nil {
		return nil, err
	}
	path := filepath.Join(made, "e2e-client.jar") + string(os.PathListSeparator) + filepath.Join(made, "lib", "*")
	return startObedient(name, "java", "-Xmx512m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", path, "varve.Main")
}

func sharedJava(t *testing.T) *obedient {
	t.Helper()
	need(t, "mvn", "the Java client", "install Maven and a JDK 17 or newer")
	j, err := startJava()
	if err != nil {
		t.Fatalf("Java client: %v", err)
	}
	return j
}

var building sync.Mutex // two Mavens in one folder spoil it

// buildJava packages the Maven project, from the local repository alone if that has everything.
func buildJava(dir, made string, flags ...string) error {
	building.Lock()
	defer building.Unlock()
	fresh, err := upToDate(filepath.Join(made, "e2e-client.jar"), filepath.Join(dir, "pom.xml"), filepath.Join(dir, "src"))
	if err != nil || fresh {
		return err
	}
	if err := maven(dir, append(flags, "-o")...); err == nil {
		return nil
	}
	return maven(dir, flags...)
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
		lines = append(lines, recordLine(r))
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
	return parseLines(t, j.ask(t, "consume "+addr+" "+topic))
}

func (j javaClient) consumeFrom(t *testing.T, addr, topic string, millis int64) []record {
	t.Helper()
	return parseLines(t, j.ask(t, fmt.Sprintf("consume-from %s %s %d", addr, topic, millis)))
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
