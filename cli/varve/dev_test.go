package main

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

// tree lists what is in a folder.
func tree(t *testing.T, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if path != dir {
			paths = append(paths, path[len(dir)+1:])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// TestDevThatFailsLeavesNothing: whatever kept it from serving, a folder that was not there is not there after.
func TestDevThatFailsLeavesNothing(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for _, args := range [][]string{
		{"--listen", busy.Addr().String(), "--http", ""},
		{"--listen", "127.0.0.1:0", "--http", busy.Addr().String()},
		{"--listen", "127.0.0.1:0", "--http", "", "--topics", "bad/name:1"},
		{"--listen", "127.0.0.1:0", "--http", "", "--set", "num.partitions=x"},
		{"--listen", "127.0.0.1:0", "--http", "", "--pprof"},
		{"--listen", "0.0.0.0:0"},
		{"--flush", "2h"},
	} {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "there", "theirs"), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, data := range []string{".varve", "deep/er/.varve", "there"} {
			r := (&shell{t: t}).run("", append([]string{"dev", "--data", filepath.Join(dir, data)}, args...)...)
			if r.code == exitOK || r.out != "" {
				t.Errorf("%q: exit %d, %q", args, r.code, r.out)
			}
		}
		if got := tree(t, dir); len(got) != 2 {
			t.Errorf("%q left %q", args, got)
		}
	}
}

// TestDevThatFailsKeepsRecords: a start that fails on a folder with records in it touches none.
func TestDevThatFailsKeepsRecords(t *testing.T) {
	dir := t.TempDir()
	s := start(t, "kcat", "dev", "--data", dir, "--topics", "t:1")
	s.shell().ok("kept\n", "produce", "t")
	(&shell{t: t}).fails(exitFailed, "another varve runs", "dev", "--data", dir, "--listen", "127.0.0.1:0", "--http", "")
	other := start(t, "kcat", "dev", "--memory")
	s.stop()
	before := tree(t, dir)
	(&shell{t: t}).fails(exitFailed, "choose another address", "dev", "--data", dir, "--listen", other.kafka, "--http", "")
	if after := tree(t, dir); len(after) < len(before) {
		t.Errorf("after a start that failed there is %q, before %q", after, before)
	}
	again := start(t, "kcat", "dev", "--data", dir)
	if got := again.shell().ok("", "consume", "t", "--exit-at-end"); got != "kept\n" {
		t.Errorf("consumed %q", got)
	}
}

func TestDevResetDryRun(t *testing.T) {
	dir := t.TempDir()
	start(t, "kcat", "dev", "--data", dir).stop()
	before := tree(t, dir)
	r := (&shell{t: t}).run("", "dev", "--data", dir, "--reset", "--dry-run")
	if want := "dry run: would have deleted all topics and records in " + dir + "\n"; r != (result{"", want, exitOK}) {
		t.Errorf("%+v, want %q", r, want)
	}
	if after := tree(t, dir); len(after) != len(before) {
		t.Errorf("a dry run changed %q to %q", before, after)
	}
	(&shell{t: t}).fails(exitUsage, "--dry-run is about --reset", "dev", "--dry-run")
}
