//go:build e2e

package e2e

import (
	"bytes"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// smallDisk returns a folder on a file system of its own of so many MiB. That takes root on Linux: elsewhere the test is
// left out, in the gate (CI=true) it fails.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "varve-test", dir).CombinedOutput()
	if err != nil || runtime.GOOS != "linux" {
		text := "LEFT OUT: a small file system cannot be mounted here; run as root on Linux: " + string(bytes.TrimSpace(out))
		if os.Getenv("CI") == "true" {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

// fillDisk takes all the space that is left, and returns the file that holds it.
func fillDisk(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	noise := make([]byte, 4096)
	_, _ = rand.Read(noise)
	for err == nil {
		_, err = f.Write(noise)
	}
	if !strings.Contains(err.Error(), "no space left") {
		t.Fatalf("fill the disk: %v", err)
	}
	return path
}

// TestFullDisk: the disk under `varve dev` runs full, with a producer at work. The agent stays up and says what is the
// matter; what was acknowledged can be read; once there is space again the producer's records go through, every one once
// and in order.
func TestFullDisk(t *testing.T) {
	disk := smallDisk(t, "24m")
	a := newAgent(t, nil, "dev", "--data", filepath.Join(disk, "data"))
	a.start(t)
	createTopic(t, a.addr, "t", 2)
	l := startLoad(t, a.addr, "t", 2)
	await(t, "acknowledgements", func() bool { return l.count() > 500 })
	ballast := fillDisk(t, disk)
	a.awaitLog(t, "level=WARN", "is full", filepath.Join(disk, "data"), "kept and tried again")
	acked := l.count()
	if got := len((kgoClient{}).consume(t, a.addr, "t")); got < acked {
		t.Errorf("%d records can be read on the full disk, %d are acknowledged", got, acked)
	}
	if status, body := a.get(t, "/healthz"); status != 200 {
		t.Errorf("/healthz: %d %s", status, body)
	}
	free(t, ballast)
	await(t, "acknowledgements once there is space", func() bool { return l.count() > acked+500 })
	l.finish(t)
	l.check(t, a.addr, "t")
	a.kill(t)
	a.start(t)
	l.check(t, a.addr, "t")
	a.checkCalm(t)
	a.stop(t)
}

// TestStartOnAFullDisk: kill -9, and a start while the disk is full. The start waits and says for what; once there is
// space it serves, and nothing is lost.
func TestStartOnAFullDisk(t *testing.T) {
	disk := smallDisk(t, "24m")
	a := newAgent(t, nil, "dev", "--data", filepath.Join(disk, "data"))
	a.start(t)
	createTopic(t, a.addr, "t", 1)
	want := sample(1, 1, time.Now())
	kgoClient{}.produce(t, a.addr, "t", "none", want)
	a.kill(t)
	ballast := fillDisk(t, disk)
	first := a.launch(t)
	a.awaitLog(t, "level=WARN", "is full")
	free(t, ballast)
	select {
	case line := <-first:
		if !strings.HasPrefix(line, "kafka ") {
			t.Fatalf("first line %q once there is space", line)
		}
	case <-time.After(hang):
		t.Fatal("does not serve once there is space")
	}
	compare(t, kgoClient{}.consume(t, a.addr, "t"), want)
	a.stop(t)
}

func free(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
