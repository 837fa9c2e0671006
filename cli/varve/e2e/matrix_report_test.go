//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/varvelog/varve/localstack/servers"
)

// finding is what the matrix saw of one client, on stores that run side by side.
type finding struct {
	label   string
	codecs  []string
	mu      sync.Mutex // of what follows; whoever reads comes when all have ended
	version string
	bare    bool     // it wrote a batch without a producer id
	pairs   []string // stores on which every cell passed
	cells   map[string]bool
	partial map[string]bool
	seen    []string // notes, in the order they came up, each once
}

func (f *finding) notes(texts ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, text := range texts {
		if !slices.Contains(f.seen, text) {
			f.seen = append(f.seen, text)
		}
	}
}

func (f *finding) runs(version string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version = version
}

func (f *finding) passed(cell string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cells[cell] = true
}

func (f *finding) partly(cell string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.partial[cell] = true
}

// produced: whether all it wrote carried a producer id.
func (f *finding) produced(idempotent bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bare = f.bare || !idempotent
}

// passedOn notes a pair of stores, in the order of pairs.
func (f *finding) passedOn(pair string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	place := func(name string) int { return slices.IndexFunc(pairs(), func(s store) bool { return s.name == name }) }
	f.pairs = append(f.pairs, pair)
	slices.SortFunc(f.pairs, func(a, b string) int { return place(a) - place(b) })
}

func (f *finding) cell(name string) string {
	switch {
	case !f.cells[name]:
		return "no"
	case f.partial[name]:
		return "in part"
	}
	return "yes"
}

// line is the client's line in the table. What the system brings (kcat) has its version in brackets: it may differ here.
func (f *finding) line() string {
	on := "all four"
	if len(f.pairs) != len(pairs()) {
		on = strings.Join(f.pairs, ", ")
	}
	idempotent := "yes"
	if f.bare {
		idempotent = "no"
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |", f.label, f.version, on, strings.Join(f.codecs, " "),
		f.cell("topics"), f.cell("configs"), f.cell("records"), f.cell("seek"), idempotent, f.cell("restart"))
}

// compatReport is what the matrix saw of all.
type compatReport struct{ rows []*finding }

func newReport(libraries []library) *compatReport {
	r := &compatReport{}
	for _, l := range libraries {
		r.rows = append(r.rows, &finding{label: l.label, codecs: l.codecs, cells: map[string]bool{}, partial: map[string]bool{}})
	}
	return r
}

func (r *compatReport) of(label string) *finding {
	return r.rows[slices.IndexFunc(r.rows, func(f *finding) bool { return f.label == label })]
}

// The README's section stands between these lines.
const (
	compatBegin = "<!-- Made from the output of TestMatrix by `make compat`. Do not edit. -->"
	compatEnd   = "<!-- The end of what was made. -->"
	compatEnv   = "VARVE_COMPAT" // "write": the test writes the README's section instead of comparing it
)

// markdown is the section: a table of clients that ran on all their stores, and a list of notes.
func (r *compatReport) markdown() string {
	var b strings.Builder
	b.WriteString("| client | version | stores | codecs | topics | configs | records | seeks | idempotent | restart |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, f := range r.rows {
		if len(f.pairs) > 0 {
			b.WriteString(f.line() + "\n")
		}
	}
	b.WriteString("\n")
	for _, f := range r.rows {
		for _, note := range f.seen {
			fmt.Fprintf(&b, "- %s: %s.\n", f.label, note)
		}
	}
	return b.String()
}

// settle compares what was seen with the README, line by line, or writes it there. Rows that did not run on all their
// stores (-run, a client that is not here) are left out of the comparison. Only a full run can say that a line is missing.
func (r *compatReport) settle(t *testing.T) {
	t.Helper()
	if t.Failed() {
		return // the cells that failed say it
	}
	made := r.markdown()
	if err := os.WriteFile(filepath.Join("target", "compatibility.md"), []byte(made), 0o644); err != nil {
		t.Fatal(err)
	}
	readme := filepath.Join("..", "..", "..", "README.md")
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, found := strings.Cut(string(text), compatBegin+"\n")
	section, tail, found2 := strings.Cut(rest, compatEnd)
	if !found || !found2 {
		t.Fatalf("README.md has no section between %q and %q", compatBegin, compatEnd)
	}
	whole := r.whole()
	switch {
	case os.Getenv(compatEnv) == "write" && !whole:
		t.Fatal("the section is made from a full run only: make compat")
	case os.Getenv(compatEnv) == "write":
		if err := os.WriteFile(readme, []byte(head+compatBegin+"\n\n"+made+"\n"+compatEnd+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, line := range r.missing(section) {
		t.Errorf("README.md does not say what this run saw; \"make compat\" writes it:\n%s", line)
	}
	if whole && len(strings.Fields(section)) != len(strings.Fields(made)) {
		t.Errorf("README.md says more than this run saw; \"make compat\" writes it:\n%s", made)
	}
}

// whole tells whether every client ran on all the stores it is meant for.
func (r *compatReport) whole() bool {
	for _, f := range r.rows {
		if !f.complete() {
			return false
		}
	}
	return servers.Full()
}

// complete: the client ran on all four pairs, or it is one that meets a single pair.
func (f *finding) complete() bool {
	gate := f.label == kcatLibrary().label || slices.ContainsFunc(libraries(), func(l library) bool { return l.gate && l.label == f.label })
	return len(f.pairs) == len(pairs()) || !gate && slices.Equal(f.pairs, []string{allClientsOn})
}

// missing returns the lines of complete clients that the section does not have. The version of kcat is the machine's.
func (r *compatReport) missing(section string) []string {
	var out []string
	for _, f := range r.rows {
		if !f.complete() {
			continue
		}
		want := []string{f.line()}
		for _, note := range f.seen {
			want = append(want, fmt.Sprintf("- %s: %s.", f.label, note))
		}
		for _, line := range want {
			before, after, _ := strings.Cut(line, f.version)
			if !slices.ContainsFunc(strings.Split(section, "\n"), func(s string) bool {
				return s == line || f.label == kcatLibrary().label && f.version != "" && strings.HasPrefix(s, before) && strings.HasSuffix(s, after)
			}) {
				out = append(out, line)
			}
		}
	}
	return out
}
