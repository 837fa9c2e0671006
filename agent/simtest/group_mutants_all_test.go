//go:build mutants

package simtest

import "testing"

// TestPlantedInGroups plants the faults of groups alone; TestMutants (make mutants) plants all there are.
func TestPlantedInGroups(t *testing.T) {
	for _, m := range groupMutants {
		t.Run(m.name, func(t *testing.T) {
			m.find(t)
			t.Logf("| %s | agent/%s | %s | - |  |", m.name, m.file, m.test)
		})
	}
}
