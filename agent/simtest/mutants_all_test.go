//go:build mutants

package simtest

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// clusterMutants are faults that whole agents find.
var clusterMutants = []mutant{
	{
		"topics that are not known here are dropped without a look", "slots.go",
		"	if err := s.catchUp(ctx); err != nil {\n		return 0, fmt.Errorf(\"read topics: %w\", err)\n	}\n", "", "TestNothingAckedIsLost",
	},
}

// TestMutants plants every fault, each alone, and writes MUTANTS.md.
func TestMutants(t *testing.T) {
	all := slices.Concat(coreMutants, clusterMutants, mutants, logMutants)
	rows := make([]string, len(all))
	if found, seeds := runCoreSeeds(t, buildCore(t, map[string]string{}), 100); seeds > 0 {
		t.Fatalf("without any fault seed %d fails: %s", seeds, found)
	}
	t.Run("all", func(t *testing.T) {
		for i, m := range all {
			t.Run(m.name, func(t *testing.T) {
				t.Parallel()
				found, seeds := m.find(t)
				needed := "-"
				if seeds > 0 {
					needed = fmt.Sprint(seeds)
				}
				rows[i] = fmt.Sprintf("| %s | agent/%s | %s | %s | %.140s |\n", m.name, m.file, m.test, needed, strings.ReplaceAll(found, "|", "/"))
				t.Log(rows[i])
			})
		}
	})
	if t.Failed() {
		t.Fatal("MUTANTS.md stays as it is")
	}
	const head = "# Planted faults\n\nWritten by `make mutants`: each fault is put into the code alone, by an overlay, and the test beside it has to fail. " +
		"Seeds: how many of the simulation it took, from 1 on; the gate runs %d.\n\n" +
		"| fault | file | found by | seeds | what was seen |\n|---|---|---|---|---|\n"
	if err := os.WriteFile("MUTANTS.md", []byte(fmt.Sprintf(head, coreGate)+strings.Join(rows, "")), 0o600); err != nil {
		t.Fatal(err)
	}
}
