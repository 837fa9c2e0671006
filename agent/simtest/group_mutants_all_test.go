//go:build mutants

package simtest

import "testing"

// TestGroupMutants plants the faults of groups alone; TestMutants plants all there are.
func TestGroupMutants(t *testing.T) {
	for _, m := range groupMutants {
		t.Run(m.name, func(t *testing.T) {
			m.find(t)
			t.Logf("| %s | agent/%s | %s | - |  |", m.name, m.file, m.test)
		})
	}
}
