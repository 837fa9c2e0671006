package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// exceptions lets single findings pass: the start of the finding as it is printed, without line numbers, and why. A
// line that no longer matches anything is itself an error.
var exceptions = []struct{ finding, why string }{
	{"localstack/servers/endpoint.go: package variable names", "numbers buckets and tables of a test process"},
}

var position = regexp.MustCompile(`^([^:]+):\d+:\d+: `)

func TestTidyCode(t *testing.T) {
	r := repository(t)
	rules := []func(*repo, file) []string{checkSize, checkComments, checkInit, checkLater, checkPure}
	var found []string
	packages := map[string][]file{}
	for _, f := range r.files {
		for _, rule := range rules {
			found = append(found, rule(r, f)...)
		}
		if !f.test {
			packages[f.dir] = append(packages[f.dir], f)
		}
	}
	for _, files := range packages {
		found = append(found, checkVars(r, files)...)
	}
	slices.Sort(found)
	report(t, found)
}

// report prints what is not excepted, and exceptions that are no longer needed.
func report(t *testing.T, found []string) {
	t.Helper()
	used := make([]bool, len(exceptions))
	for _, line := range found {
		plain := position.ReplaceAllString(line, "$1: ")
		i := slices.IndexFunc(exceptions, func(e struct{ finding, why string }) bool { return strings.HasPrefix(plain, e.finding) })
		if i < 0 {
			t.Error(line)
			continue
		}
		used[i] = true
	}
	for i, e := range exceptions {
		if !used[i] {
			t.Errorf("the exception %q is no longer needed: remove it", e.finding)
		}
	}
}

func TestEveryPackageHasAComment(t *testing.T) {
	documented := map[string]bool{}
	for _, f := range repository(t).files {
		documented[f.dir] = documented[f.dir] || (!f.test && f.ast.Doc != nil && len(strings.TrimSpace(f.ast.Doc.Text())) > 0)
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s: the package has no comment", dir)
		}
	}
}

func TestTopLevel(t *testing.T) {
	allowed := []string{"agent", "objstore", "metastore", "client", "cli", "localstack", "terraform", "go.mod", "go.sum",
		"Makefile", "README.md", "LICENSE", "bin"} // bin is made by the Makefile, and ignored by git
	entries, err := os.ReadDir(repository(t).root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(allowed, e.Name()) {
			t.Errorf("%s: nothing else stands at the top", e.Name())
		}
	}
}

func TestNoFolderForAnything(t *testing.T) {
	for _, f := range repository(t).files {
		for part := range strings.SplitSeq(f.dir, "/") {
			if slices.Contains([]string{"util", "utils", "common", "types", "helpers", "misc"}, part) {
				t.Errorf("%s: a helper lives with its user", f.path)
			}
		}
	}
}

// TestNoPlaces: the repository says nothing about the machines it is worked on, nor about where packages come from:
// that is the business of each tool's own settings. The words are cut in two so as not to find themselves.
func TestNoPlaces(t *testing.T) {
	words := []string{"/work" + "/", "/root" + "/", "proxy.golang" + ".org", "registry.npmjs" + ".org", "repo1" + ".maven", "repo.maven" + ".apache", "deb.debian" + ".org"}
	r := repository(t)
	paths := slices.Clone(r.texts)
	for _, f := range r.files {
		paths = append(paths, f.path)
	}
	for _, p := range paths {
		text, err := os.ReadFile(filepath.Join(r.root, p))
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range words {
			if strings.Contains(string(text), w) {
				t.Errorf("%s: mentions %s", p, w)
			}
		}
	}
}

