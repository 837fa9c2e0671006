package simtest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// mutant is one fault: in file, old (which stands there once) becomes new, and test of the file's package must fail.
type mutant struct {
	name, file, old, new, test string
}

// mutantsInGate are those that every run of the tests plants; `make mutants` plants them all.
var mutantsInGate = []string{"commit skips holes", "a pin covers the last epoch only"}

// testsHere are the tests of whole agents; any other one is in the package that it finds a fault of.
var testsHere = []string{"TestR26HandOverUnknown", "TestR19LateWrites", "TestTopicThatNobodyToldOf"}

// TestMutantsInGate keeps the mechanism and the simulation of the cores sharp.
func TestMutantsInGate(t *testing.T) {
	for _, m := range coreMutants {
		if slices.Contains(mutantsInGate, m.name) {
			t.Run(m.name, func(t *testing.T) { m.find(t) })
		}
	}
}

// find plants the fault by an overlay, so that the tree is not touched, runs the test that must find it, and returns what that
// says, with how many seeds it needed if it has seeds.
func (m mutant) find(t *testing.T) (found string, seeds int) {
	t.Helper()
	path := absolute(t, filepath.Join("..", filepath.FromSlash(m.file)))
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), m.old); n != 1 {
		t.Fatalf("the text to change stands %d times in %s", n, m.file)
	}
	faulty := filepath.Join(t.TempDir(), "faulty.go")
	if err := os.WriteFile(faulty, []byte(strings.Replace(string(source), m.old, m.new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	replace := map[string]string{path: faulty}
	if m.test == coreTest {
		found, seeds := runCoreSeeds(t, buildCore(t, replace), coreGate)
		if seeds == 0 {
			t.Fatalf("%d seeds do not find it", coreGate)
		}
		return found, seeds
	}
	dir := filepath.ToSlash(filepath.Dir(m.file))
	if slices.Contains(testsHere, m.test) {
		dir = "simtest"
	}
	return runMutant(t, overlay(t, replace), "../"+dir, m.test), 0
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func overlay(t *testing.T, replace map[string]string) string {
	t.Helper()
	b, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(list, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return list
}

// runMutant runs the one test that must fail.
func runMutant(t *testing.T, overlay, pkg, test string) (found string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout=5m", "-overlay="+overlay, "-run=^"+test+"$", "-v", pkg)
	out, err := cmd.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		t.Fatalf("%s did not end", test)
	case strings.Contains(string(out), "[build failed]") || !strings.Contains(string(out), "=== RUN   "+test):
		t.Fatalf("%s did not run:\n%s", test, out)
	case err == nil:
		t.Fatalf("%s passes with the fault in place", test)
	}
	return ""
}

var coreFound = regexp.MustCompile(`SEED=(\d+)[: ]+(.*)`)

// buildCore builds the simulation of the cores: its files make a package that only the overlay has, which needs no more of the agent
// than the cores, and is built in a moment.
func buildCore(t *testing.T, replace map[string]string) (bin string) {
	t.Helper()
	files, err := filepath.Glob("core_*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		replace[absolute(t, filepath.Join("..", "coresim", f))] = absolute(t, f)
	}
	bin = filepath.Join(t.TempDir(), "coresim.test")
	for try := 1; ; try++ {
		cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-o", bin, "-overlay="+overlay(t, replace), "../coresim")
		out, err := cmd.CombinedOutput()
		if err == nil {
			return bin
		}
		if cmd.ProcessState.ExitCode() >= 0 || try == 3 { // -1: somebody ended it
			t.Fatalf("it does not compile: %v\n%s", err, out)
		}
	}
}

// runCoreSeeds runs seeds of the simulation until one fails.
func runCoreSeeds(t *testing.T, bin string, n int) (found string, seeds int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, "-test.run=^"+coreTest+"$", "-test.v")
	cmd.Env = append(os.Environ(), fmt.Sprintf("VARVE_CORE_N=%d", n))
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatal("it does not end")
	}
	if err == nil {
		return "", 0
	}
	hit := coreFound.FindStringSubmatch(string(out))
	if hit == nil {
		t.Fatalf("it fails and does not say why: %v\n%.2000s", err, out)
	}
	seeds, _ = strconv.Atoi(hit[1])
	return hit[2], seeds
}
