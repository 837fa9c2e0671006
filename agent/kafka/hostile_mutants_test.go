//go:build mutants

package kafka

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// mutant is one fault that a hostile client could use: in file, old (which stands there once) becomes new, and test of the
// file's package must fail.
type mutant struct {
	name, file, old, new, test string
}

var mutants = []mutant{
	{
		"any size of a frame", "kafka/conn.go",
		"n < minFrame || n > c.s.cfg.MaxRequestBytes", "n < minFrame", "TestSizesThatCannotBe",
	},
	{
		"any number of elements", "kafka/schema.go",
		"w.elements -= n; w.elements < 0", "w.elements -= n; false", "TestAMillionElements",
	},
	{
		"any number of partitions to fetch", "kafka/fetch_decode.go",
		"c.bad || elements > maxElements", "c.bad", "TestCapsOfElements",
	},
	{
		"any number of partitions to produce to", "kafka/produce_decode.go",
		"topics+parts > maxElements", "false", "TestAMillionElements",
	},
	{
		"negative counts", "kafka/cursor.go",
		"if n < 0 || n > len(c.b)/max(smallest, 1) {", "if n > len(c.b)/max(smallest, 1) {", "TestLyingCounts",
	},
	{
		"announced bytes are believed", "kafka/intake.go",
		"	for n/stageRatio > max(have, firstStage) {", "	for false {", "TestStalledFramesHoldWhatTheySent",
	},
	{
		"slow frames keep what others wait for", "kafka/intake.go",
		"in.late() && in.budget.Contended()", "false", "TestSlowFrameGivesWayToOthers",
	},
	{
		"no deadline inside a frame", "kafka/intake.go",
		"c.deadline(min(time.Until(end), c.patience()))", "c.deadline(time.Hour)", "TestSlowFrameGivesWayToOthers",
	},
	{
		"no deadline for the head of a frame", "kafka/conn.go",
		"c.deadline(c.s.cfg.FrameTime)", "c.deadline(time.Hour)", "TestSlowLoris",
	},
	{
		"no deadline for answers", "kafka/conn.go",
		"time.Now().Add(c.writeTime(size))", "time.Now().Add(time.Hour)", "TestClientThatStopsReadingIsCutOff",
	},
	{
		"frames wait for each other's bytes", "memory/budget.go",
		"b.mu.used == max(b.mu.stuck, held)", "b.mu.used == 0", "TestGrowersNeverWaitForEachOther",
	},
	{
		"new frames overtake those that have begun", "memory/budget.go",
		"b.mu.waiters[at-1].held < w.held", "false", "TestGrowersComeFirst",
	},
	{
		"who left is waited for", "kafka/intake.go",
		"switch peer(in.c.nc) {", "switch peerHere {", "TestWaitingForTheBudgetEndsWithTheClient",
	},
	{
		"a bad frame takes earlier answers with it", "kafka/conn.go",
		"	return errors.Is(err, errMalformed) ||", "	return false && errors.Is(err, errMalformed) ||", "TestEarlierRequestsAreAnsweredBeforeABadFrameCloses",
	},
	{
		"a reset takes answers with it", "kafka/conn.go",
		"		c.linger()\n", "", "TestEarlierRequestsAreAnsweredBeforeABadFrameCloses",
	},
	{
		"answers pile up", "kafka/ring.go",
		"	return r.unread >= r.limit ||", "	return false && r.unread >= r.limit ||", "TestClientsThatNeverRead",
	},
	{
		"answers of all clients pile up", "kafka/ring.go",
		"r.all.Load() >= r.most", "false", "TestClientsThatNeverRead",
	},
	{
		"decoded requests cost nothing", "kafka/intake.go",
		"		err = in.decoded()\n", "", "TestLargeRequestsCountUntilTheyAreAnswered",
	},
	{
		"batches unfold without end", "kafka/produce_keys.go",
		"openLimit  = 64 << 20", "openLimit  = 64 << 30", "TestBombs",
	},
	{
		"a search by time goes on without its client", "kafka/02_list_offsets.go",
		"		return false, codeRequestTimedOut", "		_ = codeRequestTimedOut", "TestByTimeEndsWithItsRequest",
	},
	{
		"any number of connections", "kafka/server.go",
		"len(s.mu.conns) >= s.cfg.MaxConnections", "false", "TestTooManyConnections",
	},
	{
		"a third goroutine for each connection", "kafka/conn.go",
		"	defer c.cancel()\n", "	defer c.cancel()\n	go func() { <-c.ctx.Done() }()\n", "TestTenThousandIdleConnections",
	},
	{
		"large buffers of idle connections", "kafka/conn.go",
		"readBuffer = 4 << 10", "readBuffer = 16 << 10", "TestTenThousandIdleConnections",
	},
	{
		"null names", "kafka/produce_decode.go",
		"	if !ok { //", "	if false && !ok { //", "FuzzProduceDecode",
	},
	{
		"names of any bytes", "topic/name.go",
		"		if !ok {\n", "		if false && !ok {\n", "TestNamesThatAreNoText",
	},
	{
		"each unknown topic costs a read", "kafka/finder.go",
		"	if f.reads < maxFinds {", "	if true {", "TestUnknownTopicsCostFewReads",
	},
	{
		"unread offsets are none", "kafka/09_offset_fetch.go",
		"			return nil, err\n", "			return ids, nil\n", "TestUnknownTopicsWaitOnce",
	},
	{
		"a group is told as often as it is named", "kafka/15_describe_groups.go",
		"distinct(req.Groups)", "req.Groups", "TestAnswersDoNotRepeat",
	},
	{
		"an offset is told as often as it is named", "kafka/09_offset_fetch.go",
		"ids[i] != uuid.Nil && seen[part]", "false && seen[part]", "TestAnswersDoNotRepeat",
	},
	{
		"long answers are kept for who reads none", "kafka/dispatch.go",
		"len(r.b) > largeAnswer &&", "false &&", "TestLongAnswersThatNobodyReads",
	},
	{
		"long Metadata is kept for who reads none", "kafka/03_metadata.go",
		"> c.s.cfg.ResponseBytes && n > largeAnswer", "> 1<<40 && n > largeAnswer", "TestLongMetadataThatNobodyReads",
	},
	{
		"any number of long answers at once", "kafka/dispatch.go",
		"things(req.(Q)) > few", "things(req.(Q)) > 1<<30*few", "TestLongAnswersAreMadeInTurn",
	},
	{
		"configs without end", "kafka/32_describe_configs.go",
		"		case room < 0:", "		case false:", "TestConfigsInOneAnswerAreBounded",
	},
	{
		"strings of any length", "kafka/cursor.go",
		"n = c.compact(); n > longestString", "n = c.compact(); false", "TestStringsBeyondTheProtocol",
	},
	{
		"messages of any length", "kafka/admin.go",
		"	if len(text) > maxMessage {", "	if false {", "TestLongestNames",
	},
	{
		"member ids of any length", "kafka/11_join_group.go",
		"name[:min(len(name), most)]", "name[:max(len(name), 0*most)]", "TestLongestNames",
	},
	{
		"sessions outlive their connection", "kafka/conn.go",
		"	c.endSessions()\n", "", "FuzzFetches",
	},
}

