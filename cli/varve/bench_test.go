package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/varvelog/varve/cli/bench"
)

const (
	benchCannot = "finds its server on the command line alone"
	benchFields = "command version at os arch cpus cpu_model seconds verified records lost doubled reordered damaged failed criterion settings setting value trials " +
		"latencies latency count mean_ms p50_ms p90_ms p99_ms p999_ms max_ms measures measure"
	benchIdle = "command version at os arch cpus cpu_model seconds verified criterion settings setting value trials latencies measures measure"
)

// shortBench are flags for a run on the live server that is over soon.
func shortBench(l *live, more ...string) []string {
	return append([]string{
		"--bootstrap", l.env["VARVE_BOOTSTRAP"], "--http", l.env["VARVE_HTTP"],
		"--rate", "2000", "--warmup", "20ms", "--duration", "100ms", "--partitions", "2", "--producers", "2",
	}, more...)
}

// twoReports writes two files to compare, and returns their names.
func twoReports(l *live) (names []string) {
	for _, name := range []string{"a.json", "b.json"} {
		path := filepath.Join(l.dir, name)
		if err := os.WriteFile(path, oneReport(l.t, 1.5), 0o644); err != nil {
			l.t.Fatal(err)
		}
		names = append(names, path)
	}
	return names
}

// oneReport is a small report of that many CPU seconds per GiB.
func oneReport(t *testing.T, cpu float64) []byte {
	t.Helper()
	b, err := json.Marshal(bench.Report{
		SchemaVersion: 1, Command: "produce", CPUs: 2,
		Latencies: []bench.Latency{{Name: "sent_to_ack", Count: 1, P50: 1, P99: 2, P999: 3}},
		Measures:  []bench.Measure{{Name: "cpu_s_per_gib", Value: &cpu}, {Name: "put_per_gib"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

// measure is one number of a report; it fails the test if the run could not see it.
func measure(t *testing.T, r bench.Report, name string) float64 {
	t.Helper()
	v, ok := r.Get(name)
	if !ok {
		t.Errorf("%s: no %s", r.Command, name)
	}
	return v
}

// runBench runs a command of the bench with an agent of its own.
func runBench(t *testing.T, args ...string) (r bench.Report) {
	t.Helper()
	t.Setenv(asMain, "1") // so that the agent is this test binary
	out := (&shell{t: t}).ok("", append(append([]string{"bench"}, args...), "--output", "json")...)
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if again := printed(t, &r); again != out {
		t.Errorf("it does not come back as it was:\n%s\n%s", out, again)
	}
	if !r.Verified.Good() || r.Verified.Records == 0 || r.Verified.Foreign != 0 {
		t.Errorf("%+v", r.Verified)
	}
	return r
}

func printed(t *testing.T, r *bench.Report) string {
	t.Helper()
	var b strings.Builder
	if err := reportDocument(r, "json").print(&b, "json"); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestBenchHasAllOfAReport: nothing that bench.Report says as JSON is left out of what is printed.
func TestBenchHasAllOfAReport(t *testing.T) {
	var r, back bench.Report
	if err := json.Unmarshal(oneReport(t, 2), &r); err != nil {
		t.Fatal(err)
	}
	r.Version, r.At, r.OS, r.Arch, r.CPUModel, r.Seconds = "v1", "2026-01-01T00:00:00Z", "plan9", "mips", "R4000 @ 0.1GHz", 3.5
	r.Verified = bench.Verified{Records: 1, Lost: 2, Doubled: 3, Reordered: 4, Damaged: 5, Failed: 6, Foreign: 7}
	r.Settings = []bench.Setting{{Name: "a", Value: "b"}}
	r.Criterion, r.Trials = "what counts", []bench.Trial{{Rate: 1, Got: 2, Growth: 3, P99: 4, Stable: true, Lost: 5}}
	if err := json.Unmarshal([]byte(printed(t, &r)), &back); err != nil || !reflect.DeepEqual(r, back) {
		t.Errorf("%v\n%+v\n%+v", err, r, back)
	}
	for _, want := range []string{"2 CPUs (R4000 @ 0.1GHz), plan9/mips", "2 CPUs, plan9/mips"} {
		if got := reportTable(&r).fields[2]; got.name != "machine" || got.value != want {
			t.Errorf("%v, want %s", got, want)
		}
		r.CPUModel = ""
	}
}

// TestBenchStartsAnAgent: on each store of its own, with every number that a Varve shows.
func TestBenchStartsAnAgent(t *testing.T) {
	for _, store := range []string{"null", "mem", "disk"} {
		r := runBench(t, "produce", "--store", store, "--rate", "max", "--warmup", "0s", "--limit", "16MiB", "--flush", "10ms")
		if r.Command != "produce" || len(r.Latencies) != 2 || r.Verified.Records != 16<<10 {
			t.Errorf("%s: %q, %+v", store, r.Command, r.Latencies)
		}
		for _, name := range []string{"records_per_s", "cpu_s_per_gib", "rss_max_mib", "allocated_mib_per_gib", "allocations_per_gib", "put_per_gib", "wru_per_gib", "dollars_per_gb", "dollars_per_month", "wire_in_mib_per_s", "flushes_per_s", "wru_per_flush"} {
			if measure(t, r, name) <= 0 {
				t.Errorf("%s: %s is %v", store, name, measure(t, r, name))
			}
		}
		if v, ok := r.Get("cross_zone_percent"); ok {
			t.Errorf("cross_zone_percent is %v, and nobody counts it", v)
		}
	}
}

// TestBenchSearches: the report says which rates were tried, and by what they were judged; so does the error of a machine too busy
// for any.
func TestBenchSearches(t *testing.T) {
	t.Setenv(asMain, "1")
	got := (&shell{t: t}).run("", "bench", "produce", "--store", "sim-express", "--rate", "0", "--warmup", "0s", "--duration", "400ms", "--flush", "10ms", "--producers", "1", "--output", "json")
	if got.code == exitFailed && strings.Contains(got.err, "no rate was stable") && strings.Contains(got.err, bench.Criterion) {
		return
	}
	var r bench.Report
	if err := json.Unmarshal([]byte(got.out), &r); err != nil || got.code != 0 {
		t.Fatalf("%v, %+v", err, got)
	}
	if len(r.Trials) < 2 || r.Criterion != bench.Criterion || r.Trials[0].Rate != 0 || measure(t, r, "stable_rate_per_s") <= 0 || !r.Verified.Good() {
		t.Errorf("%q, %+v", r.Criterion, r.Trials)
	}
}

// TestBenchTakesURLs: a store that is slow, and keeps nothing: the ends of the log are compared.
func TestBenchTakesURLs(t *testing.T) {
	r := runBench(t, "produce", "--store", "sim+null://?model=s3-express", "--meta", "sim+mem://?model=dynamodb", "--rate", "max", "--warmup", "0s", "--limit", "2MiB", "--flush", "10ms")
	if r.Verified.Records != 2<<10 {
		t.Errorf("%+v", r.Verified)
	}
	(&shell{t: t}).fails(exitUsage, "the scheme \"nul\"", "bench", "produce", "--store", "nul://", "--meta", "mem://")
}

// TestBenchTakesPrices: a PUT that costs a million times as much shows.
func TestBenchTakesPrices(t *testing.T) {
	run := func(more ...string) float64 {
		return measure(t, runBench(t, append([]string{"produce", "--store", "null", "--rate", "max", "--warmup", "0s", "--limit", "1MiB", "--flush", "10ms"}, more...)...), "dollars_per_gb")
	}
	if cheap, dear := run(), run("--prices", priceFile(t, "date = 2026-11-01\ns3.put_million = 5000000")); dear < 1000*cheap || cheap <= 0 {
		t.Errorf("$%v and $%v for a GB", cheap, dear)
	}
	(&shell{t: t}).fails(exitFailed, "no such file", "bench", "produce", "--store", "null", "--prices", "none")
}

// TestBenchOpenLoop: the rate is that which was asked for, and each kind of time is there.
func TestBenchOpenLoop(t *testing.T) {
	r := runBench(t, "e2e", "--store", "mem", "--rate", "3000", "--warmup", "200ms", "--duration", "1s", "--flush", "10ms", "--fan-out", "2", "--partitions", "4")
	var names []string
	for _, l := range r.Latencies {
		names = append(names, l.Name)
		if l.P50 > l.P99 || l.P99 > l.Max || l.Count == 0 {
			t.Errorf("%+v", l)
		}
	}
	if want := []string{"intended_to_ack", "sent_to_ack", "service", "publish_delay", "intended_to_consumed"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
	// Poisson: 3,000 with a deviation of 55; each is read twice.
	if n := r.Latencies[0].Count; n < 2700 || n > 3300 || r.Latencies[4].Count != 2*n {
		t.Errorf("%d records were intended for one second, %d were read by two", n, r.Latencies[4].Count)
	}
}

// TestBenchZones: agents and clients are spread over zones, every pair of zones has its times, and what crosses is counted. What is told of a
// process is told once, however many agents it is.
func TestBenchZones(t *testing.T) {
	r := runBench(t, "e2e", "--store", "mem", "--agents", "2", "--zones", "2", "--rate", "1000", "--warmup", "100ms", "--duration", "500ms", "--flush", "10ms", "--fan-out", "2", "--producers", "2")
	count := map[string]uint64{}
	for _, l := range r.Latencies {
		count[l.Name] = l.Count
	}
	within, across := count["consumed_z1_to_z1"]+count["consumed_z2_to_z2"], count["consumed_z1_to_z2"]+count["consumed_z2_to_z1"]
	if within == 0 || within != across || within != count["intended_to_ack"] || count["consumed_same_zone"] != within || count["consumed_other_zone"] != across {
		t.Errorf("%v", count)
	}
	if across := measure(t, r, "cross_zone_percent"); across <= 0 {
		t.Errorf("%v %% of the bytes cross zones", across)
	}
	for _, name := range []string{"xzone_z1_to_z2_mib_per_gib", "xzone_z2_to_z1_mib_per_gib", "cross_zone_dollars_per_gb"} {
		if measure(t, r, name) <= 0 {
			t.Errorf("%s is %v", name, measure(t, r, name))
		}
	}
	measure(t, r, "consumed_p99_minus_ack_p99_z1_to_z2_ms")
	s := &shell{t: t}
	s.fails(exitUsage, "a zone without one", "bench", "e2e", "--agents", "2", "--zones", "3")
	s.fails(exitUsage, "leave out --bootstrap", "bench", "e2e", "--agents", "2", "--peer", "127.0.0.1:1")
	s.fails(exitUsage, "it keeps nothing", "bench", "e2e", "--agents", "2", "--store", "null")
	s.fails(exitUsage, "--store disk", "bench", "produce", "--agents", "2", "--rate", "0")
	s.fails(exitUsage, "are processes", "bench", "agents", "--store", "minio")
}

// TestBenchConsume: what all readers ask of the store is set against what one does.
func TestBenchConsume(t *testing.T) {
	r := runBench(t, "consume", "--store", "mem", "--backlog", "4MiB", "--fan-out", "2", "--warmup", "50ms", "--duration", "300ms", "--flush", "10ms")
	for _, name := range []string{"get_per_gib_of_log", "get_per_gib_of_log_one_reader", "get_growth_with_fan_out_per_gib", "cache_hit_percent"} {
		measure(t, r, name)
	}
	if share := measure(t, r, "served_from_memory_percent"); share < 0 || share > 100 {
		t.Errorf("%v %% served from memory", share)
	}
}

// TestBenchPeer: a server that is not Varve shows no costs, and they are not taken for 0.
func TestBenchPeer(t *testing.T) {
	peer := newShell(t).env["VARVE_BOOTSTRAP"]
	r := runBench(t, "produce", "--peer", peer, "--rate", "500", "--warmup", "100ms", "--duration", "300ms", "--partitions", "3")
	for _, name := range []string{"cpu_s_per_gib", "dollars_per_gb", "put_per_gib", "rss_max_mib"} {
		if v, ok := r.Get(name); ok {
			t.Errorf("%s is %v", name, v)
		}
	}
	measure(t, r, "records_per_s")
}

func TestBenchCompare(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, cpus ...float64) string {
		var all []byte
		for _, cpu := range cpus {
			all = append(all, oneReport(t, cpu)...)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, all, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	before, same, worse, none := file("a", 1, 2, 3), file("b", 3, 1, 2.1), file("c", 2, 2.5, 4), file("none")
	s := &shell{t: t}
	if got := s.ok("", "bench", "compare", before, same, "--only", "cpu_s_per_gib"); !strings.Contains(got, "cpu_s_per_gib  2.00  2.10  1.05   0.500  3.00  lower   false") {
		t.Errorf("%s", got)
	}
	if r := s.run("", "bench", "compare", before, worse, "--tolerance", "20%"); r.code != exitFailed || !strings.Contains(r.err, "cpu_s_per_gib is worse: 1.25 times") || strings.Contains(r.out, "put_per_gib") {
		t.Errorf("%+v", r)
	}
	s.ok("", "bench", "compare", before, worse, "--tolerance", "0.25")
	s.ok("", "bench", "compare", before, file("d", 3, 4, 2.9)) // half as much again, and less in one pair: that is noise
	s.ok("", "bench", "compare", before, worse, "--only", "sent_to_ack_p99_ms")
	zero := file("zero", 0)
	if got := s.ok("", "bench", "compare", zero, zero, "--only", "cpu_s_per_gib"); !strings.Contains(got, "cpu_s_per_gib  0  0  1.00   1.00  1.00  lower   false") {
		t.Errorf("%s", got)
	}
	for output, want := range map[string]string{
		"table": "cpu_s_per_gib  0  2.00  from-0  from-0  from-0  lower   true",
		"jsonl": `"a":0,"b":2,"ratio":null,"low":null,"high":null,"better":"lower","worse":true`,
	} {
		r := s.run("", "bench", "compare", zero, before, "--only", "cpu_s_per_gib", "-o", output)
		if r.code != exitFailed || !strings.Contains(r.out, want) || r.err != "cpu_s_per_gib is worse: it was 0 and is 2.00\n" {
			t.Errorf("%+v", r)
		}
	}
	s.ok("", "bench", "compare", before, zero)
	s.fails(exitUsage, "no common \"put_per_gib\"", "bench", "compare", before, same, "--only", "put_per_gib") // nobody could see it
	s.fails(exitFailed, "it is empty", "bench", "compare", before, none)
	s.fails(exitUsage, "did you mean cpu_s_per_gib", "bench", "compare", before, same, "--only", "cpu_s_per_gb")
	s.fails(exitUsage, "is not a share", "bench", "compare", before, same, "--tolerance", "-1")
	s.fails(exitFailed, "no such file", "bench", "compare", before, before+"x")
	s.fails(exitFailed, "not a report", "bench", "compare", before, "bench_test.go")
}

// TestBenchCatchUp: the backlog is read once at least, whole, and the tail is followed all the time.
func TestBenchCatchUp(t *testing.T) {
	r := runBench(t, "catch-up", "--backlog", "4MiB", "--rate", "1000", "--warmup", "100ms", "--duration", "500ms", "--flush", "10ms", "--partitions", "4")
	if len(r.Latencies) == 0 || r.Latencies[0].Name != "tail_before" {
		t.Errorf("%+v", r.Latencies)
	}
	if measure(t, r, "drain_mib_per_s") <= 0 || r.Verified.Records < 4096+400 {
		t.Errorf("%+v", r)
	}
}

// TestBenchIdleCost: an idle agent writes its heartbeat and nothing else, and a trickle is billed.
func TestBenchIdleCost(t *testing.T) {
	r := runBench(t, "idle-cost", "--rate", "50", "--warmup", "0s", "--duration", "1s", "--flush", "50ms", "--store", "mem", "--partitions", "4")
	for _, name := range []string{"s3_wal_per_hour", "ddb_commit_per_hour", "ddb_units_commit_per_hour", "dollars_per_month", "agents_rss_mib", "cpu_percent"} {
		if measure(t, r, name) <= 0 {
			t.Errorf("%s is %v", name, measure(t, r, name))
		}
	}
	s := &shell{t: t}
	s.fails(exitUsage, "without its HTTP side", "bench", "idle-cost", "--bootstrap", "127.0.0.1:1")
}

// TestBenchFailOver: one agent on a folder is killed and comes back; nothing acknowledged is lost.
func TestBenchFailOver(t *testing.T) {
	for _, how := range []string{"kill", "term"} {
		r := runBench(t, "fail-over", "--times", "2", "--every", "50ms", "--rate", "500", "--partitions", "3", "--how", how)
		if len(r.Latencies) < 2 || r.Latencies[0].Count != 6 || r.Latencies[1].Count != 2 || r.Latencies[0].Max > r.Latencies[1].Max+1 {
			t.Errorf("%s: %+v", how, r.Latencies)
		}
		for _, name := range []string{"dollars_per_gb", "put_per_gib", "cpu_s_per_gib", "footers_replayed_per_kill"} { // of agents that ended, too
			if v := measure(t, r, name); v <= 0 && !(how == "term" && name == "footers_replayed_per_kill") {
				t.Errorf("%s: %s is %v", how, name, v)
			}
		}
	}
	s := &shell{t: t}
	s.fails(exitUsage, "a table that they share", "bench", "fail-over", "--agents", "2")
	s.fails(exitUsage, "keeps nothing", "bench", "fail-over", "--store", "mem")
	s.fails(exitUsage, "nobody to take over", "bench", "fail-over", "--how", "pause")
	s.fails(exitUsage, "--how cut: one agent has nobody", "bench", "fail-over", "--how", "cut")
}

// TestBenchLimits: what a bench may write by default, where it would fill memory or a disk.
func TestBenchLimits(t *testing.T) {
	for _, c := range []struct {
		store       string
		rate        loadRate
		limit, want byteSize
	}{
		{"disk", 0, 0, searchOnDisk},
		{"disk", 0, 1 << 30, 1 << 30},
		{"disk", 1000, 0, 0},
		{"null", 0, 0, 0},
		{"mem", 1000, 0, inMemory},
		{"mem", 1000, 1 << 20, 1 << 20},
	} {
		b := newBenchFlags()
		b.searches, b.store, b.rate, b.limit = true, c.store, c.rate, c.limit
		if err := b.settle(); err != nil || b.load.Limit != int64(c.want) {
			t.Errorf("%s at %v, limit %v: %d, %v, want %d", c.store, c.rate, c.limit, b.load.Limit, err, c.want)
		}
	}
}

func TestBenchRefuses(t *testing.T) {
	s := &shell{t: t}
	for _, c := range []struct {
		code int
		want string
		args string
	}{
		{exitUsage, "is none of sim", "--store what"},
		{exitUsage, "has a metastore of its own", "--store sim --meta mem://"},
		{exitUsage, "VARVE_STORE", "--store s3"},
		{exitUsage, "exclude each other", "--bootstrap a:1 --peer b:1"},
		{exitUsage, "--http is about --bootstrap", "--http a:1"},
		{exitUsage, "record size: 35", "--record-size 35"},
		{exitUsage, "is not a rate", "--rate -1"},
		{exitUsage, "more than memory holds", "--rate 0 --store mem"},
		{exitUsage, "duration: 0s", "--duration 0s"},
		{exitFailed, "no server answers", "--peer 127.0.0.1:1"},
		{exitFailed, "no such file", "--program ./none"},
	} {
		s.fails(c.code, c.want, append([]string{"bench", "produce"}, strings.Fields(c.args)...)...)
	}
	s.fails(exitUsage, "only produce searches", "bench", "e2e", "--rate", "0")
	s.fails(exitUsage, "nothing to do", "bench", "idle-cost", "--rate", "max")
	s.env = map[string]string{"VARVE_STORE": "s3://b/p?endpoint=http://127.0.0.1:1", "VARVE_META": "dynamodb://t"}
	s.fails(exitUsage, "say --store minio", "bench", "produce", "--store", "s3")
}
