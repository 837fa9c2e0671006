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

// The README's section of groups stands between these lines.
const (
	groupsBegin = "<!-- Made from the output of TestGroupMatrix by `make compat`. Do not edit. -->"
	groupsEnd   = "<!-- The end of what was made of groups. -->"
)

// groupCells are the columns: what a library was seen to come through, in a group.
var groupCells = []string{"join", "leave", "crash", "static", "kill", "roll"}

// groupReport is what the matrix of groups saw.
type groupReport struct {
	mu   sync.Mutex
	rows map[string]*groupFinding
}

// groupFinding is what it saw of one library.
type groupFinding struct {
	mu     sync.Mutex
	kind   groupLibrary
	cells  map[string]bool
	ran    bool
	failed bool
	pairs  []string
}

func newGroupReport() *groupReport { return &groupReport{rows: map[string]*groupFinding{}} }

func (r *groupReport) of(l groupLibrary) *groupFinding {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rows[l.label] == nil {
		r.rows[l.label] = &groupFinding{kind: l, cells: map[string]bool{}}
	}
	r.rows[l.label].ran = true
	return r.rows[l.label]
}

func (f *groupFinding) passed(cell string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cells[cell] = true
}

func (f *groupFinding) fail() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed = true
}

// passedOn notes the stores on which every cell passed.
func (f *groupFinding) passedOn(pair string) {
	if f.ran && !f.failed {
		f.pairs = append(f.pairs, pair)
	}
	f.ran = false
}

// line is the library's line in the table. What it has no setting for is "-".
func (f *groupFinding) line() string {
	on := "all four"
	if len(f.pairs) != len(pairs()) {
		on = strings.Join(f.pairs, ", ")
	}
	cells := []string{f.kind.label, on, strings.Join(f.kind.strategies, ", ")}
	for _, cell := range groupCells {
		switch {
		case f.cells[cell]:
			cells = append(cells, "yes")
		case cell == "static" && !f.kind.static:
			cells = append(cells, "-")
		default:
			cells = append(cells, "no")
		}
	}
	return "| " + strings.Join(cells, " | ") + " |"
}

// settle compares what a full run saw with the README, or writes it there; a short run has seen too little to say anything.
func (r *groupReport) settle(t *testing.T) {
	t.Helper()
	if t.Failed() || !servers.Full() || len(r.rows) != len(groupLibraries()) {
		return
	}
	made := "| client | stores | strategies | join | leave | crash | static restart | agent killed | rolling restart |\n|---|---|---|---|---|---|---|---|---|\n"
	for _, l := range groupLibraries() {
		made += r.rows[l.label].line() + "\n"
	}
	made += "\n"
	for _, l := range groupLibraries() {
		for _, note := range l.notes {
			made += fmt.Sprintf("- %s: %s.\n", l.label, note)
		}
	}
	readme := filepath.Join("..", "..", "..", "README.md")
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, found := strings.Cut(string(text), groupsBegin+"\n")
	section, tail, found2 := strings.Cut(rest, groupsEnd)
	if !found || !found2 {
		t.Fatalf("README.md has no section between %q and %q", groupsBegin, groupsEnd)
	}
	if os.Getenv(compatEnv) == "write" {
		if err := os.WriteFile(readme, []byte(head+groupsBegin+"\n\n"+made+"\n"+groupsEnd+tail), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if !slices.Equal(strings.Fields(section), strings.Fields(made)) {
		t.Errorf("README.md does not say what this run saw; \"make compat\" writes it:\n%s", made)
	}
}