// TestHostileMutants runs each fault's test with the faulty file in place of the real one, by an overlay: the tree is not touched. With VARVE_MUTANTS, a
// regular expression, it plants those that it matches by name or file.
func TestHostileMutants(t *testing.T) {
	only := regexp.MustCompile(os.Getenv("VARVE_MUTANTS"))
	for _, m := range mutants {
		if !only.MatchString(m.name + " " + m.file) {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			path, err := filepath.Abs(filepath.Join("..", filepath.FromSlash(m.file)))
			must(t, err)
			source, err := os.ReadFile(path)
			must(t, err)
			if n := strings.Count(string(source), m.old); n != 1 {
				t.Fatalf("the text to change stands %d times in %s", n, m.file)
			}
			faulty, list := filepath.Join(t.TempDir(), "faulty.go"), filepath.Join(t.TempDir(), "overlay.json")
			must(t, os.WriteFile(faulty, []byte(strings.Replace(string(source), m.old, m.new, 1)), 0o600))
			overlay, err := json.Marshal(map[string]map[string]string{"Replace": {path: faulty}})
			must(t, err)
			must(t, os.WriteFile(list, overlay, 0o600))
			pkg := "../" + filepath.ToSlash(filepath.Dir(m.file))
			if strings.HasPrefix(m.file, "topic/") { // the fault is below the test
				pkg = "."
			}
			expectFailure(t, list, pkg, m.test)
		})
	}
}

func expectFailure(t *testing.T, overlay, pkg, test string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout=90s", "-overlay="+overlay, "-run=^"+test+"$", "-v", pkg)
	out, err := cmd.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		t.Fatalf("%s did not end", test)
	case strings.Contains(string(out), "[build failed]") || !strings.Contains(string(out), "=== RUN   "+test):
		t.Fatalf("%s did not run:\n%s", test, out)
	case err == nil:
		t.Fatalf("%s passes with the fault in place", test)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "_test.go:") || strings.HasPrefix(line, "panic:") {
			t.Logf("%s: %s", test, strings.TrimSpace(line))
			break
		}
	}
}
