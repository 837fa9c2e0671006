package main

import (
	"bufio"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/varvelog/varve/cli/bench"
)

// counters reads /metrics of the agent whose output begins with line.
func counters(t *testing.T, at string) bench.Series {
	t.Helper()
	answer, err := http.Get("http://" + at + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	s, err := bench.ParseSeries(bufio.NewReader(answer.Body))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestEveryCounterIsThere: the names that dashboards and "varve bench" rely on, on an agent that has written, died and read back.
// Requests that are counted in two places agree.
func TestEveryCounterIsThere(t *testing.T) {
	dir := t.TempDir()
	args := []string{"dev", "--data", filepath.Join(dir, "data"), "--topics", "t:1", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"}
	cmd, line := process(t, args...)
	sh := &shell{t: t, env: map[string]string{"VARVE_BOOTSTRAP": strings.TrimSpace(strings.TrimPrefix(line, "kafka "))}}
	for range 5 {
		sh.ok("a\n", "produce", "t")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	s := start(t, "kcat", args[:5]...)
	s.shell().ok("b\n", "produce", "t")
	c := counters(t, strings.TrimPrefix(strings.Fields(s.lines[1])[1], "http://"))
	for _, name := range []string{
		"varve_s3_requests_total", "varve_s3_bytes_total", "varve_ddb_units_total", "varve_ddb_requests_total", "varve_cost_dollars_total",
		"varve_price_list_info", "varve_session_item_bytes", "varve_buffer_bytes", "varve_replay_footers_total", "varve_flush_in_flight",
		"varve_flush_bytes_count", "varve_flush_runs_count", "varve_flush_wait_ms_count", "varve_flush_put_ms_count",
		"varve_flush_commit_ms_count", "varve_flush_blocked_ms_count", "varve_commit_flushes_count", "varve_unsegmented_bytes",
		"varve_unsegmented_seconds", "varve_gc_lag_objects", "varve_gc_lag_bytes", "varve_gc_lag_seconds", "varve_sweep_last_look_seconds", "varve_failover_ms_count",
	} {
		if _, ok := c.Sum(name); !ok {
			t.Errorf("%s is not there", name)
		}
	}
	puts, _ := c.Sum("varve_s3_requests_total", `op="put"`, `purpose="wal"`)
	flushes, _ := c.Sum("varve_flush_put_ms_count")
	hedges, _ := c.Sum("varve_hedge_sent_total", `op="put"`)
	if puts != flushes+hedges || flushes == 0 {
		t.Errorf("%v PUTs of the log for %v flushes and %v hedges", puts, flushes, hedges)
	}
	footers, _ := c.Sum("varve_replay_footers_total")
	gets, _ := c.Sum("varve_s3_requests_total", `op="get"`, `purpose="recover"`)
	if footers < 5 || footers > gets {
		t.Errorf("%v footers were read by %v GETs, after 5 flushes without a snapshot", footers, gets)
	}
	commits, _ := c.Sum("varve_ddb_requests_total", `purpose="commit"`)
	covered, _ := c.Sum("varve_flush_commit_ms_count")
	beats, _ := c.Sum("varve_ddb_requests_total", `purpose="heartbeat"`)
	if commits == 0 || commits+beats < covered {
		t.Errorf("%v commits and %v heartbeats at the table, %v in the log", commits, beats, covered)
	}
}
