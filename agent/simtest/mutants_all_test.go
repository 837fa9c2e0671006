//go:build mutants

package simtest

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// scriptedMutants are faults that the simulation meets too rarely: each has a script.
var scriptedMutants = []mutant{
	{
		"a DRAINED session is read", "wal/replay.go",
		"		if s.State == records.Drained {\n", "		if s.State == \"\" {\n", "TestReplaySkipsDrained",
	},
	{
		"trim goes back", "wal/trim.go",
		"			{Attr: records.AttrTrim, Cmp: metastore.Eq, Value: metastore.N(int64(t.at))},\n", "", "TestTrimsThatLandLate",
	},
	{
		"pins taken out whatever their epoch", "cluster/protocol.go",
		"mine && p.Epoch < e })\n", "mine && e >= 0 })\n", "TestUnpinNeedsAHigherEpoch",
	},
	{
		"pending taken out whatever its epoch", "cluster/protocol.go",
		"mine && p < e })\n", "mine && e >= 0 })\n", "TestUnpinNeedsAHigherEpoch",
	},
	{
		"a look that overtakes a suspicion", "cluster/watch.go",
		" || !w.since.Equal(w.still)) {", ") {", "TestALookThatOvertakesASuspicion",
	},
	{
		"the controller does not look every 60 s", "cluster/read.go",
		"		every = recheckEvery\n", "		every = rereadEvery\n", "TestPlayLooksEachMinute",
	},
	{
		"a hand-over is served on before v was raised", "cluster/hand.go",
		"			c.giveUp(n, h)\n", "			c.resume(n, h, \"the other is gone\")\n", "TestR26HandOverUnknown",
	},
	{
		"topics are not read before runs are dropped", "slots.go",
		"	if err := s.catchUp(ctx); err != nil {\n		return 0, fmt", "	if err := ctx.Err(); err != nil {\n		return 0, fmt", "TestTopicThatNobodyToldOf",
	},
}

// TestMutants plants every fault, each alone, and writes MUTANTS.md. With VARVE_MUTANTS, a regular expression, it plants those that it
// matches by name or file, and the rows of the others stay as they are.
func TestMutants(t *testing.T) {
	all := slices.Concat(coreMutants, scriptedMutants, mutants, logMutants, segmentMutants, groupMutants)
	only := regexp.MustCompile(os.Getenv("VARVE_MUTANTS"))
	rows := writtenRows(t, all)
	if os.Getenv("VARVE_MUTANTS") == "" {
		if found, seeds := runCoreSeeds(t, buildCore(t, map[string]string{}), 100); seeds > 0 {
			t.Fatalf("without any fault seed %d fails: %s", seeds, found)
		}
	}
	t.Run("all", func(t *testing.T) {
		for i, m := range all {
			if !only.MatchString(m.name + " " + m.file) {
				continue
			}
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

// writtenRows returns the rows that MUTANTS.md has of mutants, empty ones for those that it does not know.
func writtenRows(t *testing.T, all []mutant) []string {
	t.Helper()
	old, err := os.ReadFile("MUTANTS.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := make([]string, len(all))
	for line := range strings.Lines(string(old)) {
		for i, m := range all {
			if strings.HasPrefix(line, fmt.Sprintf("| %s | agent/%s | %s |", m.name, m.file, m.test)) {
				rows[i] = line
			}
		}
	}
	return rows
}
