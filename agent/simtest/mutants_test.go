package simtest

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// mutant is one fault: in file, old (which stands there once) becomes new, and test of the file's package must fail.
type mutant struct {
	name, file, old, new, test string
}

var mutants = []mutant{
	{
		"ack before commit", "wal/committer.go",
		"	c.landed[f.seq] = f\n",
		"	c.landed[f.seq] = f\n	for _, w := range f.waiters {\n		w.done.Appended(w.tag, nil)\n	}\n	f.waiters = nil\n",
		"TestNoAckBeforeCommit",
	},
	{
		"commit skips a hole in the sequence", "wal/commit.go",
		"	p.beyond[seq] = true\n",
		"	p.beyond[seq] = true\n	p.durable = max(p.durable, seq)\n",
		"TestCommitStopsAtAHole",
	},
	{
		"own success after a lost reply taken for a failure", "wal/commit.go",
		"		return success, uint64(old.Committed) // our own earlier try\n",
		"		return fenced, uint64(old.Committed)\n",
		"TestLostCommitReplyIsOwnSuccess",
	},
	{
		"fenced session fails what was committed", "wal/commit.go",
		"	return fenced, uint64(old.Committed)\n}",
		"	return fenced, p.committed\n}",
		"TestFencedAcksWhatTheItemSays",
	},
	{
		"high watermark ahead of the commit", "partition/read.go",
		"HighWatermark: l.end, LastStable: l.end,",
		"HighWatermark: p.mu.end, LastStable: p.mu.end,",
		"TestHighWatermarkIsTheCommitPoint",
	},
	{
		"duplicate answered before the original's commit", "partition/partition.go",
		"	if dup.LastOffset < p.mu.log.end {\n",
		"	if dup.LastOffset < p.mu.end {\n",
		"TestDuplicateWaitsForItsOriginal",
	},
	{
		"snapshot taken from live memory", "partition/snapshot.go",
		"			c.shared = true\n",
		"			m := *c\n			m.producers = c.producers.clone()\n			for _, pr := range p.mu.live {\n				m.producers.put(pr)\n			}\n			c = &m\n",
		"TestSnapshotIsTheCommittedState",
	},
	{
		"slot served before its slot-open is committed", "partition/set.go",
		"&lead{set: s, slot: n, epoch: epoch, parts:",
		"&lead{set: s, slot: n, epoch: epoch, open: true, parts:",
		"TestSlotIsServedAfterSlotOpen",
	},
	{
		"from[] replaced, not pushed", "cluster/protocol.go",
		"append(append([]records.From(nil), s.From...), records.From{",
		"append([]records.From(nil), records.From{",
		"TestStartAfterACrash",
	},
}

// TestMutants runs each fault's test with the faulty file in place of the real one, by an overlay: the tree is not touched.
func TestMutants(t *testing.T) {
	for _, m := range slices.Concat(mutants, logMutants) {
		t.Run(m.name, func(t *testing.T) {
			path, err := filepath.Abs(filepath.Join("..", filepath.FromSlash(m.file)))
			if err != nil {
				t.Fatal(err)
			}
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
			overlay, err := json.Marshal(map[string]map[string]string{"Replace": {path: faulty}})
			if err != nil {
				t.Fatal(err)
			}
			list := filepath.Join(t.TempDir(), "overlay.json")
			if err := os.WriteFile(list, overlay, 0o600); err != nil {
				t.Fatal(err)
			}
			expectFailure(t, list, "../"+filepath.ToSlash(filepath.Dir(m.file)), m.test)
		})
	}
}

func expectFailure(t *testing.T, overlay, pkg, test string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout=60s", "-overlay="+overlay, "-run=^"+test+"$", "-v", pkg)
	out, err := cmd.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		t.Fatalf("%s did not end", test)
	case strings.Contains(string(out), "[build failed]") || !strings.Contains(string(out), "=== RUN   "+test):
		t.Fatalf("%s did not run:\n%s", test, out)
	case err == nil:
		t.Fatalf("%s passes with the fault in place", test)
	}
}