// TestDependenciesArgueForThemselves: every direct dependency has a line in the README's table, every line a
// dependency.
func TestDependenciesArgueForThemselves(t *testing.T) {
	r := repository(t)
	direct, all := requirements(t, r)
	readme, err := os.ReadFile(filepath.Join(r.root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `([a-z0-9.]+\\.[a-z]+/[^`]+)` \\|").FindAllStringSubmatch(string(readme), -1)
	var listed []string
	for _, row := range rows {
		listed = append(listed, row[1])
		if !slices.Contains(all, row[1]) {
			t.Errorf("README.md: lists %s, which go.mod does not have", row[1])
		}
	}
	for _, m := range direct {
		if !slices.Contains(listed, m) {
			t.Errorf("README.md: the table of dependencies has no line for %s", m)
		}
	}
}

// requirements returns the direct and all the modules of go.mod.
func requirements(t *testing.T, r *repo) (direct, all []string) {
	t.Helper()
	mod, err := os.ReadFile(filepath.Join(r.root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^(?:require )?\s*(\S+\.\S+/\S+|\S+\.\S+) v\S+( // indirect)?$`)
	for _, m := range line.FindAllStringSubmatch(string(mod), -1) {
		all = append(all, m[1])
		if m[2] == "" {
			direct = append(direct, m[1])
		}
	}
	if len(all) == 0 {
		t.Fatal("no requirement found in go.mod")
	}
	return direct, all
}

// TestRulesFindFaults shows each rule a file with its fault and one without.
func TestRulesFindFaults(t *testing.T) {
	long := "package a\nfunc f() {\n" + strings.Repeat("\tprintln()\n", 69) + "}\n"
	for _, c := range []struct {
		name string
		rule func(*repo, file) []string
		src  string
		want int
	}{
		{"long file", checkSize, "package a\n" + strings.Repeat("\n", 500), 1},
		{"long function", checkSize, long, 1},
		{"short function", checkSize, "package a\nfunc f() {}\n", 0},
		{"no comment", checkComments, "package a\nfunc F() {}\ntype T int\nfunc (T) M() {}\nconst C = 1\n", 4},
		{"other comment", checkComments, "package a\n// Does.\nfunc F() {}\n", 1},
		{"comments", checkComments, "package a\n// F does.\nfunc F() {}\ntype t int\nfunc (t) M() {}\n// Numbers.\nconst (\n\tA = 1\n\tB = 2\n)\n", 0},
		{"init", checkInit, "package a\nfunc init() {}\n", 1},
		{"later", checkLater, "package a\n// TO" + "DO: more\n", 1},
		{"later with issue", checkLater, "package a\n// TO" + "DO(#12): more\n", 0},
		{"clock", checkPure, "// Pure.\npackage a\nimport \"time\"\nvar t = time.Now()\n", 1},
		{"chance", checkPure, "// Pure.\npackage a\nimport \"math/rand/v2\"\nvar t = rand.IntN(2)\n", 1},
		{"seeded chance", checkPure, "// Pure.\npackage a\nimport \"math/rand/v2\"\nvar t = rand.New(rand.NewPCG(1, 2))\n", 0},
		{"clock in a shell", checkPure, "package a\nimport \"time\"\nvar t = time.Now()\n", 0},
		{"written variable", oneFile, "package a\nvar x = 1\nfunc f() { x = 2 }\n", 1},
		{"written table", oneFile, "package a\nvar x = map[int]int{}\nfunc f() { x[1]++ }\n", 1},
		{"pool", oneFile, "package a\nimport \"sync\"\nvar x = sync.Pool{}\nvar y sync.Mutex\n", 2},
		{"embedded", oneFile, "package a\nimport \"embed\"\n//go:embed a.go\nvar x embed.FS\n", 0},
		{"shadowed", oneFile, "package a\nvar x = 1\nfunc f() { x := 1; x = 2; _ = x }\n", 0},
	} {
		r, f := parseSource(t, "a/a.go", c.src)
		if got := c.rule(r, f); len(got) != c.want {
			t.Errorf("%s: %d findings, want %d: %s", c.name, len(got), c.want, fmt.Sprint(got))
		}
	}
}

func oneFile(r *repo, f file) []string { return checkVars(r, []file{f}) }
